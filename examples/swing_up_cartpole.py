"""A hundred cart-poles swing up as one batch: the switch from energy shaping to LQR remembers every row."""

import numpy as np

from controllers.energy import cartpole_swing_up
from sims import OdeSimulator, simulate

controller = cartpole_swing_up()  # 60 N on a 10 kg cart
sim = OdeSimulator(controller.swing_up.plant, dt=2e-3)
x0 = np.random.default_rng(0).uniform(-0.3, 0.3, (100, 4))
run = simulate(sim, controller, x0, 15.0)

error = np.abs(controller.error(run.x))
upright = (error[:, run.t > 13.0, 1] < 0.1).all(axis=1)
print(
    f"{upright.sum()} of {len(x0)} upright; cart within {error[:, -1, 0].max():.3f} m of the middle at the end, "
    f"never further than {error[..., 0].max():.2f} m"
)
assert upright.sum() >= 99 and error[:, -1, 0].max() < 0.05
