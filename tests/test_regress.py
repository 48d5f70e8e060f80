"""Golden runs: the committed ones hold, and a change is found at its step and by its name."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robotics import regress
from robotics.registry import make, names
from sims.trajectory import Trajectory

GOLDEN = Path(__file__).parent / "golden"
PACKAGE = {"mujoco": "mujoco", "drake": "pydrake"}
PAIRS = [(name, backend) for name in names() for backend in make(name).simulators]


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_golden_runs_hold(name, backend):
    if backend in PACKAGE:
        pytest.importorskip(PACKAGE[backend], reason=f"{backend} is not installed")
    result = regress.check(name, backend, GOLDEN)
    assert result.ok, result.message


def test_no_golden_run_is_left_over():
    assert {p.name for p in GOLDEN.iterdir()} == {f"{name}.{backend}.json" for name, backend in PAIRS}


def task():
    return make("dubins")


def test_what_was_just_written_agrees_to_the_bit(tmp_path):
    path = regress.update(task(), "ode", tmp_path)
    result = regress.check(task(), "ode", tmp_path)
    assert result.ok and result.largest_error == 0.0
    assert path.read_bytes() == regress.update(task(), "ode", tmp_path).read_bytes()


def test_a_changed_sample_is_found_by_step_and_name(tmp_path):
    path = regress.update(task(), "ode", tmp_path)
    data = json.loads(path.read_text())
    for row in (7, 9):
        data["x"][row][1] += 1e-3
    path.write_text(json.dumps(data))
    result = regress.check(task(), "ode", tmp_path)
    assert not result.ok and result.signal == "y" and result.step == data["step"][7]
    assert result.t == pytest.approx(result.step * 0.01)
    assert result.wanted == data["x"][7][1] and result.got == pytest.approx(result.wanted - 1e-3)
    assert "'y'" in result.message and str(result.step) in result.message
    json.dumps(result.to_dict(), allow_nan=False)


def test_tolerance_is_relative_to_the_size_of_the_signal():
    t = replace(task(), golden=replace(task().golden, tolerance=1e-3))
    sim, step = t.simulator(), np.array([0, 1])
    x, u = np.array([[1000.0, 0.0, 0.0]] * 2), np.zeros((2, 1))
    run = Trajectory(0.01 * np.arange(3), np.concatenate([x, x[:1]]) + np.array([0.9, 0.0, 0.0]), u)
    assert regress.compare(t, sim, step, x, u, run).ok
    moved = Trajectory(run.t, run.x + np.array([0.2, 0.0, 0.0]), u)
    assert regress.compare(t, sim, step, x, u, moved).signal == "x"
    drift = Trajectory(run.t, run.x + np.array([0.0, 0.0, 2e-3]), u)
    assert regress.compare(t, sim, step, x, u, drift).signal == "heading"


def test_a_run_that_ends_early_is_a_change():
    t = task()
    x, u = np.zeros((3, 3)), np.zeros((3, 1))
    short = Trajectory(0.01 * np.arange(2), np.zeros((2, 3)), np.zeros((1, 1)), "diverged")
    result = regress.compare(t, t.simulator(), np.arange(3), x, u, short)
    assert not result.ok and result.step == 1 and result.got is None


@pytest.mark.parametrize("content", [None, "{", "[]", '{"task": "dubins"}'])
def test_missing_or_broken_files_are_said_to_be(tmp_path, content):
    if content is not None:
        (tmp_path / "dubins.ode.json").write_text(content)
    result = regress.check(task(), "ode", tmp_path)
    assert not result.ok and "--update" in result.message


def test_changed_settings_are_not_compared(tmp_path):
    regress.update(task(), "ode", tmp_path)
    other = replace(task(), golden=replace(task().golden, seed=1))
    result = regress.check(other, "ode", tmp_path)
    assert not result.ok and "seed: 0, now 1" in result.message


def test_first_difference_is_bitwise():
    t, x, u = np.arange(3.0), np.zeros((3, 2)), np.zeros((2, 1))
    a, names_ = Trajectory(t, x, u), ("p", "v", "f")
    assert regress.first_difference(a, Trajectory(t, x.copy(), u.copy()), names_) == ""
    later = x.copy()
    later[2, 1] = 5e-324
    assert "'v' at step 2" in regress.first_difference(a, Trajectory(t, later, u), names_)
    assert "'f' at step 1" in regress.first_difference(a, Trajectory(t, x, u + np.array([[0.0], [1.0]])), names_)
    assert "shape" in regress.first_difference(a, Trajectory(t[:2], x[:2], u[:1]), names_)
