"""What every planner answers with, and the one call that asks it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import nan

import numpy as np

from sims.errors import unknown
from sims.trajectory import Trajectory

STATUSES = ("converged", "iteration_limit", "stalled", "infeasible", "diverged")


@dataclass(frozen=True)
class Iteration:
    """One row of a planner's log, after the step was taken.

    cost; defect: the largest error of the dynamics at a knot [state units]; step: the length taken, in (0, 1];
    regularization: what was added to the Hessian; violation: the largest of a constraint, in its own unit.
    """

    cost: float
    defect: float = 0.0
    step: float = nan
    regularization: float = 0.0
    violation: float = 0.0


@dataclass(frozen=True)
class Violation:
    """How far a trajectory is outside one constraint: its label, the knots where, the largest amount and its unit."""

    label: str
    knots: tuple[int, ...]
    amount: float
    unit: str = ""

    def __str__(self) -> str:
        at = ", ".join(map(str, self.knots[:4])) + (f" and {len(self.knots) - 4} more" if len(self.knots) > 4 else "")
        plural = "s" if len(self.knots) > 1 else ""
        return f"{self.label}: {self.amount:.3g}{self.unit and ' '}{self.unit} outside at knot{plural} {at}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A planner's answer.

    trajectory: as it would be played; cost = sum_k stage(x[k], u[k]) (t[k+1] - t[k]) + terminal(x[T]); status is one
    of STATUSES, "converged" only if the dynamics hold when the inputs are simulated again; message: one sentence for
    the user; K (T, nu, ndx): u = u[k] - K[k] (x [-] x[k]), if the planner has gains; log: one row an iteration;
    violations: of the constraints, empty where all hold; seconds: wall time. Raises ValueError for another status.
    """

    trajectory: Trajectory
    cost: float
    status: str
    message: str
    K: np.ndarray | None = None
    log: tuple[Iteration, ...] = ()
    violations: tuple[Violation, ...] = ()
    seconds: float = nan

    def __post_init__(self):
        if self.status not in STATUSES:
            raise unknown("status of a Plan", self.status, STATUSES)

    @property
    def ok(self) -> bool:
        """True if the planner converged."""
        return self.status == "converged"


Guess = Trajectory | Plan | np.ndarray | None


class Planner(ABC):
    """plan(x0, guess) -> Plan: a trajectory of least cost from a state, for one plant, cost and set of constraints.

    u_min, u_max (nu,): the input limits that its plans keep; difference(x, y) -> dx (ndx,) of its plant. None where a
    planner does not say; `MPC` reads them.
    """

    u_min: np.ndarray | None = None
    u_max: np.ndarray | None = None
    difference: Callable | None = None

    @abstractmethod
    def plan(self, x0, guess: Guess = None) -> Plan:
        """The Plan from x0 (nx,). guess: a Trajectory, inputs (T, nu), another Plan (a warm start), or None.

        Raises ValueError for a wrong shape or a value that is not finite. What cannot be solved is no error: the
        Plan says so by its status.
        """


def read_guess(guess: Guess, T: int, nx: int, nu: int, who: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The states (T+1, nx) and inputs (T, nu) of a guess, copied; None where it has none.

    Raises ValueError, beginning with `who`, for another length, wrong sizes, a batch or a value that is not finite.
    """
    if guess is None:
        return None, None
    if isinstance(guess, Plan):
        guess = guess.trajectory
    if isinstance(guess, Trajectory):
        return _part(guess.x, (T + 1, nx), "states x", who), _part(guess.u, (T, nu), "inputs u", who)
    return None, _part(guess, (T, nu), "inputs u", who)


def _part(value, shape: tuple[int, int], name: str, who: str) -> np.ndarray:
    array = np.array(value, dtype=float)
    if array.shape != shape:
        raise ValueError(f"{who}: the {name} of the guess must be {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        k, i = (int(j) for j in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{who}: the {name} of the guess must be finite, got {array[k, i]} at knot {k}, component {i}")
    return array
