"""The particle filter: any noise, any likelihood, at the price of many copies of the state."""

from collections.abc import Callable

import numpy as np

from controllers.estimate.base import Correction, Filter, mask, root, symmetric
from controllers.estimate.model import Model


class ParticleFilter(Filter):
    """N weighted copies of the state, moved by the model with noise, weighed by the measurement's likelihood.

    weights w_i are multiplied by p(y | x_i), Gaussian with V unless log_likelihood(y, x, u) -> (N,) is given; when the
    effective sample size 1 / sum w_i^2 falls below `resample` N, N particles are drawn anew (systematic resampling).
    The estimate is the weighted mean on the manifold and the weighted covariance. reset draws the particles from
    N(x0, P0) and starts `seed` again: same seed, same estimates. One plant at a time: the batch axis is the particles'.
    `.particles` (N, nx), `.weights` (N,). The error of the mean falls as 1 / sqrt(N). Source: Gordon, Salmond and
    Smith, 1993; Kitagawa, 1996 (systematic resampling).
    """

    who = "ParticleFilter"

    def __init__(
        self,
        model: Model,
        N: int,
        *,
        seed: int,
        resample: float = 0.5,
        log_likelihood: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None,
    ):
        if N < 2 or not 0 <= resample <= 1:
            raise ValueError(f"ParticleFilter: N must be at least 2 and 0 <= resample <= 1, got {N} and {resample}")
        self.model, self.N, self.seed, self.resample = model, N, seed, resample
        self.ndx, self.ny, self.nu = model.ndx, model.ny, model.nu
        self.difference, self.integrate = model.difference, model.integrate
        self._noise, self._log_likelihood = root(model.W), log_likelihood

    def reset(self, x0, P0=None, t: float = 0.0) -> None:
        """Draw N particles from N(x0, P0), x0 (nx,), P0 (ndx, ndx)."""
        super().reset(x0, P0, t)
        if self.x.ndim != 1:
            raise ValueError(f"ParticleFilter: one plant at a time, x0 (nx,), got {self.x.shape}")
        self.rng = np.random.default_rng(self.seed)
        self.particles = self._scatter(np.broadcast_to(self.x, (self.N, len(self.x))), root(self.P))
        self.weights = np.full(self.N, 1.0 / self.N)

    @property
    def effective(self) -> float:
        """The effective sample size, 1 / sum of the squared weights: N when all count, 1 when one does."""
        return float(1.0 / (self.weights**2).sum())

    def _scatter(self, x: np.ndarray, G: np.ndarray) -> np.ndarray:
        return self.model.integrate(x, self.rng.standard_normal((self.N, self.ndx)) @ G.T)

    def _move(self, u):
        moved = self._scatter(np.asarray(self.model.f(self.particles, u)), self._noise)
        good = np.isfinite(moved).all(axis=-1)
        total = self.weights[good].sum()
        if not total > 0:
            return np.full_like(self.x, np.nan), self.P, None
        self.particles = np.where(good[:, None], moved, self.particles)  # a particle that diverged counts no more
        self.weights = np.where(good, self.weights, 0.0) / total
        return *self._moments(), None

    def _measure(self, y):
        if y.ndim != 1:
            raise ValueError(f"ParticleFilter: one measurement (ny,) at a time, got {y.shape}")
        e = self.model.innovation(self.x, self.u, y)
        used = np.isfinite(e)
        if self._log_likelihood is not None:
            used = np.full(used.shape, used.all())  # what a part of y says, only the user's function could know
            log = np.asarray(self._log_likelihood(y, self.particles, self.u), float)
        else:
            log = self._gaussian(y)
        with np.errstate(all="ignore"):
            log = np.where(np.isfinite(log), log, -np.inf) + np.log(self.weights)
        best = log.max()
        if not (used.any() and np.isfinite(best)):
            return Correction(self.x, self.P, e, None, np.zeros_like(used))
        w = np.exp(log - best)
        self.weights = w / w.sum()
        x, P = self._moments()
        if self.effective < self.resample * self.N:
            self.particles = self.particles[systematic(self.weights, self.rng)]
            self.weights = np.full(self.N, 1.0 / self.N)
        return Correction(x, P, e, None, used)

    def _gaussian(self, y: np.ndarray) -> np.ndarray:
        e = self.model.innovation(self.particles, np.broadcast_to(self.u, (self.N, self.nu)), y)
        seen = np.isfinite(e).any(axis=0)  # a sensor's failure shows in all particles, a particle's own in one
        _, _, V = mask(np.where(seen, 0.0, np.nan), self.model.V)
        e = np.where(seen, e, 0.0)
        return -0.5 * (e * np.linalg.solve(V, e.T).T).sum(axis=-1)

    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The weighted mean (nx,) on the manifold and the covariance (ndx, ndx) about it."""
        x = self.particles[int(self.weights.argmax())]
        for _ in range(1 if len(x) == self.ndx else 5):
            x = self.model.integrate(x, self.weights @ self.model.difference(x, self.particles))
        d = self.model.difference(x, self.particles)
        return x, symmetric((self.weights[:, None] * d).T @ d)


def systematic(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """N indices drawn by one uniform number: index i comes floor or ceil of N w_i times. weights (N,) sum to 1."""
    N = len(weights)
    edges = np.cumsum(weights)
    return np.searchsorted(edges / edges[-1], (rng.random() + np.arange(N)) / N, side="right").clip(0, N - 1)
