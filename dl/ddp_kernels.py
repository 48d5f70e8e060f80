"""The backward pass of differential dynamic programming (dl/csrc/ddp.c). Formulas: the twin."""

import numpy as np

from dl.kernel import Kernel
from dl.reference import ddp as twins

FLOAT = np.dtype(np.float64)


def _outputs(A, B, *rest, mu):
    (T, n), m = A.shape[:2], B.shape[2]
    shapes = ((T, m), (T, m, n), (T + 1, n), (T + 1, n, n), (6,))
    return tuple([(shape, FLOAT) for shape in shapes])


def _numbers(*arrays, mu):
    return (), mu


ddp_backward = Kernel("ddp_backward", outputs=_outputs, twin=twins.ddp_backward, numbers=_numbers)
KERNELS = (ddp_backward,)
