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
    return _two_links("acrobot", "Acrobot", "elbow", torque_limit)


def pendubot(*, torque_limit: float = 25.0) -> Task:
    """Swing both links up with the motor at the shoulder, and balance.

    torque_limit [N m]. Source: Spong and Block, "The Pendubot", CDC 1995; links as the acrobot's.
    """
    return _two_links("pendubot", "Pendubot", "shoulder", torque_limit)


def _two_links(name: str, plant: str, motor: str, torque_limit: float) -> Task:
    return Task(
        name=name,
        description=f"swing both links up with a motor at the {motor} and balance",
        simulators={"ode": closed_form(plant), "mujoco": mujoco(name), "drake": drake(name)},
        controllers={
            "swing_up": swing_up,
            "lqr": lqr([10.0, 10.0, 1.0, 1.0], [1.0]),
            "zero": zero,
            "random": random,
        },
        cost=COST,
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


def swing_up(task: Task, sim):
    """Energy shaping by collocated partial feedback linearisation, then LQR inside a level set of its cost-to-go."""
    from controllers import energy
    from sims import plants

    limit = float(task.u_max[0])
    if task.name == "acrobot":
        return energy.acrobot_swing_up(plants.Acrobot(torque_limit=limit))
    return energy.pendubot_swing_up(plants.Pendubot(torque_limit=limit))
