"""Laws that hold for every task of the registry, and the interval that every rate comes with."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

import robotics
from robotics import registry
from robotics.cost import QuadraticCost, Wrapped, effort, quadratic, total_cost
from robotics.stats import wilson
from robotics.task import Observe, Reached, Task
from sims.trajectory import Trajectory

NAMES = registry.names()
PACKAGE = {"mujoco": "mujoco", "drake": "pydrake"}
PAIRS = [(name, backend) for name in NAMES for backend in registry.make(name).simulators]


def make_sim(name: str, backend: str):
    if backend in PACKAGE:
        pytest.importorskip(PACKAGE[backend], reason=f"{backend} is not installed")
    return registry.make(name).simulator(backend)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_is_consistent(name):
    task = registry.make(name)
    sim = make_sim(name, task.default_backend)
    assert isinstance(task, Task) and task.name == name and task.description
    assert task.x_goal.shape == (sim.nx,) and task.u_min.shape == task.u_max.shape == (sim.nu,)
    assert np.isfinite([task.u_min, task.u_max]).all() and (task.u_min < task.u_max).all()
    assert (sim.u_min == task.u_min).all() and (sim.u_max == task.u_max).all()
    assert {"random"} < set(task.controllers) and task.golden.controller in task.controllers
    assert task.difference(task.x_goal, task.x_goal).shape == (sim.ndx,)


@pytest.mark.parametrize("name", NAMES)
def test_starts_are_seeded_and_states_of_the_simulator(name):
    task = registry.make(name)
    sim = make_sim(name, task.default_backend)
    draws = [task.start(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert draws[0].tobytes() == draws[1].tobytes() != draws[2].tobytes()
    x = sim.check_state(draws[0])
    assert x.shape == (sim.nx,) and not task.lost(x)


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_all_engines_of_a_task_have_one_layout(name, backend):
    first, sim = make_sim(name, registry.make(name).default_backend), make_sim(name, backend)
    assert (sim.nx, sim.ndx, sim.nu, sim.dt) == (first.nx, first.ndx, first.nu, first.dt)
    assert sim.backend == backend


@pytest.mark.parametrize("name", NAMES)
def test_cost_is_a_cost_and_batches(name, rng):
    task = registry.make(name)
    x = np.stack([task.start(rng) for _ in range(6)])
    u = rng.uniform(task.u_min, task.u_max, (6, len(task.u_min)))
    stage, terminal = task.cost.stage(x, u), task.cost.terminal(x)
    assert stage.shape == terminal.shape == (6,) and (stage >= 0).all() and (terminal >= 0).all()
    assert np.allclose([task.cost.stage(a, b) for a, b in zip(x, u, strict=True)], stage, rtol=1e-12)
    assert task.lost(x).shape == (6,)


@pytest.mark.parametrize("name", NAMES)
def test_observations_batch_and_forget_whole_turns(name, rng):
    task = registry.make(name)
    x = np.stack([task.start(rng) for _ in range(4)])
    obs = task.observe(x, 0.0)
    assert np.array_equal(obs, np.stack([task.observe(row, 0.0) for row in x]))
    assert isinstance(task.observe, Observe)
    turned = x.copy()
    turned[..., list(task.observe.angles)] += 2 * np.pi
    assert np.allclose(task.observe(turned, 0.0), obs, atol=1e-12)


def test_every_name_of_the_package_is_there():
    assert all(getattr(robotics, name) is not None for name in robotics.__all__)
    with pytest.raises(AttributeError, match="it has: Episode"):
        robotics.nothing  # noqa: B018


def test_the_table_in_the_docs_is_the_registry():
    text = (Path(__file__).parent.parent / "docs" / "tasks.md").read_text()
    for task in map(registry.make, NAMES):
        row = f"| `{task.name}` | {', '.join(task.simulators)} | {', '.join(task.controllers)} | {task.description} |"
        assert row in text, row


@pytest.mark.parametrize("name", ["acrobat", "", "cart pole"])
def test_an_unknown_task_lists_all(name):
    with pytest.raises(ValueError, match="unknown task") as error:
        registry.make(name)
    assert all(known in str(error.value) for known in NAMES)


def test_unknown_backend_and_controller_list_what_there_is():
    task = registry.make("dubins")
    with pytest.raises(ValueError, match="ode"):
        task.simulator("mujoco")
    with pytest.raises(ValueError, match="line"):
        task.policy(task.simulator(), "lime")


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 20), (7, 20), (95, 100), (100, 100), (3, 1000)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_wilson_interval_is_scipys(k, n, confidence):
    want = binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert wilson(k, n, confidence) == pytest.approx((want.low, want.high), abs=1e-12)


@pytest.mark.parametrize("arguments", [(1, 0), (-1, 5), (6, 5), (1, 5, 1.0), (1, 5, 0.0)])
def test_wilson_refuses_nonsense(arguments):
    with pytest.raises(ValueError, match="wilson"):
        wilson(*arguments)


def test_wrapped_difference_is_the_short_way_round(rng):
    x, y = rng.uniform(-20, 20, (2, 50, 3))
    dx = Wrapped((1,))(x, y)
    assert (np.abs(dx[:, 1]) <= np.pi + 1e-12).all()
    assert np.allclose(np.exp(1j * (x + dx)[:, 1]), np.exp(1j * y[:, 1]))
    assert np.array_equal(dx[:, [0, 2]], (y - x)[:, [0, 2]])


def test_quadratic_cost_and_effort_by_hand():
    cost = quadratic([2.0, 3.0], [5.0], x_goal=[1.0, 0.0], qf=[7.0, 0.0], u_goal=[1.0])
    assert isinstance(cost, QuadraticCost)
    run = Trajectory(
        np.array([0.0, 0.5, 1.5]), np.array([[1.0, 1.0], [2.0, 0.0], [3.0, 0.0]]), np.array([[1.0], [3.0]])
    )
    assert total_cost(cost, run) == 3.0 * 0.5 + (2.0 + 5.0 * 4.0) * 1.0 + 7.0 * 4.0
    assert effort(run) == 1.0 * 0.5 + 9.0 * 1.0
    diverged = Trajectory(run.t, run.x, run.u, "diverged")
    assert total_cost(cost, diverged) == np.inf


def test_reached_needs_the_whole_last_second():
    t, x = np.linspace(0.0, 4.0, 5), np.array([[1.0], [0.0], [0.05], [0.0], [0.0]])
    goal = Reached(np.zeros(1), np.array([0.1]), hold=2.0)
    run = Trajectory(t, x, np.zeros((4, 1)))
    assert goal(run) and goal.first_time(run) == 1.0
    late = Trajectory(t, x[::-1], np.zeros((4, 1)))
    assert not goal(late) and np.isnan(goal.first_time(late))
    both = Trajectory(t, np.stack([x, x[::-1]]), np.zeros((2, 4, 1)))
    assert goal(both).tolist() == [True, False]
    assert not goal(Trajectory(t, x, np.zeros((4, 1)), "diverged"))
