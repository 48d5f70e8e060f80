"""How a residual becomes a cost: squares, smooth absolute values, relaxed logarithmic barriers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from controllers.checks import finite, semidefinite


class Norm(ABC):
    """rho(r) (...) of a residual r (..., m): convex and twice differentiable. m: number of rows it is made for."""

    @property
    @abstractmethod
    def m(self) -> int:
        """Rows of the residual."""

    @abstractmethod
    def __call__(self, r) -> Any:
        """rho (...) at r (..., m)."""

    @abstractmethod
    def expand(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The gradient (..., m) and the Hessian (..., m, m), positive semidefinite, at r (..., m)."""


@dataclass(frozen=True, eq=False)
class Square(Norm):
    """rho = r' W r. W (m, m) symmetric positive semidefinite; ValueError if it is not."""

    W: np.ndarray

    def __post_init__(self):
        object.__setattr__(
            self, "W", semidefinite("Square", "W", self.W, np.shape(self.W)[0] if np.ndim(self.W) else 1)
        )

    @property
    def m(self) -> int:
        return len(self.W)

    def __call__(self, r):
        return ((r @ self.W) * r).sum(-1)

    def expand(self, r):
        return 2.0 * (r @ self.W), np.broadcast_to(2.0 * self.W, (*r.shape, self.m))


@dataclass(frozen=True, eq=False)
class SmoothAbs(Norm):
    """rho = sum_i w_i (sqrt(r_i^2 + alpha_i^2) - alpha_i): w |r| far from 0, w r^2 / (2 alpha) near it.

    w (m,) >= 0; alpha (m,) or one number, > 0, in the unit of r. Source: Tassa, Mansard and Todorov,
    Control-limited differential dynamic programming, 2014, the cost of the car-parking example.
    """

    w: np.ndarray
    alpha: np.ndarray

    def __post_init__(self):
        w, alpha = np.atleast_1d(finite("SmoothAbs: w", self.w)), finite("SmoothAbs: alpha", self.alpha)
        if w.ndim != 1 or alpha.shape not in ((), w.shape):
            raise ValueError(f"SmoothAbs: w must be (m,), alpha (m,) or a number, got {w.shape} and {alpha.shape}")
        if (w < 0).any() or (alpha <= 0).any():
            raise ValueError(f"SmoothAbs: w must be >= 0 and alpha > 0, got {w.tolist()} and {alpha.tolist()}")
        object.__setattr__(self, "w", w)
        object.__setattr__(self, "alpha", np.broadcast_to(alpha, w.shape))

    @property
    def m(self) -> int:
        return len(self.w)

    def __call__(self, r):
        square = r * r  # divided by the sum: no cancellation near 0
        return (self.w * (square / (np.sqrt(square + self.alpha * self.alpha) + self.alpha))).sum(-1)

    def expand(self, r):
        root = np.sqrt(r * r + self.alpha**2)
        return self.w * r / root, _diagonal(self.w * self.alpha**2 / root**3)


@dataclass(frozen=True, eq=False)
class Barrier(Norm):
    """rho = mu sum_i beta(r_i - lower_i) + beta(upper_i - r_i) over the finite bounds, with the relaxed logarithm

    beta(z) = -log z for z > delta, 1/2 (((z - 2 delta) / delta)^2 - 1) - log delta for z <= delta: twice continuously
    differentiable, finite outside the bounds, where it grows as z^2 / (2 delta^2). lower, upper (m,), lower < upper;
    mu, delta > 0, delta in the unit of r. Source: Hauser and Saccon, A barrier function method for the optimization of
    trajectory functionals with constraints, 2006, section III; Feller and Ebenbauer, Relaxed logarithmic barrier
    function based model predictive control of linear systems, 2017, section II.
    """

    lower: np.ndarray
    upper: np.ndarray
    mu: float
    delta: float

    def __post_init__(self):
        lower, upper = np.atleast_1d(np.asarray(self.lower, float)), np.atleast_1d(np.asarray(self.upper, float))
        if lower.shape != upper.shape or lower.ndim != 1 or not (lower < upper).all():
            raise ValueError(
                f"Barrier: lower and upper must be (m,) with lower < upper in every row, got {lower.tolist()} and "
                f"{upper.tolist()}"
            )
        if not (0 < self.mu < np.inf and 0 < self.delta < np.inf):
            raise ValueError(f"Barrier: mu and delta must be positive numbers, got {self.mu!r} and {self.delta!r}")
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)

    @property
    def m(self) -> int:
        return len(self.lower)

    def __call__(self, r):
        total = 0.0 * r.sum(-1)
        for i in range(self.m):
            if np.isfinite(self.lower[i]):
                total = total + self._beta(r[..., i] - self.lower[i])
            if np.isfinite(self.upper[i]):
                total = total + self._beta(self.upper[i] - r[..., i])
        return self.mu * total

    def expand(self, r):
        below, above = np.isfinite(self.lower), np.isfinite(self.upper)
        low, low2 = self._slopes(r - np.where(below, self.lower, 0.0))
        up, up2 = self._slopes(np.where(above, self.upper, 0.0) - r)
        return self.mu * (below * low - above * up), _diagonal(self.mu * (below * low2 + above * up2))

    def _beta(self, z):
        d = self.delta
        quadratic = 0.5 * (((z - 2.0 * d) / d) ** 2 - 1.0) - np.log(d)
        return np.where(z > d, -np.log(np.maximum(z, d)), quadratic)

    def _slopes(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d, inside = self.delta, np.maximum(z, self.delta)
        return np.where(z > d, -1.0 / inside, (z - 2.0 * d) / d**2), np.where(z > d, 1.0 / inside**2, 1.0 / d**2)


def _diagonal(d: np.ndarray) -> np.ndarray:
    return d[..., None] * np.eye(d.shape[-1])
