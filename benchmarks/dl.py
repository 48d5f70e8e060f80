"""dl beside PyTorch (eager, torch.compile, TorchScript), JAX and NumPy in one run: the table of control-sized networks.

    python benchmarks/dl.py [--rounds 9] [--slice 0.06] [--cases PATTERN] [--threads 1,2] [--out FILE]

Needs pip install ".[bench]". Every (framework, threads) is a process of its own. For each case all of them prepare,
their first results are compared, and then short slices are measured in rounds, in an order that changes, so that a busy
machine slows all alike. A figure is the median over all blocks, the best of each over variants and threads. Training
inputs are in the framework's own arrays; inference pays for the way from and to NumPy. Writes
benchmarks/results/dl.json, or with --cases only what --out names. Ends with 1 where a bound is not met.
"""

import argparse
import compileall
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib.metadata import version
from pathlib import Path

sys.path.append(sys.path.pop(0))  # this file is not the package dl

import numpy as np
from dl_cases import CASES
from dl_table import ROWS, WHEEL, judged, show
from dl_timing import PEERS, Worker, statistics

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).parent / "results" / "dl.json"
PACKAGES = ("numpy", "scipy", "torch", "jax")
AGREE = 2e-3  # relative to the largest of the first values of a case
IMPORTS = 25


def agree(case: str, prepared: list[dict]):
    """Raises SystemExit where ours fails, or where the first values of two variants of a case differ."""
    mine = [e for e in prepared if e["framework"] == "dl"]
    if failed := [f"{e['variant']}: {e['error']}" for e in mine if "error" in e]:
        raise SystemExit(f"{case}: {'; '.join(failed)}; nothing measured")
    ours = mine[0]
    for e in prepared:
        if "error" in e or e["variant"].startswith(("FMA", "gradient")):
            continue
        found, wanted = np.array(e["values"]), np.array(ours["values"])
        if found.shape != wanted.shape or not np.allclose(found, wanted, rtol=0, atol=AGREE * np.abs(wanted).max()):
            raise SystemExit(
                f"{case}: {e['variant']} gives {e['values']}, {ours['variant']} {ours['values']}: both sides must do "
                "the same; nothing measured"
            )


def measure(case: str, workers: list[Worker], rounds: int, seconds: float, order: random.Random) -> list[dict]:
    """All variants of a case, in rounds."""
    prepared = [
        {"case": case, "framework": w.framework, "threads": w.threads, **entry, "worker": w}
        for w in workers
        for entry in w.ask(do="prepare", case=case)
    ]
    agree(case, prepared)
    running = [e for e in prepared if "error" not in e]
    blocks: dict[int, list[float]] = {id(e): [] for e in running}
    for _ in range(rounds):
        for e in order.sample(running, len(running)):
            blocks[id(e)] += e["worker"].ask(do="slice", variant=e["variant"], seconds=seconds)
    for e in prepared:
        del e["worker"]
        if "error" in e:
            print(f"  {e['framework']}, {e['threads']} threads, {e['variant']}: {e['error']}", file=sys.stderr)
        else:
            e |= statistics(blocks[id(e)])
    return prepared


def build_wheel(folder: Path) -> int:
    """The size of the wheel that pip builds, unpacked and compiled in the folder as an installer does it."""
    made = folder / "made"
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(made), str(ROOT)], check=True
    )
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    compileall.compile_dir(folder / "dl", quiet=1)
    return wheel.stat().st_size


def import_times(folder: Path) -> list[dict]:
    """Seconds that the statements take in fresh processes run in turns: dl from the unpacked wheel, NumPy, and dl as it
    is installed here, where an editable install's finder is asked for every module."""
    paths = [str(folder), str(Path(np.__file__).parent.parent)]
    timed = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
    plain = f"import sys; sys.path[:0] = {paths}; {timed}"
    commands = {
        "import dl": ["-S", "-c", plain.format("import dl")],
        "import numpy": ["-S", "-c", plain.format("import numpy")],
        "as installed here, import dl": ["-c", timed.format("import dl")],
    }
    blocks: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(IMPORTS):
        for name, command in commands.items():
            done = subprocess.run([sys.executable, *command], cwd=folder, check=True, capture_output=True, text=True)
            blocks[name].append(float(done.stdout))
    return [{"case": "import", "variant": name, "threads": 1, **statistics(s)} for name, s in blocks.items()]


def processor() -> str:
    path = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", path.read_text()) if path.exists() else []
    return f"{platform.machine()}{', ' + names[0] if names else ''}"


def report(measured: list[dict], rows: list[dict], wheel: int | None, infos: list[dict]) -> dict:
    backend = next((i["dl"] for i in infos if "dl" in i), None)
    return {
        "command": " ".join(["python", *sys.argv]),
        "machine": {"processor": processor(), "system": platform.system(), "cores": os.cpu_count(), "backend": backend},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "wheel": {"bytes": wheel, "bound": WHEEL},
        "rows": rows,
        "measurements": measured,
    }


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="rounds over all variants of a case (default 9)")
    parser.add_argument("--slice", type=float, default=0.06, help="seconds of one variant in a round (default 0.06)")
    parser.add_argument("--cases", default="", help="a regular expression; default: all, with import and wheel")
    parser.add_argument("--threads", default="1,2", help="thread counts (default 1,2)")
    parser.add_argument("--frameworks", default=",".join(PEERS), help=f"default {','.join(PEERS)}")
    parser.add_argument("--out", type=Path, help=f"JSON file (default, for all cases: {RESULTS})")
    return parser.parse_args()


def main() -> int:
    args = options()
    counts, order, begin = [int(n) for n in args.threads.split(",")], random.Random(0), time.perf_counter()
    workers = [Worker(name, n) for name in args.frameworks.split(",") for n in counts]
    measured: list[dict] = []
    try:
        infos = [w.ask(do="info") for w in workers]
        for case in [name for name in CASES if re.search(args.cases, name)]:
            measured += measure(case, workers, args.rounds, args.slice, order)
            print(f"{case}: measured after {time.perf_counter() - begin:.0f} s", flush=True)
    finally:
        for w in workers:
            w.close()
    wheel = None
    if re.search(args.cases, "import"):
        with tempfile.TemporaryDirectory() as folder:
            wheel = build_wheel(Path(folder))
            measured += import_times(Path(folder))
    rows = [found for row in ROWS if (found := judged(row, measured))]
    out = args.out or (None if args.cases else RESULTS)
    if out:
        from sims.trajectory import write_atomically

        write_atomically(out, (json.dumps(report(measured, rows, wheel, infos), indent=1) + "\n").encode())
    show(rows, wheel)
    return 0 if all(r["met"] for r in rows) and (wheel or 0) <= WHEEL else 1


if __name__ == "__main__":
    sys.exit(main())
