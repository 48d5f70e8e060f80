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


gemm = Kernel("gemm", outputs=_outputs, twin=twins.gemm, numbers=_numbers, direct=in_c("matmul"))
KERNELS = (gemm,)
