"""The simple pendulum: swing up under a torque limit and stay."""

import numpy as np

from robotics.backends import closed_form, drake, mujoco
from robotics.cost import Wrapped, quadratic
from robotics.policies import lqr, random, zero
from robotics.starts import around
from robotics.task import Golden, Observe, Reached, Task


def pendulum(*, torque_limit: float = 3.0) -> Task:
    """Swing up from hanging with 3 N m, less than the 4.9 N m that hold the rod level, and balance.

    torque_limit [N m]. Source: Tedrake, Underactuated Robotics, chapter 2 (Drake's PendulumPlant defaults).
    """
    x_goal, difference = np.array([np.pi, 0.0]), Wrapped((0,))
    return Task(
        name="pendulum",
        description=f"swing up from hanging with {torque_limit:g} N m and balance",
        simulators={"ode": closed_form("Pendulum"), "mujoco": mujoco("pendulum"), "drake": drake("pendulum")},
        controllers={"swing_up": swing_up, "lqr": lqr([10.0, 1.0], [1.0]), "zero": zero, "random": random},
        cost=quadratic([10.0, 1.0], [1.0], x_goal=x_goal, qf=[100.0, 10.0], difference=difference),
        dt=0.005,
        duration=10.0,
        start=around(np.zeros(2), 0.3),
        success=Reached(x_goal, np.array([0.1, 0.1]), difference),
        x_goal=x_goal,
        u_min=np.array([-torque_limit]),
        u_max=np.array([torque_limit]),
        difference=difference,
        observe=Observe(angles=(0,)),
        hold=10,
        golden=Golden("swing_up", duration=5.0),
    )


def swing_up(task: Task, sim):
    """Energy shaping, then LQR inside a level set of its cost-to-go."""
    from controllers.energy import pendulum_swing_up
    from sims.plants.pendulum import Pendulum

    return pendulum_swing_up(Pendulum(torque_limit=float(task.u_max[0])))
