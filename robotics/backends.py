"""Factories dt -> Simulator for a task's backends; an engine is imported when it is asked for."""

from collections.abc import Callable

from sims.simulator import Simulator

Build = Callable[[float], Simulator]


def closed_form(plant: str, *, integrator: str = "rk4", **parameters) -> Build:
    """The closed-form plant of sims.plants by class name, with keyword parameters."""

    def build(dt: float) -> Simulator:
        from sims import plants
        from sims.ode import OdeSimulator

        return OdeSimulator(plants.load(plant)(**parameters), dt=dt, integrator=integrator)

    return build


def mujoco(model: str, *, integrator: str = "rk4", contact: bool = False, limits: bool = False) -> Build:
    """The model of sims.models in MuJoCo; classical Runge-Kutta unless told otherwise, as the closed form has."""

    def build(dt: float) -> Simulator:
        from sims import models
        from sims.build import engine

        return engine("mujoco")(models.find(model), dt=dt, integrator=integrator, contact=contact, limits=limits)

    return build


def drake(
    model: str,
    *,
    integrator: str = "runge_kutta5",
    accuracy: float = 1e-10,
    contact: bool = False,
    limits: bool = False,
) -> Build:
    """The model of sims.models in Drake; an error-controlled Runge-Kutta method unless told otherwise."""

    def build(dt: float) -> Simulator:
        from sims import models
        from sims.build import engine

        return engine("drake")(
            models.find(model), dt=dt, integrator=integrator, accuracy=accuracy, contact=contact, limits=limits
        )

    return build
