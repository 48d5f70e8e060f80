"""A plan that does not exist: which of my own constraints conflict, where, and what is the cheapest repair?"""

import numpy as np

from controllers.collocation import Collocation, Problem
from controllers.constraint import input_limits
from controllers.cost import quadratic
from controllers.explain import explain, relax
from sims.plants import Pendulum

upright = np.array([np.pi, 0.0])
motor = input_limits([-2.0], [2.0], label="torque limit of the motor", unit="N m")
problem = Problem(
    system=Pendulum(),
    duration=(0.5, 1.5),
    cost=quadratic(np.zeros(2), [1.0], x_goal=upright),
    x_goal=upright,
    knots=41,
    constraints=(motor,),
)
planner = Collocation(problem)
plan = planner.plan([0, 0])
print(f"{plan.status}: {plan.message}\n")

why = explain(planner, [0, 0])
print(why)
assert not plan.ok and "torque limit of the motor" in why.conflict

repair = why.cheapest
assert repair is not None
plan = relax(planner, repair).plan([0, 0], repair.answer)
print(f"\nWith '{repair}' the plan takes {plan.trajectory.t[-1]:.2f} s: {plan.status}")
assert plan.ok
