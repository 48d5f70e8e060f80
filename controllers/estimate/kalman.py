"""The Kalman filter: steady-state gains from the dual Riccati equation, and the time-varying filter."""

from collections.abc import Callable

import numpy as np

from controllers.analysis import detectable, pair
from controllers.estimate.base import Correction, Filter, checked_gate, covariance, gated, mask, root, symmetric
from controllers.lqr import dlqr, lqr

Matrix = np.ndarray | Callable[[float], np.ndarray]


def kalman(A, C, W, V) -> tuple[np.ndarray, np.ndarray]:
    """L (n, ny) and P (n, n) of xhatdot = A xhat + Bu + L (y - C xhat), the best filter of a continuous plant.

    0 = AP + PA' + W - P C'V^-1 C P, L = P C'V^-1: the regulator of the transposed plant. xdot = Ax + Bu + w, y = Cx + v
    with white noise of intensities W (n, n) and V (ny, ny), definite; P is the covariance of the error. Raises
    ValueError if (A, C) is not detectable, or W leaves a mode on the imaginary axis at rest; it names the mode. Source:
    Kalman and Bucy, 1961.
    """
    return _dual("kalman", lqr, A, C, W, V, discrete=False)


def dkalman(A, C, W, V) -> tuple[np.ndarray, np.ndarray]:
    """L (n, ny) and P (n, n) of the filter xhat = xbar + L (y - C xbar), xbar+ = A xhat + Bu, in the steady state.

    P = A P A' + W - A L C P A', L = P C'(C P C' + V)^-1: P is the covariance of xbar, before the measurement,
    (I - LC) P that of xhat. x+ = Ax + Bu + w, y = Cx + v with covariances W (n, n) and V (ny, ny), definite. Errors as
    for `kalman`. The gain of a one-step predictor is A L. Source: Kalman, 1960.
    """
    _, P = _dual("dkalman", dlqr, A, C, W, V, discrete=True)
    C = np.atleast_2d(np.asarray(C, float))
    return np.linalg.solve(C @ P @ C.T + np.asarray(V, float), C @ P).T, P


def sampled_noise(A, W, dt: float) -> np.ndarray:
    """The covariance (n, n) that white noise of intensity W (n, n) in xdot = Ax + w adds in dt [s].

    The integral of e^{As} W e^{A's} over one step, by one matrix exponential. Source: Van Loan, 1978.
    """
    from scipy.linalg import expm

    A, W = np.asarray(A, float), np.asarray(W, float)
    n = len(A)
    E = expm(dt * np.block([[-A, W], [np.zeros((n, n)), A.T]]))
    return symmetric(E[n:, n:].T @ E[:n, n:])


class KalmanFilter(Filter):
    """The minimum-variance estimate of x+ = Ax + Bu + w, y = Cx + Du + v, w ~ N(0, W), v ~ N(0, V).

    A (n, n), B (n, nu), C (ny, n), D (ny, nu), W (n, n), V (ny, ny), each constant or a function of t [s] (of the start
    of the step for A, B, W; of the measurement for C, D, V). The covariance is corrected in square-root form and stays
    positive semidefinite. Batches over leading axes. gate: see Filter. Raises ValueError for shapes that do not fit.
    Source: Kalman, 1960.
    """

    who = "KalmanFilter"

    def __init__(self, A, B, C, *, W, V, D=None, gate: float | None = None):
        self._A, self._B, self._C = (M if callable(M) else np.atleast_2d(np.asarray(M, float)) for M in (A, B, C))
        first = [_at(M, 0.0) for M in (self._A, self._B, self._C)]
        if any(M.ndim != 2 for M in first):
            raise ValueError("KalmanFilter: A, B and C must be matrices, or functions of t that return them")
        (self.ndx, self.nu), self.ny = first[1].shape, len(first[2])
        shapes = [(self.ndx, self.ndx), (self.ndx, self.nu), (self.ny, self.ndx)]
        if [M.shape for M in first] != shapes:
            raise ValueError(
                f"KalmanFilter: A (n, n), B (n, nu), C (ny, n) do not fit: got {', '.join(str(M.shape) for M in first)}"
            )
        D = np.zeros((self.ny, self.nu)) if D is None else D
        self._D = D if callable(D) else np.asarray(D, float).reshape(self.ny, self.nu)
        self._W = W if callable(W) else covariance(self.who, "W", W, self.ndx)
        self._V = V if callable(V) else covariance(self.who, "V", V, self.ny, definite=True)
        self.gate = checked_gate(self.who, gate)

    def _move(self, u):
        A, B, W = (_at(M, self.t) for M in (self._A, self._B, self._W))
        cross = self.P @ A.T
        return self.x @ A.T + u @ B.T, symmetric(A @ cross) + W, cross

    def _measure(self, y):
        C, D, V = (_at(M, self.t) for M in (self._C, self._D, self._V))
        if y.ndim == 0 or y.shape[-1] != self.ny:
            raise ValueError(f"KalmanFilter: y must be (..., {self.ny}), a row of C each, got {y.shape}")
        e = y - (self.x @ C.T + self.u @ D.T)
        dx, P, e, nis, used = square_root(self.P, e, C, V, self.gate)
        return Correction(self.x + dx, P, e, nis, used)


def square_root(P: np.ndarray, e: np.ndarray, C: np.ndarray, V: np.ndarray, gate: float | None = None):
    """dx (..., n) = L e, P (..., n, n), e, nis and used (see Estimate) after the innovation e (..., ny).

    The array [V^1/2, C P^1/2; 0, P^1/2] made lower triangular from the right is [S^1/2, 0; L S^1/2, P+^1/2], so that
    P+ is a square whatever the rounding. Source: Kailath, Sayed and Hassibi, Linear Estimation, 2000, section 12.3.
    """
    used, e, V = mask(e, V)
    C = np.where(used[..., None], C, 0.0)
    G = root(P)
    n, ny = P.shape[-1], e.shape[-1]
    CG = C @ G
    array = np.zeros((*np.broadcast_shapes(CG.shape[:-2], V.shape[:-2]), n + ny, n + ny))
    array[..., :ny, :ny] = np.swapaxes(np.linalg.cholesky(V), -1, -2)
    array[..., ny:, :ny], array[..., ny:, ny:] = np.swapaxes(CG, -1, -2), np.swapaxes(G, -1, -2)
    triangle = np.swapaxes(np.linalg.qr(array, mode="r"), -1, -2)
    white = np.linalg.solve(triangle[..., :ny, :ny], e[..., None])
    nis = (white[..., 0] ** 2).sum(axis=-1)
    used = gated(used, nis, gate)
    taken = used.any(axis=-1)
    dx = np.where(taken[..., None], (triangle[..., ny:, :ny] @ white)[..., 0], 0.0)
    G = triangle[..., ny:, ny:]
    P = (
        symmetric(G @ np.swapaxes(G, -1, -2))
        if taken.all()
        else np.where(taken[..., None, None], G @ np.swapaxes(G, -1, -2), P)
    )
    return dx, P, e, nis, used


def _dual(who: str, solver: Callable, A, C, W, V, *, discrete: bool) -> tuple[np.ndarray, np.ndarray]:
    try:
        AT, CT = pair(np.transpose(A), np.atleast_2d(np.asarray(C, float)).T)
    except ValueError as error:
        raise ValueError(f"{who}: A' and C' as the pair of the dual regulator: {error}") from None
    W = covariance(who, "W", W, len(AT))
    V = covariance(who, "V", V, CT.shape[1], definite=True)
    verdict = detectable(AT.T, CT.T, discrete=discrete)
    if not verdict:
        raise ValueError(f"{who}: (A, C) is {verdict.message}. It does not decay and is not seen: measure it as well")
    try:
        K, P = solver(AT, CT, W, V)
    except ValueError as error:
        raise ValueError(
            f"{who}: no filter that forgets its start is optimal ({error}); give W an entry for every state that "
            "neither grows nor decays"
        ) from None
    return K.T, P


def _at(M, t: float) -> np.ndarray:
    return np.asarray(M(t), float) if callable(M) else M
