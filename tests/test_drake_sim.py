"""Laws of DrakeSimulator over models with one feature each and every model of the suite; the oracle is MuJoCo."""

import json
import subprocess
import sys

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install mujoco")
pytest.importorskip("pydrake", reason="Drake is not installed: pip install drake")

from sims import DrakeSimulator, MujocoSimulator, simulate  # noqa: E402
from sims.build import build  # noqa: E402
from sims.drake_check import FEATURES  # noqa: E402
from sims.errors import ModelError  # noqa: E402
from sims.models import MODELS  # noqa: E402
from sims.simulator import Simulator  # noqa: E402

LINK = '<geom type="capsule" fromto="0 0 0 0.1 0.05 -0.5" size="0.03" mass="1.3" contype="0" conaffinity="0"/>'


def scene(body: str, rest: str = "", option: str = "") -> str:
    head = f'<compiler angle="radian"/><option timestep="0.002" {option}/>'
    return f"<mujoco>{head}<worldbody>{body}</worldbody>{rest}</mujoco>"


def motors(*joints: str) -> str:
    return "<actuator>" + "".join(f'<motor name="m_{j}" joint="{j}"/>' for j in joints) + "</actuator>"


CHAIN = f"""<body name="one" pos="0.1 0.2 0.3" quat="0.9 0.1 0.3 -0.2"><joint name="a" axis="0 1 1" damping="0.3"
  armature="0.04"/>{LINK}<body name="two" pos="0.1 0 -0.5"><joint name="b" axis="1 0 0"/>{LINK}</body></body>"""
GOOD = {
    "chain": scene(CHAIN, motors("a", "b")),
    "two roots": scene(
        CHAIN + f'<body name="three"><joint name="c" type="slide" axis="0 0 1"/>{LINK}</body>', motors("c", "a")
    ),
    "several joints, anchors, qpos0": scene(
        f"""<body name="one" pos="0 0 1" euler="0.3 0.2 0.1"><joint name="s" type="slide" axis="1 0 1" ref="0.2"/>
        <joint name="h" axis="0 1 0.5" pos="0.1 0.2 0.3" ref="0.7" damping="0.1"/>
        <joint name="k" axis="1 0 0" pos="0 -0.1 0"/>{LINK}</body>""",
        motors("s", "h", "k"),
    ),
    "springs": scene(
        f"""<body name="one"><joint name="s" type="slide" axis="0 0 1" stiffness="40" springref="0.1" ref="-0.2"/>
        <joint name="h" axis="0 1 0" stiffness="3" springref="-0.4"/>{LINK}</body>""",
        motors("h"),
    ),
    "free": scene(
        f"""<body name="base"><freejoint name="base"/>{LINK}
        <geom type="box" size="0.1 0.2 0.05" pos="0.05 0 0" mass="2"/>
        <site name="rotor" pos="0.2 0.1 0" quat="0.8 0.2 0.4 0"/>
        <body name="arm" pos="0 0 -0.3"><joint name="a" axis="0 1 0"/>
        {LINK}</body></body>""",
        '<actuator><motor name="thrust" site="rotor" gear="1 0 2 0.1 0 0.3"/><motor name="m" joint="a"/>'
        '<motor name="wrench" joint="base" gear="1 2 3 0.4 0.5 0.6"/></actuator>',
    ),
    "damped free": scene(f'<body name="b"><joint type="free" damping="0.7"/>{LINK}</body>'),
    "ball": scene(
        f"""<body name="upper" quat="0.8 0.1 0.5 0.2"><joint name="ball" type="ball" pos="0.1 0 0.2"/>{LINK}
        <body name="lower"
        pos="0.1 0 -0.5"><joint name="elbow" axis="0 1 0"/>{LINK}</body></body>""",
        '<actuator><motor name="m" joint="elbow"/>'
        '<motor name="twist" joint="ball" gear="0.3 0.2 0.1 0 0 0"/></actuator>',
    ),
    "servos": scene(
        CHAIN,
        """<actuator><position name="p" joint="a" kp="20" kv="2" gear="1.5" forcerange="-3 4"/>
        <velocity name="v" joint="b" kv="3" ctrlrange="-1 1"/>
        <general name="g" joint="b" gear="-2" gaintype="affine" gainprm="1 0.5 0.2"
        biastype="affine" biasprm="0.3 -2 -0.1"/>
        </actuator>""",
    ),
    "joint force limit": scene(CHAIN.replace('name="b"', 'name="b" actuatorfrcrange="-0.2 0.3"'), motors("a", "b")),
    "fixed tendon": scene(
        CHAIN,
        """<tendon><fixed name="t"><joint joint="a" coef="0.7"/><joint joint="b" coef="-1.2"/></fixed></tendon>
        <actuator><position name="pull" tendon="t" kp="5" gear="2"/></actuator>""",
    ),
    "site on an arm": scene(
        CHAIN.replace(
            LINK + "</body></body>", LINK + '<site name="s" pos="0.1 0 -0.4" euler="0.3 0.2 0.1"/></body></body>'
        ),
        '<actuator><motor name="jet" site="s" gear="1 0.5 -0.3 0.1 0.2 0.3"/></actuator>',
    ),
    "rotor of an actuator": scene(
        CHAIN, '<actuator><motor name="m" joint="b" gear="3" armature="0.01" damping="0.05"/></actuator>'
    ),
    "welded and mocap": scene(
        f"""<body name="stand" pos="0.3 0 0" euler="0.1 0.2 0.3"><body name="tower" pos="0 0 0.4">{CHAIN}</body></body>
        <body name="target" mocap="true" pos="1 2 3"><geom size="0.1" contype="0" conaffinity="0"/></body>""",
        motors("a"),
    ),
    "no gravity": scene(CHAIN, motors("b"), option='gravity="0 0 0"'),
    "gravity flag off": scene(CHAIN, motors("b"), option="").replace(
        "<worldbody>", '<option><flag gravity="disable"/></option><worldbody>'
    ),
}
ALL = {**GOOD, **MODELS}


def pair(name: str, **options):
    """Drake's and MuJoCo's simulator, contact, limits and other constraints off in both."""
    drake = DrakeSimulator(ALL[name], contact=False, limits=False, **options)
    oracle = MujocoSimulator(ALL[name], integrator="euler", contact=False, limits=False)
    oracle.model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONSTRAINT)
    return drake, oracle


def random_point(sim: MujocoSimulator, rng, scale: float = 0.7):
    home = np.concatenate([sim.model.qpos0, np.zeros(sim.model.nv)])
    return sim.integrate(home, scale * rng.standard_normal(sim.ndx)), rng.standard_normal(sim.nu)


@pytest.mark.parametrize("name", ALL)
def test_names_sizes_and_limits_are_mujocos(name):
    drake, oracle = pair(name)
    for attribute in ("nx", "ndx", "nu", "x_names", "u_names", "body_names", "dt"):
        assert getattr(drake, attribute) == getattr(oracle, attribute), attribute
    np.testing.assert_array_equal(drake.u_min, oracle.u_min)
    np.testing.assert_array_equal(drake.u_max, oracle.u_max)


@pytest.mark.parametrize("name", ALL)
def test_equations_of_motion_are_mujocos(name, rng):
    drake, oracle = pair(name)
    for _ in range(3):
        x, u = random_point(oracle, rng)
        ours, theirs = drake.terms(x, u), oracle.terms(x, u)
        for term in ("M", "bias", "gravity", "tau"):
            np.testing.assert_allclose(getattr(ours, term), getattr(theirs, term), rtol=0, atol=1e-10, err_msg=term)
        np.testing.assert_allclose(ours.vdot, theirs.vdot, rtol=0, atol=1e-10 * max(1.0, abs(theirs.vdot).max()))
        np.testing.assert_allclose(drake.body_poses(x), oracle.body_poses(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_one_step_is_mujocos_euler_step(name, rng):
    drake, oracle = pair(name)
    for _ in range(3):
        x, u = random_point(oracle, rng)
        error = drake.difference(drake.step(x, u), oracle.step(x, u))
        assert abs(error).max() < 1e-11 * max(1.0, abs(x).max())


@pytest.mark.parametrize("name", ALL)
def test_linearize_is_mujocos_and_finite_differences(name, rng):
    drake, oracle = pair(name)
    x, u = random_point(oracle, rng)
    x, u = x.copy(), 0.3 * u
    ours = np.hstack(drake.linearize(x, u))
    differences = np.hstack(Simulator._linearize(drake, x, u))
    theirs = np.hstack(oracle.linearize(x, u))
    scale = abs(theirs).max()
    assert abs(ours - differences).max() < 1e-6 * scale
    assert abs(ours - theirs).max() < 1e-6 * scale


@pytest.mark.parametrize("name", ["chain", "free", "ball", "servos", "quadrotor", "iiwa14"])
def test_continuous_plant_follows_mujocos_rk4(name, rng):
    drake = DrakeSimulator(ALL[name], integrator="runge_kutta5", accuracy=1e-12, dt=2e-3, contact=False, limits=False)
    fine = MujocoSimulator(ALL[name], integrator="rk4", dt=5e-5, contact=False, limits=False)
    x, u = random_point(fine, rng, 0.3)
    expected = x
    for _ in range(40):
        expected = fine.step(expected, u)
    error = drake.difference(drake.step(x, fine.saturate(u)), expected)
    assert abs(error).max() < 1e-8


def rollout_gap(name: str, x0, h: float, duration: float = 5.0) -> float:
    """The largest difference between Drake's RK5 at 1e-12 and MuJoCo's RK4 with step h [s], a multiple of 1 ms."""
    drake = DrakeSimulator(name, integrator="runge_kutta5", accuracy=1e-12, dt=1e-3, contact=False, limits=False)
    oracle = MujocoSimulator(name, integrator="rk4", dt=h, contact=False, limits=False)
    ours = drake.rollout(x0, np.zeros((round(duration / 1e-3), drake.nu))).x
    theirs = oracle.rollout(x0, np.zeros((round(duration / h), drake.nu))).x
    return float(abs(ours[:: round(h / 1e-3)] - theirs).max())


ROLLOUTS = [
    ("cartpole", [0.1, 0.3, 0, 0]),
    ("cartpole", [0.0, 2.0, 0.5, -1.0]),
    ("double_pendulum", [0.2, 0.3, 0, 0]),
    ("double_pendulum", [0.5, 0.8, 0, 0]),
    ("double_pendulum", [1.0, 0.5, 0, 0]),
]


@pytest.mark.parametrize("name, x0", ROLLOUTS)
def test_passive_rollout_is_mujocos_rk4(name, x0):
    assert rollout_gap(name, x0, 1e-3) < 1e-9


@pytest.mark.parametrize("x0", [[0.5, 0.8, 0, 0], [1.0, 0.5, 0, 0]])
def test_what_is_left_of_the_rollout_gap_is_mujocos_fourth_order_truncation(x0):
    """Wilder starts leave more of it: from [1, 2], over the top, 1 ms gives 1e-8."""
    coarse, fine = rollout_gap("double_pendulum", x0, 4e-3), rollout_gap("double_pendulum", x0, 1e-3)
    assert 4**4 / 2 < coarse / fine < 4**4 * 2


@pytest.mark.parametrize("integrator", ["discrete", "runge_kutta3", "implicit_euler"])
@pytest.mark.parametrize("name", ["chain", "free", "cartpole"])
def test_steps_are_pure_and_own_their_memory(name, integrator, rng):
    options = {"contact": False, "limits": False, "accuracy": 1e-6}
    sim = DrakeSimulator(ALL[name], integrator=integrator, **options)
    oracle = MujocoSimulator(ALL[name])
    points = [random_point(oracle, rng) for _ in range(5)]
    x, u = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    batch = sim.step(x, u)
    kept = batch.copy()
    for i in reversed(range(5)):
        sim.body_poses(x[i])
        assert sim.step(x[i], u[i]).tobytes() == kept[i].tobytes()
    assert batch.tobytes() == kept.tobytes()


@pytest.mark.parametrize("name", ["chain", "free", "ball", "cartpole"])
def test_a_result_is_not_drakes_live_memory(name, rng):
    sim, oracle = DrakeSimulator(ALL[name], contact=False, limits=False), MujocoSimulator(ALL[name])
    (x, u), (y, w) = random_point(oracle, rng), random_point(oracle, rng)
    kept = sim.step(x, u), sim.body_poses(x), *vars(sim.terms(x, u)).values()
    before = [value.tobytes() for value in kept]
    sim.step(y, w), sim.body_poses(y), sim.terms(y, w)
    assert [value.tobytes() for value in kept] == before


@pytest.mark.parametrize("name", ["chain", "free", "ball", "quadruped"])
def test_describe_builds_the_same_simulator(name, rng):
    sim = DrakeSimulator(ALL[name], dt=1e-3)
    again = build(json.loads(json.dumps(sim.describe())))
    x, u = random_point(MujocoSimulator(ALL[name]), rng, 0.2)
    assert again.step(x, u).tobytes() == sim.step(x, u).tobytes()
    assert again.describe() == sim.describe()


def test_closed_loop_is_a_chain_of_steps(rng):
    sim = DrakeSimulator("acrobot")
    run = simulate(sim, lambda x, t: np.array([np.sin(t) - x[2]]), [0.1, 0.2, 0, 0], 0.05)
    x = run.x[0]
    for k, u in enumerate(run.u):
        x = sim.step(x, u)
        assert x.tobytes() == run.x[k + 1].tobytes()


def test_joint_limits_stop_the_joint_and_can_be_off():
    limited = GOOD["chain"].replace('name="b"', 'name="b" limited="true" range="-0.2 0.3"')
    u = np.tile([0.0, 5.0], (1000, 1))
    on, off = DrakeSimulator(limited), DrakeSimulator(limited, limits=False)
    assert on.rollout(np.zeros(4), u).x[:, 1].max() < 0.3 + 5e-3
    assert off.rollout(np.zeros(4), u).x[:, 1].max() > 0.5
    assert any("joint limits" in sentence for sentence in on.omissions)


def test_vdot_of_a_limited_plant_is_smooth_dynamics_inside(rng):
    limited = GOOD["chain"].replace('name="b"', 'name="b" limited="true" range="-3 3"')
    x, u = np.array([0.3, 0.2, 0.1, -0.4]), np.array([0.5, -0.2])
    free = DrakeSimulator(GOOD["chain"]).terms(x, u).vdot
    np.testing.assert_allclose(DrakeSimulator(limited).terms(x, u).vdot, free, rtol=1e-9)


def test_equalities_hold_in_drake():
    both = f"""<body name="one"><joint name="a" axis="0 1 0"/>{LINK}</body>
      <body name="two" pos="1 0 0"><joint name="b" axis="0 1 0"/>{LINK}</body>"""
    coupled = scene(both, '<equality><joint joint1="a" joint2="b" polycoef="0.1 -2 0 0 0"/></equality>' + motors("b"))
    x = DrakeSimulator(coupled).rollout([0.1, 0, 0, 0], np.full((500, 1), 0.3)).x
    np.testing.assert_allclose(x[:, 0], 0.1 - 2 * x[:, 1], atol=1e-3)
    hung = f"""<body name="one"><joint name="a" axis="0 1 0"/>{LINK}</body>
      <body name="load" pos="0.1 0.05 -0.5"><freejoint/>
      <geom size="0.05" mass="0.2" contype="0" conaffinity="0"/></body>"""
    connected = DrakeSimulator(scene(hung, '<equality><connect body1="load" body2="one" anchor="0 0 0"/></equality>'))
    start = np.r_[0.0, 0.1, 0.05, -0.5, 1, 0, 0, 0, np.zeros(7)]
    X = connected.body_poses(connected.rollout(start, np.zeros((500, 0))).x[-1])
    tip = X[0] @ [0.1, 0.05, -0.5, 1]
    np.testing.assert_allclose(X[1, :3, 3], tip[:3], atol=1e-3)


BAD = {
    "activation": scene(CHAIN, '<actuator><general name="lag" joint="a" dyntype="filter" dynprm="0.1"/></actuator>'),
    "actuator": scene(CHAIN, '<actuator><adhesion name="glue" body="one" ctrlrange="0 1"/></actuator>'),
    "armature": scene(f'<body name="b"><joint name="b" type="free" armature="0.1"/>{LINK}</body>'),
    "damping": scene(f'<body name="b"><joint name="socket" type="ball" damping="0.1"/>{LINK}</body>'),
    "equality": scene(CHAIN, '<equality><joint name="lock" joint1="a"/></equality>'),
    "fluid": scene(CHAIN, option='density="1.2"'),
    "frictionloss": scene(CHAIN.replace('name="a"', 'name="a" frictionloss="0.3"')),
    "gravcomp": scene(CHAIN.replace('name="two"', 'name="two" gravcomp="1"')),
    "limits": scene(f'<body name="b"><joint name="socket" type="ball" limited="true" range="0 1"/>{LINK}</body>'),
    "stiffness": scene(f'<body name="b"><joint name="socket" type="ball" stiffness="2"/>{LINK}</body>'),
    "tendon": scene(CHAIN, '<tendon><fixed name="band" stiffness="3"><joint joint="a" coef="1"/></fixed></tendon>'),
    "geom": scene(
        CHAIN + '<geom name="hills" type="hfield" hfield="h"/>',
        '<asset><hfield name="h" nrow="2" ncol="2" size="1 1 1 1"/></asset>',
    ),
}
NAMED = {
    "activation": "lag",
    "actuator": "glue",
    "armature": "b",
    "damping": "socket",
    "equality": "lock",
    "fluid": "density",
}
NAMED |= {
    "frictionloss": "a",
    "gravcomp": "two",
    "limits": "socket",
    "stiffness": "socket",
    "tendon": "band",
    "geom": "hills",
}


@pytest.mark.parametrize("feature", BAD)
def test_what_drake_cannot_carry_is_an_error_by_name_and_can_be_allowed(feature):
    with pytest.raises(ModelError) as caught:
        DrakeSimulator(BAD[feature])
    message = str(caught.value)
    assert (
        f"{feature}: {FEATURES[feature]}" in message and NAMED[feature] in message and f"allow=('{feature}'" in message
    )
    if feature != "geom":  # Drake has no shape for it at all
        allowed = DrakeSimulator(BAD[feature], allow=(feature,))
        assert any(s.startswith(f"{feature}: ignored") and NAMED[feature] in s for s in allowed.omissions)


def test_all_refusals_come_at_once():
    model = scene(CHAIN.replace('name="a"', 'name="a" frictionloss="0.3"'), option='density="1.2"')
    with pytest.raises(ModelError, match=r"(?s)fluid.*frictionloss|frictionloss.*fluid"):
        DrakeSimulator(model, allow=())
    with pytest.raises(ValueError, match=r"'friction'.*frictionloss"):
        DrakeSimulator(model, allow=("friction",))


def test_limits_of_a_continuous_plant_are_refused():
    limited = GOOD["chain"].replace('name="b"', 'name="b" limited="true" range="-0.2 0.3"')
    with pytest.raises(ModelError, match=r"limits.*b"):
        DrakeSimulator(limited, integrator="runge_kutta3")
    DrakeSimulator(limited, integrator="runge_kutta3", limits=False)


def test_bad_options_say_what_there_is():
    with pytest.raises(ValueError, match="runge_kutta3"):
        DrakeSimulator("pendulum", integrator="rk4")
    with pytest.raises(ValueError, match="lagged"):
        DrakeSimulator("pendulum", contact_approximation="tamsi")
    with pytest.raises(ValueError, match="dt must be a positive"):
        DrakeSimulator("pendulum", dt=0.0)


URDF = """<robot name="pendulum"><link name="base"/><link name="rod"><inertial><origin xyz="0 0 -0.5"/><mass value="2"/>
  <inertia ixx="0.1" iyy="0.1" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="swing" type="revolute"><parent link="base"/><child link="rod"/><axis xyz="0 1 0"/>
  <limit lower="-9" upper="9" effort="3" velocity="99"/>
  <dynamics damping="0.2"/></joint><joint name="fix" type="fixed"><parent link="world"/><child link="base"/></joint>
  <link name="world"/><transmission><type>transmission_interface/SimpleTransmission</type><joint name="swing"/>
  <actuator name="motor"/></transmission></robot>"""
SDF = """<sdf version="1.9"><model name="brick"><link name="brick"><inertial><mass>2</mass><inertia><ixx>0.1</ixx>
  <iyy>0.2</iyy><izz>0.25</izz></inertia></inertial></link></model></sdf>"""


def test_urdf_goes_through_drakes_parser(tmp_path, rng):
    path = tmp_path / "pendulum.urdf"
    path.write_text(URDF)
    for model in (path, str(path), URDF):
        sim = DrakeSimulator(model, limits=False)
        assert (sim.x_names, sim.u_names, sim.u_max[0]) == (("swing", "swing_dot"), ("motor",), 3.0)
        q, v, u = 0.4, 0.3, 1.5
        M, tau = 0.1 + 2 * 0.25, u - 0.2 * v - 2 * 9.81 * 0.5 * np.sin(q)
        np.testing.assert_allclose(sim.terms([q, v], [u]).vdot, [tau / M], rtol=1e-9)
        v_next = v + 1e-3 * tau / (M + 1e-3 * 0.2)
        np.testing.assert_allclose(sim.step([q, v], [u]), [q + 1e-3 * v_next, v_next], rtol=1e-10)
    assert build(json.loads(json.dumps(sim.describe()))).step([q, v], [u]).tobytes() == sim.step([q, v], [u]).tobytes()


def test_sdf_floats_in_the_suites_layout():
    sim = DrakeSimulator(SDF)
    assert sim.x_names[:7] == tuple(f"brick.{c}" for c in ("x", "y", "z", "qw", "qx", "qy", "qz"))
    x = np.r_[0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0.1, 0.2, 0.3]
    x_next = sim.step(x, [])
    np.testing.assert_allclose(x_next[7:10], [1, 0, -9.81e-3], atol=1e-12)
    np.testing.assert_allclose(x_next[:3], [1e-3, 0, 1 - 9.81e-6], atol=1e-12)
    I, w = np.array([0.1, 0.2, 0.25]), np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(x_next[10:], w - 1e-3 * np.cross(w, I * w) / I, atol=1e-9)


def test_broken_files_are_model_errors(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere\.sdf"):
        DrakeSimulator(tmp_path / "nowhere.sdf")
    broken = tmp_path / "broken.urdf"
    broken.write_text("<robot name='x'><link></robot>")
    with pytest.raises(ModelError, match=r"broken\.urdf.*Drake cannot parse"):
        DrakeSimulator(broken)


def test_a_state_that_is_not_finite_is_refused_by_name():
    with pytest.raises(ValueError, match="theta2"):
        DrakeSimulator("acrobot").step([0, np.nan, 0, 0], [0.0])


def without(engine: str, code: str) -> str:
    """What a fresh Python prints that cannot import the engine."""
    hide = f"import sys; sys.modules[{engine!r}] = None\n"
    done = subprocess.run([sys.executable, "-c", hide + code], capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


def test_sdf_and_exported_plants_need_no_mujoco():
    code = f"""from sims import DrakeSimulator, to_drake, plants
print(DrakeSimulator({SDF!r}).nx, to_drake(plants.Pendulum()).num_continuous_states())"""
    assert without("mujoco", code).split() == ["13", "2"]


@pytest.mark.parametrize("name", ["DrakeSimulator", "to_drake"])
def test_without_drake_the_error_is_the_line_that_installs_it(name):
    output = without("pydrake", f"from sims import {name}")
    assert "MissingDependency" in output and "pip install drake" in output.splitlines()[-1]
