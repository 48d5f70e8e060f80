"""One model, one gain design, two physics engines: balance the acrobot in MuJoCo and in Drake and compare the runs."""

import numpy as np

from controllers import LinearFeedback, dlqr
from sims import DrakeSimulator, MujocoSimulator, models, simulate

upright = np.array([np.pi, 0, 0, 0])
runs = []
for Simulator in (MujocoSimulator, DrakeSimulator):
    sim = Simulator(models.acrobot, dt=1e-3)
    A, B = sim.linearize(upright, np.zeros(1))
    K, S = dlqr(A, B, Q=np.diag([10, 10, 1, 1]), R=np.eye(1))
    run = simulate(sim, LinearFeedback(K, upright), x0=upright + 0.05 * np.array([1, -1, 0, 0]), duration=5.0)
    print(f"{sim.backend}: {abs(run.x[-1] - upright).max():.1e} rad from upright after {run.t[-1]} s")
    runs.append(run)

apart = abs(runs[0].x - runs[1].x).max()
print(f"largest difference between the engines: {apart:.1e}")
assert abs(runs[0].x[-1] - upright).max() < 1e-3 and apart < 1e-4
