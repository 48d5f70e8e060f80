"""Making a path shorter by going straight where that is possible."""

from dataclasses import replace

import numpy as np

from controllers.search.path import Path, length, positive
from controllers.search.prm import CHUNK, shortest
from controllers.search.space import FreeSpace


def shortcut(free: FreeSpace, path: Path, *, points: int = 60, rounds: int = 10) -> Path:
    """A path that is not longer: the shortest among all motions between places along the old one.

    The places are `points` even ones, and about as many that close in on the waypoints from both sides. Every pair is
    tested at once, then Dijkstra; again with new places until a round saves less than 1e-6 of the length, or for
    `rounds`. A path that failed is returned as it is. Needs no random numbers.
    """
    positive("shortcut", points=points, rounds=rounds)
    for _ in range(rounds if path.ok else 0):
        before, spots = path.cost, _places(path, points)
        q = path.at(spots)
        q[0], q[-1] = path.q[0], path.q[-1]
        i, j = np.triu_indices(len(q), 1)
        chained = j == i + 1
        gap = free.space.distance(q[i], q[j])
        clear = np.zeros(len(i), dtype=bool)
        for part in np.split(np.arange(len(i)), range(CHUNK, len(i), CHUNK)):
            clear[part] = free.clear(q[i[part]], q[j[part]])
        keep = clear | chained  # a piece of a free motion is free
        _, nodes = shortest(len(q), np.column_stack([i, j])[keep], gap[keep] + 1e-9 * before, 0, len(q) - 1)
        cost = length(free.space, q[nodes])
        if cost >= before * (1 - 1e-6):
            break
        path = replace(path, q=q[nodes], cost=cost, message=f"length {cost:.4g} after shortcuts", log=())
    return path


def _places(path: Path, points: int) -> np.ndarray:
    """Shares of the length, ascending, 0 and 1 among them: even ones, the waypoints, and ever nearer to these."""
    even = np.linspace(0.0, 1.0, points)
    gaps = path.space.distance(path.q[:-1], path.q[1:])
    if not path.cost > 0:
        return even
    inner = np.cumsum(gaps)[:-1] / gaps.sum()
    halves = 0.5 ** np.arange(1, 1 + min(8, points // (2 * len(inner) + 1)))
    before, after = inner[:, None] - np.outer(gaps[:-1], halves) / gaps.sum(), inner[:, None]
    after = after + np.outer(gaps[1:], halves) / gaps.sum()
    return np.sort(np.concatenate([even, inner, before.ravel(), after.ravel()]).clip(0.0, 1.0))
