"""RRT*: a tree whose paths become the shortest ones as it grows."""

from math import gamma, inf, log, pi

import numpy as np

from controllers.search.path import Path, answer, failed, positive
from controllers.search.space import FreeSpace, Space
from controllers.search.tree import Tree

BATCH = 256


def rrt_star(
    free: FreeSpace,
    start,
    goal,
    *,
    seed: int = 0,
    iterations: int = 5000,
    step: float | None = None,
    goal_bias: float = 0.05,
    scale: float = 1.1,
) -> Path:
    """A path from start to goal (n,) that converges to the shortest as the iterations grow.

    A new node takes the parent, among the nodes within r = min(step, scale * `connection_radius`), that makes it
    cheapest, and becomes the parent of those it makes cheaper. Once a path is known, configurations that no shorter
    one can touch, d(start, q) + d(q, goal) >= cost, are not drawn. step: a fifth of the space's diameter if None.
    Always runs all its iterations; arguments and statuses otherwise as for `rrt`. Source: Karaman and Frazzoli,
    Sampling-based algorithms for optimal motion planning, IJRR 2011; Gammell, Srinivasa and Barfoot, Informed RRT*,
    IROS 2014 (what is not drawn).
    """
    start, goal = np.asarray(start, float), np.asarray(goal, float)
    step = 0.2 * free.space.diameter if step is None else step
    positive("rrt_star", step=step, iterations=iterations, scale=scale)

    def search() -> Path:
        return _Search(free, start, goal, step, scale).run(np.random.default_rng(seed), iterations, goal_bias)

    return answer(search, free, start=start, goal=goal)


def connection_radius(space: Space, count: int) -> float:
    """The radius gamma (log M / M)^(1/n) within which M nodes must be joined for the paths to become shortest.

    gamma = 2 (1 + 1/n)^(1/n) (mu / zeta)^(1/n), mu the volume of the space, zeta that of the unit ball. Source:
    Karaman and Frazzoli, IJRR 2011, section 3.3.1 (PRM*; enough for RRT* too).
    """
    n = space.n
    volume = float(np.prod(space.weights * (space.upper - space.lower)))
    ball = pi ** (n / 2) / gamma(n / 2 + 1)
    return 2 * ((1 + 1 / n) * volume / ball * log(max(count, 2)) / max(count, 2)) ** (1 / n)


class _Search:
    """The tree, what each of its nodes costs, and who its children are."""

    def __init__(self, free: FreeSpace, start, goal, step: float, scale: float):
        self.free, self.space, self.start, self.goal, self.step = free, free.space, start, goal, step
        self.scale = scale
        self.tree = Tree(free.space, start)
        self.cost = np.zeros(256)
        self.children: list[list[int]] = [[]]
        self.end = -1  # index of the goal once it is in the tree
        self.log: list[tuple[int, float]] = []
        self.best = inf

    def run(self, rng: np.random.Generator, iterations: int, goal_bias: float) -> Path:
        left = np.empty((0, self.space.n))
        for i in range(iterations):
            if not len(left):
                left = self._draw(rng, goal_bias)
            target, left = left[0], left[1:]
            self._grow(target)
            if self.end >= 0 and self.cost[self.end] < self.best - 1e-12:
                self.best = float(self.cost[self.end])
                self.log.append((i + 1, self.best))
        nodes, parents = self.tree.q.copy(), self.tree.parents.copy()
        if self.end < 0:
            return failed(self.free, self.goal, nodes, parents, iterations, "rrt_star")
        return Path(
            space=self.space,
            q=self.tree.branch(self.end),
            cost=self.best,
            message=f"length {self.best:.4g} after {iterations} iterations, first found after {self.log[0][0]}",
            nodes=nodes,
            parents=parents,
            iterations=iterations,
            log=tuple(self.log),
        )

    def _draw(self, rng: np.random.Generator, goal_bias: float) -> np.ndarray:
        """Configurations to grow towards; never none."""
        while True:
            q = self.space.sample(rng, BATCH)
            if self.end < 0:
                q[rng.random(BATCH) < goal_bias] = self.goal
                return q
            through = self.space.distance(q, self.start) + self.space.distance(q, self.goal)
            short = float(self.space.distance(self.start, self.goal))
            q = q[through < max(self.best, short * (1 + 1e-3))]  # a straight path is best: draw about it
            if len(q):
                return q

    def _grow(self, target) -> None:
        nearest = int(self.tree.nearest(target[None])[0])
        q = self.space.steer(self.tree.q[nearest], target, self.step)
        if self.end >= 0 and not self.space.distance(q, self.goal) > 0:
            return
        radius = min(self.step, self.scale * connection_radius(self.space, self.tree.size))
        near = self.tree.near(q, radius)
        if nearest not in near:
            near = np.append(near, nearest)
        there = self.tree.q[near]
        gap = self.space.distance(there, q)
        clear = self.free.clear(there, np.broadcast_to(q, there.shape))
        if not clear.any():
            return
        near, gap = near[clear], gap[clear]
        through = self.cost[near] + gap
        parent = int(np.argmin(through))
        new = self._add(q, int(near[parent]), float(through[parent]))
        for i in np.flatnonzero(self.cost[new] + gap < self.cost[near] - 1e-12):
            self._rewire(int(near[i]), new, float(self.cost[new] + gap[i]))
        if self.end < 0:
            if not self.space.distance(q, self.goal) > 0:
                self.end = new
            elif self.space.distance(q, self.goal) <= self.step and self.free.clear(q[None], self.goal[None])[0]:
                self.end = self._add(self.goal, new, float(self.cost[new] + self.space.distance(q, self.goal)))

    def _add(self, q, parent: int, cost: float) -> int:
        new = self.tree.add(q, parent)
        if new >= len(self.cost):
            self.cost = np.concatenate([self.cost, np.empty_like(self.cost)])
        self.cost[new] = cost
        self.children.append([])
        self.children[parent].append(new)
        return int(new)

    def _rewire(self, node: int, parent: int, cost: float) -> None:
        """Hang the node, and with it its whole branch, below another parent."""
        saved = self.cost[node] - cost
        self.children[int(self.tree.parents[node])].remove(node)
        self.children[parent].append(node)
        self.tree.parents[node] = parent
        branch = [node]
        while branch:
            i = branch.pop()
            self.cost[i] -= saved
            branch.extend(self.children[i])
