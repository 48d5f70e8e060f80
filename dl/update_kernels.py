"""The kernels that write into many tensors at once: optimiser steps, averages, gradient scaling. Formulas: the twins.

Inputs: the step count (0-d int64, raised by one) and the learning rate (0-d float64), then p, g, state ... of each
parameter; all of a parameter's tensors have one shape and one dtype. writes() says which inputs change.
"""

from typing import Any

import numpy as np

from dl.kernel import Kernel, in_c
from dl.reference import update as twins


def writes(inputs: int, *, first: int, group: int) -> tuple[int, ...]:
    """Indices of the inputs that an update writes into, for Primitive.mutates.

    inputs: how many there are; first: the index of the first tensor (2, or 1 for ema and scale_inplace); group: tensors
    per parameter (4 for adam, 2 or 3 for sgd, 3 to 5 for rmsprop, 2 for ema, 1 for scale_inplace). All tensors but the
    gradient (the parameter, for ema) change, and the step count.
    """
    count = (0,) if first == 2 else ()
    return count + tuple(i for i in range(first, inputs) if (i - first) % group != 1)


def _nothing(*arrays, **attrs):
    return ()


def _writable(name: str, arrays, first: int, group: int):
    """ValueError where C would write into a read-only array."""
    for i, a in enumerate(arrays):
        if not a.flags.writeable and i in writes(len(arrays), first=first, group=group):
            raise ValueError(
                f"{name}: input {i}, shape {a.shape}, is read-only but the update writes into it; pass a copy of it"
            )


def _adam(*arrays, betas, eps, weight_decay, decoupled):
    _writable("adam", arrays, 2, 4)
    return (int(decoupled), 0), (*betas, eps, weight_decay)


def _sgd(*arrays, momentum, dampening, weight_decay, nesterov):
    _writable("sgd", arrays, 2, 3 if momentum else 2)
    return (int(nesterov), 0), (momentum, dampening, weight_decay)


def _rmsprop(*arrays, alpha, eps, weight_decay, momentum, centered):
    _writable("rmsprop", arrays, 2, 3 + bool(centered) + bool(momentum))
    return (int(centered), 0), (alpha, eps, weight_decay, momentum)


def _ema(*arrays):
    _writable("ema", arrays, 1, 2)
    return (), ()


def _scale(*arrays, max_norm):
    _writable("scale_inplace", arrays, 1, 1)
    return (), (max_norm,)


def _row(name: str, twin, numbers) -> Kernel:
    call: Any = in_c("call")
    any_read_only: Any = in_c("any_read_only")

    def direct(*arrays, **attrs):
        if any_read_only(arrays):
            numbers(*arrays, **attrs)  # refuses where it would be written into
        call(name, (), arrays, *numbers(**attrs))
        return ()

    return Kernel(name, outputs=_nothing, twin=twin, numbers=numbers, direct=direct if call else None)


adam = _row("adam", twins.adam, _adam)
sgd = _row("sgd", twins.sgd, _sgd)
rmsprop = _row("rmsprop", twins.rmsprop, _rmsprop)
ema = _row("ema", twins.ema, _ema)
scale_inplace = _row("scale_inplace", twins.scale_inplace, _scale)
grad_norm = Kernel("grad_norm", outputs=lambda *tensors: (((), np.dtype(np.float64)),), twin=twins.grad_norm)
KERNELS = (adam, sgd, rmsprop, ema, scale_inplace, grad_norm)
