"""How fast rollouts and closed loops are, against MuJoCo called directly in the same process.

    python benchmarks/rollout.py [--repeats 15] [--threads 2] [--out benchmarks/results/rollout.json]

Both sides of a comparison run in turn, in alternating order, on the same states and inputs; figures are medians over
the repeats, with quartiles. Written to a JSON file with what is needed to repeat them.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
from mujoco.rollout import Rollout

from controllers import LinearFeedback
from sims import MujocoSimulator, OdeSimulator, models, simulate
from sims.mujoco_model import load_model
from sims.plants import CartPole
from sims.trajectory import write_atomically

Call = Callable[[], object]


def compare(ours: Call, theirs: Call, steps: int, repeats: int) -> dict:
    """Steps/s of both, interleaved, and the ratio ours / theirs of each pair."""
    seconds: dict[Call, list[float]] = {ours: [], theirs: []}
    for repeat in range(repeats + 1):
        for call in (ours, theirs) if repeat % 2 else (theirs, ours):
            start = time.perf_counter()
            call()
            if repeat:  # the first round warms up
                seconds[call].append(time.perf_counter() - start)
    rate = {call: steps / np.array(s) for call, s in seconds.items()}
    return {
        "steps": steps,
        "n": repeats,
        "ours_steps_per_s": quartiles(rate[ours]),
        "theirs_steps_per_s": quartiles(rate[theirs]),
        "ratio_of_medians": float(np.median(rate[ours]) / np.median(rate[theirs])),
        "ratio_of_pairs": quartiles(rate[ours] / rate[theirs]),
    }


def quartiles(values: np.ndarray) -> dict:
    """Median and the quartiles around it."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"median": float(median), "q25": float(low), "q75": float(high)}


def direct_rollout(model: mujoco.MjModel, threads: int, x0: np.ndarray, u: np.ndarray) -> Call:
    """mujoco.rollout with a pool that stays, on the same initial states (n, nx) and inputs (n, T, nu)."""
    pool, data = Rollout(nthread=threads), [mujoco.MjData(model) for _ in range(threads)]
    initial = np.hstack([np.zeros((len(x0), 1)), x0])
    return lambda: pool.rollout(model, data, initial, u)


def batched_rollout(name: str, n: int, T: int, threads: int, repeats: int) -> dict:
    """Simulator.rollout in MuJoCo against mujoco.rollout."""
    sim = MujocoSimulator(models.MODELS[name], nthread=threads)
    x0, u = start(sim, n), np.random.default_rng(1).uniform(-0.1, 0.1, (n, T, sim.nu))
    if sim.rollout(x0, u).status != "ok":
        raise SystemExit(f"{name}: the rollout diverged; nothing measured")
    result = compare(lambda: sim.rollout(x0, u), direct_rollout(sim.model, threads, x0, u), n * T, repeats)
    sim.close()
    return {"model": name, "batch": n, "T": T, "threads": threads, **result}


def start(sim: MujocoSimulator, n: int) -> np.ndarray:
    """n states (n, nx) near the model's reference pose."""
    data = mujoco.MjData(sim.model)
    home = np.concatenate([data.qpos, data.qvel, data.act])
    return sim.integrate(home, 0.01 * np.random.default_rng(0).standard_normal((n, sim.ndx)))


def closed_loop(T: int, repeats: int) -> dict:
    """simulate with a LinearFeedback against a bare loop around mj_step with the same gain."""
    sim = MujocoSimulator(models.MODELS["cartpole"])
    K, x_goal, u_goal, x0 = np.array([[5.0, 0.0, 8.0, 0.0]]), np.zeros(4), np.zeros(1), np.array([0.1, 0.2, 0.0, 0.0])
    controller = LinearFeedback(K, x_goal, u_goal)
    model, data = sim.model, mujoco.MjData(sim.model)

    def bare() -> np.ndarray:
        mujoco.mj_resetData(model, data)
        qpos, qvel, ctrl, x = data.qpos, data.qvel, data.ctrl, np.empty(4)
        qpos[:] = x0[:2]
        for _ in range(T):
            x[:2] = qpos
            x[2:] = qvel
            ctrl[:] = u_goal - K @ (x - x_goal)
            mujoco.mj_step(model, data)
        return np.concatenate([qpos, qvel])

    run = simulate(sim, controller, x0, T * sim.dt)
    if run.status != "ok" or np.abs(run.x[-1] - bare()).max() > 1e-9:
        raise SystemExit("closed loop: both sides must do the same; nothing measured")
    return {"model": "cartpole", "T": T, **compare(lambda: simulate(sim, controller, x0, T * sim.dt), bare, T, repeats)}


def closed_form(n: int, T: int, threads: int, repeats: int) -> dict:
    """The cart-pole's equations of motion in NumPy against mujoco.rollout, semi-implicit Euler on both sides."""
    model = load_model(models.MODELS["cartpole"], integrator="euler", contact=False, limits=False)
    sim = OdeSimulator(CartPole(), dt=float(model.opt.timestep), integrator="semi_implicit_euler")
    rng = np.random.default_rng(0)
    x0, u = 0.3 * rng.standard_normal((n, 4)), rng.uniform(-1, 1, (n, T, 1))
    theirs = direct_rollout(model, threads, x0, u)
    difference = np.abs(sim.rollout(x0, u).x[:, 1:] - theirs()[0][..., 1:]).max()
    if difference > 1e-9:
        raise SystemExit(f"closed form and MuJoCo differ by {difference:.1e}; nothing measured")
    result = compare(lambda: sim.rollout(x0, u), theirs, n * T, repeats)
    return {"model": "cartpole", "batch": n, "T": T, "threads": threads, "largest_difference": difference, **result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="timed pairs per comparison (default 15)")
    parser.add_argument("--threads", type=int, default=2, help="threads of the batched rollouts (default 2)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "rollout.json")
    args = parser.parse_args()
    results = {
        f"rollout, {name}": (batched_rollout(name, n, T, args.threads, args.repeats), 0.95)
        for name, n, T in (("cartpole", 1024, 200), ("iiwa14", 256, 100), ("quadruped", 64, 100))
    }
    results["simulate, LinearFeedback"] = (closed_loop(5000, args.repeats), 0.5)
    results["closed form, cartpole"] = (closed_form(1024, 200, args.threads, args.repeats), 10.0)
    report = {
        "command": " ".join(["python", *sys.argv]),
        "machine": {"processor": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "mujoco": mujoco.__version__},
        "results": {name: {"wanted_ratio": wanted, **result} for name, (result, wanted) in results.items()},
    }
    write_atomically(args.out, (json.dumps(report, indent=1) + "\n").encode())
    print(f"{'':28}{'steps/s':>12}{'direct':>12}{'ratio':>8}  quartiles      wanted   (n = {args.repeats})")
    for name, (result, wanted) in results.items():
        ours, theirs = (result[f"{side}_steps_per_s"]["median"] for side in ("ours", "theirs"))
        pairs = result["ratio_of_pairs"]
        print(
            f"{name:28}{ours:12.3g}{theirs:12.3g}{result['ratio_of_medians']:8.2f}"
            f"  {pairs['q25']:5.2f} - {pairs['q75']:5.2f}  {wanted:7.2f}"
        )


if __name__ == "__main__":
    main()
