"""How fast a path can be run through: time-optimal parameterisation under joint limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan
from time import perf_counter

import numpy as np

from controllers.reference import Polynomial, basis
from controllers.search.drake_solvers import needs_drake, quiet
from controllers.search.path import Path
from controllers.search.space import FreeSpace

BESIDE = 1e-2  # of the spacing: how far before a break its left side is looked at


@dataclass(frozen=True, kw_only=True, eq=False)
class Timed:
    """A path q(s) with its timing s(t): a reference with two derivatives, from rest to rest.

    path: as a function of s; s: a Polynomial of one coordinate in t [s]. status "converged" or "infeasible", message;
    seconds: wall time.
    """

    path: Polynomial
    s: Polynomial | None
    status: str
    message: str
    seconds: float = nan

    @property
    def ok(self) -> bool:
        """Whether there is a timing."""
        return self.status == "converged"

    @property
    def duration(self) -> float:
        """[s]; inf without a timing."""
        return inf if self.s is None else float(self.s.t[-1])

    def __call__(self, t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """q, qdot, qddot at t [s], each (n,)."""
        return tuple(self.derivatives(t, 2))

    def derivatives(self, t, order: int = 2) -> np.ndarray:
        """q and its derivatives up to order <= 2, (..., order + 1, n), at t (...) [s]: qdot = q' sdot and so on."""
        if self.s is None or order > 2:
            raise ValueError(f"Timed: {'the jerk of a time-optimal path jumps' if self.s else self.message}")
        s, ds, dds = np.moveaxis(self.s.derivatives(t, 2)[..., 0], -1, 0)
        y = self.path.derivatives(s, 2)
        first = y[..., 1, :] * ds[..., None]
        second = y[..., 2, :] * (ds**2)[..., None] + y[..., 1, :] * dds[..., None]
        return np.stack([y[..., 0, :], first, second][: order + 1], axis=-2)


def time_optimal(path: Polynomial, *, v_max, a_max, points: int | Sequence[float] = 201) -> Timed:
    """The fastest run along the path, from rest to rest, with |qdot| <= v_max and |qddot| <= a_max, each (n,).

    path: q(s) with a continuous first derivative (see `rounded` for a chain of waypoints). The limits are kept at
    `points` even values of s and on both sides of every break of the path, or just at those given; in between to first
    order in the spacing. A path that cannot be timed is status "infeasible". Raises ValueError for limits that are not
    positive and for a path with a corner. Source: Pham and Pham, A new approach to time-optimal path parameterization
    based on reachability analysis, 2018; Drake's Toppra.
    """
    needs_drake("time_optimal")
    begin = perf_counter()
    n = path.coefficients.shape[1]
    v_max, a_max = (np.broadcast_to(np.asarray(limit, float), (n,)) for limit in (v_max, a_max))
    if not ((v_max > 0).all() and (a_max > 0).all()):
        raise ValueError(f"time_optimal: limits must be positive, got {v_max.tolist()} and {a_max.tolist()}")
    _no_corners(path)
    grid = np.asarray(points, float) if np.ndim(points) else _grid(path, int(points))
    s = _toppra(path, v_max, a_max, grid)
    if s is None:
        message = "no timing keeps the limits: the path turns too sharply for a_max, or its derivative vanishes inside"
        return Timed(path=path, s=None, status="infeasible", message=message, seconds=perf_counter() - begin)
    message = f"{float(s.t[-1]):.6g} s over {len(grid)} points"
    return Timed(path=path, s=s, status="converged", message=message, seconds=perf_counter() - begin)


def _no_corners(path: Polynomial) -> None:
    rows = basis(np.diff(path.t), path.coefficients.shape[-1] - 1, 1)[:, 1]
    ends = np.einsum("pj,pnj->pn", rows, path.coefficients)[:-1]
    beginnings = path.coefficients[1:, :, 1]
    jump = np.abs(ends - beginnings).max(axis=1, initial=0.0)
    if jump.max(initial=0.0) > 1e-6 * (1.0 + np.abs(beginnings).max(initial=0.0)):
        s = path.t[1 + int(np.argmax(jump))]
        raise ValueError(f"time_optimal: the path turns a corner at s = {s:.6g}; round it first (`rounded`)")


def _grid(path: Polynomial, points: int) -> np.ndarray:
    """Even values of s, and two close ones about each inner break, where the second derivative may jump."""
    even = np.linspace(path.t[0], path.t[-1], points)
    gap = BESIDE * (even[1] - even[0])
    inner = path.t[1:-1]
    even = even[(np.abs(even[:, None] - inner) > 2 * gap).all(1)]
    return np.unique(np.concatenate([even, inner, inner - gap]))


def rounded(free: FreeSpace, path: Path, *, radius: float) -> Polynomial:
    """The chain of motions of a Path as one curve q(s), s its length, with each corner replaced by a parabola.

    A parabola leaves a motion at most `radius` (and at most half the motion) before the corner; it is made smaller
    until it is free. A path that is taut about its obstacles leaves no room: plan it with them grown. s runs evenly
    along the motions, and the first derivative is continuous; angles are unwrapped.
    """
    space = path.space
    if not path.ok:
        raise ValueError(f"rounded: there is no path: {path.message}")
    steps = space.difference(path.q[:-1], path.q[1:])
    lengths = np.linalg.norm(space.weights * steps, axis=1)
    steps, lengths = steps[lengths > 0], lengths[lengths > 0]
    if not len(steps):
        raise ValueError("rounded: the path has no length")
    corners = path.q[0] + np.concatenate([np.zeros((1, space.n)), np.cumsum(steps, axis=0)])
    ways = steps / lengths[:, None]
    reach = np.zeros(len(corners))
    for i in range(1, len(steps)):
        reach[i] = _reach(free, corners[i], ways[i - 1], ways[i], min(radius, lengths[i - 1] / 2, lengths[i] / 2))
    breaks, pieces, s = [0.0], [], 0.0
    for i, way in enumerate(ways):
        if i and reach[i] > 0:  # q(s) from corner - r w0 to corner + r w1, parameter from 0 to 2 r
            r, before = reach[i], ways[i - 1]
            pieces.append(np.stack([corners[i] - r * before, before, (way - before) / (4 * r)], axis=-1))
            s += 2 * r
            breaks.append(s)
        straight = lengths[i] - reach[i] - reach[i + 1]
        if straight > 1e-9:
            pieces.append(np.stack([corners[i] + reach[i] * way, way, 0.0 * way], axis=-1))
            s += straight
            breaks.append(s)
    return Polynomial(np.array(breaks), np.array(pieces))


def _reach(free: FreeSpace, corner, before, after, radius: float) -> float:
    """The largest of radius, radius/2, ... whose parabola at the corner is free in 32 chords."""
    u = np.linspace(0.0, 1.0, 33)[:, None]
    for _ in range(30):
        q = corner + radius * (-before * (1 - u) ** 2 + after * u**2)
        q = free.space.integrate(q, 0.0 * q)
        if free.valid(q).all() and free.clear(q[:-1], q[1:]).all():
            return radius
        radius /= 2
    return radius


def _toppra(path: Polynomial, v_max, a_max, grid) -> Polynomial | None:
    """s(t) by Drake, for a plant of sliders that is there for its number of joints only."""
    from pydrake.multibody.optimization import Toppra
    from pydrake.multibody.plant import MultibodyPlant
    from pydrake.multibody.tree import PrismaticJoint, SpatialInertia
    from pydrake.polynomial import Polynomial as DrakesPolynomial
    from pydrake.trajectories import PiecewisePolynomial

    n = len(v_max)
    plant = MultibodyPlant(0.0)
    for i in range(n):
        body = plant.AddRigidBody(f"body{i}", SpatialInertia.SolidSphereWithMass(1.0, 1.0))
        frame = body.body_frame()
        plant.AddJoint(PrismaticJoint(f"joint{i}", plant.world_frame(), frame, [0.0, 0.0, 1.0]))
    plant.Finalize()
    pieces = [np.array([[DrakesPolynomial(row)] for row in piece]) for piece in path.coefficients]
    curve = PiecewisePolynomial(pieces, path.t)  # Toppra does not keep it alive
    toppra = Toppra(curve, plant, np.asarray(grid, float))
    toppra.AddJointVelocityLimit(-v_max, v_max)
    toppra.AddJointAccelerationLimit(-a_max, a_max)
    with quiet():
        s = toppra.SolvePathParameterization()
    if s is None:
        return None
    rows = [s.getPolynomial(i, 0, 0).GetCoefficients() for i in range(s.get_number_of_segments())]
    size = max(len(row) for row in rows)
    coefficients = np.array([[np.pad(row, (0, size - len(row)))] for row in rows])
    return Polynomial(np.array(s.get_segment_times()), coefficients)
