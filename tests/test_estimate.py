"""Observers and the Kalman filter: Riccati equations, least squares, statistics, and measurements that are broken."""

import numpy as np
import pytest
from estimate_cases import FILTERS, LINEAR, least_squares, random_linear, run
from scipy.linalg import expm, solve_continuous_are, solve_discrete_are
from scipy.stats import chi2

from controllers.estimate import (
    EKF,
    UKF,
    KalmanFilter,
    Luenberger,
    Model,
    dkalman,
    kalman,
    place_observer,
    sampled_noise,
)

BAD = [np.nan, np.inf, -np.inf, 1e308, -1e200]


@pytest.mark.parametrize("name", LINEAR)
def test_steady_gains_solve_the_dual_riccati_equations(name):
    case = LINEAR[name]
    L, P = kalman(case.A, case.C, case.W, case.V)
    wanted = solve_continuous_are(case.A.T, case.C.T, case.W, case.V)
    np.testing.assert_allclose(P, wanted, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(L, wanted @ case.C.T @ np.linalg.inv(case.V), rtol=1e-7, atol=1e-9)
    L, P = dkalman(case.A, case.C, case.W, case.V)
    wanted = solve_discrete_are(case.A.T, case.C.T, case.W, case.V)
    np.testing.assert_allclose(P, wanted, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(L @ (case.C @ P @ case.C.T + case.V), P @ case.C.T, atol=1e-10)


@pytest.mark.parametrize("name", LINEAR)
def test_the_time_varying_filter_settles_at_the_steady_gain(name):
    case = LINEAR[name]
    L, P = dkalman(case.A, case.C, case.W, case.V)
    _, y, u = case.record(np.random.default_rng(1), 400)
    estimates = run(case.kalman(), y, u, case.x0, case.P0)
    after = (np.eye(len(P)) - L @ case.C) @ P
    np.testing.assert_allclose(estimates[-1].P, after, rtol=1e-9, atol=1e-11)
    steady = run(Luenberger(case.model(), L, P=after), y, u, case.x0, None)
    np.testing.assert_allclose(steady[-1].x, estimates[-1].x, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("kind", FILTERS)
def test_the_filter_is_the_least_squares_fit_of_what_it_saw(name, kind):
    case = LINEAR[name]
    _, y, u = case.record(np.random.default_rng(2), 12)
    y[4] = np.nan
    y[7, 0] = np.inf
    estimates = run(FILTERS[kind](case), y, u, case.x0, case.P0)
    for k in (0, 3, 4, 7, 12):
        x, P = least_squares(case, y[: k + 1], u[:k])
        np.testing.assert_allclose(estimates[k].x, x[-1], rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(estimates[k].P, P[-1], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", FILTERS)
def test_a_batch_is_its_rows(kind):
    case = LINEAR["random1"]
    _, y, u = case.record(np.random.default_rng(3), 10, (3, 2))
    y[2, 1, 0] = np.nan
    y[5, 0, 1, 0] = np.inf
    u[4] = u[4, :1, :1]
    together = run(FILTERS[kind](case), y, u, case.x0, case.P0)[-1]
    for row in np.ndindex(3, 2):
        alone = run(FILTERS[kind](case), y[:, *row], u[:, *row], case.x0, case.P0)[-1]
        np.testing.assert_allclose(together.x[row], alone.x, atol=1e-9)
        np.testing.assert_allclose(np.broadcast_to(together.P, (3, 2, *alone.P.shape))[row], alone.P, atol=1e-9)


@pytest.mark.parametrize("kind", ["KalmanFilter", "UKF"])
def test_errors_are_as_large_as_the_filter_says(kind):
    """NEES over 400 runs, and the sum of all NIS: both chi-square, two-sided at 1e-4 each."""
    case, runs, T = LINEAR["random0"], 400, 30
    x, y, u = case.record(np.random.default_rng(4), T, (runs,))
    estimates = run(FILTERS[kind](case), y, u, np.broadcast_to(case.x0, x.shape[1:]), case.P0)
    n, ny = case.B.shape[0], len(case.C)
    for k in (0, 1, 5, T):
        e = estimates[k].x - x[k]
        nees = float((np.linalg.solve(estimates[k].P, e[..., None])[..., 0] * e).sum())
        assert chi2.ppf(5e-5, runs * n) < nees < chi2.ppf(1 - 5e-5, runs * n)
    nis = sum(float(estimate.nis.sum()) for estimate in estimates)
    assert chi2.ppf(5e-5, runs * ny * (T + 1)) < nis < chi2.ppf(1 - 5e-5, runs * ny * (T + 1))


def test_matrices_may_change_with_time():
    case = LINEAR["random2"]
    A, C, W = (lambda t: case.A * np.cos(0.3 * t)), (lambda t: case.C * (1 + t)), (lambda t: case.W * (1 + t))
    _, y, u = case.record(np.random.default_rng(5), 8)
    estimates = run(KalmanFilter(A, case.B, C, W=W, V=case.V), y, u, case.x0, case.P0)
    for k in range(9):  # one fixed filter per step, the covariance handed on
        fixed = KalmanFilter(A(k - 1.0), case.B, C(float(k)), W=W(k - 1.0) if k else case.W, V=case.V)
        fixed.reset(*((estimates[k - 1].x, estimates[k - 1].P) if k else (case.x0, case.P0)))
        again = fixed.update(y[k], u[k - 1] if k else None)
        np.testing.assert_allclose(again.x, estimates[k].x, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(again.P, estimates[k].P, rtol=1e-12, atol=1e-12)


def test_the_covariance_stays_semidefinite_where_the_plain_update_does_not():
    A, C = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 1e-7]])
    filter = KalmanFilter(A, np.zeros((2, 1)), C, W=np.zeros((2, 2)), V=1e-14 * np.eye(2))
    filter.reset(np.zeros(2), 1e6 * np.eye(2))
    for _ in range(2000):
        P = filter.update(np.zeros(2), np.zeros(1)).P
        assert np.linalg.eigvalsh(P)[0] >= -1e-12 * np.abs(P).max()
        np.testing.assert_array_equal(P, P.T)


@pytest.mark.parametrize("dt", [1e-3, 0.1, 2.0])
def test_sampled_noise(dt):
    q = 0.7
    found = sampled_noise([[0.0, 1.0], [0.0, 0.0]], np.diag([0.0, q]), dt)
    np.testing.assert_allclose(found, q * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]]), rtol=1e-12)
    case = LINEAR["random3"]
    s, weight = np.polynomial.legendre.leggauss(40)
    E = np.array([expm(case.A * dt * (si + 1) / 2) for si in s])
    wanted = np.einsum("k,kij,jl,kml->im", weight * dt / 2, E, case.W, E)
    np.testing.assert_allclose(sampled_noise(case.A, case.W, dt), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", LINEAR)
def test_fast_sampling_tends_to_the_continuous_filter(name):
    """L/dt of the sampled filter goes to L, with an error of order dt; V/dt is what averaging over dt leaves of V."""
    case, errors = LINEAR[name], []
    L, P = kalman(case.A, case.C, case.W, case.V)
    for dt in (2e-3, 1e-3):
        Ld, Pd = dkalman(expm(case.A * dt), case.C, sampled_noise(case.A, case.W, dt), case.V / dt)
        errors.append([np.abs(Ld / dt - L).max(), np.abs(Pd - P).max()])
    np.testing.assert_allclose(np.array(errors[0]) / errors[1], 2.0, rtol=0.1)


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("discrete", [False, True])
def test_observer_poles_are_where_they_were_wanted(name, discrete):
    case = LINEAR[name]
    n = len(case.A)
    wanted = np.linspace(0.1, 0.6, n) - (0.0 if discrete else 3.0)
    L = place_observer(case.A, case.C, wanted, discrete=discrete)
    M = (np.eye(n) - L @ case.C) @ case.A if discrete else case.A - L @ case.C
    np.testing.assert_allclose(np.poly(M), np.poly(wanted), rtol=1e-6, atol=1e-8)


def test_a_dead_beat_observer_knows_the_state_after_n_steps():
    case = random_linear(11)
    C = case.C[:1]
    model = Model.linear(case.A, case.B, C, W=case.W, V=case.V[:1, :1])
    L = place_observer(case.A, C, np.zeros(len(case.A)), discrete=True)
    rng, x = np.random.default_rng(6), case.x0
    observer = Luenberger(model, L)
    observer.reset(np.zeros(len(x)))
    observer.update(C @ x)
    for _ in range(len(x)):
        u = rng.standard_normal(case.B.shape[1])
        x = case.A @ x + case.B @ u
        estimate = observer.update(C @ x, u)
    np.testing.assert_allclose(estimate.x, x, atol=1e-8)
    assert estimate.P is None and estimate.nis is None


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", FILTERS)
def test_a_broken_measurement_is_counted_and_never_poisons(kind, bad):
    case = LINEAR["random4"]
    _, y, u = case.record(np.random.default_rng(7), 40)
    filter = FILTERS[kind](case)
    filter.gate = 1e6
    filter.reset(case.x0, case.P0)
    for k in range(41):
        broken = k % 3 == 1
        before = filter.predict(u[k - 1]) if k else None
        estimate = filter.correct(np.full_like(y[k], bad) if broken else y[k])
        assert np.isfinite(estimate.x).all()
        assert np.isfinite(estimate.P).all()
        if broken:
            assert estimate.status == "rejected" and not estimate.used.any() and not estimate.innovation.any()
            np.testing.assert_array_equal(estimate.x, before.x)
    assert filter.rejected == 14
    assert filter.update(None, u[0]).status == "ok"  # nothing arrived: nothing to reject


def test_an_observer_predicts_where_it_is_not_told_anything():
    case = LINEAR["random1"]
    _, y, u = case.record(np.random.default_rng(8), 30)
    L, _ = dkalman(case.A, case.C, case.W, case.V)
    y[10:15] = np.nan
    y[20:22, 0] = -np.inf
    observer = Luenberger(case.model(), L)
    found = run(observer, y, u, case.x0, None)
    x = case.x0
    for k in range(31):
        x = case.A @ x + case.B @ u[k - 1] if k else x
        x = x + L @ np.where(np.isfinite(y[k]), y[k] - case.C @ x, 0.0)
        np.testing.assert_allclose(found[k].x, x, rtol=1e-12, atol=1e-12)
    assert observer.rejected == 7


@pytest.mark.parametrize("kind", FILTERS)
def test_a_filter_that_sees_nothing_any_more_stays_finite(kind):
    case = LINEAR["random0"]  # unstable: x and P grow by 2 % a step
    filter = FILTERS[kind](case)
    filter.reset(case.x0, case.P0)
    for _ in range(25_000 if kind == "KalmanFilter" else 2_000):
        estimate = filter.update(np.full(len(case.C), np.nan), np.ones(case.B.shape[1]))
    assert np.isfinite(estimate.x).all() and np.isfinite(estimate.P).all()
    assert kind != "KalmanFilter" or (filter.diverged > 0 and estimate.status == "diverged")


def test_gate():
    case = LINEAR["random0"]
    filter = case.kalman(gate=chi2.ppf(0.999, len(case.C)))
    filter.reset(case.x0, case.P0)
    assert filter.update(case.C @ case.x0).status == "ok"
    rejected = filter.update(case.C @ case.x0 + 1e3, np.zeros(case.B.shape[1]))
    assert rejected.status == "rejected" and filter.rejected == 1 and rejected.nis > filter.gate


def test_a_model_that_diverges_is_reported_and_the_estimate_kept():
    model = Model(f=lambda x, u: np.exp(1e3 * x), h=lambda x, u: x, W=np.eye(1), V=np.eye(1), nu=1)
    for filter in (EKF(model), UKF(model)):
        filter.reset([1.0], np.eye(1))
        estimate = filter.update([1.5], np.zeros(1))
        assert estimate.status == "diverged" and filter.diverged == 1
        assert np.isfinite(estimate.x).all() and estimate.x[0] == pytest.approx(1.25)


DI = dict(A=np.array([[1.0, 1.0], [0.0, 1.0]]), B=np.array([[0.5], [1.0]]), C=np.array([[1.0, 0.0]]))
ERRORS = {
    "not detectable": (lambda: dkalman(DI["A"], [[0.0, 1.0]], np.eye(2), np.eye(1)), r"dkalman: .*not detectable.*1"),
    "undriven mode": (lambda: kalman(np.zeros((1, 1)), [[1.0]], [[0.0]], [[1.0]]), "neither grows nor decays"),
    "V semidefinite": (lambda: dkalman(DI["A"], DI["C"], np.eye(2), [[0.0]]), "V must be positive definite"),
    "W not symmetric": (lambda: kalman(DI["A"], DI["C"], [[1, 1], [0, 1]], np.eye(1)), "W must be finite and symm"),
    "C of another size": (lambda: kalman(DI["A"], [[1.0]], np.eye(2), np.eye(1)), "kalman: .*beside"),
    "W of another size": (lambda: KalmanFilter(**DI, W=np.eye(3), V=np.eye(1)), r"W must be \(2, 2\), got \(3, 3\)"),
    "matrices": (lambda: KalmanFilter(DI["A"], np.eye(3), DI["C"], W=np.eye(2), V=np.eye(1)), "do not fit"),
    "a vector for a matrix": (
        lambda: KalmanFilter(lambda t: [1.0], [[1.0]], [[1.0]], W=[[1]], V=[[1]]),
        "must be matr",
    ),
    "gate": (lambda: KalmanFilter(**DI, W=np.eye(2), V=np.eye(1), gate=-1.0), "gate must be a positive bound"),
    "poles": (lambda: place_observer(DI["A"], DI["C"], [0.1, 0.2, 0.3]), "2 poles"),
    "one of a conjugate pair": (lambda: place_observer(DI["A"], DI["C"], [0.1 + 1j, 0.2]), "conjugate pairs"),
    "unobservable": (lambda: place_observer(DI["A"], [[0.0, 1.0]], [0.1, 0.2]), "not observable"),
    "L": (lambda: Luenberger(Model.linear(**DI, W=np.eye(2), V=np.eye(1)), np.eye(2)), r"L must be .*\(2, 1\)"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_is_wrong(name):
    call, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_calls_in_the_wrong_order_or_shape():
    filter = KalmanFilter(**DI, W=np.eye(2), V=np.eye(1))
    with pytest.raises(ValueError, match="reset"):
        filter.update([0.0])
    with pytest.raises(ValueError, match=r"P0 .* is missing"):
        filter.reset(np.zeros(2))
    with pytest.raises(ValueError, match="x0 must be finite"):
        filter.reset([np.nan, 0.0], np.eye(2))
    with pytest.raises(ValueError, match="2 tangent coordinates"):
        filter.reset(np.zeros(3), np.eye(2))
    with pytest.raises(ValueError, match="P0 must be positive semidefinite"):
        filter.reset(np.zeros(2), -np.eye(2))
    filter.reset(np.zeros(2), np.eye(2))
    for x0, P0 in (([np.nan, 0.0], np.eye(2)), (np.ones(2), -np.eye(2))):
        with pytest.raises(ValueError, match="KalmanFilter: "):
            filter.reset(x0, P0)
        np.testing.assert_array_equal(filter.x, 0.0)  # what was refused changed nothing
    with pytest.raises(ValueError, match=r"y must be \(..., 1\)"):
        filter.update(np.zeros(2))
    with pytest.raises(ValueError, match="u must be finite"):
        filter.update([0.0], [np.nan])
    estimate = filter.update([0.1])
    estimate.x[:] = estimate.P[:] = np.nan  # what was handed out is a copy
    assert np.isfinite(filter.update([0.1], [0.0]).x).all()
