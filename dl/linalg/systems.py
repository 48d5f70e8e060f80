"""Linear systems: solve, triangular solve, inverse, determinant, pseudo-inverse, least squares."""

import numpy as np

from dl.linalg.rows import LinAlgError, T, column, eye_like, finite, matrix, row, same_batch
from dl.ops.base import pair
from dl.tape import apply
from dl.tensor import Tensor


def solve_forward(a, b):
    try:
        return np.linalg.solve(finite(a, "solve"), b)
    except np.linalg.LinAlgError:
        raise LinAlgError(f"linalg.solve: a matrix of shape {list(a.shape)} is singular; use lstsq or pinv") from None


def solve_rule(needs, g, out, a, b):
    y = apply(SOLVE, (T(a), g))
    return (-(y @ T(out)) if needs[0] else None), y


def triangular_forward(a, b, *, upper, unit):
    from scipy.linalg import solve_triangular as one

    if not unit and (np.diagonal(a, axis1=-2, axis2=-1) == 0).any():
        raise LinAlgError("linalg.solve_triangular: a zero on the diagonal")
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = np.broadcast_to(a, (*lead, *a.shape[-2:])), np.broadcast_to(b, (*lead, *b.shape[-2:]))
    out = np.empty(b.shape, b.dtype)
    for i in np.ndindex(*lead):
        out[i] = one(a[i], b[i], lower=not upper, unit_diagonal=unit)
    return out


def triangular_rule(needs, g, out, a, b, *, upper, unit):
    y = apply(TRIANGULAR, (T(a), g), {"upper": not upper, "unit": unit})
    if not needs[0]:
        return None, y
    da = -(y @ T(out))
    k = 1 if unit else 0
    return (da.triu(k) if upper else da.tril(-k)), y


def inv_forward(a):
    try:
        return np.linalg.inv(finite(a, "inv"))
    except np.linalg.LinAlgError:
        raise LinAlgError(f"linalg.inv: a matrix of shape {list(a.shape)} is singular; use pinv") from None


def slogdet_rule(needs, g, out, a):
    return (column(column(g[1])) * T(inv(a)),)


def pinv_forward(a, *, rcond):
    return np.linalg.pinv(finite(a, "pinv"), rcond=rcond)


def pinv_rule(g, p, a, *, rcond):
    """Golub and Pereyra (1973), equation 4.12, transposed; for matrices of constant rank."""
    left, right, h = eye_like(T(a)) - a @ p, eye_like(a) - p @ a, T(g)
    return -(T(p) @ g @ T(p)) + left @ h @ p @ T(p) + T(p) @ p @ h @ right


SOLVE = row("solve", solve_forward, vjp=solve_rule, saves=(0, "out"))
TRIANGULAR = row("solve_triangular", triangular_forward, vjp=triangular_rule, saves=(0, "out"))
INV = row("inv", inv_forward, vjp=(lambda g, out, a: -(T(out) @ g @ T(out)),), saves=("out",))
SLOGDET = row("slogdet", lambda a: tuple(np.linalg.slogdet(a)), vjp=slogdet_rule, saves=(0,))
PINV = row("pinv", pinv_forward, vjp=(pinv_rule,), saves=(0, "out"))


def right_side(a: Tensor, b: Tensor, name: str) -> tuple[Tensor, Tensor, bool]:
    """A and B with one leading shape, and whether B was a (batch of) vector(s)."""
    vector = b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1])
    b = column(b) if vector else b
    if b.shape[-2] != a.shape[-2]:
        raise ValueError(
            f"linalg.{name}: A has shape {list(a.shape)}, so B must have shape (..., {a.shape[-2]}, k) or "
            f"(..., {a.shape[-2]}); got {list(b.shape[:-1] if vector else b.shape)}"
        )
    a, b = same_batch(a, b)
    return a, b, vector


def solve(A, B) -> Tensor:
    """X with A X = B, for A (..., n, n) and B (..., n, k) or (..., n). Raises LinAlgError where A is singular."""
    a, b = pair(matrix(A, "solve"), B)
    a, b, vector = right_side(a, b, "solve")
    x = apply(SOLVE, (a, b))
    return x.squeeze(-1) if vector else x


def solve_triangular(A, B, *, upper: bool, unitriangular: bool = False) -> Tensor:
    """X with A X = B for triangular A; the other triangle is not read. Raises LinAlgError for a zero pivot."""
    a, b = pair(matrix(A, "solve_triangular"), B)
    a, b, vector = right_side(a, b, "solve_triangular")
    x = apply(TRIANGULAR, (a, b), {"upper": upper, "unit": unitriangular})
    return x.squeeze(-1) if vector else x


def inv(A) -> Tensor:
    """The inverse of A (..., n, n). Raises LinAlgError where it is singular."""
    return apply(INV, (matrix(A, "inv"),))


def slogdet(A) -> tuple[Tensor, Tensor]:
    """(sign, log |det A|) of A (..., n, n)."""
    return apply(SLOGDET, (matrix(A, "slogdet"),))


def det(A) -> Tensor:
    """det A of A (..., n, n); its gradient needs a regular A."""
    sign, logabs = slogdet(A)
    return sign * logabs.exp()


def pinv(A, *, rcond: float = 1e-12) -> Tensor:
    """The Moore-Penrose inverse (..., n, m) of A (..., m, n); singular values under rcond times the largest are zero.

    The derivative holds where the rank does not change.
    """
    return apply(PINV, (matrix(A, "pinv", square=False),), {"rcond": rcond})


def lstsq(A, B) -> Tensor:
    """X that minimises |A X - B|, of least norm where there are many; A (..., m, n), B (..., m, k) or (..., m)."""
    a, b = pair(matrix(A, "lstsq", square=False), B)
    a, b, vector = right_side(a, b, "lstsq")
    x = pinv(a) @ b
    return x.squeeze(-1) if vector else x
