"""The integrators: order, exactness where there is a closed form, events, quaternions, divergence."""

import json

import numpy as np
import pytest
from plant_cases import NAMES, make, states
from scipy.linalg import expm

from sims import plants, simulate
from sims.errors import SimulationDiverged
from sims.ode import INTEGRATORS, OdeSimulator, integrate_events
from sims.system import System, stack

ORDER = {"euler": 1, "semi_implicit_euler": 1, "rk4": 4}


class Ball(System):
    """A ball in free fall: zdd = -g."""

    nx, nu, nq, nv = 2, 0, 1, 1
    x_names, u_names = ("z", "zdot"), ()

    def f(self, x, u):
        return stack([x[..., 1], -9.81 + 0.0 * x[..., 1]])


class Bomb(System):
    """xdot = x^2: x = 1 / (1 - t), gone at t = 1."""

    nx, nu = 1, 1
    x_names, u_names = ("x",), ("u",)

    def f(self, x, u):
        return x * x


def precise(plant, x0, u, duration):
    run, _ = integrate_events(plant, x0, lambda t, x: u, duration, n_out=2, rtol=1e-12, atol=1e-13)
    return run.x[-1]


@pytest.mark.parametrize("integrator", ORDER)
@pytest.mark.parametrize("name", NAMES)
def test_order_of_convergence(rng, name, integrator):
    """Halving dt divides the error after 0.08 s by 2^order, against DOP853 at 1e-12."""
    plant = make(name, "odd")
    if integrator == "semi_implicit_euler" and not plant.nv:
        pytest.skip("not a second-order plant")
    x0, u = states(plant, rng)
    wanted = precise(plant, x0, u, 0.08)

    def error(steps):
        sim = OdeSimulator(plant, dt=0.08 / steps, integrator=integrator)
        return np.linalg.norm(sim.difference(wanted, sim.rollout(x0, np.tile(u, (steps, 1))).x[-1]))

    coarse, fine = (error(16), error(32)) if integrator == "rk4" else (error(128), error(256))
    if coarse < 1e-12:
        return  # exact up to rounding: a plant that is linear enough
    assert abs(np.log2(coarse / fine) - ORDER[integrator]) < 0.25


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_linear_plant_against_the_matrix_exponential(integrator):
    """m qdd + b qd = u is linear: rk4 and rk45 against expm; the first-order methods against their own matrices."""
    plant, dt, u = plants.DoubleIntegrator(m=2.0, b=0.6), 0.05, np.array([1.3])
    A, B = np.array([[0, 1], [0, -0.3]]), np.array([0.0, 0.5])
    x = np.array([0.4, -0.7])
    found = OdeSimulator(plant, dt=dt, integrator=integrator).step(x, u)
    exact = (expm(dt * np.block([[A, B[:, None]], [np.zeros((1, 3))]])) @ [*x, *u])[:2]
    v_next = (x[1] + dt * u[0] / 2.0) / (1 + dt * 0.3)  # damping at the end of the step
    wanted = {
        "rk4": exact,
        "rk45": exact,
        "euler": x + dt * (A @ x + B * u),
        "semi_implicit_euler": np.array([x[0] + dt * v_next, v_next]),
    }[integrator]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10 if integrator == "rk4" else 1e-14)


def test_semi_implicit_euler_keeps_the_energy_of_a_long_swing_where_euler_does_not():
    plant = plants.Pendulum(b=0.0)
    drift = {}
    for integrator in ("euler", "semi_implicit_euler"):
        run = OdeSimulator(plant, dt=1e-3, integrator=integrator).rollout([1.0, 0.0], np.zeros((20000, 1)))
        drift[integrator] = np.abs(plant.energy(run.x) - plant.energy(run.x[0])).max()
    assert drift["semi_implicit_euler"] < 0.02 < 0.2 < drift["euler"]


def test_rk45_is_accurate_over_one_long_step(rng):
    for name in ("pendulum", "acrobot", "quadrotor"):
        plant = make(name, "odd")
        x0, u = states(plant, rng, 3)
        found = OdeSimulator(plant, dt=0.5, integrator="rk45").step(x0, u)
        wanted = np.array([precise(plant, x, v, 0.5) for x, v in zip(x0, u, strict=True)])
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-8)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_rows_and_a_rollout_is_its_steps(rng, name, integrator):
    plant = make(name, "odd")
    if integrator == "semi_implicit_euler" and not plant.nv:
        pytest.skip("not a second-order plant")
    sim = OdeSimulator(plant, dt=0.01, integrator=integrator)
    x0 = states(plant, rng, 2, 3)[0]
    u = rng.normal(size=(2, 3, 4, plant.nu))
    run = sim.rollout(x0, u)
    assert run.x.shape == (2, 3, 5, plant.nx)
    x = x0
    for k in range(4):
        x = sim.step(x, u[..., k, :])
        np.testing.assert_allclose(run.x[..., k + 1, :], x, rtol=1e-11, atol=1e-12)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(run.x[index], sim.rollout(x0[index], u[index]).x, rtol=1e-11, atol=1e-12)
    shared = sim.rollout(x0, u[0, 0])  # one input sequence for the batch
    np.testing.assert_allclose(shared.x[1, 2], sim.rollout(x0[1, 2], u[0, 0]).x, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_the_same_rollout_is_the_same_bytes(rng, integrator):
    sim = OdeSimulator(make("acrobot"), dt=0.01, integrator=integrator)
    x0, u = rng.normal(size=(3, 4)), rng.normal(size=(3, 20, 1))
    assert sim.rollout(x0, u).x.tobytes() == sim.rollout(x0.copy(), u.copy()).x.tobytes()


def test_a_rollout_hands_f_contiguous_components():
    """Element-wise NumPy is several times faster on them; see benchmarks."""
    seen = []

    class Watched(Ball):
        nu, u_names = 1, ("u",)

        def f(self, x, u):
            seen.append(all(part[..., i].flags.c_contiguous for part in (x, u) for i in range(part.shape[-1])))
            return super().f(x, u)

    for integrator in ("euler", "semi_implicit_euler", "rk4"):
        OdeSimulator(Watched(), dt=0.01, integrator=integrator).rollout(np.ones((64, 2)), np.zeros((64, 5, 1)))
    assert seen and all(seen)


@pytest.mark.parametrize("name", NAMES)
def test_a_description_builds_the_same_simulator(rng, name):
    from sims.build import build

    sim = OdeSimulator(make(name, "odd"), dt=0.02)
    again = build(json.loads(json.dumps(sim.describe())))
    x, u = states(sim.system, rng, 3)
    assert again.system == sim.system and again.step(x, u).tobytes() == sim.step(x, u).tobytes()


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_quaternions_stay_on_the_sphere(rng, integrator):
    plant = plants.Quadrotor()
    sim = OdeSimulator(plant, dt=0.01, integrator=integrator)
    x0 = states(plant, rng, 4)[0]
    x0[..., 3:7] *= 1 + 1e-3  # a caller's rounding, much exaggerated
    run = sim.rollout(x0, np.tile(plant.hover, (50, 1)))
    np.testing.assert_allclose(np.linalg.norm(run.x[:, 1:, 3:7], axis=-1), 1.0, atol=1e-15)


def test_free_quadrotor_keeps_its_angular_momentum(rng):
    """Torque-free: R I omega is constant in the world (Euler's equations), integrated by rk4."""
    from sims import lie

    plant = make("quadrotor", "odd")
    run = OdeSimulator(plant, dt=1e-3).rollout(states(plant, rng)[0], np.zeros((2000, 4)))
    momentum = lie.quat_rotate(run.x[:, 3:7], np.array(plant.I) * run.x[:, 10:])
    np.testing.assert_allclose(momentum, np.broadcast_to(momentum[0], momentum.shape), atol=1e-11)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("name", ["acrobot", "quadrotor", "glider"])
def test_discrete_linearize_against_richardson(rng, name, integrator):
    """Simulator.linearize against differences of step of order 4 with a step 100 times as wide."""
    plant = make(name, "odd")
    if integrator == "semi_implicit_euler" and not plant.nv:
        pytest.skip("not a second-order plant")
    sim = OdeSimulator(plant, dt=0.01, integrator=integrator)
    x, u = states(plant, rng)
    found = np.concatenate(sim.linearize(x, u), axis=1)
    base, wanted = sim.step(x, u), np.empty_like(found)
    for j in range(sim.ndx + sim.nu):
        direction = np.eye(sim.ndx + sim.nu)[j]
        ends = {
            k: sim.difference(
                base, sim.step(sim.integrate(x, k * 1e-3 * direction[: sim.ndx]), u + k * 1e-3 * direction[sim.ndx :])
            )
            for k in (-2, -1, 1, 2)
        }
        wanted[:, j] = (8 * (ends[1] - ends[-1]) - (ends[2] - ends[-2])) / 12e-3
    np.testing.assert_allclose(found, wanted, atol=1e-6 * np.abs(wanted).max(), rtol=0)


# Events


def test_bouncing_ball_is_located_against_its_closed_form():
    """Dropped from h with restitution e: bounce k at sqrt(2 h / g) (1 + 2 (e + ... + e^k)), speed e^k sqrt(2 g h)."""
    h, e, g = 1.3, 0.8, 9.81

    def ground(t, x):
        return x[0]

    ground.terminal, ground.direction = True, -1.0
    x, clock = np.array([h, 0.0]), 0.0
    for bounce in range(6):
        run, (hits,) = integrate_events(Ball(), x, lambda t, x: np.zeros(0), 5.0, events=[ground], n_out=11)
        clock += run.t[-1]
        np.testing.assert_allclose(hits[0, 0], run.t[-1], rtol=1e-14)
        fall = np.sqrt(2 * h / g)
        np.testing.assert_allclose(clock, fall * (1 + 2 * sum(e**j for j in range(1, bounce + 1))), rtol=1e-12)
        np.testing.assert_allclose(hits[0, 2], -(e**bounce) * np.sqrt(2 * g * h), rtol=1e-12)
        x = np.array([1e-15, -e * hits[0, 2]])
        assert run.u.shape == (10, 0)


def test_every_zero_is_found_and_directions_count(rng):
    """x = cos t of a linear oscillator made of a pendulum's small swing would only be near; van der Pol with mu = 0."""

    def up(t, x):
        return x[0] - 0.5

    def down(t, x):
        return x[0] - 0.5

    up.direction, down.direction = 1.0, -1.0
    run, (rising, falling, never) = integrate_events(
        plants.VanDerPol(mu=0.0), [1.0, 0.0], lambda t, x: [0.0], 20.0, events=[up, down, lambda t, x: x[0] - 2.0]
    )
    np.testing.assert_allclose(rising[:, 0], 2 * np.pi * np.arange(1, 4) - np.pi / 3, atol=1e-9)
    np.testing.assert_allclose(falling[:, 0], 2 * np.pi * np.arange(0, 4) + np.pi / 3, atol=1e-9)
    assert never.shape == (0, 3)
    np.testing.assert_allclose(run.x[:, 0], np.cos(run.t), atol=1e-8)
    assert run.status == "ok" and len(run) == 200


def test_tighter_tolerances_give_smaller_errors():
    errors = []
    for rtol in (1e-4, 1e-7, 1e-10):
        run, _ = integrate_events(
            plants.VanDerPol(mu=0.0), [1.0, 0.0], lambda t, x: [0.0], 50.0, rtol=rtol, atol=1e-2 * rtol
        )
        errors.append(np.abs(run.x[:, 0] - np.cos(run.t)).max())
    assert errors[0] > 100 * errors[1] > 1e4 * errors[2]
    assert errors[2] < 1e-8


def test_an_input_that_changes_in_time():
    run, _ = integrate_events(plants.DoubleIntegrator(), [0.0, 0.0], lambda t, x: [np.cos(3 * t)], 2.0)
    np.testing.assert_allclose(run.x[:, 0], (1 - np.cos(3 * run.t)) / 9, atol=1e-11)
    np.testing.assert_allclose(run.u[:, 0], np.cos(3 * run.t[:-1]))


# Errors


def test_blow_up_is_a_result_with_a_reason():
    run, _ = integrate_events(Bomb(), [1.0], lambda t, x: [0.0], 3.0)
    assert run.status == "diverged" and run.message
    assert 0.99 < run.t[-1] < 1.01 and np.isfinite(run.x).all()
    run, (never,) = integrate_events(Bomb(), [1e200], lambda t, x: [0.0], 1.0, events=[lambda t, x: x[0]])
    assert run.status == "diverged" and "not finite at t = 0" in run.message and never.shape == (0, 2)


@pytest.mark.parametrize("integrator", ["euler", "rk4", "rk45"])
def test_a_diverging_step_names_the_state_and_can_be_replayed(integrator):
    sim = OdeSimulator(Bomb(), dt=2.0, integrator=integrator)
    with pytest.raises(SimulationDiverged, match="'x' is not finite after step 0") as caught:
        sim.step([1e200], [0.0])
    failure = caught.value.failure
    json.dumps(failure.simulator)
    with pytest.raises(SimulationDiverged):
        sim.step(failure.x, failure.u)


def test_a_diverging_row_leaves_its_neighbours_alone():
    run = OdeSimulator(Bomb(), dt=0.1).rollout([[0.1], [1e3], [0.2]], np.zeros((20, 1)))
    assert run.status == "diverged" and "batch row" not in run.failure.where
    np.testing.assert_allclose(run.x[[0, 2], -1, 0], [0.1 / 0.8, 0.2 / 0.6], rtol=1e-6)
    closed = simulate(OdeSimulator(Bomb(), dt=0.1), lambda x, t: [0.0], [5.0], 3.0)
    assert closed.status == "diverged" and np.isfinite(closed.x).all() and len(closed) < 30


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: OdeSimulator(plants.Pendulum(), integrator="rk5"), "unknown integrator 'rk5'. Did you mean 'rk45'"),
        (
            lambda: OdeSimulator(plants.DubinsCar(), integrator="semi_implicit_euler"),
            "which DubinsCar has not: use rk4",
        ),
        (lambda: OdeSimulator(plants.Pendulum(), dt=0.0), "dt must be a positive number of seconds, got 0.0"),
        (lambda: OdeSimulator(plants.Pendulum()).step([0, np.nan], [0]), "must be finite, got nan for 'theta_dot'"),
        (lambda: OdeSimulator(plants.Pendulum()).step([0, 0, 0], [0]), r"must have shape \(..., 2\)"),
        (lambda: integrate_events(Ball(), [1.0, 0.0], lambda t, x: [], -1.0), "duration must be a positive number"),
        (
            lambda: integrate_events(Ball(), [np.inf, 0.0], lambda t, x: [], 1.0),
            "state x0 must be finite, got inf for 'z'",
        ),
    ],
)
def test_bad_input_says_what_was_wanted(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", NAMES)
def test_inputs_saturate_in_the_simulator_and_not_in_f(rng, name):
    field = [f for f in vars(make(name)) if f.endswith(("limit", "thrust_max"))]
    plant = type(make(name))(**{field[0]: 0.5, **({"thrust_min": -0.5} if field[0] == "thrust_max" else {})})
    x, _ = states(plant, rng)
    sim, big = OdeSimulator(plant, dt=0.01), np.full(plant.nu, 9.0)
    np.testing.assert_array_equal(sim.step(x, big), sim.step(x, np.full(plant.nu, 0.5)))
    assert np.abs(plant.f(x, big) - plant.f(x, 0 * big + 0.5)).max() > 1e-3
