"""ILQR: the planner."""

import time
from collections.abc import Sequence

import numpy as np

from controllers.constraint import Constraint, violations
from controllers.cost import Cost
from controllers.ilqr.augmented import descend
from controllers.ilqr.costs import Running
from controllers.ilqr.dynamics import Law, dynamics_of
from controllers.ilqr.search import Search
from controllers.planner import Guess, Plan, Planner, read_guess
from sims.simulator import Simulator
from sims.system import System
from sims.trajectory import Trajectory


class ILQR(Planner):
    """Iterative LQR: Newton steps on sum_k dt stage(x[k], u[k]) + terminal(x[T]) along x[k+1] = step(x[k], u[k]).

    Each iteration expands cost and dynamics about the trajectory, solves the linear-quadratic problem backwards with
    u_min <= u <= u_max kept at every knot, and takes the longest of eight step lengths that keeps a tenth of what it
    promised; regularisation is a cost of changing u. A guess with states is kept as multiple shooting: gaps close by
    the share alpha with each step. Second derivatives of a closed-form plant enter near the minimum, where they make it
    converge at once; elsewhere they are left out.

    model: a closed-form System (with dt [s] and integrator "rk4", "euler" or "semi_implicit_euler") or an OdeSimulator,
    both recorded once and replayed in C, or any other Simulator (MuJoCo's derivatives run on threads). T: steps;
    constraints: on states and inputs, by an augmented Lagrangian with `penalty` to begin with, kept to
    constraint_tolerance; iterations: at most so
    many; tolerance: relative decrease still promised at which it has converged; defect_tolerance [state units]: how far
    a step may miss its knot when the simulator repeats it. Raises ValueError for bad numbers and a cost or constraint
    of another length. Source: Tassa, Mansard, Todorov, "Control-limited differential dynamic programming", ICRA 2014;
    Mastalli et al., "Crocoddyl", ICRA 2020, section II (gaps).
    """

    def __init__(
        self,
        model: System | Simulator,
        cost: Cost,
        T: int,
        *,
        dt: float | None = None,
        integrator: str = "rk4",
        constraints: Sequence[Constraint] = (),
        iterations: int = 500,
        tolerance: float = 1e-9,
        defect_tolerance: float = 1e-8,
        constraint_tolerance: float = 1e-4,
        penalty: float = 100.0,
    ):
        if not (isinstance(T, (int, np.integer)) and T >= 1):
            raise ValueError(f"ILQR: T must be a whole number of steps, at least 1, got {T!r}")
        if iterations < 1:
            raise ValueError(f"ILQR: iterations must be at least 1, got {iterations}")
        numbers = {"tolerance": tolerance, "defect_tolerance": defect_tolerance, "penalty": penalty}
        numbers["constraint_tolerance"] = constraint_tolerance
        for name, value in numbers.items():
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"ILQR: {name} must be a positive number, got {value!r}")
        if cost.T not in (None, T):
            raise ValueError(f"ILQR: the cost is made for {cost.T} knots, the plan has T = {T}: cost.window(0, {T})")
        self.dynamics, self.cost, self.T = dynamics_of(model, dt, integrator), cost, int(T)
        self.dt, self.constraints, self.iterations = self.dynamics.dt, tuple(constraints), iterations
        self.tolerance, self.defect_tolerance = tolerance, defect_tolerance
        self.constraint_tolerance, self.penalty = constraint_tolerance, penalty
        self.u_min, self.u_max, self.difference = (
            self.dynamics.u_min,
            self.dynamics.u_max,
            self.dynamics.sim.difference,
        )
        crossed = self.dynamics.u_min > self.dynamics.u_max
        if crossed.any():
            raise ValueError(
                f"ILQR: u_min is above u_max for input {self.dynamics.sim.u_names[int(crossed.argmax())]!r}"
            )
        for constraint in self.constraints:
            constraint.at(self.T)  # says so if a knot is not there
        self._running = Running(cost, self.T, self.dt)

    def plan(self, x0, guess: Guess = None) -> Plan:
        start = time.perf_counter()
        sim = self.dynamics.sim
        x0 = sim.check_state(x0, "x0")
        if x0.ndim != 1:
            raise ValueError(f"ILQR: x0 must be one state ({sim.nx},), got {x0.shape}")
        x, u = read_guess(guess, self.T, sim.nx, sim.nu, "ILQR")
        search = self._begin(x0, x, self._inside(u))
        if search is None:
            return self._diverged(x0, u, time.perf_counter() - start)
        if self.constraints:
            status, message = descend(self, search)
        else:
            status, message = search.run(self.iterations), ""
        return self._answer(search, status, message, start)

    def _inside(self, u: np.ndarray | None) -> np.ndarray:
        dynamics = self.dynamics
        u = np.zeros((self.T, dynamics.nu)) if u is None else u
        return np.minimum(np.maximum(u, dynamics.u_min), dynamics.u_max)

    def _begin(self, x0: np.ndarray, x: np.ndarray | None, u: np.ndarray) -> Search | None:
        """The Search from a guess, with gaps if it has states; None if it cannot be simulated."""
        dynamics, gap = self.dynamics, None
        if x is not None:
            x[0] = x0
            gap = dynamics.gaps(x, u)
            if not np.isfinite(gap).all():
                x = None
            elif np.abs(gap).max() <= self.defect_tolerance:
                x, gap = None, None  # a rollout, up to rounding: roll it out
        if x is None:
            gap = None
            still = np.zeros((self.T, dynamics.nu, dynamics.ndx))
            law = Law(np.broadcast_to(x0, (self.T + 1, dynamics.nx)).copy(), u, np.zeros_like(u), still)
            x = np.ascontiguousarray(dynamics.rollout(law, np.ones(1))[0][0])
        cost = float(self._running.totals(x[None], u[None])[0])
        if not np.isfinite(cost):
            return None
        return Search(dynamics, self._running, x, u, gap, cost, self.tolerance)

    def _answer(self, search: Search, status: str, message: str, start: float) -> Plan:
        t = self.dt * np.arange(self.T + 1)
        trajectory = Trajectory(t, search.x, search.u)
        defect = float(np.abs(self.dynamics.gaps(search.x, search.u)).max())
        if status == "converged" and not defect <= self.defect_tolerance:
            status = "stalled"
            limit = f"more than {self.defect_tolerance:.3g}"
            message = f"the simulator misses a knot by {defect:.3g}, {limit}, when it repeats the plan"
        broken = violations(self.constraints, trajectory, self.constraint_tolerance)
        return Plan(
            trajectory=trajectory,
            cost=float(self._running.totals(search.x[None], search.u[None])[0]),
            status=status,
            message=message or _sentence(status, search, defect),
            K=search.gains(),
            log=tuple(search.log),
            violations=broken,
            seconds=time.perf_counter() - start,
        )

    def _diverged(self, x0: np.ndarray, u: np.ndarray | None, seconds: float) -> Plan:
        trajectory = Trajectory(np.zeros(1), x0[None], np.empty((0, self.dynamics.nu)))
        message = "the guess runs away when it is simulated: pass other inputs, a shorter T or a smaller dt"
        return Plan(trajectory=trajectory, cost=np.inf, status="diverged", message=message, seconds=seconds)


def _sentence(status: str, search: Search, defect: float) -> str:
    """What happened, and what to do where it is not enough."""
    n, promised = len(search.log), search.step.promised(1.0) if search.step is not None else np.nan
    if status == "converged":
        return f"converged in {n} iterations; the largest defect is {defect:.2g}"
    if status == "iteration_limit":
        return f"stopped after {n} iterations with a decrease of {promised:.3g} still promised: raise iterations"
    return (
        f"no step length decreases the cost after {n} iterations, with regularisation up to {search.mu:.1g} (promised: "
        f"{promised:.3g}): the cost or the dynamics may not be smooth here; try another guess"
    )
