"""The plant and the sensors as a filter sees them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from controllers.estimate.base import covariance
from sims.errors import SimulationDiverged
from sims.simulator import Simulator

Function = Callable[[np.ndarray, np.ndarray], np.ndarray]
EPS = 1e-6


def subtract(x, y) -> np.ndarray:
    """y - x: the difference of a vector space."""
    return np.subtract(y, x)


@dataclass(frozen=True, kw_only=True)
class Model:
    """x+ = f(x, u) [+] w, y = h(x, u) + v with white noise w ~ N(0, W), v ~ N(0, V).

    f, h: over any leading axes of x (..., nx) and u (..., nu); the u of h is the one that acted up to the measurement
    (zeros before the first step). W (ndx, ndx), V (ny, ny): covariances, V definite. F(x, u) (..., ndx, ndx) and
    H(x, u) (..., ny, ndx): derivatives, by central differences on the manifold if None. difference, integrate: of the
    state's manifold. residual(y_expected, y) (..., ny): the innovation, y - y_expected unless y lives on a manifold
    too (an angle, a quaternion). Raises ValueError for bad covariances.
    """

    f: Function
    h: Function
    W: np.ndarray
    V: np.ndarray
    nu: int
    F: Function | None = None
    H: Function | None = None
    difference: Function = subtract
    integrate: Function = np.add
    residual: Function = subtract

    def __post_init__(self):
        for name, definite in (("W", False), ("V", True)):
            value = np.atleast_2d(np.asarray(getattr(self, name), float))
            object.__setattr__(self, name, covariance("Model", name, value, len(value), definite=definite))
        if self.W.ndim != 2 or self.V.ndim != 2:
            raise ValueError(f"Model: W and V must be matrices, got {self.W.shape} and {self.V.shape}")

    @property
    def ndx(self) -> int:
        """Size of the tangent space."""
        return len(self.W)

    @property
    def ny(self) -> int:
        """Size of the innovation."""
        return len(self.V)

    @classmethod
    def linear(cls, A, B, C, *, W, V, D=None) -> "Model":
        """x+ = Ax + Bu + w, y = Cx + Du + v; A (n, n), B (n, nu), C (ny, n), D (ny, nu)."""
        A, B, C = (np.atleast_2d(np.asarray(M, float)) for M in (A, B, C))
        D = np.zeros((len(C), B.shape[1])) if D is None else np.atleast_2d(np.asarray(D, float))
        if A.shape != (len(B), len(B)) or C.shape[1] != len(A) or D.shape != (len(C), B.shape[1]):
            raise ValueError(
                f"Model.linear: A (n, n), B (n, nu), C (ny, n), D (ny, nu) do not fit: got {A.shape}, {B.shape}, "
                f"{C.shape}, {D.shape}"
            )
        return cls(
            f=lambda x, u: x @ A.T + u @ B.T,
            h=lambda x, u: x @ C.T + u @ D.T,
            W=W,
            V=V,
            nu=B.shape[1],
            F=lambda x, u: A,
            H=lambda x, u: C,
        )

    @classmethod
    def of(cls, sim: Simulator, h: Function, *, W, V, H: Function | None = None, residual: Function = subtract):
        """One step of a simulator, on its manifold, seen through h; W (ndx, ndx) is the noise of one step of dt."""

        def f(x, u):
            if x.ndim > 1 or u.ndim > 1:
                return sim.rollout(x, u[..., None, :]).x[..., -1, :]  # keeps the rows that diverge
            try:
                return sim.step(x, u)
            except SimulationDiverged:
                return np.full(sim.nx, np.nan)

        model = cls(
            f=f,
            h=h,
            W=W,
            V=V,
            nu=sim.nu,
            F=lambda x, u: sim.linearize(x, u)[0],
            H=H,
            difference=sim.difference,
            integrate=sim.integrate,
            residual=residual,
        )
        if model.ndx != sim.ndx:
            raise ValueError(f"Model.of: W must be ({sim.ndx}, {sim.ndx}), a row for each tangent coordinate")
        return model

    def jacobian_f(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """d (f(x [+] dx, u) [-] f(x, u)) / d dx, (..., ndx, ndx)."""
        if self.F is not None:
            return self.F(x, u)
        return self._slope(self.f, self.difference, x, u)

    def jacobian_h(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """d h(x [+] dx, u) / d dx, (..., ny, ndx)."""
        if self.H is not None:
            return self.H(x, u)
        return self._slope(self.h, self.residual, x, u)

    def innovation(self, x: np.ndarray, u: np.ndarray, y: np.ndarray) -> np.ndarray:
        """residual(h(x, u), y) (..., ny); ValueError for a y, an h or a residual of another size."""
        expected = np.asarray(self.h(x, u), float)
        if self.residual is subtract and y.shape[-1:] != expected.shape[-1:]:
            raise ValueError(f"Model: y must be (..., {expected.shape[-1]}), as h says, got {y.shape}")
        e = self.residual(expected, y)
        if e.shape[-1] != self.ny:
            raise ValueError(
                f"Model: V is ({self.ny}, {self.ny}), but the innovation of y has {e.shape[-1]} components"
            )
        return e

    def transport(self, x: np.ndarray, dx: np.ndarray, P: np.ndarray) -> np.ndarray:
        """P (..., ndx, ndx) of an error dx + e about x as the covariance of e about x [+] dx; P in a vector space.

        Source: Sola, Quaternion kinematics for the error-state Kalman filter, 2017, section 6.3 (reset).
        """
        if x.shape[-1] == self.ndx:
            return P
        x_new = self.integrate(x, dx)[..., None, :]
        ends = [
            self.difference(x_new, self.integrate(x[..., None, :], dx[..., None, :] + sign * EPS * np.eye(self.ndx)))
            for sign in (1.0, -1.0)
        ]
        GT = (ends[0] - ends[1]) / (2 * EPS)
        return np.swapaxes(GT, -1, -2) @ P @ GT

    def _slope(self, function: Function, difference: Function, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        x, u = x[..., None, :], u[..., None, :]
        middle = function(x, u)
        ends = [
            difference(middle, function(self.integrate(x, sign * EPS * np.eye(self.ndx)), u)) for sign in (1.0, -1.0)
        ]
        return np.swapaxes(ends[0] - ends[1], -1, -2) / (2 * EPS)
