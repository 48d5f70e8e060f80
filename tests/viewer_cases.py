"""Small simulators and runs that several viewer tests draw."""

import numpy as np
import pytest

from sims import OdeSimulator, Trajectory, models, plants, simulate

SDF = """<sdf version="1.9"><model name="m"><pose>0 0 0.5 0 0 0</pose><link name="base"><visual name="v"><geometry><box>
<size>0.2 0.3 0.4</size></box></geometry></visual></link><link name="arm"><pose>0 0 0.4 0 0 0</pose><visual name="v">
<pose>0 0 0.2 0 0 0</pose><geometry><cylinder><radius>0.05</radius><length>0.4</length></cylinder></geometry></visual>
</link><joint name="j" type="revolute"><parent>base</parent><child>arm</child><axis><xyz>0 1 0</xyz><limit><lower>-1
</lower><upper>2</upper></limit></axis></joint></model></sdf>"""


def pendulum(dt: float = 0.01) -> OdeSimulator:
    return OdeSimulator(plants.Pendulum(), dt=dt)


def swing(sim, duration: float = 2.0) -> Trajectory:
    return simulate(sim, lambda x, t: np.zeros(sim.nu), np.array([2.0, 0.0]), duration)


def mujoco_sim(name: str):
    pytest.importorskip("mujoco", reason="pip install mujoco")
    from sims import MujocoSimulator

    return MujocoSimulator(models.MODELS[name])


def arm_run(sim, duration: float) -> Trajectory:
    """A smooth motion of all joints; no dynamics, which the film does not care about."""
    t = np.arange(round(duration / 1e-3) + 1) * 1e-3
    q = 0.9 * np.sin(t[:, None] * np.arange(1, 8) * 0.5)
    return Trajectory(t, np.hstack([q, 0 * q]), np.zeros((len(t) - 1, sim.nu)))
