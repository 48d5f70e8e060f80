"""Push a block to a goal with a finger: sampling MPC through contact, on batched MuJoCo rollouts."""

import numpy as np

from controllers import MPC, PredictiveSampling, SamplingPlanner, from_function
from sims import MujocoSimulator, models, simulate

goal = np.array([0.3, 0.2])
sim = MujocoSimulator(models.block_push, dt=0.01)  # x = [block pose (7), finger (2), block velocity (6), finger's (2)]


def stage(x, u):
    """The block's distance to the goal, the finger's to the place behind the block, and a little for the force."""
    away = x[..., :2] - goal
    distance = np.sqrt((away**2).sum(-1) + 1e-6)
    behind = x[..., 7:9] - x[..., :2] - 0.09 * away / distance[..., None]
    return 20 * distance + 2 * np.sqrt((behind**2).sum(-1) + 1e-4) + 0.01 * (u**2).sum(-1)


def end(x):
    return 20 * np.sqrt(((x[..., :2] - goal) ** 2).sum(-1) + 1e-6)


planner = SamplingPlanner(sim, from_function(stage, terminal=end), PredictiveSampling(64, std=3.0), T=60, knots=6)
mpc = MPC(planner, period=0.04)
start = np.r_[0, 0, 0.05, 1, 0, 0, 0, -0.2, 0, np.zeros(8)]
run = simulate(sim, mpc, start, 2.5)
left = np.linalg.norm(run.x[:, :2] - goal, axis=1)
print(f"the block is {1000 * left[-1]:.0f} mm from the goal, {1000 * left[0]:.0f} mm before")
print(mpc.summary)
assert left[-1] < 0.03
