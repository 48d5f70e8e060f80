"""The arms and legged models say what their makers, and de Leva, published."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from sims.models import MODELS

mujoco = pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install mujoco")
REFERENCE = Path(__file__).parent / "reference"
ENTRIES = {e["id"]: e for e in json.loads((REFERENCE / "public.json").read_text())["entries"]}
IIWA = json.loads((REFERENCE / "iiwa14.json").read_text())

# UR5e, Universal Robots article 45257: a [m], d [m], alpha [rad].
UR5E_DH = np.array(
    [
        [0, 0.1625, np.pi / 2],
        [-0.425, 0, 0],
        [-0.3922, 0, 0],
        [0, 0.1333, np.pi / 2],
        [0, 0.0997, -np.pi / 2],
        [0, 0.0996, 0],
    ]
)
UR5E_MASS_COM = [
    (3.761, [0, -0.02561, 0.00193]),
    (8.058, [0.2125, 0, 0.11336]),
    (2.846, [0.15, 0, 0.0265]),
    (1.37, [0, -0.0018, 0.01634]),
    (1.3, [0, 0.0018, 0.01634]),
    (0.365, [0, 0, -0.001159]),
]


@functools.cache
def load(name: str):
    return mujoco.MjModel.from_xml_path(str(MODELS[name]))


def at(name: str, q, v=None, u=None):
    """Model and data after mj_forward at the given state and input."""
    model = load(name)
    data = mujoco.MjData(model)
    data.qpos[:] = q
    if v is not None:
        data.qvel[:] = v
    if u is not None:
        data.ctrl[:] = u
    mujoco.mj_forward(model, data)
    return model, data


def pose(R, p) -> np.ndarray:
    X = np.eye(4)
    X[:3, :3], X[:3, 3] = np.reshape(R, (3, 3)), p
    return X


def inertia(model, body: str) -> tuple[np.ndarray, np.ndarray]:
    """Centre of mass p (3,) and inertia tensor about it (3, 3), both in the body's frame."""
    i = model.body(body).id
    R_BI = np.empty(9)
    mujoco.mju_quat2Mat(R_BI, model.body_iquat[i])
    R_BI = R_BI.reshape(3, 3)
    return model.body_ipos[i], R_BI @ np.diag(model.body_inertia[i]) @ R_BI.T


def dh_frames(q) -> list[np.ndarray]:
    """T_0i, i = 1..6, of the UR5e: Rz(theta) Tz(d) Tx(a) Rx(alpha), standard Denavit-Hartenberg."""
    T, frames = np.eye(4), []
    for (a, d, alpha), theta in zip(UR5E_DH, q, strict=True):
        ct, st, ca, sa = np.cos(theta), np.sin(theta), np.cos(alpha), np.sin(alpha)
        T = T @ [[ct, -st * ca, st * sa, a * ct], [st, ct * ca, -ct * sa, a * st], [0, sa, ca, d], [0, 0, 0, 1]]
        frames.append(T)
    return frames


@pytest.mark.parametrize("name", ["iiwa14", "iiwa14_gripper"])
def test_iiwa_pose_and_jacobian(name):
    model = load(name)
    q = np.zeros(model.nq)
    q[:7] = ENTRIES["iiwa_fk"]["plant_parameters"]["q_value"]
    _, data = at(name, q)
    link = model.body("iiwa_link_7").id
    X = pose(data.xmat[link], data.xpos[link])
    np.testing.assert_allclose(X, ENTRIES["iiwa_fk"]["value"], rtol=0, atol=ENTRIES["iiwa_fk"]["tolerance"])
    jacp, jacr = np.zeros((3, model.nv)), np.zeros((3, model.nv))
    mujoco.mj_jacBody(model, data, jacp, jacr, link)
    J = np.vstack([jacr, jacp])[:, :7]
    np.testing.assert_allclose(J, ENTRIES["iiwa_jacobian"]["value"]["J"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        np.linalg.svd(J, compute_uv=False), ENTRIES["iiwa_jacobian"]["value"]["sv"], rtol=0, atol=1e-6
    )


def test_iiwa_mass_matrix_and_gravity():
    # the published mass matrix has the rotors in it: armature = gear_ratio^2 rotor_inertia needs no compensation
    entry = ENTRIES["iiwa_mass_gravity"]
    model, data = at("iiwa14", entry["plant_parameters"]["q_value"])
    M = np.zeros((7, 7))
    mujoco.mj_fullM(model, data, M)
    np.testing.assert_allclose(np.diag(M), entry["value"]["diagM"], rtol=0, atol=entry["tolerance"])
    assert np.trace(M) == pytest.approx(entry["value"]["trM"], abs=entry["tolerance"])
    np.testing.assert_allclose(-data.qfrc_bias, entry["value"]["tau_g"], rtol=0, atol=entry["tolerance"])


def test_iiwa_limits_damping_and_rotors():
    model = load("iiwa14")
    revolute = [j for j in IIWA["joints"] if j["type"] == "revolute"]
    for i, (joint, (_, properties)) in enumerate(zip(revolute, IIWA["transmissions"], strict=True)):
        value = {key.split("}")[1]: float(v["value"]) for key, v in properties}
        assert model.joint(i).name == joint["name"]
        assert model.jnt_range[i].tolist() == [joint["limit"]["lower"], joint["limit"]["upper"]]
        assert model.actuator_ctrlrange[i].tolist() == [-joint["limit"]["effort"], joint["limit"]["effort"]]
        assert model.dof_damping[i] == joint["damping"]
        assert model.dof_armature[i] == pytest.approx(value["gear_ratio"] ** 2 * value["rotor_inertia"], rel=1e-12)


def test_ur5e_kinematics_equal_the_dh_table():
    rng = np.random.default_rng(0)
    for _ in range(20):
        q = rng.uniform(-np.pi, np.pi, 6)
        _, data = at("ur5e", q)
        flange = data.site("flange")
        np.testing.assert_allclose(pose(flange.xmat, flange.xpos), dh_frames(q)[-1], rtol=0, atol=1e-14)


def test_ur5e_centres_of_mass_and_gravity_from_the_dh_table():
    rng = np.random.default_rng(1)

    def potential(q):
        return sum(9.81 * m * (T @ [*com, 1])[2] for T, (m, com) in zip(dh_frames(q), UR5E_MASS_COM, strict=True))

    for _ in range(5):
        q = rng.uniform(-np.pi, np.pi, 6)
        model, data = at("ur5e", q)
        for i, (T, (m, com)) in enumerate(zip(dh_frames(q), UR5E_MASS_COM, strict=True)):
            body = model.joint(i).bodyid[0]
            assert model.body_mass[body] == m
            np.testing.assert_allclose(data.xipos[body], (T @ [*com, 1])[:3], rtol=0, atol=1e-14)
        slope = [(potential(q + e) - potential(q - e)) / 2e-5 for e in 1e-5 * np.eye(6)]
        np.testing.assert_allclose(data.qfrc_bias, slope, rtol=0, atol=1e-7)


def test_ur5e_inertias_equal_ur_description():
    # physical_parameters.yaml: tensor of the forearm in DH frame 3, which is parallel to its body (alpha_3 = 0)
    _, tensor = inertia(load("ur5e"), "forearm")
    published = [
        [0.00399632, -0.00001365, 0.00137272],
        [-0.00001365, 0.07879254, -0.00000660],
        [0.00137272, -0.00000660, 0.07848510],
    ]
    np.testing.assert_allclose(tensor, published, rtol=0, atol=1e-12)


def test_quadruped_is_mirrored_and_its_feet_are_where_the_a1_has_them():
    model, data = at("quadruped", load("quadruped").key("home").qpos)
    for leg, fore, side in (("FR", 1, -1), ("FL", 1, 1), ("RR", -1, -1), ("RL", -1, 1)):
        x = fore * 0.1805 - 0.2 * np.sin(0.9) - 0.2 * np.sin(0.9 - 1.8)
        z = data.qpos[2] - 0.2 * np.cos(0.9) - 0.2 * np.cos(0.9 - 1.8)
        np.testing.assert_allclose(data.body(f"{leg}_foot").xpos, [x, side * (0.047 + 0.0838), z], rtol=0, atol=1e-12)
    for part in ("hip", "thigh"):  # the A1's calves are equal on both sides, not mirrored
        for end, front in (("F", 1), ("R", -1 if part == "hip" else 1)):
            (p_l, I_l), (p_r, I_r), (p_0, I_0) = (
                inertia(model, f"{leg}_{part}") for leg in (end + "L", end + "R", "FL")
            )
            mirror, turn = np.diag([1, -1, 1]), np.diag([front, 1, 1])
            np.testing.assert_allclose(p_r, mirror @ p_l, rtol=0, atol=1e-12)
            np.testing.assert_allclose(I_r, mirror @ I_l @ mirror, rtol=0, atol=1e-12)
            np.testing.assert_allclose(p_l, turn @ p_0, rtol=0, atol=1e-12)
            np.testing.assert_allclose(I_l, turn @ I_0 @ turn, rtol=0, atol=1e-12)


def test_humanoid_is_symmetric_and_of_the_published_height():
    model, data = at("humanoid", [0, 0, 0, 1, *np.zeros(28)])
    assert abs(data.subtree_com[0][1]) < 1e-12
    vertex = data.body("head").xpos[2] + 0.2429
    sole = data.geom("left_sole_toe_in").xpos[2] - 0.02
    assert vertex - sole == pytest.approx(1.741, abs=1e-3)
    masses = dict(thigh=14.16, shank=4.33, foot=1.37, upper_arm=2.71, forearm=1.62, hand=0.61)
    for part, percent in masses.items():
        for side in ("left", "right"):
            assert model.body(f"{side}_{part}").mass[0] == pytest.approx(0.73 * percent, rel=1e-5)
