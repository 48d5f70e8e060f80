"""The committed measurements: they hold what is claimed of them, and a sample of their episodes plays again."""

import json
from pathlib import Path

import pytest

from robotics.evaluate import episode
from robotics.registry import make
from robotics.stats import wilson

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
SWING_UP = json.loads((RESULTS / "swing_up.json").read_text())
ROLLOUT = json.loads((RESULTS / "rollout.json").read_text())
PACKAGE = {"mujoco": "mujoco", "drake": "pydrake"}


@pytest.mark.parametrize("name", SWING_UP["results"])
def test_swing_up_rates(name):
    row = SWING_UP["results"][name]
    assert row["n"] == len(row["episodes"]) == 100
    assert row["successes"] == sum(e["success"] for e in row["episodes"]) >= 95
    assert tuple(row["wilson_95"]) == pytest.approx(wilson(row["successes"], row["n"]))


@pytest.mark.parametrize("index", [0, 57])
@pytest.mark.parametrize("name", [name for name, row in SWING_UP["results"].items() if not row["first_order"]])
def test_a_recorded_episode_plays_again(name, index):
    row = SWING_UP["results"][name]
    if row["backend"] in PACKAGE:
        pytest.importorskip(PACKAGE[row["backend"]], reason=f"{row['backend']} is not installed")
    recorded, task = row["episodes"][index], make(row["task"])
    again = episode(task, recorded["seed"], controller=SWING_UP["controller"], backend=row["backend"])
    assert again.success == recorded["success"]
    assert task.success.first_time(again.trajectory) == pytest.approx(recorded["time_to_goal_s"], abs=0.02)


@pytest.mark.parametrize("name", ROLLOUT["results"])
def test_rollouts_were_as_fast_as_claimed(name):
    row = ROLLOUT["results"][name]
    assert row["n"] >= 5 and row["ratio_of_medians"] >= row["wanted_ratio"]
    assert {"python", "numpy", "mujoco"} <= set(ROLLOUT["versions"])
