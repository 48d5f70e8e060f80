"""The kernels that take, gather and add by index. Each gives (result, status); see dl/reference/index.py for both.

dim counts from the front. Where the status can be read at once, refuse_index() turns it into an error.
"""

import numpy as np

from dl.kernel import Kernel
from dl.reference import index as twins

STATUS = ((), np.dtype(np.int64))


def refuse_index(name: str, status: np.ndarray, index: np.ndarray, size: int, dim: int):
    """IndexError naming the operation, the index and the size, where the status is not 0."""
    if status:
        at = np.unravel_index(int(status) - 1, index.shape)
        raise IndexError(
            f"{name}: index {index[at]} at {[int(i) for i in at]} is out of range for dim {dim} of size {size}: wanted "
            f"{-size} ... {size - 1}"
            if size
            else f"{name}: index {index[at]} at {[int(i) for i in at]} is out of range: dim {dim} is empty"
        )


def _dim(*arrays, dim, **attrs):
    return (dim,), ()


def _take(x, index, *, dim):
    return ((*x.shape[:dim], *index.shape, *x.shape[dim + 1 :]), x.dtype), STATUS


def _index_add(g, index, *, dim, size):
    return ((*g.shape[:dim], size, *g.shape[dim + index.ndim :]), g.dtype), STATUS


take = Kernel("take", outputs=_take, twin=twins.take, numbers=_dim)
index_add = Kernel("index_add", outputs=_index_add, twin=twins.index_add, numbers=_dim)
gather = Kernel(
    "gather", outputs=lambda x, index, *, dim: ((index.shape, x.dtype), STATUS), twin=twins.gather, numbers=_dim
)
scatter_add = Kernel(
    "scatter_add",
    outputs=lambda x, index, src, *, dim: ((x.shape, x.dtype), STATUS),
    twin=twins.scatter_add,
    numbers=_dim,
)
KERNELS = (take, index_add, gather, scatter_add)
