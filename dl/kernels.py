"""Kernels with shapes, strides and dtypes: NumPy arrays in, NumPy arrays out."""

import warnings

import numpy as np

from dl import reference

try:
    from dl import _kernels
except ImportError:
    _kernels = None
    warnings.warn(
        "dl: the C kernels were not built (no C compiler when swingup was installed?); using NumPy instead, same "
        "results, slower. Install a C compiler and run: pip install --force-reinstall --no-deps .",
        RuntimeWarning,
        stacklevel=2,
    )


def backend() -> str:
    """Which kernels run: "c-avx512", "c-avx2", "c-base", or "numpy" where the C extension is not there."""
    return "numpy" if _kernels is None else f"c-{_kernels.isa()}"


def axpy(a: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """out = a x + y for x, y of one shape and one dtype, float32 or float64; a is rounded to that dtype.

    Raises ValueError for unequal shapes, TypeError for unequal or other dtypes.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.dtype != y.dtype or x.dtype not in (np.float32, np.float64):
        raise TypeError(f"axpy: x and y must both be float32 or both float64, got {x.dtype} and {y.dtype}")
    if x.shape != y.shape:
        raise ValueError(f"axpy: x and y must have one shape, got {x.shape} and {y.shape}")
    if _kernels is None:
        return reference.axpy(a, x, y)
    out = np.empty(x.shape, x.dtype)
    _kernels.axpy(a, np.ascontiguousarray(x), np.ascontiguousarray(y), out)
    return out
