"""Poles on a cart: swing one up, balance two."""

import numpy as np

from robotics.backends import closed_form, drake, mujoco
from robotics.cost import Wrapped, quadratic
from robotics.policies import lqr, random, zero
from robotics.starts import around
from robotics.task import Golden, Observe, Reached, Task


def cartpole(*, force_limit: float = 60.0) -> Task:
    """Swing the pole up from hanging and balance with the cart in the middle.

    force_limit [N]. Source: Tedrake, Underactuated Robotics, chapter 3, "Cart-Pole" (10 kg cart, 1 kg at 0.5 m).
    """
    x_goal, difference = np.array([0.0, np.pi, 0.0, 0.0]), Wrapped((1,))
    return Task(
        name="cartpole",
        description="swing the pole up from hanging and balance, cart in the middle",
        simulators={"ode": closed_form("CartPole"), "mujoco": mujoco("cartpole"), "drake": drake("cartpole")},
        controllers={
            "swing_up": swing_up,
            "lqr": lqr([10.0, 10.0, 1.0, 1.0], [1.0]),
            "zero": zero,
            "random": random,
        },
        cost=quadratic(
            [1.0, 10.0, 0.1, 1.0], [0.01], x_goal=x_goal, qf=[10.0, 100.0, 1.0, 10.0], difference=difference
        ),
        dt=0.005,
        duration=20.0,
        start=around(np.zeros(4), [0.5, 0.3, 0.3, 0.3]),
        success=Reached(x_goal, np.array([0.2, 0.1, 0.2, 0.2]), difference),
        x_goal=x_goal,
        u_min=np.array([-force_limit]),
        u_max=np.array([force_limit]),
        difference=difference,
        observe=Observe(angles=(1,)),
        lost=lambda x: np.abs(x[..., 0]) > 8.0,  # the rail of the model ends there
        hold=4,
        golden=Golden("swing_up", duration=5.0, tolerance=1e-5),
    )


def swing_up(task: Task, sim):
    """Energy shaping through partial feedback linearisation, then LQR inside a level set of its cost-to-go."""
    from controllers.energy import cartpole_swing_up
    from sims.plants.cartpole import CartPole

    return cartpole_swing_up(CartPole(force_limit=float(task.u_max[0])))


def double_cartpole(*, force_limit: float = 200.0) -> Task:
    """Balance two poles in series on a cart; the second angle is relative to the first pole.

    force_limit [N]. Source: Tedrake, Underactuated Robotics, chapter 3 (double cart-pole).
    """
    x_goal, difference = np.array([0.0, np.pi, 0.0, 0.0, 0.0, 0.0]), Wrapped((1, 2))
    return Task(
        name="double_cartpole",
        description="balance two poles in series on a cart",
        simulators={
            "ode": closed_form("NPole"),
            "mujoco": mujoco("double_cartpole"),
            "drake": drake("double_cartpole"),
        },
        controllers={
            "lqr": lqr([10.0, 100.0, 100.0, 1.0, 1.0, 1.0], [0.1]),
            "zero": zero,
            "random": random,
        },
        cost=quadratic([1.0, 10.0, 10.0, 0.1, 1.0, 1.0], [0.01], x_goal=x_goal, difference=difference),
        dt=0.005,
        duration=10.0,
        start=around(x_goal, [0.3, 0.03, 0.03, 0.03, 0.03, 0.03]),
        success=Reached(x_goal, np.full(6, 0.1), difference),
        x_goal=x_goal,
        u_min=np.array([-force_limit]),
        u_max=np.array([force_limit]),
        difference=difference,
        observe=Observe(angles=(1, 2)),
        lost=lambda x: (np.abs(x[..., 0]) > 8.0) | (np.cos(x[..., 1]) > 0.0),
        hold=4,
        golden=Golden("lqr"),
    )
