"""Differential flatness: a planar quadrotor flies a figure eight with inputs computed from the path's derivatives."""

import numpy as np

from controllers.flatness import PlanarQuadrotorTracking, planar_quadrotor_flat
from controllers.reference import Sinusoid
from sims import OdeSimulator, simulate
from sims.plants import PlanarQuadrotor

plant = PlanarQuadrotor()
path = Sinusoid(offset=0.0, amplitude=(1.0, 0.5), omega=(1.0, 2.0), phase=(0.0, np.pi / 2))
x0, _ = planar_quadrotor_flat(plant, path.derivatives(0.0, 4))
run = simulate(OdeSimulator(plant, dt=1e-3), PlanarQuadrotorTracking(plant, path), x0, duration=2 * np.pi)
wanted = np.array([path(t)[0] for t in run.t])
error = abs(run.x[:, :2] - wanted).max()
print(f"largest distance from the path in {run.t[-1]:.2f} s: {1e6 * error:.1f} um")
assert error < 1e-3
