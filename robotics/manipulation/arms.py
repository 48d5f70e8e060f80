"""Arms that go to a posture and stay there: joint-space control with torques."""

from collections.abc import Callable

import numpy as np

from robotics.backends import drake, mujoco
from robotics.cost import quadratic
from robotics.policies import gravity_pd, inverse_dynamics, random, zero
from robotics.starts import around
from robotics.task import Golden, Reached, Task

# torque limits [N m] of the models' motors, from the makers' data sheets (see docs/models.md)
IIWA14_TORQUE = (320.0, 320.0, 176.0, 176.0, 110.0, 40.0, 40.0)
IIWA14_HOME = (0.0, 0.6, 0.0, -1.75, 0.0, 0.8, 0.0)
UR5E_TORQUE = (150.0, 150.0, 150.0, 28.0, 28.0, 28.0)
UR5E_HOME = (0.0, -np.pi / 2, np.pi / 2, -np.pi / 2, -np.pi / 2, 0.0)


def iiwa14() -> Task:
    """KUKA LBR iiwa 14: reach a bent posture from up to 0.5 rad away in every joint, and hold it."""
    return _reach("iiwa14", "KUKA LBR iiwa 14 (7 joints)", IIWA14_HOME, IIWA14_TORQUE)


def ur5e() -> Task:
    """Universal Robots UR5e: reach a bent posture from up to 0.5 rad away in every joint, and hold it."""
    return _reach("ur5e", "UR5e (6 joints)", UR5E_HOME, UR5E_TORQUE)


def _reach(model: str, what: str, home: tuple[float, ...], torque: tuple[float, ...]) -> Task:
    n = len(home)
    x_goal = np.array([*home, *np.zeros(n)])
    spread = np.repeat([0.5, 0.1], n)
    controllers: dict[str, Callable] = {
        "inverse_dynamics": inverse_dynamics(natural_frequency=8.0),
        "pd_gravity": gravity_pd(np.array(torque) * 2.0, np.array(torque) * 0.5),
        "zero": zero,
        "random": random,
    }
    return Task(
        name=model,
        description=f"{what}: reach a posture and hold it",
        simulators={
            "mujoco": mujoco(model, integrator="implicitfast"),
            "drake": drake(model, integrator="discrete"),
        },
        controllers=controllers,
        cost=quadratic([10.0] * n + [1.0] * n, [1e-4] * n, x_goal=x_goal),
        dt=0.002,
        duration=4.0,
        start=around(x_goal, spread),
        success=Reached(x_goal, np.full(2 * n, 0.02)),
        x_goal=x_goal,
        u_min=-np.array(torque),
        u_max=np.array(torque),
        hold=10,
        golden=Golden("inverse_dynamics", duration=1.0, tolerance=1e-5),
    )
