"""Random programs of dl against NumPy and SciPy: values, recorded programs, gradients; tests/dl_fuzz.py makes them.

    python benchmarks/dl_fuzz.py [--n 10000] [--first 0] [--out benchmarks/results/dl_fuzz.json]

A program has 2 to 15 operations. Its values in eager mode are those of the NumPy twins within a tolerance that follows
what rounding errors do to the program; dl.jit gives eager mode's bits when it records and when it replays on other
data, with one and two threads, for the values and for the gradient; backward gives the bits of dl.grad; and where the
program is smooth and in float64, the slope along a random direction is that of central differences of the twins. A
difference is printed with the smallest program found that shows it, and ends in exit code 1.
"""

import argparse
import json
import os
import platform
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import scipy

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import dl_fuzz
import dl_fuzz_check

import dl
from dl.ops import TABLE
from sims.trajectory import write_atomically


def run(seeds: range) -> tuple[dict, list[str]]:
    """Counts over all programs, and what failed."""
    gradients, rows, operations, sizes, failures = Counter(), Counter(), Counter(), Counter(), []
    for done, seed in enumerate(seeds, 1):
        found, message = dl_fuzz_check.report(seed)
        if found is None:
            failures.append(message)
            print(message, flush=True)
        else:
            gradients[found["gradient"]] += 1
            operations.update(found["operations"])
            sizes[len(found["operations"])] += 1
            rows += found["rows"]
        if done % 1000 == 0:
            print(f"{done} programs, {len(failures)} failures", flush=True)
    counts = {
        "operations": operations.total(),
        "programs_by_operations": {str(n): sizes[n] for n in sorted(sizes)},
        "gradients_by_differences": dict(sorted(gradients.items())),
        "rows_of_the_table": len(rows),
        "rows_that_did_not_run": sorted(set(TABLE) - set(rows)),
        "operations_that_did_not_run": sorted(set(dl_fuzz.OPS) - set(operations)),
        "runs_by_row": dict(rows.most_common()),
    }
    return counts, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000, help="programs (default 10000)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "dl_fuzz.json")
    args = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, about infinities in the twins
    if dl.backend() == "numpy":
        raise SystemExit("the C extension was not built: there is nothing to compare with NumPy")
    before, start = dl_fuzz.digest(), time.perf_counter()
    counts, failures = run(range(args.first, args.first + args.n))
    if dl_fuzz.digest() != before:
        raise SystemExit("the generator was changed while it ran; nothing written")
    report = {
        "command": " ".join(["python", *sys.argv]),
        "machine": {"processor": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__},
        "backend": dl.backend(),
        "generator_sha256": before,
        "seeds": [args.first, args.first + args.n - 1],
        "programs": args.n,
        "failures": len(failures),
        "threads": list(dl_fuzz_check.THREADS),
        "tolerances": {
            "values": "50 times what errors of 4 eps per operation do (3 runs), and 64 eps of the largest element",
            "jit": "equal bits",
            "backward against dl.grad": "equal bits",
            "slope": f"{dl_fuzz_check.GRADIENT:g} of the sum of its terms, and the differences' own error",
        },
        "seconds": round(time.perf_counter() - start, 1),
        **counts,
    }
    write_atomically(args.out, (json.dumps(report, indent=1) + "\n").encode())
    print(f"{args.n} programs, {counts['operations']} operations, {len(failures)} failures; wrote {args.out}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
