"""Collocation as a planner."""

from dataclasses import replace

import numpy as np

from controllers.collocation.phases import Hybrid
from controllers.collocation.problem import Problem
from controllers.collocation.solve import Options, Solution, Solver
from controllers.collocation.transcribe import Transcription
from controllers.planner import Guess, Plan, Planner


class Collocation(Planner):
    """Direct collocation or multiple shooting of closed-form plants with CasADi and IPOPT, exact sparse derivatives.

    The program is built when the planner is made and used again for every start. A Plan of its own as guess is a warm
    start with the multipliers of the last solve. `rows` and `transcription.bounds` carry the labels. Not for several
    threads at a time. Raises MissingDependency without CasADi, ValueError for functions symbols do not pass through.
    Source: Betts, Practical Methods for Optimal Control, 2010; Kelly, SIAM Review 59(4), 2017.
    """

    def __init__(self, problem: Problem | Hybrid, options: Options | None = None):
        self.problem, self.options = problem, options or Options()
        self.transcription = Transcription(problem)
        self._solver = Solver(self.transcription, self.options)
        self._finer: Collocation | None = None
        self._last: tuple[Plan, Solution] | None = None

    @property
    def rows(self) -> tuple[tuple[str, int], ...]:
        """(label, knot) of every row of the program's g; knots count over all phases."""
        return self.transcription.rows

    def plan(self, x0, guess: Guess | Solution | tuple = None) -> Plan:
        """The Plan from x0 (nx,), NaN where free, None for all free.

        guess: a Trajectory of any length, or one a phase, inputs (T, nu), a Plan, a Solution, or None for straight
        lines. cost is the scheme's quadrature. status is judged by the answer: violations, stationarity, and the plant
        simulated again between knots. Raises ValueError for a wrong shape or a value that is not finite.
        """
        solution = self.solve(x0, guess)
        plan = solution.plan(self.options.pieces)
        self._last = plan, solution
        return plan

    def solve(self, x0, guess: Guess | Solution | tuple = None) -> Solution:
        """The same, with knots, multipliers and defects: a Solution."""
        if x0 is not None:
            system = self.transcription.hybrid.phases[0].system
            x0 = np.asarray(x0, float)
            if x0.shape != (system.nx,) or np.isinf(x0).any():
                names = ", ".join(system.x_names)
                raise ValueError(f"collocation: x0 must be ({system.nx},) finite numbers = ({names}), got {x0!r:.120}")
        if self._last is not None and guess is self._last[0] and len(self._last[1].z) == self.transcription.nlp.size:
            guess = self._last[1]
        solution = self._solver.solve(x0, guess)
        if self.options.refinements and solution.feasible and not solution.defect <= self.options.defect:
            return self._refine(x0, solution)
        return solution

    def _refine(self, x0, coarse: Solution) -> Solution:
        """The same problem with twice the intervals, from the solution of the coarse one."""
        if self._finer is None:
            options = replace(self.options, refinements=self.options.refinements - 1, starts=1, retries=0)
            self._finer = Collocation(finer(self.problem), options)
        solution = self._finer.solve(x0, coarse.trajectories(self.options.pieces))
        return replace(solution, log=coarse.log + solution.log, seconds=coarse.seconds + solution.seconds)


def finer(problem: Problem | Hybrid) -> Problem | Hybrid:
    """The problem with every interval halved; constraints stay at their times."""
    if isinstance(problem, Hybrid):
        return replace(problem, phases=tuple(finer(phase) for phase in problem.phases))
    constraints = [
        c if isinstance(c.knots, str) else replace(c, knots=tuple(2 * k if k >= 0 else 2 * k + 1 for k in c.knots))
        for c in problem.constraints
    ]
    return replace(problem, knots=2 * problem.intervals + 1, constraints=tuple(constraints))
