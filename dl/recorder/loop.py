"""A recorded function many times over in one call: what comes out first goes in again."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dl.kernel import _kernels
from dl.recorder.jit import Jit


class Loop:
    """fn(*carry, *fixed, *row) -> (*carry, *row), turn after turn: recorded once for each signature, looped in C.

    loop(n, carry, fixed, rows) takes tuples of float64 arrays: carry goes round, fixed stays, of each of rows (n, ...)
    a turn gets one entry; it returns the rows that came out, each (n, ...). fn gets and returns tensors. Raises
    ValueError for arrays that do not fit; whatever fn needs Python for runs turn by turn.
    """

    def __init__(self, fn: Callable):
        self.jit = Jit(fn)
        self.programs: dict = {}

    def __call__(self, n: int, carry: tuple, fixed: tuple, rows: tuple) -> tuple[np.ndarray, ...]:
        key = tuple([a.shape for a in (*carry, *fixed)] + [a.shape[1:] for a in rows])
        program, shapes = self.programs.get(key) or self.record(key, carry, fixed, rows)
        outs = tuple([np.empty((n, *shape)) for shape in shapes])
        if program is not None:
            _kernels.loop(program, n, carry, fixed, rows, outs)
            return outs
        for k in range(n):
            results: Any = self.jit(*carry, *fixed, *[a[k] for a in rows])
            carry = results[: len(carry)]
            for out, result in zip(outs, results[len(carry) :], strict=True):
                out[k] = result
        return outs

    def record(self, key, carry, fixed, rows):
        results: Any = self.jit(*carry, *fixed, *[np.ascontiguousarray(a[0]) for a in rows])
        program, made = None, [r for group in self.jit.recordings.values() for r in group][-1]
        if made.plain:
            program = next((b.program for b in made.candidates if b.threads == 1), None)
        self.programs[key] = program, [r.shape for r in results[len(carry) :]]
        return self.programs[key]
