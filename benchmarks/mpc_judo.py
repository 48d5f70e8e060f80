"""Plans per second beside judo's, with the same model, cost, number of rollouts, horizon and time step."""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import mpc_cases as cases
import mujoco
import numpy as np
from mujoco.rollout import Rollout

from controllers.mpc.receding import MPC
from controllers.mpc.sampling_planner import SamplingPlanner
from sims import models

# case -> (model and cost, what our planner rolls out, rollouts, steps)
CASES = {
    "judo, cartpole": ("cartpole", "mujoco", 64, 50),
    "judo, cartpole, 512 rollouts": ("cartpole", "mujoco", 512, 50),
    "judo, cartpole, closed form": ("cartpole", "ode", 64, 50),
    "judo, block_push": ("block_push", "mujoco", 64, 60),
    "judo, block_push, 512 rollouts": ("block_push", "mujoco", 512, 60),
}


def compare(python: Path, name: str, versus, repeats: int) -> dict:
    """Plans/s of MPC(SamplingPlanner) and of judo's controller, in turn, and of the bare rollouts of either MuJoCo."""
    model, backend, samples, T = CASES[name]
    case = cases.SAMPLED[model]
    plans = max(2, 640 // samples)
    sim = case.simulator() if backend == "mujoco" else cases.CLOSED_FORM[model]()
    mpc = MPC(SamplingPlanner(sim, case.cost, case.sampler(samples), T, knots=case.knots), period=0.0)

    def ours() -> float:
        seconds = 0.0
        for _ in range(plans):
            mpc.reset()
            start = time.perf_counter()
            mpc(case.x0, 0.0)
            seconds += time.perf_counter() - start
        return seconds

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        text = Path(models.MODELS[model]).read_text()
        (step,) = [part for part in text.split() if part.startswith("timestep=")]
        path.write_text(text.replace(step, f'timestep="{case.dt}"').replace("<motor ", _limited(case.limit)))
        arguments = [model, samples, T * case.dt, case.knots, case.std, *case.x0]
        peer = subprocess.Popen(
            [str(python), str(Path(__file__).with_name("peer_judo.py")), str(path), *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert peer.stdin is not None and peer.stdout is not None
        about = json.loads(peer.stdout.readline())

        def theirs() -> float:
            peer.stdin.write(f"{plans}\n")
            peer.stdin.flush()
            return float(peer.stdout.readline())

        result = versus(ours, theirs, plans, repeats)
        peer.stdin.close()
        peer.wait(timeout=30)
    if about["steps"] != T:
        raise SystemExit(f"{name}: judo rolls out {about['steps']} steps, ours {T}; nothing compared")
    judo_per_s = result["theirs_per_s"]["median"]
    return {
        "bare_rollouts_over_judo": 1 / about["direct_seconds"] / judo_per_s,  # what no overhead at all would give
        "wanted_ratio": 2.5, "model": model, "ours_on": backend, "samples": samples, "T": T, "dt": case.dt,
        "ours_mujoco_rollout_alone_per_s": 1 / _bare(case, samples, T),
        "theirs_mujoco_rollout_alone_per_s": 1 / about["direct_seconds"], "peer": about, **result,
    }  # fmt: skip


def _limited(limit: float) -> str:
    """A motor with the limits of the case, where the model has none of its own."""
    return f'<motor ctrlrange="{-limit} {limit}" ' if limit == 60.0 else "<motor "


def _bare(case: cases.Sampled, samples: int, T: int) -> float:
    """Seconds of one call of our MuJoCo's rollout with such a batch, the best of ten."""
    sim, threads, best = case.simulator(), os.cpu_count() or 1, np.inf
    pool, data = Rollout(nthread=threads), [mujoco.MjData(sim.model) for _ in range(threads)]
    u = np.random.default_rng(0).standard_normal((samples, T, sim.nu))
    for _ in range(10):
        start = time.perf_counter()
        pool.rollout(sim.model, data, np.tile(np.r_[0.0, case.x0], (samples, 1)), u)
        best = min(best, time.perf_counter() - start)
    pool.close()
    return best
