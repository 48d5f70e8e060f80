"""What must answer at once does: no engine is imported, and it takes about as long as importing NumPy."""

import statistics
import subprocess
import sys
import time

import pytest

HEAVY = ("mujoco", "pydrake", "matplotlib")
DOORS = {
    "swingup --help": "import sys; sys.argv = ['swingup', '--help']\n"
    "from robotics.cli.main import main\ntry:\n    main()\nexcept SystemExit:\n    pass",
    "import dl": "import dl",
    "import controllers": "import controllers",
    "import sims": "import sims",
    "import robotics": "import robotics",
}
BUDGET = 2.5
ROUNDS = 7


def seconds(code: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


@pytest.mark.parametrize("door", DOORS)
def test_no_engine_is_imported(door):
    code = f"{DOORS[door]}\nimport sys\nprint('loaded:', *[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip().splitlines()[-1] == "loaded:"


def test_time_against_numpy():
    """Medians of processes run in turns, so that a busy machine slows all of them alike."""
    names = ["swingup --help", "import dl", "import controllers"]
    times: dict[str, list[float]] = {name: [] for name in ["numpy", *names]}
    for _ in range(ROUNDS):
        times["numpy"].append(seconds("import numpy"))
        for name in names:
            times[name].append(seconds(DOORS[name]))
    median = {name: statistics.median(values) for name, values in times.items()}
    slow = {name: median[name] / median["numpy"] for name in names if median[name] > BUDGET * median["numpy"]}
    assert not slow, f"times of `import numpy` ({median['numpy']:.3f} s): {slow}, allowed {BUDGET}"
