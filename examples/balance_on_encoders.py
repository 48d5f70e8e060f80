"""LQG: an acrobot balanced by its joint encoders alone, velocities estimated, in MuJoCo and in Drake."""

import numpy as np

from controllers import lqg
from sims import DrakeSimulator, MujocoSimulator, models, simulate

upright = np.array([np.pi, 0, 0, 0])
W, V = np.diag([1e-12, 1e-12, 1e-8, 1e-8]), 1e-8 * np.eye(2)  # one step's disturbance; encoders good to 1e-4 rad


def encoders(x, u):
    return x[..., :2]


def balance(sim):
    """The run from 0.01 rad off upright, where the filter believes to be, and its velocity estimates."""
    controller = lqg(sim, upright, 0.0, np.diag([10, 10, 1, 1]), np.eye(1), encoders, W=W, V=V, seed=0)
    velocities = []
    x0 = upright + np.array([0.01, -0.01, 0, 0])
    run = simulate(sim, controller, x0, 10.0, monitor=lambda t, x, u: velocities.append(controller.estimate.x[2:]))
    return run, np.array(velocities)


for Simulator in (MujocoSimulator, DrakeSimulator):
    sim = Simulator(models.acrobot, dt=5e-3)
    run, velocities = balance(sim)
    lean = abs(run.x[-200:] - upright)[:, :2].max()
    error = np.std(velocities[1000:] - run.x[1000:-1, 2:])
    differenced = np.sqrt(2) * 1e-4 / sim.dt
    print(
        f"{sim.backend}: at most {lean:.1e} rad from upright in the last second; velocities known to {error:.1e} rad/s "
        f"(differences of the encoders: {differenced:.1e})"
    )
    assert lean < 0.01 and error < 0.3 * differenced
