"""Collocation against CasADi and IPOPT written by hand, and Drake's DirectCollocation with SNOPT beside them.

    python benchmarks/collocation.py [--repeats 9] [--out benchmarks/results/collocation.json]

Swing-ups with 51 knots and free final time: the same equations (Hermite-Simpson, input linear, Simpson's cost), guess,
limits and IPOPT tolerance on all sides, exact Hessians. One measurement is everything from the plant to the plan:
building the program, its derivatives, the solve; ours also simulates the plan again and reports it. Four programs by
hand: SX written out knot by knot, MX with the dynamics as a function, the same expanded to SX, MX with one function an
interval mapped over all; "theirs" is the fastest of them. All run in turn in one process, in alternating order; figures
are medians with quartiles.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import casadi as ca
import numpy as np

from controllers.collocation import Collocation, Options, Problem
from controllers.collocation.multibody import DrakeCollocation, MultibodySystem
from controllers.cost import quadratic
from sims import models
from sims.plants import Acrobot, CartPole
from sims.trajectory import Trajectory, write_atomically

N, WANTED = 51, 0.9
QUIET = {"ipopt.print_level": 0, "print_time": False, "ipopt.sb": "yes", "ipopt.tol": 1e-8, "ipopt.max_iter": 1000}


@dataclass(frozen=True)
class Case:
    """integral of u^2 + weight T from rest at 0 to the goal, |u| <= limit, low <= T <= high, guess a line in T0."""

    plant: Any
    model: Path
    by_hand: Callable
    goal: tuple[float, ...]
    limit: float
    weight: float
    low: float
    high: float
    T0: float

    def problem(self, system) -> Problem:
        cost = quadratic(np.zeros(4), [1.0], x_goal=np.zeros(4))
        limits = {"duration": (self.low, self.high), "time_cost": self.weight}
        return Problem(system=system, cost=cost, x_goal=self.goal, knots=N, **limits)

    @property
    def guess(self) -> Trajectory:
        return Trajectory(np.array([0, self.T0]), np.array([np.zeros(4), self.goal]), np.zeros((1, 1)))


def cartpole_by_hand(x, u):
    """mc = 10, mp = 1, l = 0.5 as in sims.plants.CartPole, solved for the accelerations."""
    mc, mp, l, g = 10.0, 1.0, 0.5, 9.81
    s, c = ca.sin(x[1]), ca.cos(x[1])
    den = mc + mp * s * s
    a = (u + mp * s * (l * x[3] ** 2 + g * c)) / den
    b = (-u * c - mp * l * x[3] ** 2 * c * s - (mc + mp) * g * s) / (l * den)
    return ca.vertcat(x[2], x[3], a, b)


def acrobot_by_hand(x, u):
    """The parameters of sims.plants.Acrobot; the 2 x 2 mass matrix inverted by Cramer's rule."""
    m2, l1, lc1, lc2, I1, I2, b, g = 1.0, 1.0, 0.5, 1.0, 0.083 + 0.25, 0.33 + 1.0, 0.1, 9.81
    s2, c2, s1, s12 = ca.sin(x[1]), ca.cos(x[1]), ca.sin(x[0]), ca.sin(x[0] + x[1])
    m11, m12, m22 = I1 + I2 + m2 * l1**2 + 2 * m2 * l1 * lc2 * c2, I2 + m2 * l1 * lc2 * c2, I2
    h = m2 * l1 * lc2 * s2
    r1 = 2 * h * x[2] * x[3] + h * x[3] ** 2 - g * (lc1 * s1 + m2 * (l1 * s1 + lc2 * s12)) - b * x[2]
    r2 = -h * x[2] ** 2 - m2 * g * lc2 * s12 - b * x[3] + u
    det = m11 * m22 - m12 * m12
    return ca.vertcat(x[2], x[3], (m22 * r1 - m12 * r2) / det, (m11 * r2 - m12 * r1) / det)


CASES = {
    "cart-pole": Case(CartPole, models.cartpole, cartpole_by_hand, (0, np.pi, 0, 0), 100.0, 1000.0, 1.0, 6.0, 2.5),
    "cart-pole, short of force": Case(
        CartPole, models.cartpole, cartpole_by_hand, (0, np.pi, 0, 0), 60.0, 1000.0, 1.0, 6.0, 2.5
    ),
    "acrobot": Case(Acrobot, models.acrobot, acrobot_by_hand, (np.pi, 0, 0, 0), 20.0, 10.0, 1.0, 4.0, 2.0),
}


KINDS = ("sx", "mx", "expanded", "mapped")


def interval(f, f0, f1, x0, u0, x1, u1, h) -> list:
    """Hermite and Simpson's defect, and Simpson's integral of u^2."""
    um = (u0 + u1) / 2
    xm = (x0 + x1) / 2 + h / 8 * (f0 - f1)
    return [x1 - x0 - h / 6 * (f0 + 4 * f(xm, um) + f1), h / 6 * (u0**2 + 4 * um**2 + u1**2)]


def by_hand(case: Case, kind: str) -> tuple[float, int, str]:
    """Cost, iterations and status of the program that one would write, of a kind in KINDS."""
    X = ca.SX if kind == "sx" else ca.MX
    x, u, T = X.sym("x", 4, N), X.sym("u", 1, N), X.sym("T")
    f, h = case.by_hand, T / (N - 1)
    xs, us, x1, u1, T1 = (ca.SX.sym("w", n) for n in (4, 1, 4, 1, 1))
    if kind != "sx":
        f = ca.Function("f", [xs, us], [case.by_hand(xs, us)])
    if kind == "mapped":
        step = ca.Function(
            "step", [xs, us, x1, u1, T1], interval(f, f(xs, us), f(x1, u1), xs, us, x1, u1, T1 / (N - 1))
        )
        defects, costs = step.map(N - 1)(x[:, :-1], u[:-1], x[:, 1:], u[1:], ca.repmat(T, 1, N - 1))
        g, cost = [ca.vec(defects)], case.weight * T + ca.sum2(costs)
    else:
        at, g, cost = [f(x[:, k], u[k]) for k in range(N)], [], case.weight * T
        for k in range(N - 1):
            defect, piece = interval(f, at[k], at[k + 1], x[:, k], u[k], x[:, k + 1], u[k + 1], h)
            g.append(defect)
            cost += piece
    z = ca.vertcat(ca.vec(x), ca.vec(u), T)
    low, high = np.full(z.numel(), -np.inf), np.full(z.numel(), np.inf)
    low[:4] = high[:4] = 0.0
    low[4 * N - 4 : 4 * N] = high[4 * N - 4 : 4 * N] = case.goal
    low[4 * N : 5 * N], high[4 * N : 5 * N] = -case.limit, case.limit
    low[-1], high[-1] = case.low, case.high
    start = np.concatenate([np.linspace(np.zeros(4), case.goal, N).ravel(), np.zeros(N), [case.T0]])
    solver = ca.nlpsol(
        "solver", "ipopt", {"x": z, "f": cost, "g": ca.vertcat(*g)}, {**QUIET, "expand": kind == "expanded"}
    )
    answer, stats = solver(x0=start, lbx=low, ubx=high, lbg=0, ubg=0), solver.stats()
    return float(answer["f"]), int(stats["iter_count"]), stats["return_status"]


def ours(case: Case) -> tuple[float, int, str]:
    """The same through the suite's door."""
    limit = {"force_limit" if case.plant is CartPole else "torque_limit": case.limit}
    planner = Collocation(case.problem(case.plant(**limit)), Options(retries=0))
    solution = planner.solve(np.zeros(4), case.guess)
    solution.plan()
    return solution.cost, solution.iterations, solution.status


def drake(case: Case) -> dict:
    """DirectCollocation with SNOPT on a MultibodyPlant, once: building the program and its solve."""
    system = MultibodySystem(case.model)
    system.robot.u_min[:], system.robot.u_max[:] = -case.limit, case.limit
    begin = time.perf_counter()
    planner = DrakeCollocation(case.problem(system), Options(max_iterations=300, ipopt={"Iterations limit": 50_000}))
    plan = planner.plan(np.zeros(4), case.guess)
    return {
        "solver": "SNOPT",
        "status": plan.status,
        "message": plan.message,
        "cost": plan.cost,
        "T": float(plan.trajectory.t[-1]),
        "seconds": time.perf_counter() - begin,
    }


def measure(case: Case, repeats: int) -> dict:
    """Seconds of all sides in turn, and what they found."""
    sides = {
        "ours": lambda: ours(case),
        **{f"by hand, {kind}": lambda kind=kind: by_hand(case, kind) for kind in KINDS},
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    found = {}
    for repeat in range(repeats + 1):
        for name in sorted(sides, reverse=bool(repeat % 2)):
            begin = time.perf_counter()
            found[name] = sides[name]()
            if repeat:  # the first round warms up
                seconds[name].append(time.perf_counter() - begin)
    fastest = min((name for name in sides if name != "ours"), key=lambda name: float(np.median(seconds[name])))
    pairs = np.array(seconds[fastest]) / np.array(seconds["ours"])
    return {
        "n": repeats,
        "knots": N,
        "wanted_ratio": WANTED,
        "theirs": fastest,
        "ratio_of_medians": float(np.median(seconds[fastest]) / np.median(seconds["ours"])),
        "ratio_of_pairs": quartiles(pairs),
        "cost_ours_over_theirs": found["ours"][0] / found[fastest][0],
        "sides": {
            name: {
                "milliseconds": quartiles(1e3 * np.array(seconds[name])),
                "cost": found[name][0],
                "iterations": found[name][1],
                "status": found[name][2],
            }
            for name in sides
        },
    }


def variants(case: Case, repeats: int) -> dict:
    """Our program as MX over mapped SX functions, as it is, and expanded to one SX graph: building, one evaluation."""
    rows: dict[str, dict[str, list[float]]] = {"mapped": {}, "expanded": {}}
    for _ in range(repeats):
        for kind, times in rows.items():
            begin = time.perf_counter()
            nlp = Collocation(case.problem(case.plant())).transcription.nlp
            functions = nlp.functions
            if kind == "expanded":
                functions = {name: fn.expand() for name, fn in functions.items()}
            times.setdefault("build", []).append(time.perf_counter() - begin)
            z, lam = ca.DM.ones(nlp.size), ca.DM.ones(len(nlp.rows))
            calls = {
                "f_g": lambda f=functions: f["f_g"](z, []),  # noqa: B023
                "jac_g": lambda f=functions: f["jac_g"](z, []),  # noqa: B023
                "hess_lag": lambda f=functions: f["hess_lag"](z, [], 1.0, lam),  # noqa: B023
            }
            for name, call in calls.items():
                begin = time.perf_counter()
                for _ in range(20):
                    call()
                times.setdefault(name, []).append((time.perf_counter() - begin) / 20)
    return {
        kind: {f"{name}_ms": quartiles(1e3 * np.array(s)) for name, s in times.items()} for kind, times in rows.items()
    }


def quartiles(values: np.ndarray) -> dict:
    """Median and the quartiles around it."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"median": float(median), "q25": float(low), "q75": float(high)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="solves of each side (default 9)")
    parser.add_argument("--skip-drake", action="store_true", help="leave Drake's solves out")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "collocation.json")
    args = parser.parse_args()
    results = {}
    for name, case in CASES.items():
        results[name] = row = measure(case, args.repeats)
        row["our_program"] = variants(case, args.repeats)
        if not args.skip_drake:
            row["drake"] = drake(case)
        ms = {side: round(value["milliseconds"]["median"], 1) for side, value in row["sides"].items()}
        told = row.get("drake", {})
        print(
            f"{name:26} ratio {row['ratio_of_medians']:.2f}, cost ratio {row['cost_ours_over_theirs']:.6f}, ms {ms}, "
            f"Drake {told.get('status')} {told.get('seconds', 0):.2f} s, cost {told.get('cost', np.nan):.4g}",
            flush=True,
        )
    report = {
        "command": " ".join(["python", *sys.argv]),
        "machine": {"processor": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("numpy", "casadi", "drake")},
        },
        "results": results,
    }
    write_atomically(args.out, (json.dumps(report, indent=1) + "\n").encode())
    short = [n for n, r in results.items() if r["ratio_of_medians"] < WANTED or r["cost_ours_over_theirs"] > 1 + 1e-6]
    print(f"written to {args.out}" + (f"; short of what is wanted: {short}" if short else ""))
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
