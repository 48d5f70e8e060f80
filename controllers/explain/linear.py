"""LinearMPC for explain(): labelled rows as a linear program, whose optimum is global."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from controllers.checks import cut
from controllers.constraint import Constraint
from controllers.explain.elastic import Elastic
from controllers.explain.limits import Limit, Limits
from controllers.explain.report import Relaxation
from controllers.mpc.linear import LinearMPC
from controllers.mpc.linear_rows import Kind
from sims.errors import unknown
from sims.trajectory import Trajectory

HORIZON = "horizon"
LONGEST = 10  # horizons up to so many times the given one are tried


class LinearElastic(Elastic):
    """The hard rows of a LinearMPC from x0 (nx,), along its dynamics; soft rows give way by themselves.

    z = [x[1..T], u[0..T-1]] flat. Solved by HiGHS, in scipy.optimize.linprog.
    """

    local = False
    given = "the dynamics from this state"

    def __init__(self, mpc: LinearMPC, x0, *, tolerance: float = 1e-6):
        from scipy import sparse

        self.mpc, self.tolerance = mpc, tolerance
        self.x0 = np.asarray(x0, float)
        if self.x0.shape != (mpc.nx,) or not np.isfinite(self.x0).all():
            raise ValueError(f"explain: x0 must be finite and ({mpc.nx},), got {x0!r:.200}")
        rows = mpc.rows
        hard = np.flatnonzero(rows.weight == 0)
        self._C, self._offset = rows.C[hard], rows.C0[hard] @ self.x0
        table = zip(rows.kind[hard], rows.knot[hard], rows.lower[hard], rows.upper[hard], strict=True)
        kinds = rows.kinds
        self.limits = Limits.of(Limit(kinds[i].label, int(k), a, b, kinds[i].unit) for i, k, a, b in table)
        T, eye = mpc.T, sparse.eye(mpc.T)
        states = sparse.eye(T * mpc.nx) - sparse.kron(sparse.eye(T, k=-1), mpc.A)
        self._dynamics = sparse.csr_matrix(sparse.hstack([states, -sparse.kron(eye, mpc.B)]))
        self._drift = np.tile(mpc.c, T)
        self._drift[: mpc.nx] += mpc.A @ self.x0

    def values(self, z) -> np.ndarray:
        return self._C @ z + self._offset

    def stray(self, z) -> float:
        return float(np.abs(self._dynamics @ z - self._drift).max())

    def fit(self, loose: frozenset[str]) -> Iterable[np.ndarray]:
        """minimise sum s / scale subject to lower - s <= e <= upper + s, s >= 0."""
        limits = self.limits
        rows = np.flatnonzero(limits.rows(loose))
        return self._solve(rows, np.arange(len(rows)), 1.0 / limits.scale[limits.which[rows]])

    def stretch(self, label: str, held: frozenset[str], near) -> Iterable[np.ndarray]:
        """minimise t subject to lower - t <= e <= upper + t on the label's rows."""
        rows = np.flatnonzero(self.limits.rows(held | {label}))
        return self._solve(rows, np.where(self.limits.rows([label])[rows], 0, -1), np.ones(1))

    def as_guess(self, z) -> Trajectory:
        mpc = self.mpc
        split = mpc.T * mpc.nx
        x = np.concatenate([self.x0, z[:split]]).reshape(mpc.T + 1, mpc.nx)
        return Trajectory(mpc.dt * np.arange(mpc.T + 1), x, z[split:].reshape(mpc.T, mpc.nu))

    def longer(self, conflict: frozenset[str]) -> Relaxation | None:
        """The smallest horizon, up to LONGEST times T, found by doubling and bisection."""
        mpc, last = self.mpc, self.mpc.T
        if last < 2 or not any(kind.label in conflict and kind.knots == (last,) for kind in mpc.rows.kinds):
            return None  # nothing in the conflict waits for the end of the horizon
        low, high = last, last + 1
        while not self._feasible(high):
            if high >= LONGEST * last:
                return None
            low, high = high, min(last + 2 * (high - last), LONGEST * last)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._feasible(middle) else (middle, high)
        now, amount = last * mpc.dt, (high - last) * mpc.dt
        change = Relaxation(
            label=HORIZON, amount=amount, below=False, above=True, lower=(now,), upper=(now,), unit="s", move=True,
            cost=amount / now,
        )  # fmt: skip
        solved, plan = self.solved(change, None)
        return replace(change, verified=solved, answer=plan)

    def _feasible(self, T: int) -> bool:
        longer = LinearElastic(_rebuilt(self.mpc, _extended(self.mpc, T), T), self.x0, tolerance=self.tolerance)
        labels = frozenset(longer.limits.labels)
        return any(longer.keeps(z) == labels for z in longer.fit(labels))

    def solved(self, change: Relaxation, z) -> tuple[bool, Any]:
        plan = relaxed(self.mpc, change).plan(self.x0)
        return plan.ok, plan

    def _solve(self, rows: np.ndarray, slack: np.ndarray, cost: np.ndarray) -> list[np.ndarray]:
        """The z of least cost's: row rows[i] gives way by s[slack[i]], not at all where slack is -1."""
        from scipy import sparse
        from scipy.optimize import linprog

        n, m = self._C.shape[1], len(rows)
        gives = np.flatnonzero(slack >= 0)
        S = sparse.csr_matrix((np.ones(len(gives)), (gives, slack[gives])), shape=(m, len(cost)))
        C, lower, upper = self._C[rows], self.limits.lower[rows], self.limits.upper[rows]
        above, below = np.isfinite(upper), np.isfinite(lower)
        A = sparse.vstack([sparse.hstack([C, -S]).tocsr()[above], sparse.hstack([-C, -S]).tocsr()[below]])
        b = np.concatenate([(upper - self._offset[rows])[above], (self._offset[rows] - lower)[below]])
        result = linprog(
            np.concatenate([np.zeros(n), cost]),
            A_ub=A if len(b) else None,
            b_ub=b if len(b) else None,
            A_eq=sparse.hstack([self._dynamics, sparse.csr_matrix((len(self._drift), len(cost)))]),
            b_eq=self._drift,
            bounds=[(None, None)] * n + [(0.0, None)] * len(cost),
            method="highs",
        )
        return [] if result.x is None else [result.x[:n]]


def relaxed(mpc: LinearMPC, change: Relaxation) -> LinearMPC:
    """The same LinearMPC with the bounds of one label, or its horizon, changed; its terminal set as plain rows."""
    kinds = mpc.rows.kinds
    if change.label == HORIZON:
        T = mpc.T + round(change.amount / mpc.dt)
        return _rebuilt(mpc, _extended(mpc, T), T)
    if change.label not in {kind.label for kind in kinds}:
        raise unknown("label of LinearMPC", change.label, {HORIZON, *(kind.label for kind in kinds)})
    wider = []
    for kind in kinds:
        if kind.label == change.label:
            lower, upper = change.widened(kind.lower, kind.upper)
            kind = replace(kind, lower=float(lower), upper=float(upper))
        wider.append(kind)
    return _rebuilt(mpc, wider, mpc.T)


def _extended(mpc: LinearMPC, T: int) -> list[Kind]:
    """The rows on a horizon of T steps: those of all knots on all, those of the last knot on the last."""
    last, moved = mpc.T, []
    for kind in mpc.rows.kinds:
        knots, more = kind.knots, T - last
        first, end = min(knots, default=0), max(knots, default=0)
        if len(knots) > 1 and end >= last - 1 and knots == tuple(range(first, end + 1)):
            knots = tuple(range(first, end + 1 + more))
        elif knots == (last,) or (knots == (last - 1,) and kind.gu.any()):
            knots = (end + more,)
        moved.append(replace(kind, knots=knots))
    return moved


def _rebuilt(mpc: LinearMPC, kinds: Sequence[Kind], T: int) -> LinearMPC:
    """The same LinearMPC with these rows and T steps; after the end of its goals the last ones are held."""
    limits = {"u_min": np.full(mpc.nu, -np.inf), "u_max": np.full(mpc.nu, np.inf)}
    names, constraints, soft = [f"u[{i}]" for i in range(mpc.nu)], [], {}
    for kind in kinds:
        i = int(np.argmax(np.abs(kind.gu)))
        if kind.label.startswith("input limit ") and not kind.gx.any() and kind.knots == tuple(range(T)):
            limits["u_min"][i], limits["u_max"][i] = kind.lower, kind.upper
            names[i] = kind.label.removeprefix("input limit ")
        elif kind.knots:
            constraints.append(_constraint(kind, np.array([kind.lower]), np.array([kind.upper])))
        if kind.weight:
            soft[kind.label] = kind.weight
    goals = {"x_goal": cut(mpc.x_goal, 0, T + 1), "u_goal": cut(mpc.u_goal, 0, T)}
    given = {"dt": mpc.dt, "Qf": mpc.Qf, "c": mpc.c, "shortcut": mpc.shortcut, "constraints": constraints}
    return LinearMPC(mpc.A, mpc.B, mpc.Q, mpc.R, T, **given, **goals, **limits, soft=soft or None, u_names=names)


def _constraint(kind: Kind, lower: np.ndarray, upper: np.ndarray) -> Constraint:
    """A Kind as a Constraint of its own."""
    reads = "xu" if kind.gu.any() else "x"
    return Constraint(
        kind.label, lambda x, u: (x @ kind.gx + u @ kind.gu)[..., None], lower, upper, kind.knots, kind.unit, reads
    )
