"""Every planning problem by name: one literal table; nothing registers itself."""

from importlib import import_module

from robotics.planning.problem import PlanningProblem
from sims.errors import unknown

PROBLEMS: dict[str, str] = {
    "pendulum": "robotics.planning.swing_up:pendulum",
    "cartpole": "robotics.planning.swing_up:cartpole",
    "acrobot": "robotics.planning.swing_up:acrobot",
    "pendubot": "robotics.planning.swing_up:pendubot",
    "double_pendulum": "robotics.planning.swing_up:double_pendulum",
    "double_cartpole": "robotics.planning.swing_up:double_cartpole",
    "planar_quadrotor": "robotics.planning.travel:planar_quadrotor",
    "dubins": "robotics.planning.travel:dubins",
}


def names() -> tuple[str, ...]:
    """The names `make` knows, in the order of the table."""
    return tuple(PROBLEMS)


def make(name: str) -> PlanningProblem:
    """The planning problem `name`; ValueError lists the names there are."""
    if name not in PROBLEMS:
        raise unknown("planning problem", name, PROBLEMS)
    module, factory = PROBLEMS[name].split(":")
    return getattr(import_module(module), factory)()
