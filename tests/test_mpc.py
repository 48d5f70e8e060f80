"""MPC around any planner: what it plays when all goes well, when a solve goes wrong, and that nothing bad gets out."""

import numpy as np
import pytest
from mpc_cases import double_integrator, quadrotor_like

from controllers.mpc.faults import FAULTS, Faulty
from controllers.mpc.linear import LinearMPC
from controllers.mpc.receding import COLD, MPC, shifted
from controllers.mpc.sampling import PredictiveSampling
from controllers.mpc.sampling_planner import SamplingPlanner
from controllers.planner import Plan, Planner
from sims import OdeSimulator, simulate
from sims.plants import DoubleIntegrator
from sims.trajectory import Trajectory

pytest.importorskip("osqp", reason="OSQP is not installed: pip install osqp")


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Script(Planner):
    """Plans from a list: x[k] = k everywhere, u[k] = value + k, gains K; an exception in the list is raised."""

    u_min, u_max = np.array([-100.0]), np.array([100.0])

    def __init__(self, *values, T: int = 4, h: float = 0.1, K: float = 0.0):
        self.values, self.T, self.h, self.K, self.guesses = list(values), T, h, K, []

    def plan(self, x0, guess=None) -> Plan:
        self.guesses.append(guess)
        value = self.values.pop(0)
        if isinstance(value, Exception):
            raise value
        t, k = self.h * np.arange(self.T + 1), np.arange(self.T + 1.0)
        run = Trajectory(t, np.stack([k, 0 * k], axis=1), value + k[:-1, None])
        return Plan(trajectory=run, cost=1.0, status="converged", message="", K=np.tile([self.K, 0.0], (self.T, 1, 1)))


def test_between_solves_the_plan_is_played_with_its_gains():
    mpc = MPC(Script(10.0, 20.0, K=2.0), period=0.2)
    assert mpc([0.0, 0.0], 0.0) == 10.0
    assert mpc([0.5, 0.0], 0.0) == 10.0 - 2.0 * 0.5
    assert mpc([0.5, 0.0], 0.05) == pytest.approx(10.0)  # half way, the plan is at x = 0.5 as well
    assert mpc([1.25, 0.0], 0.1) == 11.0 - 2.0 * 0.25
    assert mpc([7.0, 0.0], 0.2) == 20.0 - 2.0 * 7.0  # a plan from elsewhere: its own feedback says so
    assert (mpc.summary.solves, mpc.summary.ok) == (2, 2)


@pytest.mark.parametrize("wrong", [RuntimeError("no"), np.nan, np.inf])
def test_fallback_is_the_tail_with_its_gains_and_then_the_safe_input(wrong):
    bad = [wrong] * 5
    mpc = MPC(Script(10.0, *bad, K=2.0), safe=[7.0])
    out = [float(mpc([k + 0.25, 0.0], 0.1 * k)[0]) for k in range(6)]
    assert out == [9.5, 10.5, 11.5, 12.5, 7.0, 7.0]
    assert [s.outcome for s in mpc.log] == ["ok", "fallback", "fallback", "fallback", "failed", "failed"]
    assert (mpc.summary.ok, mpc.summary.fallback, mpc.summary.failed, mpc.summary.safe) == (1, 3, 2, 2)
    assert "5 x" in str(mpc.summary)


def test_a_late_plan_falls_back_now_and_takes_over_at_the_next_call():
    clock = Clock()
    planner = Script(10.0, 20.0, 30.0, T=6)

    def slow(x0, guess=None, plan=planner.plan):
        clock.now += 0.5 if len(planner.guesses) == 1 else 0.01
        return plan(x0, guess)

    planner.plan = slow
    mpc = MPC(planner, budget=0.05, clock=clock)
    assert mpc([0, 0], 0.0) == 10.0
    assert mpc([1, 0], 0.1) == 11.0  # the second plan is late
    assert mpc([1, 0], 0.15) == 20.0  # it began at 0.1
    assert mpc([2, 0], 0.2) == 30.0
    assert mpc.summary.late == 1 and mpc.summary.fallback == 1 and mpc.summary.ok == 2
    assert mpc.log[1].reason.startswith("late") and mpc.log[1].seconds == pytest.approx(0.5)


def test_a_measurement_that_is_not_finite_is_played_blind():
    mpc = MPC(Script(10.0, 20.0, K=3.0), safe=lambda x, t: x[:1])
    assert mpc([np.nan, 0.0], 0.0) == 0.0  # no plan, no last measurement: zero
    assert mpc([0.5, 0.0], 0.0) == 8.5
    assert mpc([np.nan, 0.0], 0.1) == 11.0
    assert mpc([np.inf, 0.0], 0.45) == 0.5  # after the end the safe policy, with what was measured last
    assert [s.outcome for s in mpc.log] == ["failed", "ok", "fallback", "failed"]
    assert mpc.summary.reasons == {"measurement not finite": 3}


def test_commands_are_clipped_and_counted():
    planner = Script(150.0, -300.0, 90.0, -30.0, K=10.0)
    planner.u_min = planner.u_max = None  # it does not know of any: its plans are clipped
    mpc = MPC(planner, u_min=[-100.0], u_max=[120.0])
    assert mpc([0, 0], 0.0) == 120.0 and mpc([0, 0], 0.1) == -100.0
    assert mpc([-50, 0], 0.2) == 120.0 and mpc([0, 0], 0.3) == -30.0  # the feedback asks for 590
    assert mpc.summary.saturated == 3 and mpc.summary.ok == 4
    mpc = MPC(Script(10.0, 150.0))  # it breaks its own word
    assert mpc([0, 0], 0.0) == 10.0 and mpc([0, 0], 0.1) == 11.0
    assert "own limits" in mpc.summary.first


def test_after_many_solves_gone_wrong_the_next_has_no_guess():
    planner = Script(1.0, *(RuntimeError(str(k)) for k in range(COLD)), 2.0, 3.0, T=COLD + 9)
    mpc = MPC(planner)
    for k in range(COLD + 3):
        mpc([0, 0], 0.1 * k)
    assert [guess is None for guess in planner.guesses] == [True, *[False] * COLD, True, False]


def test_the_guess_is_the_last_plan_shifted():
    plan = Script(0.0, T=5).plan(None)
    for steps in (0, 1, 3, 9):
        guess = shifted(plan, 2.0, 2.0 + 0.1 * steps)
        assert guess.trajectory.t[0] == pytest.approx(2.0 + 0.1 * steps) and len(guess.trajectory) == 5
        np.testing.assert_allclose(guess.trajectory.x[:, 0], np.minimum(np.arange(6) + steps, 5))
        np.testing.assert_allclose(guess.trajectory.u[:, 0], np.minimum(np.arange(5) + steps, 4))
    between = shifted(plan, 0.0, 0.125).trajectory  # 1.25 steps: states interpolated, inputs of the nearest knot
    np.testing.assert_allclose(between.x[:, 0], [1.25, 2.25, 3.25, 4.25, 5.0, 5.0])
    np.testing.assert_allclose(between.u[:, 0], [1, 2, 3, 4, 4])


def test_reset_forgets_everything():
    mpc = MPC(Script(10.0, 20.0))
    mpc([0, 0], 0.0)
    mpc.reset()
    assert mpc.summary.solves == 0 and mpc.current is None
    assert mpc([0, 0], 0.0) == 20.0 and mpc.planner.guesses[-1] is None  # type: ignore[attr-defined]


def test_time_that_runs_backward_is_a_reset_and_no_time_is_the_safe_input():
    mpc = MPC(Script(10.0, 20.0), safe=[3.0])
    mpc([0, 0], 0.0)
    mpc([0, 0], 0.05)
    assert mpc([0, 0], 0.0) == 20.0 and mpc.summary.solves == 1
    assert mpc([0, 0], np.nan) == 3.0


class Mute(Planner):
    """Says nothing about its limits."""

    def plan(self, x0, guess=None) -> Plan:
        raise NotImplementedError


BAD = [
    (lambda: MPC(Mute()), "pass u_min and u_max"),
    (lambda: MPC(Mute(), u_min=[1.0], u_max=[0.0]), "want u_min <= u_max"),
    (lambda: MPC(Script(), safe=[1e3]), "within the limits"),
    (lambda: MPC(Script(), safe=[np.nan]), "within the limits"),
    (lambda: MPC(Script(), period=-1.0), "want period"),
    (lambda: MPC(Script(), budget=0.0), "want period"),
    (lambda: MPC(Script())(np.zeros((2, 2)), 0.0), "one plant"),
    (lambda: Faulty(Script(), np.random.default_rng(0), faults=("rises",)), "Did you mean 'raises'"),
    (lambda: Faulty(Script(), np.random.default_rng(0), rate=2.0), r"within \[0, 1\]"),
]


@pytest.mark.parametrize("call, message", BAD, ids=[m for _, m in BAD])
def test_bad_arguments_are_clear_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def linear() -> tuple[Planner, np.ndarray, object]:
    A, B, Q, R = quadrotor_like()
    bound = np.r_[np.full(6, np.inf), np.full(3, 2.0), np.full(3, 5.0)]
    planner = LinearMPC(A, B, Q, R, 20, dt=0.05, u_min=-1, u_max=1, x_min=-bound, x_max=bound, soft=100.0)
    return planner, 0.3 * np.ones(12), lambda x, u: A @ x + B @ u


def sampled() -> tuple[Planner, np.ndarray, object]:
    from controllers.cost import quadratic

    sim = OdeSimulator(DoubleIntegrator(), dt=0.1)
    sim.u_min, sim.u_max = np.array([-1.0]), np.array([1.0])
    cost = quadratic([1, 0.1], [0.1], x_goal=[0, 0], qf=[5, 5])
    return SamplingPlanner(sim, cost, PredictiveSampling(16, std=0.5), 15), np.ones(2), sim.step


@pytest.mark.parametrize("make", [linear, sampled], ids=["linear", "sampling"])
@pytest.mark.parametrize("seed", range(2))
def test_fault_injection_no_bad_command_reaches_the_plant(make, seed):
    """1000 steps; every fault of the planner, lost measurements, late solves at random. 10 000: benchmarks/mpc.py."""
    planner, x, step = make()
    rng, clock = np.random.default_rng(seed), Clock()

    def late():
        clock.now += 1.0

    faulty = Faulty(planner, rng, rate=0.3, late=late)
    mpc = MPC(faulty, budget=0.1, clock=clock)
    h, worst = mpc.planner.planner.dt if make is linear else 0.1, 0.0  # type: ignore[attr-defined]
    for k in range(1000):
        seen = x.copy()
        if rng.random() < 0.1:
            seen[rng.integers(len(x))] = rng.choice([np.nan, np.inf, -np.inf])
        u = mpc(seen, k * h)
        assert u.shape == mpc.u_min.shape and np.isfinite(u).all() and (mpc.u_min <= u).all() and (u <= mpc.u_max).all()
        x = step(x, u)
        worst = max(worst, float(np.abs(x).max()))
    s = mpc.summary
    assert s.solves == 1000 == s.ok + s.fallback + s.failed and s.fallback > 200
    assert s.solves - s.ok == sum(s.reasons.values()) and set(faulty.count) == set(FAULTS)
    assert min(faulty.count.values()) > 10 and s.late == faulty.count["late"]
    assert worst < 20.0 and np.abs(x).max() < 0.5  # and the plant stays where it should


def test_a_closed_loop_around_a_simulator_and_its_summary():
    A, B, Q, R = double_integrator()
    sim = OdeSimulator(DoubleIntegrator(), dt=0.02)
    mpc = MPC(LinearMPC(A, B, Q, R, 20, dt=0.1, u_min=-1, u_max=1))
    run = simulate(sim, mpc, [1.0, 0.0], 6.0)
    assert run.status == "ok" and np.abs(run.x[-1]).max() < 0.05 and np.abs(run.u).max() <= 1.0
    assert mpc.summary.solves == 60 == mpc.summary.ok
    assert "60 ok" in str(mpc.summary)
    again = simulate(sim, mpc, [1.0, 0.0], 6.0)
    assert again.u.tobytes() == run.u.tobytes()
