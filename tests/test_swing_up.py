"""Swing-up and balance from 100 random hanging starts, in every engine (angles within 0.3 rad of hanging)."""

import pytest

from robotics.evaluate import evaluate

PACKAGE = {"mujoco": "mujoco", "drake": "pydrake"}
N, WANTED = 100, 95


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["ode", "mujoco", "drake"])
@pytest.mark.parametrize("task", ["acrobot", "cartpole"])
def test_swing_up_and_balance(task, backend, capsys):
    if backend in PACKAGE:
        pytest.importorskip(PACKAGE[backend], reason=f"{backend} is not installed")
    how = {"workers": 2} if backend == "drake" else {"batch": True}
    result = evaluate(task, "swing_up", backend, n=N, duration=12.0, **how)
    with capsys.disabled():
        print(f"\n{result}", end="")
    assert result.successes >= WANTED, result.failed


@pytest.mark.parametrize("task", ["pendulum", "acrobot", "cartpole"])
def test_a_few_starts_in_closed_form(task):
    result = evaluate(task, "swing_up", "ode", n=30, seed=1, duration=12.0, batch=True)
    assert result.successes >= 28, result.failed
