"""Convex regions of free space, and the shortest curve through a graph of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, nan
from time import perf_counter

import numpy as np

from controllers.search.curve import Curve
from controllers.search.drake_solvers import needs_drake, quiet
from controllers.search.gcs import drake_set, options
from controllers.search.polytope import Polytope, cuboid


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionPath:
    """A curve through convex regions: piece p of the curve lies in regions[visits[p]].

    cost: its length, measured along the control points; bound: what no curve can be shorter than; status "converged" or
    "infeasible", message; seconds: wall time.
    """

    curve: Curve | None
    visits: tuple[int, ...]
    cost: float
    bound: float
    status: str
    message: str
    seconds: float = nan

    @property
    def ok(self) -> bool:
        """Whether there is a curve."""
        return self.status == "converged"


def free_regions(
    obstacles: Sequence[Polytope],
    lower,
    upper,
    *,
    count: int = 20,
    margin: float = 1e-3,
    seed: int = 0,
    points: Sequence = (),
) -> list[Polytope]:
    """Large convex regions of the box lower..upper (m,) without the obstacles, that cover it as well as `count` can.

    Each is grown about a point: first the given ones (start and goal, say), then random points that no region covers
    yet. Regions keep margin [m] from the obstacles, which absorbs the tolerance of the solvers. Source: Deits and
    Tedrake, Computing large convex regions of obstacle-free space through semidefinite programming (IRIS), 2014;
    Drake's implementation.
    """
    needs_drake("free_regions")
    from pydrake.geometry.optimization import Iris, IrisOptions

    rng, domain = np.random.default_rng(seed), cuboid(lower, upper)
    obstacles = [obstacle.grown(margin) for obstacle in obstacles]
    walls = [drake_set(obstacle) for obstacle in obstacles]
    settings = IrisOptions()
    settings.require_sample_point_is_contained = True
    found: list[Polytope] = []
    waiting = [np.asarray(point, float) for point in points]
    for _ in range(200 * count):
        if len(found) >= count:
            break
        point = waiting.pop(0) if waiting else rng.uniform(lower, upper)
        blocked = any(obstacle.depth(point) > -1e-6 for obstacle in obstacles)
        if blocked or any(region.depth(point) > -1e-9 for region in found):
            continue
        region = Iris(walls, point, drake_set(domain), settings).ReduceInequalities()
        found.append(Polytope(region.A(), region.b()))
    return found


def through_regions(
    regions: Sequence[Polytope], start, goal, *, degree=1, continuity=0, roundings=10, seed=0
) -> RegionPath:
    """The shortest curve from start to goal (m,) that stays in the union of the regions.

    Regions that overlap are joined; in each one visited lies a Bezier piece of `degree` with `continuity` continuous
    derivatives in s at the joints; the cost is the length of the control polygons. Degree 1 is a polyline. No way
    through is status "infeasible". Source: Marcucci, Petersen, von Wrangel and Tedrake, Motion planning around
    obstacles with convex optimization, 2023; Drake's GcsTrajectoryOptimization with Clarabel.
    """
    needs_drake("through_regions")
    begin = perf_counter()
    start, goal = np.asarray(start, float), np.asarray(goal, float)
    for name, q in (("start", start), ("goal", goal)):
        if not regions or max(region.depth(q) for region in regions) < -1e-6:
            return _nothing(f"{name} {q.tolist()} lies in none of the {len(regions)} regions", inf, begin)
    graph, source, target = _graph(regions, start, goal, degree, continuity)
    with quiet():
        _, relaxed = graph.SolvePath(source, target, options(0, seed))
    if not relaxed.is_success():
        return _nothing(f"the {len(regions)} regions do not join start and goal: add regions between them", inf, begin)
    bound = float(relaxed.get_optimal_cost())
    with quiet():
        trajectory, result = graph.SolvePath(source, target, options(roundings, seed))
    if not result.is_success():
        return _nothing(f"none of {roundings} rounded paths is feasible: allow more", bound, begin)
    pieces = [trajectory.segment(i).control_points().T for i in range(trajectory.get_number_of_segments())]
    found = _read(regions, np.array([piece for piece in pieces if len(piece) == degree + 1]), bound)
    return replace(found, seconds=perf_counter() - begin)


def _read(regions: Sequence[Polytope], points: np.ndarray, bound: float) -> RegionPath:
    """The RegionPath of control points (P, d+1, m)."""
    cost = float(np.linalg.norm(np.diff(points, axis=1), axis=-1).sum())
    visits = tuple(int(np.argmax([region.depth(piece).min() for region in regions])) for piece in points)
    curve = Curve(points, np.linspace(0.0, 1.0, len(points) + 1))
    message = f"length {cost:.6g} through {len(visits)} regions, none is shorter than {bound:.6g}"
    return RegionPath(curve=curve, visits=visits, cost=cost, bound=bound, status="converged", message=message)


def _graph(regions: Sequence[Polytope], start, goal, degree: int, continuity: int):
    from pydrake.geometry.optimization import Point
    from pydrake.planning import GcsTrajectoryOptimization

    graph = GcsTrajectoryOptimization(len(start))
    main = graph.AddRegions([drake_set(region) for region in regions], degree, name="regions")
    source = graph.AddRegions([Point(start)], 0, name="start")
    target = graph.AddRegions([Point(goal)], 0, name="goal")
    graph.AddEdges(source, main)
    graph.AddEdges(main, target)
    graph.AddPathLengthCost()
    for derivative in range(1, continuity + 1):
        main.AddPathContinuityConstraints(derivative)
    return graph, source, target


def _nothing(message: str, bound: float, begin: float) -> RegionPath:
    found = RegionPath(curve=None, visits=(), cost=inf, bound=bound, status="infeasible", message=message)
    return replace(found, seconds=perf_counter() - begin)
