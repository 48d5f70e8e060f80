"""Evaluations: every episode replays alone, whatever played it first; the interval is honest."""

import multiprocessing
import time

import numpy as np
import pytest

from robotics.cost import effort, total_cost
from robotics.evaluate import episode, episode_seeds, evaluate, start
from robotics.registry import make
from robotics.stats import wilson
from robotics.workers import in_processes

PACKAGE = {"mujoco": "mujoco", "drake": "pydrake"}
QUICK = {"n": 6, "duration": 1.0}


def test_seeds_are_distinct_reproducible_and_survive_json():
    seeds = episode_seeds(3, 500)
    assert seeds == episode_seeds(3, 500) and len(set(seeds)) == 500
    assert seeds[:10] == episode_seeds(3, 10) and seeds != episode_seeds(4, 500)
    assert all(0 <= seed < 2**53 for seed in seeds)


@pytest.mark.parametrize("backend", ["ode", "mujoco", "drake"])
def test_any_episode_replays_alone(backend):
    if backend in PACKAGE:
        pytest.importorskip(PACKAGE[backend], reason=f"{backend} is not installed")
    result = evaluate("pendulum", "zero", backend, seed=5, **QUICK)
    i = 3
    alone = episode("pendulum", result.seeds[i], controller="zero", backend=backend, duration=1.0)
    assert (alone.success, alone.cost) == (result.success[i], result.cost[i])
    task = make("pendulum")
    assert np.array_equal(alone.trajectory.x[0], start(task, result.seeds[i]))
    assert alone.cost == total_cost(task.cost, alone.trajectory) and alone.effort == effort(alone.trajectory)


def test_same_seed_same_numbers_and_another_seed_others():
    first, again, other = (evaluate("dubins", seed=s, **QUICK) for s in (1, 1, 2))
    assert first == again and first.cost != other.cost


def test_batch_and_processes_give_what_one_by_one_gives():
    one = evaluate("dubins", n=8, seed=0)
    batch = evaluate("dubins", n=8, seed=0, batch=True)
    assert batch.seeds == one.seeds and batch.success == one.success
    assert np.allclose(batch.cost, one.cost, rtol=1e-9)
    assert evaluate("dubins", n=8, seed=0, workers=2) == one


def test_counts_interval_and_failures_agree():
    result = evaluate("dubins", n=20, seed=1, duration=6.0)
    assert 0 < result.successes < 20
    assert result.successes == sum(result.success) and result.interval == wilson(result.successes, 20)
    assert set(result.failed) == {s for s, ok in zip(result.seeds, result.success, strict=True) if not ok}
    assert str(result.successes) in str(result) and "20" in str(result)
    data = result.to_dict()
    assert data["n"] == 20 and len(data["episodes"]) == 20 and data["interval"] == list(result.interval)


def test_progress_is_told():
    seen = []
    evaluate("dubins", n=3, duration=0.1, progress=lambda done, n: seen.append((done, n)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_bad_requests_are_errors():
    with pytest.raises(ValueError, match="at least 1"):
        evaluate("dubins", n=0)
    with pytest.raises(ValueError, match="Did you mean 'line'"):
        evaluate("dubins", "lin", n=1)
    with pytest.raises(ValueError, match="by its name"):
        evaluate(make("dubins"), n=2, workers=2)


def _nap(seconds):
    time.sleep(seconds)
    return seconds


def test_processes_end_with_the_one_that_asked():
    begin = time.monotonic()
    results = in_processes(_nap, [0.0, 600.0], 2)
    assert next(results) == 0.0
    with pytest.raises(KeyboardInterrupt):
        results.throw(KeyboardInterrupt)
    assert time.monotonic() - begin < 60.0 and not multiprocessing.active_children()
