"""A collocation problem with one of its labelled limits changed."""

from dataclasses import replace
from typing import Any

import numpy as np

from controllers.collocation.phases import Hybrid
from controllers.collocation.problem import Problem
from controllers.constraint import Constraint, state_box
from controllers.explain.report import Relaxation
from controllers.tangent import lift
from sims.errors import unknown
from sims.system import System, stack


class WithLimits(System):
    """A plant with other input limits low, high (nu,): all the rest is `plant`'s."""

    def __init__(self, plant: System, low: np.ndarray, high: np.ndarray):
        self.plant, self.low, self.high = plant, low, high
        self.nx, self.nu, self.nq, self.nv = plant.nx, plant.nu, plant.nq, plant.nv
        self.x_names, self.u_names = plant.x_names, plant.u_names

    @property
    def ndx(self) -> int:
        return self.plant.ndx

    @property
    def u_min(self) -> np.ndarray:
        return self.low

    @property
    def u_max(self) -> np.ndarray:
        return self.high

    def f(self, x, u) -> Any:
        return self.plant.f(x, u)

    def difference(self, x, y) -> Any:
        return self.plant.difference(x, y)

    def integrate(self, x, dx) -> Any:
        return self.plant.integrate(x, dx)

    def normalize(self, x) -> Any:
        return self.plant.normalize(x)

    def acceleration(self, x, u, dt: float) -> Any:
        return self.plant.acceleration(x, u, dt)


def relaxed_problem(problem: Problem | Hybrid, change: Relaxation) -> Problem | Hybrid:
    """The problem with the bounds of one label changed; ValueError for a label that it has not.

    A goal that gives way becomes a box at the last knot, an input limit a plant with other limits.
    """
    phases = problem.phases if isinstance(problem, Hybrid) else (problem,)
    changed = [_phase(phase, change) for phase in phases]
    if all(new is old for new, old in zip(changed, phases, strict=True)):
        raise unknown("label of the problem", change.label, {label for phase in phases for label in _labels(phase)})
    return replace(problem, phases=tuple(changed)) if isinstance(problem, Hybrid) else changed[0]


def _phase(phase: Problem, change: Relaxation) -> Problem:
    system, label = phase.system, change.label
    if any(phase.named(c.label) == label for c in phase.constraints):
        phase = replace(phase, constraints=tuple(_constraint(c, phase, change) for c in phase.constraints))
    for i, name in enumerate(system.u_names):
        if label == phase.named(f"input limit {name}"):
            phase = replace(phase, system=WithLimits(system, *_one(i, system.u_min, system.u_max, change)))
    for i, name in enumerate(system.x_names):
        if label == phase.named(f"state limit {name}"):
            low = np.full(system.nx, -np.inf) if phase.x_min is None else phase.x_min
            high = np.full(system.nx, np.inf) if phase.x_max is None else phase.x_max
            low, high = _one(i, low, high, change)
            phase = replace(phase, x_min=low, x_max=high)
        if label == phase.named(f"goal {name}") and phase.x_goal is not None and np.isfinite(phase.x_goal[i]):
            phase = _goal(phase, i, change)
    if label == phase.named("goal") and phase.x_goal is not None:
        phase = replace(phase, x_goal=None, constraints=(*phase.constraints, _near(system, phase.x_goal, change)))
    if label == phase.named("duration"):
        low, high = (float(end) for end in change.widened(*phase.time_limits))
        phase = replace(phase, duration=high if low == high else (max(low, 0.0), high))
    return phase


def _goal(phase: Problem, i: int, change: Relaxation) -> Problem:
    """The goal of one state as a box at the last knot."""
    low, high = change.widened([phase.x_goal[i]], [phase.x_goal[i]])
    near = state_box(low, high, label=f"goal {phase.system.x_names[i]}", components=[i], knots="final")
    goal = phase.x_goal.copy()
    goal[i] = np.nan
    return replace(phase, x_goal=goal, constraints=(*phase.constraints, near))


def _constraint(constraint: Constraint, phase: Problem, change: Relaxation) -> Constraint:
    if phase.named(constraint.label) != change.label:
        return constraint
    lower, upper = change.widened(constraint.lower, constraint.upper)
    return replace(constraint, lower=lower, upper=upper)


def _near(system: System, goal: np.ndarray, change: Relaxation) -> Constraint:
    """|E'(x - goal)| <= amount at the last knot, E the tangent directions at the goal."""
    E = lift(system.integrate, goal, system.ndx)
    assert E is not None
    bound = np.full(system.ndx, change.amount)

    def g(x, u):
        return stack([sum(E[i, j] * (x[..., i] - goal[i]) for i in range(system.nx)) for j in range(system.ndx)])

    return Constraint("goal", g, -bound, bound, "final", "", "x")


def _one(i: int, low: np.ndarray, high: np.ndarray, change: Relaxation) -> tuple[np.ndarray, np.ndarray]:
    low, high = low.copy(), high.copy()
    low[i], high[i] = change.widened(low[i], high[i])
    return low, high


def _labels(phase: Problem) -> list[str]:
    limits = [
        f"{what} limit {name}"
        for what, names in (("input", phase.system.u_names), ("state", phase.system.x_names))
        for name in names
    ]
    goals = [f"goal {name}" for name in phase.system.x_names]
    return [phase.named(label) for label in (*limits, *goals, "duration", *(c.label for c in phase.constraints))]
