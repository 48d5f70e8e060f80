"""The NumPy twin of the matrix product."""

import numpy as np


def gemm(a, b, bias=None, *, act="none"):
    """act(a b + bias): a (..., m, k), b (..., k, n), bias (n,) or None -> (..., m, n); act none, relu or tanh."""
    with np.errstate(all="ignore"):
        y = np.matmul(a, b)
        if bias is not None:
            y += bias
        if act == "relu":
            np.maximum(y, 0, out=y)
        elif act == "tanh":
            np.tanh(y, out=y)
    return y
