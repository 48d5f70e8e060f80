"""How often swing-up and balance succeed from random hanging starts, in three simulators, with the same controller.

    python benchmarks/swing_up.py [--n 100] [--seed 0] [--workers 2] [--out benchmarks/results/swing_up.json]

Tasks, starts and what counts as success are the registry's (`swingup list`): the task's dt, Runge-Kutta in every
engine. "first order" repeats it with the engines' own steps at 1 ms: semi-implicit Euler, MuJoCo's Euler, Drake's
discrete plant. A rate comes with n and its 95 % Wilson interval; every seed is in the JSON file, so that any episode
can be played alone: `robotics.evaluate.episode(task, seed, controller="swing_up", backend=backend)`.
"""

import argparse
import json
import math
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from robotics import backends
from robotics.evaluate import episode, episode_seeds
from robotics.registry import as_task
from robotics.stats import wilson
from robotics.task import Task
from sims.trajectory import write_atomically

PLANTS = {"cartpole": "CartPole", "acrobot": "Acrobot"}
ENGINES = ("ode", "mujoco", "drake")
WANTED = 0.95
Row = tuple[int, bool, float, float]


def first_order(task: Task) -> Task:
    """The task at 1 ms with the step each engine takes when nobody asks for another."""
    model = task.name
    simulators = {
        "ode": backends.closed_form(PLANTS[model], integrator="semi_implicit_euler"),
        "mujoco": backends.mujoco(model, integrator="euler"),
        "drake": backends.drake(model, integrator="discrete"),
    }
    return replace(task, simulators=simulators, dt=1e-3)


def play(name: str, backend: str, coarse: bool, seeds: list[int]) -> list[Row]:
    """Seed, success, time [s] from which the state stays at the goal, and wall time [s] of each episode."""
    task = as_task(name)
    task = first_order(task) if coarse else task
    rows = []
    for seed in seeds:
        start = time.perf_counter()
        result = episode(task, seed, controller="swing_up", backend=backend)
        wall = time.perf_counter() - start
        rows.append((seed, result.success, task.success.first_time(result.trajectory), wall))
    return rows


def summary(rows: list[Row]) -> dict:
    """Rate with its interval, times to the goal, and one entry an episode."""
    successes, n = sum(ok for _, ok, _, _ in rows), len(rows)
    times = sorted(t for _, ok, t, _ in rows if ok)
    return {
        "n": n,
        "successes": successes,
        "wilson_95": list(wilson(successes, n)),
        "median_time_to_goal_s": times[len(times) // 2] if times else None,
        "max_time_to_goal_s": times[-1] if times else None,
        "max_wall_s": max(wall for *_, wall in rows),
        "failed_seeds": [seed for seed, ok, _, _ in rows if not ok],
        "episodes": [
            {"seed": seed, "success": ok, "time_to_goal_s": t if math.isfinite(t) else None} for seed, ok, t, _ in rows
        ],
    }


def measure(n: int, seed: int, workers: int) -> dict:
    """All tasks in all engines, each cell split over the workers."""
    seeds = episode_seeds(seed, n)
    cells = [(name, backend, coarse) for coarse in (False, True) for name in PLANTS for backend in ENGINES]
    results = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = {cell: [pool.submit(play, *cell, list(seeds[i::workers])) for i in range(workers)] for cell in cells}
        for (name, backend, coarse), parts in jobs.items():
            rows = sorted((row for part in parts for row in part.result()), key=lambda row: seeds.index(row[0]))
            label = f"{name}, {backend}{', first order' if coarse else ''}"
            results[label] = result = {"task": name, "backend": backend, "first_order": coarse, **summary(rows)}
            low, high = result["wilson_95"]
            longest = result["max_time_to_goal_s"]
            print(
                f"{label:32}{result['successes']:5} of {n}  [{low:.3f}, {high:.3f}]"
                f"  at the goal after {result['median_time_to_goal_s'] or math.nan:5.2f} s (median), "
                f"{math.nan if longest is None else longest:5.2f} s (longest)",
                flush=True,
            )
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100, help="starts per task and engine (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="the episodes' seeds come from it (default 0)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "swing_up.json")
    args = parser.parse_args()
    start = time.perf_counter()
    results = measure(args.n, args.seed, args.workers)
    report = {
        "command": " ".join(["python", *sys.argv]),
        "machine": {"processor": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("numpy", "mujoco", "drake")},
        },
        "controller": "swing_up",
        "wanted_rate": WANTED,
        "wall_s": time.perf_counter() - start,
        "results": results,
    }
    write_atomically(args.out, (json.dumps(report, indent=1) + "\n").encode())
    short = [label for label, r in results.items() if r["successes"] < WANTED * r["n"] and not r["first_order"]]
    print(f"written to {args.out} after {report['wall_s']:.0f} s" + (f"; below {WANTED}: {short}" if short else ""))
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
