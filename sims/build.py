"""A simulator from its own description: build(sim.describe()) steps as sim does."""

import hashlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from sims.errors import MissingDependency, ModelError, unknown
from sims.simulator import Simulator


def build(description: dict) -> Simulator:
    """The Simulator that `describe` described, from JSON types only; the engine is imported when it is needed.

    Raises ValueError if the description has an unknown backend or plant, or keys that do not fit, MissingDependency if
    the engine is not installed, ModelError if the model file it names is gone, changed or broken.
    """
    if not isinstance(description, dict) or "backend" not in description:
        raise ValueError(
            "build: want what Simulator.describe() returns, a dictionary with the key 'backend', "
            f"got {description!r:.200}"
        )
    arguments = dict(description)
    backend = arguments.pop("backend")
    if backend not in BUILDERS:
        raise unknown("backend", backend, BUILDERS)
    try:
        return BUILDERS[backend](arguments)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"build: the description of a {backend} simulator does not fit ({type(error).__name__}: {error}); "
            f"it has the keys: {', '.join(sorted(description))}"
        ) from error


def _ode(arguments: dict) -> Simulator:
    from sims import plants
    from sims.ode import OdeSimulator

    plant = plants.load(arguments.pop("plant"))
    parameters = {k: _value(v) for k, v in arguments.pop("parameters").items()}
    return OdeSimulator(plant(**parameters), **arguments)


def _value(parameter):
    """A plant's parameter from its JSON form: lists are arrays, infinities are text."""
    import numpy as np

    if isinstance(parameter, list):
        return np.array(parameter)
    return float(parameter) if parameter in ("inf", "-inf") else parameter


def engine(backend: str) -> type[Simulator]:
    """The class MujocoSimulator ("mujoco") or DrakeSimulator ("drake"); MissingDependency if it is not installed."""
    module, name, package, pip = _ENGINES[backend]
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != package:
            raise
        raise MissingDependency(f"the {backend} backend needs a missing package: pip install {pip}") from error


def _mujoco(arguments: dict) -> Simulator:
    return engine("mujoco")(_model(arguments), **arguments)


def _drake(arguments: dict) -> Simulator:
    return engine("drake")(_model(arguments), **arguments)


def _model(arguments: dict) -> str:
    """The model of a description; ModelError if it is a file that is no longer what it was."""
    model, wanted = arguments.pop("model"), arguments.pop("sha256", None)
    if wanted is not None:
        path = Path(model)
        if not path.is_file():
            raise ModelError(f"build: the model file {model} is not there; put it back, or describe it again")
        got = hashlib.sha256(path.read_bytes()).hexdigest()
        if got != wanted:
            raise ModelError(f"build: the model file {model} has changed: sha256 wanted {wanted}, got {got}")
    return model


_ENGINES = {
    "mujoco": ("sims.mujoco_sim", "MujocoSimulator", "mujoco", "mujoco"),
    "drake": ("sims.drake_sim", "DrakeSimulator", "pydrake", "drake"),
}
BUILDERS: dict[str, Callable[[dict], Simulator]] = {"ode": _ode, "mujoco": _mujoco, "drake": _drake}
