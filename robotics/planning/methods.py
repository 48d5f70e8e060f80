"""Planners for a planning problem, and the guesses they begin with: method(problem, seed) -> (planner, guess)."""

from collections.abc import Callable

import numpy as np

from controllers.planner import Guess, Planner
from robotics.planning.problem import PlanningProblem

Method = Callable[[PlanningProblem, int], tuple[Planner, Guess]]


def ilqr(*, u=0.0, spread: float = 1.0) -> Method:
    """ILQR with the goal as a constraint; guess: inputs u (nu,) plus `spread` times standard normal numbers."""

    def method(problem: PlanningProblem, seed: int) -> tuple[Planner, Guess]:
        from controllers import ILQR
        from controllers.constraint import goal_state

        goal = goal_state(problem.x_goal)
        constraints = (*problem.constraints, goal)
        planner = ILQR(problem.system, problem.cost, problem.T, dt=problem.dt, constraints=constraints)
        noise = np.random.default_rng(seed).normal(size=(problem.T, problem.system.nu))
        return planner, u + spread * noise

    return method


def collocation(*, knots: int = 51, guess: Callable[[PlanningProblem], Guess] | None = None, **limits) -> Method:
    """Collocation to x_goal (or `x_goal`, with NaN where free); seed: of the starts that follow one that failed.

    limits: x_goal, x_min, x_max, constraints, scheme of `collocation.Problem`, instead of the problem's.
    """

    def method(problem: PlanningProblem, seed: int) -> tuple[Planner, Guess]:
        from controllers.collocation import Collocation, Options, Problem

        given = {"x_goal": problem.x_goal, "constraints": problem.constraints, **limits}
        posed = Problem(system=problem.system, cost=problem.cost, duration=problem.duration, knots=knots, **given)
        planner = Collocation(posed, Options(seed=seed, refinements=2))
        return planner, None if guess is None else guess(problem)

    return method
