"""The committed table of dl beside its peers: its ratios follow from its measurements, and our losses come again."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from dl.kernel import _kernels

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))  # last: benchmarks/dl.py is not the package dl

from dl_cases import CASES, DATA, data_for, weights_for  # noqa: E402
from dl_table import ROWS, WHEEL, judged  # noqa: E402

RESULT = json.loads((BENCHMARKS / "results" / "dl.json").read_text())
MEASURED = RESULT["measurements"]
TRAINING = [name for name in CASES if name.startswith("train")]
every_row = pytest.mark.parametrize("row", ROWS, ids=[row.label for row in ROWS])


@every_row
def test_a_row_follows_from_the_measurements(row):
    (recorded,) = [r for r in RESULT["rows"] if r["label"] == row.label]
    assert recorded == judged(row, MEASURED)
    assert recorded["bound"] == row.bound


@pytest.mark.parametrize("entry", [e for e in MEASURED if "median" in e], ids=lambda e: f"{e['case']}, {e['variant']}")
def test_a_measurement_is_one(entry):
    assert 0 < entry["min"] <= entry["p10"] <= entry["median"] and entry["n"] >= 5


def test_it_says_what_was_measured_where():
    assert {"python", "numpy", "scipy", "torch", "jax"} <= set(RESULT["versions"])
    assert {"processor", "system", "cores", "backend"} <= set(RESULT["machine"])
    assert {e["case"] for e in MEASURED} == {*CASES, "import"}
    assert RESULT["wheel"]["bytes"] <= RESULT["wheel"]["bound"] == WHEEL


def test_every_peer_took_part():
    for name in TRAINING:
        found = {(e["framework"], e["threads"]) for e in MEASURED if e["case"] == name and "median" in e}
        assert {(peer, n) for peer in ("dl", "torch", "jax") for n in (1, 2)} <= found


@pytest.mark.parametrize("case", [case for name, case in CASES.items() if name.startswith(("infer", "train"))])
def test_data_and_initial_values_are_the_same_each_time(case):
    assert set(DATA) == {c.kind for c in CASES.values()}
    for made in (lambda: data_for(case), lambda: tuple(weights_for(case.kind, case.sizes).values())):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(made(), made(), strict=True))


@pytest.mark.skipif(_kernels is None, reason="the C extension was not built")
@pytest.mark.parametrize("name", TRAINING)
def test_the_recorded_losses_come_again(name):
    """All sides started with the losses that our steps still give; the first of each is compared here."""
    from dl_adapter import Adapter

    before, case = _kernels.num_threads(), CASES[name]
    try:
        adapter = Adapter(1)
        _, step, *_ = next(iter(getattr(adapter, case.kind)(case.sizes, data_for(case))))
        losses = [float(np.ravel(adapter.value(step()))[0]) for _ in range(4)]
    finally:
        _kernels.set_num_threads(before)
    recorded = [e["values"] for e in MEASURED if e["case"] == name and "median" in e]
    assert len(recorded) > 5
    for values in recorded:
        np.testing.assert_allclose(losses, values, rtol=2e-3)
