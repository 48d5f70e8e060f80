"""Differential flatness of both quadrotors, and control that follows what it says."""

import numpy as np
import pytest

from controllers.flatness import (
    PlanarQuadrotorTracking,
    QuadrotorTracking,
    allocate,
    planar_quadrotor_flat,
    quadrotor_flat,
)
from controllers.reference import Sinusoid, minimum_derivative
from sims import OdeSimulator, lie, models, plants, simulate

PLANAR, SPATIAL = plants.PlanarQuadrotor(), plants.Quadrotor()
PLANAR_PATHS = {
    "figure eight": Sinusoid(0.0, [1.0, 0.5], [1.0, 2.0], [0.0, np.pi / 2]),
    "minimum snap": minimum_derivative([0.0, 1.5, 3.0], [[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]),
}
SPATIAL_PATHS = {
    "lissajous with yaw": Sinusoid([0, 0, 1, 0.3], [1.0, 0.5, 0.3, 0.8], [1.0, 2.0, 1.5, 0.7], [0, np.pi / 2, 0.3, 0]),
    "minimum snap": minimum_derivative([0.0, 1.5, 3.0], [[0, 0, 0, 0], [1, 1, 0.5, 1.0], [2, 0, 1, 2.0]]),
}
CASES = [(PLANAR, planar_quadrotor_flat, PlanarQuadrotorTracking, name, path) for name, path in PLANAR_PATHS.items()]
CASES += [(SPATIAL, quadrotor_flat, QuadrotorTracking, name, path) for name, path in SPATIAL_PATHS.items()]
cases = pytest.mark.parametrize(
    ("plant", "flat", "tracking", "name", "path"), CASES, ids=[f"{type(c[0]).__name__}: {c[3]}" for c in CASES]
)


@cases
def test_the_flat_state_and_input_obey_the_equations_of_motion(plant, flat, tracking, name, path):
    t, h = np.linspace(0.1, 2.9, 15), 1e-5
    x, u = flat(plant, path.derivatives(t, 4))
    before, after = (flat(plant, path.derivatives(t + step, 4))[0] for step in (-h, h))
    np.testing.assert_allclose(plant.f(x, u), (after - before) / (2 * h), atol=2e-7)
    one = flat(plant, path.derivatives(t[3], 4))
    np.testing.assert_allclose(one[0], x[3], atol=1e-12)
    np.testing.assert_allclose(one[1], u[3], atol=1e-12)


@cases
def test_open_loop_the_flat_inputs_fly_the_path(plant, flat, tracking, name, path):
    dt, T = 1e-3, 500
    t = dt * np.arange(T + 1)
    x, _ = flat(plant, path.derivatives(t, 4))
    _, u = flat(plant, path.derivatives(t[:-1] + dt / 2, 4))
    run = OdeSimulator(plant, dt=dt).rollout(x[0], u)
    np.testing.assert_allclose(plant.difference(run.x, x), 0.0, atol=1e-4)


@cases
def test_tracking_with_the_exact_model(plant, flat, tracking, name, path):
    sim = OdeSimulator(plant, dt=1e-3)
    x0, _ = flat(plant, path.derivatives(0.0, 4))
    run = simulate(sim, tracking(plant, path), x0, 3.0)
    wanted, _ = flat(plant, path.derivatives(run.t, 4))
    assert np.abs(sim.difference(wanted, run.x)).max() < 1e-3


@cases
def test_tracking_recovers_from_a_bad_start(plant, flat, tracking, name, path, rng):
    """All error components shrink from order one to the level that sampling leaves."""
    sim = OdeSimulator(plant, dt=5e-3)
    x0, _ = flat(plant, path.derivatives(0.0, 4))
    n = plant.nv
    dx = np.concatenate([rng.uniform(-0.7, 0.7, (6, n)), rng.uniform(-0.5, 0.5, (6, n))], axis=1)
    run = simulate(sim, tracking(plant, path), sim.integrate(np.broadcast_to(x0, (6, plant.nx)), dx), 4.0)
    wanted, _ = flat(plant, path.derivatives(run.t[-1], 4))
    error = np.abs(sim.difference(np.broadcast_to(wanted, (6, plant.nx)), run.x[:, -1])).max()
    assert error < 5e-3


def test_a_quadrotor_upside_down_turns_over():
    sim = OdeSimulator(SPATIAL, dt=5e-3)
    rest = Sinusoid(np.zeros(4), 0.0, 0.0)
    x0 = np.zeros(13)
    x0[3:7] = lie.quat_exp(np.array([0.95 * np.pi, 0.0, 0.0]))
    run = simulate(sim, QuadrotorTracking(SPATIAL, rest), x0, 5.0)
    np.testing.assert_allclose(sim.difference(np.eye(13)[3], run.x[-1]), 0.0, atol=1e-3)


@pytest.mark.parametrize("backend", ["MujocoSimulator", "DrakeSimulator"])
def test_tracking_in_the_engines(backend):
    package = {"MujocoSimulator": "mujoco", "DrakeSimulator": "pydrake"}[backend]
    pytest.importorskip(package, reason=f"{backend} needs it: pip install {package.replace('py', '')}")
    import sims

    sim, path = getattr(sims, backend)(models.quadrotor, dt=2e-3), SPATIAL_PATHS["lissajous with yaw"]
    x0, _ = quadrotor_flat(SPATIAL, path.derivatives(0.0, 4))
    run = simulate(sim, QuadrotorTracking(SPATIAL, path), x0, 2.0)
    wanted, _ = quadrotor_flat(SPATIAL, path.derivatives(run.t, 4))
    assert np.abs(run.x[:, :3] - wanted[:, :3]).max() < 5e-3


def test_hover_is_flat_in_the_trivial_way():
    x, u = quadrotor_flat(SPATIAL, Sinusoid([1.0, 2.0, 3.0, 0.0], 0.0, 0.0).derivatives(0.0, 4))
    np.testing.assert_allclose(x, [1, 2, 3, 1, *[0] * 9], atol=1e-12)
    np.testing.assert_allclose(u, SPATIAL.hover, rtol=1e-12)
    x, u = planar_quadrotor_flat(PLANAR, np.zeros((5, 2)))
    np.testing.assert_allclose(x, 0.0, atol=1e-12)
    np.testing.assert_allclose(u, PLANAR.hover, rtol=1e-12)


@pytest.mark.parametrize("yaw", [0.0, 1.0, -2.5, 3.0])
def test_the_nose_points_where_yaw_says(yaw):
    y = SPATIAL_PATHS["lissajous with yaw"].derivatives(0.4, 4).copy()
    y[:, 3] = [yaw, 0, 0, 0, 0]
    x, _ = quadrotor_flat(SPATIAL, y)
    nose = lie.quat_to_matrix(x[3:7])[:, 0]
    assert np.arctan2(nose[1], nose[0]) == pytest.approx(yaw, abs=1e-12)


def test_allocation_inverts_the_rotors(rng):
    u = rng.uniform(0, 5, (10, 4))
    wrench = SPATIAL.B(np.eye(7)[3]) @ u[..., None]
    np.testing.assert_allclose(allocate(SPATIAL, wrench[:, 2, 0], wrench[:, 3:, 0]), u, atol=1e-10)


def test_states_may_be_lists():
    x = [0.1, 0.2, 0.3, 1.0, *np.zeros(9)]
    control = QuadrotorTracking(plants.Quadrotor(), Sinusoid(np.zeros(4), 0.0, 0.0))
    np.testing.assert_array_equal(control(x, 0.0), control(np.array(x), 0.0))
    flat = PlanarQuadrotorTracking(plants.PlanarQuadrotor(), Sinusoid(np.zeros(2), 0.0, 0.0))
    np.testing.assert_array_equal(flat([0.1] * 6, 0.0), flat(np.full(6, 0.1), 0.0))
