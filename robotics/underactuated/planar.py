"""Small plants without a swing-up: double integrator, van der Pol oscillator, Dubins car, ballbot, perching glider."""

import numpy as np

from robotics.backends import closed_form, drake, mujoco
from robotics.cost import Wrapped, quadratic
from robotics.policies import lqr, pid, random, zero
from robotics.starts import around
from robotics.task import Golden, Observe, Reached, Task


def double_integrator(*, force_limit: float = 1.0) -> Task:
    """Bring a mass of 1 kg on a line to rest at the origin.

    force_limit [N]. Source: Tedrake, Underactuated Robotics, chapter 1.
    """
    return Task(
        name="double_integrator",
        description="bring a mass on a line to rest at the origin",
        simulators={
            "ode": closed_form("DoubleIntegrator"),
            "mujoco": mujoco("double_integrator"),
            "drake": drake("double_integrator"),
        },
        controllers={"lqr": lqr([1.0, 1.0], [1.0]), "pid": pid(1.0, 0.02, 1.7), "zero": zero, "random": random},
        cost=quadratic([1.0, 1.0], [1.0], x_goal=np.zeros(2)),
        dt=0.01,
        duration=15.0,
        start=around(np.zeros(2), [2.0, 1.0]),
        success=Reached(np.zeros(2), np.full(2, 0.05)),
        x_goal=np.zeros(2),
        u_min=np.array([-force_limit]),
        u_max=np.array([force_limit]),
        hold=5,
        golden=Golden("lqr"),
    )


def van_der_pol(*, force_limit: float = 3.0) -> Task:
    """Leave the limit cycle and rest at the (unstable) origin.

    force_limit without unit. Source: Tedrake, Underactuated Robotics, chapter 4 (unforced).
    """
    return Task(
        name="van_der_pol",
        description="leave the limit cycle and rest at the unstable origin",
        simulators={"ode": closed_form("VanDerPol")},
        controllers={"lqr": lqr([1.0, 1.0], [1.0]), "zero": zero, "random": random},
        cost=quadratic([1.0, 1.0], [1.0], x_goal=np.zeros(2)),
        dt=0.01,
        duration=15.0,
        start=around(np.zeros(2), 2.0),
        success=Reached(np.zeros(2), np.full(2, 0.05)),
        x_goal=np.zeros(2),
        u_min=np.array([-force_limit]),
        u_max=np.array([force_limit]),
        hold=5,
        golden=Golden("lqr"),
    )


def dubins(*, turn_limit: float = 1.0) -> Task:
    """Merge onto the x axis, heading along it, at constant speed (the position along it is free).

    turn_limit [rad/s]. Source: Dubins, 1957 (the car); Samson, "Control of chained systems", 1995 (path following).
    """
    x_goal, difference = np.zeros(3), Wrapped((2,))
    return Task(
        name="dubins",
        description="merge onto a line at constant speed, heading along it",
        simulators={"ode": closed_form("DubinsCar")},
        controllers={"line": follow_line, "zero": zero, "random": random},
        cost=quadratic([0.0, 1.0, 1.0], [0.1], x_goal=x_goal, difference=difference),
        dt=0.01,
        duration=15.0,
        start=around(np.zeros(3), [1.0, 2.0, np.pi]),
        success=Reached(x_goal, np.array([np.inf, 0.05, 0.05]), difference),
        x_goal=x_goal,
        u_min=np.array([-turn_limit]),
        u_max=np.array([turn_limit]),
        difference=difference,
        observe=Observe(angles=(2,)),
        hold=5,
        golden=Golden("line"),
    )


def follow_line(task: Task, sim):
    """Turn towards a heading that points at the line from afar and along it when close: -atan(y)."""

    def policy(x, t):
        error = np.mod(x[..., 2] + np.arctan(x[..., 1]) + np.pi, 2 * np.pi) - np.pi
        return -2.0 * error[..., None]

    return policy


def ballbot(*, torque_limit: float = 20.0) -> Task:
    """Balance on the ball and bring it back to the origin.

    torque_limit [N m]. Source: Tedrake, Underactuated Robotics, chapter 8, ballbot (planar; the ball rolls exactly).
    """
    return Task(
        name="ballbot",
        description="balance on a ball and bring it back to the origin",
        simulators={"ode": closed_form("Ballbot")},
        controllers={"lqr": lqr([10.0, 10.0, 1.0, 1.0], [1.0]), "zero": zero, "random": random},
        cost=quadratic([10.0, 10.0, 1.0, 1.0], [1.0], x_goal=np.zeros(4)),
        dt=0.005,
        duration=15.0,
        start=around(np.zeros(4), [0.3, 0.1, 0.1, 0.1]),
        success=Reached(np.zeros(4), np.full(4, 0.05)),
        x_goal=np.zeros(4),
        u_min=np.array([-torque_limit]),
        u_max=np.array([torque_limit]),
        lost=lambda x: np.abs(x[..., 1]) > np.pi / 2,
        hold=4,
        golden=Golden("lqr"),
    )


def glider(*, rate_limit: float = 13.0) -> Task:
    """Fly at a perch 3.5 m ahead; open loop only here, so that nobody succeeds by feedback yet.

    rate_limit of the elevator [rad/s]. Source: Roberts, Cory and Tedrake, "On the controllability of fixed-wing
    perching", ACC 2009; Moore, Cory and Tedrake, 2014 (start, perch and limits of Underactuated Robotics, chapter 10).
    """
    x_goal = np.array([0.0, 0.0, np.pi / 4, 0.0, 0.0, 0.0, 0.0])
    return Task(
        name="glider",
        description="fly at a perch 3.5 m ahead (open loop: a first thing to plan for)",
        simulators={"ode": closed_form("Glider")},
        controllers={"zero": zero, "flare": flare, "random": random},
        cost=quadratic(
            [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1], [0.01], x_goal=x_goal, qf=[400.0, 400.0, 9.0, 9.0, 1.0, 1.0, 1.0]
        ),
        dt=0.002,
        duration=0.8,
        start=around([-3.5, 0.1, 0.0, 0.0, 7.0, 0.0, 0.0], [0.05, 0.05, 0.02, 0.0, 0.2, 0.1, 0.0]),
        success=Reached(x_goal, np.array([0.1, 0.1, 0.8, np.inf, 2.0, 2.0, np.inf]), hold=0.0),
        x_goal=x_goal,
        u_min=np.array([-rate_limit]),
        u_max=np.array([rate_limit]),
        hold=5,
        golden=Golden("flare", duration=0.5),
    )


def flare(task: Task, sim):
    """Hold the elevator, then deflect it up at 2 rad/s between 0.3 s and 0.7 s."""
    return lambda x, t: np.full((*x.shape[:-1], 1), -2.0 if 0.3 <= t < 0.7 else 0.0)
