"""Faults on purpose: a planner that goes wrong at random, to see what its MPC makes of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import final

import numpy as np

from controllers.planner import Guess, Plan, Planner
from sims.errors import unknown
from sims.trajectory import Trajectory

FAULTS = (
    "raises",
    "infeasible",
    "nan inputs",
    "nan states",
    "nan gains",
    "wild inputs",
    "wrong shape",
    "no plan",
    "late",
)


@final
class Faulty(Planner):
    """`planner`, but with the probability `rate` a call ends in one of `faults` (FAULTS: all), each as likely.

    late: called for the fault "late", for instance to sleep, or to advance the clock of the MPC. `count` says how often
    each fault was played. Raises ValueError for a fault that does not exist and a rate outside [0, 1].
    """

    def __init__(
        self,
        planner: Planner,
        rng: np.random.Generator,
        *,
        rate: float = 0.3,
        faults: tuple[str, ...] = FAULTS,
        late: Callable[[], object] = lambda: None,
    ):
        for fault in faults:
            if fault not in FAULTS:
                raise unknown("fault", fault, FAULTS)
        if not 0 <= rate <= 1:
            raise ValueError(f"Faulty: the rate must be within [0, 1], got {rate!r}")
        self.planner, self.rng, self.rate, self.faults, self.late = planner, rng, rate, faults, late
        self.u_min, self.u_max, self.difference = planner.u_min, planner.u_max, planner.difference
        self.count = dict.fromkeys(faults, 0)

    def plan(self, x0, guess: Guess = None) -> Plan:
        """The planner's Plan, spoiled now and then; RuntimeError for the fault "raises"."""
        broken = self.rng.random() < self.rate
        fault = self.faults[int(self.rng.integers(len(self.faults)))] if broken else ""
        plan = self.planner.plan(x0, guess)
        if not fault:
            return plan
        self.count[fault] += 1
        if fault == "late":
            self.late()
            return plan
        if fault == "raises":
            raise RuntimeError("the solver failed, on purpose")
        return _spoiled(plan, fault)


def _spoiled(plan: Plan, fault: str) -> Plan:
    run = plan.trajectory
    x, u, K = run.x.copy(), run.u.copy(), plan.K
    if fault == "infeasible":
        return replace(plan, status="infeasible", message="no inputs meet all constraints, on purpose")
    if fault == "no plan":
        return None  # type: ignore[return-value] (what a planner must not do, and may do)
    if fault == "wrong shape":
        return replace(plan, trajectory=Trajectory(run.t[:1], x[:1], u[:0]), K=None)
    if fault == "wild inputs":
        return replace(plan, trajectory=Trajectory(run.t, x, 1e6 * (u + 1.0)))
    spoil = {"nan inputs": u, "nan states": x}.get(fault)
    if spoil is None:
        K = np.full((*u.shape, x.shape[1]), np.nan)
    else:
        spoil[len(spoil) // 2] = np.nan
    return replace(plan, trajectory=Trajectory(run.t, x, u), K=K)
