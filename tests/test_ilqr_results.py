"""The committed race of iLQR against crocoddyl holds what is claimed of it."""

import json
from pathlib import Path

import pytest

RESULTS = json.loads((Path(__file__).parent.parent / "benchmarks" / "results" / "ilqr.json").read_text())["results"]


@pytest.mark.parametrize("name", RESULTS)
def test_costs_are_never_worse_and_swing_ups_as_fast_as_claimed(name):
    race = RESULTS[name]
    assert all(row["ours"]["status"] == "converged" for row in race["rows"])
    assert race["worst_cost_ratio"] <= 1.001
    if name.startswith("cart-pole, "):
        assert min(row["speedup"] for row in race["rows"]) >= race["wanted_speedup"] == 5.0
