"""The published entries of trajectory optimisation and of limit cycles, each within its own tolerance."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("casadi", reason="collocation uses CasADi: pip install casadi")

from collocation_cases import CompassGait, RimlessWheel, cartpole, line, minimum_time, pendulum, perching

from controllers.collocation import Collocation, Hybrid, Options, Problem, Transition
from controllers.constraint import input_limits
from sims.plants import VanDerPol
from sims.trajectory import Trajectory

PUBLIC = json.loads((Path(__file__).parent / "reference" / "public.json").read_text())
ENTRIES = {entry["id"]: entry for entry in PUBLIC["entries"]}


def entry(id: str) -> tuple[dict, dict]:
    return ENTRIES[id]["value"], ENTRIES[id]["tolerance"]


def test_minimum_time():
    value, tolerance = entry("di_dircol_mintime")
    plan = Collocation(minimum_time()).plan([-2, 0])
    assert plan.ok, plan.message
    assert abs(plan.trajectory.t[-1] - value["T"]) < tolerance
    assert abs(plan.trajectory.t[-1] - value["T"]) < 1e-5  # the same equations as Drake's
    assert plan.cost == pytest.approx(plan.trajectory.t[-1])


def test_pendulum():
    value, _ = entry("pendulum_dircol")
    plan = Collocation(pendulum(), Options(starts=8, seed=1)).plan([0, 0])
    assert plan.ok, plan.message
    assert plan.cost <= value["cost"] * 1.05
    np.testing.assert_allclose(plan.trajectory.x[-1], [np.pi, 0], atol=1e-6)


def test_cartpole():
    """On 21 knots any optimum meets the rule, but none is a motion of the plant: finer knots give one that is."""
    value, _ = entry("cartpole_dircol")
    solution = Collocation(cartpole(), Options(retries=0)).solve(np.zeros(4))
    assert solution.feasible and solution.stationarity < 1e-4
    assert solution.cost <= value["cost"] * 1.1
    assert solution.status == "stalled" and "more knots" in solution.message
    plan = Collocation(cartpole(), Options(refinements=3)).plan(np.zeros(4), line(np.zeros(4), [0, np.pi, 0, 0], 4.0))
    assert plan.ok, plan.message
    assert plan.cost <= value["cost"] * 1.1


@pytest.mark.slow
def test_perching():
    value, tolerance = entry("perching_dircol")
    x0 = ENTRIES["perching_dircol"]["plant_parameters"]["x0"]
    solution = Collocation(perching(), Options(max_iterations=300)).solve(x0)
    assert solution.feasible and solution.stationarity < 1e-4, solution.message
    assert abs(solution.cost / value["cost"] - 1) < tolerance["cost_rel"]
    assert abs(solution.arcs[0].t[-1] - value["T"]) < tolerance["T"]
    final = solution.arcs[0].x[-1]
    np.testing.assert_allclose(final[:2], 0, atol=1e-6)
    assert -1 - 1e-6 <= final[2] <= -np.pi / 6 + 1e-6 and (np.abs(final[4:6]) <= 2 + 1e-6).all()


def test_rimless_wheel():
    value, tolerance = entry("rimless_fixed_point")
    solution = Collocation(RimlessWheel().stride(knots=301), Options(tolerance=1e-11)).solve(None)
    assert solution.status == "converged", solution.message
    arc = solution.arcs[0]
    assert abs(arc.x[0, 1] - value["omega_star"]) < tolerance
    assert abs(arc.x[-1, 1] - value["pre_impact"]) < tolerance


def test_compass_gait():
    value, tolerance = entry("compass_gait_limit_cycle")
    walker = CompassGait()
    np.testing.assert_allclose(walker.strike(np.array(value["pre"])), value["post"], atol=1e-6)
    guess = line([-0.2, 0.3, 1.0, 0.4], [0.3, -0.2, 1.5, 1.8], 0.7, nu=0)
    solution = Collocation(walker.stride()).solve(None, guess)
    assert solution.status == "converged", solution.message
    arc = solution.arcs[0]
    np.testing.assert_allclose(arc.x[0], value["post"], atol=tolerance["state"])
    np.testing.assert_allclose(arc.x[-1], value["pre"], atol=tolerance["state"])
    assert abs(arc.t[-1] - value["period"]) < tolerance["period"]


def test_a_smooth_cycle():
    """Van der Pol's, as one phase that ends where it begins, at rest at the top."""
    value, tolerance = entry("vdp_limit_cycle")
    alone = input_limits([0.0], [0.0], label="no input")
    phase = Problem(system=VanDerPol(mu=1.0), duration=(5.0, 8.0), knots=301, constraints=(alone,))
    t = np.linspace(0, 6.5, 60)
    guess = Trajectory(t, np.column_stack([2 * np.cos(t), -2 * np.sin(t)]), np.zeros((59, 1)))
    solution = Collocation(Hybrid(phases=(phase,), transitions=(Transition(),), cyclic=True)).solve([np.nan, 0], guess)
    assert solution.status == "converged", solution.message
    assert abs(solution.arcs[0].x[0, 0] - value["amplitude"]) < tolerance["amplitude"]
    assert abs(solution.arcs[0].t[-1] - value["period"]) < tolerance["period"]
