"""The MJCF models: they load, everything has a name, and they say what was published."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from sims import models, plants
from sims.errors import ModelError
from sims.models import MODELS, PLANT_MODEL

mujoco = pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install mujoco")
REFERENCE = Path(__file__).parent / "reference"
ENTRIES = {e["id"]: e for e in json.loads((REFERENCE / "public.json").read_text())["entries"]}
IIWA = json.loads((REFERENCE / "iiwa14.json").read_text())

# Moving and fixed links [kg], from the sources that docs/models.md names.
TOTAL_MASS = {
    "double_integrator": 1.0,
    "pendulum": 1.0,
    "cartpole": 10.0 + 1.0,
    "double_cartpole": 10.0 + 2 * 1.0,
    "acrobot": 2.0,
    "pendubot": 2.0,
    "double_pendulum": 2.0,
    "planar_quadrotor": 0.486,
    "quadrotor": 0.775,
    "ballbot": 5.0 + 4.0,
    "planar_arm": 4.0 + 3.0 + 2.0,
    "iiwa14": sum(link["mass"] for link in IIWA["links"].values()),
    "iiwa14_gripper": sum(link["mass"] for link in IIWA["links"].values()) + 1.2,
    "ur5e": 4.0 + 3.761 + 8.058 + 2.846 + 1.37 + 1.3 + 0.365,
    "gripper": 1.2,
    "quadruped": 6.0 + 4 * (0.595 + 0.888 + 0.151 + 0.06),
    "humanoid": 73.0,
    "block": 1.0,
    "block_push": 0.5 + 0.5,
}


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


def home(name: str) -> np.ndarray:
    return load(name).key("home").qpos.copy()


def test_every_file_is_listed_and_every_listed_file_exists():
    assert {path.name for path in MODELS["acrobot"].parent.glob("*.xml")} == {path.name for path in MODELS.values()}
    assert all(path.is_file() for path in MODELS.values())
    assert set(TOTAL_MASS) == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_names_mass_and_options(name):
    model = load(name)
    kinds = ("body", "joint", "geom", "actuator", "camera", "light", "site", "mat", "key")
    counts = dict(
        zip(
            kinds,
            (
                model.nbody,
                model.njnt,
                model.ngeom,
                model.nu,
                model.ncam,
                model.nlight,
                model.nsite,
                model.nmat,
                model.nkey,
            ),
            strict=True,
        )
    )
    accessors = {"mat": model.mat, "key": model.key} | {k: getattr(model, k) for k in kinds if k not in ("mat", "key")}
    for kind, n in counts.items():
        unnamed = [i for i in range(n) if not accessors[kind](i).name]
        assert not unnamed, f"{name}: {kind} {unnamed} without a name"
    assert model.names.split(b"\0")[0].decode() == name
    assert model.body_mass.sum() == pytest.approx(TOTAL_MASS[name], abs=1e-3 if name == "humanoid" else 1e-12)
    assert model.opt.gravity.tolist() == [0, 0, -9.81]
    assert model.ncam >= 1 and model.nlight >= 1


@pytest.mark.parametrize("name", MODELS)
def test_nothing_that_drake_could_not_carry(name):
    model = load(name)
    assert model.ntendon == model.neq == model.nmesh == model.nsensor == model.na == 0
    assert not model.jnt_stiffness.any() and not model.dof_frictionloss.any()
    assert (model.actuator_gaintype == mujoco.mjtGain.mjGAIN_FIXED).all()
    assert (model.actuator_biastype == mujoco.mjtBias.mjBIAS_NONE).all()


@pytest.mark.parametrize("name", [n for n in MODELS if load(n).nkey])
def test_home_is_inside_the_limits_and_touches_only_the_floor(name):
    model, data = at(name, home(name))
    for j in range(model.njnt):
        if model.jnt_limited[j]:
            low, high = model.jnt_range[j]
            assert low <= data.qpos[model.jnt_qposadr[j]] <= high, model.joint(j).name
    floor = model.geom("floor").id
    for contact in data.contact:
        assert floor in contact.geom, [model.geom(g).name for g in contact.geom]
        assert contact.dist > -1e-3


@pytest.mark.parametrize("plant_name", PLANT_MODEL)
def test_equations_of_motion_equal_the_closed_form(plant_name):
    from sims.mujoco_layout import state_names

    plant = getattr(plants, plant_name)()
    model = load(PLANT_MODEL[plant_name])
    assert (plant.nq, plant.nv, plant.nu) == (model.nq, model.nv, model.nu)
    assert list(plant.u_names) == [model.actuator(i).name for i in range(model.nu)]
    assert plant.x_names == state_names(model)
    rng = np.random.default_rng(7)
    for _ in range(20):
        q, v, u = rng.uniform(-3, 3, model.nq), rng.normal(0, 2, model.nv), rng.normal(0, 5, model.nu)
        if model.nq != model.nv:
            q[3:7] /= np.linalg.norm(q[3:7])
        _, data = at(PLANT_MODEL[plant_name], q, v, u)
        xdot = plant.f(np.concatenate([q, v]), u)
        np.testing.assert_allclose(xdot[plant.nq :], data.qacc, rtol=0, atol=1e-9)
        q_next = q.copy()
        mujoco.mj_integratePos(model, q_next, v, 1e-7)
        np.testing.assert_allclose(xdot[: plant.nq], (q_next - q) / 1e-7, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "entry"), [("cartpole", "cartpole_dynamics"), ("acrobot", "acrobot_dynamics")])
def test_published_accelerations(name, entry):
    nq = load(name).nq
    for case in ENTRIES[entry]["value"]:
        _, data = at(name, case["x"][:nq], case["x"][nq:], case["u"])
        np.testing.assert_allclose(data.qacc, case["xdot"][nq:], rtol=0, atol=ENTRIES[entry]["tolerance"])


def test_quadrotor_has_the_accelerations_of_drakes_quadrotor_plant():
    value = ENTRIES["quad3d_dynamics"]["value"]
    x = np.array(value["x"])
    roll, pitch, yaw = x[3:6]
    (cr, cp, cy), (sr, sp, sy) = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    R_WB = (
        np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        @ [[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]]
        @ [[1, 0, 0], [0, cr, -sr], [0, sr, cr]]
    )
    E = np.array([[1, 0, -sp], [0, cr, cp * sr], [0, -sr, cp * cr]])  # omega_B = E(rpy) rpydot
    dr, dp = x[9], x[10]
    Edot = np.array(
        [[0, 0, -cp * dp], [0, -sr * dr, -sp * sr * dp + cp * cr * dr], [0, -cr * dr, -sp * cr * dp - cp * sr * dr]]
    )
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, R_WB.ravel())
    _, data = at("quadrotor", [*x[:3], *quat], [*x[6:9], *(E @ x[9:12])], value["u"])
    rpydd = np.linalg.solve(E, data.qacc[3:] - Edot @ x[9:12])
    np.testing.assert_allclose([*data.qacc[:3], *rpydd], value["xdot"][6:], rtol=0, atol=1e-7)


def test_ballbot_rolls_and_its_lqr_gain_is_the_published_one():
    from scipy.linalg import solve_discrete_are

    entry = ENTRIES["ballbot_dlqr"]
    model = load("ballbot")
    data = mujoco.MjData(model)
    A, B = np.zeros((6, 6)), np.zeros((6, 1))
    mujoco.mjd_transitionFD(model, data, 1e-6, True, A, B, None, None)
    r = entry["plant_parameters"]["r_effective"]
    n = np.hypot(1, r)
    P = np.zeros((4, 6))
    P[0, :2] = P[2, 3:5] = r / n, -1 / n
    P[1, 2] = P[3, 5] = 1
    A, B = P @ A @ P.T, P @ B
    S = solve_discrete_are(A, B, np.diag([10.0, 10, 1, 1]), np.eye(1))
    K = np.linalg.solve(1 + B.T @ S @ B, B.T @ S @ A)
    np.testing.assert_allclose(K, entry["value"]["K"], rtol=entry["tolerance"]["K_rel"])
    for k in range(500):
        data.ctrl[0] = -float((K @ P @ np.r_[data.qpos, data.qvel])[0]) + 0.5 * np.sin(0.02 * k)
        mujoco.mj_step(model, data)
        assert abs(data.qvel[0] + r * data.qvel[1]) < 2e-3


def test_planar_arm_tip():
    rng = np.random.default_rng(2)
    for _ in range(5):
        q = rng.uniform(-np.pi, np.pi, 3)
        angle = np.cumsum(q)
        tip = [np.dot([0.5, 0.4, 0.3], np.cos(angle)), 0, 1.3 + np.dot([0.5, 0.4, 0.3], np.sin(angle))]
        np.testing.assert_allclose(at("planar_arm", q)[1].site("tip").xpos, tip, rtol=0, atol=1e-14)


def test_gripper_opens_by_the_sum_of_its_fingers():
    for q in ([0, 0], [0.01, 0.03], [0.055, 0.055]):
        model, data = at("gripper", q)
        inner = []
        for side, sign in (("left", 1), ("right", -1)):
            tip = model.geom(f"{side}_tip")
            p_GT = data.body("gripper").xmat.reshape(3, 3).T @ (
                data.geom(f"{side}_tip").xpos - data.body("gripper").xpos
            )
            inner.append(p_GT[0] + sign * tip.size[0])
        assert inner[1] - inner[0] == pytest.approx(sum(q), abs=1e-12)


@pytest.mark.parametrize(("name", "kp", "kd"), [("quadruped", 60.0, 2.0), ("humanoid", 1000.0, 50.0)])
def test_legged_models_stand_on_joint_springs_for_a_second(name, kp, kd):
    model, data = at(name, home(name))
    q_home, height = data.qpos[7:].copy(), data.qpos[2]
    for _ in range(round(1.0 / model.opt.timestep)):
        data.ctrl[:] = kp * (q_home - data.qpos[7:]) - kd * data.qvel[6:]
        mujoco.mj_step(model, data)
        assert np.abs(data.qvel).max() < 5.0
    assert abs(data.qpos[2] - height) < 0.03 and data.ncon >= 4
    assert np.abs(data.qvel).max() < 0.2


@pytest.mark.parametrize("name", MODELS)
def test_find_and_attribute_give_the_file(name):
    assert models.find(name) == MODELS[name] == getattr(models, name)
    assert models.find(MODELS[name]) == MODELS[name]
    assert name in dir(models)


def test_find_says_what_exists(tmp_path):
    with pytest.raises(ModelError, match=r"Did you mean 'acrobot'.*humanoid"):
        models.find("acrobt")
    (tmp_path / "arm.urdf").write_text("<robot/>")
    with pytest.raises(ModelError, match=r"leg\.urdf.*does not exist.*arm\.urdf"):
        models.find(tmp_path / "leg.urdf")
    with pytest.raises(ModelError, match="is a folder"):
        models.find(str(tmp_path))
    with pytest.raises(AttributeError, match="Available: acrobot"):
        _ = models.no_such_robot


def test_menagerie(tmp_path, monkeypatch):
    root = tmp_path / "menagerie"
    (root / "robot").mkdir(parents=True)
    (root / "robot" / "scene.xml").write_text("<mujoco/>")
    (tmp_path / "secret.xml").write_text("<mujoco/>")
    monkeypatch.delenv("MENAGERIE_ROOT", raising=False)
    with pytest.raises(ModelError, match="MENAGERIE_ROOT is not set"):
        models.menagerie("robot/scene.xml")
    monkeypatch.setenv("MENAGERIE_ROOT", str(root / "nowhere"))
    with pytest.raises(ModelError, match="is not a folder"):
        models.menagerie("robot/scene.xml")
    monkeypatch.setenv("MENAGERIE_ROOT", str(root))
    assert models.menagerie("robot/scene.xml") == (root / "robot" / "scene.xml").resolve()
    (root / "link.xml").symlink_to(tmp_path / "secret.xml")
    for escape in ("../secret.xml", str(tmp_path / "secret.xml"), "robot/../../secret.xml", "link.xml"):
        with pytest.raises(ModelError, match="lies outside"):
            models.menagerie(escape)
    with pytest.raises(ModelError, match=r"robot.*does not exist.*scene\.xml"):
        models.menagerie("robot/arm.xml")
