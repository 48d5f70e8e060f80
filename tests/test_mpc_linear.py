"""Linear MPC against the finite-horizon LQR, dense quadratic programs of SciPy and Drake, and its own promises."""

from dataclasses import replace

import numpy as np
import pytest
from mpc_cases import cost, dense, double_integrator, quadrotor_like, random_plant, simulate

from controllers import dlqr, finite_horizon_dlqr
from controllers.constraint import Constraint
from controllers.mpc.linear import LinearMPC
from controllers.mpc.polytope import Polytope
from sims.trajectory import Trajectory

pytest.importorskip("osqp", reason="OSQP is not installed: pip install osqp")
pytest.importorskip("clarabel", reason="Clarabel is not installed: pip install clarabel")

SOLVERS = ["auto", "osqp", "clarabel"]
ATOL = {"auto": 1e-6, "osqp": 2e-4, "clarabel": 1e-6}


def later(plan, dt):
    run = plan.trajectory
    return replace(plan, trajectory=Trajectory(run.t + dt, run.x, run.u))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("sizes", [(2, 1), (4, 2), (7, 3)])
def test_without_active_constraints_it_is_the_finite_horizon_lqr(sizes, shortcut, solver, rng):
    A, B, Q, R = random_plant(rng, *sizes)
    T, c = 9, rng.standard_normal(sizes[0])
    Qf, x_goal, u_goal = 3 * Q, rng.standard_normal((T + 1, sizes[0])), rng.standard_normal((T, sizes[1]))
    mpc = LinearMPC(
        A, B, Q, R, T, dt=0.1, Qf=Qf, c=c, x_goal=x_goal, u_goal=u_goal, u_max=1e3, shortcut=shortcut, solver=solver,
        tolerance=1e-8,
    )  # fmt: skip
    riccati = finite_horizon_dlqr(A, B, Q, R, Qf, T, c=c, x_d=x_goal, u_d=u_goal)
    x = x0 = rng.standard_normal(sizes[0])
    plan = mpc.plan(x0)
    assert plan.ok and plan.violations == ()
    for k in range(T):
        u = -riccati.K[k] @ x - riccati.k[k]
        np.testing.assert_allclose(plan.trajectory.x[k], x, atol=2e-5)
        np.testing.assert_allclose(plan.trajectory.u[k], u, atol=2e-5)
        x = A @ x + B @ u + c
    assert plan.cost == pytest.approx(riccati.cost(x0), rel=1e-6)
    np.testing.assert_array_equal(plan.K, riccati.K)


def test_without_constraints_and_with_the_riccati_weight_it_is_lqr_at_any_horizon(rng):
    A, B, Q, R = quadrotor_like()
    K, S = dlqr(A, B, Q, R)
    x0 = rng.standard_normal(12)
    for T in (1, 2, 20):
        plan = LinearMPC(A, B, Q, R, T, dt=0.05).plan(x0)
        np.testing.assert_allclose(plan.trajectory.u[0], -K @ x0, atol=1e-8)
        assert plan.cost == pytest.approx(x0 @ S @ x0, rel=1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("seed", range(4))
def test_input_limits_against_scipy(seed, solver):
    from scipy.optimize import minimize

    rng = np.random.default_rng(seed)
    A, B, Q, R = random_plant(rng, 4, 2)
    mpc = LinearMPC(A, B, Q, R, 8, dt=0.1, u_min=[-0.3, -0.2], u_max=[0.1, 0.4], solver=solver)
    x0 = rng.standard_normal(4)
    H, h = dense(mpc, x0)
    oracle = minimize(
        lambda u: 0.5 * u @ H @ u + h @ u, np.zeros(16), jac=lambda u: H @ u + h, method="L-BFGS-B",
        bounds=[(-0.3, 0.1), (-0.2, 0.4)] * 8, options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 5000},
    )  # fmt: skip
    plan = mpc.plan(x0)
    u = plan.trajectory.u
    assert plan.ok
    assert ((u <= [0.1, 0.4]) & (u >= [-0.3, -0.2])).all()
    assert np.isclose(
        np.abs(u - np.clip(u, [-0.299, -0.199], [0.099, 0.399])).max(), 0.001, atol=1e-3
    )  # some are active
    np.testing.assert_allclose(u.ravel(), oracle.x, atol=10 * ATOL[solver])
    assert plan.cost == pytest.approx(
        cost(mpc, simulate(mpc, x0, oracle.x.reshape(8, 2)), oracle.x.reshape(8, 2)), rel=1e-5
    )


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("seed", range(3))
def test_state_and_mixed_constraints_against_drake(seed, solver):
    mp = pytest.importorskip("pydrake.solvers", reason="Drake is not installed: pip install drake")
    rng = np.random.default_rng(seed)
    A, B, Q, R = quadrotor_like()
    tilt = Constraint("tilt and thrust", lambda x, u: x[..., 3:4] + 0.2 * u[..., 0:1] + 0.1, -0.3, 0.3)
    bound = np.r_[np.full(6, np.inf), np.full(3, 0.8), np.full(3, 2.0)]
    T = 12
    mpc = LinearMPC(
        A, B, Q, R, T, dt=0.05, u_min=-1, u_max=1, x_min=-bound, x_max=bound, constraints=[tilt], solver=solver
    )
    x0 = np.r_[rng.uniform(-1, 1, 3), np.zeros(9)]
    program = mp.MathematicalProgram()
    x, u = program.NewContinuousVariables(T + 1, 12, "x"), program.NewContinuousVariables(T, 4, "u")
    program.AddLinearEqualityConstraint(np.eye(12), x0, x[0])
    for k in range(T):
        program.AddLinearEqualityConstraint(np.hstack([A, B, -np.eye(12)]), np.zeros(12), np.r_[x[k], u[k], x[k + 1]])
        program.AddQuadraticCost(2 * Q, np.zeros(12), x[k])
        program.AddQuadraticCost(2 * R, np.zeros(4), u[k])
        program.AddBoundingBoxConstraint(-1, 1, u[k])
        program.AddBoundingBoxConstraint(-bound[6:], bound[6:], x[k + 1][6:])
        row = np.r_[np.eye(12)[3], 0.2, 0, 0, 0]
        program.AddLinearConstraint(row[None], [-0.4], [0.2], np.r_[x[k], u[k]])
    program.AddQuadraticCost(2 * mpc.Qf, np.zeros(12), x[T])
    options = mp.SolverOptions()
    oracle = mp.ClarabelSolver().Solve(program, None, options)
    assert oracle.is_success()
    plan = mpc.plan(x0)
    assert plan.ok, plan.message
    assert plan.cost == pytest.approx(oracle.get_optimal_cost(), rel=1e-4 if solver == "osqp" else 1e-6)
    np.testing.assert_allclose(plan.trajectory.u[:3], oracle.GetSolution(u)[:3], atol=30 * ATOL[solver])
    tight = max(np.abs(plan.trajectory.x[1:, 6:9]).max() / 0.8, np.abs(plan.trajectory.u).max())
    assert tight == pytest.approx(1.0, abs=1e-3)  # else the test says nothing


@pytest.mark.parametrize("solver", SOLVERS)
def test_soft_constraints_cost_what_they_say_against_scipy(solver):
    """From outside the bound: the hard problem is infeasible, the soft one is a QP with s >= 0."""
    from scipy.optimize import minimize

    A, B, Q, R = double_integrator()
    x0, T, weight = np.array([0.0, 1.5]), 6, 40.0
    hard = LinearMPC(A, B, Q, R, T, dt=0.1, u_min=-1, u_max=1, x_max=[np.inf, 1.0], x_names=("q", "v"), solver=solver)
    refused = hard.plan(x0)
    assert refused.status == "infeasible" and "state limit v" in refused.message
    assert refused.violations[0].label == "state limit v" and refused.violations[0].knots[0] == 1
    assert np.isfinite(refused.trajectory.u).all() and (np.abs(refused.trajectory.u) <= 1).all()
    mpc = LinearMPC(A, B, Q, R, T, dt=0.1, u_min=-1, u_max=1, x_max=[np.inf, 1.0], soft=weight, solver=solver)
    plan = mpc.plan(x0)
    assert plan.ok and plan.violations

    def total(z):
        u, s = z[:T, None], z[T:]
        return cost(mpc, simulate(mpc, x0, u), u) + weight * (s + s**2).sum()

    oracle = minimize(
        total, np.r_[-np.ones(T), np.ones(T)], method="SLSQP", bounds=[(-1, 1)] * T + [(0, None)] * T,
        constraints={"type": "ineq", "fun": lambda z: 1.0 - simulate(mpc, x0, z[:T, None])[1:, 1] + z[T:]},
        options={"maxiter": 500, "ftol": 1e-12},
    )  # fmt: skip
    assert oracle.success
    np.testing.assert_allclose(plan.trajectory.u.ravel(), oracle.x[:T], atol=2e-3)


def test_soft_where_it_is_not_needed_changes_nothing(rng):
    """The linear part of the penalty is exact: what the hard problem can keep, the soft one keeps."""
    A, B, Q, R = double_integrator()
    limits = {"u_min": -1, "u_max": 1, "x_min": [-np.inf, -0.4], "x_max": [np.inf, 0.4]}
    hard = LinearMPC(A, B, Q, R, 15, dt=0.1, solver="clarabel", **limits)
    soft = LinearMPC(A, B, Q, R, 15, dt=0.1, solver="clarabel", soft=1e3, **limits)
    for _ in range(5):
        x0 = np.r_[rng.uniform(-2, 2), rng.uniform(-0.3, 0.3)]
        np.testing.assert_allclose(soft.plan(x0).trajectory.u, hard.plan(x0).trajectory.u, atol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_another_goal_is_another_controller(solver, rng):
    A, B, Q, R = double_integrator()
    goal, x0 = np.array([1.0, 0.0]), np.array([-0.5, 0.2])
    limits = {"u_min": -0.5, "u_max": 0.5, "solver": solver}
    mpc = LinearMPC(A, B, Q, R, 10, dt=0.1, **limits)
    mpc.plan(x0)
    mpc.aim(goal, [0.0])
    fresh = LinearMPC(A, B, Q, R, 10, dt=0.1, x_goal=goal, **limits)
    np.testing.assert_allclose(mpc.plan(x0).trajectory.u, fresh.plan(x0).trajectory.u, atol=ATOL[solver])


def test_a_large_problem_takes_the_loop_and_agrees_with_the_product():
    A, B, Q, R = quadrotor_like()
    x0 = np.r_[1.0, 0.5, -0.5, np.zeros(9)]
    mpc = LinearMPC(A, B, Q, R, 30, dt=0.05, u_min=-1, u_max=1)
    z = mpc._qp._Z @ x0
    product = mpc._qp.simulated(x0, z)
    mpc._qp._Gamma = None
    np.testing.assert_allclose(mpc._qp.simulated(x0, z), product, atol=1e-12)


def test_the_shifted_warm_start_saves_iterations_and_finds_the_same():
    A, B, Q, R = quadrotor_like()
    bound = np.r_[np.full(3, np.inf), np.full(3, 0.5), np.full(3, 1.0), np.full(3, 5.0)]
    limits = {"u_min": -1, "u_max": 1, "x_min": -bound, "x_max": bound}
    mpc = LinearMPC(A, B, Q, R, 20, dt=0.05, shortcut=False, **limits)
    cold = LinearMPC(A, B, Q, R, 20, dt=0.05, solver="osqp", iterations=20_000, shortcut=False, **limits)
    x, plan, spent = np.r_[1.0, 0.5, -1.0, np.zeros(9)], None, {"warm": 0, "cold": 0}
    for k in range(25):
        plan = mpc.plan(x, None if plan is None else later(plan, 0.05))
        from_nothing = cold.plan(x)
        assert plan.ok and from_nothing.ok
        assert plan.trajectory.t[0] == pytest.approx(0.05 * k)
        np.testing.assert_allclose(plan.trajectory.u[0], from_nothing.trajectory.u[0], atol=5e-3)
        for name, p in (("warm", plan), ("cold", from_nothing)):
            spent[name] += int(p.message.split()[-2]) if k else 0
        x = A @ x + B @ plan.trajectory.u[0]
    assert spent["warm"] < 0.2 * spent["cold"], spent


def test_the_same_calls_give_the_same_bytes():
    A, B, Q, R = quadrotor_like()

    def run() -> bytes:
        mpc, x, plan, out = LinearMPC(A, B, Q, R, 20, dt=0.05, u_min=-0.5, u_max=0.5), np.ones(12) * 0.1, None, b""
        for _ in range(10):
            plan = mpc.plan(x, None if plan is None else later(plan, 0.05))
            out += plan.trajectory.u.tobytes()
            x = A @ x + B @ plan.trajectory.u[0]
        return out + mpc.plan(x).trajectory.u.tobytes() + mpc.plan(x).trajectory.u.tobytes()

    assert run() == run()


def test_the_states_of_the_answer_are_those_of_its_inputs(rng):
    A, B, Q, R = quadrotor_like()
    mpc = LinearMPC(A, B, Q, R, 20, dt=0.05, u_min=-0.3, u_max=0.3, c=0.01 * rng.standard_normal(12))
    for _ in range(5):
        x0 = np.r_[rng.uniform(-1, 1, 3), np.zeros(9)]
        run = mpc.plan(x0).trajectory
        np.testing.assert_allclose(run.x, simulate(mpc, x0, run.u), atol=1e-9)


A2, B2, Q2, R2 = double_integrator()
BAD = [
    ({"T": 0}, "at least 1 step"),
    ({"dt": 0.0}, "positive number of seconds"),
    ({"R": -np.eye(1)}, "R must be positive definite"),
    ({"Q": np.diag([1.0, -1.0])}, "Q must be positive semidefinite"),
    ({"Qf": np.eye(3)}, "must be"),
    ({"u_min": 1.0, "u_max": -1.0}, "wrong way round"),
    ({"u_max": [1.0, 2.0]}, r"u_max must be \(1,\)"),
    ({"x_max": [np.nan, 1.0]}, "without NaN"),
    ({"solver": "osqq"}, "Did you mean 'osqp'.*clarabel"),
    ({"constraints": [Constraint("round", lambda x, u: x[..., :1] ** 2, 0, 1)]}, "'round' is not affine"),
    ({"soft": {"speed": 1.0}, "x_max": [1.0, 1.0]}, "unknown label of a soft constraint 'speed'.*state limit"),
    ({"soft": -1.0, "x_max": [1.0, 1.0]}, "finite number >= 0"),
    ({"x_goal": [1.0, 1.0], "terminal_set": True, "u_max": 1.0}, "a goal that stays"),
    ({"x_goal": [1.0, 0.0], "terminal_set": True, "x_max": [1.0, 1.0]}, "strictly inside"),
    ({"x_goal": np.zeros(3)}, "x_goal must be"),
]


@pytest.mark.parametrize("change, message", BAD, ids=[m for _, m in BAD])
def test_bad_input_is_one_clear_error(change, message):
    arguments = {"A": A2, "B": B2, "Q": Q2, "R": R2, "T": 5, "dt": 0.1} | change
    with pytest.raises(ValueError, match=message):
        LinearMPC(**arguments)


def test_a_bad_state_or_guess_is_an_error_and_an_infeasible_start_is_not():
    mpc = LinearMPC(A2, B2, Q2, R2, 5, dt=0.1, u_min=-1, u_max=1, x_max=[np.inf, 0.1])
    with pytest.raises(ValueError, match="x0 must be finite"):
        mpc.plan([np.nan, 0.0])
    with pytest.raises(ValueError, match=r"inputs u of the guess must be \(5, 1\)"):
        mpc.plan([0.0, 0.0], np.zeros((4, 1)))
    assert mpc.plan([0.0, 5.0]).status == "infeasible"
    assert mpc.plan([0.0, 0.0], np.zeros((5, 1))).ok
    with pytest.raises(ValueError, match="another LinearMPC"):
        LinearMPC(A2, B2, Q2, R2, 5, dt=0.1, terminal_set=Polytope(np.eye(2), np.ones(2))).aim([1.0, 0.0], [0.0])
