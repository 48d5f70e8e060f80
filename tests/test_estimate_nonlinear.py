"""EKF, UKF and particle filter on what is not linear, attitudes included."""

import numpy as np
import pytest
from controller_cases import engine
from estimate_cases import LINEAR, QUAD_P0, TUMBLING, flights, quadrotor, run
from scipy.stats import chi2

from controllers import wrap_angle
from controllers.estimate import EKF, UKF, ParticleFilter
from controllers.estimate.model import Model
from controllers.estimate.particle import systematic
from sims import OdeSimulator, lie, plants


@pytest.mark.parametrize("kind", [EKF, UKF])
def test_attitude_errors_are_as_large_as_the_filter_says(kind):
    """A free body with unknown rates, measured in position and attitude: NEES in the tangent space over 100 flights."""
    model, runs = quadrotor(), 100
    x, y, u = flights(model, np.random.default_rng(0), 60, (runs,))
    y[20, :, :7] = np.nan
    filter = kind(model)
    estimates = run(filter, y, u, np.broadcast_to(TUMBLING, (runs, 13)), QUAD_P0)
    for k in (0, 5, 30, 60):
        e = model.difference(x[k], estimates[k].x)
        nees = float((np.linalg.solve(estimates[k].P, e[..., None])[..., 0] * e).sum())
        assert chi2.ppf(1e-4, 12 * runs) < nees < chi2.ppf(1 - 1e-4, 12 * runs), k
    assert filter.rejected == runs and filter.diverged == 0
    np.testing.assert_allclose(np.linalg.norm(estimates[-1].x[..., 3:7], axis=-1), 1.0, atol=1e-12)
    rates = np.sqrt(np.mean((estimates[-1].x[..., 10:] - x[-1][..., 10:]) ** 2))
    assert rates < 0.1  # 0.2 at the start, never measured


@pytest.mark.parametrize("kind", [EKF, UKF])
def test_the_sign_of_a_quaternion_means_nothing(kind):
    model = quadrotor()
    _, y, u = flights(model, np.random.default_rng(1), 20)
    first = run(kind(model), y, u, TUMBLING, QUAD_P0)[-1]
    y[..., 3:] *= -1
    flipped = TUMBLING.copy()
    flipped[3:7] *= -1
    second = run(kind(model), y, u, flipped, QUAD_P0)[-1]
    np.testing.assert_allclose(model.difference(first.x, second.x), 0.0, atol=1e-9)
    np.testing.assert_allclose(first.P, second.P, atol=1e-10)


@pytest.mark.parametrize("name", ["MujocoSimulator", "DrakeSimulator"])
def test_an_engine_filters_like_the_closed_form(name):
    closed = quadrotor(sim=OdeSimulator(plants.Quadrotor(), dt=5e-3, integrator="semi_implicit_euler"))
    _, y, u = flights(closed, np.random.default_rng(2), 30)
    model = quadrotor(sim=engine(name, "quadrotor", dt=5e-3))
    wanted, found = (run(EKF(m), y, u, TUMBLING, QUAD_P0)[-1] for m in (closed, model))
    np.testing.assert_allclose(closed.difference(wanted.x, found.x), 0.0, atol=1e-6)
    np.testing.assert_allclose(found.P, wanted.P, rtol=1e-4, atol=1e-7)


def test_the_covariance_follows_the_tangent_space():
    """transport against a sample: errors dx + e about x seen from x [+] dx."""
    model, rng = quadrotor(), np.random.default_rng(3)
    dx = np.concatenate([np.zeros(3), [0.9, -0.5, 0.7], np.zeros(6)])
    e = 1e-4 * rng.standard_normal((50_000, 12))
    seen = model.difference(model.integrate(TUMBLING, dx), model.integrate(TUMBLING, dx + e))
    sample = seen.T @ seen / len(e)
    np.testing.assert_allclose(model.transport(TUMBLING, dx, 1e-8 * np.eye(12)), sample, atol=5e-10)


@pytest.mark.parametrize("kind", [EKF, UKF])
def test_a_pendulum_seen_by_a_camera(kind):
    """Its height and the sine of its angle, neither linear: NEES over 200 swings; derivatives by finite differences."""
    sim = OdeSimulator(plants.Pendulum(), dt=0.05)

    def h(x, u):
        return np.stack([np.sin(x[..., 0]), np.cos(x[..., 0])], axis=-1)

    def H(x, u):
        zero = np.zeros_like(x[..., 0])
        return np.stack([np.stack([np.cos(x[..., 0]), zero], -1), np.stack([-np.sin(x[..., 0]), zero], -1)], axis=-2)

    W, V, P0, runs, rng = np.diag([1e-7, 1e-5]), 1e-3 * np.eye(2), np.diag([0.02, 0.1]), 200, np.random.default_rng(4)
    model = Model.of(sim, h, W=W, V=V, H=H)
    x = np.array([2.0, 0.0]) + rng.standard_normal((runs, 2)) @ np.sqrt(P0)
    np.testing.assert_allclose(Model.of(sim, h, W=W, V=V).jacobian_h(x, np.zeros(1)), H(x, None), atol=1e-9)
    filter = kind(model)
    filter.reset(np.broadcast_to([2.0, 0.0], (runs, 2)), P0)
    for k in range(80):
        u = np.array([np.sin(0.3 * k)])
        x = sim.step(x, u) + rng.standard_normal((runs, 2)) @ np.sqrt(W) if k else x
        estimate = filter.update(h(x, u) + rng.standard_normal((runs, 2)) @ np.sqrt(V), u if k else None)
    e = estimate.x - x
    nees = float((np.linalg.solve(estimate.P, e[..., None])[..., 0] * e).sum())
    assert chi2.ppf(1e-4, 2 * runs) < nees < chi2.ppf(1 - 1e-4, 2 * runs)


def test_sigma_points_get_the_moments_of_a_square_right():
    """x ~ N(m, P): x^2 has mean m^2 + P, variance 4 m^2 P + 2 P^2, covariance 2 m P with x."""
    m, P = 0.7, 0.3
    model = Model(f=lambda x, u: x**2, h=lambda x, u: x**2, W=[[0.0]], V=[[0.5]], nu=0)
    filter = UKF(model, alpha=1.0, beta=0.0, kappa=2.0)
    filter.reset([m], [[P]])
    moved = filter.predict(np.empty(0))
    np.testing.assert_allclose(moved.x, m**2 + P, rtol=1e-12)
    np.testing.assert_allclose(moved.P, 4 * m**2 * P + 2 * P**2, rtol=1e-12)
    np.testing.assert_allclose(filter.cross, 2 * m * P, rtol=1e-12)
    filter.reset([m], [[P]])
    seen = filter.update([2.0])
    S = 4 * m**2 * P + 2 * P**2 + 0.5
    np.testing.assert_allclose(seen.x, m + 2 * m * P / S * (2.0 - m**2 - P), rtol=1e-12)
    np.testing.assert_allclose(seen.P, P - (2 * m * P) ** 2 / S, rtol=1e-12)
    with pytest.raises(ValueError, match="positive semidefinite"):
        UKF(model, beta=-3.0)


def test_particles_tend_to_the_kalman_mean_at_one_over_root_n():
    case = LINEAR["random0"]
    _, y, u = case.record(np.random.default_rng(5), 8)
    wanted = run(case.kalman(), y, u, case.x0, case.P0)[-1]
    sizes, errors = [250, 1000, 4000, 16000], []
    for N in sizes:
        found = [run(ParticleFilter(case.model(), N, seed=s), y, u, case.x0, case.P0)[-1] for s in range(12)]
        miss = np.array([np.linalg.solve(np.linalg.cholesky(wanted.P), estimate.x - wanted.x) for estimate in found])
        errors.append(np.sqrt(np.mean(miss**2)))
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert -0.65 < slope < -0.35
    assert errors[-1] < 0.1
    np.testing.assert_allclose(np.mean([e.P for e in found], axis=0), wanted.P, atol=0.05 * np.abs(wanted.P).max())


def test_systematic_resampling_draws_floor_or_ceil():
    rng = np.random.default_rng(6)
    total = np.zeros(40)
    for _ in range(500):
        w = rng.random(40) ** 3
        w /= w.sum()
        counts = np.bincount(systematic(w, rng), minlength=40)
        assert counts.sum() == 40
        assert ((counts >= np.floor(40 * w - 1e-9)) & (counts <= np.ceil(40 * w + 1e-9))).all()
        total += counts - 40 * w
    assert np.abs(total / 500).max() < 0.1  # unbiased
    one = np.zeros(7)
    one[3] = 1.0
    assert (systematic(one, rng) == 3).all()


def test_a_particle_filter_repeats_itself_and_survives():
    case = LINEAR["random0"]
    _, y, u = case.record(np.random.default_rng(7), 20)
    y[3], y[5, 0] = np.nan, np.inf
    filter = ParticleFilter(case.model(), 500, seed=1)
    first = run(filter, y, u, case.x0, case.P0)
    assert filter.rejected == 2 and first[3].status == "rejected"
    again = run(filter, y, u, case.x0, case.P0)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.P, b.P)
    assert 1.0 <= filter.effective <= 500.0

    def log_likelihood(y, x, u):
        e = y - x @ case.C.T
        return -0.5 * (e @ np.linalg.inv(case.V) * e).sum(-1)

    own = ParticleFilter(case.model(), 500, seed=1, log_likelihood=log_likelihood)
    y[5] = np.nan
    np.testing.assert_allclose(
        run(own, y, u, case.x0, case.P0)[-1].x, run(filter, y, u, case.x0, case.P0)[-1].x, atol=1e-6
    )
    filter.update(np.full(len(case.C), 1e300), u[0])
    filter.update(y[0], u[0])
    assert np.isfinite(filter.x).all() and np.isclose(filter.weights.sum(), 1.0)


def test_a_compass_that_passes_north():
    """The innovation of an angle is wrapped: a heading that turns for ever, measured within (-pi, pi]."""
    model = Model(
        f=lambda x, u: x + 0.1 * np.stack([x[..., 1], 0 * x[..., 1]], axis=-1),
        h=lambda x, u: x[..., :1],
        W=np.diag([1e-6, 1e-6]),
        V=[[1e-4]],
        nu=0,
        residual=lambda expected, y: wrap_angle(y - expected),
    )
    for filter in (EKF(model), UKF(model), ParticleFilter(model, 2000, seed=0)):
        filter.reset([0.0, 0.9], np.diag([0.1, 0.1]))
        rng, heading = np.random.default_rng(9), 0.0
        for k in range(200):
            heading += 0.1 * (k > 0)
            estimate = filter.update(wrap_angle([heading + 0.01 * rng.standard_normal()]), np.empty(0) if k else None)
        np.testing.assert_allclose(estimate.x, [heading, 1.0], atol=0.03)


def test_particles_that_diverge_count_no_more():
    model = Model(f=lambda x, u: np.where(x > 1.0, np.nan, x), h=lambda x, u: x, W=[[1e-4]], V=[[1.0]], nu=0)
    filter = ParticleFilter(model, 1000, seed=4)
    filter.reset([0.0], [[1.0]])
    start = filter.particles.copy()
    estimate = filter.predict(np.empty(0))
    assert (filter.weights[start[:, 0] > 1.0] == 0.0).all() and estimate.status == "ok"
    assert estimate.x[0] == pytest.approx(start[start <= 1.0].mean(), abs=1e-2)
    filter.reset([50.0], [[1.0]])
    assert filter.update([50.0], np.empty(0)).status == "diverged" and np.isfinite(filter.x).all()


def test_particles_keep_two_hypotheses():
    """Only |x| is seen: half of the weight stays on either side, where a Gaussian filter must choose."""
    model = Model(f=lambda x, u: x, h=lambda x, u: np.abs(x), W=[[1e-4]], V=[[0.01]], nu=0)
    filter = ParticleFilter(model, 4000, seed=2)
    filter.reset([0.0], [[4.0]])
    for _ in range(5):
        estimate = filter.update([1.0], np.empty(0))
    side = filter.weights[filter.particles[:, 0] > 0].sum()
    assert 0.4 < side < 0.6 and abs(estimate.x[0]) < 0.2
    np.testing.assert_allclose(np.sqrt(estimate.P[0, 0]), 1.0, atol=0.05)


def test_particles_of_attitudes():
    """An attitude alone, turned by a gyroscope, seen by two directions: plain functions of quaternions."""
    north, down, dt = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, -1.0]), 0.1

    def h(q, u):
        return np.concatenate([lie.quat_rotate(lie.quat_conjugate(q), d) for d in (north, down)], axis=-1)

    model = Model(
        f=lambda q, u: lie.quat_integrate(q, dt * u),
        h=h,
        W=1e-3 * np.eye(3),
        V=1e-2 * np.eye(6),
        nu=3,
        difference=lie.quat_difference,
        integrate=lie.quat_integrate,
    )
    rng, P0 = np.random.default_rng(8), np.diag([0.03, 0.01, 0.02])
    q = lie.quat_integrate(np.array([0.0, 1.0, 0.0, 0.0]), np.sqrt(P0) @ rng.standard_normal(3))
    y, u = [h(q, None) + 0.1 * rng.standard_normal(6)], rng.standard_normal((12, 3))
    for k in range(12):
        q = lie.quat_integrate(q, dt * u[k] + np.sqrt(1e-3) * rng.standard_normal(3))
        y.append(h(q, None) + 0.1 * rng.standard_normal(6))
    filters = [EKF(model), UKF(model), ParticleFilter(model, 20_000, seed=3)]
    found = [run(filter, np.array(y), u, np.array([0.0, 1.0, 0.0, 0.0]), P0)[-1] for filter in filters]
    for estimate in found:
        e = lie.quat_difference(q, estimate.x)
        assert e @ np.linalg.solve(estimate.P, e) < chi2.ppf(1 - 1e-3, 3)
        e = lie.quat_difference(found[-1].x, estimate.x)
        assert e @ np.linalg.solve(estimate.P, e) < 0.02
        np.testing.assert_allclose(estimate.P, found[-1].P, atol=0.1 * np.abs(found[-1].P).max())
        assert np.linalg.norm(estimate.x) == pytest.approx(1.0, abs=1e-9)
