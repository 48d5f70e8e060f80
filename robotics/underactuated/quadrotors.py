"""Quadrotors in the plane and in space: hover by LQR, fly to a point by differential flatness."""

import numpy as np

from robotics.backends import closed_form, drake, mujoco
from robotics.cost import Wrapped, quadratic
from robotics.policies import constant, lqr, random
from robotics.starts import around
from robotics.task import Golden, Observe, Reached, Task


def planar_quadrotor(*, thrust_limit: float = 7.5) -> Task:
    """Come to rest at the origin, level, from up to 1 m and 0.5 rad away.

    thrust_limit [N] of a rotor, which does not pull. Source: Tedrake, Underactuated Robotics, chapter 3.
    """
    x_goal, difference, hover = np.zeros(6), Wrapped((2,)), np.full(2, 0.486 * 9.81 / 2)
    return Task(
        name="planar_quadrotor",
        description="come to rest at the origin, level",
        simulators={
            "ode": closed_form("PlanarQuadrotor"),
            "mujoco": mujoco("planar_quadrotor"),
            "drake": drake("planar_quadrotor"),
        },
        controllers={
            "lqr": lqr([10.0, 10.0, 10.0, 1.0, 1.0, 0.25 / (2 * np.pi)], [0.1, 0.1], hover),
            "flat": planar_flat,
            "hover": constant(hover),
            "random": random,
        },
        cost=quadratic(
            [10.0, 10.0, 10.0, 1.0, 1.0, 0.04], [0.1, 0.1], x_goal=x_goal, u_goal=hover, difference=difference
        ),
        dt=0.005,
        duration=8.0,
        start=around(x_goal, [1.0, 1.0, 0.5, 0.5, 0.5, 0.5]),
        success=Reached(x_goal, np.full(6, 0.05), difference),
        x_goal=x_goal,
        u_min=np.zeros(2),
        u_max=np.full(2, thrust_limit),
        difference=difference,
        observe=Observe(angles=(2,)),
        lost=lambda x: np.abs(x[..., :2]).max(axis=-1) > 10.0,
        hold=4,
        golden=Golden("lqr"),
    )


def quadrotor(*, thrust_limit: float = 5.0) -> Task:
    """Come to rest at the origin, level and facing along x, from up to 1 m and 0.3 rad away.

    thrust_limit [N] of a rotor, which does not pull. Source: Mellinger, Michael and Kumar, IJRR 2012; parameters of
    Drake's QuadrotorPlant.
    """
    from sims.plants.quadrotor import Quadrotor

    plant = Quadrotor()
    x_goal = np.array([0.0, 0.0, 0.0, 1.0, *np.zeros(9)])
    return Task(
        name="quadrotor",
        description="come to rest at the origin, level",
        simulators={"ode": closed_form("Quadrotor"), "mujoco": mujoco("quadrotor"), "drake": drake("quadrotor")},
        controllers={
            "lqr": lqr([10.0] * 6 + [1.0] * 6, [1.0] * 4, plant.hover),
            "flat": spatial_flat,
            "hover": constant(plant.hover),
            "random": random,
        },
        cost=quadratic(
            [10.0] * 6 + [1.0] * 6,
            [1.0] * 4,
            x_goal=x_goal,
            u_goal=plant.hover,
            difference=plant.difference,
            integrate=plant.integrate,
        ),
        dt=0.005,
        duration=8.0,
        start=around(x_goal, [1.0] * 3 + [0.3] * 9, plant.integrate),
        success=Reached(x_goal, np.full(12, 0.05), plant.difference),
        x_goal=x_goal,
        u_min=np.zeros(4),
        u_max=np.full(4, thrust_limit),
        difference=plant.difference,
        lost=lambda x: np.abs(x[..., :3]).max(axis=-1) > 10.0,
        hold=4,
        golden=Golden("lqr"),
    )


def planar_flat(task: Task, sim):
    """Flatness-based tracking of a path that rests at the origin, with gains soft enough for the rotors' limits."""
    from controllers.flatness import PlanarQuadrotorTracking
    from controllers.reference import Sinusoid
    from sims.plants.planar_quadrotor import PlanarQuadrotor

    rest = Sinusoid(task.x_goal[:2], 0.0, 0.0)
    return PlanarQuadrotorTracking(PlanarQuadrotor(), rest, kp=3.0, kv=3.5, k_theta=100.0, k_omega=20.0)


def spatial_flat(task: Task, sim):
    """Geometric tracking on SE(3) of a path that rests at the origin, facing along x."""
    from controllers.flatness import QuadrotorTracking
    from controllers.reference import Sinusoid
    from sims.plants.quadrotor import Quadrotor

    rest = Sinusoid(np.zeros(4), 0.0, 0.0)  # position and yaw
    return QuadrotorTracking(Quadrotor(), rest, kp=3.0, kv=3.5, k_R=100.0, k_omega=20.0)
