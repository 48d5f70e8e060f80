"""How far limits must give way: least amounts against closed forms, and that what is widened so much then solves."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("casadi", reason="collocation uses CasADi: pip install casadi")

from collocation_cases import minimum_time, pendulum

from controllers import keep_out, state_box
from controllers.collocation import Collocation, Options, Problem
from controllers.collocation.elastic import labels, relax
from sims.plants import DoubleIntegrator, Pendulum


def short(**changes) -> Problem:
    """Two metres in 2 s with 1 N and 1 kg, from rest to rest: 2 sqrt 2 s are needed, or 2 N, and 1 m is reached."""
    return replace(minimum_time(), **{"duration": 2.0, "time_cost": 0.0, **changes})


NEEDED = {"duration": 2 * np.sqrt(2) - 2, "input limit force": 1.0, "goal q": 1.0, "start q": 1.0}


def label(problem: Problem, name: str) -> str:
    """The label of the position, whatever the plant calls it."""
    return name.replace(" q", f" {problem.system.x_names[0]}")


@pytest.mark.parametrize("name", NEEDED)
def test_the_least_amount_of_one_label(name):
    planner = Collocation(short(), Options(retries=0))
    assert planner.plan([-2, 0]).status == "infeasible"
    found = relax(planner.transcription, [-2, 0], [label(planner.problem, name)])
    assert found.solved
    assert found.amounts == {label(planner.problem, name): pytest.approx(NEEDED[name], rel=5e-3)}


def test_what_is_widened_so_much_solves():
    low = pendulum(system=Pendulum(torque_limit=0.5), duration=2.0, knots=31)
    planner = Collocation(low, Options(retries=1))
    assert planner.plan([0, 0]).status == "infeasible"
    found = relax(planner.transcription, [0, 0], ["input limit torque"])
    amount = found.amounts["input limit torque"]
    assert found.solved and 0 < amount < 10
    wide = replace(low, system=Pendulum(torque_limit=0.5 + 1.001 * amount))
    assert not Collocation(wide).plan([0, 0]).violations


def test_only_one_of_two_needs_to_give_way():
    problem = short(duration=4.0, constraints=(state_box([-np.inf], [0.1], label="slow", components=[1], unit="m/s"),))
    planner = Collocation(problem, Options(retries=0))
    both = relax(planner.transcription, [-2, 0], ["slow", "input limit force"])
    # 2 m in 4 s at 1 m/s^2 at most: v (4 - v) = 2, so v = 2 - sqrt 2
    assert both.solved and both.amounts["slow"] == pytest.approx(2 - np.sqrt(2) - 0.1, rel=1e-2)
    assert both.amounts["input limit force"] < 0.15
    alone = relax(planner.transcription, [-2, 0], ["input limit force"])
    assert not alone.solved  # no force makes up for the speed limit


def test_an_obstacle_over_the_goal():
    plant = DoubleIntegrator()
    wall = keep_out([0.0, 0.0], 0.5, label="clear the wall")  # in the plane of position and speed
    problem = Problem(system=plant, duration=2.0, knots=21, x_goal=[0, 0], constraints=(wall,))
    planner = Collocation(problem, Options(retries=0))
    assert "clear the wall" in labels(planner.transcription, [-2, 0])
    found = relax(planner.transcription, [-2, 0], ["clear the wall"])
    assert found.solved and found.amounts["clear the wall"] == pytest.approx(0.5, rel=1e-2)


def test_nothing_needs_to_give_way():
    planner = Collocation(minimum_time())
    found = relax(planner.transcription, [-2, 0], ["duration", "input limit force"])
    assert found.solved and max(found.amounts.values()) < 1e-4


def test_a_label_that_is_not_there():
    with pytest.raises(ValueError, match=r"unknown label 'torque'.*dynamics"):
        relax(Collocation(minimum_time()).transcription, [-2, 0], ["torque"])
