"""PID and inverse dynamics of joints, and the references they follow."""

import numpy as np
import pytest
from controller_cases import engine

from controllers import (
    PID,
    InverseDynamicsControl,
)
from controllers.reference import Sinusoid, minimum_derivative
from sims import OdeSimulator, plants, simulate
from sims.system import System

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
