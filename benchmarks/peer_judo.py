"""Plans per second of judo (pip install judo-rai, in a virtual environment of its own: it wants MuJoCo below 3.7).

    PYTHON benchmarks/peer_judo.py MODEL.xml COST SAMPLES HORIZON KNOTS STD X0...

Run by benchmarks/mpc.py. Every line "n" on the standard input is answered with the seconds that n plans took, as the
peer comes from its package: predictive sampling, one thread a rollout, the same model, cost, number of rollouts and
horizon. Plans start from zero inputs each time, so that both sides roll out draws of one distribution: what a step
costs depends on what touches what. The first line of the answer names its versions and, for comparison, the seconds
of one direct call of mujoco.rollout with the same batch on one thread a core.
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version

import judo.tasks.base
import mujoco
import numpy as np
from judo.controller import Controller, ControllerConfig
from judo.optimizers.ps import PredictiveSampling, PredictiveSamplingConfig
from judo.tasks.base import Task, TaskConfig
from mujoco.rollout import Rollout

judo.tasks.base.download_and_extract_meshes = lambda **_: None  # its own tasks' meshes, which these do not use


def cartpole(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    angle = np.mod(x[..., 1] - np.pi + np.pi, 2 * np.pi) - np.pi
    return x[..., 0] ** 2 + 10 * angle**2 + 0.1 * x[..., 2] ** 2 + x[..., 3] ** 2 + 0.001 * u[..., 0] ** 2


def block_push(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    away = x[..., :2] - np.array([0.3, 0.2])
    distance = np.sqrt((away**2).sum(-1) + 1e-6)
    behind = x[..., 7:9] - x[..., :2] - 0.09 * away / distance[..., None]
    return 20 * distance + 2 * np.sqrt((behind**2).sum(-1) + 1e-4) + 0.01 * (u**2).sum(-1)


COSTS = {"cartpole": cartpole, "block_push": block_push}


@dataclass
class Config(TaskConfig):
    """No settings."""


class Case(Task[Config]):
    """The model of one case with the negative of its cost as the reward."""

    name, config_t, cost = "case", Config, None

    def reward(self, states, sensors, controls, system_metadata=None):
        assert self.cost is not None
        return -self.cost(states, controls).sum(-1)


def direct(task: Case, samples: int, steps: int, x0: np.ndarray) -> float:
    """Seconds of one call of mujoco.rollout, the best of ten."""
    threads = os.cpu_count() or 1
    pool, data = Rollout(nthread=threads), [mujoco.MjData(task.model) for _ in range(threads)]
    initial = np.tile(np.r_[0.0, x0], (samples, 1))
    u = np.random.default_rng(0).standard_normal((samples, steps, task.model.nu))
    best = np.inf
    for _ in range(10):
        start = time.perf_counter()
        pool.rollout(task.model, data, initial, u)
        best = min(best, time.perf_counter() - start)
    pool.close()
    return best


def main() -> None:
    model, cost, samples, horizon, knots, std = sys.argv[1:7]
    x0 = np.array([float(value) for value in sys.argv[7:]])
    Case.cost = staticmethod(COSTS[cost])
    task = Case(model)
    optimizer = PredictiveSampling(
        PredictiveSamplingConfig(num_rollouts=int(samples), num_nodes=int(knots), sigma=float(std)), task.nu
    )
    controller = Controller(ControllerConfig(horizon=float(horizon), spline_order="linear"), task, optimizer)
    controller.current_state = x0
    np.random.seed(0)  # noqa: NPY002 (judo draws from the global generator)
    about = {
        "judo": version("judo-rai"),
        "mujoco": mujoco.__version__,
        "steps": int(controller.num_timesteps),
        "direct_seconds": direct(task, int(samples), int(controller.num_timesteps), x0),
    }
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        seconds = 0.0
        for _ in range(int(line)):
            controller.nominal_knots = np.zeros_like(controller.nominal_knots)  # every plan draws from the same place
            controller.update_spline(controller.times, controller.nominal_knots)
            start = time.perf_counter()
            controller.update_action()
            seconds += time.perf_counter() - start
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
