"""Inverse kinematics: against the closed form of two links, other engines' kinematics, and input that is wrong."""

import numpy as np
import pytest

from controllers.constraint import Constraint, input_limits
from controllers.explain import explain
from controllers.ik import InverseKinematics, body_at, body_turned, joint_limits
from controllers.obstacles import goal_position, keep_out
from sims.lie import so3_exp
from sims.system import stack


def elbow(q):
    return stack([np.cos(q[..., 0]), np.sin(q[..., 0])])


def hand(q):
    return stack([np.cos(q[..., 0]) + np.cos(q[..., 0] + q[..., 1]), np.sin(q[..., 0]) + np.sin(q[..., 0] + q[..., 1])])


def postures(p) -> list[np.ndarray]:
    """Both postures of two links of 1 m with the hand at p, by the law of cosines."""
    bend = np.arccos((p @ p - 2) / 2)
    return [np.array([np.arctan2(p[1], p[0]) - s * bend / 2, s * bend]) for s in (1.0, -1.0)]


@pytest.mark.parametrize("seed", range(8))
def test_two_links_against_the_law_of_cosines(seed):
    rng = np.random.default_rng(seed)
    q = rng.uniform([-1.0, 0.2], [1.0, 2.5]) * [1.0, rng.choice([-1.0, 1.0])]
    at = goal_position(hand(q), label="hand", position=hand)
    nominal = q + rng.uniform(-0.1, 0.1, 2)
    found = InverseKinematics(2, [at], q_nominal=nominal).solve()
    assert found.ok and found.cost == pytest.approx(float((found.q - nominal) @ (found.q - nominal)))
    apart = [np.abs((found.q - other + np.pi) % (2 * np.pi) - np.pi).max() for other in postures(hand(q))]
    assert min(apart) < 1e-6
    above = InverseKinematics(2, [at, *joint_limits([-4, 0], [4, 3], ["shoulder", "elbow"])]).solve()
    np.testing.assert_allclose(hand(above.q), hand(q), atol=1e-6)
    assert above.ok and 0 <= above.q[1] <= 3


def test_obstacles_and_a_free_nominal_posture():
    """Nothing but a nominal posture: it is the answer. A post where the elbow would be: it moves aside, just enough."""
    nominal = np.array([0.3, 0.4])
    assert InverseKinematics(2, [], q_nominal=nominal).solve().q.tolist() == nominal.tolist()
    post = keep_out(elbow(nominal), 0.2, label="post", position=elbow)
    found = InverseKinematics(2, [post], q_nominal=nominal).solve(nominal + 0.1)
    aside = 2 * np.arcsin(0.1)  # a chord of 0.2 m
    assert found.ok
    assert found.q[1] == pytest.approx(0.4, abs=1e-5) and found.q[0] == pytest.approx(0.3 + aside, abs=1e-5)


def test_too_far_is_infeasible_and_says_by_how_much():
    target = np.array([1.8, 1.2])
    ik = InverseKinematics(2, [goal_position(target, label="hand at the cup", position=hand)])
    found = ik.solve()
    assert found.status == "infeasible" and found.violations[0].label == "hand at the cup"
    assert "hand at the cup" in found.message and "m outside" in found.message
    why = explain(ik)
    # the nearest box around the cup: its corner at the distance 2
    amount = np.roots([2.0, -2 * target.sum(), target @ target - 4.0]).min()
    assert why.violations[0].amount == pytest.approx(amount, rel=1e-5)


@pytest.mark.parametrize("backend", ["MujocoSimulator", "DrakeSimulator"])
def test_iiwa_reaches_a_pose_in_both_engines(backend):
    pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install mujoco")
    pytest.importorskip("pydrake", reason="Drake is not installed: pip install drake")
    import sims

    sim, other = (getattr(sims, name)("iiwa14") for name in (backend, "MujocoSimulator"))
    other = sims.DrakeSimulator("iiwa14") if backend == "MujocoSimulator" else other
    lower, upper = sims.MujocoSimulator("iiwa14").model.jnt_range.T
    p_WG, R_WG, flange = np.array([0.5, 0.2, 0.6]), so3_exp(np.array([np.pi - 0.3, 0.1, 0.2])), sim.body_names[-1]
    pose = [
        body_at(sim, flange, p_WG, label="at the shelf", point=[0.0, 0.0, 0.1]),
        body_turned(sim, flange, R_WG, label="turned to it"),
    ]
    found = InverseKinematics(7, [*joint_limits(lower, upper), *pose], q_nominal=[0, 0.6, 0, -1.75, 0, 0.8, 0]).solve()
    assert found.ok, found.message
    assert (lower <= found.q + 1e-6).all() and (found.q <= upper + 1e-6).all()
    X_WB = other.body_poses(np.concatenate([found.q, np.zeros(7)]))[other.body_names.index(flange)]
    np.testing.assert_allclose(X_WB[:3, :3], R_WG, atol=1e-5)
    np.testing.assert_allclose(X_WB[:3, 3] + X_WB[:3, :3] @ [0.0, 0.0, 0.1], p_WG, atol=1e-5)


def test_the_jacobian_of_a_body_is_the_engines():
    mujoco = pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install mujoco")
    from sims import MujocoSimulator

    sim, q = MujocoSimulator("iiwa14"), np.linspace(-1.0, 1.0, 7)
    at = body_at(sim, sim.body_names[-1], [0, 0, 0], label="flange")
    data, J = mujoco.MjData(sim.model), np.zeros((3, 7))
    data.qpos[:] = q
    mujoco.mj_kinematics(sim.model, data)
    mujoco.mj_comPos(sim.model, data)
    mujoco.mj_jacBody(sim.model, data, J, None, sim.model.nbody - 1)
    np.testing.assert_allclose(at.jacobian(q[None], np.zeros((1, 1)))[1][0], J, atol=1e-8)


WRONG = {
    "nominal": (lambda: InverseKinematics(2, [], q_nominal=[0.0]), r"q_nominal must be \(2,\)"),
    "start": (lambda: InverseKinematics(2, []).solve([0.0]), r"q0 must be \(2,\)"),
    "reads u": (lambda: InverseKinematics(2, [input_limits([0.0], [1.0])]), "must read x = q alone"),
    "rows": (
        lambda: InverseKinematics(2, [Constraint("odd", lambda x, u: x, [0.0], [1.0], reads="x")]),
        "bounds have 1 rows",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_one_clear_error(name):
    make, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unknown_body_is_named_with_those_there_are():
    pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install mujoco")
    from sims import MujocoSimulator

    with pytest.raises(ValueError, match="Did you mean 'iiwa_link_7'"):
        body_at(MujocoSimulator("iiwa14"), "iiwa_link_8", [0, 0, 0], label="flange")
