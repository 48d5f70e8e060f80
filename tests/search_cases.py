"""Worlds for the planners, and oracles that share no code with them: polygons are lists of corners here."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from controllers.search import FreeSpace, Space, hull


@dataclass(frozen=True)
class World:
    """A box, convex polygons in it (corners counter-clockwise), where to start and where to go."""

    polygons: tuple
    start: tuple[float, float]
    goal: tuple[float, float]
    upper: tuple[float, float] = (10.0, 10.0)

    @property
    def obstacles(self):
        return [hull(polygon) for polygon in self.polygons]

    @property
    def space(self) -> Space:
        return Space(np.zeros(2), np.array(self.upper))

    @property
    def free(self) -> FreeSpace:
        return FreeSpace(self.space, self.obstacles)


def box(x0, y0, x1, y1):
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def regular(centre, radius, corners, turn=0.0):
    angle = turn + 2 * np.pi * np.arange(corners) / corners
    return tuple((centre[0] + radius * np.cos(a), centre[1] + radius * np.sin(a)) for a in angle)


WALLS = World(
    (box(2, -1, 3, 7), box(5, 3, 6, 11), ((7, 1), (9, 2), (8, 4)), ((3.5, 8), (4.5, 8.5), (4, 9.5))), (1, 1), (9, 8)
)
CLUTTER = World(
    tuple(
        regular(c, r, k, t)
        for c, r, k, t in (
            ((2.5, 2.5), 1.2, 5, 0.3),
            ((5.0, 4.8), 1.5, 6, 0.1),
            ((7.8, 7.2), 1.1, 3, 0.5),
            ((2.2, 7.0), 1.3, 4, 0.2),
            ((7.7, 2.2), 1.4, 7, 0.0),
        )
    ),
    (0.5, 0.5),
    (9.5, 9.5),
)
GATE = World((box(4, -1, 5, 4.6), box(4, 5.4, 5, 11)), (1, 9), (9, 9))
OPEN = World((), (1, 1), (9, 8))
WORLDS = {"walls": WALLS, "clutter": CLUTTER, "gate": GATE, "open": OPEN}
CLOSED = World((box(6, 6, 10.5, 7), box(6, 6.5, 7, 10.5)), (1, 1), (9, 9))  # the goal is walled in


def inside(points, polygon, depth=1e-6) -> np.ndarray:
    """Whether points (N, 2) lie in a convex polygon, more than `depth` from each side: by cross products."""
    a = np.array(polygon, float)
    b = np.roll(a, -1, axis=0)
    side = b - a
    rel = np.asarray(points, float)[:, None] - a
    away = (side[:, 0] * rel[..., 1] - side[:, 1] * rel[..., 0]) / np.linalg.norm(side, axis=1)
    return (away > depth).all(1)


def collisions(points, polygons, depth=1e-6) -> int:
    """How many of the points (N, 2) lie in a polygon."""
    return int(sum(inside(points, polygon, depth).sum() for polygon in polygons))


def dense(q, spacing) -> np.ndarray:
    """Points at most `spacing` apart along the chain q (N, 2)."""
    q = np.asarray(q, float)
    counts = np.maximum(np.ceil(np.linalg.norm(np.diff(q, axis=0), axis=1) / spacing).astype(int), 1) + 1
    return np.concatenate([np.linspace(q[i], q[i + 1], count) for i, count in enumerate(counts)])


def crosses(p, q, polygon) -> bool:
    """Whether the segment from p to q meets the interior of a convex polygon: by separating axes."""
    corners, ends = np.array(polygon, float), np.array([p, q], float)
    sides = np.concatenate([np.roll(corners, -1, axis=0) - corners, ends[1:] - ends[:1]])
    sides = sides[np.linalg.norm(sides, axis=1) > 1e-12]
    normals = np.column_stack([sides[:, 1], -sides[:, 0]]) / np.linalg.norm(sides, axis=1)[:, None]
    a, b = corners @ normals.T, ends @ normals.T
    return bool((np.minimum(a.max(0), b.max(0)) - np.maximum(a.min(0), b.min(0)) > -1e-12).all()) and not bool(
        ((a.max(0) <= b.min(0) + 1e-9) | (b.max(0) <= a.min(0) + 1e-9)).any()
    )


def shortest_length(world: World) -> float:
    """The exact shortest path: Dijkstra over start, goal and all corners that see each other."""
    corners = [c for polygon in world.polygons for c in polygon]
    nodes = np.array([world.start, world.goal, *corners], float)
    kept = [(p >= 0).all() and (p <= world.upper).all() and not collisions(p[None], world.polygons) for p in nodes]
    nodes = nodes[np.array(kept)]
    i, j = np.triu_indices(len(nodes), 1)
    seen = [
        not any(crosses(nodes[a], nodes[b], polygon) for polygon in world.polygons) for a, b in zip(i, j, strict=True)
    ]
    i, j = i[np.array(seen)], j[np.array(seen)]
    lengths = np.linalg.norm(nodes[i] - nodes[j], axis=1)
    graph = csr_array((lengths, (i, j)), shape=(len(nodes), len(nodes)))
    return float(dijkstra(graph, directed=False, indices=0)[1])
