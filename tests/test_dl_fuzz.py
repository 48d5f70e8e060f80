"""Random programs from dl's table: NumPy's values, eager mode's bits from dl.jit, gradients of differences."""

import json
from collections import Counter
from pathlib import Path

import dl_fuzz
import numpy as np
import pytest
from dl_fuzz import Input, Program, Step
from dl_fuzz_check import Difference, check, fails, report, shrunk
from dl_fuzz_ops import Op

import dl
from dl.ops import TABLE

RESULT = json.loads((Path(__file__).parent.parent / "benchmarks" / "results" / "dl_fuzz.json").read_text())
EACH = 30
NEVER = {"draw_normal", "draw_uniform", "draw_integers", "draw_permutation", "nonzero"}  # not a function of inputs
NEVER |= {"mse_loss"}  # whoever counts rows listens, and hears its parts instead
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, about infinities in the twins


F = "float64"
FOUND = {  # what random programs found once
    "a diagonal of nothing, backwards": (Input(0, (0, 1), F), Step("diagonal", (0,), {"o": 1})),
    "a view of nothing beyond its memory": (
        Input(0, (1, 7), F),
        Step("flip", (0,), {"d": None}),
        Step("diagonal", (1,), {"o": -1}),
    ),
    "sums whose neighbours were parted": (
        Input(7, (96, 16), "float32"),
        Input(8, (4, 16), "float32"),
        Step("einsum", (0, 1), {"equation": "ij,kj->jik"}),
        Step("norm", (2,), {"d": 1, "k": False}),
    ),
    "products over nothing": (Input(0, (3, 5, 0), F), Input(1, (4, 0), F), Step("linear", (0, 1), {"act": "tanh"})),
    "a bias of another dtype": (
        Input(0, (5,), "float32"),
        Input(1, (1, 5), "float32"),
        Input(2, (1,), F),
        Step("linear", (0, 1, 2), {"act": "none"}),
    ),
    "two values for one place, backwards": (
        Input(1, (7, 5), F),
        Input(3, (3, 2), "int64", "backwards", 5),
        Input(4, (3, 2), F, "backwards"),
        Step("scatter", (0, 1, 2), {"d": -1}),
    ),
    "a roll that moves nothing is a copy": (
        Input(0, (4,), F),
        Step("roll", (0,), {"s": 0, "d": 0}),
        Step("fill_", (1,), {"s": 1.0}),
    ),
    "0 log y has a slope": (
        Input(0, (12,), F, fill="whole"),
        Input(2, (12,), F),
        Step("int_abs", (1,)),
        Step("two_where_0", (0, 2)),
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_away(name):
    check(Program(0, FOUND[name]))


@pytest.mark.parametrize("first", range(0, 150, EACH))
def test_random_programs_agree_with_numpy(first):
    gradients = Counter()
    for seed in range(first, first + EACH):
        found, message = report(seed)
        assert found is not None, message
        gradients[found["gradient"]] += 1
    assert gradients["checked"] > 0


def test_ten_thousand_programs_of_this_generator_agreed():
    assert RESULT["programs"] >= 10_000 and RESULT["failures"] == 0
    assert RESULT["generator_sha256"] == dl_fuzz.digest(), "run: python benchmarks/dl_fuzz.py"
    assert RESULT["seeds"] == [0, RESULT["programs"] - 1]
    assert sum(RESULT["programs_by_operations"].values()) == RESULT["programs"]
    assert set(RESULT["programs_by_operations"]) <= {str(n) for n in range(2, 16)}
    assert sum(RESULT["gradients_by_differences"].values()) == RESULT["programs"]
    assert RESULT["gradients_by_differences"]["checked"] >= 2000


def test_they_ran_the_table():
    assert set(RESULT["runs_by_row"]) <= set(TABLE)
    assert set(RESULT["rows_that_did_not_run"]) <= NEVER and not RESULT["operations_that_did_not_run"]


def test_the_same_seed_is_the_same_program():
    for seed in (0, 7, 31):
        (one, runs), (two, again) = dl_fuzz.generate(seed), dl_fuzz.generate(seed)
        assert one == two and repr(one) == repr(two)
        for a, b in zip(runs[0].values, again[0].values, strict=True):
            assert a.tobytes() == b.tobytes()


def test_a_difference_is_found_and_cut_down(monkeypatch):
    wrong = Op(lambda x: dl.tanh(x) + 1e-3, np.tanh, lambda draw: ((draw.pick("f"),), {}))
    monkeypatch.setitem(dl_fuzz.OPS, "tanh_0", wrong)
    program = Program(
        3,
        (
            Input(0, (4, 3), "float64"),
            Step("exp_0", (0,)),
            Step("tanh_0", (1,)),
            Input(1, (3,), "float64"),
            Step("two_add_0", (2, 3)),
            Step("sum", (4,), {"d": None, "k": False}),
        ),
    )
    with pytest.raises(Difference, match="value 2 at"):
        check(program)
    least = shrunk(program)
    assert [n.op for n in least.nodes if isinstance(n, Step)] == ["tanh_0"] and fails(least)
