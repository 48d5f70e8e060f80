"""Indexing by integer arrays with a batch axis: the example's number becomes one more index, in front."""

import numpy as np

from dl.ops.index import ARRAY
from dl.ops.rules import batch_size, expanded
from dl.tape import apply
from dl.tensor import Tensor


def is_array(part) -> bool:
    """Integers beside arrays are indices like them (of no dimension)."""
    return type(part) is str or type(part) is int


def arrays_at(index: tuple, ndim: int) -> int:
    """Where in x[index] the dims of the arrays are, for x of ndim dims: where they stand, or in front if apart."""
    places = [i for i, part in enumerate(index) if is_array(part)]
    if places[-1] - places[0] != len(places) - 1:
        return 0
    used = sum([part is not None and part is not Ellipsis for part in index])
    lead = index[: places[0]]
    return sum([ndim - used if part is Ellipsis else 1 for part in lead])


def with_numbers(flags, arrays, size: int) -> tuple[tuple[Tensor, ...], int]:
    """(example's number, *arrays), all with the batch axis in front, and how many dims they broadcast to without it."""
    rank = max([a.ndim - b for a, b in zip(arrays, flags, strict=True)], default=0)
    numbers = Tensor(np.arange(size).reshape(-1, *(1,) * rank))
    rows = [
        a.reshape(size, *(1,) * (rank + 1 - a.ndim), *a.shape[1:]) if b else a
        for a, b in zip(arrays, flags, strict=True)
    ]
    return (numbers, *rows), rank


def moved(t: Tensor, start: int, n: int, end: int) -> Tensor:
    """n dims of t from place start moved to place end, behind the batch axis."""
    if start == end or n == 0:
        return t
    order = [d for d in range(1, t.ndim) if not start <= d - 1 < start + n]
    order[end:end] = range(1 + start, 1 + start + n)
    return t.permute(0, *order)


def index(p, flags, inputs, attrs):
    x, *arrays = inputs
    size = batch_size(flags, inputs)
    rows, rank = with_numbers(flags[1:], arrays, size)
    out = apply(p, (expanded(x, flags[0], size), *rows), {"index": (ARRAY, *attrs["index"])})
    return moved(out, 0, rank, arrays_at(attrs["index"], x.ndim - flags[0]))


def index_add_at(p, flags, inputs, attrs):
    g, *arrays = inputs
    size = batch_size(flags, inputs)
    rows, rank = with_numbers(flags[1:], arrays, size)
    at = arrays_at(attrs["index"], len(attrs["shape"]))
    g = moved(expanded(g, flags[0], size), at, rank, 0)
    return apply(p, (g, *rows), {"index": (ARRAY, *attrs["index"]), "shape": (size, *attrs["shape"])})


def index_put(p, flags, inputs, attrs):
    x, value, *arrays = inputs
    size = batch_size(flags, inputs)
    x = expanded(x, flags[0], size)
    if not arrays:
        index = (slice(None), *attrs["index"])
        return apply(p, (x, beside(value, flags[1], x.array[index].shape, size)), {"index": index})
    rows, rank = with_numbers(flags[2:], arrays, size)
    example = Tensor(np.broadcast_to(np.zeros((), bool), x.shape))
    picked = index_shape(example, rows, attrs["index"])
    at = arrays_at(attrs["index"], x.ndim - 1)
    lead, body = picked[1 : 1 + rank], picked[1 + rank :]
    whole = (size, *body[:at], *lead, *body[at:])
    value = moved(beside(value, flags[1], whole, size), at, rank, 0)
    return apply(p, (x, value, *rows), {"index": (ARRAY, *attrs["index"])})


def index_shape(x: Tensor, rows, index: tuple) -> tuple[int, ...]:
    """The shape of x[numbers, *index]."""
    rest = iter([r.array for r in rows[1:]])
    return x.array[(rows[0].array, *[next(rest) if type(part) is str else part for part in index])].shape


def beside(value: Tensor, batched: bool, shape: tuple[int, ...], size: int) -> Tensor:
    """The value of each example broadcast to the shape of what it replaces, (size, ...)."""
    value = expanded(value, batched, size)
    return value.reshape(size, *(1,) * (len(shape) - value.ndim), *value.shape[1:]).expand(shape)


def last_writer(p, flags, inputs, attrs):
    size = batch_size(flags, inputs)
    rows, rank = with_numbers(flags, inputs, size)
    out = apply(p, rows, {"index": (ARRAY, *attrs["index"]), "shape": (size, *attrs["shape"])})
    return moved(out, 0, rank, arrays_at(attrs["index"], len(attrs["shape"])))
