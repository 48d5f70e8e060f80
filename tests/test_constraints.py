"""Laws that hold for every constraint: Jacobians by differences, violations by hand, symbols, errors; and plans."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from plant_cases import slope

import dl
from controllers.constraint import Constraint, goal_state, input_limits, limits_of, state_box, violations
from controllers.cost import Wrapped
from controllers.obstacles import goal_position, keep_out, keep_out_box
from controllers.planner import STATUSES, Iteration, Plan, Violation, read_guess
from sims import lie, plants
from sims.scalar import numpy_on_casadi, to_array
from sims.system import stack
from sims.trajectory import Trajectory

T = 5
QUAD = plants.Quadrotor()


def elbow(x):
    return stack([np.cos(x[..., 0]) + np.cos(x[..., 0] + x[..., 1]), np.sin(x[..., 0]) + np.sin(x[..., 0] + x[..., 1])])


@dataclass(frozen=True)
class Case:
    constraint: Constraint
    flying: bool = False
    symbols: bool = True

    def sample(self, rng):
        x, u = rng.normal(size=(T + 1, 13 if self.flying else 4)), rng.normal(size=(T, 4 if self.flying else 2))
        if self.flying:
            x[:, 3:7] = lie.quat_normalize(x[:, 3:7])
        return x, u

    def integrate(self, x, dx):
        return QUAD.integrate(x, dx) if self.flying else x + dx

    @property
    def ndx(self) -> int:
        return 12 if self.flying else 4


HOME = np.concatenate([[0.1, 0.2, 0.3, 0.8, 0.1, -0.2, 0.3], np.zeros(6)])
CASES = {
    "inputs": Case(input_limits([-1, -2], [1, 0.5], label="torque limits", unit="N m")),
    "one input": Case(input_limits(-0.3, 0.3, label="torque limit elbow", components=[1], unit="N m")),
    "states": Case(state_box([-1, -1, -1, -1], 0.5 * np.ones(4), label="box")),
    "two rails": Case(state_box(-0.5, 0.7, label="rails", components=(0, 2), unit="m")),
    "rails": Case(state_box([-0.5], [0.7], label="rails", components=[2], knots=(0, 3, -1), unit="m")),
    "goal": Case(goal_state([0.1, -0.2, 0.3, 0.4])),
    "goal near": Case(goal_state(np.zeros(4), tolerance=[0.1, 0.2], components=[1, 3])),
    "goal with a turn": Case(goal_state([0.0, 3.0, 0.0, 0.0], difference=Wrapped((1,)))),
    "pose": Case(
        goal_state(HOME, label="pose", difference=QUAD.difference, integrate=QUAD.integrate), flying=True, symbols=False
    ),
    "pillar": Case(keep_out([0.3, -0.2], 0.4, label="clear the pillar", clearance=0.1)),
    "ball": Case(keep_out([0.3, -0.2, 0.1], 0.4, label="clear the ball", position=(0, 1, 2)), flying=True),
    "elbow off the pillar": Case(keep_out([1.0, 0.5], 0.3, label="elbow", position=elbow)),
    "wall": Case(keep_out_box([-0.5, 0.2], [1.0, 0.6], label="clear the wall", clearance=0.05)),
    "crate": Case(keep_out_box([-1, -1, -1], [1, 0.5, 0.2], label="clear the crate", position=(0, 1, 2)), flying=True),
    "hand": Case(goal_position([1.2, 0.5], label="reach the cup", position=elbow, tolerance=0.01)),
    "power": Case(Constraint("power", lambda x, u: stack([u[..., 0] * x[..., 2]]), -1.0, 1.0, unit="W")),
    "tilt": Case(
        Constraint("tilt", lambda x, u: stack([1 - 2 * (x[..., 4] ** 2 + x[..., 5] ** 2)]), 0.3, np.inf, reads="x"),
        flying=True,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_jacobian_is_that_of_finite_differences(name, rng):
    case = CASES[name]
    x, u = case.sample(rng)
    space = (QUAD.integrate, case.ndx) if case.flying else ()
    g, gx, gu = case.constraint.jacobian(x[:-1], u, *space)
    n, m = case.ndx, case.constraint.m
    assert g.shape == (T, m) and gx.shape == (T, m, n) and gu.shape == (T, m, u.shape[1])
    assert np.allclose(g, case.constraint.value(x[:-1], u), atol=1e-12)
    for k in (0, T - 1):

        def value(z, k=k):
            return case.constraint.value(case.integrate(x[k], z[:n]), u[k] + z[n:])

        J = np.stack([slope(lambda s, e=e: value(s * e), h=1e-3) for e in np.eye(n + u.shape[1])], axis=-1)
        assert np.abs(np.concatenate([gx[k], gu[k]], axis=-1) - J).max() < 1e-6 * max(1.0, np.abs(J).max())
        for one, all_knots in zip(case.constraint.jacobian(x[k], u[k], *space), (g, gx, gu), strict=True):
            assert one.shape == all_knots.shape[1:] and np.allclose(one, all_knots[k], atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_violations_are_what_is_outside(name, rng):
    case = CASES[name]
    constraint = case.constraint
    x, u = case.sample(rng)
    run = Trajectory(0.1 * np.arange(T + 1), x, u)
    knots = constraint.at(T)
    by_hand = []
    for k in knots:
        g = constraint.g(x[k], u[min(k, T - 1)])
        pairs = zip(constraint.lower, g, constraint.upper, strict=True)
        by_hand.append(max(max(low - v, v - high, 0.0) for low, v, high in pairs))
    assert np.allclose(constraint.violation(x, u), by_hand, atol=1e-12)
    found = violations([constraint], run)
    outside = [int(k) for k, amount in zip(knots, by_hand, strict=True) if amount > 1e-6]
    if outside:
        assert found == (Violation(constraint.label, tuple(outside), found[0].amount, constraint.unit),)
        assert found[0].amount == pytest.approx(max(by_hand)) and constraint.label in str(found[0])
    else:
        assert found == ()
    loose = replace(constraint, lower=constraint.lower - max(by_hand), upper=constraint.upper + max(by_hand))
    assert violations([loose], run) == ()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.symbols])
def test_constraints_take_casadi_symbols_and_dl_tensors(name, rng):
    case = CASES[name]
    xs, us = case.sample(rng)
    wanted = case.constraint.value(xs[:-1], us)
    found = dl.jit(lambda x, u: case.constraint.g(x, u) + 0.0 * x[..., :1])(xs[:-1], us)
    assert np.allclose(found, wanted, atol=1e-12)
    casadi = pytest.importorskip("casadi")
    x, u = casadi.SX.sym("x", xs.shape[1]), casadi.SX.sym("u", us.shape[1])
    with numpy_on_casadi():
        g = casadi.vertcat(*case.constraint.g(to_array(x), to_array(u)))
    values = casadi.Function("g", [x, u], [g])(xs[0], us[0])
    assert np.allclose(np.array(values, float).ravel(), wanted[0], atol=1e-12)


def test_knots_are_those_that_have_what_is_read():
    state, both = keep_out([0, 0], 1.0, label="pillar"), input_limits(-1, 1, label="torque")
    assert state.at(3).tolist() == [0, 1, 2, 3] and both.at(3).tolist() == [0, 1, 2]
    assert replace(state, knots="final").at(3).tolist() == [3] and replace(both, knots="final").at(3).tolist() == [2]
    assert replace(state, knots="start").at(3).tolist() == [0]
    assert replace(state, knots=(-1, 1, 1)).at(3).tolist() == [1, 3]
    for knots in ((4,), (-5,)):
        with pytest.raises(ValueError, match=r"'pillar': knots \[.*states have 0\.\.3"):
            replace(state, knots=knots).at(3)


def test_the_limits_of_a_plant_are_one_constraint_an_input():
    found = limits_of(plants.PlanarQuadrotor())
    arm = limits_of(plants.Quadrotor(thrust_min=0.0, thrust_max=4.0))
    assert found == () and [c.label for c in arm] == [f"input limit {name}" for name in plants.Quadrotor.u_names]
    assert all(c.lower == 0.0 and c.upper == 4.0 and c.reads == "u" for c in arm)


@pytest.mark.parametrize("d", [2, 3])
def test_obstacles_keep_their_distance(d, rng):
    center, p = rng.normal(size=d), 2.0 * rng.normal(size=(4000, d))
    rows, u = tuple(range(d)), np.zeros((len(p), 1))
    ball = keep_out(center, 0.8, label="ball", position=rows, clearance=0.15)
    apart = np.linalg.norm(p - center, axis=1) - 0.8
    inside = ball.value(p, u)[:, 0] < ball.lower
    assert np.array_equal(inside, apart < 0.15) and np.abs(ball.value(p, u)[:, 0] - apart)[apart > 0].max() < 1e-5
    assert np.isfinite(ball.jacobian(center, np.zeros(1))[1]).all()

    half = rng.uniform(0.4, 1.2, d)
    box = keep_out_box(center - half, center + half, label="box", position=rows, clearance=0.15)
    apart = (np.abs(p - center) - half).max(axis=1)
    g = box.value(p, u)[:, 0]
    assert (apart[g >= box.lower] >= 0.15 - 1e-12).all()
    assert (g[apart > 0.15 + 0.01 * half.min()] >= box.lower).all()
    edge = np.abs(g - apart)[np.abs(apart - 0.15) < 0.05]
    assert edge.max() < 0.012 * half.min()


BAD = {
    "no label": (lambda: input_limits(-1, 1, label=" "), "needs a label"),
    "no words": (lambda: Constraint(None, lambda x, u: x, 0, 1), "needs a label"),
    "bounds the wrong way round": (
        lambda: input_limits([0, 2], [1, 1], label="l"),
        r"'l': lower must be <= upper, got 2 and 1 in row 1",
    ),
    "a bound is nan": (lambda: input_limits(np.nan, 1, label="l"), "lower must be <= upper"),
    "bounds do not fit": (lambda: input_limits([0, 0], [1], label="l"), r"both be \(m,\), got \(2,\) and \(1,\)"),
    "unknown knots": (lambda: input_limits(-1, 1, label="l", knots="last"), "unknown knots.*'l'.*all, final, start"),
    "knots are no indices": (lambda: input_limits(-1, 1, label="l", knots=[0.5]), "knots must be one of"),
    "no knots": (lambda: input_limits(-1, 1, label="l", knots=()), "knots must be one of"),
    "unknown reads": (lambda: Constraint("l", lambda x, u: x, 0, 1, reads="y"), "unknown reads.*u, x, xu"),
    "components": (lambda: state_box(0, 1, label="l", components=[0, 0]), "distinct indices"),
    "components do not fit": (lambda: state_box([0, 0], [1, 1], label="l", components=[1]), "1 components, but lower"),
    "rows do not fit": (lambda: state_box([0, 0], [1, 1], label="l").value(np.zeros(4), 0), "got"),
    "tolerance": (lambda: goal_state(np.zeros(2), tolerance=-1), "tolerance must be >= 0"),
    "goal is nan": (lambda: goal_state([np.nan]), "x_goal must be finite"),
    "no radius": (lambda: keep_out([0, 0], 0.0, label="l"), "radius"),
    "four dimensions": (lambda: keep_out(np.zeros(4), 1.0, label="l", position=(0, 1, 2, 3)), r"\(4,\)"),
    "position does not fit": (lambda: keep_out([0, 0, 0], 1.0, label="l"), "position has 2 indices"),
    "a box without inside": (lambda: keep_out_box([0, 1], [1, 1], label="l"), "lower < upper"),
    "target": (lambda: goal_position([0, 0], label="l", tolerance=-0.1), "tolerance >= 0"),
    "a manifold without integrate": (
        lambda: goal_state(HOME, difference=QUAD.difference).jacobian(HOME, np.zeros(4)),
        r"pass integrate=sim\.integrate",
    ),
    "a batch": (
        lambda: violations([], Trajectory(np.arange(2.0), np.zeros((3, 2, 1)), np.zeros((3, 1, 1)))),
        "one trajectory",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_constraints_get_one_clear_error(name):
    make, words = BAD[name]
    with pytest.raises(ValueError, match=words):
        make()


def test_a_plan_reads_as_what_it_is():
    run = Trajectory(np.arange(3.0), np.zeros((3, 2)), np.zeros((2, 1)))
    assert [Plan(trajectory=run, cost=1.0, status=status, message="").ok for status in STATUSES] == [True] + 4 * [False]
    with pytest.raises(ValueError, match=r"unknown status of a Plan 'done'.*converged"):
        Plan(trajectory=run, cost=1.0, status="done", message="")
    assert Iteration(cost=2.0).defect == 0.0
    text = str(Violation("torque limit elbow", (1, 2, 3, 4, 5, 6), 0.25, "N m"))
    assert text == "torque limit elbow: 0.25 N m outside at knots 1, 2, 3, 4 and 2 more"


def test_a_guess_is_a_trajectory_inputs_a_plan_or_none():
    run = Trajectory(np.arange(3.0), np.ones((3, 2)), np.ones((2, 1)))
    plan = Plan(trajectory=run, cost=1.0, status="stalled", message="")
    assert read_guess(None, 2, 2, 1, "p") == (None, None)
    for guess in (run, plan):
        x, u = read_guess(guess, 2, 2, 1, "p")
        assert np.array_equal(x, run.x) and np.array_equal(u, run.u) and u is not run.u
    x, u = read_guess([[1.0], [2.0]], 2, 2, 1, "p")
    assert x is None and u.tolist() == [[1.0], [2.0]]
    with pytest.raises(ValueError, match=r"p: the inputs u of the guess must be \(3, 1\), got \(2, 1\)"):
        read_guess(run.u, 3, 2, 1, "p")
    with pytest.raises(ValueError, match="finite, got nan at knot 1, component 0"):
        read_guess(np.array([[0.0], [np.nan]]), 2, 2, 1, "p")
