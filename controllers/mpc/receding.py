"""Any planner in the loop: plan, play, plan again; and what is played when a solve goes wrong."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple, final

import numpy as np

from controllers.base import Controller, Difference, Policy
from controllers.mpc.summary import Solve, Summary, summarise
from controllers.planner import Plan, Planner
from controllers.tangent import subtract
from sims.trajectory import Trajectory

COLD = 10  # so many solves in a row gone wrong, and the next one gets no guess: it may be what is wrong


class _Adopted(NamedTuple):
    """A plan that may be played: it begins at `start` [s]; times (list) are its knots on the plant's clock."""

    plan: Plan
    start: float
    times: list[float]


@final
class MPC(Controller):
    """u = controller(x, t): every `period` [s] planner.plan(x, the last plan shifted to t), and its inputs in between,

    u = u[k] - K[k] (x [-] x[k]) where the plan has gains (x[k] interpolated between knots). Every solve ends as
    - ok: its plan is played from now on;
    - fallback: it raised, its plan has a status not in `accept`, something that is not finite, or inputs beyond the
      planner's own limits, it took longer than `budget` [s], or the measurement was not finite: the last plan's tail
      is played with its gains (without them where there is no measurement). A plan that was only late takes over from
      the next call on;
    - failed: the same, but nothing is left of the last plan: `safe` is played, an input (nu,) or a policy (x, t) -> u
      (called with the last finite measurement), zero if None.
    Every command is finite and clipped to [u_min, u_max] (nu,), the planner's own limits if None; without any limits
    pass infinite ones. period: the step of the plan if None; 0 plans at every call. difference(x_plan, x) -> dx
    (ndx,): the planner's if None. clock: what measures the budget. `summary` counts, `log` has a row a solve, both
    since the last reset; time that runs backward is one. One MPC drives one plant: x is (nx,). Raises ValueError for
    limits the wrong way round, a bad safe input, and x of a wrong shape. Source: Rawlings, Mayne and Diehl, Model
    Predictive Control, 2nd ed., chapter 1; the shifted tail as feasible fallback: section 2.4.
    """

    def __init__(
        self,
        planner: Planner,
        *,
        u_min=None,
        u_max=None,
        period: float | None = None,
        budget: float = np.inf,
        safe: np.ndarray | Policy | None = None,
        difference: Difference | None = None,
        accept: tuple[str, ...] = ("converged", "iteration_limit", "stalled"),
        clock: Callable[[], float] = perf_counter,
    ):
        u_min, u_max = planner.u_min if u_min is None else u_min, planner.u_max if u_max is None else u_max
        if u_min is None or u_max is None:
            raise ValueError(
                f"MPC: {type(planner).__name__} does not say its input limits: pass u_min and u_max (nu,), as "
                "sim.u_min and sim.u_max; infinite where there are none"
            )
        self.planner, self.period, self.budget = planner, period, float(budget)
        self.u_min, self.u_max = np.atleast_1d(np.array(u_min, float)), np.atleast_1d(np.array(u_max, float))
        if self.u_min.shape != self.u_max.shape or not (self.u_min <= self.u_max).all():
            raise ValueError(f"MPC: want u_min <= u_max, both (nu,), got {self.u_min} and {self.u_max}")
        if (period is not None and not (np.isfinite(period) and period >= 0)) or not self.budget > 0:
            raise ValueError(f"MPC: want period >= 0 and budget > 0 [s], got {period!r} and {budget!r}")
        self.difference = difference or planner.difference or subtract
        self.accept, self.clock = accept, clock
        self._room = (
            None if planner.u_min is None or planner.u_max is None else _with_margin(planner.u_min, planner.u_max)
        )
        self._zero = np.clip(np.zeros(len(self.u_min)), self.u_min, self.u_max)
        self._safe = self._checked_safe(safe)
        self.reset()

    def reset(self) -> None:
        """Forget the plan, the log and the summary."""
        self.log: list[Solve] = []
        self._adopted: _Adopted | None = None
        self._next, self._last, self._wrong, self._saturated, self._unsafe = -np.inf, -np.inf, 0, 0, 0
        self._x: np.ndarray | None = None

    @property
    def summary(self) -> Summary:
        """How the solves since the last reset ended."""
        return summarise(self.log, self._saturated, self._unsafe)

    @property
    def current(self) -> Plan | None:
        """The plan that is played; None before the first."""
        return None if self._adopted is None else self._adopted.plan

    def __call__(self, x, t: float) -> np.ndarray:
        x = np.asarray(x, float)
        if x.ndim != 1 or (self._x is not None and x.shape != self._x.shape):
            raise ValueError(f"MPC drives one plant: x must be one state (nx,), got {x.shape}")
        if t < self._last - 1e-9:  # another run began
            self.reset()
        self._last = t
        measured = bool(np.isfinite(x).all())
        if measured:
            self._x = x.copy()
        waiting = None
        if t >= self._next:
            waiting = self._replan(x if measured else None, t)
        u = self._play(x if measured else None, t)
        if waiting is not None:
            self._adopted = waiting
        return self._guard(u, t)

    def _replan(self, x: np.ndarray | None, t: float) -> _Adopted | None:
        """Solve, log, adopt what is good; returns what is good but came too late for this call."""
        start, plan, fine, reason = self.clock(), None, False, ""
        if x is None:
            reason = "measurement not finite"
        else:
            try:
                plan = self.planner.plan(x, self._guess(t))
                reason = self._objection(plan, x)
                fine = not reason
            except Exception as error:  # whatever a planner does, the plant gets a command
                reason = f"{type(error).__name__}: {error}"
        seconds = self.clock() - start
        late = seconds > self.budget
        adopted = self._adopt(plan, t) if fine and plan is not None else None
        self._wrong = 0 if fine else self._wrong + (x is not None)
        if adopted is not None and not late:
            self._adopted, outcome = adopted, "ok"
        else:
            outcome = "fallback" if self._covers(t) else "failed"
            reason = reason or f"late: the budget is {self.budget:.3g} s"
        cost, status = (plan.cost, plan.status) if fine and plan is not None else (np.nan, "")
        self.log.append(Solve(t, outcome, reason, seconds, cost, status, late))
        self._next = t + (self._step() if self.period is None else self.period) * (1 - 1e-6)
        return adopted if late else None

    def _guess(self, t: float) -> Plan | None:
        if self._adopted is None or self._wrong >= COLD:
            return None
        return shifted(self._adopted.plan, self._adopted.start, t, self.difference)

    def _objection(self, plan: Plan, x: np.ndarray) -> str:
        """Why a plan must not be played; empty if it may."""
        if plan.status not in self.accept:
            return f"{plan.status}: {plan.message}"
        run, nu = plan.trajectory, len(self.u_min)
        T = len(run.u)
        if T < 1 or run.u.shape != (T, nu) or run.x.shape != (T + 1, len(x)):
            return f"the plan's shapes are wrong: x {run.x.shape}, u {run.u.shape}"
        if not (np.isfinite(run.u).all() and np.isfinite(run.x).all() and np.isfinite(run.t).all()):
            return "the plan is not finite"
        if self._room is not None and not ((self._room[0] <= run.u) & (run.u <= self._room[1])).all():
            return "the plan's inputs are outside the planner's own limits"
        known = (
            self._adopted is not None and self._adopted.plan.K is plan.K
        )  # read-only gains that stay: checked before
        if plan.K is not None and not known and (plan.K.shape[:2] != run.u.shape or not np.isfinite(plan.K).all()):
            return "the plan's gains are not finite or of a wrong shape"
        return ""

    def _adopt(self, plan: Plan, t: float) -> _Adopted:
        times = plan.trajectory.t + (t - plan.trajectory.t[0])
        return _Adopted(plan, t, times.tolist())

    def _step(self) -> float:
        if self._adopted is None:
            return 0.0
        return self._adopted.times[1] - self._adopted.times[0]

    def _covers(self, t: float) -> bool:
        return self._adopted is not None and t < self._adopted.times[-1] - 1e-9

    def _play(self, x: np.ndarray | None, t: float):
        """The input of the plan at t, corrected by its gains; the safe input after its end."""
        if self._adopted is None or not self._covers(t):
            return None
        plan, _, times = self._adopted
        h = times[1] - times[0]
        k = min(max(bisect_right(times, t + 1e-6 * h) - 1, 0), len(plan.trajectory.u) - 1)
        u = plan.trajectory.u[k]
        if plan.K is None or x is None:
            return u
        at, share = plan.trajectory.x, (t - times[k]) / (times[k + 1] - times[k])
        dx = self.difference(at[k], x)
        if share > 1e-6:
            dx = dx - share * self.difference(at[k], at[k + 1])
        return u - plan.K[k] @ dx

    def _guard(self, u, t: float) -> np.ndarray:
        """u if it is finite, else the safe input; clipped."""
        if u is None or not np.isfinite(u).all():
            self._unsafe += 1
            u = self._safe_input(t)
        command = np.minimum(np.maximum(u, self.u_min), self.u_max)
        self._saturated += bool((command != u).any())
        return command

    def _safe_input(self, t: float) -> np.ndarray:
        if not callable(self._safe):
            return self._safe
        try:
            u = np.asarray(self._safe(self._x, t), float) if self._x is not None else self._zero
        except Exception:  # as for the planner
            return self._zero
        return u if u.shape == self._zero.shape and np.isfinite(u).all() else self._zero

    def _checked_safe(self, safe):
        if safe is None:
            return self._zero
        if callable(safe):
            return safe
        u = np.atleast_1d(np.array(safe, float))
        if u.shape != self.u_min.shape or not ((self.u_min <= u) & (u <= self.u_max)).all():
            raise ValueError(f"MPC: the safe input must be {self.u_min.shape} within the limits, got {u.tolist()}")
        return u


def _with_margin(u_min, u_max) -> tuple[np.ndarray, np.ndarray]:
    """The limits moved apart by a thousandth: solvers keep them to a tolerance."""
    u_min, u_max = np.asarray(u_min, float), np.asarray(u_max, float)
    margin = 1e-3 * np.maximum(1.0, np.minimum(np.abs(u_min), np.abs(u_max)))
    margin[~np.isfinite(margin)] = 1.0
    return u_min - margin, u_max + margin


def shifted(plan: Plan, start: float, t: float, difference: Difference = subtract) -> Plan:
    """The plan that began at `start` [s] as one that begins at t: a guess on the same grid, its end held.

    Inputs and gains are those of the nearest knot; states are interpolated in a flat space, and those of the nearest
    knot on a manifold (where difference(x, x) has not nx components).
    """
    run = plan.trajectory
    grid = run.t - run.t[0]
    T = len(run.u)
    h = grid[-1] / T
    steps = (t - start) / h
    whole = int(steps + 0.5)
    x_at = np.minimum(np.arange(T + 1) + whole, T)
    x, share = run.x[x_at], steps - whole
    if abs(share) > 1e-6 and np.shape(difference(run.x[0], run.x[0]))[-1] == run.x.shape[-1]:
        beside = np.clip(x_at + (1 if share > 0 else -1), 0, T)
        x = x + abs(share) * (run.x[beside] - x)
    u_at = np.minimum(x_at[:-1], T - 1)
    return replace(plan, trajectory=Trajectory(t + grid, x, run.u[u_at]), K=None if plan.K is None else plan.K[u_at])
