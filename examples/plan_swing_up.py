"""Plan a cart-pole swing-up with a force limit, then follow the plan from a start that is a little off."""

import numpy as np

from controllers import ILQR, TimeVaryingFeedback, quadratic
from sims import OdeSimulator, simulate
from sims.plants import CartPole

sim = OdeSimulator(CartPole(force_limit=50.0), dt=0.02)
upright = np.array([0.0, np.pi, 0.0, 0.0])
cost = quadratic([1, 1, 0.1, 0.1], [0.01], x_goal=upright, qf=[1000, 1000, 100, 100])
plan = ILQR(sim, cost, 150).plan(np.zeros(4))
print(f"{plan.status}: {plan.message}; cost {plan.cost:.2f} after {1e3 * plan.seconds:.0f} ms")

run = plan.trajectory
track = TimeVaryingFeedback(run.t, run.x, run.u, plan.K)
away = simulate(sim, track, x0=np.array([0.02, 0.05, 0.0, 0.0]), duration=3.0)
print(f"largest force {np.abs(away.u).max():.1f} N, upright to {np.abs(away.x[-1] - upright).max():.3f}")
assert plan.ok and np.abs(away.x[-1] - upright).max() < 0.05
