"""Swing-ups: from hanging still to upright and still."""

import numpy as np

from controllers.cost import quadratic
from robotics import registry
from robotics.backends import closed_form, drake, mujoco
from robotics.planning.methods import collocation, ilqr
from robotics.planning.problem import SHARE, PlanningProblem, engines_of
from sims import plants


def pendulum() -> PlanningProblem:
    """With 2.4 N m of 3, less than the 4.9 N m that hold the rod level."""
    task = registry.make("pendulum")
    plant = plants.Pendulum(torque_limit=SHARE * task.u_max[0])
    return _problem(
        "pendulum", plant, engines_of(task), goal=[np.pi, 0.0], q=[1.0, 0.1], r=[1.0], duration=5.0,
        description="swing up under a torque limit, pumping energy first",
    )  # fmt: skip


def cartpole() -> PlanningProblem:
    """With 48 N of 60, to the middle of the rail."""
    task = registry.make("cartpole")
    plant = plants.CartPole(force_limit=SHARE * task.u_max[0])
    return _problem(
        "cartpole", plant, engines_of(task), goal=[0.0, np.pi, 0.0, 0.0],
        q=[1.0, 1.0, 0.1, 0.1], r=[0.01], duration=3.0,
        description="swing the pole up, cart back in the middle",
    )  # fmt: skip


def acrobot() -> PlanningProblem:
    """With 16 N m of 20 at the elbow."""
    return _two_links("acrobot", plants.Acrobot, "elbow")


def pendubot() -> PlanningProblem:
    """With 20 N m of 25 at the shoulder."""
    return _two_links("pendubot", plants.Pendubot, "shoulder")


def double_pendulum() -> PlanningProblem:
    """Motors at both joints, 8 N m of 10 each, too weak to lift the links without a swing (29 N m)."""
    limit = 10.0
    engines = {
        "ode": closed_form("DoublePendulum", torque_limit=limit),
        "mujoco": mujoco("double_pendulum"),
        "drake": drake("double_pendulum"),
    }
    plant = plants.DoublePendulum(torque_limit=SHARE * limit)
    return _problem(
        "double_pendulum", plant, _limited(engines, limit), goal=[np.pi, 0.0, 0.0, 0.0],
        q=[1.0, 1.0, 0.1, 0.1], r=[0.1, 0.1], duration=4.0, dt=0.01, weight=1.0,
        description="swing two links up with weak motors at both joints",
    )  # fmt: skip


def double_cartpole() -> PlanningProblem:
    """Two poles in series with 160 N of 200."""
    task = registry.make("double_cartpole")
    plant = plants.NPole(2, force_limit=SHARE * task.u_max[0])
    goal = [0.0, np.pi, 0.0, 0.0, 0.0, 0.0]
    return _problem(
        "double_cartpole", plant, engines_of(task), goal=goal, q=[1.0, 1.0, 1.0, 0.1, 0.1, 0.1], r=[0.001],
        duration=3.0, dt=0.01, spread=5.0, description="swing two poles in series up",
    )  # fmt: skip


def _two_links(name: str, plant, motor: str) -> PlanningProblem:
    task = registry.make(name)
    return _problem(
        name, plant(torque_limit=SHARE * task.u_max[0]), engines_of(task), goal=[np.pi, 0.0, 0.0, 0.0],
        q=[1.0, 1.0, 0.1, 0.1], r=[0.1], duration=4.0, dt=0.01,
        description=f"swing both links up with a motor at the {motor}",
    )  # fmt: skip


def _problem(
    name, plant, engines, *, goal, q, r, duration, description, dt=0.02, spread=1.0, weight=0.01
) -> PlanningProblem:
    goal = np.array(goal)
    return PlanningProblem(
        name=name,
        description=description,
        system=plant,
        simulators=engines,
        x0=np.zeros(plant.nx),
        x_goal=goal,
        tolerance=np.repeat([0.1, 0.2], [plant.nq, plant.nv]),
        cost=quadratic(q, r, x_goal=goal, qf=10.0 * np.ones(plant.nx)),
        duration=duration,
        dt=dt,
        planners={"ilqr": ilqr(spread=spread), "collocation": collocation(knots=101)},
        q=np.repeat([10.0, 1.0], [plant.nq, plant.nv]),
        r=np.full(plant.nu, weight),
        qf=np.full(plant.nx, 100.0),
    )


def _limited(engines, limit: float):
    """The same factories, inputs within +-limit."""

    def within(build):
        def make(dt: float):
            sim = build(dt)
            sim.u_min, sim.u_max = np.maximum(sim.u_min, -limit), np.minimum(sim.u_max, limit)
            return sim

        return make

    return {backend: within(build) for backend, build in engines.items()}
