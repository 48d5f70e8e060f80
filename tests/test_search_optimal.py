"""What is said to be shortest, against the exact optimum: visibility graphs, enumeration, and each other's bounds."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import linprog, minimize
from scipy.stats import t as student
from search_cases import CLOSED, WORLDS, collisions, dense, shortest_length

from controllers.search import (
    Ellipsoid,
    Polytope,
    ball,
    convex_shortest_path,
    cuboid,
    free_regions,
    hull,
    mixed_integer_path,
    prm,
    rrt_star,
    shortcut,
    smooth_curve,
    through_regions,
)

PLANAR = ("walls", "clutter", "gate")
SEEDS = 20
OPTIMAL = {
    "rrt_star": lambda w, n, seed: rrt_star(w.free, w.start, w.goal, seed=seed, iterations=n),
    "prm": lambda w, n, seed: prm(w.free, count=n, seed=seed).path(w.start, w.goal),
}


@pytest.mark.slow
@pytest.mark.parametrize("world", PLANAR)
@pytest.mark.parametrize("planner", OPTIMAL)
def test_paths_converge_to_the_shortest(planner, world):
    """20 seeds: at n = 2000 every path is within 5 %, so is the 95 % interval of the mean excess, below that at 500."""
    best = shortest_length(WORLDS[world])
    costs = {n: np.array([OPTIMAL[planner](WORLDS[world], n, s).cost for s in range(SEEDS)]) for n in (500, 2000)}
    excess = {n: cost / best - 1 for n, cost in costs.items()}
    assert (excess[2000] > -1e-9).all() and excess[2000].max() <= 0.05
    half = student.ppf(0.975, SEEDS - 1) * excess[2000].std(ddof=1) / np.sqrt(SEEDS)
    assert excess[2000].mean() + half < min(0.05, excess[500].mean())


@pytest.mark.parametrize("world", PLANAR)
def test_a_roadmaps_path_pulled_taut_is_nearly_shortest(world):
    w = WORLDS[world]
    for seed in range(3):
        path = shortcut(w.free, prm(w.free, count=1000, seed=seed).path(w.start, w.goal))
        assert shortest_length(w) - 1e-9 <= path.cost <= 1.005 * shortest_length(w)


def test_the_log_of_rrt_star_only_falls():
    world = WORLDS["clutter"]
    path = rrt_star(world.free, world.start, world.goal, iterations=1500)
    costs = [cost for _, cost in path.log]
    assert costs == sorted(costs, reverse=True) and costs[-1] == path.cost and len(costs) > 3


@pytest.mark.parametrize("world", PLANAR)
def test_regions_are_free_and_the_curve_through_them_is_nearly_shortest(world):
    pytest.importorskip("pydrake")
    w = WORLDS[world]
    regions = free_regions(w.obstacles, [0, 0], w.upper, points=[w.start, w.goal])
    for region in regions:
        for obstacle in w.obstacles:
            assert overlap(region, obstacle) < 1e-6
    path = through_regions(regions, w.start, w.goal)
    assert path.ok, path.message
    q = np.concatenate([path.curve.points[:, 0], path.curve.points[-1:, -1]])
    np.testing.assert_allclose(q[[0, -1]], [w.start, w.goal], atol=1e-6)
    assert collisions(dense(q, 0.01), w.polygons) == 0
    assert shortest_length(w) - 1e-5 <= path.cost <= 1.01 * shortest_length(w)
    assert path.bound <= path.cost + 1e-6


def overlap(a: Polytope, b: Polytope) -> float:
    """Radius of the largest ball in both, by linear programming."""
    A, b = np.vstack([a.A, b.A]), np.concatenate([a.b, b.b])
    found = linprog([0, 0, -1], np.column_stack([A, np.ones(len(b))]), b, bounds=[(None, None)] * 3)
    return -found.fun if found.success else -np.inf


@pytest.mark.parametrize("world", [*PLANAR, "open"])
def test_mixed_integer_against_the_visibility_graph(world):
    pytest.importorskip("pydrake")
    w, best = WORLDS[world], shortest_length(WORLDS[world])
    found = mixed_integer_path(w.obstacles, [0, 0], w.upper, w.start, w.goal, motions=6, gap=0.01)
    assert found.ok, found.path.message
    np.testing.assert_array_equal(found.path.q[[0, -1]], [w.start, w.goal])
    assert collisions(dense(found.path.q, 0.01), w.polygons) == 0
    assert best - 1e-9 <= found.path.cost <= 1.02 * best and found.bound <= found.path.cost
    for motion, region in zip(pairwise(found.path.q), found.regions, strict=True):
        assert region.depth(np.array(motion)).min() > -1e-6
        assert all(overlap(region, obstacle) < 1e-9 for obstacle in w.obstacles)


def test_mixed_integer_proves_that_there_is_no_path():
    pytest.importorskip("pydrake")
    found = mixed_integer_path(CLOSED.obstacles, [0, 0], CLOSED.upper, CLOSED.start, CLOSED.goal)
    assert found.path.status == "infeasible" and "no polyline of 8 motions" in found.path.message
    blocked = mixed_integer_path([cuboid([4, 0], [5, 10])], [0, 0], [10, 10], [1, 1], [9, 1])
    assert blocked.path.status == "infeasible"  # along the wall there is a gap of no width
    inside = mixed_integer_path(CLOSED.obstacles, [0, 0], CLOSED.upper, (6.5, 6.5), CLOSED.goal)
    assert "start lies" in inside.path.message


def test_mixed_integer_in_space(rng):
    pytest.importorskip("pydrake")
    solids = [cuboid(c - 0.9, c + 0.9) for c in rng.uniform(2, 8, (5, 3))]
    found = mixed_integer_path(solids, [0] * 3, [10] * 3, [0.1] * 3, [9.9] * 3, motions=4, gap=0.05)
    assert found.ok, found.path.message
    points = found.path.samples(0.005)
    assert max(solid.depth(points).max() for solid in solids) < 0
    assert found.bound <= found.path.cost and found.path.cost >= np.sqrt(3) * 9.8 - 1e-9


SETS = {
    "start": np.zeros(2),
    "a": hull([[1, 1], [2, 1.5], [1.5, 3]]),
    "b": ball([2.5, -1.0], 0.8),
    "c": Ellipsoid(np.diag([0.5, 2.0]), np.array([4.5, 1.5])),
    "d": cuboid([4, -2.5], [5, -1.0]),
    "e": hull([[6, -1], [7, 0], [6, 1], [5.5, 0]]),
    "goal": np.array([9.0, 0.0]),
}
JOINED = ["start-a start-b", "a-b b-a a-c", "b-c b-d", "c-d d-c c-e", "d-e c-goal e-goal"]
EDGES = [tuple(edge.split("-")) for edge in " ".join(JOINED).split()]


def cheapest_by_enumeration(power: int) -> float:
    """Every simple path, each a smooth convex problem for SciPy."""

    def paths(at, seen):
        if at == "goal":
            yield seen
        for u, v in EDGES:
            if u == at and v not in seen:
                yield from paths(v, (*seen, v))

    def cost(names) -> float:
        inner = [SETS[name] for name in names[1:-1]]

        def total(z):
            x = np.concatenate([SETS["start"][None], z.reshape(-1, 2), SETS["goal"][None]])
            return (np.linalg.norm(np.diff(x, axis=0), axis=1) ** power).sum()

        def room(z):
            x = z.reshape(-1, 2)
            return np.concatenate(
                [
                    s.b - s.A @ p if isinstance(s, Polytope) else [1 - np.square(s.A @ (p - s.centre)).sum()]
                    for s, p in zip(inner, x, strict=True)
                ]
            )

        z0 = np.concatenate([s.centre() if isinstance(s, Polytope) else s.centre for s in inner])
        options = {"maxiter": 500, "ftol": 1e-12}
        return minimize(total, z0, constraints={"type": "ineq", "fun": room}, method="SLSQP", options=options).fun

    return min(cost(names) for names in paths("start", ("start",)))


@pytest.mark.parametrize(("kind", "power"), [("length", 1), ("squared", 2)])
def test_convex_sets_against_enumeration(kind, power):
    pytest.importorskip("pydrake")
    path = convex_shortest_path(SETS, EDGES, "start", "goal", cost=kind)
    best = cheapest_by_enumeration(power)
    assert path.cost == pytest.approx(best, rel=1e-5) and path.bound <= best * (1 + 1e-6)
    for name, x in zip(path.names, path.x, strict=True):
        s = SETS[name]
        far = (
            -s.depth(x) if isinstance(s, Polytope) else
            np.linalg.norm(s.A @ (x - s.centre)) - 1 if isinstance(s, Ellipsoid) else np.abs(x - s).max()
        )  # fmt: skip
        assert far < 1e-5, name
    dear = {("e", "goal"): 10.0, ("c", "goal"): 10.0}
    path = convex_shortest_path(SETS, EDGES, "start", "goal", cost=kind, fixed=dear)
    assert path.cost == pytest.approx(best + 10, rel=1e-5)


def test_convex_sets_name_what_is_wrong():
    pytest.importorskip("pydrake")
    broken = [edge for edge in EDGES if edge[1] != "goal"]
    path = convex_shortest_path(SETS, broken, "start", "goal")
    assert path.status == "infeasible" and "does not join" in path.message
    with pytest.raises(ValueError, match="unknown convex set 'f'"):
        convex_shortest_path(SETS, [*EDGES, ("e", "f")], "start", "goal")
    with pytest.raises(ValueError, match="unknown edge cost 'lenght'"):
        convex_shortest_path(SETS, EDGES, "start", "goal", cost="lenght")
    lost = through_regions([cuboid([0, 0], [1, 1]), cuboid([2, 0], [3, 1])], [0.5, 0.5], [2.5, 0.5])
    assert lost.status == "infeasible" and "do not join" in lost.message


def test_smooth_curve_is_smooth_stays_inside_and_has_least_snap():
    """Without active walls it is the minimum-snap polynomial of the closed form; with them it costs more."""
    pytest.importorskip("pydrake")
    wide = [cuboid([-9, -9], [9, 9])] * 3
    curve, _ = smooth_curve(wide, [0, 0], [1, 2], shares=[1, 2, 1])
    s = np.linspace(0, 1, 301)
    y = curve.polynomial(1.0).derivatives(s, 4)
    closed = 35 * s**4 - 84 * s**5 + 70 * s**6 - 20 * s**7  # one polynomial of degree 7, at rest at both ends
    np.testing.assert_allclose(y[:, 0], closed[:, None] * [1, 2], atol=1e-6)
    bent = [cuboid([-0.1, -0.1], [1, 0.3]), cuboid([0.7, -0.1], [1.1, 2.1])]
    curve, message = smooth_curve([region for region in bent for _ in "12"], [0, 0], [1, 2])
    assert curve is not None, message
    path = curve.polynomial(3.0)
    before, after = (path.derivatives(path.t[1:-1] + side, 4) for side in (-1e-9, 1e-9))
    np.testing.assert_allclose(before, after, atol=1e-4 * np.abs(after).max())
    y = path.derivatives(np.linspace(0, 3, 3001), 0)[:, 0]
    assert (np.maximum(bent[0].depth(y), bent[1].depth(y)) > -1e-6).all()
    np.testing.assert_allclose(path.derivatives(np.array([0.0, 3.0]), 3)[:, 1:], 0, atol=1e-6)
    none, reason = smooth_curve([cuboid([0, 0], [1, 1]), cuboid([2, 0], [3, 1])], [0.5, 0.5], [2.5, 0.5])
    assert none is None and "overlap" in reason
