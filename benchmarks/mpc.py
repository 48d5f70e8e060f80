"""Predictive control against what it is built on: mujoco.rollout, OSQP, judo; and 10 000 steps of injected faults.

    python benchmarks/mpc.py [--repeats 15] [--judo PYTHON] [--out benchmarks/results/mpc.json]

Both sides of a comparison run in turn, in alternating order, on the same states, inputs and matrices; figures are
medians over the repeats, with quartiles. --judo names the Python of a virtual environment with the peer in it (`pip
install judo-rai`, which wants MuJoCo below 3.7 and so cannot share ours); without it that comparison is left out, and
the JSON says so. The JSON holds what is needed to repeat the figures.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

import mpc_cases as cases
import mpc_judo
import mujoco
import numpy as np
from mujoco.rollout import Rollout

from controllers.mpc.faults import Faulty
from controllers.mpc.receding import MPC
from controllers.mpc.sampling_planner import SamplingPlanner
from sims.trajectory import write_atomically


def quartiles(values) -> dict:
    """Median and the quartiles around it."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"median": float(median), "q25": float(low), "q75": float(high)}


def versus(ours, theirs, per_call: float, repeats: int) -> dict:
    """Rates of two functions, called in turn, and their ratio ours / theirs; per_call: what one call counts for."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for repeat in range(repeats + 1):
        order = [("ours", ours), ("theirs", theirs)]
        for name, call in order if repeat % 2 else order[::-1]:
            start = time.perf_counter()
            spent = call()
            if repeat:  # the first round warms up
                seconds[name].append(time.perf_counter() - start if spent is None else spent)
    rate = {name: per_call / np.array(s) for name, s in seconds.items()}
    return {
        "n": repeats,
        "ours_per_s": quartiles(rate["ours"]),
        "theirs_per_s": quartiles(rate["theirs"]),
        "ratio_of_medians": float(np.median(rate["ours"]) / np.median(rate["theirs"])),
        "ratio_of_pairs": quartiles(rate["ours"] / rate["theirs"]),
    }


def rollouts(name: str, samples: int, T: int, repeats: int) -> dict:
    """Rollouts/s of whole MPC steps against mujoco.rollout on the very batch that each of them tried."""
    case = cases.SAMPLED[name]
    sim = case.simulator()
    planner = SamplingPlanner(sim, case.cost, case.sampler(samples), T, knots=case.knots)
    mpc, batch, original = MPC(planner, period=0.0), [], sim.rollout

    def recorded(x0, u):
        batch.append((x0, u))
        return original(x0, u)

    sim.rollout = recorded
    threads = os.cpu_count() or 1
    pool, data = Rollout(nthread=threads), [mujoco.MjData(sim.model) for _ in range(threads)]
    state = {"k": 0}

    def ours():
        batch.clear()
        mpc(case.x0, state["k"] * sim.dt)
        state["k"] += 1

    def direct():
        if not batch:
            ours()
        x0, u = batch[0]
        start = time.perf_counter()
        pool.rollout(sim.model, data, np.tile(np.r_[0.0, x0], (len(u), 1)), sim.saturate(u))
        return time.perf_counter() - start

    result = versus(ours, direct, samples, repeats)
    pool.close()
    sim.close()
    assert mpc.summary.ok == mpc.summary.solves
    return {"model": name, "samples": samples, "T": T, "dt": sim.dt, "threads": threads, **result}


def linear(repeats: int, *, far: bool, shortcut: bool) -> dict:
    """Steps/s of MPC(LinearMPC) against OSQP with the same matrices, tolerance and states: update, solve, u[0]."""
    case = cases.Quadrotor(far=far)
    planner = case.planner(shortcut=shortcut)
    states, qp = case.states(), planner._qp
    direct = case.direct(qp)
    u_ours, u_theirs = np.empty((len(states), 4)), np.empty((len(states), 4))
    mpc = MPC(planner)

    def ours():
        mpc.reset()
        for k, x in enumerate(states):
            u_ours[k] = mpc(x, k * planner.dt)

    def theirs():
        l, u = qp._l.copy(), qp._u.copy()
        for k, x in enumerate(states):
            l[:12] = u[:12] = planner.A @ x + planner.c
            direct.update(l=l, u=u)
            u_theirs[k] = direct.solve(raise_error=False).x[qp.split : qp.split + 4]

    result = versus(ours, theirs, len(states), max(5, repeats // 3))  # a pass is 200 steps
    solved = [s for s in mpc.log if s.outcome == "ok"]
    return {
        "nx": 12, "nu": 4, "horizon": planner.T, "steps": len(states), "tolerance": 1e-5, "shortcut": shortcut,
        "ok": len(solved), "largest_difference_u": float(np.abs(u_ours - u_theirs).max()),
        "share_of_states_with_an_active_limit": case.active(planner, states), **result,
    }  # fmt: skip


def overhead(repeats: int) -> dict:
    """Microseconds of one warm solve of the same QP through each way into the solvers."""
    ways = cases.Quadrotor(far=True).ways()
    seconds = {name: [] for name in ways}
    for _ in range(10 * repeats):
        for name, call in ways.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: quartiles(1e6 * np.array(s)) for name, s in seconds.items()}


def faults(name: str, steps: int) -> dict:
    """A closed loop with every fault at random; counts the commands that were not finite or outside the limits."""
    planner, x, step, h = cases.FAULTY[name]()
    rng, clock, bad, worst = np.random.default_rng(0), cases.Clock(), 0, 0.0
    faulty = Faulty(planner, rng, rate=0.3, late=clock.late)
    mpc = MPC(faulty, budget=0.1, clock=clock)
    lost = 0
    for k in range(steps):
        seen = x.copy()
        if rng.random() < 0.1:
            lost += 1
            seen[rng.integers(len(x))] = rng.choice([np.nan, np.inf, -np.inf])
        u = mpc(seen, k * h)
        bad += not (np.isfinite(u).all() and (mpc.u_min <= u).all() and (u <= mpc.u_max).all())
        x = step(x, np.clip(np.nan_to_num(u), mpc.u_min, mpc.u_max))
        worst = max(worst, float(np.abs(x).max()))
    s = mpc.summary
    return {
        "planner": name, "steps": steps, "bad_commands": bad, "solves": s.solves, "ok": s.ok, "fallback": s.fallback,
        "failed": s.failed, "late": s.late, "safe_inputs": s.safe, "clipped": s.saturated, "measurements_lost": lost,
        "faults": faulty.count, "reasons": dict(s.reasons), "largest_state": worst,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="timed pairs per comparison (default 15)")
    parser.add_argument("--judo", type=Path, help="Python of a virtual environment with judo-rai")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "mpc.json")
    args = parser.parse_args()
    results = {
        "rollouts, cartpole": {"wanted_ratio": 0.85, **rollouts("cartpole", 256, 50, args.repeats)},
        "rollouts, block_push": {"wanted_ratio": 0.85, **rollouts("block_push", 64, 60, args.repeats)},
        "linear MPC, limits active": {"wanted_ratio": 0.8, **linear(args.repeats, far=True, shortcut=False)},
        "linear MPC, hovering": {"wanted_ratio": 0.8, **linear(args.repeats, far=False, shortcut=False)},
        "linear MPC, hovering, shortcut": {"wanted_ratio": 0.8, **linear(args.repeats, far=False, shortcut=True)},
    }
    judo = {}
    if args.judo is not None:
        judo = {name: mpc_judo.compare(args.judo, name, versus, args.repeats) for name in mpc_judo.CASES}
    report = {
        "command": " ".join(["python", *sys.argv]),
        "machine": {"processor": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "mujoco": mujoco.__version__},
        "results": results,
        "judo": judo or "not measured: no --judo",
        "microseconds_of_a_warm_solve": overhead(args.repeats),
        "faults": [faults("linear", 10_000), faults("sampling", 10_000)],
    }
    write_atomically(args.out, (json.dumps(report, indent=1) + "\n").encode())
    for name, row in {**results, **judo}.items():
        pairs = row["ratio_of_pairs"]
        print(
            f"{name:34}{row['ours_per_s']['median']:12.4g}{row['theirs_per_s']['median']:12.4g}"
            f"{row['ratio_of_medians']:8.2f}  {pairs['q25']:5.2f} - {pairs['q75']:5.2f}  {row['wanted_ratio']:5.2f}"
        )
    for row in report["faults"]:
        print(f"{row['planner']}: {row['steps']} steps, {row['bad_commands']} bad commands; {row['ok']} ok, "
              f"{row['fallback']} fallback, {row['failed']} failed")  # fmt: skip
    print({name: round(row["median"], 1) for name, row in report["microseconds_of_a_warm_solve"].items()}, "us a solve")


if __name__ == "__main__":
    main()
