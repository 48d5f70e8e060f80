"""The same block on the same ground in both simulators: rest, friction on an incline, drop; Drake's contact rules."""

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install mujoco")
pytest.importorskip("pydrake", reason="Drake is not installed: pip install drake")

from sims import DrakeSimulator, MujocoSimulator, simulate  # noqa: E402
from sims.drake_geometry import colliding_pairs  # noqa: E402
from sims.models import MODELS  # noqa: E402
from sims.mujoco_model import load_model  # noqa: E402

BLOCK = MODELS["pendulum"].with_name("block.xml")
G, MU, HALF_HEIGHT = 9.81, 0.5, 0.05
FRICTION_ANGLE, DEGREE = np.arctan(MU), np.pi / 180
SIMULATORS = [DrakeSimulator, MujocoSimulator]
REST = np.r_[0, 0, HALF_HEIGHT, 1, 0, 0, 0, np.zeros(6)]


def scene(slope: float = 0.0) -> str:
    """block.xml on an incline that falls towards +x: gravity is tilted."""
    gravity = f"{float(G * np.sin(slope))!r} 0 {float(-G * np.cos(slope))!r}"
    return BLOCK.read_text().replace('gravity="0 0 -9.81"', f'gravity="{gravity}"')


def run(sim, x0, duration: float) -> np.ndarray:
    return simulate(sim, lambda x, t: np.zeros(sim.nu), x0, duration, check=True).x


def total_force(sim, x, body: str = "block") -> np.ndarray:
    contacts = sim.contacts(x, np.zeros(sim.nu))
    return sum((c.f_W if c.body_b == body else -c.f_W for c in contacts if body in (c.body_a, c.body_b)), np.zeros(3))


@pytest.mark.parametrize("Simulator", SIMULATORS)
def test_resting_block_presses_with_its_weight(Simulator):
    sim = Simulator(scene())
    x = run(sim, REST, 0.5)
    np.testing.assert_allclose(total_force(sim, x[-1]), [0, 0, G], atol=0.01 * G)
    assert len(sim.contacts(x[-1], np.zeros(sim.nu))) >= 3  # a face, not a corner
    assert HALF_HEIGHT - x[:, 2].min() < 1e-4
    assert abs(x[-1, 7:]).max() < 1e-5


@pytest.mark.parametrize("Simulator", SIMULATORS)
def test_block_sticks_one_degree_below_the_friction_angle(Simulator):
    slope = FRICTION_ANGLE - DEGREE
    sim = Simulator(scene(slope))
    x = run(sim, REST, 1.0)
    creep = (x[-1, 0] - x[len(x) // 2, 0]) / 0.5
    assert abs(creep) < 1e-3 and abs(x[:, 0]).max() < 1e-3
    np.testing.assert_allclose(total_force(sim, x[-1]), [-G * np.sin(slope), 0, G * np.cos(slope)], atol=0.01 * G)


@pytest.mark.parametrize("Simulator", SIMULATORS)
def test_block_slides_one_degree_above_the_friction_angle(Simulator):
    slope = FRICTION_ANGLE + DEGREE
    expected = G * (np.sin(slope) - MU * np.cos(slope))
    x = run(Simulator(scene(slope)), REST, 2.0)
    tolerance = 0.01 if Simulator is DrakeSimulator else 0.03  # MuJoCo's sliding block chatters
    assert x[-1, 7] / 2.0 == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("Simulator", SIMULATORS)
def test_dropped_block_does_not_bounce_and_sinks_in_less_than_a_millimetre(Simulator):
    x0 = REST.copy()
    x0[2] += 0.05
    x = run(Simulator(scene()), x0, 0.5)
    landed = int(np.argmax(x[:, 2] < HALF_HEIGHT))
    assert landed > 0 and HALF_HEIGHT - x[:, 2].min() < 1e-3
    assert x[landed:, 2].max() < HALF_HEIGHT + 1e-5
    assert abs(x[-1, 7:]).max() < 1e-4


def test_sliding_block_in_drake_stops_where_coulomb_says():
    x0 = REST.copy()
    x0[7] = 1.0
    x = run(DrakeSimulator(scene()), x0, 0.3)
    assert x[-1, 0] == pytest.approx(1.0 / (2 * MU * G), rel=0.02)
    assert x[:, 2].max() < HALF_HEIGHT + 1e-6  # it does not float, as it does with the "sap" approximation


def test_contact_can_be_off():
    for Simulator in SIMULATORS:
        sim = Simulator(scene(), contact=False)
        x = run(sim, REST, 0.1)
        assert x[-1, 2] < HALF_HEIGHT - 0.04 and sim.contacts(REST, np.zeros(sim.nu)) == []


def test_terms_include_the_contact_force():
    sim = DrakeSimulator(scene())
    at_rest = run(sim, REST, 0.3)[-1]
    assert abs(sim.terms(at_rest, np.zeros(0)).vdot).max() < 1e-3
    assert DrakeSimulator(scene(), contact=False).terms(at_rest, np.zeros(0)).vdot[2] == pytest.approx(-G)


def shapes(geom: str, height: float, friction_ground: float = 0.3, extra: str = "") -> str:
    return f"""<mujoco><option timestep="0.001"/><worldbody><geom name="ground" type="plane" size="5 5 1"
      friction="{friction_ground} 0 0"/><body name="block" pos="0 0 {height}"><freejoint/><geom name="g" {geom} mass="1"
      friction="0.6 0 0" {extra}/></body></worldbody></mujoco>"""


STANDING = {
    "sphere": ('type="sphere" size="0.1"', 0.1),
    "lying capsule": ('type="capsule" fromto="-0.2 0 0 0.2 0 0" size="0.05"', 0.05),
    "standing cylinder": ('type="cylinder" size="0.1 0.2"', 0.2),
    "ellipsoid": ('type="ellipsoid" size="0.2 0.2 0.1"', 0.1),
    "box": ('type="box" size="0.1 0.2 0.05"', 0.05),
}


@pytest.mark.parametrize("name", STANDING)
def test_every_shape_stands_on_a_plane_in_drake(name):
    geom, height = STANDING[name]
    sim = DrakeSimulator(shapes(geom, height))
    x = run(sim, np.r_[0, 0, height, 1, 0, 0, 0, np.zeros(6)], 0.3)
    np.testing.assert_allclose(total_force(sim, x[-1]), [0, 0, G], atol=0.01 * G)
    assert abs(x[-1, 2] - height) < 1e-3 and abs(x[-1, 3]) > 1 - 1e-6


def test_a_mesh_stands_on_a_plane_and_on_a_box_in_drake():
    corners = " ".join(f"{x} {y} {z}" for x in (-0.1, 0.1) for y in (-0.1, 0.1) for z in (-0.05, 0.05))
    text = f"""<mujoco><asset><mesh name="brick" vertex="{corners}"/></asset><worldbody>
      <geom type="plane" size="5 5 1"/><geom type="box" size="0.3 0.3 0.1" pos="2 0 0.1"/>
      <body name="a" pos="0 0 0.05"><freejoint/><geom type="mesh" mesh="brick" mass="1"/></body>
      <body name="b" pos="2 0 0.25"><freejoint/><geom type="mesh" mesh="brick" mass="1"/></body></worldbody></mujoco>"""
    sim = DrakeSimulator(text, dt=1e-3)
    home = np.r_[0, 0, 0.05, 1, 0, 0, 0, 2, 0, 0.25, 1, 0, 0, 0, np.zeros(12)]
    x = run(sim, home, 0.3)[-1]
    for body in ("a", "b"):
        np.testing.assert_allclose(total_force(sim, x, body), [0, 0, G], atol=0.01 * G)
    assert abs(x[:14] - home[:14]).max() < 1e-3


def test_a_stack_of_boxes_stands_in_drake():
    box = '<body name="{0}" pos="0 0 {1}"><freejoint/><geom type="box" size="0.1 0.1 0.1" mass="1"/></body>'
    text = f"""<mujoco><worldbody><geom type="plane" size="5 5 1"/>{box.format("low", 0.1)}{box.format("high", 0.3)}
      </worldbody></mujoco>"""
    sim = DrakeSimulator(text, dt=1e-3)
    home = np.r_[0, 0, 0.1, 1, 0, 0, 0, 0, 0, 0.3, 1, 0, 0, 0, np.zeros(12)]
    x = run(sim, home, 0.5)[-1]
    np.testing.assert_allclose(total_force(sim, x, "high"), [0, 0, G], atol=0.01 * G)
    assert abs(x[:14] - home[:14]).max() < 1e-3


@pytest.mark.parametrize(
    "ground, extra, mu",
    [
        (0.3, "", 0.6),
        (0.9, "", 0.9),
        (0.3, 'priority="-1"', 0.3),
        (0.3, 'condim="1"', 0.6),
        (0.2, 'priority="1" condim="1"', 0.0),
    ],
)
def test_pairwise_friction_is_mujocos(ground, extra, mu):
    """A box that slides at 1 m/s is slowed by mu g, whatever the geoms' own values."""
    text = shapes('type="box" size="0.1 0.1 0.05"', 0.05, ground, extra)
    assert [p[2] for p in colliding_pairs(load_model(text))] == [mu]
    x0 = REST.copy()
    x0[7] = 1.0
    x = run(DrakeSimulator(text), x0, 0.1)
    assert 1.0 - x[-1, 7] == pytest.approx(mu * G * 0.1, rel=0.02, abs=1e-3)


PAIRS = """<mujoco><worldbody><geom name="ground" type="plane" size="5 5 1"/>
  <body name="a" pos="0 0 1"><freejoint/><geom name="a" size="0.1"/>
  <geom name="a2" size="0.1" contype="2" conaffinity="4"/>
  <body name="b" pos="0.1 0 0"><joint name="j"/><geom name="b" size="0.1"/>
  <body name="c" pos="0.1 0 0"><joint name="k"/>
  <geom name="c" size="0.1"/></body></body></body>
  <body name="d" pos="0 1 1"><joint name="l"/><geom name="d" size="0.1"/></body>
  </worldbody><contact><exclude body1="c" body2="d"/>
  <pair geom1="a2" geom2="d" friction="0.2 0.2 0 0 0"/></contact></mujoco>"""


def test_collision_filters_are_mujocos():
    m = load_model(PAIRS)
    names = {frozenset((m.geom(a).name, m.geom(b).name)): mu for a, b, mu in colliding_pairs(m)}
    expected = {"ground a", "ground b", "ground c", "ground d", "a c", "a d", "b d", "a2 d"}
    assert set(names) == {frozenset(pair.split()) for pair in expected}
    assert names[frozenset(("a2", "d"))] == 0.2


@pytest.mark.parametrize("rule", ['<option><flag filterparent="disable"/></option>', "pair"])
def test_parent_and_child_touch_in_drake_where_the_model_says_so(rule):
    pair = '<contact><pair geom1="a" geom2="b"/></contact>' if rule == "pair" else rule
    text = """<mujoco><worldbody><body name="one" pos="0 0 1"><freejoint/><geom name="a" size="0.1" mass="1"/>
      <body name="two" pos="0.15 0 0"><joint name="j" axis="0 0 1" pos="-0.3 0 0"/>
      <geom name="b" size="0.1" mass="1"/></body>
      </body></worldbody>{}</mujoco>"""
    x = np.r_[0, 0, 1, 1, 0, 0, 0, 0, np.zeros(7)]
    assert DrakeSimulator(text.format("")).contacts(x, []) == []
    touching = DrakeSimulator(text.format(pair)).contacts(x, [])
    assert {(c.body_a, c.body_b) for c in touching} <= {("one", "two"), ("two", "one")} and touching


@pytest.mark.parametrize("name", ["quadruped", "humanoid", "ballbot"])
def test_drake_touches_what_mujoco_touches(name, rng):
    """Bodies in contact at random states near the ground, deeper than a millimetre in either engine."""
    drake, oracle = DrakeSimulator(MODELS[name]), MujocoSimulator(MODELS[name])
    home = np.concatenate([oracle.model.qpos0, np.zeros(oracle.model.nv)])
    seen = 0
    for _ in range(8):
        step = 0.3 * rng.standard_normal(oracle.ndx)
        step[oracle.model.nv :] = 0.0
        x = oracle.integrate(home, step)
        data = mujoco.MjData(oracle.model)
        data.qpos[:] = x[: oracle.model.nq]
        mujoco.mj_forward(oracle.model, data)
        body = lambda geom: oracle.model.body(int(oracle.model.geom_bodyid[geom])).name  # noqa: E731
        deep = {frozenset(body(g) for g in c.geom) for c in data.contact if c.dist < -1e-3}
        every = {frozenset(body(g) for g in c.geom) for c in data.contact if c.dist < 1e-3}
        ours = {frozenset((c.body_a, c.body_b)) for c in drake.contacts(x, np.zeros(drake.nu))}
        assert deep <= ours <= every
        seen += len(deep)
    assert seen  # else the law says nothing
