"""Shortest paths in graphs of convex sets: which sets to visit, and where in each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, nan
from time import perf_counter

import numpy as np

from controllers.search.drake_solvers import needs_drake, quiet
from controllers.search.polytope import Polytope
from sims.errors import unknown

COSTS = ("length", "squared")
Edge = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """The points p (m,) with |A (p - centre)| <= 1, A (m, m) invertible."""

    A: np.ndarray
    centre: np.ndarray


def ball(centre, radius: float) -> Ellipsoid:
    """The points within radius of centre (m,)."""
    centre = np.asarray(centre, float)
    return Ellipsoid(np.eye(len(centre)) / radius, centre)


ConvexSet = Polytope | Ellipsoid | np.ndarray  # an array (m,) is the set of that one point


@dataclass(frozen=True, kw_only=True, eq=False)
class GraphPath:
    """The sets visited by name, and the point x[k] (K, m) in each.

    cost: of the path; bound: what no path can be cheaper than, from the convex relaxation: where the two agree the path
    is proved best. status "converged" or "infeasible", message; seconds: wall time.
    """

    names: tuple[str, ...]
    x: np.ndarray
    cost: float
    bound: float
    status: str
    message: str
    seconds: float = nan

    @property
    def ok(self) -> bool:
        """Whether there is a path."""
        return self.status == "converged"


def convex_shortest_path(
    sets: Mapping[str, ConvexSet],
    edges: Sequence[Edge],
    source: str,
    target: str,
    *,
    cost: str | Mapping[Edge, str] = "length",
    fixed: Mapping[Edge, float] | None = None,
    roundings: int = 20,
    seed: int = 0,
) -> GraphPath:
    """The path from source to target along directed edges, and the points of its sets, of least total edge cost.

    sets: name -> Polytope, Ellipsoid or point; cost: "length" |x_v - x_u| or "squared" |x_v - x_u|^2, for all edges or
    by edge; fixed: edge -> cost for using it at all. The convex relaxation of the mixed-integer program is solved, then
    up to `roundings` paths drawn from its flows (from the seed) are each optimised exactly and the best is kept. Raises
    ValueError for names that are not there; no path is status "infeasible". Source: Marcucci, Umenberger, Parrilo and
    Tedrake, Shortest paths in graphs of convex sets, 2024; solved by Drake with Clarabel.
    """
    needs_drake("convex_shortest_path")
    begin = perf_counter()
    for name in [source, target, *(name for edge in edges for name in edge)]:
        if name not in sets:
            raise unknown("convex set", name, sets)
    graph, vertices = _graph(sets, edges, cost, fixed or {})
    ends = vertices[source], vertices[target]
    bound, _ = _solve(graph, *ends, 0, seed)
    if bound == inf:
        return _nothing(f"no path from {source!r} to {target!r}: the graph does not join them", inf, begin)
    total, result = _solve(graph, *ends, max(1, roundings), seed)
    if total == inf:
        message = f"the relaxation costs {bound:.6g}, but none of {roundings} rounded paths is feasible: allow more"
        return _nothing(message, bound, begin)
    names = (source, *(edge.v().name() for edge in graph.GetSolutionPath(*ends, result)))
    x = np.array([result.GetSolution(vertices[name].x()) for name in names])
    message = f"{' - '.join(names)}: cost {total:.6g}, no path costs less than {bound:.6g}"
    found = GraphPath(names=names, x=x, cost=total, bound=bound, status="converged", message=message)
    return replace(found, seconds=perf_counter() - begin)


def _nothing(message: str, bound: float, begin: float) -> GraphPath:
    found = GraphPath(names=(), x=np.empty((0, 0)), cost=inf, bound=bound, status="infeasible", message=message)
    return replace(found, seconds=perf_counter() - begin)


def options(roundings: int, seed: int):
    """Drake's settings: the relaxation, then this many distinct rounded paths, Clarabel throughout."""
    from pydrake.geometry.optimization import GraphOfConvexSetsOptions
    from pydrake.solvers import ClarabelSolver

    chosen = GraphOfConvexSetsOptions()
    chosen.convex_relaxation, chosen.preprocessing = True, False
    chosen.max_rounded_paths, chosen.max_rounding_trials = roundings, 10 * roundings
    chosen.rounding_seed, chosen.solver = seed, ClarabelSolver()
    return chosen


def drake_set(convex: ConvexSet):
    """The set as one of Drake's."""
    from pydrake.geometry.optimization import HPolyhedron, Hyperellipsoid, Point

    if isinstance(convex, Polytope):
        return HPolyhedron(convex.A, convex.b)
    if isinstance(convex, Ellipsoid):
        return Hyperellipsoid(np.asarray(convex.A, float), np.asarray(convex.centre, float))
    return Point(np.asarray(convex, float))


def _graph(sets: Mapping, edges: Sequence[Edge], cost, fixed: Mapping[Edge, float]):
    from pydrake.geometry.optimization import GraphOfConvexSets
    from pydrake.solvers import Binding, Cost, L2NormCost, QuadraticCost

    graph = GraphOfConvexSets()
    vertices = {name: graph.AddVertex(drake_set(convex), name) for name, convex in sets.items()}
    for u, v in edges:
        edge = graph.AddEdge(vertices[u], vertices[v], f"{u}-{v}")
        kind = cost if isinstance(cost, str) else cost[u, v]
        if kind not in COSTS:
            raise unknown("edge cost", kind, COSTS)
        m = len(edge.xu())
        D = np.hstack([-np.eye(m), np.eye(m)])
        of = QuadraticCost(2 * D.T @ D, np.zeros(2 * m), 0.0) if kind == "squared" else L2NormCost(D, np.zeros(m))
        edge.AddCost(Binding[Cost](of, np.concatenate([edge.xu(), edge.xv()])))
        if fixed.get((u, v)):
            edge.AddCost(fixed[u, v])
    return graph, vertices


def _solve(graph, source, target, roundings: int, seed: int):
    """Cost and result with this many rounded paths; 0 for the relaxation alone; inf where there is no solution."""
    with quiet():
        result = graph.SolveShortestPath(source, target, options(roundings, seed))
    return (float(result.get_optimal_cost()) if result.is_success() else inf), result
