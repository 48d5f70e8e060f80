"""From one place to another: a quadrotor through a gap, a car into its place."""

import numpy as np

from controllers.cost import quadratic
from controllers.obstacles import keep_out
from robotics import registry
from robotics.planning.methods import collocation, ilqr
from robotics.planning.problem import SHARE, PlanningProblem, engines_of
from sims import plants
from sims.trajectory import Trajectory

ARM = 0.25  # [m], from the quadrotor's centre to a rotor


def planar_quadrotor() -> PlanningProblem:
    """Four metres through a gap of 0.6 m between two round posts, the beam of 0.5 m clear of both at any angle.

    Thrusts 0 to 6 N of 7.5.
    """
    task, goal, hover = registry.make("planar_quadrotor"), np.array([2.0, *np.zeros(5)]), plants.PlanarQuadrotor().hover
    return PlanningProblem(
        name="planar_quadrotor",
        description="fly 4 m through a gap of 0.6 m and come to rest",
        system=plants.PlanarQuadrotor(thrust_min=0.0, thrust_max=SHARE * task.u_max[0]),
        simulators=engines_of(task),
        x0=np.array([-2.0, *np.zeros(5)]),
        x_goal=goal,
        tolerance=np.array([0.1, 0.1, 0.1, 0.2, 0.2, 0.2]),
        cost=quadratic([0.0, 0.0, 0.1, 0.1, 0.1, 0.01], [0.1, 0.1], x_goal=goal, u_goal=hover, qf=10.0 * np.ones(6)),
        constraints=(
            keep_out([0.0, 1.1], 0.6, label="clear the upper post", clearance=ARM),
            keep_out([0.0, -0.7], 0.6, label="clear the lower post", clearance=ARM),
        ),
        duration=3.0,
        dt=0.025,
        planners={"ilqr": ilqr(u=hover, spread=0.01), "collocation": collocation(knots=51, guess=_level)},
        q=np.array([10.0, 10.0, 10.0, 1.0, 1.0, 1.0]),
        r=np.full(2, 0.1),
        qf=np.full(6, 100.0),
    )


def dubins() -> PlanningProblem:
    """Into a place 2 m to the left, the heading it had, at constant speed: three arcs. 0.8 rad/s of 1."""
    task, goal = registry.make("dubins"), np.array([4.0, 2.0, 0.0])
    return PlanningProblem(
        name="dubins",
        description="arrive 4 m ahead and 2 m to the left with the same heading, at constant speed",
        system=plants.DubinsCar(turn_limit=SHARE * task.u_max[0]),
        simulators=engines_of(task),
        x0=np.zeros(3),
        x_goal=goal,
        tolerance=np.array([0.2, 0.1, 0.1]),  # at constant speed what is late stays late
        cost=quadratic(np.zeros(3), [1.0], x_goal=goal),
        duration=(4.0, 8.0),
        dt=0.02,
        planners={"collocation": collocation(knots=51)},
        q=np.array([10.0, 10.0, 1.0]),
        r=np.ones(1),
        qf=np.full(3, 100.0),
    )


def _level(problem: PlanningProblem) -> Trajectory:
    """A straight line from x0 to x_goal in the duration, hovering."""
    t = np.linspace(0.0, float(np.max(problem.duration)), 11)
    hover = plants.PlanarQuadrotor().hover
    return Trajectory(t, np.linspace(problem.x0, problem.x_goal, 11), np.tile(hover, (10, 1)))
