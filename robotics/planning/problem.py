"""A planning problem: from where to where, at what cost, within which limits, who plans it, where that plan plays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from controllers.constraint import Constraint
from controllers.cost import Cost
from controllers.planner import Guess, Plan, Planner
from controllers.tvlqr import TimeVaryingFeedback, on_grid, tvlqr
from robotics.task import Task
from sims.errors import unknown
from sims.simulator import Simulator, simulate
from sims.system import System
from sims.trajectory import Trajectory

# plans keep to this share of the motors' limits; what is left is for the feedback that tracks them
SHARE = 0.8


@dataclass(frozen=True, kw_only=True)
class PlanningProblem:
    """Data, not a hierarchy; change one with dataclasses.replace.

    system: the plant the planners see, with limits inside those of the simulators: the rest is feedback's; simulators:
    backend -> factory(dt), all with the system's layout of x; x0, x_goal (nx,); tolerance (nx,): a run ends at the goal
    if |x[T] - x_goal| is within it, infinite where free; duration [s], or (low, high) if it is free; dt [s] of plans on
    a grid and of tracking; planners: name -> method(problem, seed) -> (planner, guess), the first is the default;
    q, qf (nx,), r (nu,): diagonals of the weights of the feedback that tracks a plan; constraints: for planners on a
    grid, beside the goal.
    """

    name: str
    description: str
    system: System
    simulators: Mapping[str, Callable[[float], Simulator]]
    x0: np.ndarray
    x_goal: np.ndarray
    tolerance: np.ndarray
    cost: Cost
    duration: float | tuple[float, float]
    dt: float
    planners: Mapping[str, Callable[["PlanningProblem", int], tuple[Planner, Guess]]]
    q: np.ndarray
    r: np.ndarray
    qf: np.ndarray
    constraints: tuple[Constraint, ...] = ()

    @property
    def default_planner(self) -> str:
        """The name of the planner that is meant to solve the problem."""
        return next(iter(self.planners))

    @property
    def T(self) -> int:
        """Steps of dt in the duration (the longest, if it is free)."""
        return round(float(np.max(self.duration)) / self.dt)

    def planner(self, name: str | None = None, seed: int = 0) -> tuple[Planner, Guess]:
        """A planner by name, the default one if None, and its guess; ValueError lists the names there are."""
        name = self.default_planner if name is None else name
        if name not in self.planners:
            raise unknown(f"planner of problem {self.name!r}", name, self.planners)
        return self.planners[name](self, seed)

    def solve(self, name: str | None = None, seed: int = 0) -> Plan:
        """The Plan from x0 by the planner `name`; the same seed gives the same guess and the same bytes."""
        planner, guess = self.planner(name, seed)
        return planner.plan(self.x0, guess)

    def simulator(self, backend: str) -> Simulator:
        """The plant in one engine, stepping dt; ValueError lists the backends, MissingDependency the package."""
        if backend not in self.simulators:
            raise unknown(f"backend of planning problem {self.name!r}", backend, self.simulators)
        return self.simulators[backend](self.dt)

    def reached(self, x: np.ndarray) -> np.ndarray:
        """True (...) where x (..., nx) is at the goal."""
        return np.asarray((np.abs(x - self.x_goal) <= self.tolerance).all(axis=-1))


def engines_of(task: Task) -> dict[str, Callable[[float], Simulator]]:
    """The simulators of a task as factories of dt, with the task's input limits."""
    return {backend: partial(task.simulator, backend) for backend in task.simulators}


@dataclass(frozen=True)
class Tracked:
    """A plan played with feedback: the run, error (nx,) = |x[T] - x_goal|, and whether that is within the tolerance."""

    backend: str
    run: Trajectory
    error: np.ndarray
    reached: bool


def feedback(problem: PlanningProblem, plan: Plan, sim: Simulator) -> TimeVaryingFeedback:
    """Time-varying LQR of `sim` along a plan, with the problem's weights."""
    weights = np.diag(problem.q), np.diag(problem.r), np.diag(problem.qf)
    return tvlqr(sim, on_grid(sim, plan.trajectory), *weights)[0]


def track(problem: PlanningProblem, plan: Plan, backend: str = "ode", x0: np.ndarray | None = None) -> Tracked:
    """Play a plan in one engine by time-varying LQR, from x0 (nx,) or the problem's; a run that diverges has not
    reached the goal.
    """
    sim = problem.simulator(backend)
    policy = feedback(problem, plan, sim)
    start = problem.x0 if x0 is None else x0
    with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges says so in its status
        run = simulate(sim, policy, start, float(policy.t[-1]))
    error = np.abs(run.x[-1] - problem.x_goal)
    return Tracked(backend, run, error, run.status == "ok" and bool(problem.reached(run.x[-1])))


def perturbed(problem: PlanningProblem, rng: np.random.Generator, spread: float = 0.05) -> np.ndarray:
    """x0 (nx,) plus normal noise of the deviation `spread` in every state, in its own unit."""
    return problem.x0 + spread * rng.normal(size=problem.x0.shape)
