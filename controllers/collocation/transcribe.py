"""From phases to one sparse program: where each unknown is, and the label of every row and bound."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from controllers.collocation.nlp import Block, Bound, Nlp, Row
from controllers.collocation.phases import Hybrid, Transition
from controllers.collocation.problem import Problem
from controllers.collocation.schemes import Interval, scheme
from controllers.collocation.symbolic import casadi, record
from controllers.constraint import Constraint
from controllers.tangent import lift


@dataclass(frozen=True)
class Layout:
    """Where one phase's unknowns are in z: x (N, nx), u (N, nu) or, held, (N-1, nu), xm (N-1, nx), um (N-1, nu), h.

    time (n,): the duration, n = 1, or each step, n = N - 1; xm, um are empty (0, .) unless the scheme has them.
    knot: number of the first knot, counted over all phases.
    """

    x: np.ndarray
    u: np.ndarray
    xm: np.ndarray
    um: np.ndarray
    time: np.ndarray
    knot: int

    def input_at(self, k) -> np.ndarray:
        """The input (..., nu) that belongs to knots k: the last one held at the end."""
        return self.u[np.minimum(k, len(self.u) - 1)]

    def steps(self, z: np.ndarray) -> np.ndarray:
        """The lengths (N-1,) [s] of the intervals."""
        n = len(self.x) - 1
        return np.full(n, z[self.time[0]] / n) if len(self.time) == 1 else z[self.time]


class Transcription:
    """A problem as a program: minimise f(z) with labelled rows lower <= g(z) <= upper and labelled bounds on z.

    layouts: one a phase; nlp.rows: (label, knot) of every row of g; bounds: every labelled limit on single unknowns;
    `bounds_from(x0)` adds the start. Building it records each function once, whatever the number of knots.
    """

    def __init__(self, problem: Problem | Hybrid):
        self.hybrid = problem if isinstance(problem, Hybrid) else Hybrid(phases=(problem,))
        self.layouts, size = [], 0
        self.blocks: list[Block] = []
        self.bounds: list[Bound] = []
        knot = 0
        for phase in self.hybrid.phases:
            layout, size = _layout(phase, size, knot)
            knot += int(phase.knots)
            self.layouts.append(layout)
        for phase, layout in zip(self.hybrid.phases, self.layouts, strict=True):
            self._add_phase(phase, layout)
        for i, transition in enumerate(self.hybrid.transitions):
            self._add_transition(i, transition)
        self.nlp = Nlp(size, self.blocks)

    @property
    def rows(self) -> tuple[Row, ...]:
        """(label, knot) of every row of g; knots are counted over all phases."""
        return self.nlp.rows

    def bounds_from(self, x0) -> tuple[np.ndarray, np.ndarray, list[Bound]]:
        """lower, upper (size,) of z with the first state at x0 (nx,), free where that is NaN, and all the limits."""
        start, first = [], self.hybrid.phases[0]
        if x0 is not None:
            names = first.system.x_names
            for i, value in enumerate(np.asarray(x0, float)):
                if not np.isnan(value):
                    start.append(Bound(f"start {names[i]}", 0, int(self.layouts[0].x[0, i]), value, value))
        bounds = [*self.bounds, *start]
        lower, upper = np.full(self.nlp.size, -np.inf), np.full(self.nlp.size, np.inf)
        where = [b.variable for b in bounds]
        np.maximum.at(lower, where, [b.lower for b in bounds])
        np.minimum.at(upper, where, [b.upper for b in bounds])
        return lower, upper, bounds

    def _add_phase(self, phase: Problem, layout: Layout) -> None:
        system, n = phase.system, phase.intervals
        stage = terminal = None
        if phase.cost is not None:
            name = type(phase.cost).__name__
            stage = record(f"{name}.stage", phase.cost.stage, (system.nx, system.nu), rows=1)
            terminal = record(f"{name}.terminal", phase.cost.terminal, (system.nx,), rows=1)
        self.blocks.append(_dynamics(phase, layout, stage))
        if terminal is not None:
            self.blocks.append(Block(lambda w: (terminal(w), None), layout.x[-1:]))
        self._limit(phase.named("input limit"), system.u_names, layout.u, layout.um, system.u_min, system.u_max, layout)
        low = np.full(system.nx, -np.inf) if phase.x_min is None else phase.x_min
        high = np.full(system.nx, np.inf) if phase.x_max is None else phase.x_max
        self._limit(phase.named("state limit"), system.x_names, layout.x, layout.xm, low, high, layout)
        shortest, longest = phase.time_limits
        label = phase.named("duration")
        if phase.equal_steps:
            self.bounds.append(Bound(label, layout.knot, int(layout.time[0]), shortest, longest, "s"))
        else:
            share = (1e-3 * shortest / n, longest)
            self.bounds += [Bound(label, layout.knot + k, int(i), *share, "s") for k, i in enumerate(layout.time)]
            low, high = np.array([[shortest]]), np.array([[longest]])
            self.blocks.append(Block(_rows(casadi().sum1), layout.time[None], low, high, ((label, layout.knot),), "s"))
        if phase.time_cost:
            self.blocks.append(Block(lambda w: (phase.time_cost * casadi().sum1(w), None), layout.time[None]))
        self._add_goal(phase, layout)
        for constraint in phase.constraints:
            self._add_constraint(phase, layout, constraint)

    def _limit(self, label, names, at, between, low, high, layout: Layout) -> None:
        """Bounds on all knots, and in the middle of the intervals where there are unknowns."""
        for i, name in enumerate(names):
            if low[i] == -np.inf and high[i] == np.inf:
                continue
            for column in (at, between):
                for k, variable in enumerate(column[:, i].tolist()):
                    self.bounds.append(Bound(f"{label} {name}", layout.knot + k, variable, low[i], high[i]))

    def _add_goal(self, phase: Problem, layout: Layout) -> None:
        """x[N-1] = x_goal as bounds; on a manifold E'(x - x_goal) = 0 with E the tangent directions at the goal."""
        goal, system = phase.x_goal, phase.system
        if goal is None:
            return
        last, knot = layout.x[-1], layout.knot + phase.intervals
        name = phase.named("goal")
        E = None if np.isnan(goal).any() else lift(system.integrate, goal, system.ndx)
        if E is None:
            for i in np.flatnonzero(~np.isnan(goal)).tolist():
                self.bounds.append(Bound(f"{name} {system.x_names[i]}", knot, int(last[i]), goal[i], goal[i]))
            return
        zero = np.zeros((1, system.ndx))
        ca = casadi()
        tangential = _rows(lambda w: ca.mtimes(ca.DM(E.T), w - goal))
        self.blocks.append(Block(tangential, last[None], zero, zero, [(name, knot)] * system.ndx))

    def _add_constraint(self, phase: Problem, layout: Layout, constraint: Constraint) -> None:
        """Rows at the knots the constraint names, or bounds where all it says is lower <= one unknown <= upper."""
        system, label = phase.system, phase.named(constraint.label)
        low, high, m = constraint.lower, constraint.upper, constraint.m
        g = record(f"constraint {constraint.label!r}", constraint.g, (system.nx, system.nu), rows=m)
        at = knots_of(constraint, int(phase.knots), scheme(phase.scheme).held)
        index = np.hstack([layout.x[at], layout.input_at(at)])
        if len(layout.xm) and constraint.knots == "all":
            index = np.vstack([index, np.hstack([layout.xm, layout.um])])
            at = np.concatenate([at, np.arange(phase.intervals)])
        knots = (layout.knot + at).tolist()
        box = _box(g)
        if box is not None:
            for j, (i, slope, offset) in enumerate(box):
                ends = (low[j] - offset) / slope, (high[j] - offset) / slope
                a, b = ends if slope > 0 else ends[::-1]
                self.bounds += [
                    Bound(label, k, v, a, b, constraint.unit) for k, v in zip(knots, index[:, i].tolist(), strict=True)
                ]
            return
        make = _rows(lambda w: g(w[: system.nx], w[system.nx :]))
        shape = (len(knots), m)
        rows = [(label, k) for k in knots for _ in range(m)]
        low, high = np.broadcast_to(low, shape), np.broadcast_to(high, shape)
        self.blocks.append(Block(make, index, low, high, rows, constraint.unit))

    def _add_transition(self, i: int, transition: Transition) -> None:
        phases, layouts = self.hybrid.phases, self.layouts
        here, there = layouts[i], layouts[(i + 1) % len(layouts)]
        nx, knot = phases[i].system.nx, here.knot + phases[i].intervals
        label, last, after = transition.label, here.x[-1:], there.x[:1]
        if transition.guard is not None:
            g = record(f"guard of {label!r}", transition.guard, (nx,))
            zero = np.zeros((1, g.numel_out(0)))
            self.blocks.append(Block(_rows(g), last, zero, zero, [(f"{label}: guard", knot)] * zero.size))
            if transition.one_sided and phases[i].intervals > 1:
                before = np.zeros((phases[i].intervals - 1, zero.size))
                rows = [(f"{label}: before", here.knot + k + 1) for k in range(len(before)) for _ in range(zero.size)]
                self.blocks.append(Block(_rows(g), here.x[1:-1], before, np.full(before.shape, np.inf), rows))
        size = phases[(i + 1) % len(phases)].system.nx
        reset = record(f"reset of {label!r}", transition.reset or (lambda x: x), (nx,), rows=size)
        zero = np.zeros((1, size))
        link = _rows(lambda w: w[nx:] - reset(w[:nx]))
        self.blocks.append(Block(link, np.hstack([last, after]), zero, zero, [(f"{label}: reset", knot)] * size))

    @cached_property
    def knots(self) -> int:
        """The number of knots of all phases."""
        return sum(int(phase.knots) for phase in self.hybrid.phases)


def knots_of(constraint: Constraint, N: int, held: bool) -> np.ndarray:
    """The knots (n,) a constraint acts on, of N; where inputs are held there are N - 1 of those it may look at."""
    n = N - 1 if held and constraint.reads != "x" else N
    if isinstance(constraint.knots, str):
        return {"all": np.arange(n), "start": np.arange(1), "final": np.arange(n - 1, n)}[constraint.knots]
    at = np.array(constraint.knots, int)
    if ((at < -n) | (at >= n)).any():
        raise ValueError(f"constraint {constraint.label!r}: there are knots 0..{n - 1}, got {at.tolist()}")
    return np.unique(at % n)


def _layout(phase: Problem, start: int, knot: int) -> tuple[Layout, int]:
    """Unknowns of a phase, knot by knot, x u (xm um), so that the Jacobian is banded; then its times."""
    s, nx, nu, N = scheme(phase.scheme), phase.system.nx, phase.system.nu, int(phase.knots)
    width = (nx + nu) * (2 if s.middle else 1)
    at = start + width * np.arange(N)[:, None]
    x, u = at + np.arange(nx), at[: N - 1 if s.held else N] + nx + np.arange(nu)
    size = start + width * N - (nu if s.held else 0) - (nx + nu if s.middle else 0)
    middle = at[: N - 1] + nx + nu if s.middle else np.zeros((0, 1), int)
    count = 1 if phase.equal_steps else N - 1
    layout = Layout(x, u, middle + np.arange(nx), middle + nx + np.arange(nu), size + np.arange(count), knot)
    return layout, size + count


def _dynamics(phase: Problem, layout: Layout, stage) -> Block:
    """The scheme's defects and quadrature on all intervals."""
    s, system, n = scheme(phase.scheme), phase.system, phase.intervals
    nx, nu = system.nx, system.nu
    name = type(system).__name__
    f = record(f"{name}.f", system.f, (nx, nu), rows=nx)
    share = n if phase.equal_steps else 1
    time = np.broadcast_to(layout.time[:, None], (n, 1))
    parts = [layout.x[:-1], layout.u[:n], layout.x[1:]]
    parts += [] if s.held else [layout.u[1:]]
    parts += [layout.xm, layout.um] if s.middle else []
    l = stage if stage is not None else _free

    def make(w):
        ca = casadi()
        cut = np.cumsum([0, *(part.shape[1] for part in parts)]).tolist()
        given = [w[a:b] for a, b in pairwise(cut)]
        x0, u0, x1 = given[:3]
        u1 = u0 if s.held else given[3]
        xm, um = given[-2:] if s.middle else (None, None)
        defects, cost = s.defects(Interval(f, l, x0, u0, x1, u1, xm, um, w[-1] / share))
        return (cost if stage is not None else None), ca.vertcat(*defects)

    m = nx * (2 if s.middle else 1)
    rows = [(phase.named("dynamics"), layout.knot + k) for k in range(n) for _ in range(m)]
    zero = np.zeros((n, m))
    return Block(make, np.hstack([*parts, time]), zero, zero, rows)


def _rows(g: Callable[[Any], Any]) -> Callable[[Any], tuple[None, Any]]:
    """A Block's function that has rows only."""
    return lambda w: (None, g(w))


def _box(g) -> list[tuple[int, float, float]] | None:
    """(unknown, slope, offset) of each row of g(x, u) if every row is affine in a single unknown; else None."""
    ca = casadi()
    x, u = (ca.SX.sym("w", g.numel_in(i)) for i in (0, 1))
    w, value = ca.vertcat(x, u), g(x, u)
    J = ca.jacobian(value, w)
    if J.nnz() != value.numel() or not J.is_constant():
        return None
    row, col = J.sparsity().get_triplet()
    if sorted(row) != list(range(value.numel())):
        return None
    offset = np.asarray(ca.Function("g", [w], [value])(np.zeros(w.numel())), float).reshape(-1)
    slopes = dict(zip(row, zip(col, (float(s) for s in J.nonzeros()), strict=True), strict=True))
    if any(slope == 0.0 for _, slope in slopes.values()):
        return None
    return [(*slopes[j], offset[j]) for j in range(value.numel())]


def _free(x, u):
    return 0.0
