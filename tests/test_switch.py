"""The switch from swing-up to balance: hysteresis, one memory a row, and levels chosen by simulation."""

import numpy as np
import pytest

from controllers import LinearFeedback, energy
from controllers.lqr import lqr
from controllers.switch import Switch, level_set_samples, recoverable_level, recovery
from controllers.wrappers import Saturate
from sims import OdeSimulator
from sims.plants import DoubleIntegrator
from sims.system import System


class Unstable(System):
    """xdot = x + u."""

    nx, nu = 1, 1
    x_names, u_names = ("x",), ("u",)

    def f(self, x, u):
        return x + u


S = np.array([[2.0, 0.5], [0.5, 1.0]])


def swing(x, t):
    return np.full((*np.shape(x)[:-1], 1), 1.0)


def balance(x, t):
    return np.full((*np.shape(x)[:-1], 1), -1.0)


def switch(**changes):
    settings = dict(S=S, x_goal=[np.pi, 0.0], catch=1.0, release=4.0, angles=[0])
    return Switch(swing, balance, **{**settings, **changes})


def on_level(value, direction=0.7):
    """A state with V = value."""
    d = np.array([np.cos(direction), np.sin(direction)])
    return np.array([np.pi, 0.0]) + d * np.sqrt(value / (d @ S @ d))


def test_catches_below_one_level_and_releases_above_another():
    controller = switch()
    path = [2.0, 1.01, 0.99, 2.0, 3.99, 4.01, 3.0, 1.01, 0.5]
    caught = [False, False, True, True, True, False, False, False, True]
    for value, expected in zip(path, caught, strict=True):
        u = controller(on_level(value), 0.0)
        assert controller.caught is expected and u == (-1.0 if expected else 1.0)
    controller.reset()
    assert controller.caught is False


def test_angles_are_wrapped_and_the_state_is_left_alone():
    controller = switch()
    for turns in (-3, 0, 2):
        x = on_level(0.5) + np.array([2 * np.pi * turns, 0.0])
        before = x.copy()
        assert controller(x, 0.0) == -1.0 and (x == before).all()
        assert controller.value(x) == pytest.approx(0.5, abs=1e-12)
        controller.reset()
    assert switch(angles=[])(on_level(0.5) + np.array([2 * np.pi, 0.0]), 0.0) == 1.0


def test_the_box_bounds_the_catch_and_not_the_hold():
    x = on_level(0.9, direction=np.pi / 2)
    controller = switch(within=(np.inf, 0.5))
    assert controller(x, 0.0) == 1.0
    assert controller(on_level(0.1), 0.0) == -1.0
    assert controller(x, 0.0) == -1.0


def test_every_row_of_a_batch_has_its_own_memory(rng):
    walk = rng.uniform(0.0, 6.0, (60, 7))
    batched, single, mixed = switch(), [switch() for _ in range(7)], 0
    for values in walk:
        x = np.stack([on_level(v) for v in values])
        rows = np.stack([controller(row, 0.0) for controller, row in zip(single, x, strict=True)])
        assert (batched(x, 0.0) == rows).all()
        assert batched.caught.tolist() == [controller.caught for controller in single]
        mixed += 0 < batched.caught.sum() < 7
    assert mixed > 20


def test_memory_is_forgotten_when_the_batch_changes_its_shape():
    controller = switch()
    inside, between = np.stack([on_level(0.5)] * 3), np.stack([on_level(2.0)] * 3)
    controller(inside, 0.0)
    assert (controller(between, 0.0) == -1.0).all()
    assert (controller(between[:2], 0.0) == 1.0).all()
    controller(inside, 0.0)
    assert controller(on_level(2.0), 0.0) == 1.0


def test_reset_reaches_both_policies():
    inner = switch()
    outer = switch()
    outer.swing_up = inner
    inner(on_level(0.5), 0.0)
    outer.reset()
    assert inner.caught is False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(S=np.eye(3)), r"S must be \(2, 2\)"),
        (dict(S=-np.eye(2)), "symmetric positive definite"),
        (dict(S=np.array([[1.0, 1.0], [0.0, 1.0]])), "symmetric positive definite"),
        (dict(catch=5.0), "0 < catch <= release"),
        (dict(catch=0.0), "0 < catch <= release"),
        (dict(release=np.nan), "0 < catch <= release"),
        (dict(within=(1.0, -1.0)), "within"),
        (dict(within=(1.0, 1.0, 1.0)), "within"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        switch(**changes)


def test_samples_lie_on_the_level_set(rng):
    controller = switch(angles=[])
    x = level_set_samples(S, controller.x_goal, 3.0, 500, rng)
    assert np.abs(controller.value(x) - 3.0).max() < 1e-12
    assert np.abs((x - controller.x_goal).mean(0)).max() < 0.2


def test_recoverable_level_of_a_saturated_unstable_plant(rng):
    """xdot = x + u with |u| <= 1: exactly |x| < 1 comes back, so the level is S, V being S x^2."""
    plant = Unstable()
    K, cost = lqr(np.eye(1), np.eye(1), np.eye(1), np.eye(1))
    policy = Saturate(LinearFeedback(K, [0.0]), -1.0, 1.0)
    controller = Switch(policy, policy, S=cost, x_goal=[0.0], catch=1.0, release=1.0)
    level = recoverable_level(OdeSimulator(plant, dt=0.02), controller, rng=rng, n=8, duration=8.0)
    assert 0.9 * cost[0, 0] < level < cost[0, 0]


def test_recovery_says_which_starts_come_back(rng):
    A, B = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.0], [1.0]])
    K, cost = lqr(A, B, np.eye(2), np.eye(1))
    controller = Switch(swing, LinearFeedback(K, [0.0, 0.0]), S=cost, x_goal=[0.0, 0.0], catch=1.0, release=1.0)
    x = level_set_samples(cost, [0.0, 0.0], 2.0, 50, rng)
    result = recovery(OdeSimulator(DoubleIntegrator(), dt=0.01), controller, x, duration=8.0)
    assert result.recovered.all() and np.abs(result.peak - 1.0).max() < 1e-9  # V falls along every linear solution
    away = Switch(swing, LinearFeedback(-K, [0.0, 0.0]), S=cost, x_goal=[0.0, 0.0], catch=1.0, release=1.0)
    assert not recovery(OdeSimulator(DoubleIntegrator(), dt=0.01), away, x, duration=8.0).recovered.any()


def test_the_pendulums_level_lies_inside_what_is_recovered(rng):
    controller = energy.pendulum_swing_up()
    sim = OdeSimulator(controller.swing_up.plant, dt=5e-3)
    level = recoverable_level(sim, controller, rng=rng, n=100, low=0.1, high=100.0)
    assert controller.catch < level < 8.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factory", "duration", "wanted"), [("cartpole_swing_up", 12.0, 0.99), ("acrobot_swing_up", 4.0, 0.95)]
)
def test_what_swing_up_hands_over_is_kept(factory, duration, wanted):
    """The states at which 200 random starts are caught first, handed to LQR alone."""
    controller = getattr(energy, factory)()
    sim = OdeSimulator(controller.swing_up.plant, dt=5e-3)
    x = np.random.default_rng(7).uniform(-0.3, 0.3, (200, 4))
    handed, done = np.full((200, 4), np.nan), np.zeros(200, bool)
    for k in range(round(20.0 / sim.dt)):
        u = controller(x, k * sim.dt)
        new = controller.caught & ~done
        handed[new], done = x[new], done | new
        if done.all():
            break
        x = sim.step(x, u)
    assert done.all()
    result = recovery(sim, controller, handed, duration=duration)
    assert result.recovered.mean() >= wanted
    assert (
        result.peak[result.recovered] * controller.value(handed)[result.recovered] < controller.release
    ).mean() > 0.98


def test_angles_beyond_the_state_are_refused():
    def policy(x, t):
        return np.zeros(1)

    with pytest.raises(ValueError, match="angle indices"):
        Switch(policy, policy, S=np.eye(2), x_goal=np.zeros(2), catch=1.0, release=2.0, angles=(2,))
