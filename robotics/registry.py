"""Every task by name: one literal table; nothing registers itself."""

from importlib import import_module

from robotics.task import Task
from sims.errors import unknown

TASKS: dict[str, str] = {
    "pendulum": "robotics.underactuated.pendulum:pendulum",
    "cartpole": "robotics.underactuated.cartpole:cartpole",
    "double_cartpole": "robotics.underactuated.cartpole:double_cartpole",
    "acrobot": "robotics.underactuated.acrobot:acrobot",
    "pendubot": "robotics.underactuated.acrobot:pendubot",
    "double_integrator": "robotics.underactuated.planar:double_integrator",
    "van_der_pol": "robotics.underactuated.planar:van_der_pol",
    "dubins": "robotics.underactuated.planar:dubins",
    "ballbot": "robotics.underactuated.planar:ballbot",
    "glider": "robotics.underactuated.planar:glider",
    "planar_quadrotor": "robotics.underactuated.quadrotors:planar_quadrotor",
    "quadrotor": "robotics.underactuated.quadrotors:quadrotor",
    "quadruped": "robotics.underactuated.quadruped:quadruped",
    "iiwa14": "robotics.manipulation.arms:iiwa14",
    "ur5e": "robotics.manipulation.arms:ur5e",
}


def names() -> tuple[str, ...]:
    """The names `make` knows, in the order of the table."""
    return tuple(TASKS)


def make(name: str, **options) -> Task:
    """The task `name`, built by its factory with keyword `options`; ValueError lists the names there are."""
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    module, factory = TASKS[name].split(":")
    return getattr(import_module(module), factory)(**options)


def as_task(task: Task | str) -> Task:
    """A Task as it is, or by its name."""
    return make(task) if isinstance(task, str) else task
