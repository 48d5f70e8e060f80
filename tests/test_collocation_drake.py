"""Collocation by Drake: the published optimum, the same plants as the closed forms, a robot arm, what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydrake", reason="DrakeCollocation uses Drake: pip install drake")

from collocation_cases import cartpole, line, pendulum

from controllers.collocation import Options, Problem
from controllers.collocation.multibody import DrakeCollocation, MultibodySystem
from controllers.constraint import state_box
from controllers.cost import quadratic
from sims import models
from sims.errors import ModelError
from sims.plants import Acrobot, CartPole, Pendulum
from sims.system import stack

PUBLIC = json.loads((Path(__file__).parent / "reference" / "public.json").read_text())
ENTRIES = {entry["id"]: entry for entry in PUBLIC["entries"]}
HANGING, UPRIGHT = np.zeros(4), np.array([0, np.pi, 0, 0])


@pytest.mark.parametrize(("model", "plant"), [("cartpole", CartPole()), ("acrobot", Acrobot())])
def test_the_plant_is_the_closed_form(model, plant):
    system, rng = MultibodySystem(models.MODELS[model]), np.random.default_rng(0)
    x, u = rng.uniform(-2, 2, (6, 4)), rng.uniform(-5, 5, (6, 1))
    np.testing.assert_allclose(system.f(x, u), plant.f(x, u), atol=1e-10)


@pytest.mark.parametrize("closed_form", [False, True])
def test_the_published_cartpole(closed_form):
    """SNOPT from the book's guess finds the book's optimum, in C++ and through System.f."""
    value = ENTRIES["cartpole_dircol"]["value"]
    system = CartPole() if closed_form else MultibodySystem(models.cartpole)
    plan = DrakeCollocation(cartpole(system=system)).plan(HANGING, line(HANGING, UPRIGHT, 4.0))
    assert plan.cost == pytest.approx(value["cost"], rel=1e-5)
    assert plan.trajectory.t[-1] == pytest.approx(value["T"], abs=1e-4)
    assert not plan.violations
    assert plan.status == "stalled" and "more knots" in plan.message  # Drake calls it solved; on 21 knots it is not


@pytest.mark.parametrize("solver", ["snopt", "ipopt"])
def test_an_arm_reaches(solver):
    system = MultibodySystem(models.iiwa14)
    start = np.concatenate([[0, 0.6, 0, -1.75, 0, 0.8, 0], np.zeros(7)])
    goal = np.concatenate([[0.8, 0.9, 0.2, -1.2, 0.3, 0.4, 0.1], np.zeros(7)])
    weak = state_box([-1.0], [1.0], label="slow shoulder", components=[7], unit="rad/s")
    cost = quadratic(np.zeros(14), np.full(7, 1e-3), x_goal=goal)
    problem = Problem(system=system, duration=1.2, cost=cost, x_goal=goal, knots=11, constraints=(weak,))
    plan = DrakeCollocation(problem, solver=solver).plan(start)
    assert plan.ok, plan.message
    run = plan.trajectory
    np.testing.assert_allclose(run.x[-1], goal, atol=1e-6)
    assert (np.abs(run.u) <= system.u_max).all() and (np.abs(run.x[::8, 7]) <= 1.0 + 1e-5).all()
    again = DrakeCollocation(problem, solver=solver).plan(start, plan)
    assert again.ok and again.cost == pytest.approx(plan.cost, rel=1e-4)


def test_what_cannot_be_reached():
    problem = pendulum(system=Pendulum(torque_limit=0.01), duration=1.0)
    plan = DrakeCollocation(problem, Options(max_iterations=50)).plan([0, 0])
    assert plan.status in ("infeasible", "iteration_limit")
    assert any(v.label in ("dynamics", "goal", "input limit") for v in plan.violations)


WRONG = {
    "free joint": (lambda: MultibodySystem(models.quadrotor), ModelError, "free or ball joints"),
    "scheme": (lambda: DrakeCollocation(pendulum(scheme="rk4")), ValueError, "hermite_simpson"),
    "solver": (lambda: DrakeCollocation(pendulum(), solver="knitro"), ValueError, "Available: ipopt, snopt"),
    "start": (lambda: DrakeCollocation(pendulum()).plan([0]), ValueError, r"x0 must be \(2,\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_it_refuses(name):
    make, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        make()


def test_nonlinear_constraints_reach_drake():
    """The pole's tip stays above the rail's level once it is up: a constraint on the last knots."""
    from controllers.constraint import Constraint

    tip = Constraint("tip up", lambda x, u: stack([-np.cos(x[..., 1])]), [0.9], [2.0], knots=(-3, -2, -1), reads="x")
    plan = DrakeCollocation(cartpole(constraints=(tip,))).plan(HANGING, line(HANGING, UPRIGHT, 4.0))
    assert not plan.violations, plan.message
    knots = plan.trajectory.x[::8]
    assert (-np.cos(knots[-3:, 1]) >= 0.9 - 1e-5).all()
