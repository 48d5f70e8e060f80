"""A thousand cart-poles in one call: which random force sequence comes closest to swinging up?"""

import numpy as np

from sims import OdeSimulator
from sims.plants import CartPole

rng = np.random.default_rng(0)
sim = OdeSimulator(CartPole(force_limit=100.0), dt=0.01, integrator="semi_implicit_euler")
u = np.repeat(rng.uniform(-100, 100, (1024, 10, 1)), 20, axis=1)  # ten pieces of 0.2 s each
run = sim.rollout(np.zeros(4), u)
height = -np.cos(run.x[..., 1])
best = int(height.max(axis=-1).argmax())
print(f"{len(u)} rollouts of {len(run)} steps; the best lifts the pole to {height[best].max():.3f} of its length")
assert run.status == "ok" and height[best].max() > 0.5
