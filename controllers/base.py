"""Linear feedback about a state, and the Controller that everything in this package is."""

from collections.abc import Callable, Sequence

import numpy as np

from sims.policy import Controller, Policy

__all__ = ["Controller", "LinearFeedback", "Policy", "wrap_angle"]

FLOAT, ndarray = np.dtype(float), np.ndarray
Difference = Callable[[np.ndarray, np.ndarray], np.ndarray]


class LinearFeedback(Controller):
    """u = u_goal - K (x [-] x_goal), over any leading axes of x.

    K (nu, ndx); x_goal (nx,); u_goal (nu,) or a scalar. The difference x [-] x_goal is x - x_goal, or, on a manifold,
    difference(x_goal, x) (..., ndx): pass `sim.difference`. angles: indices into the difference that are wrapped to
    [-pi, pi), so that a joint which went round once is home again. Raises ValueError for shapes that do not fit.
    """

    def __init__(self, K, x_goal, u_goal=0.0, *, difference: Difference | None = None, angles: Sequence[int] = ()):
        self.K = _finite(np.atleast_2d(np.array(K, float)), "gain K")
        self.x_goal = _finite(np.array(x_goal, float), "x_goal")
        if self.K.ndim != 2 or self.x_goal.ndim != 1:
            raise ValueError(
                f"LinearFeedback: K must be (nu, ndx) and x_goal (nx,), got {self.K.shape} and {self.x_goal.shape}"
            )
        nu, ndx = self.K.shape
        size = len(self.x_goal) if difference is None else np.shape(difference(self.x_goal, self.x_goal))[-1]
        if ndx != size:
            hint = "" if difference is not None else "; a state with quaternions needs difference=sim.difference"
            raise ValueError(f"LinearFeedback: K has {ndx} columns, x [-] x_goal has {size} components{hint}")
        if np.shape(u_goal) not in ((), (1,), (nu,)):
            raise ValueError(f"LinearFeedback: u_goal must be ({nu},), a row of K each, got {np.shape(u_goal)}")
        self.u_goal = _finite(np.array(np.broadcast_to(np.asarray(u_goal, float), (nu,))), "u_goal")
        self.difference = difference
        self.angles = indices(angles, ndx)
        self._minus_K, self._minus_KT = -self.K, np.ascontiguousarray(-self.K.T)
        self._dot = self._minus_K.dot
        self._plain = difference is None and not len(self.angles)

    def __call__(self, x, t: float = 0.0):
        """The input u (..., nu) for the state x (..., nx); t is not used."""
        if self._plain and type(x) is ndarray and x.ndim == 1 and x.dtype is FLOAT:
            return self._dot(x - self.x_goal) + self.u_goal  # a plant steps in a few us: this counts
        return self.u_goal + self.error(x) @ self._minus_KT

    def error(self, x):
        """x [-] x_goal, shape (..., ndx), angles wrapped."""
        dx = x - self.x_goal if self.difference is None else self.difference(self.x_goal, x)
        if len(self.angles):
            dx = dx.copy()
            dx[..., self.angles] = wrap_angle(dx[..., self.angles])
        return dx


def wrap_angle(angle):
    """The angle (...) [rad] moved by multiples of 2 pi into [-pi, pi); exact where it already lies there."""
    angle = np.asarray(angle, float)
    turns = np.floor((angle + np.pi) / (2 * np.pi))
    return angle - 2 * np.pi * turns


def indices(chosen: Sequence[int], size: int) -> np.ndarray:
    """chosen as an integer array; ValueError unless each is an index into `size` components."""
    found = np.array(list(chosen), dtype=int)
    if ((found < -size) | (found >= size)).any():
        raise ValueError(f"angle indices must lie in 0..{size - 1}, got {found.tolist()}")
    return found


def _finite(array: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(array).all():
        raise ValueError(f"LinearFeedback: {name} must be finite, got {array.tolist()}")
    return array
