"""Constraints on states and inputs by an augmented Lagrangian: multipliers and a penalty added to the cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from controllers.constraint import Constraint
from controllers.cost import Expansion
from controllers.ilqr.costs import Running
from controllers.ilqr.dynamics import Dynamics

if TYPE_CHECKING:
    from controllers.ilqr.planner import ILQR
    from controllers.ilqr.search import Search

STEEPER, STEEPEST = 10.0, 1e9  # growth of the penalty, and where it is given up
ENOUGH = 0.25  # a violation that shrank to this share needs no steeper penalty
ROUNDS, INNER = 40, 100  # of multipliers; iterations in one of them
LOOSE = 1e-3  # tolerance of the first round, each later one has a tenth, down to the planner's


class Augmented:
    """The cost plus rho / 2 |g + y / rho - its projection on [lower, upper]|^2 for every constraint, at its knots.

    y has the size of g at the knots. rho belongs to all constraints. The expansion is Gauss-Newton: second derivatives
    of g are left out. Source: Rockafellar, "The multiplier method of Hestenes and Powell applied to convex
    programming", 1973; Howell, Jackson, Manchester, "ALTRO", IROS 2019, section II.
    """

    def __init__(self, running: Running, constraints: Sequence[Constraint], dynamics: Dynamics, penalty: float):
        self.running, self.h, self.constraints = running, running.h, tuple(constraints)
        self.dynamics, self.rho = dynamics, penalty
        self.T = len(running.h)
        self.knots = [c.at(self.T) for c in self.constraints]
        self.y = [np.zeros((len(k), c.m)) for k, c in zip(self.knots, self.constraints, strict=True)]

    def totals(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """The costs (n,) of runs x (n, T+1, nx), u (n, T, nu), penalties included."""
        total = self.running.totals(x, u)
        with np.errstate(over="ignore", invalid="ignore"):
            for c, knots, y in zip(self.constraints, self.knots, self.y, strict=True):
                g = c.value(x[:, knots], u[:, np.minimum(knots, self.T - 1)])
                total = total + 0.5 * self.rho * np.square(self._outside(c, g, y)).sum(axis=(-2, -1))
        return np.where(np.isnan(total), np.inf, total)

    def expand(self, x: np.ndarray, u: np.ndarray) -> tuple[Expansion, Expansion]:
        """Expansions as those of Running, penalties included."""
        stage, end = self.running.expand(x, u)
        stage, end = (
            Expansion(*(None if b is None else np.array(b, order="C") for b in part)) for part in (stage, end)
        )
        sim = self.dynamics.sim
        for c, knots, y in zip(self.constraints, self.knots, self.y, strict=True):
            at_u = c.inputs(u, knots)
            g, gx, gu = c.jacobian(x[knots], at_u, sim.integrate, sim.ndx)
            force = self.rho * self._outside(c, g, y)
            weight = self.rho * ((force != 0) | c.equality)
            last = knots == self.T
            self._add(stage, knots[~last], force[~last], weight[~last], gx[~last], gu[~last])
            for f, w, G in zip(force[last], weight[last], gx[last], strict=True):
                end.lx[:] += G.T @ f
                end.lxx[:] += G.T @ (w[:, None] * G)
        return stage, end

    def worst(self, x: np.ndarray, u: np.ndarray) -> float:
        """The largest violation of x (T+1, nx), u (T, nu)."""
        pairs = zip(self.constraints, self.knots, strict=True)
        return max(float(c.violation(x, u, knots).max(initial=0.0)) for c, knots in pairs)

    def update(self, x: np.ndarray, u: np.ndarray) -> None:
        """Multipliers of the next round: what the penalty pulls with now."""
        for i, (c, knots) in enumerate(zip(self.constraints, self.knots, strict=True)):
            g = c.value(x[knots], c.inputs(u, knots))
            self.y[i] = self.rho * self._outside(c, g, self.y[i])

    def _outside(self, c: Constraint, g: np.ndarray, y: np.ndarray) -> np.ndarray:
        shifted = g + y / self.rho
        return shifted - np.minimum(np.maximum(shifted, c.lower), c.upper)

    def _add(self, stage: Expansion, knots, force, weight, gx, gu) -> None:
        h = self.h[knots]  # the sum multiplies a stage by h, and a constraint has none
        stage.lx[knots] += np.einsum("kmi,km->ki", gx, force) / h[:, None]
        stage.lu[knots] += np.einsum("kmi,km->ki", gu, force) / h[:, None]
        h = h[:, None, None]
        stage.lxx[knots] += np.einsum("kmi,km,kmj->kij", gx, weight, gx) / h
        stage.lux[knots] += np.einsum("kmi,km,kmj->kij", gu, weight, gx) / h
        stage.luu[knots] += np.einsum("kmi,km,kmj->kij", gu, weight, gu) / h


def descend(planner: ILQR, search: Search) -> tuple[str, str]:
    """Rounds of Search with new multipliers until the constraints hold: status and message ("" for the usual one)."""
    lagrangian = Augmented(planner._running, planner.constraints, planner.dynamics, planner.penalty)
    search.running = lagrangian
    before = np.inf
    status = "iteration_limit"
    worst = np.inf
    for i in range(ROUNDS):
        left = planner.iterations - len(search.log)
        if left <= 0:
            return "iteration_limit", f"stopped after {len(search.log)} iterations: raise iterations"
        search.restart(lagrangian.worst(search.x, search.u))
        search.tolerance = max(planner.tolerance, LOOSE * 0.1**i)
        status = search.run(min(left, INNER))
        worst = lagrangian.worst(search.x, search.u)
        if worst <= planner.constraint_tolerance and status == "converged" and search.tolerance == planner.tolerance:
            return status, ""
        lagrangian.update(search.x, search.u)
        if worst > max(ENOUGH * before, planner.constraint_tolerance):
            lagrangian.rho *= STEEPER
        before = worst
        if lagrangian.rho > STEEPEST:
            break
    if worst <= planner.constraint_tolerance:
        return status, ""
    return "infeasible", (
        f"the constraints stay violated by {worst:.3g} with a penalty of {lagrangian.rho:.0e}: no trajectory near this "
        "guess keeps them; try another guess, a longer horizon, or see violations for the labels"
    )
