"""What a run costs; costs are minimised."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sims.trajectory import Trajectory

Difference = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Cost(Protocol):
    """stage(x, u) (...) [cost/s] along the run and terminal(x) (...) [cost] at its end, batched over leading axes."""

    def stage(self, x: np.ndarray, u: np.ndarray) -> np.ndarray: ...
    def terminal(self, x: np.ndarray) -> np.ndarray: ...


def subtract(x, y) -> np.ndarray:
    """y - x, the difference of a flat state space."""
    return np.subtract(y, x)


@dataclass(frozen=True)
class Wrapped:
    """y - x with the components `angles` taken to [-pi, pi): a turn more or less is no difference."""

    angles: tuple[int, ...]

    def __call__(self, x, y) -> np.ndarray:
        dx = np.subtract(y, x)
        index = list(self.angles)
        dx[..., index] = np.mod(dx[..., index] + np.pi, 2 * np.pi) - np.pi
        return dx


@dataclass(frozen=True)
class QuadraticCost:
    """stage = dx' Q dx + du' R du, terminal = dx' Qf dx, with dx = difference(x_goal, x), du = u - u_goal.

    Q, Qf (ndx, ndx), R (nu, nu); x_goal (nx,), u_goal (nu,). Without the 1/2, so that the optimal cost of a linear
    plant from x0 is dx0' S dx0 with the S that `controllers.lqr` returns.
    """

    Q: np.ndarray
    R: np.ndarray
    Qf: np.ndarray
    x_goal: np.ndarray
    u_goal: np.ndarray
    difference: Difference = subtract

    def stage(self, x, u) -> np.ndarray:
        dx, du = self.difference(self.x_goal, x), np.subtract(u, self.u_goal)
        return _form(self.Q, dx) + _form(self.R, du)

    def terminal(self, x) -> np.ndarray:
        return _form(self.Qf, self.difference(self.x_goal, x))


def quadratic(q, r, *, x_goal, qf=None, u_goal=None, difference: Difference = subtract) -> QuadraticCost:
    """A QuadraticCost from the diagonals q (ndx,), r (nu,) and qf (ndx,), zero if None."""
    q, r = np.atleast_1d(np.asarray(q, float)), np.asarray(r, float).reshape(-1)
    Qf = np.zeros((len(q), len(q))) if qf is None else np.diag(np.asarray(qf, float))
    u_goal = np.zeros(len(r)) if u_goal is None else np.asarray(u_goal, float)
    return QuadraticCost(np.diag(q), np.diag(r), Qf, np.asarray(x_goal, float), u_goal, difference)


def total_cost(cost: Cost, run: Trajectory) -> np.ndarray:
    """sum_k stage(x[k], u[k]) (t[k+1] - t[k]) + terminal(x[T]), shape (...); infinite if the run diverged."""
    if run.status != "ok":
        return np.full(run.x.shape[:-2], np.inf)
    stage = cost.stage(run.x[..., :-1, :], run.u)
    return (stage * np.diff(run.t)).sum(-1) + cost.terminal(run.x[..., -1, :])


def effort(run: Trajectory) -> np.ndarray:
    """sum_k |u[k]|^2 (t[k+1] - t[k]), shape (...) [input unit squared times s]."""
    return (np.square(run.u).sum(-1) * np.diff(run.t)).sum(-1)


def _form(W: np.ndarray, z: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # the cost of a state that runs away is infinite, not a warning
        return ((z @ W) * z).sum(-1)
