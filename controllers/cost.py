"""What a run costs and how that changes; costs are minimised."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from controllers.checks import semidefinite
from controllers.goal import Goal
from controllers.tangent import Difference, Integrate, Wrapped, add, subtract
from sims.trajectory import Trajectory

__all__ = [
    "Cost",
    "Difference",
    "Expansion",
    "QuadraticCost",
    "SumCost",
    "Wrapped",
    "add",
    "effort",
    "quadratic",
    "subtract",
    "total_cost",
    "tracking",
]


class Expansion(NamedTuple):
    """l + lx dx + lu du + 1/2 dx' lxx dx + du' lux dx + 1/2 du' luu du: a cost about (integrate(x, dx), u + du).

    l (...), lx (..., ndx), lu (..., nu), lxx (..., ndx, ndx), lux (..., nu, ndx), luu (..., nu, nu); lu, lux, luu are
    None for a terminal cost. Blocks that are the same at all knots may be read-only views that repeat one.
    """

    l: np.ndarray
    lx: np.ndarray
    lu: Any
    lxx: np.ndarray
    lux: Any
    luu: Any


class Cost(ABC):
    """sum_k stage(x[k], u[k]) (t[k+1] - t[k]) + terminal(x[T]), batched over leading axes; costs add up: a + 2.0 * b.

    T: None, or the number of knots that a cost which changes along the run is made for: its stage and expand then take
    x (..., T, nx), u (..., T, nu), all knots at once, and `window` cuts it. gauss_newton: True if lxx, lux, luu of an
    expansion leave out the second derivatives of an inner function (and so are positive semidefinite), False if they
    are the exact Hessian.
    """

    gauss_newton: bool = False
    __array_ufunc__ = None  # np.float64(2.0) * cost asks the cost, instead of making an array of it

    @property
    def T(self) -> int | None:
        """Number of knots of a cost that changes along the run; None for one that does not."""
        return None

    @abstractmethod
    def stage(self, x, u) -> Any:
        """The rate (...) [cost/s] at x (..., nx), u (..., nu)."""

    @abstractmethod
    def terminal(self, x) -> Any:
        """The cost (...) of ending at x (..., nx)."""

    @abstractmethod
    def expand(self, x: np.ndarray, u: np.ndarray) -> Expansion:
        """stage to second order about x (..., nx), u (..., nu), in the tangent space of x."""

    @abstractmethod
    def expand_terminal(self, x: np.ndarray) -> Expansion:
        """terminal to second order about x (..., nx), in the tangent space of x."""

    def window(self, start: int, T: int) -> "Cost":
        """The cost of the knots start .. start + T: goals along the run are cut there, the last is held after it."""
        return self

    def __add__(self, other: "Cost") -> "Cost":
        if not isinstance(other, Cost):
            return NotImplemented
        return SumCost((self, other), (1.0, 1.0))

    def __mul__(self, weight: float) -> "Cost":
        return SumCost((self,), (weight,))

    __rmul__ = __mul__


@dataclass(frozen=True, eq=False)
class SumCost(Cost):
    """sum_i weights[i] terms[i]. Raises ValueError for a weight that is negative or not finite, and mixed lengths."""

    terms: tuple[Cost, ...]
    weights: tuple[float, ...]

    def __post_init__(self):
        for term, weight in zip(self.terms, self.weights, strict=True):
            if not (np.ndim(weight) == 0 and 0.0 <= weight < np.inf):
                raise ValueError(f"a cost's weight must be a finite number >= 0, got {weight!r} for {term!r:.100}")
        lengths = {term.T for term in self.terms} - {None}
        if len(lengths) > 1:
            raise ValueError(f"costs of different lengths do not add up: T = {' and '.join(map(str, sorted(lengths)))}")

    @property
    def gauss_newton(self) -> bool:
        return any(term.gauss_newton for term in self.terms)

    @property
    def T(self) -> int | None:
        return next((term.T for term in self.terms if term.T is not None), None)

    def stage(self, x, u):
        return sum(weight * term.stage(x, u) for term, weight in zip(self.terms, self.weights, strict=True))

    def terminal(self, x):
        return sum(weight * term.terminal(x) for term, weight in zip(self.terms, self.weights, strict=True))

    def expand(self, x, u):
        return self._sum([term.expand(x, u) for term in self.terms])

    def expand_terminal(self, x):
        return self._sum([term.expand_terminal(x) for term in self.terms])

    def window(self, start, T):
        return replace(self, terms=tuple(term.window(start, T) for term in self.terms))

    def _sum(self, expansions: list[Expansion]) -> Expansion:
        blocks = zip(*expansions, strict=True)
        return Expansion(
            *(
                None if parts[0] is None else sum(w * part for w, part in zip(self.weights, parts, strict=True))
                for parts in blocks
            )
        )


@dataclass(frozen=True, eq=False)
class QuadraticCost(Cost):
    """stage = dx' Q dx + du' R du, terminal = dx' Qf dx, with dx = difference(x_goal, x), du = u - u_goal.

    Q, Qf (ndx, ndx), R (nu, nu), positive semidefinite; x_goal (nx,) or (T+1, nx), u_goal (nu,) or (T, nu). Without the
    1/2, so that the optimal cost of a linear plant from x0 is dx0' S dx0 with the S that `controllers.lqr` returns. On
    a manifold pass difference and integrate of the plant; the expansion is then Gauss-Newton: lxx = 2 D' Q D with
    D = d difference(x_goal, integrate(x, dx)) / d dx. Raises ValueError for shapes that do not fit and weights that
    are not symmetric positive semidefinite.
    """

    Q: np.ndarray
    R: np.ndarray
    Qf: np.ndarray
    x_goal: np.ndarray
    u_goal: np.ndarray
    difference: Difference = subtract
    integrate: Integrate = add
    _goal: Goal = field(init=False, repr=False)

    def __post_init__(self):
        goal = Goal("QuadraticCost", self.x_goal, self.u_goal, self.difference, self.integrate)
        for name, size in (("Q", goal.ndx), ("R", goal.nu), ("Qf", goal.ndx)):
            object.__setattr__(self, name, semidefinite("QuadraticCost", name, getattr(self, name), size))
        for name, value in (("_goal", goal), ("x_goal", goal.x), ("u_goal", goal.u)):
            object.__setattr__(self, name, value)

    @property
    def gauss_newton(self) -> bool:
        return self._goal.nx != self._goal.ndx

    @property
    def T(self) -> int | None:
        return self._goal.T

    def stage(self, x, u):
        dx, du = self._goal.errors(x, u)
        return _form(self.Q, dx) + _form(self.R, du)

    def terminal(self, x):
        return _form(self.Qf, self._goal.end_error(x))

    def expand(self, x, u):
        dx, du = self._goal.errors(x, u)
        l, lx, lxx = in_tangent_space(*_expanded(self.Q, dx), self._goal.jacobian(x))
        lu_part, lu, luu = _expanded(self.R, du)
        lux = np.broadcast_to(0.0, (*dx.shape[:-1], len(self.R), len(self.Q)))
        return Expansion(l + lu_part, lx, lu, lxx, lux, luu)

    def expand_terminal(self, x):
        l, lx, lxx = in_tangent_space(*_expanded(self.Qf, self._goal.end_error(x)), self._goal.end_jacobian(x))
        return Expansion(l, lx, None, lxx, None, None)

    def window(self, start, T):
        if self.T is None:
            return self
        x_goal, u_goal = self._goal.window(start, T)
        return replace(self, x_goal=x_goal, u_goal=u_goal)


def quadratic(
    q, r, *, x_goal, qf=None, u_goal=None, difference: Difference = subtract, integrate: Integrate = add
) -> QuadraticCost:
    """A QuadraticCost from the diagonals q (ndx,), r (nu,) and qf (ndx,), zero if None; u_goal is zero if None."""
    q, r = np.atleast_1d(np.asarray(q, float)), np.asarray(r, float).reshape(-1)
    Qf = np.zeros((len(q), len(q))) if qf is None else np.diag(np.asarray(qf, float))
    u_goal = np.zeros(len(r)) if u_goal is None else u_goal
    return QuadraticCost(np.diag(q), np.diag(r), Qf, x_goal, u_goal, difference, integrate)


def tracking(
    q, r, trajectory: Trajectory, *, qf=None, difference: Difference = subtract, integrate: Integrate = add
) -> QuadraticCost:
    """The QuadraticCost of leaving a trajectory: x_goal = trajectory.x (T+1, nx), u_goal = trajectory.u (T, nu)."""
    if trajectory.x.ndim != 2:
        raise ValueError(f"tracking: one trajectory, x (T+1, nx); got x {trajectory.x.shape}: pick one, e.g. x[0]")
    goals = {"x_goal": trajectory.x, "u_goal": trajectory.u}
    return quadratic(q, r, qf=qf, difference=difference, integrate=integrate, **goals)


def total_cost(cost: Cost, run: Trajectory) -> np.ndarray:
    """sum_k stage(x[k], u[k]) (t[k+1] - t[k]) + terminal(x[T]), shape (...); infinite if the run diverged."""
    if run.status != "ok":
        return np.full(run.x.shape[:-2], np.inf)
    stage = cost.stage(run.x[..., :-1, :], run.u)
    return (stage * np.diff(run.t)).sum(-1) + cost.terminal(run.x[..., -1, :])


def effort(run: Trajectory) -> np.ndarray:
    """sum_k |u[k]|^2 (t[k+1] - t[k]), shape (...) [input unit squared times s]."""
    return (np.square(run.u).sum(-1) * np.diff(run.t)).sum(-1)


def in_tangent_space(l, g, H, D) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """l, D'g, D'H D: value, gradient and Hessian by dx from those by e, with D = de/ddx (None: the identity)."""
    if D is None:
        return l, g, H
    Dt = np.swapaxes(D, -1, -2)
    return l, (Dt @ g[..., None])[..., 0], Dt @ H @ D


def _form(W: np.ndarray, z):
    with np.errstate(over="ignore", invalid="ignore"):  # the cost of a state that runs away is infinite, not a warning
        return ((z @ W) * z).sum(-1)


def _expanded(W: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z'Wz (...), its gradient (..., n) and Hessian (..., n, n)."""
    Wz = z @ W
    return (Wz * z).sum(-1), 2.0 * Wz, np.broadcast_to(2.0 * W, (*z.shape, len(W)))
