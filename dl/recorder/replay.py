"""The replay of a trace without the C extension: the same primitives, one by one."""

import numpy as np

from dl.trace import Trace


def replay_in_numpy(trace: Trace, outputs: list[np.ndarray]):
    """A function(*arrays) that runs the recorded operations again into the recorded arrays."""

    def run(*arrays):
        for t, array in zip(trace.inputs, arrays, strict=True):
            np.copyto(t.array, array)
        for p, inputs, attrs, outs in trace.steps:
            result = p.forward(*[None if t is None else t.array for t in inputs], **attrs)
            if p.mutates:
                continue
            for t, value in zip(outs, result if isinstance(result, tuple) else (result,), strict=True):
                if not (p.view and np.shares_memory(t.array, inputs[0].array)):
                    np.copyto(t.array, value)
        return tuple(array.copy() for array in outputs)

    return run
