"""Linear model predictive control: the constrained finite-horizon LQR as a sparse quadratic program."""

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import final

import numpy as np

from controllers.constraint import Constraint
from controllers.lqr import dlqr, weights
from controllers.mpc import linear_rows as lr
from controllers.mpc.linear_qp import LinearProgram, Memory
from controllers.mpc.polytope import Polytope, maximal_admissible_set
from controllers.planner import Guess, Plan, Planner, read_guess
from controllers.tvlqr import finite_horizon_dlqr
from sims.trajectory import Trajectory

WHO = lr.WHO


@final
class LinearMPC(Planner):
    """Minimise e[T]'Qf e[T] + sum_k e[k]'Q e[k] + w[k]'R w[k] along x+ = Ax + Bu + c from x0, over T steps of dt [s],

    e = x - x_goal, w = u - u_goal, subject to limits and labelled constraints: a sparse QP in x[1..T], u[0..T-1] whose
    matrices are made once. A (nx, nx), B (nx, nu), c (nx,); Q, Qf (nx, nx), R (nu, nu) a step, as for `dlqr`, whose
    S is Qf if that is None; x_goal (nx,) or (T+1, nx), u_goal (nu,) or (T, nu). u_min, u_max hold at knots 0..T-1,
    x_min, x_max at 1..T; constraints: affine ones (rows without u act from knot 1 on). soft: a penalty
    weight (s + s^2) on the excess s in place of a hard bound, one weight for all rows of the state alone, or one per
    label. terminal_set: a Polytope for x[T] - x_goal, or True for the maximal admissible set under the dlqr gain, with
    which (and Qf None, nothing soft) a problem that can be solved once can be solved for ever along the loop.

    solver: "osqp" (tolerance 1e-5 by default, 4000 iterations), "clarabel" (1e-8, no use of a warm start), or "auto":
    OSQP from a warm start, and Clarabel from none or after 200 iterations. Where the unconstrained optimum meets
    all constraints it is the answer and no QP is solved (shortcut). The answer's states are those of the inputs,
    clipped to their limits and simulated again. A guess that is the last answer, shifted, starts the solver from its
    shifted solution and multipliers. Raises ValueError for bad shapes, weights, limits and labels, MissingDependency.
    Source: Rawlings, Mayne and Diehl, Model Predictive Control, 2nd ed., sections 2.4 and 2.5.
    """

    u_min: np.ndarray
    u_max: np.ndarray

    def __init__(
        self,
        A,
        B,
        Q,
        R,
        T: int,
        *,
        dt: float,
        Qf=None,
        c=None,
        x_goal=None,
        u_goal=None,
        u_min=None,
        u_max=None,
        x_min=None,
        x_max=None,
        constraints: Sequence[Constraint] = (),
        soft: float | Mapping[str, float] | None = None,
        terminal_set: Polytope | bool = False,
        solver: str = "auto",
        tolerance: float | None = None,
        iterations: int | None = None,
        shortcut: bool = True,
        x_names: Sequence[str] = (),
        u_names: Sequence[str] = (),
    ):
        if T < 1:
            raise ValueError(f"{WHO}: the horizon T must be at least 1 step, got {T}")
        if not (np.isfinite(dt) and dt > 0):
            raise ValueError(f"{WHO}: dt must be a positive number of seconds, got {dt!r}")
        self.T, self.dt, self.shortcut = T, float(dt), shortcut
        self._set_plant(A, B, Q, R, Qf, c)
        kinds = self._limits(x_names, u_names, (u_min, u_max), (x_min, x_max), constraints)
        goal = np.zeros(self.nx) if x_goal is None else np.array(x_goal, float)
        goal_u = np.zeros(self.nu) if u_goal is None else np.array(u_goal, float)
        self.terminal_set = self._terminal_set(terminal_set, kinds, goal, goal_u)
        if self.terminal_set is not None:
            kinds += lr.terminal(self.terminal_set, goal.reshape(-1, self.nx)[-1], T, self.nu)
        self.rows = lr.assemble(lr.softened(kinds, soft), T, self.nx, self.nu)
        tolerance = tolerance or (1e-8 if solver == "clarabel" else 1e-5)
        self._allowed = 100 * tolerance
        self._qp = LinearProgram(self, solver, tolerance, iterations or (200 if solver == "auto" else 4000))
        self.aim(goal, goal_u)

    def _set_plant(self, A, B, Q, R, Qf, c) -> None:
        self.K, S = dlqr(A, B, Q, R)
        self.A, self.B = np.asarray(A, float), np.asarray(B, float)
        self.nx, self.nu = self.B.shape
        self.Q, self.R, _ = weights(WHO, self.nx, self.nu, Q, R)
        self.Qf = S if Qf is None else weights(f"{WHO} (Q is Qf here)", self.nx, self.nu, Qf, R)[0]
        self.c = np.zeros(self.nx) if c is None else np.array(c, float)
        if self.c.shape != (self.nx,):
            raise ValueError(f"{WHO}: c must be ({self.nx},), got {self.c.shape}")

    def _limits(self, x_names, u_names, of_u, of_x, constraints: Sequence[Constraint]) -> list[lr.Kind]:
        """The Kinds of all bounds and constraints; sets u_min and u_max."""
        T, nx, nu = self.T, self.nx, self.nu
        names = tuple(x_names) or tuple(f"x[{i}]" for i in range(nx))
        kinds = lr.bounds("input", tuple(u_names) or tuple(f"u[{i}]" for i in range(nu)), of_u, range(T), nx, nu)
        self.u_min, self.u_max = np.full(nu, -np.inf), np.full(nu, np.inf)
        for kind in kinds:
            i = int(np.argmax(kind.gu))
            self.u_min[i], self.u_max[i] = kind.lower, kind.upper
        kinds += lr.bounds("state", names, of_x, range(1, T + 1), nx, nu)
        for constraint in constraints:
            kinds += lr.affine(constraint, T, nx, nu)
        return kinds

    def aim(self, x_goal, u_goal) -> None:
        """Another goal: x_goal (nx,) or (T+1, nx), u_goal (nu,) or (T, nu); only vectors of the QP change.

        Raises ValueError for wrong shapes, and if there is a terminal set, which belongs to one goal.
        """
        x_goal, u_goal = np.asarray(x_goal, float), np.asarray(u_goal, float)
        if x_goal.shape not in ((self.nx,), (self.T + 1, self.nx)) or u_goal.shape not in (
            (self.nu,),
            (self.T, self.nu),
        ):
            raise ValueError(
                f"{WHO}: x_goal must be ({self.nx},) or ({self.T + 1}, {self.nx}) and u_goal ({self.nu},) or "
                f"({self.T}, {self.nu}), got {x_goal.shape} and {u_goal.shape}"
            )
        if self.terminal_set is not None and self._qp.aimed:
            raise ValueError(f"{WHO}: the terminal set belongs to the goal: make another LinearMPC for another goal")
        self.x_goal = np.array(np.broadcast_to(x_goal, (self.T + 1, self.nx)))
        self.u_goal = np.array(np.broadcast_to(u_goal, (self.T, self.nu)))
        riccati = finite_horizon_dlqr(
            self.A, self.B, self.Q, self.R, self.Qf, self.T, c=self.c, x_d=self.x_goal, u_d=self.u_goal
        )
        self._gains = riccati.K
        self._gains.flags.writeable = False
        self._qp.aim(riccati)

    def plan(self, x0, guess: Guess = None) -> Plan:
        """The Plan from x0 (nx,); its trajectory starts at the time of the guess, or at 0."""
        start = perf_counter()
        x0 = np.asarray(x0, float)
        if x0.shape != (self.nx,) or not np.isfinite(x0).all():
            raise ValueError(f"{WHO}: x0 must be finite and ({self.nx},), got {x0.tolist()!r:.200}")
        now, warm = self._start(x0, guess)
        qp = self._qp
        z, excess = qp.unconstrained(x0) if self.shortcut else (x0, np.inf)
        if excess <= 0.0:
            status, message = "converged", "the unconstrained optimum meets all constraints"
            qp.remember(now, z, None)
        else:
            z, status, message = qp.solve(x0, warm, now)
            z = qp.simulated(x0, z)
        hard, violations = qp.judged(x0, z, self._allowed)
        if hard > self._allowed and status != "infeasible":
            status = "iteration_limit" if status == "converged" else status
            message = f"{message}; {violations[0]}"
        elif violations and status == "infeasible":
            message = f"{message}; the clipped LQR has {violations[0]}"
        split = self.T * self.nx
        x = np.empty((self.T + 1, self.nx))
        x[0], x[1:] = x0, z[:split].reshape(self.T, self.nx)
        u = z[split:].reshape(self.T, self.nu)
        return Plan(
            trajectory=Trajectory(now + qp.times, x, u),
            cost=self._cost(x, u),
            status=status,
            message=message,
            K=self._gains,
            violations=violations,
            seconds=perf_counter() - start,
        )

    def _start(self, x0: np.ndarray, guess: Guess) -> tuple[float, Memory | None]:
        """The time at which the plan begins, and where the solver starts."""
        if guess is None:
            return 0.0, None
        trajectory = guess.trajectory if isinstance(guess, Plan) else guess
        now = float(trajectory.t[0]) if isinstance(trajectory, Trajectory) else 0.0
        warm = self._qp.recall(now) if isinstance(guess, Plan) else None
        if warm is None:
            x, u = read_guess(guess, self.T, self.nx, self.nu, WHO)
            assert u is not None
            z = np.concatenate([np.zeros(self.T * self.nx) if x is None else x[1:].ravel(), u.ravel()])
            warm = Memory(now, self._qp.simulated(x0, z) if x is None else z, None)
        return now, warm

    def _cost(self, x: np.ndarray, u: np.ndarray) -> float:
        e, w = x - self.x_goal, u - self.u_goal
        body = e[:-1]
        return float(((body @ self.Q) * body).sum() + ((w @ self.R) * w).sum() + e[-1] @ self.Qf @ e[-1])

    def _terminal_set(self, wanted: Polytope | bool, kinds: list[lr.Kind], x_goal, u_goal) -> Polytope | None:
        if isinstance(wanted, Polytope):
            return wanted
        if not wanted:
            return None
        if x_goal.ndim > 1 or u_goal.ndim > 1 or not np.allclose(self.A @ x_goal + self.B @ u_goal + self.c, x_goal):
            raise ValueError(
                f"{WHO}: terminal_set=True needs a goal that stays, A x_goal + B u_goal + c = x_goal; give a Polytope"
            )
        H, h = [], []
        for kind in kinds:
            if len(kind.knots) < self.T:  # a constraint of single knots is no law for ever
                continue
            g, at = kind.gx - kind.gu @ self.K, float(kind.gx @ x_goal + kind.gu @ u_goal)
            H += [g] * bool(np.isfinite(kind.upper)) + [-g] * bool(np.isfinite(kind.lower))
            h += [kind.upper - at] * bool(np.isfinite(kind.upper)) + [at - kind.lower] * bool(np.isfinite(kind.lower))
        if not H:
            return None
        return maximal_admissible_set(self.A - self.B @ self.K, Polytope(np.array(H), np.array(h)))
