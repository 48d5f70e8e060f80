"""Predictive control on plants that swing and touch: iLQR and samplers behind MPC, another simulator as the plant."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install mujoco")

from controllers import CEM, ILQR, MPC, MPPI, Faulty, PredictiveSampling, SamplingPlanner, quadratic
from controllers.function_cost import from_function
from controllers.tangent import Wrapped
from sims import MujocoSimulator, OdeSimulator, models, simulate
from sims.plants import CartPole

GOAL = [0.0, np.pi, 0.0, 0.0]
SWING = quadratic([1, 10, 0.1, 1], [0.001], x_goal=GOAL, qf=[100, 1000, 10, 100])
ROOT = Path(__file__).parent.parent


def closed_form() -> OdeSimulator:
    return OdeSimulator(CartPole(force_limit=60.0), dt=0.02)


def test_mpc_of_ilqr_swings_up_and_catches_in_another_engine():
    """Five iterations a solve, warm; planned on the closed form, played in MuJoCo at a quarter of the step."""
    mpc = MPC(ILQR(closed_form(), SWING, 100, iterations=5))
    run = simulate(MujocoSimulator(models.cartpole, dt=0.005), mpc, np.zeros(4), 6.0)
    assert run.status == "ok" and np.abs(run.x[-1] - GOAL).max() < 0.02 and np.abs(run.u).max() <= 60.0
    assert mpc.summary.ok == mpc.summary.solves == 300


def test_mpc_of_a_faulty_ilqr_holds_the_pole_up():
    mpc = MPC(Faulty(ILQR(closed_form(), SWING, 60, iterations=5), np.random.default_rng(0), rate=0.3))
    run = simulate(MujocoSimulator(models.cartpole, dt=0.005), mpc, np.array([0.2, np.pi - 0.1, 0, 0]), 6.0)
    assert run.status == "ok" and np.abs(run.x[-1] - GOAL).max() < 0.05
    assert mpc.summary.fallback > 50 and mpc.summary.failed < 5


SAMPLED = {
    "mppi": (MPPI(128, std=15.0, temperature=1.0), {"knots": 8}),
    "cem": (CEM(64, 8, std=20.0, std_min=3.0), {"knots": 10, "spline": "cubic", "iterations": 2}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLED)
def test_sampling_mpc_swings_up_the_cart_pole(name):
    sampler, settings = SAMPLED[name]
    cost = quadratic([1, 10, 0.1, 1], [0.001], x_goal=GOAL, qf=[10, 100, 1, 10], difference=Wrapped((1,)))
    mpc = MPC(SamplingPlanner(closed_form(), cost, sampler, 60, **settings))
    run = simulate(MujocoSimulator(models.cartpole, dt=0.02), mpc, np.zeros(4), 8.0)
    assert run.status == "ok" and (np.cos(run.x[-50:, 1]) < -0.85).all() and np.abs(run.x[:, 0]).max() < 8.0
    assert mpc.summary.ok == 400


@pytest.mark.parametrize("finger", [(-0.2, 0.0), (0.15, 0.15)])
def test_sampling_mpc_pushes_the_block_home(finger):
    """From either side: the second start has to go around the block first."""
    spec = importlib.util.spec_from_file_location("mpc_cases_of_the_benchmark", ROOT / "benchmarks" / "mpc_cases.py")
    assert spec is not None and spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    sim = MujocoSimulator(models.block_push, dt=0.01)
    cost = from_function(cases.push_stage, terminal=cases.push_end)
    mpc = MPC(SamplingPlanner(sim, cost, PredictiveSampling(64, std=3.0), 60, knots=6), period=0.04)
    x0 = np.r_[0, 0, 0.05, 1, 0, 0, 0, finger, np.zeros(8)]
    run = simulate(sim, mpc, x0, 4.0)
    assert np.linalg.norm(run.x[-1, :2] - [0.3, 0.2]) < 0.02 and np.abs(run.u).max() <= 8.0
    assert mpc.summary.ok == 100
