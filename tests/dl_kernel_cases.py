"""Ways an array may lie in memory, for the tests of kernels."""

import numpy as np


def every_other(a):
    wide = np.zeros([2 * n for n in a.shape], a.dtype)
    view = wide[(*(slice(None, None, 2),) * a.ndim, ...)]
    view[...] = a
    return view


def channels_last(a):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1) if a.ndim > 2 else a.copy()


LAYOUTS = {
    "contiguous": np.copy,
    "channels last": channels_last,
    "fortran": lambda a: a.copy(order="F"),
    "every other": every_other,
    "backwards": lambda a: np.flip(np.flip(a).copy()) if a.ndim else a,
}
