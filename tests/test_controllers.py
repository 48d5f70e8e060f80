"""LinearFeedback, feedback along trajectories and on manifolds, PID and inverse dynamics, each closed with a plant."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

import controllers
from controllers import (
    PID,
    Controller,
    InverseDynamicsControl,
    LinearFeedback,
    TimeVaryingFeedback,
    balance,
    constrained_dlqr,
    constrained_lqr,
    dlqr,
    lqr,
    tvlqr,
    wrap_angle,
)
from controllers.manifold_lqr import tangent_basis
from controllers.reference import Sinusoid, minimum_derivative
from controllers.tvlqr import on_grid
from sims import OdeSimulator, Trajectory, models, plants, simulate
from sims.system import System

UPRIGHT = np.array([0.0, np.pi, 0.0, 0.0])


def engine(name: str, model: str, **options):
    """A simulator of one of the suite's models, or a skip that says why."""
    package = {"MujocoSimulator": "mujoco", "DrakeSimulator": "pydrake"}[name]
    pytest.importorskip(package, reason=f"{name} needs it: pip install {package.replace('py', '')}")
    import sims

    return getattr(sims, name)(getattr(models, model), **options)


# ---- the package


def test_every_name_can_be_imported_and_unknown_ones_are_listed():
    for name in controllers.__all__:
        assert getattr(controllers, name) is not None
    with pytest.raises(AttributeError, match="lqr"):
        controllers.nothing  # noqa: B018


@pytest.mark.parametrize("name", ["lqr", "tvlqr"])
def test_functions_named_like_their_file_stay_functions(name):
    importlib.import_module(f"controllers.{name}")
    assert callable(getattr(controllers, name))


def test_importing_all_controllers_imports_nothing_heavy():
    code = (
        "import sys, controllers\nfor name in controllers.__all__: getattr(controllers, name)\n"
        "print([m for m in ('scipy', 'mujoco', 'pydrake', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- LinearFeedback


@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_linear_feedback_is_what_it_says(batch, rng):
    K, goal, u_goal, x = (rng.standard_normal(s) for s in ((2, 4), 4, 2, (*batch, 4)))
    policy = LinearFeedback(K, goal, u_goal)
    assert isinstance(policy, Controller)
    np.testing.assert_allclose(policy(x, 0.0), u_goal - np.einsum("ij,...j->...i", K, x - goal), atol=1e-12)
    assert policy(x).shape == (*batch, 2)
    np.testing.assert_array_equal(policy(np.broadcast_to(goal, x.shape)), np.broadcast_to(u_goal, (*batch, 2)))


def test_linear_feedback_takes_lists_float32_and_object_arrays():
    policy = LinearFeedback([[1.0, 2.0]], [1.0, 0.0], 0.5)
    for x in ([2.0, 1.0], np.array([2.0, 1.0], np.float32), np.array([2.0, 1.0], object)):
        np.testing.assert_allclose(np.asarray(policy(x), float), [-2.5])


def test_linear_feedback_does_not_keep_what_it_was_given():
    K, goal = np.ones((1, 2)), np.zeros(2)
    policy = LinearFeedback(K, goal)
    K[:], goal[:] = 7.0, 7.0
    np.testing.assert_array_equal(policy(np.ones(2)), [-2.0])


def test_wrapped_angles_do_not_count_turns(rng):
    policy = LinearFeedback([[1.0, 2.0, 3.0]], [0.5, np.pi, 0.0], angles=(1,))
    x = rng.standard_normal((20, 3))
    around = x + 2 * np.pi * rng.integers(-3, 4, 20)[:, None] * [0, 1, 0]
    np.testing.assert_allclose(policy(around), policy(x), atol=1e-12)
    np.testing.assert_allclose(policy(around[0]), policy(x[0]), atol=1e-12)
    assert policy(x[0] + [2 * np.pi, 0, 0]) != pytest.approx(policy(x[0]))


def test_wrap_angle_is_exact_inside_and_half_open():
    inside = np.linspace(-np.pi, np.pi, 101)[:-1]
    np.testing.assert_array_equal(wrap_angle(inside), inside)
    assert wrap_angle(np.pi) == -np.pi
    np.testing.assert_allclose(wrap_angle(inside + 20 * np.pi), inside, atol=1e-13)


def test_feedback_on_a_manifold_does_not_see_the_sign_of_a_quaternion(rng):
    plant = plants.Quadrotor()
    goal = np.eye(13)[3]
    policy = LinearFeedback(rng.standard_normal((4, 12)), goal, plant.hover, difference=plant.difference)
    dx = 0.3 * rng.standard_normal((6, 12))
    x = plant.integrate(goal, dx)
    np.testing.assert_allclose(policy(x), plant.hover - dx @ policy.K.T, atol=1e-12)
    flipped = x.copy()
    flipped[:, 3:7] *= -1
    np.testing.assert_allclose(policy(flipped), policy(x), atol=1e-12)
    np.testing.assert_allclose(policy(x[0]), policy(x)[0], atol=1e-12)


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: LinearFeedback(np.ones((1, 3)), np.zeros(2)), "K has 3 columns"),
        (lambda: LinearFeedback(np.ones((4, 12)), np.eye(13)[3]), "difference=sim.difference"),
        (lambda: LinearFeedback(np.ones((1, 2)), np.zeros(2), np.zeros(2)), r"u_goal must be \(1,\)"),
        (lambda: LinearFeedback([[np.nan, 1.0]], np.zeros(2)), "gain K must be finite"),
        (lambda: LinearFeedback(np.ones((1, 2)), [0.0, np.inf]), "x_goal must be finite"),
        (lambda: LinearFeedback(np.ones((1, 2)), np.zeros(2), angles=(2,)), r"0\.\.1"),
        (lambda: LinearFeedback(np.ones((1, 2, 2)), np.zeros(2)), r"K must be \(nu, ndx\)"),
    ],
)
def test_bad_linear_feedback(make, wanted):
    with pytest.raises(ValueError, match=wanted):
        make()


# ---- along trajectories


def swing(sim, T=150):
    """A run of the cart-pole far from any equilibrium."""
    u = 8.0 * np.sin(np.linspace(0, 6, T))[:, None]
    return sim.rollout(np.array([0.0, 0.5, 0.0, 0.0]), u)


def test_tvlqr_at_an_equilibrium_is_lqr():
    sim = OdeSimulator(plants.CartPole(), dt=0.02)
    A, B = sim.linearize(UPRIGHT, np.zeros(1))
    K, S = dlqr(A, B, np.eye(4), np.eye(1))
    T = 60
    rest = Trajectory(sim.dt * np.arange(T + 1), np.tile(UPRIGHT, (T + 1, 1)), np.zeros((T, 1)))
    policy, cost = tvlqr(sim, rest, np.eye(4), np.eye(1), S)
    np.testing.assert_allclose(policy.K, np.broadcast_to(K, policy.K.shape), rtol=1e-6, atol=1e-6 * np.abs(K).max())
    np.testing.assert_allclose(cost[0], S, rtol=1e-6, atol=1e-7 * np.abs(S).max())


def test_tvlqr_holds_a_ride_that_open_loop_loses():
    sim = OdeSimulator(plants.CartPole(), dt=0.01)
    ride, _ = balance(sim, UPRIGHT, 0.0, np.diag([50, 10, 1, 1.0]), 0.01 * np.eye(1))
    run = simulate(sim, ride, [0.5, np.pi, 0.0, 0.0], 1.5)  # half a metre with the pole upright
    policy, S = tvlqr(sim, run, np.eye(4), 1e-4 * np.eye(1), 10 * np.eye(4))
    x0 = run.x[0] + [0.02, 0.02, -0.02, 0.02]
    closed, opened = simulate(sim, policy, x0, 1.5), sim.rollout(x0, run.u)
    assert np.abs(closed.x[-1] - run.x[-1]).max() < 0.03 < 1 < np.abs(opened.x[-1] - run.x[-1]).max()
    np.testing.assert_allclose(simulate(sim, policy, run.x[0], 1.5).x, run.x, atol=1e-9)
    small = 1e-4 * np.array([1.0, -1.0, 1.0, 1.0])  # S predicts the cost of small deviations
    near = simulate(sim, policy, run.x[0] + small, 1.5)
    dx, du = near.x - run.x, near.u - run.u
    cost = (dx[:-1] ** 2).sum() + 1e-4 * (du**2).sum() + 10 * (dx[-1] ** 2).sum()
    assert cost == pytest.approx(small @ S[0] @ small, rel=1e-3)


def test_tvlqr_with_a_hard_end_point_arrives():
    sim = OdeSimulator(plants.CartPole(), dt=0.05)
    run = swing(sim, T=40)
    policy, _ = tvlqr(sim, run, np.eye(4), np.eye(1), np.inf)
    offsets = []
    for size in (1e-2, 1e-3):
        end = simulate(sim, policy, run.x[0] + size * np.array([1, 1, -1, 1]), 2.0).x[-1]
        offsets.append(np.abs(end - run.x[-1]).max())
    assert offsets[1] < 1e-4 and offsets[0] / offsets[1] > 30  # zero to first order


def test_tvlqr_carries_a_plan_of_another_plant():
    """The defects of a plan made without damping become a feedforward; without it the error is larger."""
    sim = OdeSimulator(plants.Pendulum(b=0.3), dt=0.01)
    plan = OdeSimulator(plants.Pendulum(b=0.0), dt=0.01).rollout(np.array([1.0, 0.0]), np.zeros((200, 1)))
    Q, R, Qf = np.diag([10.0, 1.0]), np.eye(1), 100 * np.eye(2)
    policy, _ = tvlqr(sim, plan, Q, R, Qf)
    plain = TimeVaryingFeedback(plan.t, plan.x, plan.u, policy.K)

    def cost(candidate):
        run = simulate(sim, candidate, plan.x[0], 2.0)
        dx = run.x - plan.x
        return np.einsum("ti,ij,tj->", dx[:-1], Q, dx[:-1]) + (run.u**2).sum() + dx[-1] @ Qf @ dx[-1]

    assert cost(policy) < 0.8 * cost(plain)


def test_tvlqr_on_quaternions():
    plant = plants.Quadrotor()
    sim = OdeSimulator(plant, dt=0.01)
    u = plant.hover + 0.03 * np.sin(np.arange(100)[:, None] / 10 + np.arange(4))
    run = sim.rollout(np.eye(13)[3], u)
    policy, S = tvlqr(sim, run, np.eye(12), np.eye(4), 10 * np.eye(12))
    assert S.shape == (101, 12, 12)
    x0 = plant.integrate(run.x[0], 0.2 * np.ones(12))
    closed, opened = simulate(sim, policy, x0, 1.0), sim.rollout(x0, u)
    error, drift = (np.abs(sim.difference(run.x[-1], x)).max() for x in (closed.x[-1], opened.x[-1]))
    assert error < 0.3 * drift


def test_after_the_end_another_policy_takes_over():
    follow = TimeVaryingFeedback([0.0, 0.1, 0.2], np.zeros((3, 2)), [[1.0], [2.0]], np.zeros((2, 1, 2)))
    assert [follow(np.zeros(2), t)[0] for t in (0.0, 0.05, 0.1, 0.3 - 0.2, 0.2, 5.0)] == [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]
    follow.after = LinearFeedback(np.zeros((1, 2)), np.zeros(2), 9.0)
    assert follow(np.zeros(2), 0.19)[0] == 2.0 and follow(np.zeros((3, 2)), 0.2)[0] == 9.0


def test_trajectories_on_another_grid():
    sim = OdeSimulator(plants.CartPole(), dt=0.01)
    run = swing(OdeSimulator(plants.CartPole(), dt=0.05), T=30)
    with pytest.raises(ValueError, match="on_grid"):
        tvlqr(sim, run, np.eye(4), np.eye(1), np.eye(4))
    fine = on_grid(sim, run)
    np.testing.assert_allclose(fine.x[::5], run.x, atol=1e-12)
    np.testing.assert_allclose(fine.u[::5], run.u)
    policy, _ = tvlqr(sim, fine, np.eye(4), 0.01 * np.eye(1), 10 * np.eye(4))
    assert np.abs(simulate(sim, policy, run.x[0], 1.5).x[-1] - run.x[-1]).max() < 0.01
    with pytest.raises(ValueError, match="one trajectory at a time"):
        tvlqr(sim, sim.rollout(np.zeros((2, 4)), np.zeros((5, 1))), np.eye(4), np.eye(1), np.eye(4))


# ---- on manifolds


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("solver", ["lqr", "dlqr"])
def test_a_constrained_lqr_is_the_lqr_of_the_free_coordinates(solver, seed):
    """Hide a 3-state system in 5 coordinates: gain and cost come back, and F dx = 0 is kept."""
    rng = np.random.default_rng(seed)
    P = np.linalg.qr(rng.standard_normal((5, 5)))[0][:3]
    F = np.linalg.qr(rng.standard_normal((2, 2)))[0] @ tangent_basis(P)
    Ay, By, Q = rng.standard_normal((3, 3)), rng.standard_normal((3, 2)), np.diag(rng.uniform(0.5, 2, 5))
    plain, constrained = {"lqr": (lqr, constrained_lqr), "dlqr": (dlqr, constrained_dlqr)}[solver]
    Ky, Sy = plain(Ay, By, P @ Q @ P.T, np.eye(2))
    K, S = constrained(P.T @ Ay @ P, P.T @ By, Q, np.eye(2), F)
    np.testing.assert_allclose(K, Ky @ P, rtol=1e-7, atol=1e-9 * np.abs(K).max())
    np.testing.assert_allclose(S, P.T @ Sy @ P, rtol=1e-7, atol=1e-8 * np.abs(S).max())
    np.testing.assert_allclose(K @ F.T, 0.0, atol=1e-8 * np.abs(K).max())


def test_constraints_that_the_motion_does_not_keep():
    A, B = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.0], [1.0]])
    with pytest.raises(ValueError, match="leaves F x = 0"):
        constrained_lqr(A, B, np.eye(2), np.eye(1), [[1.0, 0.0]])
    with pytest.raises(ValueError, match="no state to control"):
        constrained_lqr(A, B, np.eye(2), np.eye(1), np.eye(2))
    with pytest.raises(ValueError, match=r"F must be \(m, 2\)"):
        constrained_lqr(A, B, np.eye(2), np.eye(1), np.eye(3))


@pytest.mark.parametrize("backend", ["ode", "MujocoSimulator", "DrakeSimulator"])
def test_the_quadrotor_hovers_from_a_tilt(backend):
    plant = plants.Quadrotor()
    sim = OdeSimulator(plant, dt=0.01) if backend == "ode" else engine(backend, "quadrotor", dt=0.01)
    goal = np.eye(13)[3]
    goal[:3] = 0.3, -0.2, 1.0
    policy, S = balance(sim, goal, plant.hover, np.eye(12), np.eye(4))
    assert S.shape == (12, 12) and np.linalg.eigvalsh(S)[0] > 0
    x0 = sim.integrate(goal, 0.3 * np.ones(12))
    x0[3:7] *= -1.0  # the same attitude
    end = simulate(sim, policy, x0, 10.0).x[-1]
    assert np.abs(sim.difference(goal, end)).max() < 1e-3


def test_balance_refuses_what_is_no_equilibrium():
    sim = OdeSimulator(plants.CartPole(), dt=0.01)
    with pytest.raises(ValueError, match="not an equilibrium"):
        balance(sim, [0.0, 2.0, 0.0, 0.0], 0.0, np.eye(4), np.eye(1))


def test_balance_with_angles_goes_the_short_way():
    sim = OdeSimulator(plants.CartPole(), dt=0.01)
    policy, _ = balance(sim, UPRIGHT, 0.0, np.diag([9, 9, 1, 1.0]), 0.01 * np.eye(1), angles=(1,))
    run = simulate(sim, policy, [0.0, 0.1 - 3 * np.pi, 0.0, 0.0], 12.0)
    np.testing.assert_allclose(run.x[-1], UPRIGHT - [0, 4 * np.pi, 0, 0], atol=1e-3)


# ---- PID


def test_pid_is_the_textbook_formula(rng):
    """Against the difference equation written out, with a moving reference and uneven times."""
    path = Sinusoid(0.2, [1.0, 0.5], [1.0, 2.0])
    policy = PID(path, kp=[3.0, 4.0], ki=[0.5, 0.7], kd=[0.2, 0.3], u_goal=[1.0, -1.0])
    t, integral, last = np.sort(rng.uniform(0, 3, 40)), np.zeros(2), None
    for ti in t:
        x = rng.standard_normal(4)
        q_d, v_d, _ = path(ti)
        integral = integral + (0.0 if last is None else ti - last) * np.array([0.5, 0.7]) * (q_d - x[:2])
        wanted = [1.0, -1.0] + np.array([3.0, 4.0]) * (q_d - x[:2]) + integral + np.array([0.2, 0.3]) * (v_d - x[2:])
        np.testing.assert_allclose(policy(x, ti), wanted, atol=1e-12)
        last = ti


def test_the_integral_removes_a_constant_load():
    """A pendulum held level: PD sags by m g l / kp, PID does not."""
    plant = plants.Pendulum()
    sim, level = OdeSimulator(plant, dt=5e-3), np.pi / 2
    sag = simulate(sim, PID([level], kp=50.0, kd=5.0), [0.0, 0.0], 5.0).x[-1, 0] - level
    assert sag == pytest.approx(-plant.m * plant.g * plant.l * np.sin(level + sag) / 50.0, rel=1e-6)
    end = simulate(sim, PID([level], kp=50.0, kd=5.0, ki=40.0), [0.0, 0.0], 12.0).x[-1]
    np.testing.assert_allclose(end, [level, 0.0], atol=1e-4)
    feedforward = PID([level], kp=50.0, kd=5.0, u_goal=plant.m * plant.g * plant.l)
    np.testing.assert_allclose(simulate(sim, feedforward, [0.0, 0.0], 8.0).x[-1], [level, 0.0], atol=1e-6)


def test_clamping_prevents_the_overshoot_of_windup():
    sim = OdeSimulator(plants.DoubleIntegrator(force_limit=1.0), dt=0.01)
    gains = {"kp": 4.0, "kd": 4.0, "ki": 1.0}
    clamped = simulate(sim, PID([5.0], u_min=-1.0, u_max=1.0, **gains), [0.0, 0.0], 25.0)
    wound = simulate(sim, PID([5.0], **gains), [0.0, 0.0], 25.0)  # the plant saturates, the controller does not know
    assert clamped.x[:, 0].max() < 5.0 + 0.25 * (wound.x[:, 0].max() - 5.0)
    assert np.abs(clamped.u).max() <= 1.0
    np.testing.assert_allclose(clamped.x[-1], [5.0, 0.0], atol=0.02)


def test_a_step_of_the_posture_gives_no_derivative_kick():
    policy = PID([0.0], kp=1.0, kd=100.0)
    before = policy(np.array([0.0, 0.1]), 0.0)
    stepped = PID([1.0], kp=1.0, kd=100.0)(np.array([0.0, 0.1]), 0.0)
    assert stepped - before == pytest.approx(1.0)


def test_pid_on_chosen_joints_and_batches(rng):
    policy = PID([0.5], kp=2.0, kd=1.0, ki=1.0, joints=[1])
    x = rng.standard_normal((3, 5, 4))
    rows = [PID([0.5], kp=2.0, kd=1.0, ki=1.0, joints=[1]) for _ in range(5)]
    for k in range(3):
        together = policy(x[k], 0.1 * k)
        assert together.shape == (5, 1)
        np.testing.assert_allclose(together, [row(x[k, i], 0.1 * k) for i, row in enumerate(rows)], atol=1e-14)
    first = PID([0.5], kp=2.0, ki=1.0, joints=[1])
    plays = [[first(x[k, 0], 0.1 * k)[0] for k in range(3)] for _ in range(2)]  # time runs backward in between
    assert plays[0] == plays[1]


def test_pid_on_the_joints_of_a_floating_robot(rng):
    """q = [p, quaternion, 2 joints], v = [v, omega, 2 joints]: positions and speeds of the same joints."""
    x = rng.standard_normal(9 + 8)
    u = PID([0.1, 0.2], kp=2.0, kd=3.0, joints=[7, 8], nq=9)(x, 0.0)
    np.testing.assert_allclose(u, 2.0 * ([0.1, 0.2] - x[7:9]) - 3.0 * x[15:17], atol=1e-14)


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: PID([0.0, 0.0], kp=[1.0, 2.0, 3.0]), r"kp must be a scalar or \(2,\)"),
        (lambda: PID([0.0], kp=-1.0), "not negative"),
        (lambda: PID([0.0], kp=1.0, u_min=1.0, u_max=-1.0), "u_min must not exceed"),
        (lambda: PID([0.0], kp=1.0, joints=[0, 1]), "names 2"),
        (lambda: PID(lambda t: np.zeros(2), kp=1.0), "q, qdot, qddot"),
        (lambda: PID([0.0], kp=1.0)(np.zeros(4), 0.0), "1 joints, the state 2"),
    ],
)
def test_bad_pid(make, wanted):
    with pytest.raises(ValueError, match=wanted):
        make()


# ---- inverse dynamics

ARM_PATH = Sinusoid(np.linspace(-0.4, 0.5, 7), 0.2, np.linspace(0.8, 1.6, 7), np.linspace(0, 3, 7))


class TwoLinks(System):
    """A double pendulum with a motor on each joint."""

    nx, nu, nq, nv = 4, 2, 2, 2
    x_names, u_names = ("q1", "q2", "v1", "v2"), ("tau1", "tau2")

    def __init__(self):
        self.links = plants.DoublePendulum()

    def f(self, x, u):
        h = self.tau_g(x[..., :2]) - (self.C(x[..., :2], x[..., 2:]) @ x[..., 2:, None])[..., 0]
        vdot = np.linalg.solve(self.M(x[..., :2]), (h - self.damping * x[..., 2:] + u)[..., None])[..., 0]
        return np.concatenate([x[..., 2:], vdot], axis=-1)

    def B(self, q):
        return np.eye(2)

    M = property(lambda self: self.links.M)
    C = property(lambda self: self.links.C)
    tau_g = property(lambda self: self.links.tau_g)
    damping = property(lambda self: np.array([0.1, 0.2]))


@pytest.mark.parametrize(
    "plant",
    [TwoLinks(), plants.Pendulum(), plants.DoubleIntegrator(m=2.0, b=0.3)],
    ids=lambda plant: type(plant).__name__,
)
def test_the_closed_loop_acceleration_is_the_command(plant, rng):
    n = plant.nv
    policy = InverseDynamicsControl(plant, Sinusoid(np.zeros(n), 1.0, np.arange(1.0, n + 1)), kp=30.0, kd=7.0)
    x = rng.uniform(-2, 2, (50, 2 * n))
    vdot = plant.f(x, policy(x, 0.7))[..., n:]
    np.testing.assert_allclose(vdot, policy.acceleration(x, 0.7), atol=1e-10)
    np.testing.assert_allclose(policy(x[0], 0.7), policy(x, 0.7)[0], atol=1e-12)


@pytest.mark.parametrize("arm", ["planar_arm", "iiwa14", "ur5e"])
@pytest.mark.parametrize("backend", ["MujocoSimulator", "DrakeSimulator"])
def test_the_engines_acceleration_is_the_command(backend, arm, rng):
    sim = engine(backend, arm, dt=1e-3, contact=False)
    n = sim.nx // 2
    gains = 0.5  # small: the terms are those of a saturated input
    policy = InverseDynamicsControl(sim, np.zeros(n), kp=gains)
    for _ in range(10):
        x = np.concatenate([rng.uniform(-0.5, 0.5, n), rng.uniform(-0.3, 0.3, n)])
        u = policy(x, 0.0)
        assert (u == sim.saturate(u)).all()
        np.testing.assert_allclose(sim.terms(x, u).vdot, policy.acceleration(x, 0.0), atol=1e-10)
    np.testing.assert_array_equal(policy(np.stack([x, x]), 0.0), [u, u])


@pytest.mark.parametrize("backend", ["MujocoSimulator", "DrakeSimulator"])
def test_an_arm_follows_a_path(backend):
    sim = engine(backend, "iiwa14", dt=2e-3)
    policy = InverseDynamicsControl(sim, ARM_PATH, kp=100.0)
    q, v, _ = ARM_PATH(0.0)
    run = simulate(sim, policy, np.concatenate([q, v]), 1.0)
    wanted = ARM_PATH.derivatives(run.t, 0)[:, 0]
    assert np.abs(run.x[:, :7] - wanted).max() < 1e-3


def test_errors_decay_as_the_gains_say():
    """Critically damped, e(t) = (e0 + (v0 + w e0) t) exp(-w t), the same in every joint."""
    plant = TwoLinks()
    goal, w = np.array([0.5, -0.8]), 4.0
    run = simulate(OdeSimulator(plant, dt=1e-3), InverseDynamicsControl(plant, goal, kp=w**2), np.zeros(4), 2.0)
    t = run.t[:, None]
    np.testing.assert_allclose(run.x[:, :2] - goal, -goal * (1 + w * t) * np.exp(-w * t), atol=2e-3)


def test_plants_that_inverse_dynamics_cannot_move():
    with pytest.raises(ValueError, match="motor"):
        InverseDynamicsControl(plants.Acrobot(), np.zeros(2), kp=1.0)(np.zeros(4), 0.0)
    sim = engine("MujocoSimulator", "acrobot")
    with pytest.raises(ValueError, match="only 1 of 2 joints"):
        InverseDynamicsControl(sim, np.zeros(2), kp=1.0)
    with pytest.raises(ValueError, match="quaternions"):
        InverseDynamicsControl(engine("MujocoSimulator", "quadrotor"), np.zeros(6), kp=1.0)


# ---- references


@pytest.mark.parametrize(
    "path",
    [
        Sinusoid([1.0, 0.0], [0.5, 2.0], [1.3, 0.7], [0.2, -1.0]),
        minimum_derivative([0.0, 1.0, 1.7, 3.0], [[0.0, 0.0], [1.0, -1.0], [0.5, 2.0], [0.0, 0.0]]),
    ],
    ids=["sinusoid", "minimum snap"],
)
def test_derivatives_of_references(path):
    t, h = np.array([0.1, 0.9, 1.4, 2.9]), 1e-4
    y = path.derivatives(t, 5)
    slope = (path.derivatives(t + h, 4) - path.derivatives(t - h, 4)) / (2 * h)
    np.testing.assert_allclose(y[:, 1:], slope, atol=1e-5 * np.abs(y).max())
    np.testing.assert_allclose(np.array(path(0.9)), y[1, :3], atol=1e-12)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_minimum_derivative_meets_its_points_smoothly_and_is_least(order, rng):
    t, points = np.array([0.0, 0.8, 2.0, 2.5]), rng.standard_normal((4, 3))
    path = minimum_derivative(t, points, order)
    np.testing.assert_allclose(path.derivatives(t, 0)[:, 0], points, atol=1e-9)
    np.testing.assert_allclose(path.derivatives(t[[0, -1]], order - 1)[:, 1:], 0.0, atol=1e-7)
    left, right = (path.derivatives(t[1:-1] + e, 2 * order - 2) for e in (-1e-9, 1e-9))
    np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-4 * np.abs(left).max())
    fine = np.linspace(0.0, 2.5, 20001)
    weight = np.prod([(fine - knot) ** 2 for knot in t], axis=0) * (fine * (2.5 - fine)) ** (order - 1)
    bump = weight / np.abs(weight).max() * np.sin(3 * fine)  # zero wherever the conditions hold the path
    best = path.derivatives(fine, order)[:, order, 0]
    for _ in range(order):
        bump = np.gradient(bump, fine)
    cross, square = np.trapezoid(best * bump, fine), np.trapezoid(bump * bump, fine)
    assert abs(cross) < 1e-2 * np.sqrt(square * np.trapezoid(best * best, fine))  # the first variation vanishes


def test_a_path_rests_before_and_after():
    path = minimum_derivative([1.0, 2.0], [[3.0], [5.0]])
    np.testing.assert_allclose(
        path.derivatives(np.array([0.0, 9.0]), 4)[:, :, 0], [[3, 0, 0, 0, 0], [5, 0, 0, 0, 0]], atol=1e-9
    )
    with pytest.raises(ValueError, match="increasing"):
        minimum_derivative([1.0, 1.0], [[3.0], [5.0]])


def test_joint_control_takes_lists_and_refuses_another_number_of_joints():
    x, plant = [0.3, 0.1], plants.Pendulum()
    for control in (PID([0.5], kp=2.0), InverseDynamicsControl(plant, [0.5], kp=4.0)):
        np.testing.assert_array_equal(control(x, 0.0), control(np.array(x), 0.0))
    with pytest.raises(ValueError, match="reference has 2 joints"):
        InverseDynamicsControl(plant, [0.5, 1.0], kp=4.0)
