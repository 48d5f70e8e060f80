"""Factorisations: Cholesky, QR, SVD, symmetric eigenvectors."""

import numpy as np

from dl.linalg.rows import LinAlgError, T, column, finite, matrix, row, symmetric
from dl.linalg.systems import solve_triangular
from dl.tape import apply
from dl.tensor import Tensor


def cholesky_forward(a):
    try:
        return np.linalg.cholesky(finite(a, "cholesky"))
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(a)[..., 0].min()
        raise LinAlgError(
            f"linalg.cholesky: a matrix of shape {list(a.shape)} is not positive definite (least eigenvalue "
            f"{least:.3g}); add to its diagonal"
        ) from None


def half_lower(x: Tensor) -> Tensor:
    """The lower triangle with half the diagonal."""
    return x.tril() - x.diagonal(0, -2, -1).diag_embed() * 0.5


def cholesky_rule(g, L, a):
    """Murray, Differentiation of the Cholesky decomposition (2016), equation 10."""
    s = half_lower(T(L) @ g)
    s = solve_triangular(T(L), s, upper=True)
    return symmetric(T(solve_triangular(T(L), T(s), upper=True)))


def qr_rule(needs, g, out, a):
    """Roberts and Roberts, QR and LQ decomposition matrix backpropagation algorithms (2020), section 3 (m >= n)."""
    (gq, gr), (q, r) = g, out
    if a.shape[-2] < a.shape[-1]:
        raise NotImplementedError("linalg.qr: no derivative for wide matrices (m < n); factor the transpose")
    m = r @ T(gr) - T(gq) @ q
    m = m.tril() + T(m.tril(-1))
    return (T(solve_triangular(r, T(gq + q @ m), upper=True)),)


def gaps(w: Tensor) -> Tensor:
    """F_ij = 1 / (w_j - w_i), zero on the diagonal."""
    n = w.shape[-1]
    one = Tensor(np.eye(n, dtype=w.dtype))
    d = w.unsqueeze(-2) - w.unsqueeze(-1)
    return (1.0 - one) / (d + one)


def eigh_rule(needs, g, out, a):
    """Giles, Collected matrix derivative results (2008), section 3.1; eigenvalues must be distinct for dV."""
    (gw, gv), (w, v) = g, out
    inner = gw.diag_embed() + gaps(w) * (T(v) @ gv)
    return (symmetric(v @ inner @ T(v)),)


def svd_rule(needs, g, out, a):
    """Giles (2008), section 3.2, with the parts outside the thin factors' range; singular values must be distinct."""
    (gu, gs, gvt), (u, s, vt) = g, out
    v, gv = T(vt), T(gvt)
    f = gaps(s * s)
    ju, jv = f * (T(u) @ gu), f * (T(v) @ gv)
    row, col = s.unsqueeze(-2), column(s)
    inner = gs.diag_embed() + (ju + T(ju)) * row + (jv + T(jv)) * col
    da = u @ inner @ vt
    if u.shape[-2] > u.shape[-1]:
        da = da + (gu / row - u @ (T(u) @ gu / row)) @ vt
    if v.shape[-2] > v.shape[-1]:
        da = da + u @ T(gv / row - v @ (T(v) @ gv / row))
    return (da,)


def svd_forward(a):
    return tuple(np.linalg.svd(finite(a, "svd"), full_matrices=False))


CHOLESKY = row("cholesky", cholesky_forward, vjp=(cholesky_rule,), saves=("out",))
QR = row("qr", lambda a: tuple(np.linalg.qr(finite(a, "qr"))), vjp=qr_rule)
EIGH = row("eigh", lambda a: tuple(np.linalg.eigh((a + np.swapaxes(a, -1, -2)) / 2)), vjp=eigh_rule)
SVD = row("svd", svd_forward, vjp=svd_rule)


def cholesky(A) -> Tensor:
    """L lower triangular with A = L L^T, for A (..., n, n) symmetric positive definite.

    Only the lower triangle of A is read; the gradient is symmetric. Raises LinAlgError where A is not
    positive definite.
    """
    return apply(CHOLESKY, (matrix(A, "cholesky"),))


def qr(A) -> tuple[Tensor, Tensor]:
    """Q (..., m, k), R (..., k, n) with A = Q R, k = min(m, n); derivatives for m >= n and full rank."""
    return apply(QR, (matrix(A, "qr", square=False),))


def eigh(A) -> tuple[Tensor, Tensor]:
    """Eigenvalues (..., n), ascending, and orthonormal eigenvectors (columns) of the symmetric part of A (..., n, n).

    Derivatives of the eigenvectors need distinct eigenvalues; those of the eigenvalues do not.
    """
    a = matrix(A, "eigh")
    finite(a.array, "eigh")
    return apply(EIGH, (a,))


def svd(A) -> tuple[Tensor, Tensor, Tensor]:
    """U (..., m, k), S (..., k) descending, V^T (..., k, n) with A = U diag(S) V^T, k = min(m, n).

    Derivatives of U and V need distinct, nonzero singular values.
    """
    return apply(SVD, (matrix(A, "svd", square=False),))
