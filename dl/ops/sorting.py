"""Sorting: indices come from rows without a gradient, values by gathering: gradients go where the values came from."""

from typing import NamedTuple

import numpy as np

from dl.ops.base import as_tensor
from dl.ops.gather import take_along_dim
from dl.ops.shape import dim_of, reshape
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor


def descending_order(x: np.ndarray, dim: int) -> np.ndarray:
    """Stable: equal elements keep their order; NaN first, as the largest."""
    back = np.argsort(np.flip(x, dim), axis=dim, kind="stable")
    return np.flip(x.shape[dim] - 1 - back, dim)


def argsort_forward(x, *, dim, descending):
    return descending_order(x, dim) if descending else np.argsort(x, axis=dim, kind="stable")


def topk_forward(x, *, k, dim, largest):
    order = argsort_forward(x, dim=dim, descending=largest)
    return order[(slice(None),) * dim + (slice(0, k),)].copy()


ARGSORT = Primitive("argsort", argsort_forward, differentiable=False)
TOPK = Primitive("topk_indices", topk_forward, differentiable=False)
TABLE = {row.name: row for row in (ARGSORT, TOPK)}


class Sorted(NamedTuple):
    """Values in order and the indices along the dim where they were."""

    values: Tensor
    indices: Tensor


def chosen(row: Primitive, x, dim: int, attrs: dict) -> Sorted:
    x = as_tensor(x)
    if x.ndim == 0:
        found = chosen(row, reshape(x, 1), dim_of(dim, 0, row.name), attrs)
        return Sorted(reshape(found.values, ()), reshape(found.indices, ()))
    d = dim_of(dim, x.ndim, row.name)
    indices = apply(row, (x,), {"dim": d, **attrs})
    return Sorted(take_along_dim(x, indices, d), indices)


def argsort(x, dim: int = -1, descending: bool = False) -> Tensor:
    """The indices that sort x along a dim, int64; equal elements keep their order, NaN is the largest."""
    x = as_tensor(x)
    if x.ndim == 0:
        return reshape(argsort(reshape(x, 1), 0), ())
    return apply(ARGSORT, (x,), {"dim": dim_of(dim, x.ndim, "argsort"), "descending": descending})


def sort(x, dim: int = -1, descending: bool = False) -> Sorted:
    """x in order along a dim: (values, indices); equal elements keep their order, NaN is the largest."""
    return chosen(ARGSORT, x, dim, {"descending": descending})


def topk(x, k: int, dim: int = -1, largest: bool = True) -> Sorted:
    """The k largest (or smallest) elements along a dim in order: (values, indices); ValueError for k too large."""
    x = as_tensor(x)
    n = x.shape[dim_of(dim, x.ndim, "topk")] if x.ndim else 1
    if not 0 <= k <= n:
        raise ValueError(f"topk: k must be in [0, {n}] for dim {dim} of shape {list(x.shape)}, got {k}")
    return chosen(TOPK, x, dim, {"k": k, "largest": largest})


def median(x, dim: int | None = None, keepdim: bool = False):
    """The median, the lower of two in the middle: of all elements, or (values, indices) along a dim."""
    x = as_tensor(x)
    if dim is None:
        return median(reshape(x, -1), 0).values
    d = dim_of(dim, x.ndim, "median")
    n = x.shape[d]
    if not n:
        raise ValueError(f"median: dim {d} of shape {list(x.shape)} has no elements")
    middle = (n - 1) // 2
    values, indices = sort(x, d)
    at = (*(slice(None),) * d, slice(middle, middle + 1) if keepdim else middle)
    return Sorted(values[at], indices[at])
