"""Functions of matrices: exponential and square root."""

import numpy as np

from dl.linalg.equations import solve_sylvester
from dl.linalg.rows import LinAlgError, T, each, finite, matrix, row
from dl.ops.join import cat
from dl.tape import apply
from dl.tensor import Tensor


def expm_forward(a):
    from scipy.linalg import expm as one

    return np.asarray(one(finite(a, "expm"))).astype(a.dtype, copy=False)


def expm_rule(g, out, a):
    """The adjoint of the Frechet derivative, a block of a larger exponential (Van Loan, 1978)."""
    n = a.shape[-1]
    at = T(a)
    top = cat([at, g], dim=-1)
    bottom = cat([at * 0.0, at], dim=-1)
    return expm(cat([top, bottom], dim=-2))[..., :n, n:]


def sqrtm_forward(a):
    from scipy.linalg import sqrtm as one

    root = each(lambda m: np.real_if_close(one(m), tol=1e6), finite(a, "sqrtm"))
    if np.iscomplexobj(root) or not np.isfinite(root).all():
        raise LinAlgError(f"linalg.sqrtm: a matrix of shape {list(a.shape)} has no real principal square root")
    return root


EXPM = row("expm", expm_forward, vjp=(expm_rule,), saves=(0,))
SQRTM = row("sqrtm", sqrtm_forward, vjp=(lambda g, s, a: solve_sylvester(T(s), T(s), g),), saves=("out",))


def expm(A) -> Tensor:
    """exp(A) = sum A^k / k! of A (..., n, n)."""
    return apply(EXPM, (matrix(A, "expm"),))


def sqrtm(A) -> Tensor:
    """The principal square root S, S S = A, of A (..., n, n) without negative or zero eigenvalues.

    Raises LinAlgError where there is no real one.
    """
    return apply(SQRTM, (matrix(A, "sqrtm"),))
