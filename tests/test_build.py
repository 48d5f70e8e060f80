"""build(sim.describe()) is the same simulator, through JSON and back, and a failing step replays in every engine."""

import json

import numpy as np
import pytest

from robotics.runs import replay
from sims import models, plants
from sims.build import build, engine
from sims.errors import ModelError, SimulationDiverged
from sims.ode import OdeSimulator

PACKAGE = {"mujoco": "mujoco", "drake": "pydrake"}
ENGINES = ["mujoco", "drake"]


def make(backend: str, model, **options):
    pytest.importorskip(PACKAGE[backend], reason=f"{backend} is not installed")
    return engine(backend)(model, **options)


def through_json(sim):
    return build(json.loads(json.dumps(sim.describe(), allow_nan=False)))


def same_step(sim, again, rng):
    x = sim.integrate(np.zeros(sim.nx) if sim.nx == sim.ndx else _unit(sim), 0.1 * rng.standard_normal(sim.ndx))
    u = 0.1 * rng.standard_normal(sim.nu)
    assert again.describe() == sim.describe() and type(again) is type(sim)
    assert (again.x_names, again.u_names, again.dt) == (sim.x_names, sim.u_names, sim.dt)
    assert sim.step(x, u).tobytes() == again.step(x, u).tobytes()


def _unit(sim):
    """The zero state with identity quaternions: where a w component would be zero, the state is refused."""
    x = np.zeros(sim.nx)
    for i, name in enumerate(sim.x_names):
        if name == "qw" or name.endswith((".qw", "_qw", "/qw")):
            x[i] = 1.0
    return x


@pytest.mark.parametrize("name", plants.PLANTS)
@pytest.mark.parametrize("integrator", ["rk4", "euler"])
def test_closed_form(name, integrator, rng):
    sim = OdeSimulator(plants.load(name)(), dt=0.01, integrator=integrator)
    same_step(sim, through_json(sim), rng)


def test_closed_form_with_other_parameters(rng):
    for plant in (plants.load("cartpole")(mc=3.0, force_limit=7.0), plants.load("npole")(n=3, l=(0.3, 0.4, 0.5))):
        sim = OdeSimulator(plant, dt=0.02, integrator="semi_implicit_euler")
        same_step(sim, through_json(sim), rng)


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("name", ["pendulum", "quadrotor", "iiwa14", "quadruped"])
def test_engines(backend, name, rng):
    sim = make(backend, models.find(name), dt=0.002, contact=False)
    same_step(sim, through_json(sim), rng)


def test_drake_continuous(rng):
    sim = make("drake", models.find("acrobot"), dt=0.01, integrator="runge_kutta3", accuracy=1e-6)
    same_step(sim, through_json(sim), rng)


@pytest.mark.parametrize("backend", ["ode", *ENGINES])
def test_a_failing_step_replays(backend, tmp_path):
    if backend == "ode":
        sim = OdeSimulator(plants.load("cartpole")(), dt=0.001)
    else:
        sim = make(backend, models.find("cartpole"), dt=0.001)
    x = np.array([0.0, 1.0, 0.0, 1e200])  # its square is infinite
    with pytest.raises(SimulationDiverged) as error:
        sim.step(x, np.zeros(1))
    path = error.value.failure.save(tmp_path / "failure.json")
    again = replay(path)
    assert again.reproduced and again.where == error.value.failure.where


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ([], "describe"),
        ({}, "backend"),
        ({"backend": "bullet"}, "mujoco"),
        ({"backend": "ode", "plant": "Pendulum"}, "parameters"),
        ({"backend": "ode", "plant": "Pendulun", "parameters": {}}, "pendulum"),
        ({"backend": "ode", "plant": "Pendulum", "parameters": {"mass": 1}}, "mass"),
        ({"backend": "ode", "plant": "Pendulum", "parameters": {}, "dt": -1.0}, "dt"),
    ],
)
def test_bad_descriptions_say_what_is_wrong(description, words):
    with pytest.raises(ValueError, match=words):
        build(description)


def test_a_model_file_that_changed_is_noticed(tmp_path):
    description = {"backend": "mujoco", "model": str(tmp_path / "robot.xml"), "sha256": "0" * 64, "dt": 0.001}
    with pytest.raises(ModelError, match="not there"):
        build(description)
    (tmp_path / "robot.xml").write_text("<mujoco/>")
    with pytest.raises(ModelError, match="has changed"):
        build(description)
