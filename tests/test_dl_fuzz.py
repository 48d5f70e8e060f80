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
EACH = 15
NEVER = {
    "draw_normal",
    "draw_uniform",
    "draw_integers",
    "draw_permutation",
    "nonzero",
}  # not a function of their inputs
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, about infinities in the twins


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
