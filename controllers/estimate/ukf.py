"""The unscented Kalman filter with scaled sigma points, on any manifold."""

import numpy as np

from controllers.estimate.base import Correction, Filter, checked_gate, gated, mask, root, symmetric
from controllers.estimate.model import Model


class UKF(Filter):
    """The Kalman filter whose moments come from 2 n + 1 sigma points x [+] (+-) alpha sqrt(n + kappa) columns of P^1/2.

    With deviations d_i from the central point, w = 1 / (2 alpha^2 (n + kappa)) and m = sum of w d_i the mean is m and
    the covariance sum of w d_i d_i' + (beta - alpha^2) m m': the usual sums with their large negative central weight,
    without the cancellation. It is positive semidefinite for beta >= -alpha^2 kappa / n: ValueError otherwise. Noise is
    additive. alpha: spread; beta: 2 suits a Gaussian; kappa: a shift, 3 - n in the oldest form. Batches over leading
    axes. gate: see Filter. Source: Julier, The scaled unscented transformation, 2002; on manifolds Hertzberg et al.,
    Integrating generic sensor fusion algorithms with sound state representations, 2013.
    """

    who = "UKF"

    def __init__(
        self, model: Model, *, alpha: float = 1.0, beta: float = 2.0, kappa: float = 0.0, gate: float | None = None
    ):
        self.model, self.gate = model, checked_gate(self.who, gate)
        self.ndx, self.ny, self.nu = model.ndx, model.ny, model.nu
        self.difference, self.integrate = model.difference, model.integrate
        if not (alpha > 0 and kappa > -self.ndx and beta >= -(alpha**2) * kappa / self.ndx):
            raise ValueError(
                f"UKF: covariances stay positive semidefinite for alpha > 0, kappa > -{self.ndx} and beta >= -alpha^2 "
                f"kappa / {self.ndx}, got alpha={alpha}, beta={beta}, kappa={kappa}"
            )
        self._spread = alpha * np.sqrt(self.ndx + kappa)
        self._w = 0.5 / self._spread**2
        self._central = beta - alpha**2

    def _points(self) -> tuple[np.ndarray, np.ndarray]:
        """Offsets (..., 2 n + 1, ndx), the first zero, and the states (..., 2 n + 1, nx) they lead to."""
        columns = self._spread * np.swapaxes(root(self.P), -1, -2)
        offsets = np.concatenate([np.zeros_like(columns[..., :1, :]), columns, -columns], axis=-2)
        return offsets, self.model.integrate(self.x[..., None, :], offsets)

    def _mean(self, d: np.ndarray) -> np.ndarray:
        """The weighted mean (..., k) of deviations d (..., 2 n + 1, k) from the central one, added to it."""
        return d[..., 0, :] + self._w * (d[..., 1:, :] - d[..., :1, :]).sum(axis=-2)

    def _covariance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The covariance (..., ka, kb) of two functions of the points, a (..., 2 n + 1, ka), b (..., 2 n + 1, kb)."""
        da, db = a[..., 1:, :] - a[..., :1, :], b[..., 1:, :] - b[..., :1, :]
        ma, mb = self._w * da.sum(axis=-2), self._w * db.sum(axis=-2)
        return self._w * np.swapaxes(da, -1, -2) @ db + self._central * ma[..., :, None] * mb[..., None, :]

    def _move(self, u):
        offsets, points = self._points()
        moved = self.model.f(points, u[..., None, :])
        x = moved[..., 0, :]
        for _ in range(1 if x.shape[-1] == self.ndx else 3):  # the mean on a manifold is where the deviations cancel
            x = self.model.integrate(x, self._mean(self.model.difference(x[..., None, :], moved)))
        d = self.model.difference(x[..., None, :], moved)
        return x, symmetric(self._covariance(d, d)) + self.model.W, self._covariance(offsets, d)

    def _measure(self, y):
        model = self.model
        offsets, points = self._points()
        seen = np.asarray(model.h(points, self.u[..., None, :]), float)
        z = model.residual(seen[..., :1, :], seen)
        e = model.innovation(self.x, self.u, y) - self._mean(z)
        used, e, V = mask(e, model.V)
        z = np.where(used[..., None, :], z, 0.0)
        S = symmetric(self._covariance(z, z)) + V
        L = np.swapaxes(np.linalg.solve(S, self._covariance(z, offsets)), -1, -2)
        nis = (np.linalg.solve(S, e[..., None])[..., 0] * e).sum(axis=-1)
        used = gated(used, nis, self.gate)
        L = np.where(used[..., None, :], L, 0.0)
        left = offsets - z @ np.swapaxes(L, -1, -2)
        P = symmetric(self._covariance(left, left) + L @ V @ np.swapaxes(L, -1, -2))
        dx = (L @ e[..., None])[..., 0]
        return Correction(model.integrate(self.x, dx), symmetric(model.transport(self.x, dx, P)), e, nis, used)
