"""Smoothing, control from measurements, and disturbances that are estimated and cancelled."""

import numpy as np
import pytest
from controller_cases import engine
from estimate_cases import (
    FILTERS,
    LINEAR,
    QUAD_P0,
    TUMBLING,
    flights,
    least_squares,
    noisy_pose,
    quadrotor,
    random_linear,
    run,
    stationary,
)
from scipy.linalg import block_diag

from controllers import LinearFeedback, balance, dlqr, observable
from controllers.estimate import (
    EKF,
    UKF,
    KalmanFilter,
    Luenberger,
    Model,
    OutputFeedback,
    ParticleFilter,
    Sensor,
    cancel,
    dkalman,
    lqg,
    lqg_cost,
    smooth,
    with_disturbance,
)
from sims import OdeSimulator, plants, simulate
from sims.ode import rk4

UPRIGHT = np.array([np.pi, 0.0, 0.0, 0.0])


def encoders(x, u):
    return x[..., :2]


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("kind", FILTERS)
def test_the_smoother_is_the_least_squares_fit_of_the_record(name, kind):
    case = LINEAR[name]
    _, y, u = case.record(np.random.default_rng(0), 15)
    y[6:9] = np.nan
    y[11, 0] = np.inf
    found = smooth(FILTERS[kind](case), y, u, case.x0, case.P0)
    x, P = least_squares(case, y, u)
    np.testing.assert_allclose(found.x, x, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.P, P, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.filtered_x[-1], found.x[-1])
    assert found.rejected == 4


def test_smoothing_a_batch_of_attitudes_beats_filtering_them():
    model, runs = quadrotor(), 40
    x, y, u = flights(model, np.random.default_rng(1), 40, (runs,))
    u = np.broadcast_to(u[:, None], (40, runs, 4))
    for kind in (EKF, UKF):
        found = smooth(kind(model), y, u, np.broadcast_to(TUMBLING, (runs, 13)), QUAD_P0)
        e = model.difference(x, found.x)
        nees = (np.linalg.solve(found.P, e[..., None])[..., 0] * e).sum(-1).mean(-1)
        assert ((nees > 9.0) & (nees < 15.5)).all()  # 12, plus or minus 4 deviations
        filtered = model.difference(x, found.filtered_x)
        assert (np.abs(e[:20]).mean((0, 1)) < 0.8 * np.abs(filtered[:20]).mean((0, 1))).all()


def test_smoothing_needs_a_filter_that_knows_its_covariance():
    case = LINEAR["random0"]
    _, y, u = case.record(np.random.default_rng(2), 3)
    with pytest.raises(ValueError, match="between them, got 2"):
        smooth(case.kalman(), y, u[:2], case.x0, case.P0)
    with pytest.raises(ValueError, match="use KalmanFilter, EKF or UKF"):
        smooth(ParticleFilter(case.model(), 10, seed=0), y, u, case.x0, case.P0)


def test_a_state_known_exactly_is_smoothed_too():
    case = LINEAR["random0"]
    _, y, u = case.record(np.random.default_rng(3), 5)
    n = len(case.A)
    model = Model.linear(case.A, case.B, case.C, W=np.zeros((n, n)), V=case.V)
    found = smooth(EKF(model), y, u, case.x0, np.zeros((n, n)))
    x = case.x0
    for k in range(6):
        np.testing.assert_allclose(found.x[k], x, rtol=1e-9, atol=1e-9)
        x = case.A @ x + case.B @ u[min(k, 4)]


def lqg_of(case):
    n, nu = case.B.shape
    Q, R = np.eye(n) + 0.1 * np.ones((n, n)), 0.5 * np.eye(nu)
    K, _ = dlqr(case.A, case.B, Q, R)
    L, _ = dkalman(case.A, case.C, case.W, case.V)
    return Q, R, K, L


def closed_loop(A, B, C, K, L, W, V) -> np.ndarray:
    """The stationary covariance (2 n, 2 n) of (x, x - xhat) under u = -K xhat, xhat = xbar + L (y - C xbar)."""
    I, none = np.eye(len(A)), np.zeros((len(A), len(C)))
    F = np.block([[A - B @ K, B @ K], [0 * A, (I - L @ C) @ A]])
    G = np.block([[I, none], [I - L @ C, -L]])
    return stationary(F, G @ block_diag(W, V) @ G.T)


@pytest.mark.parametrize("name", LINEAR)
def test_the_cost_of_lqg_is_that_of_the_closed_loop(name):
    """tr(SW) + tr(K'(R + B'SB) K P) against the stationary covariance of plant and filter together."""
    case = LINEAR[name]
    Q, R, K, L = lqg_of(case)
    A, B, C, n = case.A, case.B, case.C, len(case.A)
    X = closed_loop(A, B, C, K, L, case.W, case.V)
    U = np.hstack([K, -K])
    wanted = np.trace(Q @ X[:n, :n]) + np.trace(R @ U @ X @ U.T)
    assert lqg_cost(A, B, C, Q, R, W=case.W, V=case.V) == pytest.approx(wanted, rel=1e-7)


def test_lqg_costs_what_it_should_and_nothing_near_it_costs_less():
    """Mean cost per step over 64 runs of 1500 steps: within 4 standard errors; other gains cost more."""
    case, runs, T = LINEAR["random0"], 64, 1500
    Q, R, K, L = lqg_of(case)
    least = lqg_cost(case.A, case.B, case.C, Q, R, W=case.W, V=case.V)

    def mean_cost(K, L):
        n, ny, rng = len(case.A), len(case.C), np.random.default_rng(4)
        controller = OutputFeedback(Luenberger(case.model(), L), LinearFeedback(K, np.zeros(n)), x0=np.zeros(n))
        rootW, rootV = np.linalg.cholesky(case.W).T, np.linalg.cholesky(case.V).T
        x, cost = np.zeros((runs, n)), np.zeros(runs)
        for k in range(T):
            u = controller(x @ case.C.T + rng.standard_normal((runs, ny)) @ rootV, float(k))
            if k >= 100:
                cost += ((x @ Q) * x).sum(-1) + ((u @ R) * u).sum(-1)
            x = x @ case.A.T + u @ case.B.T + rng.standard_normal((runs, n)) @ rootW
        return cost / (T - 100)

    best = mean_cost(K, L)
    assert abs(best.mean() - least) < 4 * best.std(ddof=1) / np.sqrt(runs)
    for other in (mean_cost(1.15 * K, L), mean_cost(0.85 * K, L), mean_cost(K, 0.7 * L), mean_cost(K, 1.3 * L)):
        extra = other - best  # the same noise
        assert extra.mean() > 4 * extra.std(ddof=1) / np.sqrt(runs)


@pytest.mark.parametrize("name", ["MujocoSimulator", "DrakeSimulator"])
def test_an_acrobot_balances_on_its_encoders(name):
    sim = engine(name, "acrobot", dt=5e-3)
    W, V, Q = np.diag([1e-12, 1e-12, 1e-8, 1e-8]), 1e-8 * np.eye(2), np.diag([10.0, 10, 1, 1])
    controller = lqg(sim, UPRIGHT, 0.0, Q, np.eye(1), encoders, W=W, V=V, seed=0)
    x0 = UPRIGHT + np.array([0.01, -0.01, 0.0, 0.0])
    balanced, again = simulate(sim, controller, x0, 40.0), simulate(sim, controller, x0, 2.0)
    np.testing.assert_array_equal(balanced.x[:401], again.x)
    assert balanced.status == "ok" and controller.filter.rejected == 0
    A, B = sim.linearize(UPRIGHT, np.zeros(1))  # what the noise alone must do to the closed loop
    X = closed_loop(A, B, np.eye(4)[:2], controller.feedback.K, controller.filter.L, 0 * W, V)
    spread = np.std(balanced.x[2000:], axis=0)
    np.testing.assert_allclose(spread, np.sqrt(np.diag(X)[:4]), rtol=0.25)
    broken = OutputFeedback(controller.filter, controller.feedback, x0=UPRIGHT, sensor=_failing(controller.sensor))
    blind = simulate(sim, broken, x0, 10.0)
    assert blind.status == "ok" and np.abs(blind.x[1000:] - UPRIGHT).max() < 10 * spread.max()
    assert broken.filter.rejected == 200


def _failing(sensor):
    """Every tenth measurement is not a number."""
    count = iter(range(10**6))
    return lambda x, u: sensor(x, u) * (np.nan if next(count) % 10 == 9 else 1.0)


def test_the_quadrotor_hovers_on_its_pose():
    sim = OdeSimulator(plants.Quadrotor(), dt=0.01)
    x_goal = np.concatenate([np.zeros(3), [1.0, 0, 0, 0], np.zeros(6)])
    feedback, _ = balance(sim, x_goal, sim.system.hover, np.eye(12), 0.1 * np.eye(4))
    rng = np.random.default_rng(5)
    controller = OutputFeedback(
        EKF(quadrotor(sim=sim)), feedback, x0=x_goal, P0=QUAD_P0, sensor=lambda x, u: noisy_pose(x, rng)
    )
    x0 = sim.integrate(x_goal, np.array([0.3, -0.2, 0.1, 0.3, -0.2, 0.5, 0, 0, 0, 0.1, 0.1, 0]))
    flight = simulate(sim, controller, x0, 6.0)
    assert flight.status == "ok"
    assert np.abs(sim.difference(x_goal, flight.x[-100:])[..., :6]).max() < 0.05


def test_no_fault_of_a_sensor_reaches_the_plant():
    """10 000 steps, a third of the measurements lost, broken or absurd: every command is finite and within limits."""
    sim = OdeSimulator(plants.Pendulum(torque_limit=3.0), dt=0.02)
    goal, rng = np.array([np.pi, 0.0]), np.random.default_rng(9)
    feedback, _ = balance(sim, goal, 0.0, np.diag([10.0, 1.0]), np.eye(1))
    model = Model.of(sim, encoders, W=1e-6 * np.eye(2), V=1e-6 * np.eye(2))
    for filter in (EKF(model, gate=50.0), UKF(model, gate=50.0)):
        controller = OutputFeedback(filter, feedback, x0=goal, P0=1e-4 * np.eye(2), u_min=sim.u_min, u_max=sim.u_max)
        x, faults, lost = goal + 0.01, 0, 0
        for k in range(5_000):
            y = x + 1e-3 * rng.standard_normal(2)
            fault = rng.integers(0, 12)
            if fault < 4:
                y = [np.array([np.nan, y[1]]), np.array([y[0], -np.inf]), np.array([1e300, -1e200]), None][fault]
            faults, lost = faults + (fault < 3), lost + (fault == 3)
            u = controller(y, k * sim.dt)
            assert np.isfinite(u).all() and (np.abs(u) <= 3.0).all()
            x = sim.step(x, u)
        assert lost > 300 and faults > 900
        assert faults <= filter.rejected <= faults + 5  # the gate itself turns away one good measurement in 1e10
        assert np.abs(x - goal).max() < 0.02


def test_limits_reach_the_filter():
    """A saturated input is the one the filter hears of: blind, with a model that knows no limits, it stays exact."""
    plant = plants.Pendulum(torque_limit=0.5)
    sim = OdeSimulator(plant, dt=0.02)
    model = Model(f=lambda x, u: rk4(plant, x, u, sim.dt), h=lambda x, u: x[..., :1], W=np.eye(2), V=[[1.0]], nu=1)
    controller = OutputFeedback(
        Luenberger(model, np.zeros((2, 1))),
        LinearFeedback([[50.0, 10.0]], [np.pi, 0.0]),
        x0=[0.1, 0.0],
        sensor=Sensor(model.h, np.zeros((1, 1)), seed=0),
        u_min=sim.u_min,
        u_max=sim.u_max,
    )
    commands = []
    swing = simulate(sim, lambda x, t: commands.append(controller(x, t)) or commands[-1], np.array([0.1, 0.0]), 1.0)
    assert np.abs(commands).max() == 0.5
    np.testing.assert_allclose(controller.estimate.x, swing.x[-2], atol=1e-12)


def test_a_sensor_repeats_its_noise_and_has_its_covariance():
    V = np.array([[2.0, 0.6], [0.6, 0.5]])
    sensor = Sensor(encoders, V, seed=3)
    x = np.zeros((40_000, 4))
    first = sensor(x, None)
    sensor.reset()
    np.testing.assert_array_equal(sensor(x, None), first)
    np.testing.assert_allclose(np.cov(first.T), V, atol=0.05)


def test_a_controller_starts_anew_when_time_does():
    case = LINEAR["random0"]
    _, _, K, L = lqg_of(case)
    controller = OutputFeedback(Luenberger(case.model(), L), LinearFeedback(K, np.zeros(len(case.A))), x0=case.x0)
    y = np.ones(len(case.C))
    first = [controller(y, t) for t in (0.0, 1.0, 2.0)]
    again = [controller(y, t) for t in (0.0, 1.0, 2.0)]
    np.testing.assert_array_equal(first, again)
    with pytest.raises(ValueError, match="u_min must not exceed u_max"):
        OutputFeedback(controller.filter, controller.feedback, x0=case.x0, u_min=1.0, u_max=-1.0)


@pytest.mark.parametrize("where", ["E", "Bd", "Cd"])
@pytest.mark.parametrize("kind", [EKF, UKF])
def test_a_constant_disturbance_is_found(where, kind):
    case = random_linear(21)
    (n, _), ny = case.B.shape, len(case.C)
    rng = np.random.default_rng(6)
    M = {"E": np.eye(case.B.shape[1])[:, :1], "Bd": rng.standard_normal((n, 1)), "Cd": np.ones((ny, 1))}[where]
    model = with_disturbance(
        Model.linear(case.A, case.B, case.C, W=1e-12 * np.eye(n), V=1e-10 * np.eye(ny)), [[0.0]], **{where: M}
    )
    z, filter = np.append(case.x0, 0.37), kind(model)
    filter.reset(np.zeros(n + 1), np.eye(n + 1))
    filter.update(model.h(z, np.zeros(case.B.shape[1])))
    for _ in range(60):
        u = rng.standard_normal(case.B.shape[1]) - 0.1 * z[: case.B.shape[1]]
        z = model.f(z, u)
        estimate = filter.update(model.h(z, u), u)
    assert z[-1] == 0.37
    np.testing.assert_allclose(estimate.x[-1], 0.37, atol=1e-3)


def test_the_augmented_filter_is_the_kalman_filter_of_the_augmented_matrices():
    case = random_linear(22)
    n, nu = case.B.shape
    Wd, rng = 0.3 * np.eye(nu), np.random.default_rng(7)
    A = np.block([[case.A, case.B], [np.zeros((nu, n)), np.eye(nu)]])
    B, C = np.vstack([case.B, np.zeros((nu, nu))]), np.hstack([case.C, np.zeros((len(case.C), nu))])
    W = np.block([[case.W, np.zeros((n, nu))], [np.zeros((nu, n)), Wd]])
    _, y, u = case.record(rng, 10)
    start = np.append(case.x0, np.zeros(nu)), np.eye(n + nu)
    wanted = run(KalmanFilter(A, B, C, W=W, V=case.V), y, u, *start)[-1]
    for kind in (EKF, UKF):
        found = run(kind(with_disturbance(case.model(), Wd)), y, u, *start)[-1]
        np.testing.assert_allclose(found.x, wanted.x, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found.P, wanted.P, rtol=1e-6, atol=1e-6)


def test_two_biases_on_one_sensor_cannot_be_told_apart():
    case = random_linear(23)
    C = case.C[:1]
    verdict = observable(
        np.block([[case.A, np.zeros((len(case.A), 2))], [np.zeros((2, len(case.A))), np.eye(2)]]),
        np.hstack([C, np.ones((1, 2))]),
    )
    assert not verdict and "eigenvalue 1" in verdict.message


def test_a_cancelled_push_leaves_no_error():
    """A constant torque on a pendulum held upright: without the observer it leans, with it not."""
    plant, push = plants.Pendulum(), 0.4
    sim = OdeSimulator(plant, dt=0.02)
    goal = np.array([np.pi, 0.0])
    feedback, _ = balance(sim, goal, 0.0, np.eye(2), np.eye(1))
    model = Model.of(sim, lambda x, u: x[..., :1], W=np.diag([1e-8, 1e-6]), V=[[1e-6]])
    observer = EKF(with_disturbance(model, [[1e-4]]))
    controller = OutputFeedback(observer, cancel(feedback, 1), x0=np.append(goal, 0.0), P0=0.01 * np.eye(3))

    def end(policy):
        x, u = goal.copy(), np.zeros(1)
        for k in range(500):
            u = policy(x, k * sim.dt)
            x = sim.step(x, u + push)
        return x[0] - np.pi

    assert abs(end(lambda x, t: controller(x[:1], t))) < 1e-3
    leaning = end(feedback)
    assert leaning * (feedback.K[0, 0] - plant.m * plant.g * plant.l) == pytest.approx(push, rel=0.05)
    assert controller.estimate.x[-1] == pytest.approx(push, abs=1e-2)


ERRORS = {
    "size of E": (lambda m: with_disturbance(m, np.eye(2), E=np.eye(3)), r"E must be \(1, 2\)"),
    "Wd": (lambda m: with_disturbance(m, [[-1.0]]), "Wd must be positive semidefinite"),
    "W of the simulator": (
        lambda m: Model.of(OdeSimulator(plants.Pendulum()), encoders, W=np.eye(3), V=np.eye(2)),
        r"W must be \(2, 2\)",
    ),
    "V": (lambda m: Sensor(encoders, [[1.0, 2.0], [2.0, 1.0]], seed=0), "Sensor: V must be positive semidefinite"),
    "matrices": (lambda m: Model.linear(np.eye(2), np.eye(3), np.eye(2), W=np.eye(2), V=np.eye(2)), "do not fit"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_is_wrong(name):
    call, message = ERRORS[name]
    model = Model.linear(np.eye(2), np.ones((2, 1)), np.eye(2), W=np.eye(2), V=np.eye(2))
    with pytest.raises(ValueError, match=message):
        call(model)
