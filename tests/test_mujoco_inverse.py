"""Closed-form derivatives of MuJoCo steps against MuJoCo's own differences."""

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco")

from sims import MujocoSimulator, models  # noqa: E402
from sims.mujoco_inverse import StepDerivatives, eligible  # noqa: E402
from sims.mujoco_model import load_model  # noqa: E402

TREE = """
<mujoco><option timestep="0.01" gravity="0.3 -0.2 -9.81"><flag contact="disable"/></option><worldbody>
  <body pos="0.1 0 0.2" euler="20 0 30"><joint name="a" type="slide" axis="0.6 0 0.8"/>
    <geom type="box" size=".1 .2 .05" pos=".1 0 0"/>
    <body pos="0 .3 0" euler="0 40 0"><geom type="sphere" size=".08" pos="0 0 .1"/>
      <body pos=".2 0 .1"><joint name="b" axis="0 1 0" pos=".05 .02 0" ref="20"/><geom type="capsule" size=".03 .2"/>
        <body pos="0 0 .3"><joint name="c" axis="1 0 0" armature=".1"/>
          <geom type="box" size=".05 .1 .02" pos="0 .1 0"/></body>
      </body>
      <body pos="-.2 .1 0" euler="10 20 30"><joint name="d" axis="0 .6 -.8" pos="0 0 .1"/>
        <geom type="capsule" size=".02 .1" pos=".1 0 0"/></body>
    </body>
  </body></worldbody>
  <actuator><motor joint="c" gear="3"/><motor joint="a"/><motor joint="d" gear="-2"/></actuator></mujoco>
"""


def arm(model: str):
    m = load_model(getattr(models, model), dt=0.01, integrator="euler", contact=False, limits=False)
    for values in (m.dof_damping, m.dof_frictionloss, m.jnt_stiffness):
        values[:] = 0.0
    return m


def made(name: str):
    return mujoco.MjModel.from_xml_string(TREE) if name == "tree" else arm(name)


@pytest.mark.parametrize("name", ["tree", "iiwa14", "ur5e", "cartpole", "acrobot"])
def test_derivatives_are_those_of_mujocos_own_steps(name, rng):
    m = made(name)
    assert eligible(m)
    sim = MujocoSimulator(m, contact=False, limits=False)
    x, u = 0.7 * rng.normal(size=(6, sim.nx)), 2.0 * rng.normal(size=(6, sim.nu))
    A, B = StepDerivatives(m)(x, sim.step(x, u))
    wanted = sim.linearize(x, u)
    np.testing.assert_allclose(A, wanted[0], atol=1e-6 * np.abs(wanted[0]).max() + 1e-5)
    np.testing.assert_allclose(B, wanted[1], atol=1e-6 * np.abs(wanted[1]).max() + 1e-8)


def test_what_else_acts_is_not_in_them():
    for change in ("dof_damping", "jnt_stiffness", "body_gravcomp", "jnt_actfrclimited"):
        m = arm("iiwa14")
        getattr(m, change)[:] = 1
        assert not eligible(m), change
    assert not eligible(load_model(models.iiwa14, dt=0.01, integrator="implicitfast", contact=False, limits=False))
    for model in ("quadrotor", "quadruped", "block_push"):
        assert not eligible(load_model(getattr(models, model)))
