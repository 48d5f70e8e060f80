"""Contact-implicit trajectory optimisation of simple plants: the forces are unknowns, complementarity decides."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from controllers.collocation.contact_steps import impulses, step_rows
from controllers.collocation.nlp import Block, Nlp
from controllers.collocation.solve import Options, verdict
from controllers.collocation.symbolic import casadi, record
from controllers.planner import Guess, Iteration, Plan, Planner, Violation, read_guess
from sims.system import System
from sims.trajectory import Trajectory


@dataclass(frozen=True, kw_only=True, eq=False)
class ContactProblem:
    """minimise the cost over N - 1 steps of a plant x = [q, v], nq = nv, that touches its surroundings at nc points.

    M(q0) (v1 - v0) = h M vdot(x0, u) + Jn' n + Jt' (p - m),  q1 = q0 + h v1,
    0 <= gap(q1) _|_ n >= 0,  0 <= s + Jt v1 _|_ p >= 0,  0 <= s - Jt v1 _|_ m >= 0,  0 <= friction n - p - m _|_ s >= 0

    gap(q) -> (nc,) [m]: distance at each contact; slide(q) -> (nc,) [m]: where each contact is along its surface, None
    without friction; friction (nc,) or one number: Coulomb's coefficient; n, p, m: impulses [N s]. Impacts are
    inelastic. duration [s], cost, x_goal (NaN free) as in Problem; the input is held. relaxations: each product that
    should vanish is at most this number, one solve after the other, each from the last. Raises ValueError for a plant
    without M, and for numbers that make no sense. Source: Posa, Cantu and Tedrake, A direct method for trajectory
    optimization of rigid bodies through contact, 2014; Stewart and Trinkle, 1996.
    """

    system: Any
    gap: Callable[[Any], Any]
    slide: Callable[[Any], Any] | None = None
    friction: Any = 0.0
    duration: float = 1.0
    cost: Any = None
    knots: int = 51
    x_goal: Any = None
    relaxations: tuple[float, ...] = (1.0, 1e-2, 1e-4, 1e-6, 1e-8)

    def __post_init__(self):
        system = self.system
        if not (isinstance(system, System) and system.nv and system.nq == system.nv):
            raise ValueError("ContactProblem needs a plant with x = [q, v], nq = nv")
        try:
            system.M(np.zeros(system.nq))
        except AttributeError:
            raise ValueError(f"ContactProblem: {type(system).__name__} has no mass matrix M(q)") from None
        if self.knots < 2 or not (np.isfinite(self.duration) and self.duration > 0):
            raise ValueError(
                f"ContactProblem: at least 2 knots and a positive duration, got {self.knots!r} and {self.duration!r}"
            )
        if not self.relaxations or list(self.relaxations) != sorted(self.relaxations, reverse=True):
            raise ValueError(f"ContactProblem: relaxations must fall, got {self.relaxations!r}")
        if np.any(np.asarray(self.friction) < 0) or (self.slide is None and np.any(self.friction)):
            raise ValueError("ContactProblem: friction must be >= 0, and needs slide(q), the contacts' places")

    @property
    def h(self) -> float:
        """The step [s]."""
        return self.duration / (int(self.knots) - 1)


class ContactCollocation(Planner):
    """ContactProblem by IPOPT: the complementarity relaxed, then tightened until it holds to the last relaxation.

    Options.defect bounds what an interval of the plan, stepped again in 16 parts with the contact problem of each
    solved on its own, ends away from the next knot (`defects`). `forces`: n and p - m (N-1, nc) [N s] of the last plan;
    `rows`: label and knot of each row. Raises MissingDependency without CasADi.
    """

    def __init__(self, problem: ContactProblem, options: Options | None = None):
        self.problem, self.options = problem, options or Options(defect=5e-2)
        system, N, ca = problem.system, int(problem.knots), casadi()
        gap = record("gap", problem.gap, (system.nq,))
        self.nc = gap.numel_out(0)
        slide = None if problem.slide is None else record("slide", problem.slide, (system.nq,), rows=self.nc)
        self.friction = np.broadcast_to(np.asarray(problem.friction, float), (self.nc,))
        q = ca.SX.sym("q", system.nq)
        along = ca.SX(self.nc, 1) if slide is None else slide(q)
        self._surfaces = ca.Function("J", [q], [gap(q), ca.jacobian(gap(q), q), ca.jacobian(along, q)])
        self._many = 1 if slide is None else 4
        width = system.nx + system.nu + self.nc * self._many
        at = width * np.arange(N)[:, None]
        self._x, self._u = at + np.arange(system.nx), at[:-1] + system.nx + np.arange(system.nu)
        self._c = at[:-1] + system.nx + system.nu + np.arange(self.nc * self._many)
        self.nlp = Nlp(width * (N - 1) + system.nx, self._blocks(gap, slide))
        self.rows = self.nlp.rows
        self._relaxed = np.array([label == "complementarity" for label, _ in self.rows])
        self._ipopt: Any = None
        self.forces = np.zeros((N - 1, self.nc)), np.zeros((N - 1, self.nc))

    def _blocks(self, gap, slide) -> list[Block]:
        problem, system = self.problem, self.problem.system
        stage = terminal = None
        if problem.cost is not None:
            name = type(problem.cost).__name__
            stage = record(f"{name}.stage", problem.cost.stage, (system.nx, system.nu), rows=1)
            terminal = record(f"{name}.terminal", problem.cost.terminal, (system.nx,), rows=1)
        make = step_rows(system, gap, slide, self.friction, problem.h, stage)
        index = np.hstack([self._x[:-1], self._u, self._c, self._x[1:]])
        size = self.nc * self._many
        labels = ["dynamics"] * system.nx + ["gap"] * self.nc + ["friction"] * (size - self.nc)
        labels += ["complementarity"] * size
        n = len(index)
        lower, upper = np.zeros((n, len(labels))), np.zeros((n, len(labels)))
        lower[:, system.nx + size :] = -np.inf  # the product of two numbers >= 0 has no other side
        upper[:, system.nx : system.nx + size] = np.inf
        blocks = [Block(make, index, lower, upper, [(label, k) for k in range(n) for label in labels])]
        if terminal is not None:
            blocks.append(Block(lambda w: (terminal(w), None), self._x[-1:]))
        return blocks

    def plan(self, x0, guess: Guess = None) -> Plan:
        """The Plan from x0 (nx,); guess: a Trajectory of N - 1 steps, a Plan, inputs (N-1, nu), or None for a line."""
        begin, problem = perf_counter(), self.problem
        system = problem.system
        x0 = np.asarray(x0, float)
        if x0.shape != (system.nx,) or not np.isfinite(x0).all():
            raise ValueError(f"ContactCollocation: x0 must be ({system.nx},) finite numbers, got {x0!r:.120}")
        lower, upper = self._limits(x0)
        solved = self._tighten(np.clip(self._start(x0, guess), lower, upper), lower, upper)
        z, cost, g, stationarity, count, log = solved
        violations = self._violations(g)
        x, u, c = z[self._x], np.clip(z[self._u], system.u_min, system.u_max), z[self._c]
        along = np.zeros((len(c), self.nc))
        if self._many > 1:
            along = c[:, self.nc : 2 * self.nc] - c[:, 2 * self.nc : 3 * self.nc]
        self.forces = c[:, : self.nc], along
        defect = float(self.defects(x, u).max())
        status, message = verdict(self.options, cost, defect, violations, stationarity, count)
        return Plan(
            trajectory=Trajectory(problem.h * np.arange(len(x)), x, u),
            cost=cost,
            status=status,
            message=message,
            log=(*log[:-1], replace(log[-1], defect=defect)),
            violations=violations,
            seconds=perf_counter() - begin,
        )

    def _tighten(self, z, lower, upper):
        """One solve a relaxation: z, f(z), g(z), stationarity, iterations of all, and a row of the log for each."""
        nlp, options, log, count = self.nlp, self.options, [], 0
        if self._ipopt is None:
            self._ipopt = nlp.solver({"ipopt.mu_strategy": "adaptive", **options.as_ipopt()})
        cost, g, stationarity = np.nan, np.zeros(len(nlp.rows)), np.inf
        for relaxation in self.problem.relaxations:
            high = np.where(self._relaxed, relaxation, nlp.upper)
            answer = self._ipopt(x0=z, lbx=lower, ubx=upper, lbg=nlp.lower, ubg=high)
            z = np.asarray(answer["x"], float).reshape(-1)
            lams = [np.asarray(answer[name], float).reshape(-1) for name in ("lam_g", "lam_x")]
            stationarity = nlp.stationarity(z, *lams)
            count += int(self._ipopt.stats()["iter_count"])
            cost, g = nlp.values(z)
            outside = float(np.maximum(nlp.lower - g, g - high).max())
            log.append(Iteration(cost, 0.0, np.nan, relaxation, max(outside, 0.0)))
        return z, cost, g, stationarity, count, log

    def _limits(self, x0) -> tuple[np.ndarray, np.ndarray]:
        """Bounds (size,) of the unknowns."""
        problem, system = self.problem, self.problem.system
        lower, upper = np.full(self.nlp.size, -np.inf), np.full(self.nlp.size, np.inf)
        lower[self._u], upper[self._u] = system.u_min, system.u_max
        lower[self._c] = 0.0
        lower[self._x[0]] = upper[self._x[0]] = x0
        if problem.x_goal is not None:
            goal = np.asarray(problem.x_goal, float)
            fixed = ~np.isnan(goal)
            lower[self._x[-1, fixed]] = upper[self._x[-1, fixed]] = goal[fixed]
        return lower, upper

    def _start(self, x0, guess: Guess) -> np.ndarray:
        z, N, system = np.zeros(self.nlp.size), int(self.problem.knots), self.problem.system
        x, u = read_guess(guess, N - 1, system.nx, system.nu, "ContactCollocation")
        if x is None:
            goal = x0 if self.problem.x_goal is None else np.asarray(self.problem.x_goal, float)
            x = np.linspace(x0, np.where(np.isnan(goal), x0, goal), N)
        z[self._x] = x
        z[self._u] = 0.0 if u is None else u
        z[self._c] = 0.1
        return z

    def _violations(self, g: np.ndarray) -> tuple[Violation, ...]:
        nlp, tolerance = self.nlp, self.options.feasibility
        high = np.where(self._relaxed, self.problem.relaxations[-1], nlp.upper)
        outside = np.maximum(nlp.lower - g, g - high)
        outside[np.isnan(outside)] = np.inf
        found: dict[str, list[int]] = {}
        for i in np.flatnonzero(outside > tolerance).tolist():
            found.setdefault(nlp.rows[i][0], []).append(i)
        return tuple(
            Violation(label, tuple(sorted({nlp.rows[i][1] for i in rows})), float(outside[rows].max()))
            for label, rows in found.items()
        )

    def defects(self, x: np.ndarray, u: np.ndarray, parts: int = 16) -> np.ndarray:
        """How far (N-1,) each interval, stepped in so many parts, ends from the next knot [largest of state units].

        In an interval in which a contact closes only positions count: there the scheme's velocity is that which closes
        the gap, and drops to that of the contact in the next.
        """
        system, h = self.problem.system, self.problem.h / parts
        nq, out = system.nq, np.zeros(len(u))
        for k in range(len(u)):
            at = x[k]
            for _ in range(parts):
                q, v = at[:nq], at[nq:] + h * system.f(at, u[k])[nq:]
                gap, Jn, Jt = (np.asarray(value.full()) for value in self._surfaces(q))
                v = v + impulses(np.asarray(system.M(q), float), v, gap[:, 0] / h, Jn, Jt, self.friction)
                at = np.concatenate([q + h * v, v])
            before, after = (np.asarray(self._surfaces(y[:nq])[0].full())[:, 0] for y in (x[k], x[k + 1]))
            counted = nq if ((before > 1e-6) & (after <= 1e-6)).any() else len(at)
            out[k] = np.abs(at - x[k + 1])[:counted].max()
        return out
