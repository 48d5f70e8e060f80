"""Probabilistic roadmaps: a graph over the free space, built once, asked often."""

from dataclasses import dataclass
from math import inf

import numpy as np

from controllers.search.path import Path, answer, length, positive
from controllers.search.rrt_star import connection_radius
from controllers.search.space import FreeSpace
from controllers.search.tree import Tree

CHUNK = 20_000  # motions tested in one array operation


@dataclass(frozen=True, eq=False)
class Roadmap:
    """Configurations q (M, n) of the free space and the free motions between those within `radius` of each other.

    edges (E, 2): indices into q; lengths (E,) in the space's metric. What `prm` returns.
    """

    free: FreeSpace
    q: np.ndarray
    edges: np.ndarray
    lengths: np.ndarray
    radius: float

    def path(self, start, goal) -> Path:
        """The shortest path from start to goal (n,) along the roadmap; status "infeasible" if they are not joined.

        start and goal are joined to every node within the radius, or, where there is none, to the ten nearest.
        """
        start, goal = np.asarray(start, float), np.asarray(goal, float)
        return answer(lambda: self._search(start, goal), self.free, start=start, goal=goal)

    def _search(self, start, goal) -> Path:
        space, M = self.free.space, len(self.q)
        q = np.concatenate([self.q, start[None], goal[None]])
        edges, lengths = [self.edges], [self.lengths]
        for end, others in ((M, M), (M + 1, M + 1)):  # the goal may be joined to the start
            gap = space.distance(q[:others], q[end])
            near = np.flatnonzero(gap <= self.radius)
            near = near if len(near) else np.argsort(gap, kind="stable")[:10]
            if end == M + 1 and M not in near:
                near = np.append(near, M)
            near = near[self.free.clear(q[near], np.broadcast_to(q[end], q[near].shape))]
            edges.append(np.column_stack([near, np.full(len(near), end)]))
            lengths.append(gap[near])
        cost, indices = shortest(len(q), np.concatenate(edges), np.concatenate(lengths), M, M + 1)
        if not indices:
            message = (
                f"start and goal are not joined on this roadmap of {M} configurations and {len(self.edges)} motions: "
                "ask prm for more, or the goal cannot be reached (sampling cannot prove that)"
            )
            return Path(space=space, q=np.empty((0, space.n)), status="infeasible", message=message)
        found = q[indices]
        return Path(
            space=space, q=found, cost=length(space, found), message=f"{len(found) - 1} motions, length {cost:.4g}"
        )


def prm(free: FreeSpace, *, count: int = 1000, seed: int = 0, radius: float | None = None, scale: float = 1.1):
    """A Roadmap of `count` random configurations; with radius None, PRM*, whose paths converge to the shortest.

    Configurations are drawn until `count` are free, or 100 `count` were drawn. radius: in the space's metric; scale
    times `connection_radius` if None. Source: Kavraki, Svestka, Latombe and Overmars, 1996; Karaman and Frazzoli, 2011.
    """
    positive("prm", count=count, scale=scale, radius=1.0 if radius is None else radius)
    rng, space = np.random.default_rng(seed), free.space
    kept, drawn = np.empty((0, space.n)), 0
    while len(kept) < count and drawn < 100 * count:
        q = space.sample(rng, count)
        kept, drawn = np.concatenate([kept, q[free.valid(q)]]), drawn + count
    q = kept[:count]
    radius = scale * connection_radius(space, max(len(q), 2)) if radius is None else radius
    pairs = _pairs(free, q, radius)
    clear = [free.clear(q[part[:, 0]], q[part[:, 1]]) for part in np.split(pairs, range(CHUNK, len(pairs), CHUNK))]
    edges = pairs[np.concatenate(clear)]
    return Roadmap(free, q, edges, space.distance(q[edges[:, 0]], q[edges[:, 1]]), radius)


def _pairs(free: FreeSpace, q, radius: float) -> np.ndarray:
    """Indices (E, 2) of all pairs of q (M, n) within the radius, in order."""
    from scipy.spatial import cKDTree

    if len(q) < 2:
        return np.empty((0, 2), dtype=int)
    z, box = Tree(free.space, q[0]).coordinates(q)
    pairs = cKDTree(z, boxsize=box).query_pairs(radius, output_type="ndarray")
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def shortest(count: int, edges, lengths, start: int, goal: int) -> tuple[float, list[int]]:
    """Length and nodes of the shortest way from start to goal in an undirected graph; inf and [] if there is none.

    edges (E, 2): indices below count; lengths (E,), not negative. Source: Dijkstra, 1959.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    lengths = np.maximum(lengths, 1e-300)  # a length of zero would be no edge to SciPy
    graph = csr_array((lengths, (edges[:, 0], edges[:, 1])), shape=(count, count))
    cost, before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)
    if not np.isfinite(cost[goal]):
        return inf, []
    nodes = [goal]
    while nodes[-1] != start:
        nodes.append(int(before[nodes[-1]]))
    return float(cost[goal]), nodes[::-1]
