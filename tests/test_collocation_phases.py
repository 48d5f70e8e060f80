"""Motion in phases: guards, resets, cycles and free ends against closed forms; labels and knots over all phases."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

pytest.importorskip("casadi", reason="collocation uses CasADi: pip install casadi")

from collocation_cases import CompassGait, RimlessWheel, line

from controllers.collocation import Collocation, Hybrid, Options, Problem, Transition
from controllers.constraint import state_box
from controllers.cost import quadratic
from sims.ode import integrate_events
from sims.plants import DoubleIntegrator
from sims.system import System, stack

G, BOUNCE = 9.81, 0.8


@dataclass(frozen=True)
class Ball(System):
    """A ball in the air; x = [height [m], rate [m/s]]."""

    nx, nu, nq, nv = 2, 0, 1, 1
    x_names, u_names = ("z", "z_dot"), ()

    def f(self, x, u):
        return stack([x[..., 1], 0.0 * x[..., 0] - G])


def bounce(**changes) -> Hybrid:
    flight = Problem(system=Ball(), duration=(0.05, 2.0), knots=9)
    floor = Transition(
        guard=lambda x: x[..., 0],
        reset=lambda x: stack([x[..., 0], -BOUNCE * x[..., 1]]),
        one_sided=True,
        label="floor",
    )
    phases = (replace(flight, label="down", x_max=[np.inf, 0.0]), replace(flight, x_goal=[1.0, 0.0], label="up"))
    return Hybrid(**{"phases": phases, "transitions": (floor,), **changes})


def test_a_ball_thrown_to_come_back_to_its_height():
    """It leaves the floor with sqrt(2 g), so it hits it 1 / 0.8 times as fast: v0^2 = 2 g (1 / 0.8^2 - 1)."""
    planner = Collocation(bounce())
    solution = planner.solve([1.0, np.nan])
    assert solution.status == "converged", solution.message
    v0, impact = -np.sqrt(2 * G * (1 / BOUNCE**2 - 1)), -np.sqrt(2 * G) / BOUNCE
    down, up = solution.arcs
    np.testing.assert_allclose([down.x[0, 1], down.x[-1, 1], up.x[0, 1]], [v0, impact, np.sqrt(2 * G)], atol=1e-7)
    np.testing.assert_allclose(down.t[-1], (v0 - impact) / G, atol=1e-7)
    np.testing.assert_allclose(up.t[-1] - up.t[0], np.sqrt(2 / G), atol=1e-7)
    plan = planner.plan([1.0, np.nan])
    assert plan.ok and (np.diff(plan.trajectory.t) > 0).all()
    assert (plan.trajectory.x[:, 0] > -1e-7).all()


def test_labels_and_knots_run_over_all_phases():
    rows = Collocation(bounce()).transcription.rows
    knots = {label: [k for name, k in rows if name == label] for label in dict(rows)}
    assert knots["down: dynamics"] == [k for k in range(8) for _ in range(2)]
    assert knots["up: dynamics"] == [k for k in range(9, 17) for _ in range(2)]
    assert knots["floor: guard"] == [8] and knots["floor: reset"] == [8, 8]
    assert knots["floor: before"] == list(range(1, 8))


def test_the_cycle_is_one_of_the_simulated_walker():
    walker = CompassGait()
    guess = line([-0.2, 0.3, 1.0, 0.4], [0.3, -0.2, 1.5, 1.8], 0.7, nu=0)
    arc = Collocation(walker.stride(knots=81)).solve(None, guess).arcs[0]

    def strike(t, x):
        return x[0] + x[1] - 2 * walker.slope if t > 0.6 else -1.0  # the feet also pass in mid-stride

    strike.terminal = True
    run, _ = integrate_events(walker, arc.x[0], lambda t, x: np.zeros(0), 2.0, events=[strike])
    np.testing.assert_allclose(run.x[-1], arc.x[-1], atol=1e-6)
    np.testing.assert_allclose(walker.strike(run.x[-1]), arc.x[0], atol=1e-6)
    assert run.t[-1] == pytest.approx(arc.t[-1], abs=1e-6)


def test_a_slope_too_shallow_to_roll_has_no_cycle():
    """Where omega* < omega1 the wheel does not get over the top: cot(2 a) sqrt(4 g sin a sin s) < its threshold."""
    wheel = RimlessWheel(slope=0.02)
    plan = Collocation(wheel.stride(), Options(retries=2)).plan(None)
    assert not plan.ok
    steep = Collocation(RimlessWheel(slope=0.08).stride()).plan(None)
    assert steep.ok


def test_two_plants_of_different_size():
    """A cart that is driven to a hook, and a pendulum that hangs there from then on: state sizes 2 and 1."""

    @dataclass(frozen=True)
    class Tank(System):
        nx, nu = 1, 0
        x_names, u_names = ("level",), ()

        def f(self, x, u):
            return stack([-x[..., 0]])

    cart = Problem(
        system=DoubleIntegrator(), duration=1.0, knots=11, cost=quadratic([0, 0], [1.0], x_goal=[0, 0]), label="cart"
    )
    tank = Problem(system=Tank(), duration=1.0, knots=11, x_goal=[np.exp(-1.0)], label="tank")
    pour = Transition(guard=lambda x: x[..., 1], reset=lambda x: stack([x[..., 0]]), label="pour")
    solution = Collocation(Hybrid(phases=(cart, tank), transitions=(pour,))).solve([0, 0])
    assert solution.status == "converged", solution.message
    assert solution.arcs[0].x[-1, 0] == pytest.approx(1.0, abs=1e-5)  # a level of 1 is what drains to 1 / e
    assert solution.cost == pytest.approx(12.0, rel=1e-4)  # rest to rest in a second


def test_limits_of_a_phase_are_named_with_it():
    high = state_box([2.0], [3.0], label="above two metres", components=[0], knots="final")
    phases = bounce().phases
    planted = bounce(phases=(phases[0], replace(phases[1], constraints=(high,))))
    plan = Collocation(planted).plan([1.0, np.nan])
    assert plan.status == "infeasible"
    assert {v.label for v in plan.violations} == {"up: goal z", "up: above two metres"}


def test_the_number_of_transitions():
    with pytest.raises(ValueError, match="2 phases need 1 transitions, got 0"):
        bounce(transitions=())
    with pytest.raises(ValueError, match="2 phases in a cycle need 2 transitions, got 1"):
        bounce(cyclic=True)


def test_a_guess_for_each_phase():
    planner = Collocation(bounce())
    down, up = planner.solve([1.0, np.nan]).trajectories()
    assert planner.solve([1.0, np.nan], (down, up)).iterations <= 6
    with pytest.raises(ValueError, match="2 phases"):
        planner.plan([1.0, np.nan], down)


class Edge(System):
    """sqrt of the state: not a number below zero."""

    nx = nu = 1
    x_names, u_names = ("x",), ("u",)

    def f(self, x, u):
        return stack([np.sqrt(x[..., 0]) + u[..., 0]])


def test_a_start_where_the_plant_is_not_a_number():
    plan = Collocation(Problem(system=Edge(), duration=1.0, x_goal=[1.0])).plan([-1.0])
    assert plan.status == "diverged" and "not finite" in plan.message


def test_a_limit_on_time_and_an_open_duration():
    problem = Problem(system=DoubleIntegrator(force_limit=1.0), duration=(0.1, np.inf), time_cost=1.0, x_goal=[0, 0])
    plan = Collocation(problem, Options(seconds=20.0)).plan([-2, 0])
    assert plan.ok and plan.cost == pytest.approx(2 * np.sqrt(2), abs=5e-3)
