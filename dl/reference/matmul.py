"""The NumPy twins of the matrix product and of the gradient of a bias."""

from functools import reduce

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


def linear_bias(g):
    """The sum of the rows of g (k, n): blocks of 16 rows in its dtype, the blocks in float64."""
    with np.errstate(all="ignore"):
        total, none = np.zeros(g.shape[1]), np.zeros(g.shape[1], g.dtype)
        for i in range(0, len(g), 16):
            total += reduce(np.add, g[i : i + 16], none)
        return total.astype(g.dtype)


def in_parts(f, parts: int, *rows):
    """f(*rows), or with two parts the sum of what f gives for the first and the second half of the rows."""
    half = len(rows[0]) // 2
    if parts < 2:
        return f(*rows)
    with np.errstate(all="ignore"):
        return f(*[r[:half] for r in rows]) + f(*[r[half:] for r in rows])
