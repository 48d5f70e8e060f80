"""Convex polytopes: obstacles to go around and regions to stay in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PARALLEL = 1e-12  # a motion whose direction has a smaller component along a unit normal runs along that face
TOUCH = 1e-9  # depth [m] up to which a point on a face counts as outside


@dataclass(frozen=True, eq=False)
class Polytope:
    """The points p (m,) with A p <= b.

    A (F, m), b (F,); the rows are scaled to unit normals, so that b - A p are distances to the faces [m]. Raises
    ValueError for shapes that do not fit and for a row of zeros.
    """

    A: np.ndarray
    b: np.ndarray

    def __post_init__(self):
        A, b = np.array(self.A, float), np.array(self.b, float)
        if A.ndim != 2 or b.shape != A.shape[:1] or not (np.isfinite(A).all() and np.isfinite(b).all()):
            raise ValueError(f"Polytope: wanted finite A (F, m) and b (F,), got {A.shape} and {b.shape}")
        length = np.linalg.norm(A, axis=1)
        if not (length > 0).all():
            raise ValueError(f"Polytope: row {int(np.argmin(length))} of A is zero: a face needs a normal")
        object.__setattr__(self, "A", A / length[:, None])
        object.__setattr__(self, "b", b / length)

    @property
    def m(self) -> int:
        """Dimension of the space it lies in."""
        return self.A.shape[1]

    def depth(self, p) -> np.ndarray:
        """Distance (...) [m] from p (..., m) to the nearest face plane, positive inside, negative outside."""
        return (self.b - np.asarray(p, float) @ self.A.T).min(-1)

    def grown(self, margin: float) -> "Polytope":
        """The polytope with every face moved outward by margin [m]: holds every point within margin of this one."""
        return Polytope(self.A, self.b + margin)

    def centre(self) -> np.ndarray:
        """The centre (m,) of the largest ball inside; ValueError if the polytope is empty or unbounded."""
        from scipy.optimize import linprog

        columns = np.column_stack([self.A, np.ones(len(self.b))])
        found = linprog(
            np.append(np.zeros(self.m), -1.0), columns, self.b, bounds=[(None, None)] * self.m + [(0, None)]
        )
        if not found.success:
            raise ValueError(f"Polytope: no largest ball inside A p <= b: {found.message}")
        return found.x[:-1]

    def vertices(self) -> np.ndarray:
        """The corners (V, m), in the plane counter-clockwise; ValueError if it is flat, empty or unbounded."""
        from scipy.spatial import ConvexHull, HalfspaceIntersection

        corners = HalfspaceIntersection(np.column_stack([self.A, -self.b]), self.centre()).intersections
        corners = corners[np.isfinite(corners).all(-1)]
        return corners[ConvexHull(corners).vertices]


def hull(points) -> Polytope:
    """The convex hull of points (V, m), m >= 2; ValueError if they are too few, or flat."""
    from scipy.spatial import ConvexHull, QhullError

    points = np.asarray(points, float)
    try:
        faces = ConvexHull(points).equations
    except (QhullError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"hull: points {points.shape} span no solid polytope ({reason})") from None
    faces = faces[np.lexsort(np.round(faces, 9).T)]
    different = np.append(True, (np.abs(np.diff(faces, axis=0)) > 1e-9).any(axis=1))  # qhull splits faces in simplices
    return Polytope(faces[different, :-1], -faces[different, -1])


def cuboid(lower, upper) -> Polytope:
    """The box lower <= p <= upper, both (m,); ValueError unless lower < upper."""
    lower, upper = np.atleast_1d(np.asarray(lower, float)), np.atleast_1d(np.asarray(upper, float))
    if lower.shape != upper.shape or not (lower < upper).all():
        raise ValueError(f"cuboid: wanted lower < upper in each component, got {lower.tolist()} and {upper.tolist()}")
    eye = np.eye(len(lower))
    return Polytope(np.vstack([eye, -eye]), np.concatenate([upper, -lower]))


class Obstacles:
    """Several polytopes as one stack of faces, for tests of many points and segments at once.

    polytopes: all of the same dimension m. The interiors are forbidden; touching a face is allowed.
    """

    def __init__(self, polytopes: Sequence[Polytope]):
        self.polytopes = tuple(polytopes)
        sizes = {polytope.m for polytope in self.polytopes}
        if len(sizes) > 1:
            raise ValueError(f"Obstacles: all polytopes must have the same dimension, got {sorted(sizes)}")
        self.m = sizes.pop() if sizes else 0
        faces = max((len(p.b) for p in self.polytopes), default=0)
        # missing faces repeat the last one: they change nothing
        pad = [np.minimum(np.arange(faces), len(p.b) - 1) for p in self.polytopes]
        self._A = (
            np.concatenate([p.A[i] for p, i in zip(self.polytopes, pad, strict=True)]) if pad else np.empty((0, 0))
        )
        self._AT = np.ascontiguousarray(self._A.T)
        self._b = np.concatenate([p.b[i] for p, i in zip(self.polytopes, pad, strict=True)]) if pad else np.empty(0)
        self._shape = (len(pad), faces)

    def depth(self, p) -> np.ndarray:
        """Depth (..., M) [m] of points p (..., m) in each polytope, negative outside."""
        inside = self._b - np.asarray(p, float) @ self._AT
        return inside.reshape(*inside.shape[:-1], *self._shape).min(-1)

    def miss(self, p, q) -> np.ndarray:
        """Whether the segments from p to q (N, m) meet no interior, exactly: (N,) bool.

        Each face plane cuts a segment p + s (q - p) into a part inside and a part outside; the segment meets the
        interior if the parts inside have more than a point in common (Cyrus and Beck, 1978).
        """
        p, q = np.asarray(p, float), np.asarray(q, float)
        if not self.polytopes:
            return np.ones(len(p), dtype=bool)
        # the face planes are drawn inward by TOUCH, so that a segment along a face is free in spite of rounding
        start, along = p @ self._AT - (self._b - TOUCH), (q - p) @ self._AT
        parallel = np.abs(along) < PARALLEL
        with np.errstate(divide="ignore", invalid="ignore"):
            s = -start / along
        enter = np.where(parallel, np.where(start < 0, -np.inf, np.inf), np.where(along < 0, s, -np.inf))
        leave = np.where(parallel | (along < 0), np.inf, s)
        shape = (len(p), *self._shape)
        enter = np.maximum(enter.reshape(shape).max(-1), 0.0)
        leave = np.minimum(leave.reshape(shape).min(-1), 1.0)
        return (enter > leave).all(-1)
