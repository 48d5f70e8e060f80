"""Matrix equations of control: Sylvester, Lyapunov, Riccati, LQR; gradients by the adjoint equation."""

import numpy as np

from dl.linalg.rows import LinAlgError, T, each, finite, matrix, row, same_batch, symmetric
from dl.linalg.systems import solve
from dl.ops.base import pair
from dl.tape import apply
from dl.tensor import Tensor

MOST_DOUBLINGS = 60


def t(a: np.ndarray) -> np.ndarray:
    return np.swapaxes(a, -1, -2)


def sylvester_forward(a, b, q):
    from scipy.linalg import solve_sylvester as one

    return each(one, finite(a, "solve_sylvester"), finite(b, "solve_sylvester"), q)


def sylvester_rule(needs, g, x, a, b, q):
    y = apply(SYLVESTER, (T(a), T(b), g))
    return (-(y @ T(x)) if needs[0] else None), (-(T(x) @ y) if needs[1] else None), y


def dlyap_forward(a, q):
    """Doubling, X = sum A^k Q A^T^k, where A is stable; else SciPy's direct solver."""
    finite(a, "solve_discrete_lyapunov")
    x = np.array(np.broadcast_to(q, np.broadcast_shapes(a.shape, q.shape)))
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(MOST_DOUBLINGS):
            step = a @ x @ t(a)
            x = x + step
            if not np.isfinite(x).all():
                return None
            if np.abs(step).max(initial=0.0) <= 4 * np.finfo(x.dtype).eps * np.abs(x).max(initial=0.0):
                return x
            a = a @ a
    return None


def dlyap(a, q):
    from scipy.linalg import solve_discrete_lyapunov as one

    found = dlyap_forward(a, q)
    return each(lambda a, q: one(a, q, method="direct"), a, q) if found is None else found


def dlyap_rule(needs, g, x, a, q):
    y = apply(DLYAP, (T(a), g))
    return (y @ a @ T(x) + T(y) @ a @ x if needs[0] else None), y


def dare_forward(a, b, q, r):
    """Structure-preserving doubling for all matrices of the batch at once (Chu, Fan, Lin and Wang, 2004)."""
    for m, name in ((a, "A"), (b, "B"), (q, "Q"), (r, "R")):
        finite(m, f"solve_discrete_are: {name}")
    one = np.eye(a.shape[-1], dtype=a.dtype)
    ak, h = a, np.array(np.broadcast_to(q, np.broadcast_shapes(q.shape, a.shape)))
    g = b @ np.linalg.solve(r, t(b))
    n = a.shape[-1]
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(MOST_DOUBLINGS):
            w = np.linalg.solve(one + g @ h, np.concatenate(np.broadcast_arrays(ak, g), axis=-1))
            wa, wg = w[..., :n], w[..., n:]
            step = t(ak) @ h @ wa
            g = g + ak @ wg @ t(ak)
            h, ak = h + step, ak @ wa
            if not np.isfinite(h).all():
                break
            if np.abs(step).max(initial=0.0) <= 8 * np.finfo(h.dtype).eps * np.abs(h).max(initial=0.0):
                return (h + t(h)) / 2
    raise LinAlgError(
        f"linalg.solve_discrete_are: no stabilising solution for A {list(a.shape)}, B {list(b.shape)}: is (A, B) "
        "stabilisable, (A, Q) detectable, Q >= 0, R > 0?"
    )


def dare_rule(needs, g, x, a, b, q, r):
    k = solve(r + T(b) @ x @ b, T(b) @ x @ a)
    closed = a - b @ k
    y = apply(DLYAP, same_batch(closed, symmetric(g)))
    xay = x @ closed @ y * 2.0
    return xay, (-(xay @ T(k)) if needs[1] else None), y, (k @ y @ T(k) if needs[3] else None)


def care_forward(a, b, q, r):
    from scipy.linalg import solve_continuous_are as one

    for m, name in ((a, "A"), (b, "B"), (q, "Q"), (r, "R")):
        finite(m, f"solve_continuous_are: {name}")
    try:
        return each(one, a, b, q, r)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(
            f"linalg.solve_continuous_are: {error}; is (A, B) stabilisable, (A, Q) detectable, Q >= 0, R > 0?"
        ) from None


def care_rule(needs, g, x, a, b, q, r):
    k = solve(r, T(b) @ x)
    closed = a - b @ k
    y = apply(SYLVESTER, same_batch(closed, T(closed), -symmetric(g)))
    xy = x @ y * 2.0
    return xy, (-(xy @ T(k)) if needs[1] else None), y, (k @ y @ T(k) if needs[3] else None)


SYLVESTER = row("solve_sylvester", sylvester_forward, vjp=sylvester_rule, saves=(0, 1, "out"))
DLYAP = row("solve_discrete_lyapunov", dlyap, vjp=dlyap_rule, saves=(0, "out"))
DARE = row("solve_discrete_are", dare_forward, vjp=dare_rule)
CARE = row("solve_continuous_are", care_forward, vjp=care_rule)


def together(name: str, square: tuple[str, ...], **given) -> tuple[Tensor, ...]:
    """The matrices with one dtype and one leading shape; shapes that do not fit raise ValueError with all of them."""
    found = {k: matrix(v, f"{name}: {k}", square=k in square) for k, v in given.items()}
    n = found["A"].shape[-1]
    m = found["B"].shape[-1] if "B" in found else n
    wanted = {"A": (n, n), "B": (n, m), "Q": (n, n), "R": (m, m)}
    if any(v.shape[-2:] != wanted[k] for k, v in found.items()):
        shapes = ", ".join(f"{k} {list(v.shape)}" for k, v in found.items())
        raise ValueError(f"linalg.{name}: shapes do not fit: {shapes}; wanted A (n, n), B (n, m), Q (n, n), R (m, m)")
    dtype = np.result_type(*(v.dtype for v in found.values()))
    return same_batch(*(v.to(dtype) for v in found.values()))


def solve_sylvester(A, B, Q) -> Tensor:
    """X with A X + X B = Q; A (..., m, m), B (..., n, n), Q (..., m, n)."""
    a, b = pair(matrix(A, "solve_sylvester"), matrix(B, "solve_sylvester"))
    a, q = pair(a, matrix(Q, "solve_sylvester", square=False))
    if q.shape[-2:] != (a.shape[-1], b.shape[-1]):
        raise ValueError(
            f"linalg.solve_sylvester: A {list(a.shape)} and B {list(b.shape)} want Q (..., {a.shape[-1]}, "
            f"{b.shape[-1]}), got {list(q.shape)}"
        )
    return apply(SYLVESTER, same_batch(a, b, q))


def solve_continuous_lyapunov(A, Q) -> Tensor:
    """X with A X + X A^T = Q (SciPy's sign); A, Q (..., n, n)."""
    a, q = together("solve_continuous_lyapunov", ("A", "Q"), A=A, Q=Q)
    return apply(SYLVESTER, (a, T(a), q))


def solve_discrete_lyapunov(A, Q) -> Tensor:
    """X with A X A^T - X + Q = 0; A, Q (..., n, n)."""
    return apply(DLYAP, together("solve_discrete_lyapunov", ("A", "Q"), A=A, Q=Q))


def solve_continuous_are(A, B, Q, R) -> Tensor:
    """The stabilising X of A^T X + X A - X B R^-1 B^T X + Q = 0; gradients take X as symmetric.

    A (..., n, n), B (..., n, m), Q (..., n, n) and R (..., m, m) symmetric. Raises LinAlgError where there is none.
    """
    return apply(CARE, together("solve_continuous_are", ("A", "Q", "R"), A=A, B=B, Q=Q, R=R))


def solve_discrete_are(A, B, Q, R) -> Tensor:
    """The stabilising X of X = A^T X A - A^T X B (R + B^T X B)^-1 B^T X A + Q; gradients take X as symmetric.

    Shapes as in solve_continuous_are; a whole batch is solved at once. Raises LinAlgError where there is none.
    """
    return apply(DARE, together("solve_discrete_are", ("A", "Q", "R"), A=A, B=B, Q=Q, R=R))


def lqr(A, B, Q, R) -> tuple[Tensor, Tensor]:
    """K (..., m, n) and S (..., n, n) of u = -K x for xdot = A x + B u and cost integral x^T Q x + u^T R u."""
    a, b, q, r = together("lqr", ("A", "Q", "R"), A=A, B=B, Q=Q, R=R)
    s = apply(CARE, (a, b, q, r))
    return solve(r, T(b) @ s), s


def dlqr(A, B, Q, R) -> tuple[Tensor, Tensor]:
    """K (..., m, n) and S (..., n, n) of u = -K x for x' = A x + B u and cost sum x^T Q x + u^T R u."""
    a, b, q, r = together("dlqr", ("A", "Q", "R"), A=A, B=B, Q=Q, R=R)
    s = apply(DARE, (a, b, q, r))
    return solve(r + T(b) @ s @ b, T(b) @ s @ a), s
