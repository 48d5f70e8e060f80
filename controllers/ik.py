"""Inverse kinematics: the posture nearest to a nominal one that meets labelled constraints."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from controllers.checks import finite
from controllers.constraint import Constraint, state_box
from controllers.planner import Violation
from sims.errors import unknown
from sims.lie import so3_log

_STEP = 1e-5  # of central differences of body poses: errors of 1e-10


@dataclass(frozen=True)
class Posture:
    """An answer of InverseKinematics: q (nq,), cost = |q - q_nominal|^2, status "converged", "stalled" or "infeasible",
    one sentence, and the violations of the constraints (their knot is 0)."""

    q: np.ndarray
    cost: float
    status: str
    message: str
    violations: tuple[Violation, ...] = ()

    @property
    def ok(self) -> bool:
        """True if all constraints hold at a posture that no neighbour beats."""
        return self.status == "converged"


@final
class InverseKinematics:
    """minimise |q - q_nominal|^2 subject to lower <= g(q) <= upper of labelled constraints, over q (nq,).

    constraints: `controllers.Constraint`s whose x is q (reads="x"; their knots do not matter): `joint_limits`,
    `body_at`, `body_turned`, `keep_out`. Sequential quadratic programming (SciPy's SLSQP) from a start and up to
    starts - 1 random others, within pi of the nominal posture (seed), while the constraints are not met to tolerance.
    Raises ValueError for shapes that do not fit. Source: Tedrake, Robotic Manipulation, chapter 6.
    """

    def __init__(
        self, nq: int, constraints: Sequence[Constraint], *, q_nominal=None, starts: int = 20, seed: int = 0,
        tolerance: float = 1e-6,
    ):  # fmt: skip
        self.nq, self.constraints, self.starts, self.seed, self.tolerance = (
            nq,
            tuple(constraints),
            starts,
            seed,
            tolerance,
        )
        self.q_nominal = np.zeros(nq) if q_nominal is None else finite("InverseKinematics: q_nominal", q_nominal)
        if self.q_nominal.shape != (nq,):
            raise ValueError(f"InverseKinematics: q_nominal must be ({nq},), got {self.q_nominal.shape}")
        for constraint in self.constraints:
            if constraint.reads != "x":
                raise ValueError(f"InverseKinematics: {constraint.label!r} must read x = q alone: pass reads='x'")
            constraint.value(self.q_nominal, np.zeros(1))
        self.lower = np.concatenate([c.lower for c in self.constraints] or [np.zeros(0)])
        self.upper = np.concatenate([c.upper for c in self.constraints] or [np.zeros(0)])

    def values(self, q) -> np.ndarray:
        """g(q) (m,) of all constraints."""
        return np.concatenate([c.value(q, np.zeros(1)) for c in self.constraints] or [np.zeros(0)])

    def jacobian(self, q) -> np.ndarray:
        """dg/dq (m, nq)."""
        found = [c.jacobian(q[None], np.zeros((1, 1)))[1][0] for c in self.constraints]
        return np.concatenate(found or [np.zeros((0, self.nq))])

    def guesses(self, q0=None, seed: int | None = None) -> list[np.ndarray]:
        """`starts` postures (nq,) to start from: q0, the nominal one if None, and random ones."""
        first = self.q_nominal if q0 is None else finite("InverseKinematics: q0", q0)
        if first.shape != (self.nq,):
            raise ValueError(f"InverseKinematics: q0 must be ({self.nq},), got {first.shape}")
        rng = np.random.default_rng(self.seed if seed is None else seed)
        return [first, *(self.q_nominal + rng.uniform(-np.pi, np.pi, (self.starts - 1, self.nq)))]

    def solve(self, q0=None) -> Posture:
        """The Posture found from q0 (nq,): first one that meets the constraints, then the nearest."""
        best = None
        for start in self.guesses(q0):
            near = self._posture(self.meet(start))
            q = least(self._distance, near.q, self.values, self.jacobian, self.lower, self.upper)
            found = self._posture(q)
            if near.ok and not found.ok:
                message = "all constraints are met, but the posture is not the nearest to the nominal one"
                found = replace(near, status="stalled", message=message)
            if best is None or _worst(found) < _worst(best):
                best = found
            if found.ok:
                return found
        assert best is not None
        return best

    def meet(self, start: np.ndarray, rows: np.ndarray | None = None, weight=1.0) -> np.ndarray:
        """The posture (nq,) of least weight^2 violation^2, summed over the rows (m,) that are True, all if None."""
        from scipy.optimize import least_squares

        rows = np.ones(len(self.lower), bool) if rows is None else rows
        if not rows.any():
            return start
        weight = np.broadcast_to(weight, rows.shape)[rows]
        lower, upper = self.lower[rows], self.upper[rows]

        def outside(q):
            e = self.values(q)[rows]
            return weight * (np.maximum(e - upper, 0.0) - np.maximum(lower - e, 0.0))

        def slope(q):
            e = self.values(q)[rows]
            return (weight * ((e > upper) | (e < lower)))[:, None] * self.jacobian(q)[rows]

        options = {"xtol": 1e-12, "ftol": 1e-12, "gtol": 1e-12, "max_nfev": 300}
        return np.asarray(least_squares(outside, start, slope, **options).x, float)

    def _distance(self, q: np.ndarray) -> tuple[float, np.ndarray]:
        d = q - self.q_nominal
        return float(d @ d), 2.0 * d

    def with_constraints(self, constraints: Sequence[Constraint]) -> "InverseKinematics":
        """The same problem with other constraints."""
        return InverseKinematics(
            self.nq, constraints, q_nominal=self.q_nominal, starts=self.starts, seed=self.seed, tolerance=self.tolerance
        )

    def _posture(self, q: np.ndarray) -> Posture:
        found = []
        for constraint in self.constraints:
            g = constraint.value(q, np.zeros(1))
            amount = float(np.maximum(constraint.lower - g, g - constraint.upper).max(initial=0.0))
            if amount > self.tolerance or np.isnan(g).any():
                found.append(Violation(constraint.label, (0,), amount, constraint.unit))
        found.sort(key=lambda v: -v.amount)
        cost = float((q - self.q_nominal) @ (q - self.q_nominal))
        if found:
            worst = "; ".join(f"{v.label}: {v.amount:.3g} {v.unit}".rstrip() + " outside" for v in found[:3])
            return Posture(
                q, cost, "infeasible", f"no posture near the starts meets all constraints: {worst}", tuple(found)
            )
        return Posture(q, cost, "converged", "all constraints are met")


def least(objective: Callable, start: np.ndarray, g: Callable, jacobian: Callable, lower, upper) -> np.ndarray:
    """A local minimum x (n,) of objective(x) -> (value, gradient (n,)) with lower <= g(x) <= upper, by SLSQP.

    What comes back is the solver's last point, whether or not it keeps the constraints: look at g there.
    """
    from scipy.optimize import minimize

    same = lower == upper
    above, below = np.isfinite(upper) & ~same, np.isfinite(lower) & ~same

    def inside(x):
        e = g(x)
        return np.concatenate([(upper - e)[above], (e - lower)[below]])

    def inside_slope(x):
        J = jacobian(x)
        return np.concatenate([-J[above], J[below]])

    constraints = []
    if above.any() or below.any():
        constraints.append({"type": "ineq", "fun": inside, "jac": inside_slope})
    if same.any():
        constraints.append({"type": "eq", "fun": lambda x: (g(x) - lower)[same], "jac": lambda x: jacobian(x)[same]})
    result = minimize(
        objective, start, jac=True, method="SLSQP", constraints=constraints, options={"maxiter": 300, "ftol": 1e-12}
    )
    return np.asarray(result.x, float)


def joint_limits(lower, upper, names: Sequence[str] = (), unit: str = "rad") -> tuple[Constraint, ...]:
    """lower <= q <= upper (nq,), one Constraint a joint: "joint limit <name>"."""
    lower, upper = np.atleast_1d(np.asarray(lower, float)), np.atleast_1d(np.asarray(upper, float))
    names = tuple(names) or tuple(f"q[{i}]" for i in range(len(lower)))
    return tuple(
        state_box([low], [high], label=f"joint limit {name}", components=[i], unit=unit)
        for i, (name, low, high) in enumerate(zip(names, lower, upper, strict=True))
    )


def body_at(sim: Any, body: str, p_WG, *, label: str, point=(0.0, 0.0, 0.0), tolerance: float = 0.0) -> Constraint:
    """The point of a body, p_BP (3,), at p_WG (3,) in the world, within +-tolerance [m] along each axis.

    sim: a simulator with `body_poses`, whose state begins with q. Raises ValueError for a body that it has not.
    """
    p_WG, offset = finite(f"{label}: p_WG", p_WG), finite(f"{label}: point", point)
    b = _index(sim, body)

    def g(x, u):
        X_WB = sim.body_poses(_state(sim, x))[..., b, :, :]
        return X_WB[..., :3, :3] @ offset + X_WB[..., :3, 3] - p_WG

    return _numeric(Constraint(label, g, np.full(3, -tolerance), np.full(3, tolerance), unit="m", reads="x"))


def body_turned(sim: Any, body: str, R_WG, *, label: str, tolerance: float = 0.0) -> Constraint:
    """The rotation vector from R_WG (3, 3) to the body, in the goal's frame, within +-tolerance [rad] each."""
    R_WG, b = finite(f"{label}: R_WG", R_WG), _index(sim, body)

    def g(x, u):
        return so3_log(R_WG.T @ sim.body_poses(_state(sim, x))[..., b, :3, :3])

    return _numeric(Constraint(label, g, np.full(3, -tolerance), np.full(3, tolerance), unit="rad", reads="x"))


def _numeric(constraint: Constraint) -> Constraint:
    """The constraint with central differences as its derivative: engines take numbers only."""

    def derivative(x, u):
        step = _STEP * np.eye(x.shape[-1])
        rise = constraint.g(x[..., None, :] + step, u) - constraint.g(x[..., None, :] - step, u)
        return np.swapaxes(rise, -1, -2) / (2 * _STEP), np.zeros((*x.shape[:-1], constraint.m, u.shape[-1]))

    return replace(constraint, derivative=derivative)


def _state(sim: Any, q) -> np.ndarray:
    q = np.asarray(q, float)
    return np.concatenate([q, np.zeros((*q.shape[:-1], sim.nx - q.shape[-1]))], axis=-1)


def _index(sim: Any, body: str) -> int:
    if body not in sim.body_names:
        raise unknown("body", body, sim.body_names)
    return sim.body_names.index(body)


def _worst(posture: Posture) -> float:
    return max((v.amount for v in posture.violations), default=0.0)
