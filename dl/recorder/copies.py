"""Operations that move values: each gives the pairs (where to, what) of its copies; what is an operand or a number."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dl.recorder.memory import Operand

Moves = Iterator[tuple[Operand, Operand | float]]


def part(operand: Operand, view) -> Operand:
    """What view(array) is for the operand: NumPy does it on an array of the same strides whose memory nobody reads."""
    size = operand.dtype.itemsize
    strides = tuple(s * size for s in operand.strides)
    if not operand.size:
        shape = view(np.empty(operand.shape, operand.dtype)).shape
        return replace(operand, shape=shape, strides=contiguous(shape))
    lo, hi = operand.extent()
    ghost = np.ndarray(operand.shape, operand.dtype, np.empty(hi - lo, np.uint8), operand.offset - lo, strides)
    seen = view(ghost)
    offset = seen.__array_interface__["data"][0] - ghost.__array_interface__["data"][0] if seen.size else 0
    return replace(
        operand, offset=operand.offset + offset, shape=seen.shape, strides=tuple(s // size for s in seen.strides)
    )


def sliced(operand: Operand, index: tuple) -> Operand:
    """operand[index] for basic indices; the Ellipsis keeps a view of a single element a view."""
    return part(operand, lambda a: a[index] if any(i is Ellipsis for i in index) else a[(*index, Ellipsis)])


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, n = [], 1
    for m in reversed(shape):
        strides.append(n)
        n *= m
    return tuple(reversed(strides))


def cat(out: Operand, ins, attrs) -> Moves:
    dim, at = attrs["dim"], 0
    for piece in ins:
        n = piece.shape[dim]
        yield sliced(out, (slice(None),) * dim + (slice(at, at + n),)), piece
        at += n


def stack(out: Operand, ins, attrs) -> Moves:
    for i, piece in enumerate(ins):
        yield sliced(out, (slice(None),) * attrs["dim"] + (i,)), piece


def reshape(out: Operand, ins, attrs) -> Moves:
    """The copy of a reshape that could not be a view: written in the shape that it is read in."""
    (x,) = ins
    yield replace(out, shape=x.shape, strides=contiguous(x.shape)), x


def clone(out: Operand, ins, attrs) -> Moves:
    yield out, ins[0]


def write(out, ins, attrs) -> Moves:
    """copy_: into the first input."""
    yield ins[0], ins[1]


def unslice(out: Operand, ins, attrs) -> Moves:
    yield out, 0.0
    yield sliced(out, attrs["index"]), ins[0]


def on_diagonal(out: Operand, ins, attrs) -> Moves:
    yield out, 0.0
    yield part(out, lambda a: a.diagonal(attrs["offset"], attrs["dim1"], attrs["dim2"])), ins[0]


def pad(out: Operand, ins, attrs) -> Moves:
    yield out, attrs["value"]
    inner = tuple(slice(low, low + n) for (low, _), n in zip(attrs["widths"], ins[0].shape, strict=True))
    yield sliced(out, inner), ins[0]


def flip(out: Operand, ins, attrs) -> Moves:
    (x,) = ins
    index = tuple(slice(None, None, -1) if d in attrs["dims"] else slice(None) for d in range(len(x.shape)))
    yield out, sliced(x, index)


def full(out: Operand, ins, attrs) -> Moves:
    yield out, attrs["value"]
