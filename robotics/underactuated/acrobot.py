"""Two links with one motor: at the elbow (acrobot) or at the shoulder (pendubot)."""

import numpy as np

from robotics.backends import closed_form, drake, mujoco
from robotics.cost import Wrapped, quadratic
from robotics.policies import lqr, random, zero
from robotics.starts import around
from robotics.task import Golden, Observe, Reached, Task

UPRIGHT = np.array([np.pi, 0.0, 0.0, 0.0])
WRAPPED = Wrapped((0, 1))
COST = quadratic([10.0, 10.0, 1.0, 1.0], [0.1], x_goal=UPRIGHT, qf=[100.0, 100.0, 10.0, 10.0], difference=WRAPPED)


def acrobot(*, torque_limit: float = 20.0) -> Task:
    """Swing both links up with the motor at the elbow, and balance.

    torque_limit [N m]. Source: Tedrake, Underactuated Robotics, chapter 3 (Drake's AcrobotPlant defaults; Spong 1995).
    """
    return Task(
        name="acrobot",
        description="swing both links up with a motor at the elbow and balance",
        simulators={"ode": closed_form("Acrobot"), "mujoco": mujoco("acrobot"), "drake": drake("acrobot")},
        controllers={
            "swing_up": acrobot_swing_up,
            "lqr": lqr([10.0, 10.0, 1.0, 1.0], [1.0]),
            "zero": zero,
            "random": random,
        },
        cost=quadratic(
            [10.0, 10.0, 1.0, 1.0], [0.1], x_goal=UPRIGHT, qf=[100.0, 100.0, 10.0, 10.0], difference=WRAPPED
        ),
        dt=0.005,
        duration=20.0,
        start=around(np.zeros(4), [0.3, 0.3, 0.1, 0.1]),
        success=Reached(UPRIGHT, np.array([0.1, 0.1, 0.2, 0.2]), WRAPPED),
        x_goal=UPRIGHT,
        u_min=np.array([-torque_limit]),
        u_max=np.array([torque_limit]),
        difference=WRAPPED,
        observe=Observe(angles=(0, 1)),
        hold=10,
        golden=Golden("swing_up", duration=3.0, tolerance=1e-5),
    )


def acrobot_swing_up(task: Task, sim):
    """Energy shaping by collocated partial feedback linearisation, then LQR inside a level set of its cost-to-go."""
    from controllers import energy
    from sims.plants.acrobot import Acrobot

    return energy.acrobot_swing_up(Acrobot(torque_limit=float(task.u_max[0])))


def pendubot(*, torque_limit: float = 25.0) -> Task:
    """Swing both links up with the motor at the shoulder, and balance.

    torque_limit [N m]. Source: Spong and Block, "The Pendubot", CDC 1995; links as the acrobot's.
    """
    return Task(
        name="pendubot",
        description="swing both links up with a motor at the shoulder and balance",
        simulators={"ode": closed_form("Pendubot"), "mujoco": mujoco("pendubot"), "drake": drake("pendubot")},
        controllers={
            "swing_up": pendubot_swing_up,
            "lqr": lqr([10.0, 10.0, 1.0, 1.0], [1.0]),
            "zero": zero,
            "random": random,
        },
        cost=quadratic(
            [10.0, 10.0, 1.0, 1.0], [0.1], x_goal=UPRIGHT, qf=[100.0, 100.0, 10.0, 10.0], difference=WRAPPED
        ),
        dt=0.005,
        duration=20.0,
        start=around(np.zeros(4), [0.3, 0.3, 0.1, 0.1]),
        success=Reached(UPRIGHT, np.array([0.1, 0.1, 0.2, 0.2]), WRAPPED),
        x_goal=UPRIGHT,
        u_min=np.array([-torque_limit]),
        u_max=np.array([torque_limit]),
        difference=WRAPPED,
        observe=Observe(angles=(0, 1)),
        hold=10,
        golden=Golden("swing_up", duration=3.0, tolerance=1e-5),
    )


def pendubot_swing_up(task: Task, sim):
    """Energy shaping by collocated partial feedback linearisation, then LQR inside a level set of its cost-to-go."""
    from controllers import energy
    from sims.plants.pendubot import Pendubot

    return energy.pendubot_swing_up(Pendubot(torque_limit=float(task.u_max[0])))
