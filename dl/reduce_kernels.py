"""The reductions and the strided copy. dim is a tuple of dims counted from the front; who calls has checked it."""

import numpy as np

from dl.kernel import Kernel
from dl.reference import reduce as twins

BOOL, INT64 = np.dtype(np.bool_), np.dtype(np.int64)


def _outputs(dtype_of):
    """The dims that remain, with the dtype that dtype_of makes of the input's."""

    def outputs(x, *, dim):
        return ((tuple([n for i, n in enumerate(x.shape) if i not in dim]), dtype_of(x.dtype)),)

    return outputs


def _numbers(x, *, dim):
    return dim, ()


def _accumulated(dtype):
    return INT64 if dtype == BOOL else dtype


_total = _outputs(_accumulated)
_same = _outputs(lambda dtype: dtype)
_truth = _outputs(lambda dtype: BOOL)
_index = _outputs(lambda dtype: INT64)


def _running(x, *, dim):
    return ((x.shape, _accumulated(x.dtype)),)


def _copied(x, *, dtype=None):
    return ((x.shape, x.dtype if dtype is None else np.dtype(dtype)),)


def _nothing(x, *, dtype=None):
    return (), ()


sum = Kernel("sum", outputs=_total, twin=twins.sum, numbers=_numbers)
prod = Kernel("prod", outputs=_total, twin=twins.prod, numbers=_numbers)
max = Kernel("max", outputs=_same, twin=twins.max, numbers=_numbers)
min = Kernel("min", outputs=_same, twin=twins.min, numbers=_numbers)
any = Kernel("any", outputs=_truth, twin=twins.any, numbers=_numbers)
all = Kernel("all", outputs=_truth, twin=twins.all, numbers=_numbers)
argmax = Kernel("argmax", outputs=_index, twin=twins.argmax, numbers=_numbers)
argmin = Kernel("argmin", outputs=_index, twin=twins.argmin, numbers=_numbers)
cumsum = Kernel("cumsum", outputs=_running, twin=twins.cumsum, numbers=_numbers)
cumprod = Kernel("cumprod", outputs=_running, twin=twins.cumprod, numbers=_numbers)
copy = Kernel("copy", outputs=_copied, twin=twins.copy, numbers=_nothing)
KERNELS = (sum, prod, max, min, any, all, argmax, argmin, cumsum, cumprod, copy)
