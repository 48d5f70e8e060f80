"""Rapidly exploring random trees: one from the start, or one from each end."""

import numpy as np

from controllers.search.path import Path, answer, failed, length, positive
from controllers.search.space import FreeSpace
from controllers.search.tree import Tree

BATCH = 256  # random configurations drawn at a time


def rrt(
    free: FreeSpace,
    start,
    goal,
    *,
    seed: int = 0,
    iterations: int = 20_000,
    step: float | None = None,
    goal_bias: float = 0.05,
) -> Path:
    """A path from start to goal (n,) by a tree that grows towards random configurations.

    Each iteration draws q (the goal with probability goal_bias), steers at most `step` (a tenth of the space's diameter
    if None) from the nearest node towards it, and keeps the end if the motion is free. The path is not short: see
    `shortcut` and `rrt_star`. A start or goal that cannot be used gives status "infeasible", no path within the
    iterations "iteration_limit". Source: LaValle and Kuffner, Randomized kinodynamic planning, IJRR 2001.
    """
    start, goal = np.asarray(start, float), np.asarray(goal, float)
    step = 0.1 * free.space.diameter if step is None else step
    positive("rrt", step=step, iterations=iterations)
    return answer(lambda: _grow(free, start, goal, seed, iterations, step, goal_bias), free, start=start, goal=goal)


def _grow(free: FreeSpace, start, goal, seed: int, iterations: int, step: float, goal_bias: float) -> Path:
    rng, space = np.random.default_rng(seed), free.space
    if free.clear(start[None], goal[None])[0]:
        return _found(free, np.stack([start, goal]), np.stack([start, goal]), np.array([-1, 0]), 0)
    tree = Tree(space, start)
    for i in range(iterations):
        if i % BATCH == 0:
            drawn = space.sample(rng, BATCH)
            drawn[rng.random(BATCH) < goal_bias] = goal
        target = drawn[i % BATCH, None]
        parent = int(tree.nearest(target)[0])
        q = space.steer(tree.q[parent, None], target, step)
        if not _usable(free, tree.q[parent, None], q):
            continue
        new = tree.add(q[0], parent)
        if space.distance(q[0], goal) <= step and free.clear(q, goal[None])[0]:
            if space.distance(q[0], goal) > 0:
                new = tree.add(goal, new)
            return _found(free, tree.branch(new), tree.q, tree.parents, i + 1)
    return failed(free, goal, tree.q, tree.parents, iterations, "rrt")


def rrt_connect(
    free: FreeSpace, start, goal, *, seed: int = 0, iterations: int = 20_000, step: float | None = None
) -> Path:
    """A path from start to goal (n,) by two trees that grow towards each other.

    In turns, one tree makes a step towards a random configuration and the other goes straight to the new node as far
    as it is free. Arguments and statuses as for `rrt`. Source: Kuffner and LaValle, RRT-Connect, ICRA 2000.
    """
    start, goal = np.asarray(start, float), np.asarray(goal, float)
    step = 0.1 * free.space.diameter if step is None else step
    positive("rrt_connect", step=step, iterations=iterations)
    return answer(lambda: _connect(free, start, goal, seed, iterations, step), free, start=start, goal=goal)


def _connect(free: FreeSpace, start, goal, seed: int, iterations: int, step: float) -> Path:
    rng, space = np.random.default_rng(seed), free.space
    trees = [Tree(space, start), Tree(space, goal)]
    for i in range(iterations):
        if i % BATCH == 0:
            drawn = space.sample(rng, BATCH)
        ours, theirs = trees[i % 2], trees[1 - i % 2]
        parent = int(ours.nearest(drawn[i % BATCH, None])[0])
        q = space.steer(ours.q[parent, None], drawn[i % BATCH, None], step)
        if not _usable(free, ours.q[parent, None], q):
            continue
        new = ours.add(q[0], parent)
        met = _straight(free, theirs, q[0], step)
        if met is not None:
            ends = [ours.branch(new), theirs.branch(met)]
            first, second = ends if i % 2 == 0 else ends[::-1]
            nodes = np.concatenate([tree.q for tree in trees])
            parents = np.concatenate([trees[0].parents, trees[1].parents + trees[0].size])
            parents[trees[0].size] = -1
            return _found(free, np.concatenate([first, second[-2::-1]]), nodes, parents, i + 1)
    return failed(free, goal, trees[0].q, trees[0].parents, iterations, "rrt_connect")


def _straight(free: FreeSpace, tree: Tree, q, step: float) -> int | None:
    """Extend the tree from its nearest node straight to q (n,) in steps; the index of q if it was reached."""
    space, nearest = free.space, int(tree.nearest(q[None])[0])
    origin = tree.q[nearest]
    pieces = max(1, int(np.ceil(space.distance(origin, q) / step)))
    share = np.arange(pieces + 1)[:, None] / pieces
    points = space.integrate(origin, share * space.difference(origin, q))
    points[-1] = q
    good = free.clear(points[:-1], points[1:])
    reached = pieces if good.all() else int(np.argmin(good))
    parents = np.append(nearest, tree.size + np.arange(reached - 1)) if reached else np.empty(0, dtype=int)
    added = tree.extend(points[1 : reached + 1], parents)
    return int(added[-1]) if reached == pieces else None


def _usable(free: FreeSpace, q, r) -> bool:
    return bool(free.clear(q, r)[0])  # bounds are convex, or circles: a step between two points inside stays inside


def _found(free: FreeSpace, q, nodes, parents, iterations: int) -> Path:
    cost = length(free.space, q)
    message = f"found in {iterations} iterations: {len(q) - 1} motions, length {cost:.4g}"
    return Path(
        space=free.space,
        q=q,
        cost=cost,
        message=message,
        nodes=nodes.copy(),
        parents=parents.copy(),
        iterations=iterations,
        log=((iterations, cost),),
    )
