"""The committed measurements of collocation hold what is claimed of them."""

import json
from pathlib import Path

import pytest

RESULTS = json.loads((Path(__file__).parent.parent / "benchmarks" / "results" / "collocation.json").read_text())


@pytest.mark.parametrize("name", RESULTS["results"])
def test_as_fast_as_by_hand_and_no_worse(name):
    row = RESULTS["results"][name]
    assert row["n"] >= 5 and row["knots"] == 51
    times = {side: value["milliseconds"]["median"] for side, value in row["sides"].items()}
    assert row["theirs"] == min((side for side in times if side != "ours"), key=times.__getitem__)
    assert times[row["theirs"]] / times["ours"] == pytest.approx(row["ratio_of_medians"])
    assert row["ratio_of_medians"] >= row["wanted_ratio"] == 0.9
    assert row["sides"]["ours"]["status"] == "converged"
    assert all(row["sides"]["ours"]["cost"] <= side["cost"] * (1 + 1e-6) for side in row["sides"].values())
    assert row["drake"]["solver"] == "SNOPT"


def test_it_says_where_it_was_measured():
    assert {"python", "numpy", "casadi", "drake"} <= set(RESULTS["versions"])
