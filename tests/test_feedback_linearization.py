"""Feedback linearisation: the plant's own f must answer with the acceleration that was commanded."""

import json
from pathlib import Path

import numpy as np
import pytest

from controllers import feedback_linearization as fl
from sims import OdeSimulator, simulate
from sims.plants import Acrobot, Ballbot, CartPole, DoublePendulum, NPole, Pendubot, Pendulum

UNDERACTUATED = [
    CartPole(),
    CartPole(b_cart=0.3, b_pole=0.05),
    NPole(2),
    NPole(3, b_pole=0.1),
    Acrobot(),
    Pendubot(),
    Ballbot(),
]
ONE_EACH = [plant for plant in UNDERACTUATED if len(fl.passive_joints(plant)) == plant.nu]
FULL = [Pendulum(), DoublePendulum()]
REFERENCE = {
    entry["id"]: entry
    for entry in json.loads((Path(__file__).parent / "reference" / "public.json").read_text())["entries"]
}


def name(plant) -> str:
    return type(plant).__name__


def states(plant, rng, n=200):
    return rng.uniform(-1, 1, (n, plant.nx)) * np.r_[np.full(plant.nq, np.pi), np.full(plant.nv, 4.0)]


@pytest.mark.parametrize("plant", UNDERACTUATED, ids=name)
def test_collocated_gives_the_driven_joints_the_commanded_acceleration(plant, rng):
    x = states(plant, rng)
    command = rng.normal(0, 5, (len(x), plant.nu))
    vdd = plant.f(x, fl.collocated(plant, x, command))[..., plant.nq :]
    assert np.abs(vdd @ plant.B(x[..., : plant.nq]) - command).max() < 1e-9


@pytest.mark.parametrize("plant", ONE_EACH, ids=name)
def test_noncollocated_gives_the_other_joints_the_commanded_acceleration(plant, rng):
    x = states(plant, rng)
    joints = fl.passive_joints(plant)
    J = np.eye(plant.nv)[joints]
    x = x[fl.coupling(plant, x[..., : plant.nq], J) > 0.02 * fl.coupling(plant, x[..., : plant.nq], J).max()]
    command = rng.normal(0, 5, (len(x), len(joints)))
    vdd = plant.f(x, fl.noncollocated(plant, x, command))[..., plant.nq :]
    assert len(x) > 100
    assert np.abs(vdd[..., joints] - command).max() < 1e-9


@pytest.mark.parametrize("plant", FULL, ids=name)
def test_computed_torque_makes_a_double_integrator(plant, rng):
    x = states(plant, rng)
    command = rng.normal(0, 5, (len(x), plant.nv))
    assert np.abs(plant.f(x, fl.computed_torque(plant, x, command))[..., plant.nq :] - command).max() < 1e-9


def hand(plant, q, v):
    """Height and reach of the tip of link 2 with its Jacobian; Jdot v by the chain rule, written out by hand."""
    a, w = q[..., 0] + q[..., 1], v[..., 0] + v[..., 1]
    l1, l2 = plant.l1, plant.l2
    s1, c1, s, c = np.sin(q[..., 0]), np.cos(q[..., 0]), np.sin(a), np.cos(a)
    y = np.stack([l1 * s1 + l2 * s, -l1 * c1 - l2 * c], -1)
    J = np.stack([np.stack([l1 * c1 + l2 * c, l2 * c], -1), np.stack([l1 * s1 + l2 * s, l2 * s], -1)], -2)
    Jdot_v = np.stack([-l1 * s1 * v[..., 0] ** 2 - l2 * s * w**2, l1 * c1 * v[..., 0] ** 2 + l2 * c * w**2], -1)
    return y, J, Jdot_v


@pytest.mark.parametrize("plant", [Acrobot(), Pendubot(), DoublePendulum()], ids=name)
def test_task_space_gives_the_hand_the_commanded_acceleration(plant, rng):
    x = states(plant, rng)
    q, v = x[..., :2], x[..., 2:]
    rows = slice(0, plant.nu)  # one output for one motor, two for two
    _, J, Jdot_v = hand(plant, q, v)
    J, Jdot_v = J[..., rows, :], Jdot_v[..., rows]
    far = fl.coupling(plant, q, J) > 0.02
    command = rng.normal(0, 5, Jdot_v.shape)
    vdd = plant.f(x, fl.task_space(plant, x, J, command, Jdot_v))[..., 2:]
    yddot = (J @ vdd[..., None])[..., 0] + Jdot_v
    assert far.sum() > 100
    assert np.abs((yddot - command)[far]).max() < 1e-9


def test_the_hand_jacobian_agrees_with_finite_differences(rng):
    plant, eps = Acrobot(), 1e-6
    q, v = rng.uniform(-3, 3, (50, 2)), rng.uniform(-3, 3, (50, 2))
    _, J, Jdot_v = hand(plant, q, v)
    ahead, behind = hand(plant, q + eps * v, v), hand(plant, q - eps * v, v)
    assert np.abs((ahead[0] - behind[0]) / (2 * eps) - (J @ v[..., None])[..., 0]).max() < 1e-7
    assert np.abs((((ahead[1] - behind[1]) / (2 * eps)) @ v[..., None])[..., 0] - Jdot_v).max() < 1e-7


def test_more_motors_than_outputs_takes_the_least_input(rng):
    plant = DoublePendulum()
    x = states(plant, rng, 20)
    J, command = np.array([[1.0, 1.0]]), np.ones((20, 1))
    u = fl.task_space(plant, x, J, command)
    vdd = plant.f(x, u)[..., 2:]
    assert np.abs(vdd.sum(-1) - 1.0).max() < 1e-9
    G = J @ np.linalg.solve(plant.M(x[..., :2]), np.broadcast_to(plant.B(x[..., :2]), (20, 2, 2)))
    least = np.linalg.pinv(G) @ (G @ u[..., None])
    assert np.abs(least[..., 0] - u).max() < 1e-9


def test_public_reference_cartpole_pfl():
    entry = REFERENCE["cartpole_pfl"]
    p = entry["plant_parameters"]
    plant = CartPole(mc=p["mc"], mp=p["mp"], l=p["l"], g=p["g"])
    x = np.array([0.0, p["theta"], 0.0, p["thetadot"]])
    collocated = fl.collocated(plant, x, np.array([2.0]))[0]
    noncollocated = fl.noncollocated(plant, x, np.array([2.0]))[0]
    # the tolerance of 1e-9 is below the entry's last digit, so every digit that it holds has to be ours
    assert float(f"{collocated:.10g}") == entry["value"]["collocated"]
    assert float(f"{noncollocated:.10g}") == entry["value"]["noncollocated"]


def test_a_pole_level_with_the_cart_cannot_be_accelerated():
    plant, level = CartPole(), np.array([0.0, np.pi / 2, 0.0, 0.0])
    J = np.array([[0.0, 1.0]])
    assert fl.coupling(plant, level[:2], J) < 1e-12
    exact = fl.noncollocated(plant, level, np.array([2.0]))
    damped = fl.noncollocated(plant, level, np.array([2.0]), damping=0.02)
    assert abs(exact[0]) > 1e12 and abs(damped[0]) < 1.0
    away = np.array([0.0, 2.8, 0.0, 0.0])
    small = fl.noncollocated(plant, away, np.array([2.0]), damping=1e-9)
    assert small == pytest.approx(fl.noncollocated(plant, away, np.array([2.0])), rel=1e-9)


def test_output_tracking_error_obeys_its_equation():
    """The acrobot's absolute second angle follows a sine; the error decays as the linear equation says."""
    plant, kp, kd = Acrobot(), 16.0, 8.0

    def output(q, v):
        return q[..., 1:], np.array([[0.0, 1.0]]), np.zeros(1)

    def reference(t):
        return np.array([0.5 * np.sin(t)]), np.array([0.5 * np.cos(t)]), np.array([-0.5 * np.sin(t)])

    policy = fl.output_tracking(plant, output, reference, kp=kp, kd=kd)
    run = simulate(OdeSimulator(plant, dt=1e-3), policy, np.array([0.0, 0.4, 0.0, 0.0]), 3.0)
    e = run.x[:, 1] - 0.5 * np.sin(run.t)
    t = run.t
    expected = np.exp(-4 * t) * (0.4 + (4 * 0.4 - 0.5) * t)  # eddot + 8 edot + 16 e = 0, e(0) = 0.4, edot(0) = -0.5
    assert np.abs(e - expected).max() < 2e-3  # sample and hold at 1 ms


@pytest.mark.parametrize("plant", [*UNDERACTUATED, *FULL], ids=name)
def test_batches_equal_rows(plant, rng):
    x = states(plant, rng, 5)
    command = rng.normal(size=(5, plant.nu))
    rows = [fl.collocated(plant, row, c) for row, c in zip(x, command, strict=True)]
    assert np.allclose(fl.collocated(plant, x, command), rows, rtol=1e-12, atol=1e-12)


def test_errors_say_what_to_use():
    with pytest.raises(ValueError, match=r"none on joint \[0\].*collocated"):
        fl.computed_torque(Acrobot(), np.zeros(4), np.zeros(2))
    with pytest.raises(ValueError, match="2 outputs need as many motors, the plant has 1"):
        fl.task_space(Acrobot(), np.zeros(4), np.eye(2), np.zeros(2))
    with pytest.raises(ValueError, match="every joint of Ballbot has a motor"):
        fl.noncollocated(Ballbot(), np.zeros(4), np.zeros(1))
    assert fl.actuated_joints(Acrobot()).tolist() == [1] and fl.passive_joints(Pendubot()).tolist() == [1]
