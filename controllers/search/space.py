"""Configuration spaces, and which part of one is free of obstacles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from controllers.base import wrap_angle
from controllers.search.polytope import TOUCH, Obstacles, Polytope


@dataclass(frozen=True, eq=False)
class Space:
    """Configurations q (n,) between lower and upper, some of which are angles that wrap.

    lower, upper (n,); angles: indices of components [rad] that live on the circle [-pi, pi), whatever their bounds;
    weights (n,): the metric is |W (r [-] q)|, in metres if a weight of an angle is a length [m/rad]. SE(2) is
    `se2(lower, upper, length)`. Raises ValueError for shapes that do not fit and bounds the wrong way round.
    """

    lower: np.ndarray
    upper: np.ndarray
    angles: tuple[int, ...] = ()
    weights: np.ndarray | float = 1.0

    def __post_init__(self):
        lower, upper = np.array(self.lower, float), np.array(self.upper, float)
        if lower.ndim != 1 or lower.shape != upper.shape:
            raise ValueError(f"Space: lower and upper must both be (n,), got {lower.shape} and {upper.shape}")
        index = np.array(sorted(set(self.angles)), dtype=int)
        if len(index) and not (index[0] >= 0 and index[-1] < len(lower)):
            raise ValueError(f"Space: angle indices must lie in 0..{len(lower) - 1}, got {list(self.angles)}")
        lower[index], upper[index] = -np.pi, np.pi
        if not (np.isfinite(lower).all() and np.isfinite(upper).all() and (lower < upper).all()):
            raise ValueError(f"Space: wanted finite lower < upper, got {lower.tolist()} and {upper.tolist()}")
        weights = np.broadcast_to(np.asarray(self.weights, float), lower.shape).copy()
        if not (np.isfinite(weights).all() and (weights > 0).all()):
            raise ValueError(f"Space: weights must be positive, got {weights.tolist()}")
        for name, value in (
            ("lower", lower),
            ("upper", upper),
            ("weights", weights),
            ("angles", tuple(index.tolist())),
        ):
            object.__setattr__(self, name, value)

    @property
    def n(self) -> int:
        """Number of components."""
        return len(self.lower)

    @property
    def diameter(self) -> float:
        """Length of the diagonal of the box of bounds, in the space's metric; angles count half a turn."""
        size = self.upper - self.lower
        size[list(self.angles)] = np.pi
        return float(np.linalg.norm(self.weights * size))

    def difference(self, q, r) -> np.ndarray:
        """r - q (..., n), angles the short way round: integrate(q, difference(q, r)) = r."""
        d = np.subtract(r, q)
        if self.angles:
            d[..., self.angles] = wrap_angle(d[..., self.angles])
        return d

    def integrate(self, q, d) -> np.ndarray:
        """q + d (..., n), angles in [-pi, pi)."""
        r = np.add(q, d)
        if self.angles:
            r[..., self.angles] = wrap_angle(r[..., self.angles])
        return r

    def distance(self, q, r) -> np.ndarray:
        """|W (r [-] q)| (...)."""
        d = self.weights * self.difference(q, r)
        return np.sqrt((d * d).sum(-1))

    def steer(self, q, r, step: float) -> np.ndarray:
        """The point (..., n) at most `step` from q on the straight way to r."""
        d = self.difference(q, r)
        w = self.weights * d
        length = np.sqrt((w * w).sum(-1, keepdims=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.integrate(q, np.where(length > step, step / length, 1.0) * d)

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """count configurations (count, n), uniform between the bounds."""
        return rng.uniform(self.lower, self.upper, (count, self.n))

    def inside(self, q) -> np.ndarray:
        """Whether q (..., n) keeps the bounds, (...) bool; angles always do."""
        q = np.asarray(q, float)
        ok = (q >= self.lower - TOUCH) & (q <= self.upper + TOUCH)
        ok[..., list(self.angles)] = True
        return np.asarray(ok.all(-1))


def se2(lower, upper, length: float = 1.0) -> Space:
    """SE(2): q = [x, y [m], theta [rad]] with lower, upper (2,) [m]; a turn of 1 rad counts as `length` [m]."""
    pose = [np.append(np.asarray(bound, float), angle) for bound, angle in ((lower, -np.pi), (upper, np.pi))]
    return Space(pose[0], pose[1], angles=(2,), weights=np.array([1.0, 1.0, length]))


@dataclass(frozen=True, eq=False)
class FreeSpace:
    """The part of a space a planner may use: within the bounds, outside all obstacles, and where free(q) holds.

    obstacles: convex, of dimension m, met by the point q[position] (the first m components unless given); straight
    motions are tested against them exactly. free: (N, n) -> (N,) bool, any other condition; motions are tested at
    points at most `resolution` apart (1 % of the space's diameter if None).
    """

    space: Space
    obstacles: Sequence[Polytope] = ()
    free: Callable[[np.ndarray], np.ndarray] | None = None
    resolution: float | None = None
    position: tuple[int, ...] | None = None
    _stack: Obstacles = field(init=False, repr=False)

    def __post_init__(self):
        stack = Obstacles(self.obstacles)
        position = tuple(range(stack.m)) if self.position is None else tuple(self.position)
        if len(position) != stack.m or any(not 0 <= i < self.space.n or i in self.space.angles for i in position):
            raise ValueError(
                f"FreeSpace: obstacles of dimension {stack.m} need as many components of q that are no angles, of "
                f"0..{self.space.n - 1}; got position={position}"
            )
        resolution = 0.01 * self.space.diameter if self.resolution is None else float(self.resolution)
        if not (np.isfinite(resolution) and resolution > 0):
            raise ValueError(f"FreeSpace: resolution must be a positive distance, got {self.resolution!r}")
        for name, value in (("_stack", stack), ("position", position), ("resolution", resolution)):
            object.__setattr__(self, name, value)

    def valid(self, q) -> np.ndarray:
        """Whether configurations q (N, n) may be used, (N,) bool."""
        q = np.asarray(q, float)
        ok = self.space.inside(q)
        if self.obstacles:
            ok &= (self._stack.depth(q[:, self.position]) <= TOUCH).all(-1)
        if self.free is not None:
            ok = ok & self._asked(q)
        return np.asarray(ok)

    def clear(self, q, r) -> np.ndarray:
        """Whether the straight motions from q to r (N, n) may be used, (N,) bool. The bounds of r are not tested."""
        q, r = np.asarray(q, float), np.asarray(r, float)
        ok = np.ones(len(q), dtype=bool)
        if self.obstacles:
            start = q[:, self.position]
            ok = self._stack.miss(start, r[:, self.position])
        if self.free is None or not ok.any():
            return ok
        q, d = q[ok], self.space.difference(q[ok], r[ok])
        length = np.linalg.norm(self.space.weights * d, axis=-1)
        pieces = np.maximum(np.ceil(length / self.resolution).astype(int), 1)
        motion = np.repeat(np.arange(len(q)), pieces + 1)
        first = np.cumsum(pieces + 1) - (pieces + 1)
        share = (np.arange(len(motion)) - first[motion]) / pieces[motion]
        good = self._asked(self.space.integrate(q[motion], share[:, None] * d[motion]))
        ok[ok] = np.logical_and.reduceat(good, first)
        return ok

    def problem(self, q, name: str) -> str:
        """Why q (n,) cannot be used, as a sentence for the user; empty if it can. ValueError for a wrong shape."""
        q = np.asarray(q, float)
        if q.shape != (self.space.n,) or not np.isfinite(q).all():
            raise ValueError(f"{name} must be finite and ({self.space.n},), got {q.tolist()}")
        if not self.space.inside(q):
            low, high = q - self.space.lower, self.space.upper - q
            i = int(np.argmin(np.minimum(low, high)))
            return f"{name}[{i}] = {q[i]:.6g} is outside [{self.space.lower[i]:.6g}, {self.space.upper[i]:.6g}]"
        if self.obstacles:
            depth = self._stack.depth(q[list(self.position)])
            if depth.max() > TOUCH:
                return f"{name} lies {depth.max():.3g} m inside obstacle {int(np.argmax(depth))}"
        if self.free is not None and not self._asked(q[None])[0]:
            return f"{name} is rejected by the function free(q)"
        return ""

    def _asked(self, q: np.ndarray) -> np.ndarray:
        answer = np.asarray(self.free(q)) if self.free is not None else np.ones(len(q), dtype=bool)
        if answer.shape != (len(q),) or answer.dtype != bool:
            raise ValueError(
                f"FreeSpace: free(q) must return ({len(q)},) bool for q {q.shape}, got {answer.dtype} {answer.shape}"
            )
        return answer
