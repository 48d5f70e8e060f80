"""Collocation: exact derivatives, schemes against closed forms, labels, statuses, warm starts, bad input."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

pytest.importorskip("casadi", reason="collocation uses CasADi: pip install casadi")

import casadi as ca
from collocation_cases import RimlessWheel, acrobot, effort_cost, line, minimum_time, pendulum, perching

from controllers import barrier, final_only, from_function, residual, smooth_abs
from controllers.collocation import SCHEMES, Collocation, Options, Problem
from controllers.collocation.resimulate import defects
from controllers.collocation.symbolic import record
from controllers.collocation.transcribe import Transcription
from controllers.constraint import Constraint, input_limits, state_box
from controllers.cost import quadratic
from controllers.tangent import Wrapped
from sims.linearize import linearize
from sims.ode import OdeSimulator
from sims.plants import Acrobot, CartPole, DoubleIntegrator, Pendulum, Quadrotor
from sims.system import stack

CIRCLE = Constraint("clear the post", lambda x, u: stack([x[..., 0] ** 2 + u[..., 0] * x[..., 1]]), [0.1], [np.inf])
PROGRAMS = {
    **{f"pendulum, {scheme}": pendulum(knots=5, scheme=scheme, constraints=(CIRCLE,)) for scheme in SCHEMES},
    "free steps": pendulum(knots=5, equal_steps=False),
    "acrobot": acrobot(knots=4, time_cost=2.0),
    "perching": perching(knots=4),
    "rimless wheel": RimlessWheel().stride(knots=4),
}


def point(transcription: Transcription, rng: np.random.Generator) -> np.ndarray:
    z = rng.uniform(-1, 1, transcription.nlp.size)
    for layout in transcription.layouts:
        z[layout.time] = rng.uniform(0.5, 1.5, layout.time.shape)
    return z


@pytest.mark.parametrize("name", PROGRAMS)
def test_derivatives_of_the_program(name, rng=np.random.default_rng(0)):  # noqa: B008
    transcription = Transcription(PROGRAMS[name])
    nlp, eps = transcription.nlp, 1e-6
    z, lam = point(transcription, rng), rng.standard_normal(len(transcription.nlp.rows))
    fns = nlp.functions

    def slope(at):
        grad, jac = fns["grad_f"](at, [])[1], fns["jac_g"](at, [])[1]
        return np.asarray(grad + ca.mtimes(jac.T, lam)).reshape(-1)

    steps = eps * np.eye(nlp.size)
    ends = [(nlp.values(z + step), nlp.values(z - step)) for step in steps]
    grad = np.array([(a[0] - b[0]) / (2 * eps) for a, b in ends])
    jac = np.array([(a[1] - b[1]) / (2 * eps) for a, b in ends]).T
    hess = np.array([(slope(z + step) - slope(z - step)) / (2 * eps) for step in steps])
    found = np.asarray(ca.DM(fns["hess_lag"](z, [], 1.0, lam)))
    found = found + np.triu(found, 1).T

    def scale(array):
        return 1e-6 * max(1.0, np.abs(array).max())

    np.testing.assert_allclose(np.asarray(fns["grad_f"](z, [])[1]).reshape(-1), grad, atol=scale(grad))
    np.testing.assert_allclose(np.asarray(ca.DM(fns["jac_g"](z, [])[1])), jac, atol=scale(jac))
    np.testing.assert_allclose(found, hess, atol=scale(hess))


def least_effort(plant, T: float, x1) -> float:
    """min of the integral of u'u to reach x1 from rest at 0: x1' W^-1 x1 with the Gramian W, by Van Loan's formula."""
    A, B = linearize(plant, np.zeros(plant.nx), np.zeros(plant.nu))
    n = len(A)
    big = expm(np.block([[-A, B @ B.T], [np.zeros((n, n)), A.T]]) * T)
    return float(x1 @ np.linalg.solve(big[n:, n:].T @ big[:n, n:], x1))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_schemes_converge_at_their_order(scheme):
    """Least effort of a damped double integrator; inputs that are held or linear are themselves of second order."""
    plant, x1 = DoubleIntegrator(b=0.5), np.array([1.0, 0.2])
    wanted, errors = least_effort(plant, 2.0, x1), []
    for knots in (11, 21, 41):
        problem = Problem(system=plant, duration=2.0, cost=effort_cost(2, 1.0), x_goal=x1, knots=knots, scheme=scheme)
        solution = Collocation(problem).solve(np.zeros(2))
        assert solution.feasible and solution.stationarity < 1e-6
        errors.append(abs(solution.cost - wanted) / wanted)
    assert errors[-1] < (0.1 if scheme == "euler" else 3e-3)
    order = np.log2(errors[0] / errors[2]) / 2
    assert order > 0.9 * min(SCHEMES[scheme].order, 2)
    if scheme == "hermite_simpson_separated":
        assert order > 3.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_defects_are_those_of_an_independent_integrator(scheme):
    problem = pendulum(scheme=scheme, knots=11)
    planner = Collocation(problem, Options(max_iterations=30, retries=0))
    solution = planner.solve([0, 0], line([0, 0], [np.pi, 0], 2.0))
    arc = solution.arcs[0]
    shares, wanted = np.array([0.0, 0.5, 1.0]), []
    at = np.stack([arc.inputs(s) for s in shares])  # (3, N-1, nu): any of the inputs is a quadratic through these
    for k, (t0, t1) in enumerate(zip(arc.t, arc.t[1:], strict=False)):
        fit = np.polynomial.Polynomial.fit(shares, at[:, k, 0], 2)

        def rate(t, x, t0=t0, h=t1 - t0, fit=fit):
            return problem.system.f(x, np.array([fit((t - t0) / h)]))

        end = solve_ivp(rate, (t0, t1), arc.x[k], method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
        wanted.append(np.abs(end - arc.x[k + 1]).max())
    np.testing.assert_allclose(defects(arc), wanted, atol=1e-8, rtol=1e-2)
    assert solution.log[-1].defect == pytest.approx(max(wanted), rel=1e-2, abs=1e-8)


def test_the_plan_plays_in_the_simulator():
    plan = Collocation(acrobot(knots=101), Options(pieces=32)).plan(
        np.zeros(4), line(np.zeros(4), [np.pi, 0, 0, 0], 2.0)
    )
    assert plan.ok, plan.message
    run, x = plan.trajectory, np.zeros(4)
    limit = Acrobot(torque_limit=20.0).u_max
    assert (np.abs(run.u) <= limit).all()
    for u, h in zip(run.u, np.diff(run.t), strict=True):
        x = OdeSimulator(Acrobot(torque_limit=20.0), dt=h).step(x, u)
    np.testing.assert_allclose(x, [np.pi, 0, 0, 0], atol=0.05)


def test_rows_and_bounds_carry_the_users_words():
    planner = Collocation(perching(x_min=[-4, -1, *[-np.inf] * 5]))
    rows, transcription = planner.transcription.rows, planner.transcription
    assert len(rows) == len(transcription.nlp.lower) == 7 * 40
    assert {label for label, _ in rows} == {"dynamics"} and {knot for _, knot in rows} == set(range(40))
    words = {b.label for b in transcription.bounds_from(np.zeros(7))[2]}
    assert {"elevator limit", "at the perch", "nose up", "slow", "duration", "input limit elevator_rate"} <= words
    assert {"state limit x", "state limit z", "start pitch"} <= words
    rows = Collocation(pendulum(constraints=(CIRCLE,))).transcription.rows
    assert [knot for label, knot in rows if label == "clear the post"] == list(range(21))
    held = Collocation(pendulum(constraints=(CIRCLE,), scheme="rk4")).transcription.rows
    assert [knot for label, knot in held if label == "clear the post"] == list(range(20))


PLANTED = {
    "goal outside the box": ({"x_max": [2.0, np.inf]}, {"goal theta", "state limit theta"}),
    "two boxes on one state": (
        {
            "constraints": (
                state_box([0.2], [1.0], label="fast", components=[1], knots=(3, 4)),
                state_box([-1.0], [0.1], label="slow", components=[1], knots=(4,)),
            )
        },
        {"fast", "slow"},
    ),
    "start against the wall": (
        {"constraints": (state_box([0.5], [9.0], label="beyond the wall", components=[0]),)},
        {"start theta", "beyond the wall"},
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_limits_that_contradict_are_named_at_once(name):
    changes, labels = PLANTED[name]
    plan = Collocation(pendulum(**changes)).plan([0, 0])
    assert plan.status == "infeasible"
    assert {v.label for v in plan.violations} == labels
    assert all(f"'{label}'" in plan.message for label in labels)


@pytest.mark.parametrize("changes", [{"duration": 0.2}, {"system": Pendulum(torque_limit=0.01), "duration": 1.0}])
def test_what_cannot_be_reached_is_infeasible(changes):
    plan = Collocation(pendulum(**changes), Options(retries=1)).plan([0, 0])
    assert plan.status == "infeasible" and not plan.ok
    assert plan.violations[0].label == "dynamics" and "dynamics" in plan.message
    assert plan.violations[0].amount > 1e-3


def test_a_coarse_mesh_is_not_converged():
    problem = pendulum(knots=6, duration=3.0)
    plan = Collocation(problem).plan([0, 0])
    assert plan.status == "stalled" and "knots" in plan.message
    finer = Collocation(problem, Options(refinements=4)).plan([0, 0])
    assert finer.ok and finer.log[-1].defect < 1e-2


def test_iteration_limit():
    plan = Collocation(acrobot(), Options(max_iterations=3, retries=0)).plan(np.zeros(4))
    assert plan.status == "iteration_limit" and "3 iterations" in plan.message


def test_warm_starts():
    guess = line([0, 0], [np.pi, 0], 2.0)
    planner = Collocation(pendulum(duration=3.0, knots=41), Options(retries=0))
    cold = planner.solve([0, 0], guess)
    again = planner.solve([0, 0], cold)
    assert again.iterations < cold.iterations / 4 and again.cost == pytest.approx(cold.cost, rel=1e-6)
    plan = planner.plan([0, 0], guess)
    near = planner.plan([0.02, 0], plan)
    assert near.ok and len(near.log) < len(plan.log)
    other = Collocation(pendulum(duration=3.0, knots=61, scheme="rk4")).plan([0, 0], plan)  # its own grid
    assert other.ok and other.cost == pytest.approx(plan.cost, rel=0.01)
    finer = Collocation(pendulum(duration=3.0, knots=81)).solve([0, 0], cold)
    assert finer.status == "converged" and finer.cost == pytest.approx(cold.cost, rel=1e-3)
    inputs = Collocation(pendulum(duration=3.0, knots=41)).plan([0, 0], plan.trajectory.u)
    assert inputs.ok


def test_same_seed_same_bytes():
    runs = [Collocation(pendulum(), Options(starts=3, seed=5)).plan([0, 0]) for _ in range(2)]
    assert runs[0].trajectory.x.tobytes() == runs[1].trajectory.x.tobytes()
    more = Collocation(pendulum(), Options(starts=6, seed=5)).plan([0, 0])
    assert more.ok and (more.cost <= runs[0].cost or not runs[0].ok)


def test_free_steps_are_as_good():
    equal = Collocation(minimum_time()).plan([-2, 0])
    free = Collocation(replace(minimum_time(), equal_steps=False)).plan([-2, 0])
    assert free.ok and free.cost <= equal.cost + 1e-9
    assert free.cost == pytest.approx(2 * np.sqrt(2), abs=1e-4)  # a knot falls on the switch


def test_a_quaternion_goal():
    plant = Quadrotor(thrust_min=0.0, thrust_max=4.0)
    half = np.deg2rad(60) / 2
    goal = np.concatenate([[1.0, 0, 0.5, np.cos(half), np.sin(half), 0, 0], np.zeros(6)])
    x0 = np.concatenate([np.zeros(3), [1.0, 0, 0, 0], np.zeros(6)])
    cost = quadratic(np.zeros(13), np.ones(4), x_goal=np.zeros(13), u_goal=plant.hover)
    planner = Collocation(Problem(system=plant, duration=(0.5, 3.0), cost=cost, time_cost=5.0, x_goal=goal, knots=31))
    plan = planner.plan(x0)
    assert plan.ok, plan.message
    np.testing.assert_allclose(plant.difference(goal, plan.trajectory.x[-1]), np.zeros(12), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(plan.trajectory.x[:, 3:7], axis=1), 1, atol=1e-12)


GOAL = np.array([np.pi, 0.0])
COSTS = {
    "quadratic": quadratic([1, 2], [3], qf=[4, 5], x_goal=GOAL),
    "angles": quadratic([1, 2], [3], qf=[4, 5], x_goal=GOAL, difference=Wrapped((0,))),
    "sum": 2.0 * quadratic([1, 1], [1], x_goal=GOAL) + smooth_abs([1, 1], [1], qf=[1, 2], x_goal=GOAL, alpha=0.1),
    "final": final_only(quadratic([1, 1], [1], qf=[1, 1], x_goal=GOAL)),
    "function": from_function(lambda x, u: (x[..., 0] * u[..., 0]) ** 2, terminal=lambda x: np.exp(x[..., 1])),
    "residual": residual(lambda x, u: stack([np.sin(x[..., 0]), u[..., 0]]), [1.0, 2.0]),
    "barrier": barrier(input_limits([-1.0], [1.0]), 0.1, 0.2),
}


@pytest.mark.parametrize("name", COSTS)
def test_recorded_costs_are_the_costs(name):
    cost, rng = COSTS[name], np.random.default_rng(0)
    stage, terminal = record("stage", cost.stage, (2, 1), rows=1), record("terminal", cost.terminal, (2,), rows=1)
    for x, u in zip(rng.normal(0, 4, (30, 2)), rng.normal(0, 2, (30, 1)), strict=True):
        assert float(stage(x, u)) == pytest.approx(float(cost.stage(x, u)), rel=1e-12, abs=1e-12)
        assert float(terminal(x)) == pytest.approx(float(cost.terminal(x)), rel=1e-12, abs=1e-12)


WRONG = {
    "simulator": (lambda: pendulum(system=OdeSimulator(Pendulum())), "takes a sims.System"),
    "float": (
        lambda: Collocation(pendulum(cost=from_function(lambda x, u: float(x[0]) * u[0]))),
        "turns symbols into numbers",
    ),
    "knots": (lambda: pendulum(knots=1), "at least 2"),
    "scheme": (lambda: pendulum(scheme="simpson"), "Available: euler"),
    "goal": (lambda: pendulum(x_goal=[0, 0, 0]), r"x_goal must be \(2,\)"),
    "duration": (lambda: pendulum(duration=-1.0), "positive number of seconds"),
    "cost": (lambda: Collocation(pendulum(cost=_Branching())), "_Branching.stage cannot be evaluated on symbols"),
    "rows": (
        lambda: Collocation(pendulum(constraints=(replace(CIRCLE, lower=[0, 0], upper=[1, 1]),))),
        "must return 2 values, got 1",
    ),
    "start": (lambda: Collocation(pendulum()).plan([0, 0, 0]), r"x0 must be \(2,\)"),
    "guess": (
        lambda: Collocation(pendulum()).plan([0, 0], line([0, np.nan], [1, 0], 2.0)),
        "must be finite",
    ),
    "knot": (lambda: Collocation(pendulum(constraints=(replace(CIRCLE, knots=(21,)),))), "knots 0..20"),
}


class _Branching:
    def stage(self, x, u):
        return u[0] if x[0] > 0 else -u[0]

    def terminal(self, x):
        return 0.0


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_one_clear_error(name):
    make, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        make()


def test_limits_the_wrong_way_round():
    plan = Collocation(Problem(system=CartPole(force_limit=-1.0), duration=1.0)).plan(np.zeros(4))
    assert plan.status == "infeasible" and plan.violations[0].label == "input limit force"
    assert "lower limit is above" in plan.message
    plan = Collocation(pendulum(duration=(3.0, 2.0))).plan([0, 0])
    assert plan.status == "infeasible" and {v.label for v in plan.violations} == {"duration"}
