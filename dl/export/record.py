"""A function as a list of operations that an exporter knows, larger ones taken apart."""

from collections.abc import Callable

import numpy as np

from dl.export.formulas import FORMULAS
from dl.export.port import Port, through
from dl.ops.base import as_tensor
from dl.ops.shape import CLONE
from dl.tape import no_grad
from dl.tensor import Tensor
from dl.trace import Trace, recording


class ExportError(ValueError):
    """An operation that cannot be exported."""


def record(fn: Callable, examples, inputs, outputs, known: Callable[[object], bool], where: str):
    """The trace of fn on example inputs, its results, and the ports, completed with defaults.

    known(primitive) says what the exporter can write; other operations are replaced by their composed formula. Raises
    ExportError naming an operation that has none.
    """
    tensors = tuple(Tensor(np.array(as_tensor(x).array, order="C")) for x in examples)
    inputs = tuple(inputs) or tuple(Port() for _ in tensors)
    if len(inputs) != len(tensors):
        raise ValueError(f"{where}: {len(tensors)} example inputs but {len(inputs)} input ports")
    with no_grad():
        probe = fn(*tensors)
        count = len(probe) if isinstance(probe, tuple) else 1
        outputs = tuple(outputs) or tuple(Port() for _ in range(count))
        if len(outputs) != count:
            raise ValueError(f"{where}: the function returns {count} tensors but there are {len(outputs)} output ports")
        trace = Trace(tensors, name="export")
        with recording(trace):
            results = through(fn, inputs, outputs)(*tensors)
            results = tuple(r.clone() if any(r.array is t.array for t in tensors) else r for r in results)
        trace.steps = simplified(trace.steps, known, where)
    for ports, found, kind in ((inputs, tensors, "input"), (outputs, results, "output")):
        for i, (port, t) in enumerate(zip(ports, found, strict=True)):
            port.check(t.shape[-1] if t.ndim else 1, f"{kind} {i}")
    return trace, results, inputs, outputs


def simplified(steps: list, known, where: str) -> list:
    """The steps with unknown operations replaced by what they are composed of, again and again."""
    made = []
    for p, inputs, attrs, outputs in steps:
        if known(p) or (p.view and shares(outputs[0], inputs[0])):
            made.append((p, inputs, attrs, outputs))
            continue
        if p.stateful:
            raise ExportError(f"{where}: {p.name} draws random numbers; export the function without noise")
        formula = FORMULAS.get(p.name, p.composed)
        if formula is None:
            raise ExportError(f"{where}: no way to write the operation '{p.name}'; rewrite that part with others")
        inner = Trace(tuple(t for t in inputs if t is not None), name="export")
        with recording(inner):
            results = formula(*inputs, **attrs)
        results = results if isinstance(results, tuple) else (results,)
        made += simplified(inner.steps, known, where)
        made += [(CLONE, (r,), {}, (out,)) for r, out in zip(results, outputs, strict=True)]
    return made


def shares(out: Tensor, x: Tensor) -> bool:
    return np.shares_memory(out.array, x.array)
