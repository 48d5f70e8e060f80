"""Laws for the edges of every simulator: no inputs, huge numbers, careless policies, watchers that write."""

import numpy as np
import pytest

from sims import OdeSimulator, simulate
from sims.parity import parity
from sims.plants import PlanarQuadrotor
from sims.trajectory import Failure, Trajectory

pytest.importorskip("mujoco", reason="these laws compare MuJoCo with Drake")
pytest.importorskip("pydrake", reason="these laws compare MuJoCo with Drake")
from sims import DrakeSimulator, ModelError, MujocoSimulator, SimulationDiverged

BOX = '<body name="f"><freejoint/><geom type="box" size=".1 .2 .3" mass="1"/></body>'
PENDULUM = '<body><joint name="a" axis="0 1 0" {}/><geom size=".1" pos="0 0 -.5" mass="1"/></body>'
WORLD = "<mujoco><worldbody>{}</worldbody></mujoco>"
ENGINES = (MujocoSimulator, DrakeSimulator)
UPRIGHT, FAST = [0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 1e200, 2e200, 3e200]


@pytest.mark.parametrize("Engine", ENGINES)
def test_a_diverging_run_without_inputs_is_a_result(Engine):
    sim, x0 = Engine(WORLD.format(BOX)), np.array([*UPRIGHT, *FAST])
    with pytest.raises(SimulationDiverged, match="f\\."):
        sim.step(x0, [])
    assert sim.rollout(x0, np.zeros((3, 0))).status == "diverged"
    both = sim.rollout(np.stack([x0, [*UPRIGHT, *[0] * 6]]), np.zeros((3, 0)))
    assert both.status == "diverged" and np.isfinite(both.x[1]).all()
    assert simulate(sim, lambda x, t: [], x0, 0.01).failure.u.shape == (0,)


@pytest.mark.parametrize("Engine", ENGINES)
@pytest.mark.parametrize("size", [0.0, 1e-200, 1e200])
def test_a_quaternion_that_is_no_rotation_is_refused_by_name(Engine, size):
    x = np.array([0, 0, 0, size, 0, 0, 0, *[0] * 6])
    sim = Engine(WORLD.format(BOX))
    for call in (lambda: sim.step(x, []), lambda: sim.body_poses(x)):
        with pytest.raises(ValueError, match=r"quaternion from 'f\.qw'"):
            call()


def _simulators():
    return [OdeSimulator(PlanarQuadrotor(), dt=0.01), *(Engine("acrobot", dt=0.01) for Engine in ENGINES)]


@pytest.mark.parametrize("batch", [(), (2,)])
def test_what_is_no_input_is_refused_and_what_is_huge_is_not_a_crash(batch):
    for sim in _simulators():
        x0 = np.zeros((*batch, sim.nx))
        for wrong in (None, "a", 1j, {}):
            with pytest.raises(ValueError, match="must return real numbers"):
                simulate(sim, lambda x, t, wrong=wrong: wrong, x0, 0.1)
        with np.errstate(over="ignore"):
            run = simulate(sim, lambda x, t, nu=sim.nu: [1e308] * nu, x0, 0.05)
        assert (run.failure is None) == (run.status == "ok")


@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_monitor_only_watches(batch):
    def spoil(t, x, u):
        x[:], u[:] = 7.0, 3.0

    for sim in _simulators():
        x0 = np.full((*batch, sim.nx), 0.1)
        alone = simulate(sim, lambda x, t: 0.1, x0, 0.05)
        watched = simulate(sim, lambda x, t: 0.1, x0, 0.05, monitor=spoil)
        np.testing.assert_array_equal(watched.x, alone.x)
        np.testing.assert_array_equal(watched.u, alone.u)


def test_a_spring_and_a_damper_on_one_joint_count_once_each():
    model = WORLD.format(PENDULUM.format('damping="0.2" stiffness="3"'))
    report = parity(model, n=3, allow="stiffness")
    assert report.ok, report.table()


@pytest.mark.parametrize("feature", ["damping", "stiffness"])
def test_negative_springs_and_dampers_are_refused_in_drake(feature):
    model = WORLD.format(PENDULUM.format(f'{feature}="-1"'))
    with pytest.raises(ModelError, match=f"{feature}: negative.*: a"):
        DrakeSimulator(model)
    assert feature in DrakeSimulator(model, allow=feature).omissions[0]


def test_a_diverging_continuous_plant_gives_up():
    model = WORLD.format(PENDULUM.format("")).replace(
        "</worldbody>", '</worldbody><actuator><motor joint="a"/></actuator>'
    )
    sim = DrakeSimulator(model, dt=0.01, integrator="runge_kutta3")
    assert simulate(sim, lambda x, t: 1e3 * x[1:], [0, 1], 0.2).status == "diverged"
    assert sim.rollout([0, 0], np.full((2, 1), 1e308)).status == "diverged"
    free = DrakeSimulator(WORLD.format(BOX), integrator="runge_kutta3")
    with pytest.raises(SimulationDiverged):
        free.step([*UPRIGHT, 0, 0, 0, *[1.7e308] * 3], [])


TWO = """<mujoco><option timestep="0.001"/><worldbody><body name="a"><joint name="a" axis="0 1 0" damping="1"/>
  <geom size=".05" pos="0 0 -.3" mass="1"/><body name="b" pos="0 0 -.5"><joint name="b" axis="0 1 0" damping="1"/>
  <geom size=".05" pos="0 0 -.3" mass="1"/></body></body></worldbody><equality>{}</equality></mujoco>"""
TO_WORLD = (
    '<connect body1="b" anchor="0 0 -.3"/>',
    '<connect body1="world" body2="b" anchor="0 0 -.8"/>',
    '<weld body1="b"/>',
)


@pytest.mark.parametrize("equality", TO_WORLD)
def test_what_is_tied_to_the_world_stays_there(equality):
    for Engine in ENGINES:
        x = Engine(TWO.format(equality), contact=False).rollout([0.02, 0.05, 0, 0], np.zeros((2000, 0))).x[-1]
        assert abs(x[:2]).max() < 1e-2


@pytest.mark.parametrize("equality", [*TO_WORLD, '<joint joint1="a" joint2="b" polycoef="0 -1 0 0 0"/>'])
def test_parity_compares_without_constraints_in_both_engines(equality):
    report = parity(TWO.format(equality), n=3)
    assert report.ok, report.table()


def test_parity_of_a_model_the_engines_read_differently_names_what_differs():
    inertia = '<inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>'
    link = '<link name="{0}">' + inertia + "</link>"
    report = parity(
        f"""<robot name="r"><link name="world"/>{link.format("one")}{link.format("tool")}
        <joint name="j" type="continuous"><parent link="world"/><child link="one"/><axis xyz="0 1 0"/></joint>
        <joint name="f" type="fixed"><parent link="one"/><child link="tool"/></joint></robot>"""
    )
    assert [row.quantity for row in report.rows if not row.ok] == ["bodies"]


@pytest.mark.parametrize("kind", [Trajectory, Failure])
def test_a_truncated_file_is_refused_by_name(kind, tmp_path):
    sim, path = MujocoSimulator("acrobot"), tmp_path / "run"
    run = simulate(sim, lambda x, t: [np.nan if t else 0.0], np.zeros(4), 0.1)
    whole = (run if kind is Trajectory else run.failure).save(path).read_bytes()
    again = kind.load(path)
    np.testing.assert_array_equal(again.x, run.x if kind is Trajectory else run.failure.x)
    for size in (0, 20, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="run: not a"):
            kind.load(path)


def test_models_nested_in_an_sdf_may_repeat_names():
    inner = '<model name="{0}"><link name="k"/><joint name="j" type="revolute"><parent>world</parent><child>k</child>'
    inner += "<axis><xyz>0 1 0</xyz></axis></joint></model>"
    models = inner.format("one") + inner.format("two")
    sim = DrakeSimulator(f'<sdf version="1.8"><model name="m">{models}</model></sdf>')
    for names in (sim.body_names, sim.u_names, sim.x_names):
        assert len(names) == len(set(names)) > 1
    assert sim.body_names == ("m::one.k", "m::two.k")


def test_a_pair_with_two_coefficients_is_listed_in_drake():
    ground, pair = '<geom name="g" type="plane" size="1 1 1"/>', '<pair name="p" geom1="g" geom2="box" friction="{}"/>'
    model = WORLD.format(ground + BOX.replace("<geom", '<geom name="box"')).replace(
        "</mujoco>", "<contact>{}</contact></mujoco>"
    )
    for friction, listed in (("0.4", True), ("0.4 0.4", False)):
        omissions = DrakeSimulator(model.format(pair.format(friction))).omissions
        assert any(text.endswith("the first: p") for text in omissions) == listed
