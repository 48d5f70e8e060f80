"""A block on the ground: what MuJoCo and Drake say the contact force is, beside its weight."""

import numpy as np

from sims import DrakeSimulator, MujocoSimulator, models, simulate

for Simulator in (MujocoSimulator, DrakeSimulator):
    sim = Simulator(models.block, dt=1e-3)
    x0 = np.zeros(sim.nx)
    x0[[2, 3]] = 0.05, 1.0  # half the block's height above the ground, quaternion 1
    nothing = np.zeros(sim.nu)
    run = simulate(sim, lambda x, t, u=nothing: u, x0, duration=1.0)
    force = sum(contact.f_W for contact in sim.contacts(run.x[-1], nothing))
    weight = 1.0 * 9.81
    print(f"{sim.backend}: {np.linalg.norm(force):.4f} N of contact for {weight:.4f} N of weight")
    assert abs(np.linalg.norm(force) - weight) < 0.01 * weight
