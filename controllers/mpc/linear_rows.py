"""The inequalities of a linear MPC, one row each per knot, with the user's labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from controllers.constraint import Constraint
from controllers.mpc.polytope import Polytope
from controllers.planner import Violation
from sims.errors import unknown

WHO = "LinearMPC"


@dataclass(frozen=True)
class Kind:
    """lower <= gx'x + gu'u <= upper at some knots: gx (nx,), gu (nu,); weight: of a soft row, 0 if it is hard."""

    label: str
    unit: str
    gx: np.ndarray
    gu: np.ndarray
    lower: float
    upper: float
    knots: tuple[int, ...]
    weight: float = 0.0


@dataclass(frozen=True)
class Rows:
    """lower <= C z + C0 x0 <= upper with z = [x[1..T], u[0..T-1]] flat; C (m, T (nx + nu)) sparse, C0 (m, nx).

    kind, knot (m,): which of `kinds` a row is, and where it acts; weight (m,): 0 where it is hard.
    """

    C: Any
    C0: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    kind: np.ndarray
    knot: np.ndarray
    weight: np.ndarray
    kinds: tuple[Kind, ...]

    def violations(self, excess: np.ndarray, tolerance: float) -> tuple[Violation, ...]:
        """What the rows are exceeded by, excess (m,), as one Violation a label, the worst first."""
        found: dict[str, list[tuple[int, float, str]]] = {}
        for i in np.flatnonzero(excess > tolerance):
            kind = self.kinds[self.kind[i]]
            found.setdefault(kind.label, []).append((int(self.knot[i]), float(excess[i]), kind.unit))
        rows = [
            Violation(label, tuple(sorted({k for k, _, _ in at})), max(a for _, a, _ in at), at[0][2])
            for label, at in found.items()
        ]
        return tuple(sorted(rows, key=lambda v: -v.amount))


def assemble(kinds: Sequence[Kind], T: int, nx: int, nu: int) -> Rows:
    """The Rows of all kinds, knot by knot."""
    from scipy import sparse

    at = [(k, i) for k in range(T + 1) for i, kind in enumerate(kinds) if k in set(kind.knots)]
    C, C0 = sparse.lil_matrix((len(at), T * (nx + nu))), np.zeros((len(at), nx))
    for row, (k, i) in enumerate(at):
        kind = kinds[i]
        if k == 0:
            C0[row] = kind.gx
        else:
            C[row, (k - 1) * nx : k * nx] = kind.gx
        if k < T:
            C[row, T * nx + k * nu : T * nx + (k + 1) * nu] = kind.gu
    which = np.array([i for _, i in at], int)
    return Rows(
        sparse.csr_matrix(C),
        C0,
        np.array([kinds[i].lower for i in which], float),
        np.array([kinds[i].upper for i in which], float),
        which,
        np.array([k for k, _ in at], int),
        np.array([kinds[i].weight for i in which], float),
        tuple(kinds),
    )


def bounds(what: str, names: Sequence[str], limits, knots: range, nx: int, nu: int) -> list[Kind]:
    """One Kind for every component that has a finite limit; what: "state" or "input"; limits: lower and upper."""
    size, letter = (nx, "x") if what == "state" else (nu, "u")
    lower = _limit(f"{letter}_min", limits[0], size, -np.inf)
    upper = _limit(f"{letter}_max", limits[1], size, np.inf)
    kinds = []
    for i in range(size):
        if lower[i] > upper[i]:
            raise ValueError(
                f"{WHO}: the limits of {names[i]!r} are the wrong way round: {lower[i]:.6g} is above {upper[i]:.6g}"
            )
        if np.isfinite(lower[i]) or np.isfinite(upper[i]):
            gx, gu = np.zeros(nx), np.zeros(nu)
            (gx if what == "state" else gu)[i] = 1.0
            kinds.append(Kind(f"{what} limit {names[i]}", "", gx, gu, lower[i], upper[i], tuple(knots)))
    return kinds


def affine(constraint: Constraint, T: int, nx: int, nu: int) -> list[Kind]:
    """The Kinds of a labelled Constraint whose g is affine; ValueError, naming the label, if it is not."""
    g0 = constraint.value(np.zeros(nx), np.zeros(nu))
    gx = np.stack([constraint.value(e, np.zeros(nu)) - g0 for e in np.eye(nx)], axis=-1)
    gu = np.stack([constraint.value(np.zeros(nx), e) - g0 for e in np.eye(nu)], axis=-1)
    rng = np.random.default_rng(0)
    for _ in range(3):
        x, u = rng.standard_normal(nx), rng.standard_normal(nu)
        if not np.allclose(constraint.value(x, u), g0 + gx @ x + gu @ u, rtol=1e-6, atol=1e-9):
            raise ValueError(
                f"{WHO}: the constraint {constraint.label!r} is not affine in (x, u): linearise it, or plan with iLQR"
            )
    kinds = []
    for i in range(len(g0)):
        first = 0 if gu[i].any() else 1  # no input changes the state at knot 0
        knots = tuple(int(k) for k in constraint.at(T) if k >= first)
        lower, upper = constraint.lower[i] - g0[i], constraint.upper[i] - g0[i]
        kinds.append(Kind(constraint.label, constraint.unit, gx[i], gu[i], lower, upper, knots))
    return kinds


def terminal(polytope: Polytope, x_goal: np.ndarray, T: int, nu: int) -> list[Kind]:
    """H (x[T] - x_goal) <= h as Kinds."""
    upper = polytope.h + polytope.H @ x_goal
    return [
        Kind("terminal set", "", gx, np.zeros(nu), -np.inf, bound, (T,))
        for gx, bound in zip(polytope.H, upper, strict=True)
    ]


def softened(kinds: list[Kind], soft: float | Mapping[str, float] | None) -> list[Kind]:
    """kinds with the weights of `soft`: one for every row of the state alone, or one per label."""
    if soft is None:
        return kinds
    if isinstance(soft, Mapping):
        for label in soft:
            if label not in {kind.label for kind in kinds}:
                raise unknown("label of a soft constraint", label, {kind.label for kind in kinds})
        weights = [float(soft.get(kind.label, 0.0)) for kind in kinds]
    else:
        weights = [0.0 if kind.gu.any() else float(soft) for kind in kinds]
    if not all(0.0 <= w < np.inf for w in weights):
        raise ValueError(f"{WHO}: the weight of a soft constraint must be a finite number >= 0, got {soft!r}")
    return [replace(kind, weight=w) if w else kind for kind, w in zip(kinds, weights, strict=True)]


def _limit(name: str, value, size: int, open_end: float) -> np.ndarray:
    if value is None:
        return np.full(size, open_end)
    array = np.asarray(value, float)
    if array.shape not in ((), (size,)) or np.isnan(array).any():
        raise ValueError(f"{WHO}: {name} must be ({size},) without NaN, got {array.shape}")
    return np.broadcast_to(array, (size,))
