"""Swing-up by energy shaping: the energy obeys its law, and every plant ends upright in every simulator."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from controllers import energy
from controllers.feedback_linearization import collocated
from sims import OdeSimulator, simulate
from sims.ode import integrate_events
from sims.plants import Acrobot, CartPole, Pendubot, Pendulum

FACTORIES = {
    "pendulum": energy.pendulum_swing_up,
    "cartpole": energy.cartpole_swing_up,
    "acrobot": energy.acrobot_swing_up,
    "pendubot": energy.pendubot_swing_up,
}
LAWS = [
    energy.PendulumEnergy(Pendulum()),
    energy.CartPoleEnergy(CartPole()),
    energy.AcrobotEnergy(Acrobot()),
    energy.PendubotEnergy(Pendubot()),
]
REFERENCE = {
    entry["id"]: entry
    for entry in json.loads((Path(__file__).parent / "reference" / "public.json").read_text())["entries"]
}
each_plant = pytest.mark.parametrize("name", FACTORIES)
each_law = pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)


def hanging(controller, n, rng):
    """n random starts near hanging; the first is hanging at rest, exactly."""
    x0 = rng.uniform(-0.3, 0.3, (n, controller.x_goal.size))
    x0[0] = 0.0
    return x0


def settled(controller, run, last=2.0, tolerance=0.1):
    """Which runs keep every angle within tolerance [rad] of upright during the last seconds."""
    late = run.x[..., run.t > run.t[-1] - last, :]
    return (np.abs(controller.error(late)[..., controller.angles]) < tolerance).all(axis=(-2, -1))


def test_public_reference_energy_shaping_pendulum():
    entry = REFERENCE["energy_shaping_pendulum"]
    p = entry["plant_parameters"]
    plant = Pendulum(m=p["m"], l=p["l"], b=p["b"], g=p["g"], torque_limit=3.0)
    law = energy.PendulumEnergy(plant, k=p["k"])
    run, _ = integrate_events(plant, p["x0"], lambda t, x: law(x, t), 20.0, n_out=201)  # not sampled and held
    for key, value in entry["value"].items():
        at = round(10 * float(key[1:]))
        assert abs(plant.energy(run.x[at]) - value) < entry["tolerance"], key


def test_public_reference_pendulum_lqr():
    entry, controller = REFERENCE["pendulum_lqr"], energy.pendulum_swing_up()
    assert np.abs(controller.S - entry["value"]["S"]).max() < entry["tolerance"]
    assert np.abs(controller.balance.policy.K - entry["value"]["K"]).max() < entry["tolerance"]
    assert controller.catch == 2.0


def test_pendulum_energy_changes_as_the_law_says(rng):
    plant, k = Pendulum(), 0.3
    law, x = energy.PendulumEnergy(plant, k=k), rng.uniform(-3, 3, (200, 2))
    top = plant.m * plant.g * plant.l
    power = x[:, 1] * (law(x, 0.0)[:, 0] - plant.b * x[:, 1])  # Edot by the power of torque and damping
    assert np.abs(power + k * x[:, 1] ** 2 * (plant.energy(x) - top)).max() < 1e-9


def test_pole_energy_changes_as_the_law_says(rng):
    plant, x = CartPole(), rng.uniform(-3, 3, (200, 4))
    law = energy.CartPoleEnergy(plant, kp=0.0, kd=0.0)
    theta, rate = x[:, 1], x[:, 3]
    xdot = plant.f(x, law(x, 0.0))
    top = plant.g / plant.l
    error = 0.5 * rate**2 - top * np.cos(theta) - top
    rise = rate * xdot[:, 3] + top * np.sin(theta) * rate
    assert np.abs(rise + law.k / plant.l * error * (rate * np.cos(theta)) ** 2).max() < 1e-9
    assert (rise * error <= 1e-12).all()


def test_second_link_of_the_pendubot_is_pumped_with_link_1_upright(rng):
    plant, x = Pendubot(b1=0.0, b2=0.0), rng.uniform(-3, 3, (200, 4))
    x[:, 0], x[:, 2] = np.pi, 0.0
    law = energy.PendubotEnergy(plant, push=np.inf)
    xdot, absolute = plant.f(x, law(x, 0.0)), x[:, 0] + x[:, 1]
    inertia, top = plant.Ic2 + plant.m2 * plant.lc2**2, plant.m2 * plant.g * plant.lc2
    error = 0.5 * inertia * x[:, 3] ** 2 - top * np.cos(absolute) - top
    rise = x[:, 3] * (inertia * (xdot[:, 2] + xdot[:, 3]) + top * np.sin(absolute))
    expected = -plant.m2 * plant.l1 * plant.lc2 * law.k * error * (x[:, 3] * np.cos(x[:, 1])) ** 2
    assert np.abs(rise - expected).max() < 1e-9
    assert (rise * error <= 1e-12).all()


def test_undamped_pendulum_energy_converges_monotonically(rng):
    plant = Pendulum(b=0.0, torque_limit=1.0)
    x0 = np.concatenate([rng.uniform(-2.5, 2.5, (20, 2)), [[0.5, 9.0], [0.0, 12.0]]])
    run = simulate(OdeSimulator(plant, dt=2e-3), energy.PendulumEnergy(plant, k=0.5), x0, 30.0)
    error = np.abs(plant.energy(run.x) - plant.m * plant.g * plant.l)
    assert np.diff(error, axis=-1).max() < 1e-6 and error[:, -1].max() < 1e-2


def test_acrobot_law_is_collocated_linearisation_of_the_stated_command(rng):
    plant, x = Acrobot(), rng.uniform(-3, 3, (100, 4))
    law = energy.AcrobotEnergy(plant)
    missing = plant.energy(np.array([np.pi, 0.0, 0.0, 0.0])) - plant.energy(x)
    command = -law.k * missing * x[:, 2] * (1 + np.cos(x[:, 0])) - law.kp * x[:, 1] - law.kd * x[:, 3]
    assert np.allclose(law(x, 0.0), collocated(plant, x, command[:, None]), rtol=1e-9, atol=1e-9)


@each_law
def test_laws_saturate_at_the_plants_limit_and_leave_the_state_alone(law, rng):
    limit = {"force_limit": 2.0} if isinstance(law.plant, CartPole) else {"torque_limit": 2.0}
    limited = type(law)(type(law.plant)(**limit))
    x = rng.uniform(-3, 3, (200, law.plant.nx))
    before, u = x.copy(), limited(x, 0.0)
    assert np.abs(u).max() == 2.0 and (x == before).all()
    assert np.allclose(u, np.clip(law(x, 0.0), -2.0, 2.0))


@each_law
def test_batches_equal_rows(law, rng):
    x = rng.uniform(-3, 3, (6, law.plant.nx))
    assert np.allclose(law(x, 0.0), [law(row, 0.0) for row in x], rtol=1e-12, atol=1e-12)
    assert np.allclose(law(x.reshape(2, 3, -1), 0.0).reshape(6, -1), law(x, 0.0), rtol=1e-12, atol=1e-12)


@each_law
def test_hanging_at_rest_the_law_moves_the_plant(law):
    assert np.abs(law(np.zeros(law.plant.nx), 0.0)).max() > 0.01


@each_plant
def test_swings_up_and_balances_in_closed_form(name, rng):
    controller = FACTORIES[name]()
    sim = OdeSimulator(controller.swing_up.plant, dt=5e-3)
    run = simulate(sim, controller, hanging(controller, 100, rng), 20.0)
    ok = settled(controller, run)
    assert ok[0] and ok.sum() >= 98
    if name == "cartpole":
        assert np.abs(run.x[..., 0]).max() < 3.0 and np.abs(run.x[:, -1, 0]).max() < 0.1


@each_plant
def test_a_plant_without_a_limit_gets_one_and_a_limit_is_kept(name):
    plant = FACTORIES[name]().swing_up.plant
    key = "force_limit" if name == "cartpole" else "torque_limit"
    without = type(plant)(**{**vars(plant), key: np.inf})
    assert FACTORIES[name](without).swing_up.plant == plant
    assert FACTORIES[name](type(plant)(**{key: 7.0})).balance.u_max == 7.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["acrobot", "cartpole"])
def test_swing_up_comes_back_from_anywhere(name):
    controller = FACTORIES[name]()
    reach = np.array([np.pi, 2.0, 5.0, 4.0]) if name == "acrobot" else np.array([2.0, np.pi, 2.0, 6.0])
    x0 = np.random.default_rng(3).uniform(-1, 1, (200, 4)) * reach
    run = simulate(OdeSimulator(controller.swing_up.plant, dt=5e-3), controller, x0, 30.0)
    assert settled(controller, run).mean() >= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("name", ["acrobot", "cartpole"])
@pytest.mark.parametrize("change", [0.97, 1.03])
def test_swing_up_forgives_a_model_with_wrong_masses(name, change):
    controller = FACTORIES[name]()
    plant = controller.swing_up.plant
    masses = {key: change * getattr(plant, key) for key in ("m2", "mp") if hasattr(plant, key)}
    sim = OdeSimulator(type(plant)(**{**vars(plant), **masses}), dt=5e-3)
    run = simulate(sim, controller, hanging(controller, 60, np.random.default_rng(5)), 30.0)
    assert settled(controller, run).mean() >= 0.9


def engine(backend, name):
    pytest.importorskip("pydrake" if backend == "drake" else "mujoco", reason=f"{backend} is not installed")
    from sims import DrakeSimulator, MujocoSimulator, models

    if backend == "drake":
        return DrakeSimulator(models.MODELS[name], dt=2e-3)
    return MujocoSimulator(models.MODELS[name], dt=2e-3, integrator="euler")


@pytest.mark.parametrize("backend", ["mujoco", "drake"])
@each_plant
def test_swings_up_with_the_engines_own_first_order_step(backend, name):
    controller, sim = FACTORIES[name](), engine(backend, name)
    for seed in (0, 1):
        x0 = hanging(controller, 2, np.random.default_rng(seed))[seed]
        assert settled(controller, simulate(sim, controller, x0, 20.0)), x0


@each_plant
def test_one_call_is_fast_enough_for_a_control_loop(name):
    controller = FACTORIES[name]()
    x, best = np.full(controller.x_goal.size, 0.1), np.inf
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(20):
            controller(x, 0.0)
        best = min(best, (time.perf_counter() - start) / 20)
    assert best < 100e-6
