"""Small robots, one for every kind of joint and actuator, for the tests of the MuJoCo simulator."""

import mujoco
import numpy as np

from sims import MujocoSimulator
from sims.models import MODELS

EARTH = '<option timestep="0.002"/>'
PENDULUM = f"""<mujoco>{EARTH}<worldbody><body><joint name="shoulder" axis="0 -1 0"/>
  <geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.02" mass="1"/></body></worldbody>
  <actuator><motor name="torque" joint="shoulder" ctrllimited="true" ctrlrange="-2 3"/></actuator></mujoco>"""
CARTPOLE = f"""<mujoco>{EARTH}<worldbody><body><joint name="x" type="slide" axis="1 0 0" damping="0.1"/>
  <geom type="box" size="0.1 0.1 0.1" mass="1"/><body><joint name="theta" axis="0 -1 0"/>
  <geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.02" mass="0.3"/></body></body></worldbody>
  <actuator><motor name="force" joint="x" gear="3"/></actuator></mujoco>"""
FREE = f"""<mujoco>{EARTH}<worldbody><body name="drone" pos="0 0 1"><freejoint name="base"/>
  <geom type="box" size="0.1 0.2 0.03" mass="0.7"/><site name="rotor" pos="0.1 0.05 0"/></body></worldbody>
  <actuator><motor name="thrust" site="rotor" gear="0 0 1 0 0 0.1"/></actuator></mujoco>"""
BALL = f"""<mujoco>{EARTH}<worldbody><body name="upper"><joint name="ball" type="ball" damping="0.02"/>
  <geom type="capsule" fromto="0 0 0 0.1 0 -0.5" size="0.02" mass="1"/><body pos="0.1 0 -0.5">
  <joint name="elbow" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0.1 -0.3" size="0.02" mass="0.5"/></body>
  </body></worldbody><actuator><motor name="bend" joint="elbow"/></actuator></mujoco>"""
ARM = f"""<mujoco>{EARTH}<default><joint damping="0.3" armature="0.02"/></default><worldbody>
  <body name="one"><joint name="j1" axis="0 0 1"/><geom type="capsule" fromto="0 0 0 0 0 0.3" size="0.04" mass="3"/>
  <body name="two" pos="0 0 0.3"><joint name="j2" axis="0 1 0"/>
  <geom type="capsule" fromto="0 0 0 0 0 0.4" size="0.03" mass="2"/>
  <body name="three" pos="0 0 0.4"><joint name="j3" axis="0 1 0" stiffness="2"/>
  <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.03" mass="1"/></body></body></body></worldbody>
  <actuator><motor name="m1" joint="j1"/><motor name="m2" joint="j2"/>
  <position name="p3" joint="j3" kp="20" ctrllimited="true" ctrlrange="-1 1"/></actuator></mujoco>"""
MUSCLE = f"""<mujoco>{EARTH}<worldbody><body><joint name="j" axis="0 1 0" damping="0.1"/>
  <geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.02" mass="1"/></body></worldbody><actuator>
  <general name="lag" joint="j" dyntype="filter" dynprm="0.05" gainprm="4"/><motor name="direct" joint="j"/>
  <intvelocity name="integrated" joint="j" kp="5" actrange="-1 1"/></actuator></mujoco>"""
CONTACT = f"""<mujoco>{EARTH}<worldbody><geom name="floor" type="plane" size="2 2 0.1"/>
  <body name="block" pos="0 0 0.1"><freejoint name="block"/><geom type="box" size="0.1 0.1 0.1" mass="2"/></body>
  <body name="ram" pos="-0.4 0 0.1"><joint name="ram" type="slide" axis="1 0 0" damping="1"/>
  <geom type="sphere" size="0.05" mass="0.5"/></body></worldbody>
  <actuator><motor name="push" joint="ram"/></actuator></mujoco>"""
SMOOTH = {"pendulum": PENDULUM, "cartpole": CARTPOLE, "free": FREE, "ball": BALL, "arm": ARM, "activation": MUSCLE}
ALL = {**SMOOTH, "contact": CONTACT}
UNSTABLE = PENDULUM.replace('axis="0 -1 0"', 'axis="0 -1 0" stiffness="-1e5" springref="40"')


def make(name: str, **options) -> MujocoSimulator:
    return MujocoSimulator(ALL.get(name) or MODELS[name], **options)


def random_state(sim: MujocoSimulator, rng, scale: float = 0.3) -> np.ndarray:
    return sim.integrate(home(sim), scale * rng.standard_normal(sim.ndx))


def unconstrained(name: str) -> MujocoSimulator:
    """The model without contact and limits; frictionloss and equalities are constraints as well."""
    sim = make(name, contact=False, limits=False)
    sim.model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONSTRAINT)
    return sim


def home(sim: MujocoSimulator) -> np.ndarray:
    data = mujoco.MjData(sim.model)
    return np.concatenate([data.qpos, data.qvel, data.act])
