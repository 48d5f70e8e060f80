"""What the whole record says about every instant: the Rauch-Tung-Striebel smoother."""

from dataclasses import dataclass

import numpy as np

from controllers.estimate.base import Filter, symmetric


@dataclass(frozen=True)
class Smoothed:
    """x (T+1, ..., nx), P (T+1, ..., ndx, ndx) given all measurements; filtered_x, filtered_P given those up to t[k].

    rejected: how many measurements were not used, wholly or in part.
    """

    x: np.ndarray
    P: np.ndarray
    filtered_x: np.ndarray
    filtered_P: np.ndarray
    rejected: int


def smooth(filter: Filter, y, u, x0, P0, *, t=None) -> Smoothed:
    """The estimate of every state of a record: the filter forward, then the Rauch-Tung-Striebel recursion backward.

    x_s[k] = x[k] [+] G (x_s[k+1] [-] xbar[k+1]), G = Cov(x[k], xbar[k+1]) Pbar[k+1]^-1. filter: KalmanFilter, EKF or
    UKF; y (T+1, ..., ny), time first, non-finite where a measurement is missing; u (T, ..., nu), u[k] acting between
    y[k] and y[k+1]; x0, P0: before y[0]; t (T+1,) [s], the index if None. For a linear model x_s is the least-squares
    fit of the whole record. Raises ValueError for another filter or lengths that do not fit. Source: Rauch, Tung and
    Striebel, 1965; for sigma points Sarkka, 2008.
    """
    y, u = np.asarray(y, float), np.asarray(u, float)
    times = np.arange(len(y), dtype=float) if t is None else np.asarray(t, float)
    if len(u) != len(y) - 1 or len(times) != len(y):
        raise ValueError(f"smooth: {len(y)} measurements need {len(y) - 1} inputs between them, got {len(u)}")
    filter.reset(x0, P0, times[0])
    now = filter.update(y[0], t=times[0])
    filtered, predicted = [now], []
    for k in range(len(u)):
        moved = filter.predict(u[k])
        if filter.cross is None:
            raise ValueError(f"smooth: {filter.who} has no covariance between steps; use KalmanFilter, EKF or UKF")
        predicted.append((moved.x, moved.P, filter.cross))
        filtered.append(filter.update(y[k + 1], t=times[k + 1]))
    x, P = [filtered[-1].x], [filtered[-1].P]
    for k in reversed(range(len(u))):
        x_bar, P_bar, cross = predicted[k]
        G = np.swapaxes(_solve(P_bar, np.swapaxes(cross, -1, -2)), -1, -2)
        dx = filter.difference(x_bar, x[-1])
        x.append(filter.integrate(filtered[k].x, (G @ dx[..., None])[..., 0]))
        P.append(symmetric(filtered[k].P + G @ (P[-1] - P_bar) @ np.swapaxes(G, -1, -2)))
    return Smoothed(
        _series(x[::-1]),
        _series(P[::-1]),
        _series([e.x for e in filtered]),
        _series([e.P for e in filtered]),
        filter.rejected,
    )


def _series(values: list) -> np.ndarray:
    return np.stack(np.broadcast_arrays(*values))


def _solve(P: np.ndarray, M: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.solve(P, M)
    except np.linalg.LinAlgError:  # a state that is known exactly
        return np.linalg.pinv(P, hermitian=True) @ M
