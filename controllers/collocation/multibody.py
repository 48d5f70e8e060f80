"""Collocation of Drake's MultibodyPlants by Drake: DirectCollocation with SNOPT or IPOPT."""

from time import perf_counter
from typing import Any

import numpy as np

from controllers.collocation.problem import Problem
from controllers.collocation.resimulate import Arc, defects
from controllers.collocation.solve import Options, verdict
from controllers.collocation.transcribe import knots_of
from controllers.planner import Guess, Iteration, Plan, Planner, Violation
from sims.errors import MissingDependency, ModelError, unknown
from sims.system import System
from sims.trajectory import Trajectory

SOLVERS = ("ipopt", "snopt")


class MultibodySystem(System):
    """A robot with hinges and slides as Drake's continuous MultibodyPlant, without contact; f takes numbers only.

    model: as for `sims.DrakeSimulator`; x = [q, v] in the suite's layout, u = ctrl, each input the force of one joint.
    Raises ModelError for free and ball joints, and for actuators that are not plain motors. Not for several threads.
    """

    def __init__(self, model, *, allow: tuple[str, ...] = ()):
        try:
            from sims import drake_robot
        except ImportError as error:
            raise MissingDependency("Drake is not installed: pip install drake") from error
        robot = drake_robot.load(
            model, dt=None, discrete=False, contact=False, limits=False, allow=allow, approximation="lagged"
        )
        if robot.layout.rotations:
            raise ModelError("collocation in Drake takes hinges and slides; this robot has free or ball joints")
        self.robot, self.plant = robot, robot.plant
        self.nq, self.nv, self.nu = robot.layout.nq, robot.layout.nv, len(robot.u_names)
        self.nx = self.nq + self.nv
        self.x_names, self.u_names = robot.x_names, robot.u_names
        self._context = self.plant.CreateDefaultContext()
        self._force = self.plant.get_applied_generalized_force_input_port().FixValue(self._context, np.zeros(self.nv))
        self.motors = self._motors()
        at = np.arange(self.nx, dtype=float)
        self._to_drake = robot.layout.to_drake(at, []).astype(int)  # x_drake = x[_to_drake]
        self._rate_from = np.argsort(self._to_drake)

    @property
    def u_min(self) -> np.ndarray:
        return self.robot.u_min

    @property
    def u_max(self) -> np.ndarray:
        return self.robot.u_max

    def _motors(self) -> tuple[np.ndarray, np.ndarray]:
        """The row of Drake's generalised force that each input drives (nu,), and its gear (nu,)."""
        actuators, layout = self.robot.actuators, self.robot.layout
        zero, probe = np.zeros(self.nu), np.linspace(0.1, 0.7, self.nx)
        columns = [layout.velocity_to_drake(actuators.tau(probe, e, [], self._context), []) for e in np.eye(self.nu)]
        G = np.array(columns).reshape(self.nu, self.nv).T
        rest = actuators.tau(probe, zero, [], self._context)
        double = [
            layout.velocity_to_drake(actuators.tau(-probe, 2 * e, [], self._context), []) for e in np.eye(self.nu)
        ]
        linear = np.allclose(np.array(double).reshape(self.nu, self.nv).T, 2 * G) and not np.any(rest)
        rows = np.abs(G).argmax(axis=0)
        if not linear or ((G != 0).sum(axis=0) != 1).any() or len(set(rows.tolist())) != self.nu:
            raise ModelError("collocation in Drake takes motors, one a joint: tau = gear u; this robot has others")
        return rows, G[rows, np.arange(self.nu)]

    def f(self, x, u):
        x, u = np.asarray(x, float), np.asarray(u, float)
        out = np.empty(x.shape)
        rows, gears = self.motors
        force = np.zeros(self.nv)
        for index in np.ndindex(x.shape[:-1]):
            force[rows] = gears * u[index]
            self._force.GetMutableData().get_mutable_value().SetFromVector(force)
            self.plant.SetPositionsAndVelocities(self._context, x[index][self._to_drake])
            rate = self.plant.EvalTimeDerivatives(self._context).CopyToVector()
            out[index] = rate[self._rate_from]
        return out


class DrakeCollocation(Planner):
    """Hermite-Simpson collocation by Drake's DirectCollocation, of a MultibodySystem or any closed-form System.

    problem: as for Collocation, of one phase and scheme "hermite_simpson"; Drake integrates the cost by the trapezoid
    rule. solver: "snopt" or "ipopt" (Options.max_iterations and .feasibility count, .ipopt goes to the solver as it
    is). The program is built once. Raises MissingDependency without Drake, ValueError for what Drake cannot pose.
    Source: Hargraves and Paris, 1987; Gill, Murray and Saunders, SNOPT, SIAM Review 47(1), 2005.
    """

    def __init__(self, problem: Problem, options: Options | None = None, *, solver: str = "snopt"):
        if solver not in SOLVERS:
            raise unknown("solver of Drake", solver, SOLVERS)
        if problem.scheme != "hermite_simpson":
            raise ValueError(f"DrakeCollocation: Drake has scheme 'hermite_simpson' only, got {problem.scheme!r}")
        self.problem, self.options, self.solver = problem, options or Options(), solver
        self._build()

    def plan(self, x0, guess: Guess = None) -> Plan:
        """The Plan from x0 (nx,); guess: a Trajectory, a Plan, inputs (T, nu), or None for a straight line."""
        begin, system = perf_counter(), self.problem.system
        x0 = np.asarray(x0, float)
        if x0.shape != (system.nx,) or not np.isfinite(x0).all():
            raise ValueError(f"DrakeCollocation: x0 must be ({system.nx},) finite numbers, got {x0!r:.120}")
        self._start.evaluator().set_bounds(x0[self._order], x0[self._order])
        self._set_guess(x0, guess)
        prog = self._dircol.prog()
        solver, options = self._solver()
        result = solver.Solve(prog, prog.initial_guess(), options)
        arc = self._arc(result)
        violations = self._violations(arc, x0)
        found = defects(arc, atol=1e-8, most=64)
        cost, success = float(result.get_optimal_cost()), bool(result.is_success())
        limit = "Iteration" in result.get_solution_result().name
        count = self.options.max_iterations if limit else 0
        status, message = verdict(self.options, cost, float(found.max()), violations, 0.0 if success else np.inf, count)
        return Plan(
            trajectory=arc.sample(self.options.pieces),
            cost=cost,
            status=status,
            message=f"{self.solver}: {message.replace(' after 0 iterations', '')}",
            log=(Iteration(cost, float(found.max()), violation=max((v.amount for v in violations), default=0.0)),),
            violations=violations,
            seconds=perf_counter() - begin,
        )

    def _build(self) -> None:
        """The DirectCollocation with costs and limits; it does not keep system and context alive, so they are kept."""
        from pydrake.planning import DirectCollocation

        problem, system = self.problem, self.problem.system
        low, high = problem.time_limits
        n = problem.intervals
        if isinstance(system, MultibodySystem):
            self._system = system.plant
            port = system.plant.get_applied_generalized_force_input_port().get_index()
            self._order, (self._rows, self._gears) = system._to_drake, system.motors
            width = system.nv
        else:
            from sims.drake_system import to_drake

            self._system = to_drake(system)
            port = self._system.get_input_port(0).get_index()
            self._order, self._rows, self._gears = np.arange(system.nx), np.arange(system.nu), np.ones(system.nu)
            width = system.nu
        self._context = self._system.CreateDefaultContext()
        limit = high / n if np.isfinite(high) else 1e3
        self._dircol = DirectCollocation(self._system, self._context, n + 1, max(low / n, 1e-4), limit, port)
        dircol = self._dircol
        if problem.equal_steps:
            dircol.AddEqualTimeIntervalsConstraints()
        if low < high:
            dircol.AddDurationBounds(low, min(high, limit * n))
        prog = dircol.prog()
        self._start = prog.AddBoundingBoxConstraint(np.zeros(system.nx), np.zeros(system.nx), dircol.initial_state())
        others = np.setdiff1d(np.arange(width), self._rows)
        for k in range(n + 1):
            ends = np.sort([system.u_min * self._gears, system.u_max * self._gears], axis=0)
            prog.AddBoundingBoxConstraint(*ends, dircol.input(k)[self._rows])
            if len(others):
                prog.AddBoundingBoxConstraint(0.0, 0.0, dircol.input(k)[others])
        with np.errstate(all="ignore"):  # NumPy reports flags that Drake's symbols leave set
            self._add_limits(prog)
            self._add_costs()

    def _add_limits(self, prog) -> None:
        """State limits, the goal and the user's constraints."""
        problem, dircol = self.problem, self._dircol
        free = np.full(problem.system.nx, np.inf)
        low = -free if problem.x_min is None else problem.x_min
        high = free if problem.x_max is None else problem.x_max
        for k in range(int(problem.knots)):
            prog.AddBoundingBoxConstraint(low[self._order], high[self._order], dircol.state(k))
        if problem.x_goal is not None:
            goal = problem.x_goal[self._order]
            fixed = ~np.isnan(goal)
            prog.AddBoundingBoxConstraint(goal[fixed], goal[fixed], dircol.final_state()[fixed])
        for constraint in problem.constraints:
            for k in knots_of(constraint, int(problem.knots), False).tolist():
                g = np.asarray(constraint.g(self._x(dircol.state(k)), self._u(dircol.input(k)))).reshape(-1)
                for row, a, b in zip(g, constraint.lower, constraint.upper, strict=True):
                    prog.AddConstraint(row * 1.0, a, b)

    def _add_costs(self) -> None:
        dircol, cost = self._dircol, self.problem.cost
        if cost is not None:
            stage = cost.stage(self._x(dircol.state()), self._u(dircol.input()))
            dircol.AddRunningCost(stage * 1.0)
            terminal = cost.terminal(self._x(dircol.state())) * 1.0
            if not isinstance(terminal, float):
                dircol.AddFinalCost(terminal)
        if self.problem.time_cost:
            dircol.AddFinalCost(dircol.time()[0] * float(self.problem.time_cost))

    def _x(self, state) -> np.ndarray:
        """States of Drake (..., nx) or symbols in the suite's order."""
        return (state * 1.0)[..., np.argsort(self._order)]

    def _u(self, force) -> np.ndarray:
        """Inputs (..., nu) of Drake's generalised forces."""
        return (force * 1.0)[..., self._rows] / self._gears

    def _solver(self) -> tuple[Any, Any]:
        from pydrake.solvers import IpoptSolver, SnoptSolver, SolverOptions

        solver = SnoptSolver() if self.solver == "snopt" else IpoptSolver()
        options, given = SolverOptions(), dict(self.options.ipopt)
        if self.solver == "snopt":
            given = {"Major iterations limit": int(self.options.max_iterations), **given}
        else:
            given = {"max_iter": int(self.options.max_iterations), "tol": float(self.options.tolerance), **given}
        for name, value in given.items():
            options.SetOption(solver.solver_id(), name, value)
        return solver, options

    def _set_guess(self, x0: np.ndarray, guess: Guess) -> None:
        from pydrake.trajectories import PiecewisePolynomial

        system, (low, high) = self.problem.system, self.problem.time_limits
        if isinstance(guess, Plan):
            guess = guess.trajectory
        if isinstance(guess, Trajectory):
            t, x, u = guess.t - guess.t[0], guess.x, guess.u
        else:
            goal = x0 if self.problem.x_goal is None else self.problem.x_goal
            u = np.zeros((1, system.nu)) if guess is None else np.asarray(guess, float)
            T = float(np.sqrt(max(low, 0.01 * high) * high)) if np.isfinite(high) else max(2 * low, 1.0)
            t = np.linspace(0.0, T, len(u) + 1)
            x = np.linspace(x0, np.where(np.isnan(goal), x0, goal), len(t))
        force = np.zeros((len(t), len(self._dircol.input(0))))
        force[:, self._rows] = self._gears * np.vstack([u, u[-1:]])
        self._dircol.SetInitialTrajectory(
            PiecewisePolynomial.FirstOrderHold(t, force.T), PiecewisePolynomial.FirstOrderHold(t, x[:, self._order].T)
        )

    def _arc(self, result) -> Arc:
        t = np.asarray(self._dircol.GetSampleTimes(result), float).reshape(-1)
        x = self._x(np.array(self._dircol.GetStateSamples(result), float).T)
        u = self._u(np.array(self._dircol.GetInputSamples(result), float).T)
        return Arc(self.problem.system, t, x, u)

    def _violations(self, arc: Arc, x0: np.ndarray) -> tuple[Violation, ...]:
        """What the knots are outside of, measured on them."""
        problem, system, inf = self.problem, self.problem.system, np.inf
        h = np.diff(arc.t)[:, None]
        f = system.f(arc.x, arc.u)
        xm = (arc.x[:-1] + arc.x[1:]) / 2 + h / 8 * (f[:-1] - f[1:])
        fm = system.f(xm, (arc.u[:-1] + arc.u[1:]) / 2)
        low, high = problem.time_limits
        goal = np.full(system.nx, np.nan) if problem.x_goal is None else problem.x_goal
        rows = [
            ("dynamics", "", np.arange(len(h)), np.abs(np.diff(arc.x, axis=0) - h / 6 * (f[:-1] + 4 * fm + f[1:]))),
            ("start", "", np.array([0]), np.abs(arc.x[:1] - x0)),
            ("goal", "", np.array([len(h)]), np.nan_to_num(np.abs(arc.x[-1:] - goal), nan=0.0)),
            ("duration", "s", np.array([0]), np.array([[low - arc.t[-1], arc.t[-1] - high]])),
            ("input limit", "", np.arange(len(arc.u)), np.hstack([system.u_min - arc.u, arc.u - system.u_max])),
        ]
        if problem.x_min is not None or problem.x_max is not None:
            below = -inf if problem.x_min is None else problem.x_min - arc.x
            above = -inf if problem.x_max is None else arc.x - problem.x_max
            rows.append(("state limit", "", np.arange(len(arc.x)), np.maximum(below, above)))
        for c in problem.constraints:
            at = knots_of(c, len(arc.x), False)
            g = c.value(arc.x[at], arc.u[at])
            rows.append((c.label, c.unit, at, np.maximum(c.lower - g, g - c.upper)))
        found = []
        for label, unit, knots, outside in rows:
            worst = outside.max(axis=1, initial=0.0)
            where = worst > self.options.feasibility * 10  # SNOPT and IPOPT scale what they check
            if where.any():
                at = tuple(int(k) for k in knots[where])
                found.append(Violation(problem.named(label), at, float(worst.max()), unit))
        return tuple(found)
