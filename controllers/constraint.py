"""What a trajectory must keep to, in the user's words: labelled constraints, their derivatives and violations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from controllers.checks import finite
from controllers.derivatives import Differentiated
from controllers.planner import Violation
from controllers.tangent import Difference, Integrate, add, jacobian_of_difference, lift, subtract
from sims.errors import unknown
from sims.simulator import Simulator
from sims.system import System
from sims.trajectory import Trajectory

KNOTS = ("all", "start", "final")
READS = ("x", "u", "xu")


@dataclass(frozen=True, eq=False)
class Constraint:
    """lower <= g(x, u) <= upper at some knots of a trajectory x (T+1, nx), u (T, nu); equal bounds for an equality.

    label: the user's words ("torque limit elbow"); g(x, u) -> (..., m), plain NumPy with any leading axes, so that
    CasADi symbols (nx,) and dl tensors pass through it (join with sims.system.stack); lower, upper (m,) or one number
    for all, infinite where open; unit of g, for messages. knots: "all", "start", "final" or indices, negative ones from
    the end. reads: "x" if g does not look at u: it then acts on the knots 0..T; otherwise ("u", "xu") on 0..T-1, and
    "final" is T-1. derivative(x, u) -> (dg/ddx (..., m, ndx), dg/du (..., m, nu)): given where dl cannot find it, as on
    a manifold. Raises ValueError for an empty label, bounds of different shapes, lower > upper, and unknown words.
    """

    label: str
    g: Callable
    lower: np.ndarray
    upper: np.ndarray
    knots: str | tuple[int, ...] = "all"
    unit: str = ""
    reads: str = "xu"
    derivative: Callable | None = None

    def __post_init__(self):
        if not (isinstance(self.label, str) and self.label.strip()):
            raise ValueError(f"a constraint needs a label, the words that messages use for it; got {self.label!r}")
        lower, upper = (np.atleast_1d(np.array(bound, float)) for bound in (self.lower, self.upper))
        if lower.ndim != 1 or lower.shape != upper.shape:
            raise ValueError(
                f"constraint {self.label!r}: lower and upper must both be (m,), got {lower.shape} and {upper.shape}"
            )
        if not (lower <= upper).all():
            i = int(np.flatnonzero(~(lower <= upper))[0])
            raise ValueError(
                f"constraint {self.label!r}: lower must be <= upper, got {lower[i]:g} and {upper[i]:g} in row {i}"
            )
        if self.reads not in READS:
            raise unknown(f"reads of constraint {self.label!r}", self.reads, READS)
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)
        object.__setattr__(self, "knots", _words_or_indices(self.label, self.knots))

    @property
    def m(self) -> int:
        """Number of rows."""
        return len(self.lower)

    @property
    def equality(self) -> np.ndarray:
        """(m,): True for the rows whose bounds are equal."""
        return self.lower == self.upper

    def at(self, T: int) -> np.ndarray:
        """The knots it acts on, as indices (K,), of a trajectory with T steps; ValueError for one that is not there."""
        n = T + 1 if self.reads == "x" else T
        if isinstance(self.knots, str):
            return {"all": np.arange(n), "start": np.arange(1), "final": np.arange(n - 1, n)}[self.knots]
        found = np.array(self.knots, int)
        if ((found < -n) | (found >= n)).any():
            wrong = found[(found < -n) | (found >= n)].tolist()
            of = "states" if self.reads == "x" else "inputs"
            raise ValueError(f"constraint {self.label!r}: knots {wrong} of a trajectory whose {of} have 0..{n - 1}")
        return np.unique(found % n)

    def value(self, x, u) -> np.ndarray:
        """g (..., m) at x (..., nx), u (..., nu); ValueError if g gives another number of rows."""
        g = np.asarray(self.g(x, u), float)
        if g.ndim == 0 or g.shape[-1] != self.m:
            raise ValueError(
                f"constraint {self.label!r}: bounds have {self.m} rows, so g must be (..., {self.m}), got {g.shape}"
            )
        return g

    def jacobian(self, x, u, integrate: Integrate = add, ndx: int | None = None) -> tuple[np.ndarray, ...]:
        """g (..., m), dg/ddx (..., m, ndx), dg/du (..., m, nu), all knots in one call; ndx: nx if None."""
        if self.derivative is not None:
            return self.value(x, u), *self.derivative(x, u)
        g, gx, gu = self._differentiated.jacobian(x, u)
        if g.shape[-1] != self.m:
            self.value(x, u)
        E = lift(integrate, x, gx.shape[-1] if ndx is None else ndx)
        return g, gx if E is None else gx @ E, gu

    def violation(self, x, u, knots=None) -> np.ndarray:
        """max over rows of max(lower - g, g - upper, 0), (K,), at `knots` of x (T+1, nx), u (T, nu); None: its own."""
        x, u = np.asarray(x, float), np.asarray(u, float)
        knots = self.at(len(u)) if knots is None else np.asarray(knots, int)
        g = self.value(x[knots], self.inputs(u, knots))
        outside = np.maximum(np.maximum(self.lower - g, g - self.upper), 0.0)
        return np.where(np.isnan(g), np.inf, outside).max(axis=-1, initial=0.0)

    @staticmethod
    def inputs(u: np.ndarray, knots: np.ndarray) -> np.ndarray:
        """u (T, nu) at the knots; the last one again at knot T, for a g that does not look at it."""
        return u[np.minimum(knots, len(u) - 1)]

    @cached_property
    def _differentiated(self) -> Differentiated:
        return Differentiated(self.g, f"g of constraint {self.label!r}")


def violations(
    constraints: Sequence[Constraint], trajectory: Trajectory, tolerance: float = 1e-6
) -> tuple[Violation, ...]:
    """One Violation per constraint that a trajectory (T+1, nx) leaves by more than `tolerance`, the worst first."""
    if trajectory.x.ndim != 2:
        raise ValueError(f"violations: one trajectory, x (T+1, nx); got x {trajectory.x.shape}: pick one, e.g. x[0]")
    found = []
    for constraint in constraints:
        knots = constraint.at(len(trajectory))
        amounts = constraint.violation(trajectory.x, trajectory.u, knots)
        outside = amounts > tolerance
        if outside.any():
            where = tuple(int(k) for k in knots[outside])
            found.append(Violation(constraint.label, where, float(amounts.max()), constraint.unit))
    return tuple(sorted(found, key=lambda violation: -violation.amount))


def input_limits(
    lower, upper, *, label: str = "input limits", components: Sequence[int] | None = None, knots="all", unit: str = ""
) -> Constraint:
    """lower <= u[components] <= upper, (m,) each or one number; components: all m inputs if None.

    One constraint per motor, with a label of its own ("torque limit elbow"), is what a diagnosis can name:
    `limits_of` makes them from a plant.
    """
    return _box(label, lower, upper, components, knots, unit, "u")


def limits_of(plant: Simulator | System) -> tuple[Constraint, ...]:
    """The finite input limits of a plant, one constraint per input: "input limit <name>"."""
    bounds = zip(plant.u_names, plant.u_min, plant.u_max, strict=True)
    return tuple(
        input_limits([low], [high], label=f"input limit {name}", components=[i])
        for i, (name, low, high) in enumerate(bounds)
        if np.isfinite([low, high]).any()
    )


def state_box(
    lower, upper, *, label: str, components: Sequence[int] | None = None, knots="all", unit: str = ""
) -> Constraint:
    """lower <= x[components] <= upper, (m,) each or one number; components: all m states if None."""
    return _box(label, lower, upper, components, knots, unit, "x")


def goal_state(
    x_goal,
    *,
    label: str = "goal",
    tolerance: Any = 0.0,
    components: Sequence[int] | None = None,
    knots="final",
    unit: str = "",
    difference: Difference = subtract,
    integrate: Integrate = add,
) -> Constraint:
    """difference(x_goal, x) = 0, or within +-tolerance (one number or one per row), at the last knot.

    x_goal (nx,); components: rows of the difference (ndx,) that count, all if None; difference and integrate: the
    plant's on a manifold, Wrapped where angles count modulo a turn. Raises ValueError for a negative tolerance.
    """
    x_goal = finite(f"constraint {label!r}: x_goal", x_goal)
    ndx = np.shape(difference(x_goal, x_goal))[-1]
    rows = _components(label, components, ndx)
    tolerance = np.broadcast_to(np.asarray(tolerance, float), (len(rows),))
    if not (tolerance >= 0).all():
        raise ValueError(f"constraint {label!r}: tolerance must be >= 0, got {tolerance.tolist()}")

    def g(x, u):
        return difference(x_goal, x)[..., rows]

    def derivative(x, u):
        D = jacobian_of_difference(difference, integrate, x_goal, x, ndx)
        D = np.broadcast_to(np.eye(ndx), (*x.shape[:-1], ndx, ndx)) if D is None else D
        return D[..., rows, :], np.zeros((*x.shape[:-1], len(rows), u.shape[-1]))

    return Constraint(label, g, -tolerance, tolerance, knots, unit, "x", derivative)


def _box(label: str, lower, upper, components, knots, unit: str, reads: str) -> Constraint:
    lower, upper = np.atleast_1d(np.asarray(lower, float)), np.atleast_1d(np.asarray(upper, float))
    rows = slice(None)  # all of x or u, whose size `value` compares with the bounds
    if components is not None:
        rows = _components(label, components, 0)
        try:
            lower, upper = np.broadcast_to(lower, (len(rows),)), np.broadcast_to(upper, (len(rows),))
        except ValueError:
            raise ValueError(
                f"constraint {label!r}: {len(rows)} components, but lower is {lower.shape} and upper {upper.shape}"
            ) from None

    def g(x, u):
        return (x if reads == "x" else u)[..., rows]

    def derivative(x, u):
        batch = np.broadcast_shapes(x.shape[:-1], u.shape[:-1])
        select = np.eye((x if reads == "x" else u).shape[-1])[rows]
        blocks = [np.zeros((*batch, len(select), part.shape[-1])) for part in (x, u)]
        blocks[reads == "u"][...] = select
        return blocks[0], blocks[1]

    return Constraint(label, g, lower, upper, knots, unit, reads, derivative)


def _components(label: str, components, size: int) -> list[int]:
    """components as a list of indices, 0..size-1 if None; ValueError for anything else than distinct indices."""
    if components is None:
        return list(range(size))
    rows = [int(i) for i in components]
    if not rows or len(set(rows)) != len(rows) or rows != list(components) or min(rows) < 0:
        raise ValueError(f"constraint {label!r}: components must be distinct indices >= 0, got {components!r:.100}")
    return rows


def _words_or_indices(label: str, knots) -> str | tuple[int, ...]:
    if isinstance(knots, str):
        if knots not in KNOTS:
            raise unknown(f"knots of constraint {label!r} (or give indices)", knots, KNOTS)
        return knots
    array = np.atleast_1d(np.asarray(knots))
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu":
        raise ValueError(
            f"constraint {label!r}: knots must be one of {', '.join(KNOTS)} or indices, got {knots!r:.100}"
        )
    return tuple(int(k) for k in array)
