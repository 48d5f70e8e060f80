"""A cost summed along rollouts, and its expansion at all knots: recorded by dl where it can be."""

from collections.abc import Callable
from typing import Any

import numpy as np

import dl
from controllers.cost import Cost, Expansion


class Traced:
    """fn, recorded by dl.jit and replayed in C; called as it is if it does what dl cannot follow."""

    def __init__(self, fn: Callable):
        self.fn, self._recorded = fn, dl.jit(fn)
        self.follows = True

    def __call__(self, *arrays) -> Any:
        if self.follows:
            try:
                return self._recorded(*arrays)
            except TypeError:  # it wants the numbers themselves: branches, SciPy, a recording of its own
                self.follows = False
        with np.errstate(over="ignore", invalid="ignore"):  # what runs away has no finite cost, and is not taken
            return self.fn(*arrays)


class Running:
    """sum_k h stage(x[k], u[k]) + terminal(x[T]) of a cost that does not change while the planner lives."""

    def __init__(self, cost: Cost, T: int, dt: float):
        self.cost, self.h = cost, np.full(T, dt)
        self._totals, self._expand = Traced(self._sum), Traced(self._expansions)

    def totals(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """The costs (n,) of runs x (n, T+1, nx), u (n, T, nu); infinite where one is not finite."""
        found = np.asarray(self._totals(x, u))
        return np.where(np.isnan(found), np.inf, found)

    def expand(self, x: np.ndarray, u: np.ndarray) -> tuple[Expansion, Expansion]:
        """Expansions of stage at the knots of x (T+1, nx), u (T, nu), per second, and of terminal."""
        stage, end = self._expand(x, u)
        end = [None if block is None else np.ascontiguousarray(block) for block in end]
        return Expansion(*map(dense, stage)), Expansion(*end)

    def _sum(self, x, u):
        stage = self.cost.stage(x[:, :-1], u)
        return (stage * self.h).sum(-1) + self.cost.terminal(x[:, -1])

    def _expansions(self, x, u):
        stage, end = self.cost.expand(x[:-1], u), self.cost.expand_terminal(x[-1])
        return tuple(stage), tuple(end)


def dense(block):
    """block with the entries of each knot in order; one that repeats the same matrix stays so."""
    if block.ndim < 2 or block[0].flags.c_contiguous:
        return block
    if block.strides[0] == 0:
        return np.broadcast_to(np.ascontiguousarray(block[0]), block.shape)
    return np.ascontiguousarray(block)
