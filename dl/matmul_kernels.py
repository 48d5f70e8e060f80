"""The kernel of matrix products, with what is often done to the result before it leaves the cache.

gemm(a, b, bias=None, act="none"): act(a b + bias) with a (..., m, k), b (..., k, n), bias (n,) or None and act "none",
"relu" or "tanh" -> (..., m, n), in rows. float32, float64 or int64 (modulo 2^64, no tanh), one dtype for all; any
strides; axes in front broadcast. Raises ValueError where sizes or dtypes do not fit.

Floats are multiplied and added in ascending k, with one rounding where the processor can. Where k is contiguous in both
and a has one row, or b one column, or b at most 12 and k is at least 16 times as many, they are inner products instead:
as many interleaved sums as a vector has elements, added in a tree. So a row has the same bits whatever rows come with
it, from two on, and whatever the number of threads.
"""

import numpy as np

from dl.kernel import Kernel, in_c
from dl.reference import matmul as twins

ACTS = {"none": 0, "relu": 1, "tanh": 2}


def _outputs(a, b, bias=None, *, act="none"):
    if a.ndim == 2 and b.ndim == 2:
        return (((a.shape[0], b.shape[1]), a.dtype),)
    batch = a.shape[:-2]
    if b.shape[:-2] != batch:
        try:
            batch = np.broadcast_shapes(batch, b.shape[:-2])
        except ValueError:
            raise ValueError(
                f"gemm: the batches of {list(a.shape)} and {list(b.shape)} do not broadcast; each pair of axes before "
                "the last two must be equal or one of them 1"
            ) from None
    return (((*batch, a.shape[-2], b.shape[-1]), a.dtype),)


def _numbers(*arrays, act="none"):
    return (ACTS[act],), ()


def parts(m: int, n: int, k: int) -> int:
    """Into how many parts the sum over the k rows of a batch falls, for the gradient (m, n) of a weight; 0: as in gemm.

    Two halves, each added up in ascending k, where two threads with half of the rows each exchange less (their sums)
    than if both read all rows.
    """
    return 2 if 32 <= k <= 1024 and 2 * m * n <= k * (m + n) else 0


def _weight_numbers(g, x):
    return (ACTS["none"], parts(g.shape[1], x.shape[1], g.shape[0])), ()


def _bias_numbers(g):
    return (2 if 32 <= g.shape[0] <= 1024 else 1,), ()


gemm = Kernel("gemm", outputs=_outputs, twin=twins.gemm, numbers=_numbers, direct=in_c("matmul"))
linear_weight = Kernel(
    "gemm",
    outputs=lambda g, x: (((g.shape[1], x.shape[1]), x.dtype),),
    twin=lambda g, x: twins.in_parts(lambda g, x: twins.gemm(g.T, x), parts(g.shape[1], x.shape[1], len(g)), g, x),
    numbers=_weight_numbers,
    views=lambda g, x: (g.T, x),
    direct=in_c("linear_weight"),
)  # g (k, m), x (k, n) -> g^T x
linear_bias = Kernel(
    "linear_bias",
    outputs=lambda g: (((g.shape[1],), g.dtype),),
    twin=lambda g: twins.in_parts(twins.linear_bias, *_bias_numbers(g)[0], g),
    numbers=_bias_numbers,
    direct=in_c("linear_bias"),
)  # g (k, n) -> the sum of its rows
KERNELS = (gemm, linear_bias)
