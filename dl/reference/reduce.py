"""NumPy twins of the reductions: dim is a tuple of dims counted from the front; the result has the dims that remain."""

import math

import numpy as np


def _all(ufunc, bool_dtype=None):
    def twin(x, *, dim):
        return np.asarray(ufunc.reduce(x, dim, dtype=bool_dtype if x.dtype == np.bool_ else None))

    return twin


sum = _all(np.add, np.int64)
prod = _all(np.multiply, np.int64)
max = _all(np.maximum)
min = _all(np.minimum)
any = _all(np.logical_or)
all = _all(np.logical_and)


def _first(name):
    def twin(x, *, dim):
        kept = [i for i in range(x.ndim) if i not in dim]
        shape = tuple([x.shape[i] for i in kept])
        count = math.prod([x.shape[i] for i in dim])
        if not dim:
            return np.zeros(shape, np.int64)
        return np.asarray(getattr(x.transpose(*kept, *sorted(dim)).reshape(*shape, count), name)(-1))

    return twin


argmax = _first("argmax")
argmin = _first("argmin")


def cumsum(x, *, dim):
    """Running sums along the one dim in the tuple; of bool they are int64."""
    return np.cumsum(x, dim[0])


def cumprod(x, *, dim):
    """Running products along the one dim in the tuple; of bool they are int64."""
    return np.cumprod(x, dim[0])


def copy(x, *, dtype=None):
    """x in C order; cast as the micro-operations do."""
    from dl.reference.elementwise import to_i64

    dtype = x.dtype if dtype is None else np.dtype(dtype)
    return np.array(to_i64(x) if dtype == np.int64 else x, dtype, order="C")
