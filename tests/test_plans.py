"""Every planning problem: its plan converges, is a motion of the plant, keeps its limits, and can be tracked."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from controllers.planner import Iteration, Plan
from robotics.planning import registry
from robotics.planning.picture import plot_log
from robotics.planning.problem import feedback, perturbed, track
from sims.plants import DoubleIntegrator
from sims.simulator import simulate
from sims.trajectory import Trajectory

SLOW = ("double_cartpole",)
PROBLEMS = [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in registry.names()]
BOTH = [n for n in registry.names() if len(registry.make(n).planners) > 1]
BOTH = [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in BOTH]
# of an interval, with an exact integrator: RK4 steps of 0.01 to 0.025 s, and what collocation calls converged
DEFECT = {"ilqr": 1e-4, "collocation": 1e-2}
solved: dict[tuple[str, str, int], Plan] = {}


def plan_of(name: str, planner: str, seed: int = 0) -> Plan:
    """The plan, made once for all tests."""
    if planner == "collocation":
        pytest.importorskip("casadi", reason="collocation needs CasADi: pip install casadi")
    if (name, planner, seed) not in solved:
        solved[name, planner, seed] = registry.make(name).solve(planner, seed)
    return solved[name, planner, seed]


def replayed(problem, run: Trajectory) -> np.ndarray:
    """The ends (T, nx) of all intervals by SciPy's DOP853, each from its own knot with its own held input."""
    steps = zip(run.x[:-1], run.u, np.diff(run.t), strict=True)
    return np.array(
        [
            solve_ivp(lambda t, y, u=u: problem.system.f(y, u), (0, h), x, method="DOP853", rtol=1e-9, atol=1e-10).y[
                :, -1
            ]
            for x, u, h in steps
        ]
    )


def check(name: str, planner: str, seed: int = 0) -> None:
    problem, plan = registry.make(name), plan_of(name, planner, seed)
    run = plan.trajectory
    assert plan.ok and not plan.violations, f"{name} by {planner}: {plan.message}"
    np.testing.assert_allclose(run.x[0], problem.x0, atol=1e-9)
    np.testing.assert_allclose(run.x[-1], problem.x_goal, atol=2e-4)
    assert (run.u >= problem.system.u_min).all() and (run.u <= problem.system.u_max).all()
    for constraint in problem.constraints:
        assert constraint.violation(run.x, run.u).max() < 1e-3, constraint.label
    assert np.abs(replayed(problem, run) - run.x[1:]).max() < DEFECT[planner]
    sim = problem.simulator("ode")
    again = simulate(sim, feedback(problem, plan, sim), problem.x0, float(run.t[-1]))
    assert problem.reached(again.x[-1]), again.x[-1]
    assert (problem.system.u_max <= sim.u_max).all() and (problem.system.u_min >= sim.u_min).all()


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_default_plan_is_a_motion_to_the_goal_within_the_limits(name):
    check(name, registry.make(name).default_planner)


@pytest.mark.parametrize("name", BOTH)
def test_by_collocation_too_and_the_default_costs_no_more(name):
    check(name, "collocation")
    problem = registry.make(name)
    assert plan_of(name, problem.default_planner).cost <= 1.01 * plan_of(name, "collocation").cost


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", PROBLEMS)
def test_from_other_guesses(name, seed):
    check(name, registry.make(name).default_planner, seed)


@pytest.mark.parametrize("name", PROBLEMS)
def test_without_feedback_the_grid_plan_repeats_itself(name):
    """Open loop, the closed form with the plan's own step ends where the plan does, but for grown rounding."""
    problem = registry.make(name)
    if problem.default_planner != "ilqr":
        pytest.skip("its knots are not steps of the simulator")
    plan = plan_of(name, "ilqr")
    again = problem.simulator("ode").rollout(problem.x0, plan.trajectory.u)
    np.testing.assert_allclose(again.x[-1], problem.x_goal, atol=2e-4)


@pytest.mark.parametrize("name", PROBLEMS)
def test_tracked_from_noisy_starts_it_ends_at_the_goal(name, rng):
    problem = registry.make(name)
    plan = plan_of(name, problem.default_planner)
    runs = [track(problem, plan, "ode", perturbed(problem, rng)) for _ in range(20)]
    assert all(r.reached for r in runs), [np.round(r.error, 3).tolist() for r in runs if not r.reached]
    assert all(np.abs(r.run.u).max() <= problem.simulator("ode").u_max.max() for r in runs)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
def test_tracked_in_every_engine(name):
    problem = registry.make(name)
    plan = plan_of(name, problem.default_planner)
    for backend in problem.simulators:
        if backend != "ode":
            pytest.importorskip({"mujoco": "mujoco", "drake": "pydrake"}[backend])
        played = track(problem, plan, backend)
        assert played.reached, (backend, played.error)


def test_the_same_seed_gives_the_same_bytes():
    a, b = (registry.make("cartpole").solve(seed=3).trajectory for _ in range(2))
    assert a.x.tobytes() == b.x.tobytes() and a.u.tobytes() == b.u.tobytes()


def test_what_cannot_be_done_is_not_converged():
    problem = registry.make("cartpole")
    weak = replace(problem, system=replace(problem.system, force_limit=0.5))
    plan = weak.solve("ilqr")
    assert not plan.ok and plan.violations and plan.message


def test_unknown_names_list_what_there_is():
    with pytest.raises(ValueError, match=r"cartpol.*cartpole"):
        registry.make("cartpol")
    with pytest.raises(ValueError, match=r"magic.*ilqr"):
        registry.make("cartpole").planner("magic")
    with pytest.raises(ValueError, match=r"bullet.*ode"):
        registry.make("cartpole").simulator("bullet")


def test_the_picture_of_any_log(tmp_path):
    t, plant = np.arange(2.0), DoubleIntegrator()
    run = Trajectory(t, np.zeros((2, plant.nx)), np.zeros((1, plant.nu)))
    for log in ((), (Iteration(1.0),), (Iteration(2.0, 0.1, 1.0), Iteration(np.inf, 0.0, np.nan, violation=0.1))):
        plan = Plan(trajectory=run, cost=1.0, status="stalled", message="", log=log)
        assert plot_log(plan, tmp_path / "plan.png").read_bytes()[:4] == b"\x89PNG"
