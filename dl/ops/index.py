"""Indexing as NumPy's: basic indices are views, integer arrays and boolean masks copy."""

import operator

import numpy as np

from dl.ops.base import as_tensor, cast, sum_to
from dl.ops.elementwise import where
from dl.ops.gather import take
from dl.ops.shape import dim_of
from dl.primitive import Primitive
from dl.tape import apply, state
from dl.tensor import CONSTANT, Tensor, bool_, int64
from dl.trace import guard

BASIC = frozenset((int, slice, type(None), type(Ellipsis)))
ARRAY = "array"  # stands in an index for the next integer array among the inputs


def filled(index: tuple, arrays: tuple) -> tuple:
    """The index with the arrays in their places, in C order: NumPy goes through them as they lie in memory; of several
    values for one element the last stays."""
    rest = iter([np.asarray(a, order="C") for a in arrays])
    return tuple([next(rest) if type(i) is str else i for i in index])


def view(x, *, index):
    out = x[index]
    return out if type(out) is np.ndarray else x[(*index, Ellipsis)]


def unslice(g, *, index, shape):
    out = np.zeros(shape, g.dtype)
    out[index] = g
    return out


def add_at(g, *arrays, index, shape):
    out = np.zeros(shape, g.dtype)
    np.add.at(out, filled(index, arrays), g)
    return out


def put(x, value, *arrays, index):
    out = x.copy()
    out[filled(index, arrays)] = np.asarray(value, order="C")
    return out


def put_in_place(x, value, *arrays, index):
    x[filled(index, arrays)] = np.asarray(value, order="C")
    return ()


def last_writer(*arrays, index, shape):
    """Of several places of an index that mean one element, the one whose value stays there."""
    who = np.zeros(shape, np.int64)
    at = filled(index, arrays)
    mine = np.arange(who[at].size).reshape(who[at].shape)
    who[at] = mine
    return who[at] == mine


def put_rule(needs, g, out, x, value, *arrays, index):
    dx = apply(PUT, (g, Tensor(np.zeros((), g.dtype)), *arrays), {"index": index}) if needs[0] else None
    if not needs[1]:
        return dx, None, *[None for _ in arrays]
    if arrays:
        stays = apply(LAST_WRITER, arrays, {"index": index, "shape": x.array.shape})
        taken = where(stays, apply(INDEX, (g, *arrays), {"index": index}), 0.0)
    else:
        taken = apply(GETITEM, (g,), {"index": index})
    return dx, sum_to(taken, value.array.shape), *[None for _ in arrays]


GETITEM = Primitive(
    "getitem",
    view,
    vjp=(lambda g, out, x, *, index: apply(UNSLICE, (g,), {"index": index, "shape": x.array.shape}),),
    saves=(),
    linear=True,
    view=True,
)
UNSLICE = Primitive(
    "unslice",
    unslice,
    vjp=(lambda g, out, x, *, index, shape: apply(GETITEM, (g,), {"index": index}),),
    saves=(),
    linear=True,
)


def index_rule(needs, g, out, x, *arrays, index):
    return apply(INDEX_ADD_AT, (g, *arrays), {"index": index, "shape": x.array.shape}), *[None for _ in arrays]


def add_at_rule(needs, g, out, x, *arrays, index, shape):
    return apply(INDEX, (g, *arrays), {"index": index}), *[None for _ in arrays]


INDEX = Primitive("index", lambda x, *arrays, index: x[filled(index, arrays)], vjp=index_rule, saves=(), linear=True)
INDEX_ADD_AT = Primitive("index_add_at", add_at, vjp=add_at_rule, saves=(), linear=True)
PUT = Primitive("index_put", put, vjp=put_rule, saves=(), linear=True)
PUT_ = Primitive("index_put_", put_in_place, mutates=(0,), differentiable=False)
LAST_WRITER = Primitive("last_writer", last_writer, differentiable=False)
NONZERO = Primitive("nonzero", lambda x: np.argwhere(x).astype(np.int64, copy=False), differentiable=False)
ONE_HOT = Primitive(
    "one_hot",
    lambda index, *, num_classes: (index[..., None] == np.arange(num_classes)).astype(np.int64),
    differentiable=False,
)
TABLE = {row.name: row for row in (GETITEM, UNSLICE, INDEX, INDEX_ADD_AT, PUT, PUT_, LAST_WRITER, NONZERO, ONE_HOT)}


def parsed(x: Tensor, index: tuple) -> tuple[tuple, tuple[Tensor, ...]]:
    """An index as one of basic parts and ARRAY places, and the int64 tensors for those places."""
    items = [tensor_index(i) for i in index]
    used = [
        i.ndim if isinstance(i, Tensor) and i.dtype == bool_ else 1 for i in items if not (i is None or i is Ellipsis)
    ]
    parts, arrays, at = [], [], 0
    for i in items:
        if isinstance(i, Tensor):
            found = [i] if i.dtype == int64 else places_of(i, x, at)
            parts += [ARRAY] * len(found)
            arrays += found
            at += len(found)
        else:
            parts.append(i)
            at += 0 if i is None else x.ndim - sum(used) if i is Ellipsis else 1
    return tuple(parts), tuple(arrays)


def tensor_index(i):
    """One part of an index: basic, or an int64 or bool tensor."""
    if type(i) in BASIC:
        return i
    if isinstance(i, np.integer):
        return operator.index(i)
    t = as_tensor(np.zeros(0, np.int64) if isinstance(i, (list, tuple)) and not len(i) else i)
    if t.dtype not in (int64, bool_):
        raise IndexError(
            f"an index must be an integer, a slice, None, ..., or an array of int64 or bool, got {t.dtype}"
        )
    return t


def places_of(mask: Tensor, x: Tensor, at: int) -> list[Tensor]:
    """The integer indices that a mask of the dims of x from `at` on stands for."""
    guard(mask, "indexing with a boolean mask (its result has a size that depends on values)")
    if not mask.ndim or mask.shape != x.shape[at : at + mask.ndim]:
        raise IndexError(f"a mask of shape {list(mask.shape)} does not fit at dim {at}")
    return [Tensor(a) for a in mask.array.nonzero()]


def one_dim(index: tuple) -> bool:
    """Whether a parsed index with one array takes everything along all other dims."""
    return all([i == ARRAY if type(i) is str else i == slice(None) for i in index])


def failed(name: str, x: Tensor, error: Exception) -> IndexError:
    return IndexError(f"{name}: {error}; the tensor has shape {list(x.shape)}")


def getitem(x: Tensor, index) -> Tensor:
    """x[index]: ints, slices (negative steps too), None and ... give a view, int64 arrays and masks a copy.

    Raises IndexError out of range, and inside dl.jit TypeError for masks.
    """
    if type(index) is not tuple:
        index = (index,)
    try:
        for i in index:
            if type(i) not in BASIC:
                index, arrays = parsed(x, index)
                if len(arrays) == 1 and one_dim(index):
                    return take(x, index.index(ARRAY), arrays[0])
                if arrays:
                    return apply(INDEX, (x, *arrays), {"index": index})
                break
        return apply(GETITEM, (x,), {"index": index})
    except IndexError as error:
        raise failed("getitem", x, error) from None


def value_for(x: Tensor, value, shape: tuple[int, ...], name: str) -> Tensor:
    """A value as a tensor of the dtype of x that broadcasts to the shape."""
    if type(value) is Tensor:
        t = cast(value, x.array.dtype)
    elif isinstance(value, (int, float)):
        t = Tensor(np.asarray(value, x.array.dtype), CONSTANT)
    else:
        t = as_tensor(value, x.array.dtype)
    extra = t.ndim - len(shape)
    if extra > 0 and t.shape[:extra] == (1,) * extra:
        t = t.reshape(t.shape[extra:])
    have = t.array.shape
    lead = len(shape) - len(have)
    if lead < 0 or any(m not in (1, n) for m, n in zip(have, shape[lead:], strict=True)):
        raise ValueError(f"{name}: a value of shape {list(t.shape)} does not broadcast to {list(shape)}")
    return t


def setitem(x: Tensor, index, value):
    """x[index] = value, in place, with gradients for x and the value.

    Raises IndexError out of range, ValueError where the value does not broadcast, RuntimeError where a gradient would
    be wrong (a leaf that requires one, or a view of a tensor with a past).
    """
    from dl.ops import inplace

    index = index if type(index) is tuple else (index,)
    if len(index) == 1 and getattr(index[0], "dtype", None) == bool_ and np.ndim(getattr(value, "array", value)) == 0:
        mask = as_tensor(index[0])
        if mask.ndim and mask.shape == x.shape[: mask.ndim]:
            mask = mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
            inplace.change(x, lambda old: where(mask, value_for(x, value, (), "setitem"), old), "setitem")
            return
    try:
        parts, arrays = parsed(x, index)
        shape = x.array[filled(parts, tuple([a.array for a in arrays]))].shape
    except IndexError as error:
        raise failed("setitem", x, error) from None
    t = value_for(x, value, shape, "setitem")
    if state.grad and (x.requires_grad or t.requires_grad):
        inplace.change(x, lambda old: apply(PUT, (old, t, *arrays), {"index": parts}), "setitem")
    elif arrays:
        inplace.writable(x, "setitem")
        apply(PUT_, (x, t, *arrays), {"index": parts})
    else:
        inplace.copy_(apply(GETITEM, (x,), {"index": parts}), t)


def nonzero(x, as_tuple: bool = False):
    """Where x is not zero: int64 (n, ndim), or with as_tuple one tensor (n,) per dim. Not inside dl.jit."""
    x = as_tensor(x)
    guard(x, "nonzero (its result has a size that depends on values)")
    found = apply(NONZERO, (x,))
    return tuple([found[:, i] for i in range(x.ndim)]) if as_tuple else found


def one_hot(index, num_classes: int = -1) -> Tensor:
    """int64 (..., num_classes), 1 at the index and 0 elsewhere; -1: the largest index + 1 (not inside dl.jit)."""
    t = as_tensor(index)
    if t.dtype != int64:
        raise TypeError(f"one_hot: wanted int64 indices, got {t.dtype}")
    if not state.traces or num_classes < 0:
        guard(t, "one_hot without num_classes")
        low, high = (int(t.array.min()), int(t.array.max())) if t.array.size else (0, -1)
        num_classes = high + 1 if num_classes < 0 else num_classes
        if low < 0 or high >= num_classes:
            raise IndexError(f"one_hot: indices must be in [0, {num_classes - 1}], got {low} to {high}")
    return apply(ONE_HOT, (t,), {"num_classes": num_classes})


def index_select(x, dim: int, index) -> Tensor:
    """The slices of x along a dim that the index (n,) names, in its order."""
    x, index = as_tensor(x), as_tensor(index)
    if index.dtype != int64:
        raise TypeError(f"index_select: wanted an int64 index, got {index.dtype}")
    return take(x, dim_of(dim, x.ndim, "index_select"), index, "index_select")
