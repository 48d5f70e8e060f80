"""The committed run of the kernels' tests under the address and undefined-behaviour sanitizers."""

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_sanitizers_found_nothing_in_the_tests_of_the_kernels():
    result = json.loads((ROOT / "benchmarks" / "results" / "dl_sanitize.json").read_text())
    assert result["findings"] == 0 and result["backend"].startswith("c-")
    assert set(result["tests"]) <= {"passed", "skipped"} and result["tests"]["passed"] > 2000
    wanted = {p.name for p in Path(__file__).parent.glob("test_dl_*kernels*.py")}
    wanted |= {"test_dl_gemm.py", "test_dl_runtime.py", "test_dl_jit.py", "test_dl_table.py"}
    assert wanted <= {name for name, outcomes in result["files"].items() if outcomes["passed"]}


def test_the_sanitizers_are_in_the_makefile():
    make = (ROOT / "Makefile").read_text()
    assert "sanitize:" in make and "DL_SANITIZE=ON" in make and "dl_sanitize.json" in make
