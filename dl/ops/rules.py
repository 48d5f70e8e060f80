"""Helpers for derivative and batching rules of rows with several outputs or an axis of samples in front."""

import numpy as np

from dl.ops.base import cast, floating
from dl.tape import apply, state
from dl.tensor import Tensor


def together(*values) -> list:
    """All as floating tensors of their common dtype; None stays None."""
    if all(v is None or (type(v) is Tensor and v.array.dtype.kind == "f") for v in values):
        found = list(values)
    else:
        found = [None if v is None else floating(v) for v in values]
    dtypes = {t.array.dtype for t in found if t is not None}
    if len(dtypes) == 1:
        return found
    dtype = np.result_type(*dtypes)
    return [None if t is None else cast(t, dtype) for t in found]


def traced(t: Tensor) -> bool:
    """Whether a recorder will replay t with other values: then nothing may depend on those it has now."""
    return any(id(t.array) in trace.produced for trace in state.traces)


def constant_zero(t: Tensor) -> bool:
    """Whether a gradient is the zero that stands for "nobody used this output", now and in every replay."""
    return not t.requires_grad and not traced(t) and not t.array.any()


def first_output_rule(fast, composed):
    """A vjp for rows whose outputs after the first are by-products for the backward kernel.

    fast(needs, g, out, *inputs, **attrs) -> tuple, where only the first output has a gradient g (the usual case);
    otherwise the derivative of the composed formula.
    """

    def rule(needs, g, out, *inputs, **attrs):
        if all(constant_zero(extra) for extra in g[1:]):
            return fast(needs, g[0], out, *inputs, **attrs)
        from dl.transforms.reverse import rule_from

        return rule_from(composed)(needs, g, out, *inputs, **attrs)

    return rule


def expanded(t: Tensor, batched: bool, size: int) -> Tensor:
    """With a batch axis in front: its own, or one of stride 0."""
    return t if batched else t.reshape(1, *t.shape).expand(size, *t.shape)


def folded(t: Tensor) -> Tensor:
    """(B, N, ...) -> (B N, ...)."""
    return t.reshape(t.shape[0] * t.shape[1], *t.shape[2:])


def batch_size(batched, inputs) -> int:
    return next(t.shape[0] for t, b in zip(inputs, batched, strict=True) if b)


def batch_into_first_axis(row, outputs: int = 1):
    """The batching rule of an operation on (N, ...) that treats each n alone: the batch joins N.

    row() -> the Primitive; an attribute `shape`, that of the result, grows with N.
    """

    def batch(batched, *inputs, **attrs):
        size = batch_size(batched, inputs)
        if "shape" in attrs:
            attrs = attrs | {"shape": (size * attrs["shape"][0], *attrs["shape"][1:])}
        pairs = zip(inputs, batched, strict=True)
        flat = tuple([None if t is None else folded(expanded(t, b, size)) for t, b in pairs])
        out = apply(row(), flat, attrs)
        outs = [t.reshape(size, t.shape[0] // size, *t.shape[1:]) for t in (out if outputs > 1 else (out,))]
        return tuple(outs) if outputs > 1 else outs[0]

    return batch


def batch_beside_dim(row):
    """The batching rule of an operation along the attribute `dim`, counted from the front: it is one further."""

    def batch(batched, *inputs, dim, **attrs):
        size = batch_size(batched, inputs)
        full = tuple([expanded(t, b, size) for t, b in zip(inputs, batched, strict=True)])
        return apply(row(), full, {"dim": dim + 1, **attrs})

    return batch
