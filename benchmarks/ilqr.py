"""iLQR against crocoddyl's BoxFDDP: the same plants, costs, limits, horizons and tolerance, in one run.

    python benchmarks/ilqr.py [--repeats 7] [--out benchmarks/results/ilqr.json]

Needs: pip install crocoddyl==3.2.1 pin==4.0.0 libpinocchio==4.0.0 (later pin returns wrong optima with it). Both
solvers start from the same inputs, feasible, and stop where the decrease that is still promised is below tolerance.
Times are medians and least of repeats taken in turn; making a problem, and recording it, are not in them. One row a
start.
"""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import peers_crocoddyl as peers

from controllers.cost import quadratic
from controllers.ilqr import ILQR
from sims import models
from sims.mujoco_model import load_model
from sims.mujoco_sim import MujocoSimulator
from sims.ode import OdeSimulator
from sims.plants import CartPole
from sims.trajectory import write_atomically

TOLERANCE, ITERATIONS = 1e-9, 1000
IIWA_TORQUE = 0.6 * np.array([320.0, 320.0, 176.0, 176.0, 110.0, 40.0, 40.0])
IIWA_GOAL = np.array([0.0, 0.6, 0.0, -1.75, 0.0, 0.8, 0.0])


@dataclass
class Problem:
    """What both solvers are given."""

    plant: object
    T: int
    dt: float
    q: list
    r: list
    qf: list
    goal: list
    limit: np.ndarray


def cartpole(limit: float, weak: bool = False) -> tuple[Problem, ILQR]:
    """Swing-up with the suite's cart-pole, or with a tenth of its masses and a weak motor."""
    plant = CartPole(mc=1.0, mp=0.1, force_limit=limit) if weak else CartPole(force_limit=limit)
    q, r, qf = [1, 1, 0.1, 0.1], [0.01], [1000, 1000, 100, 100]
    if weak:
        q, qf = [0.1, 1, 0.01, 0.01], [100, 500, 100, 50]
    problem = Problem(plant, 150, 0.02, q, r, qf, [0, np.pi, 0, 0], np.array([limit]))
    sim = OdeSimulator(plant, dt=problem.dt, integrator="semi_implicit_euler")
    return problem, planner(sim, problem)


def iiwa() -> tuple[Problem, ILQR]:
    """iiwa 14 in MuJoCo: no contacts, no joint limits, no damping or rotor inertia, which pinocchio would not have."""
    m = load_model(models.iiwa14, dt=0.01, integrator="euler", contact=False, limits=False)
    for values in (m.dof_damping, m.dof_armature, m.dof_frictionloss, m.jnt_stiffness):
        values[:] = 0.0
    m.actuator_ctrlrange[:] = np.c_[-IIWA_TORQUE, IIWA_TORQUE]
    q, qf = [1.0] * 7 + [0.1] * 7, [1000.0] * 7 + [10.0] * 7
    problem = Problem(m, 100, 0.01, q, [1e-4] * 7, qf, [*IIWA_GOAL, *np.zeros(7)], IIWA_TORQUE)
    return problem, planner(MujocoSimulator(m, contact=False, limits=False), problem)


def planner(sim, problem: Problem) -> ILQR:
    cost = quadratic(problem.q, problem.r, x_goal=problem.goal, qf=problem.qf)
    return ILQR(sim, cost, problem.T, tolerance=TOLERANCE, iterations=ITERATIONS)


def starts(name: str, problem: Problem, rng: np.random.Generator):
    """States and inputs to start from."""
    if name == "iiwa":
        for _ in range(4):
            q = IIWA_GOAL + rng.uniform(-0.8, 0.8, 7)
            model = peers.chain(problem.plant)
            hold = peers.pin.rnea(model, model.createData(), q, np.zeros(7), np.zeros(7))
            yield np.r_[q, np.zeros(7)], np.tile(np.clip(hold, -problem.limit, problem.limit), (problem.T, 1))
        return
    for _ in range(5):
        x0 = rng.uniform(-1, 1, 4) * [0.3, 0.4, 0.2, 0.2]
        yield x0, 0.1 * problem.limit * rng.normal(size=(problem.T, 1))


def pinocchio_arm(problem: Problem, x0):
    return peers.multibody(peers.chain(problem.plant), problem, x0, problem.r, -problem.limit, problem.limit)


def measure(plan: ILQR, shooting, x0, u, repeats: int) -> dict:
    """One start: both solvers in turn."""
    ours = plan.plan(x0, u)
    once, log = peers.solve(shooting, u, TOLERANCE * (1 + ours.cost), ITERATIONS)
    theirs = once(listen=True)
    target = 1.01 * min(ours.cost, theirs.cost)
    reached = [
        next((i for i, c in enumerate(costs) if c <= target), None)
        for costs in ([row.cost for row in ours.log], list(log.costs))
    ]
    mine, peer = [], []
    for _ in range(repeats):
        begin = time.perf_counter()
        plan.plan(x0, u)
        middle = time.perf_counter()
        once()
        mine.append(middle - begin)
        peer.append(time.perf_counter() - middle)
    return {
        "ours": row(mine, ours.cost, len(ours.log), ours.status, reached[0]),
        "crocoddyl": row(
            peer, theirs.cost, theirs.iter, "converged" if theirs.isFeasible else "infeasible", reached[1]
        ),
        "speedup": float(np.median(peer) / np.median(mine)),
        "speedup_per_iteration": float(np.median(peer) / theirs.iter / (np.median(mine) / len(ours.log))),
        "cost_ratio": ours.cost / theirs.cost,
    }


def row(seconds: list[float], cost: float, iterations: int, status: str, reached) -> dict:
    return {
        "median_ms": 1e3 * float(np.median(seconds)),
        "least_ms": 1e3 * min(seconds),
        "per_iteration_ms": 1e3 * float(np.median(seconds)) / max(1, iterations),
        "iterations": iterations,
        "iterations_to_1_percent": reached,
        "cost": float(cost),
        "status": status,
    }


RACES = {
    "cart-pole, crocoddyl with its model in Python": ("cartpole", lambda: cartpole(50.0), peers.in_python, 5.0, None),
    "cart-pole, crocoddyl with pinocchio in C++": ("cartpole", lambda: cartpole(50.0), peers.in_pinocchio, 5.0, None),
    "cart-pole with a weak motor, crocoddyl with pinocchio in C++": (
        "cartpole", lambda: cartpole(5.0, weak=True), peers.in_pinocchio, 5.0, None,
    ),
    "iiwa in MuJoCo, crocoddyl with pinocchio in C++": ("iiwa", iiwa, pinocchio_arm, None, 1.3),
}  # fmt: skip


def race(name: str, repeats: int) -> dict:
    kind, make, peer, wanted, wanted_per_iteration = RACES[name]
    problem, plan = make()
    rows = []
    for x0, u in starts(kind, problem, np.random.default_rng(0)):
        shooting = peer(problem, x0)
        shooting.nthreads = 1  # its wheel is built without OpenMP and is slower when asked for two
        rows.append(measure(plan, shooting, x0, u, repeats))
        r = rows[-1]
        print(
            f"{name:65} {r['ours']['median_ms']:8.1f} ms ({r['ours']['iterations']:3} iterations), crocoddyl "
            f"{r['crocoddyl']['median_ms']:8.1f} ms ({r['crocoddyl']['iterations']:3}): "
            f"{r['speedup']:5.1f} times as fast, {r['speedup_per_iteration']:5.2f} per iteration, "
            f"cost ratio {r['cost_ratio']:.6f}",
            flush=True,
        )
    return {
        "rows": rows,
        "speedup": float(np.median([r["speedup"] for r in rows])),
        "speedup_per_iteration": float(np.median([r["speedup_per_iteration"] for r in rows])),
        "worst_cost_ratio": max(r["cost_ratio"] for r in rows),
        "wanted_speedup": wanted,
        "wanted_speedup_per_iteration": wanted_per_iteration,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", default="", help="part of the name of a race; nothing is written then")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ilqr.json")
    args = parser.parse_args()
    chosen = [name for name in RACES if args.only in name]
    results = {name: race(name, args.repeats) for name in chosen}
    packages = ("numpy", "mujoco", "crocoddyl", "pin")
    report = {
        "command": " ".join(["python", *sys.argv]),
        "machine": {"processor": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "tolerance": TOLERANCE,
        "results": results,
    }
    if not args.only:
        write_atomically(args.out, (json.dumps(report, indent=1) + "\n").encode())
    for name, r in results.items():
        print(
            f"{name:65} {r['speedup']:.2f}, {r['speedup_per_iteration']:.2f} per iteration, {r['worst_cost_ratio']:.6f}"
        )
    return 0


if __name__ == "__main__":
    sys.path.append(sys.path.pop(0))  # dl.py next to this file is not the package dl
    sys.exit(main())
