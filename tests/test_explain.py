"""explain(): conflicts planted in plans, receding horizons and postures are named, and the repair, applied, solves."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("casadi", reason="collocation uses CasADi: pip install casadi")
pytest.importorskip("clarabel", reason="Clarabel is not installed: pip install clarabel")

from collocation_cases import RimlessWheel, acrobot, cartpole, effort_cost, pendulum
from mpc_cases import double_integrator

from controllers.collocation import Collocation, Problem
from controllers.constraint import Constraint, state_box
from controllers.explain import explain, relax
from controllers.ik import InverseKinematics, body_at, body_turned, joint_limits
from controllers.mpc.linear import LinearMPC
from controllers.obstacles import goal_position, keep_out, keep_out_box
from sims.plants import CartPole, DoubleIntegrator, DubinsCar, Pendulum, PlanarQuadrotor
from sims.system import stack

A, B, Q, R = double_integrator()


@dataclass(frozen=True)
class Case:
    """make(**changes) -> planner, asked from x0; planted: labels of the conflict, all of it if `exactly`; repair: for
    some labels the changes of make that apply a relaxation in the user's own terms, as a function of it; amounts: the
    smallest relaxations where they are known in closed form, with a relative tolerance."""

    make: Any
    x0: Any
    planted: set[str]
    exactly: bool = True
    repair: Any = None
    amounts: Any = None


def sled(**changes) -> Collocation:
    """A unit mass and a force of 1 N: from rest to rest over 1 m takes 2 s, or 4 / T^2 N."""
    plant = DoubleIntegrator(force_limit=changes.pop("force", 1.0))
    given = {"system": plant, "duration": 1.5, "cost": effort_cost(2, 1.0), "x_goal": [1.0, 0.0], "knots": 41}
    return Collocation(Problem(**{**given, **changes}))


def boxes(low: float = 0.2, high: float = 0.1) -> Collocation:
    fast = state_box([low], [1.0], label="fast", components=[1], knots=(3, 4), unit="rad/s")
    slow = state_box([-1.0], [high], label="slow", components=[1], knots=(4,), unit="rad/s")
    return Collocation(pendulum(constraints=(fast, slow)))


def car(clearance: float = 0.0) -> Collocation:
    """A goal 0.2 m from the centre of a pillar with a radius of 0.5 m."""
    pillar = keep_out([3.2, 1.0], 0.5, label="clear the pillar", clearance=clearance)
    goal = [3.0, 1.0, np.nan]
    return Collocation(
        Problem(system=DubinsCar(), duration=(0.5, 10.0), time_cost=1.0, x_goal=goal, knots=31, constraints=(pillar,))
    )


def crate(low: float = 1.6) -> Collocation:
    box = keep_out_box([low, 0.8], [2.6, 1.4], label="clear the crate")
    goal = [2.0, 1.0, 0, 0, 0, 0]
    plant = PlanarQuadrotor()
    return Collocation(
        Problem(system=plant, duration=(0.5, 4.0), time_cost=1.0, x_goal=goal, knots=31, constraints=(box,))
    )


def speeds(least: float = 0.5, most: float = 0.2) -> LinearMPC:
    quick = Constraint("quick", lambda x, u: x[..., 1:2], [least], [np.inf], (3, 4, 5), "m/s", "x")
    slow = Constraint("slow", lambda x, u: x[..., 1:2], [-most], [most], (4,), "m/s", "x")
    return LinearMPC(A, B, Q, R, 10, dt=0.1, u_min=-9, u_max=9, constraints=[quick, slow])


def dock(T: int = 10, u_max: float = 1.0) -> LinearMPC:
    """Rest to rest over 1 m as an MPC: 2 s at 1 N, with inputs held over 0.1 s just as well."""
    docked = Constraint("docked", lambda x, u: x, [1.0, 0.0], [1.0, 0.0], "final", "", "x")
    limits = {"u_min": -u_max, "u_max": u_max, "u_names": ("force",), "x_max": [5.0, 5.0]}
    return LinearMPC(A, B, Q, R, T, dt=0.1, constraints=[docked], **limits)


def tip(q):
    """The hand of a planar arm with two links of 1 m."""
    return stack([np.cos(q[..., 0]) + np.cos(q[..., 0] + q[..., 1]), np.sin(q[..., 0]) + np.sin(q[..., 0] + q[..., 1])])


def arm(target=(1.8, 1.2), bend: float = 2.0, turn: float = 1.0, tolerance: float = 0.0) -> InverseKinematics:
    limits = joint_limits([-turn, -bend], [turn, bend], ["shoulder", "elbow"])
    at = goal_position(target, label="hand at the cup", position=tip, tolerance=tolerance)
    return InverseKinematics(2, [*limits, at])


def iiwa(p_WG=(0.9, 0.5, 0.9), tolerance: float = 1e-3) -> InverseKinematics:
    mujoco = pytest.importorskip("sims", reason="needs MuJoCo").MujocoSimulator
    sim = mujoco("iiwa14")
    lower, upper = sim.model.jnt_range.T
    flange = sim.body_names[-1]
    at = body_at(sim, flange, p_WG, label="flange at the shelf", tolerance=tolerance)
    down = body_turned(sim, flange, np.diag([1.0, -1.0, -1.0]), label="flange down", tolerance=0.01)
    return InverseKinematics(7, [*joint_limits(lower, upper), at, down])


REST = {"duration", "input limit force", "goal q", "goal q_dot"}
CASES = {
    "lo > hi": Case(
        lambda t=0.0: sled(force=9.0, x_min=[-1.0, 1.0 - t], x_max=[2.0, -1.0 + t]),
        [0, 0], {"state limit q_dot"}, repair={"state limit q_dot": lambda r: {"t": r.amount}},
    ),
    "two boxes on one state": Case(
        boxes, [0, 0], {"fast", "slow"}, amounts={"fast": (0.1, 1e-3), "slow": (0.1, 1e-3)},
        repair={"fast": lambda r: {"low": 0.2 - r.amount}, "slow": lambda r: {"high": 0.1 + r.amount}},
    ),
    "two boxes in an MPC": Case(
        speeds, [0, 0], {"quick", "slow"}, amounts={"quick": (0.3, 1e-6), "slow": (0.3, 1e-6)},
        repair={"quick": lambda r: {"least": 0.5 - r.amount}, "slow": lambda r: {"most": 0.2 + r.amount}},
    ),
    "torque limit too low, pendulum": Case(
        lambda limit=2.0: Collocation(pendulum(system=Pendulum(torque_limit=limit), duration=(0.5, 1.5))),
        [0, 0], {"input limit torque"}, exactly=False, repair={"input limit torque": lambda r: {"limit": 2 + r.amount}},
    ),
    "force limit too low, cart-pole by Runge-Kutta": Case(
        lambda limit=15.0: Collocation(
            cartpole(system=CartPole(mc=10, mp=1, l=0.5, g=9.81, force_limit=limit), duration=2.0, scheme="rk4")
        ),
        np.zeros(4), {"input limit force"}, exactly=False,
        repair={"input limit force": lambda r: {"limit": 15 + r.amount}},
    ),
    "horizon too short, sled": Case(
        sled, [0, 0], REST, amounts={"duration": (0.5, 0.01), "input limit force": (4 / 1.5**2 - 1, 0.02)},
        repair={
            "duration": lambda r: {"duration": 1.5 + r.amount},
            "input limit force": lambda r: {"force": 1 + r.amount},
        },
    ),
    "horizon too short, MPC": Case(
        dock, [0, 0], {"input limit force", "docked", "horizon"},
        amounts={"horizon": (1.0, 1e-9), "input limit force": (3.0, 1e-6)},
        repair={"horizon": lambda r: {"T": 20}, "input limit force": lambda r: {"u_max": 1.0 + r.amount}},
    ),
    "obstacle over the goal, car": Case(
        car, np.zeros(3), {"clear the pillar", "goal x", "goal y"}, amounts={"clear the pillar": (0.3, 1e-3)},
        repair={"clear the pillar": lambda r: {"clearance": -r.amount}},
    ),
    "unreachable pose, two links": Case(
        arm, None, {"hand at the cup"}, amounts={"hand at the cup": (0.118, 0.01)},
        repair={"hand at the cup": lambda r: {"tolerance": r.amount}},
    ),
    "unreachable pose, joint limit": Case(
        lambda **c: arm(target=(0.0, 1.2), **{"turn": 0.3, **c}), None, {"joint limit shoulder", "hand at the cup"},
        amounts={"joint limit shoulder": (np.pi / 2 - np.arccos(0.6) - 0.3, 1e-3)},
        repair={
            "joint limit shoulder": lambda r: {"turn": 0.3 + r.amount},
            "hand at the cup": lambda r: {"tolerance": r.amount},
        },
    ),
    "unreachable pose, iiwa 14": Case(
        iiwa, None, {"flange at the shelf"}, repair={"flange at the shelf": lambda r: {"tolerance": 1e-3 + r.amount}}
    ),
    "horizon too short, acrobot": Case(
        lambda limit=0.9: Collocation(acrobot(duration=(0.5, limit), knots=31)),
        np.zeros(4), {"duration"}, exactly=False, repair={"duration": lambda r: {"limit": 0.9 + r.amount}},
    ),
    "obstacle over the goal, quadrotor": Case(
        crate, np.zeros(6), {"clear the crate", "goal x", "goal z"}, exactly=False
    ),
    "stride too quick, rimless wheel": Case(
        lambda limit=0.1: Collocation(RimlessWheel().stride(duration=(0.01, limit))), None, {"duration"},
        repair={"duration": lambda r: {"limit": 0.1 + r.amount}},
    ),
}  # fmt: skip
SLOW = {
    "obstacle over the goal, car",
    "horizon too short, acrobot",
    "unreachable pose, iiwa 14",
    "obstacle over the goal, quadrotor",
}


def answer(planner, x0):
    return planner.solve(x0) if isinstance(planner, InverseKinematics) else planner.plan(x0)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in CASES])
def test_planted_conflicts_are_named_and_the_repair_applied_solves(name):
    case = CASES[name]
    planner = case.make()
    assert not answer(planner, case.x0).ok
    why = explain(planner, case.x0)
    assert not why.feasible and case.planted <= set(why.conflict)
    assert set(why.conflict) == case.planted or not case.exactly
    assert all(f"'{label}'" in why.message for label in why.conflict)
    best = why.cheapest
    assert best is not None and best.answer.ok and str(best) in why.message
    found = {change.label: change for change in why.relaxations if change.verified}
    for label, words in (case.repair or {}).items():  # the user's own words, a new planner, no hint from explain()
        repaired = answer(case.make(**words(found[label])), case.x0)
        assert repaired.ok, f"{found[label]}: {repaired.message}"
    for label, (amount, rtol) in (case.amounts or {}).items():
        assert amount * (1 - 1e-6) <= found[label].amount, "a relaxation smaller than the smallest is none"
        seen = {v.label: v.amount for v in why.violations}
        assert seen.get(label, amount) == pytest.approx(amount, rel=rtol)
        assert found[label].amount <= 1.15 * amount + 1e-9


def test_relaxations_are_ordered_and_a_weight_changes_the_order():
    why = explain(sled(), [0, 0])
    assert [r.label for r in why.relaxations][:2] == ["duration", "input limit force"]
    assert [r.cost for r in why.relaxations] == sorted(r.cost for r in why.relaxations)
    assert "duration: 2.01 s instead of 1.5" in why.message and why.minimal == "locally minimal"
    other = explain(sled(), [0, 0], weights={"duration": 100.0})
    assert other.cheapest.label == "input limit force"
    with pytest.raises(ValueError, match="Did you mean 'duration'"):
        explain(sled(), [0, 0], weights={"durations": 1.0})


@pytest.mark.parametrize("make, x0", [(sled, [0, 0]), (dock, [0, 0]), (car, np.zeros(3)), (arm, None)])
def test_relax_gives_the_planner_that_solves(make, x0):
    planner = make()
    for change in explain(planner, x0).relaxations:
        if change.verified:
            wider = relax(planner, change)
            repaired = (
                wider.solve(change.answer.q) if isinstance(wider, InverseKinematics) else wider.plan(x0, change.answer)
            )
            assert repaired.ok, f"{change}: {repaired.message}"
    with pytest.raises(ValueError, match="Available"):
        relax(planner, replace(change, label="tea"))


@pytest.mark.parametrize("make, x0", [(lambda: sled(duration=3.0), [0, 0]), (lambda: dock(30), [0, 0]), (arm, None)])
def test_what_can_be_met_is_said_to_be(make, x0):
    planner = make() if x0 is not None else make(target=(1.0, 1.0))
    why = explain(planner, x0)
    assert why.feasible and why.conflict == () and why.cheapest is None
    assert answer(planner, x0).ok
    if x0 is None:
        assert planner.solve(why.guess).ok
    else:
        assert planner.plan(x0, why.guess).ok


def test_two_conflicts_at_once_are_found_one_after_the_other():
    quick = Constraint("quick", lambda x, u: x[..., 1:2], [0.5], [1.0], (3,), "", "x")
    slow = Constraint("slow", lambda x, u: x[..., 1:2], [0.0], [0.2], (3,), "", "x")
    left = Constraint("left", lambda x, u: x[..., :1], [-9.0], [-0.1], (6,), "", "x")
    right = Constraint("right", lambda x, u: x[..., :1], [0.1], [9.0], (6,), "", "x")
    both = LinearMPC(A, B, Q, R, 10, dt=0.1, constraints=[quick, slow, left, right])
    why = explain(both, [0, 0])
    assert set(why.conflict) in ({"quick", "slow"}, {"left", "right"})
    assert why.cheapest is None and "another conflict" in why.message
    assert {v.label: v.amount for v in why.violations} == pytest.approx(
        dict.fromkeys(why.conflict, 0.3 if "quick" in why.conflict else 0.2)
    )


def test_a_start_outside_a_limit_is_a_conflict_with_the_start():
    wall = state_box([0.5], [9.0], label="beyond the wall", components=[0], unit="m")
    why = explain(sled(force=9.0, constraints=(wall,)), [0.0, 0.0])
    assert why.conflict == ("beyond the wall",) and "from this start" in why.message
    assert why.violations[0].knots[0] == 0 and why.violations[0].amount == pytest.approx(0.5, abs=1e-4)
    assert why.cheapest is not None and str(why.cheapest) == "beyond the wall: at least -0.01 m instead of 0.5"


def test_other_planners_are_refused():
    with pytest.raises(ValueError, match="Available: Collocation, DrakeCollocation"):
        explain(object(), [0, 0])
    with pytest.raises(ValueError, match="x0 must be finite"):
        explain(dock(), [0, 0, 0])
