"""Collocation for explain(): the transcribed program with slack on its labelled rows, solved by IPOPT."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np

from controllers.collocation import Collocation
from controllers.collocation.guess import initial, shaken
from controllers.collocation.solve import Solver
from controllers.collocation.symbolic import casadi
from controllers.explain.change import relaxed_problem
from controllers.explain.elastic import Elastic
from controllers.explain.limits import Limit, Limits
from controllers.explain.report import Relaxation
from sims.trajectory import Trajectory

TIMES = (0.02, 20.0)  # a duration that is left out stays within these multiples of its limits
NEAR = 1e-7  # weight of |z - start|^2, which settles what no constraint does


class TranscribedElastic(Elastic):
    """A Collocation from x0: limits of states, inputs and time, goal and constraints on the collocated dynamics.

    z: the unknowns of the transcription. starts: tries of each fit before a set of labels counts as infeasible: the
    best point so far, the guess, and random changes of it (seed).
    """

    local = True
    given = "the dynamics from this start"

    def __init__(
        self, planner: Collocation, x0, guess=None, *, seed: int = 0, starts: int = 3, tolerance: float = 1e-5
    ):
        self.planner, self.tolerance, self.starts = planner, tolerance, starts
        self.x0 = None if x0 is None else np.asarray(x0, float)
        self.transcription = planner.transcription
        self.nlp, self._rng = self.transcription.nlp, np.random.default_rng(seed)
        self._guess = guess
        lower, upper, bounds = self.transcription.bounds_from(self.x0)
        self._start = initial(self.transcription, self.x0, guess, np.minimum(lower, upper), np.maximum(lower, upper))
        self._box = lower, upper
        own = len(self.transcription.bounds)
        hybrid = self.transcription.hybrid
        background = {phase.named("dynamics") for phase in hybrid.phases}
        background |= {f"{t.label}: {part}" for t in hybrid.transitions for part in ("guard", "before", "reset")}
        free = np.array([label not in background for label, _ in self.nlp.rows], bool)
        self._rows, self._fixed = np.flatnonzero(free), np.flatnonzero(~free)
        bounds, self._first = bounds[:own], bounds[own:]
        self._places = np.array([b.variable for b in bounds], int)
        rows = zip(self._rows, self.nlp.lower[self._rows], self.nlp.upper[self._rows], strict=True)
        table = [Limit(*self.nlp.rows[i], a, b, self.nlp.units[i]) for i, a, b in rows]
        self.limits = Limits.of(table + [Limit(b.label, b.knot, b.lower, b.upper, b.unit) for b in bounds])
        self._durations = {phase.named("duration") for phase in hybrid.phases}
        self._nearest: np.ndarray | None = None

    def moves(self, label: str) -> bool:
        return label in self._durations

    def values(self, z) -> np.ndarray:
        return np.concatenate([self.nlp.values(z)[1][self._rows], z[self._places]])

    def stray(self, z) -> float:
        g = self.nlp.values(z)[1][self._fixed]
        outside = np.maximum(self.nlp.lower[self._fixed] - g, g - self.nlp.upper[self._fixed])
        first = max((abs(z[b.variable] - b.lower) for b in self._first), default=0.0)
        worst = max(float(outside.max(initial=0.0)), first)
        return worst if np.isfinite(z).all() and np.isfinite(worst) else np.inf

    def fit(self, loose: frozenset[str]) -> Iterable[np.ndarray]:
        """minimise sum s / scale subject to lower - s <= e <= upper + s, s >= 0, and the dynamics."""
        rows = self.limits.rows(loose)
        for i, start in enumerate(self._starts(loose)):
            z = self._solve(start, kept=rows, slack=rows, shared=np.zeros_like(rows))
            if i == 0 and loose == frozenset(self.limits.labels):
                self._nearest = z
            yield z

    def stretch(self, label: str, held: frozenset[str], near) -> Iterable[np.ndarray]:
        """minimise t subject to lower - t <= e <= upper + t on the label's rows: from the least sum of its slacks."""
        shared, kept = self.limits.rows([label]), self.limits.rows(held | {label})
        none = np.zeros_like(shared)
        for start in (near, next(iter(self._starts(held - {label})))):
            closer = self._solve(start, kept=kept, slack=shared, shared=none)
            yield self._solve(closer, kept=kept, slack=none, shared=shared)

    def as_guess(self, z) -> Trajectory | tuple[Trajectory, ...]:
        arcs = Solver(self.transcription, self.planner.options).arcs(z)
        runs = tuple(arc.sample(self.planner.options.pieces) for arc in arcs)
        return runs[0] if len(runs) == 1 else runs

    def solved(self, change: Relaxation, z) -> tuple[bool, Any]:
        planner = Collocation(relaxed_problem(self.planner.problem, change), self.planner.options)
        plan = planner.plan(self.x0, self.as_guess(z))
        if not plan.ok:
            other = planner.plan(self.x0, self._guess)
            plan = other if other.ok else plan
        return plan.ok, plan

    def _starts(self, held: frozenset[str]) -> Iterable[np.ndarray]:
        """The best fit of all labels and the guess, in twice the time where it is free, and random changes of it."""
        low, high = np.minimum(*self._box), np.maximum(*self._box)
        patient = self._start.copy()
        for layout, phase in zip(self.transcription.layouts, self.transcription.hybrid.phases, strict=True):
            if phase.named("duration") not in held:
                patient[layout.time] *= 2.0
                low[layout.time], high[layout.time] = 0.5 * patient[layout.time], 2.0 * patient[layout.time]
        known = [patient] if self._nearest is None else [self._nearest, patient]
        yield from known[: self.starts]
        for _ in range(self.starts - len(known)):
            yield shaken(patient, self.transcription, low, high, self._rng)

    def _solve(self, start: np.ndarray, *, kept: np.ndarray, slack: np.ndarray, shared: np.ndarray) -> np.ndarray:
        """z of least sum of slacks; (m,) booleans: rows that count, rows with a slack each, rows that share one."""
        n, limits = self.nlp.size, self.limits
        weight = np.where(slack, 1.0 / limits.scale[limits.which], 0.0)
        outside = np.maximum(limits.outside(self.values(start)), 0.0)
        s0, t0 = np.where(slack, outside + 1e-2, 0.0), float(outside[shared].max(initial=0.0)) + 1e-2
        t0 *= bool(shared.any())
        lower, upper = np.full(n, -np.inf), np.full(n, np.inf)
        for layout, phase in zip(self.transcription.layouts, self.transcription.hybrid.phases, strict=True):
            low, high = phase.time_limits
            share = len(layout.time)
            lower[layout.time] = TIMES[0] * max(low, 1e-2) / share
            upper[layout.time] = TIMES[1] * (high if np.isfinite(high) else max(low, 1.0)) / share
        for b in self._first:
            lower[b.variable] = upper[b.variable] = b.lower
        ends = np.concatenate([np.where(kept, limits.lower, -np.inf), np.where(kept, -limits.upper, -np.inf)])
        answer = self._ipopt(
            x0=np.concatenate([np.clip(start, lower, upper), s0, [t0]]),
            p=np.concatenate([weight, shared.astype(float), start]),
            lbx=np.concatenate([lower, np.zeros(len(s0) + 1)]),
            ubx=np.concatenate([upper, np.where(slack, np.inf, 0.0), [np.inf if shared.any() else 0.0]]),
            lbg=np.concatenate([self.nlp.lower[self._fixed], ends]),
            ubg=np.concatenate([self.nlp.upper[self._fixed], np.full(len(ends), np.inf)]),
        )
        return np.asarray(answer["x"], float).reshape(-1)[:n]

    @cached_property
    def _ipopt(self):
        """minimise weight's + t + NEAR/2 |z - start|^2 over [z, s, t]; rows: dynamics, s + shared t + e, and - e."""
        ca, fns, n, m = casadi(), self.nlp.functions, self.nlp.size, len(self.limits.which)
        y, p = ca.MX.sym("y", n + m + 1), ca.MX.sym("p", 2 * m + n)
        z, s, t = y[:n], y[n : n + m], y[-1]
        weight, shared, start = p[:m], p[m : 2 * m], p[2 * m :]
        pick = _selection(np.concatenate([self._rows, len(self.nlp.rows) + self._places]), len(self.nlp.rows) + n)
        keep = _selection(self._fixed, len(self.nlp.rows))
        g, J = fns["f_g"](z, [])[1], fns["jac_g"](z, [])[1]
        e, E = ca.mtimes(pick, ca.vertcat(g, z)), ca.mtimes(pick, ca.vertcat(J, ca.MX(ca.DM.eye(n))))
        give, eye = s + shared * t, ca.MX(ca.DM.eye(m))
        f = ca.dot(weight, s) + t + NEAR / 2 * ca.sumsqr(z - start)
        rows = ca.vertcat(ca.mtimes(keep, g), e + give, -e + give)
        jac = ca.vertcat(
            ca.horzcat(ca.mtimes(keep, J), ca.MX(len(self._fixed), m + 1)),
            ca.horzcat(E, eye, shared),
            ca.horzcat(-E, eye, shared),
        )
        sigma, lam = ca.MX.sym("sigma"), ca.MX.sym("lam", len(self._fixed) + 2 * m)
        k = len(self._fixed)
        pulls = ca.mtimes(pick.T, lam[k : k + m] - lam[k + m :])[: len(self.nlp.rows)]
        hess = fns["hess_lag"](z, [], 0.0, ca.mtimes(keep.T, lam[:k]) + pulls) + sigma * NEAR * ca.MX(ca.DM.eye(n))
        hess = ca.diagcat(hess, ca.MX(m + 1, m + 1))
        grad = ca.vertcat(NEAR * (z - start), weight, ca.MX(1.0))
        given = {
            "grad_f": ca.Function("elastic_grad_f", [y, p], [f, grad], ["x", "p"], ["f", "grad_f_x"]),
            "jac_g": ca.Function("elastic_jac_g", [y, p], [rows, jac], ["x", "p"], ["g", "jac_g_x"]),
            "hess_lag": ca.Function(
                "elastic_hess_l", [y, p, sigma, lam], [hess], ["x", "p", "lam_f", "lam_g"], ["triu_hess_gamma_x_x"]
            ),
        }
        f_g = ca.Function("elastic", [y, p], [f, rows], ["x", "p"], ["f", "g"])
        fixed = {"print_time": False, "calc_lam_p": False, "no_nlp_grad": True, "error_on_fail": False}
        quiet = {"ipopt.print_level": 0, "ipopt.sb": "yes", "ipopt.max_iter": 300, "ipopt.tol": 1e-8}
        quiet["ipopt.bound_relax_factor"] = 0.0
        return ca.nlpsol("elastic", "ipopt", f_g, {**given, **fixed, **quiet})


def _selection(rows: np.ndarray, size: int):
    """The sparse matrix that picks `rows` of a column (size, 1)."""
    ca = casadi()
    n = len(rows)
    return (
        ca.DM(ca.Sparsity.triplet(n, size, list(range(n)), rows.tolist()), np.ones(n).tolist()) if n else ca.DM(0, size)
    )
