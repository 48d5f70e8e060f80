"""Plants and simulators: closed form, MuJoCo, Drake; trajectories; meshcat. Each name is imported when first used."""

from importlib import import_module

_HOME = {
    "Controller": "policy",
    "DrakeSimulator": "drake_sim",
    "DrakeSystemSimulator": "drake_system",
    "Failure": "trajectory",
    "ModelError": "errors",
    "MujocoSimulator": "mujoco_sim",
    "OdeSimulator": "ode",
    "SimulationDiverged": "errors",
    "Simulator": "simulator",
    "System": "system",
    "Trajectory": "trajectory",
    "simulate": "simulator",
    "to_drake": "drake_system",
}
_MODULES = ("lie", "models", "parity", "plants", "viewer")
__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"sims.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"sims.{name}")
    raise AttributeError(f"module 'sims' has no attribute {name!r}; it has: {', '.join(__all__)}")
