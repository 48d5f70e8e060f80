"""Sampling-based planners: every path is free when looked at ten times as closely, and comes again from its seed."""

import numpy as np
import pytest
from search_cases import CLOSED, WALLS, WORLDS, World, box, collisions, crosses, dense, regular, shortest_length

from controllers.search import (
    FreeSpace,
    Path,
    Space,
    cuboid,
    hull,
    polygon_body,
    prm,
    rrt,
    rrt_connect,
    rrt_star,
    se2,
    shortcut,
)
from controllers.search.polytope import Obstacles
from controllers.search.tree import Tree


def by_roadmap(free, start, goal, seed=0) -> Path:
    return prm(free, count=500, seed=seed).path(start, goal)


def by_star(free, start, goal, seed=0) -> Path:
    return rrt_star(free, start, goal, seed=seed, iterations=600)


PLANNERS = {"rrt": rrt, "rrt_connect": rrt_connect, "rrt_star": by_star, "prm": by_roadmap}


def assert_a_path(path: Path, world: World):
    assert path.ok, path.message
    np.testing.assert_array_equal(path.q[[0, -1]], [world.start, world.goal])
    spacing = 0.1 * world.free.resolution
    assert collisions(dense(path.q, spacing), world.polygons) == 0
    steps = np.linalg.norm(np.diff(path.q, axis=0), axis=1)
    assert path.cost == pytest.approx(steps.sum(), rel=1e-12)
    assert path.cost >= shortest_length(world) - 1e-9


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("planner", PLANNERS)
def test_a_path_is_free_and_joins_its_ends(planner, world):
    for seed in range(5):
        path = PLANNERS[planner](WORLDS[world].free, WORLDS[world].start, WORLDS[world].goal, seed=seed)
        assert_a_path(path, WORLDS[world])
        shorter = shortcut(WORLDS[world].free, path)
        assert_a_path(shorter, WORLDS[world])
        assert shorter.cost <= path.cost


@pytest.mark.parametrize("planner", PLANNERS)
def test_the_tree_that_is_shown_is_the_tree_that_was_grown(planner):
    path = PLANNERS[planner](WALLS.free, WALLS.start, WALLS.goal, seed=3)
    child = np.flatnonzero(path.parents >= 0)
    motions = np.stack([path.nodes[child], path.nodes[path.parents[child]]], axis=1) if len(child) else []
    for motion in motions[:300]:
        assert collisions(dense(motion, 0.02), WALLS.polygons) == 0


@pytest.mark.parametrize("planner", PLANNERS)
def test_same_seed_same_bytes(planner):
    first, again, other = (PLANNERS[planner](WALLS.free, WALLS.start, WALLS.goal, seed=seed) for seed in (7, 7, 8))
    assert first.q.tobytes() == again.q.tobytes() and first.nodes.tobytes() == again.nodes.tobytes()
    assert first.q.tobytes() != other.q.tobytes()


BAD_ENDS = {
    "in an obstacle": ((2.5, 3.0), (9, 8), "start lies 0.5 m inside obstacle 0"),
    "outside": ((1, 1), (9, 12), r"goal\[1\] = 12 is outside \[0, 10\]"),
}


@pytest.mark.parametrize("case", BAD_ENDS)
@pytest.mark.parametrize("planner", PLANNERS)
def test_ends_that_cannot_be_used_are_named(planner, case):
    start, goal, reason = BAD_ENDS[case]
    path = PLANNERS[planner](WALLS.free, start, goal)
    assert (path.status, path.ok, len(path.q), path.cost) == ("infeasible", False, 0, np.inf)
    with pytest.raises(ValueError, match=reason):
        path.at(0.5)


@pytest.mark.parametrize("planner", PLANNERS)
def test_a_goal_that_is_walled_in_ends_with_a_reason(planner):
    quick = {"rrt": lambda f, s, g: rrt(f, s, g, iterations=500), "rrt_connect": rrt_connect_briefly}.get(planner)
    path = (quick or PLANNERS[planner])(CLOSED.free, CLOSED.start, CLOSED.goal)
    assert path.status == ("infeasible" if planner == "prm" else "iteration_limit")
    assert "cannot be reached" in path.message
    assert shortcut(CLOSED.free, path) is path


def rrt_connect_briefly(free, start, goal):
    return rrt_connect(free, start, goal, iterations=500)


def test_bad_arguments_say_what_was_wanted():
    free = WALLS.free
    for call, reason in (
        (lambda: rrt(free, [1, 1, 1], [9, 8]), r"start must be finite and \(2,\)"),
        (lambda: rrt(free, [1, np.nan], [9, 8]), "start must be finite"),
        (lambda: rrt_star(free, [1, 1], [9, 8], step=0.0), "rrt_star: step must be positive"),
        (lambda: prm(free, count=0), "prm: count must be positive"),
        (lambda: Space([0, 0], [1, -1]), "lower < upper"),
        (lambda: Space([0, 0], [1, 1], angles=(2,)), "angle indices"),
        (lambda: Space([0, 0], [1, 1], weights=[1.0, 0.0]), "weights must be positive"),
        (lambda: FreeSpace(Space([0], [1]), [cuboid([0, 0], [1, 1])]), "obstacles of dimension 2"),
        (
            lambda: FreeSpace(WALLS.space, free=lambda q: q).valid(np.zeros((3, 2))),
            r"free\(q\) must return \(3,\) bool",
        ),
        (lambda: hull([[0, 0], [1, 1], [2, 2]]), "span no solid polytope"),
        (lambda: cuboid([0, 1], [1, 1]), "lower < upper"),
    ):
        with pytest.raises(ValueError, match=reason):
            call()


def test_motions_against_separating_axes(rng):
    """Cyrus and Beck's clipping and the separating axes of the oracle agree on every segment that is not borderline."""
    polygons = [
        regular(rng.uniform(0, 10, 2), rng.uniform(0.3, 2), rng.integers(3, 8), rng.uniform(0, 6)) for _ in "1234"
    ]
    p, q = rng.uniform(0, 10, (2, 2000, 2))
    found = Obstacles([hull(polygon) for polygon in polygons]).miss(p, q)
    wanted = [not any(crosses(a, b, polygon) for polygon in polygons) for a, b in zip(p, q, strict=True)]
    np.testing.assert_array_equal(found, wanted)
    assert 0.1 < found.mean() < 0.9


def test_motions_along_a_face_are_free_and_through_a_corner_are_not():
    miss = Obstacles([cuboid([0, 0], [1, 1])]).miss
    along = [((-1, 1), (2, 1)), ((1, -3), (1, 3)), ((0, 2), (2, 0)), ((0, 0), (1, 0))]
    through = [((-1, -1), (2, 2)), ((0, 1.9), (2, -0.1)), ((0.5, 0.5), (0.5, 0.5)), ((0.2, 1), (0.2, 0.9))]
    assert miss(*np.array(along, float).swapaxes(0, 1)).all()
    assert not miss(*np.array(through, float).swapaxes(0, 1)).any()


def test_motions_in_space_against_samples(rng):
    solids = [hull(rng.uniform(0, 4, (8, 3)) + rng.uniform(0, 6, 3)) for _ in range(3)]
    p, q = rng.uniform(0, 10, (2, 300, 3))
    points = p[:, None] + np.linspace(0, 1, 2001)[:, None] * (q - p)[:, None]
    deepest = np.array([[solid.depth(row).max() for solid in solids] for row in points]).max(1)
    clear_cut = np.abs(deepest) > 1e-2
    np.testing.assert_array_equal(Obstacles(solids).miss(p, q)[clear_cut], deepest[clear_cut] < 0)


@pytest.mark.parametrize("angles", [(), (0,), (1, 2)])
def test_the_tree_finds_the_nearest_of_all(angles, rng):
    space = Space([-1, -2, 0], [1, 2, 5], angles=angles, weights=[1.0, 0.5, 2.0])
    nodes, asked = space.sample(rng, 700), space.sample(rng, 50)
    nodes[:, list(angles)] += 2 * np.pi * rng.integers(-2, 3, (700, len(angles)))  # a turn more is the same place
    tree = Tree(space, nodes[0])
    for i in range(1, 700):
        tree.add(nodes[i], i - 1)
        if i % 97 == 0:
            gaps = distances(space, asked, nodes[: i + 1])
            np.testing.assert_allclose(gaps[np.arange(50), tree.nearest(asked)], gaps.min(1), atol=1e-9)
            np.testing.assert_array_equal(np.sort(tree.near(asked[0], 1.0)), np.flatnonzero(gaps[0] <= 1.0))


def distances(space: Space, p, q) -> np.ndarray:
    """Distances (N, M) by trying every turn."""
    d = q[None] - p[:, None]
    best = np.full(d.shape, np.inf)
    for turn in range(-4, 5):
        shifted = d + 2 * np.pi * turn * np.isin(np.arange(space.n), space.angles)
        best = np.where(np.abs(shifted) < np.abs(best), shifted, best)
    return np.linalg.norm(space.weights * best, axis=-1)


def test_space_laws(rng):
    space = se2([-1, -1], [1, 1], length=0.5)
    q, r, p = space.sample(rng, 300), space.sample(rng, 300), space.sample(rng, 300)
    np.testing.assert_allclose(space.integrate(q, space.difference(q, r)), r, atol=1e-12)
    np.testing.assert_allclose(space.distance(q, r), space.distance(r, q), atol=1e-12)
    assert (space.distance(q, r) <= space.distance(q, p) + space.distance(p, r) + 1e-12).all()
    near = space.steer(q, r, 0.3)
    np.testing.assert_allclose(space.distance(q, near), np.minimum(0.3, space.distance(q, r)), atol=1e-12)
    np.testing.assert_allclose(space.distance(q, near) + space.distance(near, r), space.distance(q, r), atol=1e-12)


def test_a_path_goes_the_short_way_round():
    space = Space([-np.pi], [np.pi], angles=(0,))
    path = rrt(FreeSpace(space), [3.0], [-3.0])
    assert path.cost == pytest.approx(2 * np.pi - 6)
    assert np.abs(path.samples(0.01)).min() >= 3.0 - 1e-12


BODY = np.array([(-0.9, -0.15), (0.9, -0.15), (0.9, 0.15), (-0.9, 0.15)])  # too long to cross the gap sideways
GAP = (box(4, -1, 4.6, 4.4), box(4, 5.6, 4.6, 11))


def test_a_body_turns_to_pass_a_gap():
    walls = [hull(polygon) for polygon in GAP]
    free = FreeSpace(se2([0, 0], [10, 10], length=1.0), free=polygon_body(BODY, walls, margin=0.015), resolution=0.02)
    start, goal = [2, 5, np.pi / 2], [8, 5, np.pi / 2]
    assert free.valid(np.array([start, goal])).all() and not free.valid(np.array([[4.3, 5, np.pi / 2]]))[0]
    path = shortcut(free, rrt_connect(free, start, goal, seed=1), points=30, rounds=3)
    assert path.ok, path.message
    np.testing.assert_allclose(path.q[[0, -1]], [start, goal])
    outline = dense(np.concatenate([BODY, BODY[:1]]), 0.03)
    for x, y, theta in path.samples(0.1 * free.resolution):
        c, s = np.cos(theta), np.sin(theta)
        assert collisions(outline @ [[c, s], [-s, c]] + [x, y], GAP) == 0
