"""The processor's rate of fused multiply-adds in float32, measured by a loop in C that does nothing else."""

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from dl_cases import Peer

import dl

SOURCE = """
typedef float Vector __attribute__((vector_size(BYTES)));
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define LOAD(i) Vector s##i = {(float)i};
#define STEP(i) s##i = s##i * m + a;
#define SUM(i) total += s##i;
float multiply_add(long rounds, float scale, float shift) {
  Vector m = {0}, a = {0}, total = {0};
  m += scale;
  a += shift;
  EACH(LOAD)
  for (long r = 0; r < rounds; r++) {
    EACH(STEP)
  }
  EACH(SUM)
  return total[0];
}
"""
CHAINS = 12  # independent sums: more than latency times issue width, and they fit AVX2's 16 registers
ROUNDS = 20_000
TARGETS = {
    "c-avx512": (64, ["-mavx512f", "-mfma", "-mprefer-vector-width=512"]),
    "c-avx2": (32, ["-mavx2", "-mfma"]),
    "c-base": (16, []),
    "c-neon": (16, []),
}


def probe(backend: str) -> tuple[Callable[[], float], float]:
    """A call that does floating-point operations with the registers of this backend (dl.backend()), and how many.

    Raises RuntimeError where there is no C compiler.
    """
    width, flags = TARGETS[backend]
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "peak.c", Path(folder) / "peak.so"
        source.write_text(SOURCE)
        command = ["cc", "-O3", "-ffp-contract=fast", *flags, f"-DBYTES={width}", "-shared", "-fPIC"]
        try:
            subprocess.run([*command, str(source), "-o", str(library)], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise RuntimeError(f"the FMA peak needs a C compiler: {getattr(error, 'stderr', error)}") from error
        run = ctypes.CDLL(str(library)).multiply_add
    run.argtypes, run.restype = [ctypes.c_long, ctypes.c_float, ctypes.c_float], ctypes.c_float
    return lambda: run(ROUNDS, 0.5, 1.0), 2.0 * ROUNDS * CHAINS * width / 4


class Peak(Peer):
    """The time that a product would take if the processor did nothing but multiply and add, on one thread."""

    def info(self) -> dict:
        return {}

    def value(self, result) -> np.ndarray:
        return np.full(4, result)

    def gemm(self, p: dict, data):
        if self.threads == 1:
            run, done = probe(dl.backend())
            yield "FMA peak", run, done / (2 * p["m"] * p["n"] * p["k"])
