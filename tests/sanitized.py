"""Runs dl's kernel tests on another build of the extension (see `make sanitize`).

    python tests/sanitized.py FOLDER [--out FILE] [pytest arguments]

A finding of the sanitizers ends the process; if all is well, FILE says what ran.
"""

import argparse
import hashlib
import importlib.util
import json
import platform
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MEASURED = {"test_dl_bench.py", "test_dl_sanitize.py"}  # these read committed results and run nothing


def load(folder: Path):
    """Put the extension in folder where `import dl` will find it: before the installed one."""
    found = sorted(folder.rglob("_kernels*.so"))
    if not found:
        sys.exit(f"{folder}: no dl._kernels here; make sanitize builds it")
    spec = importlib.util.spec_from_file_location("dl._kernels", found[0])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["dl._kernels"] = module


class Tally:
    """Counts what pytest ran, by file and outcome."""

    def __init__(self):
        self.files: dict[str, Counter] = {}

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            name = report.nodeid.split("::")[0].rsplit("/", 1)[-1]
            self.files.setdefault(name, Counter())[report.outcome] += 1


def record(path: Path, tally: Tally):
    """What ran, on what; nothing was found, or this process would not be here."""
    import numpy

    import dl
    from dl.files import write_whole

    sources = sorted((TESTS.parent / "dl" / "csrc").iterdir())
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    total = Counter()
    for outcomes in tally.files.values():
        total += outcomes
    result = {
        "command": "make sanitize",
        "flags": "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined; detect_leaks=0",
        "machine": {"processor": platform.machine(), "system": platform.system()},
        "versions": {"python": platform.python_version(), "numpy": numpy.__version__, "compiler": compiler},
        "backend": dl.backend(),
        "csrc_sha256": hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest(),
        "findings": 0,
        "tests": dict(total),
        "files": {name: dict(outcomes) for name, outcomes in sorted(tally.files.items())},
    }
    write_whole(path, (json.dumps(result, indent=1) + "\n").encode())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the other build is")
    parser.add_argument("--out", type=Path, help="write what ran to this JSON file")
    args, more = parser.parse_known_args()
    load(args.folder)
    tally = Tally()
    tests = more or [str(path) for path in sorted(TESTS.glob("test_dl_*.py")) if path.name not in MEASURED]
    code = pytest.main(["-p", "no:cacheprovider", "-m", "not slow", *tests], plugins=[tally])
    if args.out and code == 0:
        record(args.out, tally)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
