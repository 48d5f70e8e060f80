"""Plan a cart-pole swing-up by collocation, track it by time-varying LQR in MuJoCo, and ask for the impossible."""

import numpy as np

from controllers import quadratic, tvlqr
from controllers.collocation import Collocation, Problem
from controllers.tvlqr import on_grid
from sims import MujocoSimulator, models, simulate
from sims.plants import CartPole

upright = np.array([0, np.pi, 0, 0])
problem = Problem(
    system=CartPole(force_limit=100.0),
    cost=quadratic(np.zeros(4), [1.0], x_goal=upright),
    time_cost=1000.0,  # each second is worth 1000 N^2 s of effort
    duration=(1.0, 6.0),
    x_goal=upright,
    x_min=[-1.0, -np.inf, -np.inf, -np.inf],
    x_max=[1.0, np.inf, np.inf, np.inf],
)
plan = Collocation(problem).plan(np.zeros(4))
print(
    f"{plan.status}: {plan.trajectory.t[-1]:.2f} s, cost {plan.cost:.0f}, {plan.seconds * 1e3:.0f} ms; {plan.message}"
)

sim = MujocoSimulator(models.cartpole, dt=0.005, integrator="rk4")
track, _ = tvlqr(sim, on_grid(sim, plan.trajectory), Q=np.diag([10, 10, 1, 1]), R=[[1e-3]], Qf=100 * np.eye(4))
start = np.random.default_rng(0).normal(0.0, 0.05, 4)
run = simulate(sim, track, start, plan.trajectory.t[-1])
print(f"tracked in MuJoCo from {np.round(start, 2)}: ends within {np.abs(run.x[-1] - upright).max():.3f} of upright")

short = Problem(system=CartPole(force_limit=10.0), duration=1.0, x_goal=upright, label="one second")
print("in one second with 10 N:", Collocation(short).plan(np.zeros(4)).message)
assert plan.ok and np.abs(run.x[-1] - upright).max() < 0.1
