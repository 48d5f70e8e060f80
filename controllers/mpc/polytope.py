"""Convex sets given by half-spaces, and the largest of them that a stable loop never leaves."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Polytope:
    """The points x (n,) with Hx <= h; H (m, n), h (m,). Raises ValueError for shapes that do not fit, or NaN."""

    H: np.ndarray
    h: np.ndarray

    def __post_init__(self):
        H, h = np.asarray(self.H, float), np.asarray(self.h, float)
        if H.ndim != 2 or h.shape != H.shape[:1] or np.isnan(H).any() or np.isnan(h).any():
            raise ValueError(f"Polytope: want H (m, n) and h (m,) without NaN, got {H.shape} and {h.shape}")
        object.__setattr__(self, "H", H)
        object.__setattr__(self, "h", h)

    def contains(self, x, tolerance: float = 0.0) -> np.ndarray:
        """True (...) where x (..., n) is inside, or outside by no more than `tolerance` [units of h]."""
        return np.asarray((np.asarray(x, float) @ self.H.T <= self.h + tolerance).all(axis=-1))

    def support(self, direction) -> float:
        """The maximum of direction'x over the set (a linear program); inf if unbounded, -inf if the set is empty."""
        from scipy.optimize import linprog

        result = linprog(-np.asarray(direction, float), A_ub=self.H, b_ub=self.h, bounds=(None, None), method="highs")
        if result.status == 0:
            return float(-result.fun)
        if result.status == 3:
            return float("inf")
        return float("-inf") if self.ball()[1] < 0 else float("inf")  # HiGHS says "infeasible or unbounded"

    def ball(self) -> tuple[np.ndarray, float]:
        """Centre (n,) and radius of a largest ball inside (the radius at most 1e6); negative if the set is empty.

        Source: Boyd and Vandenberghe, Convex Optimization, section 4.3.1 (Chebyshev centre).
        """
        from scipy.optimize import linprog

        n = self.H.shape[1]
        length = np.linalg.norm(self.H, axis=1)
        result = linprog(
            np.r_[np.zeros(n), -1.0],
            A_ub=np.column_stack([self.H, length]),
            b_ub=self.h,
            bounds=[(None, None)] * n + [(None, 1e6)],
            method="highs",
        )
        return (result.x[:n], float(result.x[n])) if result.status == 0 else (np.zeros(n), float("-inf"))

    def minimal(self, tolerance: float = 1e-9) -> "Polytope":
        """The same set without the rows that the others imply (one linear program a row)."""
        keep = np.linalg.norm(self.H, axis=1) > 1e-12
        for i in np.flatnonzero(keep):
            keep[i] = False
            others = Polytope(np.vstack([self.H[keep], self.H[i]]), np.r_[self.h[keep], self.h[i] + 1.0])
            keep[i] = others.support(self.H[i]) > self.h[i] + tolerance
        return Polytope(self.H[keep], self.h[keep])

    def vertices(self) -> np.ndarray:
        """The corners (k, n) of a bounded set of two or more dimensions (Qhull); for small n only.

        Raises ValueError if the set has no interior or no bounds.
        """
        from scipy.spatial import HalfspaceIntersection

        centre, radius = self.ball()
        axes = np.vstack([np.eye(len(centre)), -np.eye(len(centre))])
        if radius < 1e-12 or not all(np.isfinite(self.support(axis)) for axis in axes):
            raise ValueError(
                f"vertices: the set must be bounded and have an interior; its largest ball is {radius:.3g}"
            )
        found = HalfspaceIntersection(np.column_stack([self.H, -self.h]), centre).intersections
        return np.unique(np.round(found[np.isfinite(found).all(axis=1)], 12), axis=0)

    def sample(self, n: int, rng: np.random.Generator, *, steps: int = 50) -> np.ndarray:
        """n points (n, dim) spread over a bounded set, each after `steps` of hit and run from the centre.

        Source: Smith, "Efficient Monte Carlo procedures for generating points uniformly distributed over bounded
        regions", Operations Research, 1984.
        """
        centre, radius = self.ball()
        if radius < 0:
            raise ValueError("sample: the set is empty")
        x = np.tile(centre, (n, 1))
        for _ in range(steps):
            along = rng.standard_normal(x.shape)
            speed, room = along @ self.H.T, self.h - x @ self.H.T
            with np.errstate(divide="ignore", invalid="ignore"):
                reach = room / speed
            forth = np.where(speed > 1e-12, reach, np.inf).min(axis=1)
            back = np.where(speed < -1e-12, reach, -np.inf).max(axis=1)
            if not (np.isfinite(forth).all() and np.isfinite(back).all()):
                raise ValueError("sample: the set is unbounded")
            x = x + rng.uniform(back, forth)[:, None] * along
        return x


def box(lower, upper) -> Polytope:
    """The points with lower <= x <= upper, both (n,); an infinite side gives no row."""
    lower, upper = np.asarray(lower, float), np.asarray(upper, float)
    eye = np.eye(len(lower))
    above, below = np.isfinite(upper), np.isfinite(lower)
    return Polytope(np.vstack([eye[above], -eye[below]]), np.r_[upper[above], -lower[below]])


def maximal_admissible_set(A, constraints: Polytope, *, limit: int = 300, tolerance: float = 1e-9) -> Polytope:
    """The largest set of x from which x+ = Ax keeps every A^k x, k = 0, 1, ..., within `constraints`, minimal rows.

    The rows H A^k are added step by step until all of one step are implied by those before (a linear program each):
    no later ones can then matter. A (n, n) with all |eigenvalues| < 1; 0 strictly inside the constraints. Raises
    ValueError otherwise, or if `limit` steps do not suffice. Source: Gilbert and Tan, "Linear systems with state and
    control constraints: the theory and application of maximal output admissible sets", IEEE TAC, 1991.
    """
    A = np.asarray(A, float)
    radius = float(np.abs(np.linalg.eigvals(A)).max())
    if radius >= 1.0:
        raise ValueError(f"maximal_admissible_set: A must be stable, its largest |eigenvalue| is {radius:.6g}")
    if not (constraints.h > 0).all():
        worst = int(np.argmin(constraints.h))
        raise ValueError(
            "maximal_admissible_set: the origin must lie strictly inside the constraints; row "
            f"{worst} leaves {constraints.h[worst]:.3g}: move the goal away from the limit"
        )
    scale = constraints.h[:, None]
    rows = now = constraints.H / scale  # every row as g x <= 1
    if not len(rows):
        return constraints
    for _ in range(limit):
        now = now @ A
        found = Polytope(rows, np.ones(len(rows)))
        new = [g for g in now if np.linalg.norm(g) > 1e-12 and _reaches(found, g) > 1.0 + tolerance]
        if not new:
            return found.minimal()
        rows = np.vstack([rows, *new])
    raise ValueError(
        f"maximal_admissible_set: not determined after {limit} steps; the loop is slow (|eigenvalue| {radius:.6g}) for "
        "its sampling time: raise limit, or the weights Q"
    )


def _reaches(found: Polytope, g: np.ndarray) -> float:
    """The maximum of g'x over the set, or just above 1 where it is more: no need to know how much."""
    cut = Polytope(np.vstack([found.H, g]), np.r_[found.h, 2.0])
    return cut.support(g)
