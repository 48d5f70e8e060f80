"""Obstacles and places as constraints: circles, spheres and boxes to keep out of, points to be at."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from controllers.checks import finite
from controllers.constraint import Constraint
from sims.system import stack

Position = Sequence[int] | Callable[[Any], Any]


def keep_out(
    center, radius: float, *, label: str, position: Position = (0, 1), clearance: float = 0.0, knots="all"
) -> Constraint:
    """|p(x) - center| - radius >= clearance: out of a circle, center (2,), or a sphere (3,) [m].

    position: the indices of p in x, or a function x (..., nx) -> p (..., 2 or 3), such as a point of an arm. The root
    is sqrt(|.|^2 + e^2) with e a thousandth of radius + clearance, so that g has all derivatives at the centre too; the
    boundary stays where it is. Raises ValueError for shapes that do not fit and a radius + clearance that is not > 0.
    """
    center = _point(label, center, position)
    distance = float(radius) + float(clearance)
    if not (0.0 <= radius < np.inf and 0.0 < distance < np.inf):
        raise ValueError(
            f"constraint {label!r}: radius must be >= 0 and radius + clearance > 0, got {radius!r} and {clearance!r}"
        )
    p, soft = _position(position), (1e-3 * distance) ** 2
    offset = np.sqrt(distance**2 + soft) - clearance  # g = clearance exactly at distance radius + clearance

    def g(x, u):
        square = _sum([(c - center[i]) * (c - center[i]) for i, c in enumerate(_parts(p(x), len(center)))])
        return stack([np.sqrt(square + soft) - offset])

    return Constraint(label, g, np.array([clearance]), np.array([np.inf]), knots, "m", "x")


def keep_out_box(
    lower, upper, *, label: str, position: Position = (0, 1), clearance: float = 0.0, knots="all"
) -> Constraint:
    """max_i (|p_i(x) - c_i| - h_i) >= clearance: out of the box lower <= p <= upper, (2,) or (3,) [m].

    c, h: its centre and half sizes. Absolute value and maximum are smooth: |z| - h is sqrt(z^2 + e^2) - sqrt(h^2 + e^2)
    and max(a, b) is (a + b + sqrt((a - b)^2 + e^2) - e) / 2, with e = 1 % of the smallest half size. From the
    boundary on both are below what they stand for, so that a state that satisfies the constraint is outside the box and
    its clearance; it stands off by up to e more. Raises ValueError for shapes that do not fit and a box without inside.
    """
    lower, upper = _point(label, lower, position), _point(label, upper, position)
    if lower.shape != upper.shape or not (lower < upper).all():
        raise ValueError(
            f"constraint {label!r}: a box needs lower < upper in every direction, got {lower.tolist()} and "
            f"{upper.tolist()}"
        )
    p, c, h = _position(position), 0.5 * (lower + upper), 0.5 * (upper - lower)
    soft = 0.01 * h.min()
    reach = np.sqrt((h + clearance) ** 2 + soft**2) - clearance

    def g(x, u):
        parts = _parts(p(x), len(c))
        faces = [np.sqrt((q - c[i]) * (q - c[i]) + soft**2) - reach[i] for i, q in enumerate(parts)]
        total = faces[0]
        for face in faces[1:]:
            apart = total - face
            total = 0.5 * (total + face + np.sqrt(apart * apart + soft**2) - soft)
        return stack([total])

    return Constraint(label, g, np.array([clearance]), np.array([np.inf]), knots, "m", "x")


def goal_position(
    target, *, label: str, position: Position = (0, 1), tolerance: Any = 0.0, knots="final"
) -> Constraint:
    """p(x) = target (d,) [m], or within +-tolerance of it along each axis, at the last knot.

    position: the indices of p in x, or a function x (..., nx) -> p (..., d). Raises ValueError for shapes that do not
    fit and a negative tolerance.
    """
    target = finite(f"constraint {label!r}: target", target)
    tolerance = np.broadcast_to(np.asarray(tolerance, float), target.shape)
    if target.ndim != 1 or not (tolerance >= 0).all():
        raise ValueError(
            f"constraint {label!r}: target must be (d,) and tolerance >= 0, got {target.shape}, {tolerance.tolist()}"
        )
    p = _position(position)
    return Constraint(label, lambda x, u: p(x), target - tolerance, target + tolerance, knots, "m", "x")


def _point(label: str, value, position: Position) -> np.ndarray:
    point = finite(f"constraint {label!r}: centre or corner", value)
    size = None if callable(position) else len(position)
    if point.shape not in ((2,), (3,)) or size not in (None, len(point)):
        wanted = "(2,) or (3,)" if size is None else f"({size},), as position has {size} indices"
        raise ValueError(f"constraint {label!r}: centre and corners must be {wanted}, got {point.shape}")
    return point


def _position(position: Position) -> Callable[[Any], Any]:
    if callable(position):
        return position
    rows = [int(i) for i in position]
    return lambda x: x[..., rows]


def _parts(p, d: int) -> list:
    return [p[..., i] for i in range(d)]


def _sum(terms: list):
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
