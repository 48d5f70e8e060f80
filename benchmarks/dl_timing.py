"""Worker processes that prepare a case and measure it in short slices, and statistics of what they measured.

    python dl_timing.py FRAMEWORK THREADS        # a worker; started by benchmarks/dl.py

Thread counts are read when a framework is imported, hence a process for each (framework, threads). A worker answers one
JSON line to each line of its standard input, and sleeps in between.
"""

import gc
import importlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from dl_cases import CASES, Peer, data_for

PEERS = {
    "dl": ("dl_adapter", "Adapter"),
    "torch": ("peers_torch", "Torch"),
    "jax": ("peers_jax", "Jax"),
    "jax without async dispatch": ("peers_jax", "JaxAtOnce"),
    "numpy": ("peers_numpy", "Numpy"),
    "peak": ("fma_peak", "Peak"),
}
VALUES = 4  # of the first results, which must agree between frameworks
BLOCK = 1e-3  # [s] of calls that are timed together
WARM = 0.1  # [s] before the first measurement
AWAKE = 0.01  # [s] before each slice, for caches and sleeping threads


def environment(threads: int) -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC")
    more = {name: str(threads) for name in names} | {"JAX_PLATFORMS": "cpu", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    if threads == 1:
        more["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return {**os.environ, **more}


class Worker:
    """The parent's end of one worker."""

    def __init__(self, framework: str, threads: int):
        self.framework, self.threads = framework, threads
        self.process = subprocess.Popen(
            [sys.executable, __file__, framework, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(threads),
            text=True,
        )

    def ask(self, **question):
        """The answer to one question. Raises RuntimeError with what the worker says, or that it died."""
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "the process ended"}')
        if "error" in answer:
            raise RuntimeError(f"{self.framework}, {self.threads} threads, {question}: {answer['error']}")
        return answer["answer"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Served:
    """The worker's end: the variants of one case at a time."""

    def __init__(self, peer: Peer):
        self.peer = peer
        self.calls: dict[str, tuple[Callable, int, int]] = {}

    def info(self) -> dict:
        return self.peer.info()

    def prepare(self, case: str) -> list[dict]:
        """Make all variants, run them until warm, and choose how many calls make a block."""
        self.calls.clear()
        gc.collect()
        chosen = CASES[case]
        found, variants = [], getattr(self.peer, chosen.kind)(chosen.sizes, data_for(chosen))
        while True:
            entry: dict = {"variant": f"{chosen.kind}: next variant"}
            try:
                item = next(variants, None)
                if item is None:
                    return found
                entry = {"variant": item[0], **self.enter(*item)}
            except Exception as error:  # a peer that fails is reported, not fatal
                entry["error"] = f"{type(error).__name__}: {error}"[:500]
            found.append(entry)

    def enter(self, name: str, call: Callable, steps: float = 1) -> dict:
        begin = time.perf_counter()
        values: list[float] = []
        for _ in range(VALUES):
            if len(values) < VALUES:
                values += np.ravel(self.peer.value(call()))[:VALUES].astype(float).tolist()
        first = time.perf_counter() - begin
        each = self.repeat(call, WARM)
        self.calls[name] = call, max(1, math.ceil(BLOCK / each)), steps
        return {"values": values[:VALUES], "first_s": first, "calls_per_block": self.calls[name][1]}

    def repeat(self, call: Callable, seconds: float) -> float:
        """Call for about so long; seconds of one call."""
        n, begin = 0, time.perf_counter()
        while not n or time.perf_counter() - begin < seconds:
            call()
            n += 1
        self.peer.sync()
        return (time.perf_counter() - begin) / n

    def slice(self, variant: str, seconds: float) -> list[float]:
        """Seconds per step of each block in a slice of about so many seconds."""
        call, reps, steps = self.calls[variant]
        self.repeat(call, AWAKE)
        found, sync, clock, rounds = [], self.peer.sync, time.perf_counter, range(reps)
        end = clock() + seconds
        while not found or clock() < end:
            begin = clock()
            for _ in rounds:
                call()
            sync()
            found.append((clock() - begin) / reps / steps)
        return found


def serve(framework: str, threads: int):
    """Answer questions until standard input ends; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        module, name = PEERS[framework]
        served = Served(getattr(importlib.import_module(module), name)(threads))
        methods: dict[str, Callable] = {"info": served.info, "prepare": served.prepare, "slice": served.slice}
        for line in sys.stdin:
            question = json.loads(line)
            answer = methods[question.pop("do")](**question)
            print(json.dumps({"answer": answer}), file=answers, flush=True)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers, flush=True)


def statistics(seconds: list[float]) -> dict:
    """Of the blocks: median, tenth percentile, least [s per step], and their number."""
    low, median = np.percentile(seconds, [10, 50])
    return {"median": float(median), "p10": float(low), "min": min(seconds), "n": len(seconds)}


if __name__ == "__main__":
    sys.path.append(sys.path.pop(0))  # dl.py next to this file is not the package dl
    serve(sys.argv[1], int(sys.argv[2]))
