"""Wrappers around policies: what the plant feels, when the policy is asked, and what reset does."""

import numpy as np
import pytest

from controllers import Controller, Delay, Jitter, LinearFeedback, SampleAndHold, Saturate, WrapAngles, dlqr
from sims import OdeSimulator, plants, simulate

DT = 0.01


class Recorder(Controller):
    """Answers with the state and remembers when it was asked."""

    def __init__(self):
        self.times, self.resets = [], 0

    def reset(self):
        self.times, self.resets = [], self.resets + 1

    def __call__(self, x, t):
        self.times.append(t)
        return x[..., :1].copy()


def play(policy, T=100, dt=DT):
    """What the policy says along x(t) = t."""
    return np.array([policy(np.array([k * dt, 0.0]), k * dt)[0] for k in range(T)])


WRAPPERS = {
    "Saturate": lambda p: Saturate(p, -1.0, 1.0),
    "WrapAngles": lambda p: WrapAngles(p, [0.0, 0.0], [0]),
    "SampleAndHold": lambda p: SampleAndHold(p, 0.05),
    "Delay": lambda p: Delay(p, 0.03),
    "Jitter": lambda p: Jitter(p, 0.05, 0.02, seed=3),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_reset_goes_through_and_makes_the_run_repeat(name):
    inside = Recorder()
    policy = WRAPPERS[name](inside)
    assert isinstance(policy, Controller)
    first = play(policy)
    asked = list(inside.times)
    policy.reset()
    assert inside.resets == 1 and not inside.times
    np.testing.assert_array_equal(play(policy), first)
    assert inside.times == asked


@pytest.mark.parametrize("name", WRAPPERS)
def test_time_that_runs_backward_starts_anew(name):
    policy = WRAPPERS[name](lambda x, t: x[..., :1].copy())
    first = play(policy)
    np.testing.assert_array_equal(play(policy), first)


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_batch_is_as_many_single_states(name, rng):
    x = rng.uniform(-3, 3, (20, 4, 2))
    batched, single = (
        WRAPPERS[name](lambda x, t: 2 * x[..., :1]),
        [WRAPPERS[name](lambda x, t: 2 * x[..., :1]) for _ in range(4)],
    )
    for k in range(20):
        together = batched(x[k], k * DT)
        apart = [policy(x[k, i], k * DT) for i, policy in enumerate(single)]
        np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_take_plain_functions_and_nothing_else(name):
    assert WRAPPERS[name](lambda x, t: x[..., :1])(np.zeros(2), 0.0).shape == (1,)
    with pytest.raises(ValueError, match=f"{name}: policy must be a function"):
        WRAPPERS[name](3.0)


def test_saturate_clips_each_input():
    policy = Saturate(lambda x, t: x, [-1.0, -np.inf], [2.0, 0.5])
    np.testing.assert_array_equal(policy(np.array([[5.0, 5.0], [-5.0, -5.0]]), 0.0), [[2.0, 0.5], [-1.0, -5.0]])


def test_wrapped_angles_are_the_nearest_copy(rng):
    goal = np.array([np.pi, 0.0, 0.0])
    seen = []
    policy = WrapAngles(lambda x, t: seen.append(x) or x[..., :1], goal, [0, -1])
    x = rng.uniform(-20, 20, (50, 3))
    kept = x.copy()
    policy(x, 0.0)
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(seen[0][:, 1], x[:, 1])
    for i in (0, 2):
        turns = (seen[0][:, i] - x[:, i]) / (2 * np.pi)
        np.testing.assert_allclose(turns, np.round(turns), atol=1e-12)
        assert (np.abs(seen[0][:, i] - goal[i]) <= np.pi + 1e-12).all()


def test_sample_and_hold_asks_at_the_instants_and_holds():
    inside = Recorder()
    u = play(SampleAndHold(inside, 0.05))
    np.testing.assert_allclose(inside.times, np.arange(0.0, 1.0, 0.05), atol=1e-12)
    np.testing.assert_allclose(u, 0.05 * (np.arange(100) // 5), atol=1e-12)


def test_sample_and_hold_that_does_not_divide_takes_the_first_step_after():
    inside = Recorder()
    play(SampleAndHold(inside, 0.025))
    np.testing.assert_allclose(inside.times, np.ceil(np.arange(0.0, 0.98, 0.025) / DT - 1e-9) * DT, atol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_delay_by_steps(steps):
    u = play(Delay(lambda x, t: x[..., :1].copy(), steps * DT, u_initial=-1.0))
    wanted = np.concatenate([np.full(steps, -1.0), DT * np.arange(100 - steps)])
    np.testing.assert_allclose(u, wanted, atol=1e-12)


def test_delay_between_steps_rounds_up():
    u = play(Delay(lambda x, t: x[..., :1].copy(), 0.025))
    np.testing.assert_allclose(u[3:], DT * np.arange(97), atol=1e-12)


def test_jitter_stays_in_its_window_and_depends_on_the_seed_alone():
    times = {}
    for seed, dt in ((1, 1e-3), (1, 5e-4), (2, 1e-3)):
        inside = Recorder()
        play(Jitter(inside, 0.05, 0.02, seed), T=round(1 / dt), dt=dt)
        times[seed, dt] = np.array(inside.times)
    fine = times[1, 5e-4][1:]  # the first answer is held from t = 0
    lag = fine - 0.05 * np.arange(len(fine))
    assert (lag >= 0).all() and (lag <= 0.02 + 5e-4).all() and lag.std() > 0.003
    np.testing.assert_allclose(times[1, 1e-3][1:], fine, atol=1e-3)
    assert np.abs(times[2, 1e-3][1:] - times[1, 1e-3][1:]).max() > 5e-3


def test_jitter_without_jitter_is_sample_and_hold():
    regular = play(SampleAndHold(lambda x, t: x[..., :1].copy(), 0.05))
    np.testing.assert_array_equal(play(Jitter(lambda x, t: x[..., :1].copy(), 0.05, 0.0, seed=0)), regular)


def test_delay_destabilises_as_the_phase_margin_says():
    """x+ = A x + B u(k - d): stable exactly if the augmented matrix is, and the wrapper must agree with it."""
    plant = plants.Pendulum()
    sim, upright = OdeSimulator(plant, dt=DT), np.array([np.pi, 0.0])
    A, B = sim.linearize(upright, np.zeros(1))
    K, _ = dlqr(A, B, np.diag([10.0, 1.0]), np.eye(1))
    for steps in (0, 3, 6, 12, 16):
        n = 2 + steps
        big = np.zeros((n, n))
        big[:2, :2] = A - (B @ K if steps == 0 else 0)
        if steps:
            big[:2, 2:3] = B  # the oldest answer acts
            big[2 : n - 1, 3:] = np.eye(steps - 1)
            big[n - 1, :2] = -K[0]
        stable = np.abs(np.linalg.eigvals(big)).max() < 1
        run = simulate(sim, Delay(LinearFeedback(K, upright), steps * DT), [np.pi + 1e-4, 0.0], 4.0)
        assert (np.abs(run.x[-1] - upright).max() < 1e-4) == stable, steps
    assert not stable  # the last one of the list


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda p: Saturate(p, 1.0, -1.0), "u_min must not exceed"),
        (lambda p: Saturate(p, np.nan, 1.0), "u_min must not exceed"),
        (lambda p: SampleAndHold(p, 0.0), "positive"),
        (lambda p: Delay(p, -1.0), "non-negative"),
        (lambda p: Delay(p, np.nan), "non-negative"),
        (lambda p: Jitter(p, 0.1, 0.2, seed=0), "exceed the period"),
        (lambda p: WrapAngles(p, [0.0, 0.0], [2]), "within x_goal"),
        (lambda p: WrapAngles(p, [0.0, 0.0], [-3]), "within x_goal"),
    ],
)
def test_bad_arguments(make, wanted):
    with pytest.raises(ValueError, match=wanted):
        make(lambda x, t: x)
