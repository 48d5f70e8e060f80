"""The same swing-up controller on the acrobot in closed form, in MuJoCo and in Drake, from hanging at rest."""

import numpy as np

from controllers.energy import acrobot_swing_up
from sims import DrakeSimulator, MujocoSimulator, OdeSimulator, models, simulate

controller = acrobot_swing_up()  # energy shaping, then LQR; 20 N m at the elbow
simulators = [
    OdeSimulator(controller.swing_up.plant, dt=2e-3),
    MujocoSimulator(models.acrobot, dt=2e-3),
    DrakeSimulator(models.acrobot, dt=2e-3),
]
for sim in simulators:
    run = simulate(sim, controller, np.zeros(4), 10.0)
    error = np.abs(controller.error(run.x)[:, :2]).max(axis=-1)
    upright = run.t[np.flatnonzero(error > 0.1)[-1] + 1]
    print(f"{sim.backend}: upright after {upright:.2f} s, |angle error| at the end {error[-1]:.1e} rad")
    assert upright < 8.0 and np.abs(run.u).max() <= 20.0
