"""Closed-form plants, one file each. Each class is imported when first used."""

from importlib import import_module

PLANTS = {
    "double_integrator": "sims.plants.double_integrator:DoubleIntegrator",
    "pendulum": "sims.plants.pendulum:Pendulum",
    "cartpole": "sims.plants.cartpole:CartPole",
    "npole": "sims.plants.npole:NPole",
    "acrobot": "sims.plants.acrobot:Acrobot",
    "pendubot": "sims.plants.pendubot:Pendubot",
    "double_pendulum": "sims.plants.double_pendulum:DoublePendulum",
    "planar_quadrotor": "sims.plants.planar_quadrotor:PlanarQuadrotor",
    "quadrotor": "sims.plants.quadrotor:Quadrotor",
    "quadrotor_rpy": "sims.plants.quadrotor_rpy:QuadrotorRPY",
    "glider": "sims.plants.glider:Glider",
    "van_der_pol": "sims.plants.van_der_pol:VanDerPol",
    "dubins_car": "sims.plants.dubins_car:DubinsCar",
    "ballbot": "sims.plants.ballbot:Ballbot",
}
_HOME = {place.split(":")[1]: place.split(":")[0] for place in PLANTS.values()}
__all__ = sorted([*_HOME, "PLANTS", "load"])


def load(name: str) -> type:
    """The plant class called `name` in PLANTS, or by its class name; ValueError listing all plants otherwise."""
    place = PLANTS.get(name) or (f"{_HOME[name]}:{name}" if name in _HOME else None)
    if place is None:
        from sims.errors import unknown

        raise unknown("plant", name, PLANTS)
    module, cls = place.split(":")
    return getattr(import_module(module), cls)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'sims.plants' has no attribute {name!r}; it has: {', '.join(__all__)}")
