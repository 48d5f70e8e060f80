"""What a geometric planner returns: a chain of straight motions, or why there is none."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf, nan
from time import perf_counter

import numpy as np

from controllers.search.space import FreeSpace, Space


@dataclass(frozen=True, kw_only=True, eq=False)
class Path:
    """Waypoints q (N, n) joined by the straight motions of a space; empty if none was found.

    cost: its length in the space's metric, inf without one. status: "converged", "iteration_limit" or "infeasible";
    message: one sentence. nodes (M, n) and parents (M,) are the tree or roadmap that was grown, for a plot (parents -1
    at a root); log: (iteration, cost) each time a shorter path was found; seconds: wall time.
    """

    space: Space
    q: np.ndarray
    cost: float = inf
    status: str = "converged"
    message: str = ""
    nodes: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    parents: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))
    iterations: int = 0
    log: tuple[tuple[int, float], ...] = ()
    seconds: float = nan

    @property
    def ok(self) -> bool:
        """Whether there is a path."""
        return self.status == "converged"

    def at(self, s) -> np.ndarray:
        """The configurations (..., n) at the shares s (...) of the length, 0 at the start, 1 at the goal."""
        if not len(self.q):
            raise ValueError(f"there is no path: {self.message}")
        if len(self.q) == 1:
            return np.broadcast_to(self.q[0], (*np.shape(s), self.space.n)).copy()
        d = self.space.difference(self.q[:-1], self.q[1:])
        length = np.linalg.norm(self.space.weights * d, axis=-1)
        reached = np.append(0.0, np.cumsum(length))
        along = np.clip(np.asarray(s, float), 0.0, 1.0) * reached[-1]
        i = np.clip(np.searchsorted(reached, along, side="right") - 1, 0, len(d) - 1)
        share = np.clip((along - reached[i]) / np.where(length[i] > 0, length[i], 1.0), 0.0, 1.0)
        return self.space.integrate(self.q[i], share[..., None] * d[i])

    def samples(self, spacing: float) -> np.ndarray:
        """Configurations (M, n) along the path, at most `spacing` apart, the ends among them."""
        return self.at(np.linspace(0.0, 1.0, max(2, int(np.ceil(self.cost / spacing)) + 1)))


def length(space: Space, q) -> float:
    """The length of the chain of waypoints q (N, n) in the space's metric."""
    return float(space.distance(q[:-1], q[1:]).sum())


def positive(who: str, **values: float) -> None:
    """Raise ValueError, beginning with `who`, for the first of the values that is not a positive finite number."""
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{who}: {name} must be positive, got {value!r}")


def answer(search: Callable[[], Path], free: FreeSpace, **points) -> Path:
    """What search() finds, timed; or at once an infeasible Path if one of the named points (n,) cannot be used."""
    begin = perf_counter()
    for name, q in points.items():
        reason = free.problem(q, name)
        if reason:
            return Path(space=free.space, q=np.empty((0, free.space.n)), status="infeasible", message=reason)
    return replace(search(), seconds=perf_counter() - begin)


def failed(free: FreeSpace, goal, nodes, parents, iterations: int, what: str) -> Path:
    """A Path that was not found within the iterations, with a sentence on how near the search came."""
    gap = float(free.space.distance(nodes, goal).min())
    message = (
        f"{what}: no path in {iterations} iterations; {len(nodes)} configurations reached, the nearest {gap:.3g} from "
        "the goal: allow more, or the goal cannot be reached (sampling cannot prove that)"
    )
    return Path(
        space=free.space,
        q=np.empty((0, free.space.n)),
        status="iteration_limit",
        message=message,
        nodes=nodes,
        parents=parents,
        iterations=iterations,
    )
