"""Linear-quadratic regulators with infinite horizon: continuous, discrete, and sampled."""

from collections.abc import Callable

import numpy as np

from controllers.analysis import MARGIN, detectable, pair, stabilisable

Gain = tuple[np.ndarray, np.ndarray]


def lqr(A, B, Q, R, N=None) -> Gain:
    """K (nu, n) and S (n, n): u = -K x minimises the integral of x'Qx + u'Ru + 2 x'Nu along xdot = Ax + Bu.

    0 = A'S + SA + Q - (SB + N) R^-1 (B'S + N'), K = R^-1 (B'S + N'); the minimum from x is x'Sx. A (n, n), B (n, nu),
    Q (n, n), R (nu, nu), N (n, nu). Raises ValueError if R is not positive definite, [Q N; N' R] not positive
    semidefinite, (A, B) not stabilisable, or if a mode on the imaginary axis costs nothing; the message names the mode.
    Source: Kalman, 1960; solved by the ordered Schur form of the Hamiltonian (Laub, 1979).
    """
    A, B, Q, R, N = _checked("lqr", A, B, Q, R, N)
    A0, G, Q0 = _without_cross_term(A, B, Q, R, N)

    def gain(S):
        return np.linalg.solve(R, B.T @ S + N.T)

    scale, n = _scale(Q0, G), len(A)
    hamiltonian = np.empty((2 * n, 2 * n))
    hamiltonian[:n, :n], hamiltonian[:n, n:] = A0, -scale * G
    hamiltonian[n:, :n], hamiltonian[n:, n:] = -Q0 / scale, -A0.T
    S = _stable_subspace(hamiltonian, lambda re, im: re < 0.0, scale)
    if S is not None:
        K = gain(S)
        right = _small(A.T @ S + S @ A + Q - K.T @ R @ K, S, Q0, A0)
        if right and _slowest(A - B @ K, discrete=False) < -MARGIN * np.abs(A).max():
            return K, S
    _refuse("lqr", A, B, A0, Q0, discrete=False)
    return _by_scipy("lqr", "solve_continuous_are", A, B, Q, R, N, gain, discrete=False)


def dlqr(A, B, Q, R, N=None) -> Gain:
    """K (nu, n) and S (n, n): u = -K x minimises the sum of x'Qx + u'Ru + 2 x'Nu along x+ = Ax + Bu.

    S = A'SA + Q - K'(R + B'SB)K, K = (R + B'SB)^-1 (B'SA + N'); the minimum from x is x'Sx. Shapes and errors as for
    `lqr`, with |lambda| = 1 in place of the imaginary axis. Source: Pappas, Laub and Sandell, 1980 (ordered Schur
    form of the symplectic matrix; the generalised Schur form of SciPy where A is close to singular).
    """
    A, B, Q, R, N = _checked("dlqr", A, B, Q, R, N)
    A0, G, Q0 = _without_cross_term(A, B, Q, R, N)

    def gain(S):
        return np.linalg.solve(R + B.T @ S @ B, B.T @ S @ A + N.T)

    scale, n = _scale(Q0, G), len(A)
    if np.linalg.cond(A0) < 1e6:
        AiT = np.linalg.inv(A0).T
        GA, Qs = scale * G @ AiT, Q0 / scale
        symplectic = np.empty((2 * n, 2 * n))
        symplectic[:n, :n], symplectic[:n, n:] = A0 + GA @ Qs, -GA
        symplectic[n:, :n], symplectic[n:, n:] = -AiT @ Qs, AiT
        S = _stable_subspace(symplectic, lambda re, im: re * re + im * im < 1.0, scale)
        if S is not None and np.linalg.eigvalsh(S)[0] > -1e-8 * np.abs(S).max():
            K = gain(S)
            right = _small(A.T @ S @ (A - B @ K) + Q - N @ K - S, S, Q0, A0)
            if right and _slowest(A - B @ K, discrete=True) < 1 - MARGIN:
                return K, S
    _refuse("dlqr", A, B, A0, Q0, discrete=True)
    return _by_scipy("dlqr", "solve_discrete_are", A, B, Q, R, N, gain, discrete=True)


def zoh(A, B, dt: float) -> Gain:
    """Ad, Bd of x+ = Ad x + Bd u, exact for xdot = Ax + Bu with u held over dt [s] (matrix exponential)."""
    from scipy.linalg import expm

    A, B = np.asarray(A, float), np.asarray(B, float)
    n, nu = B.shape
    E = expm(dt * np.block([[A, B], [np.zeros((nu, n + nu))]]))
    return E[:n, :n], E[:n, n:]


def sampled_cost(A, B, Q, R, dt: float, N=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Qd, Rd, Nd: the continuous cost of one period dt [s] with u held, as a quadratic form of (x[k], u[k]).

    Exact, by one matrix exponential. Source: Van Loan, "Computing integrals involving the matrix exponential", 1978.
    """
    from scipy.linalg import expm

    A, B, Q, R = (np.asarray(M, float) for M in (A, B, Q, R))
    n, nu = B.shape
    N = np.zeros((n, nu)) if N is None else np.asarray(N, float)
    F = np.block([[A, B], [np.zeros((nu, n + nu))]])
    W = np.block([[Q, N], [N.T, R]])
    E = expm(dt * np.block([[-F.T, W], [np.zeros_like(F), F]]))
    m = n + nu
    cost = E[m:, m:].T @ E[:m, m:]
    cost = 0.5 * (cost + cost.T)
    return cost[:n, :n], cost[n:, n:], cost[:n, n:]


def sampled_lqr(A, B, Q, R, dt: float, N=None) -> Gain:
    """K, S of the best u = -K x[k], held over dt [s], for the continuous cost of `lqr` along xdot = Ax + Bu.

    Goes to lqr(A, B, Q, R, N) as dt goes to 0; S says what sampling costs. Source: Astrom and Wittenmark,
    Computer-Controlled Systems, section 11.1.
    """
    Qd, Rd, Nd = sampled_cost(A, B, Q, R, dt, N)
    return dlqr(*zoh(A, B, dt), Qd, Rd, Nd)


def weights(who: str, n: int, nu: int, Q, R, N=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Q (n, n), R (nu, nu), N (n, nu) as symmetric float64 matrices.

    Raises ValueError, beginning with `who`, for a wrong shape, a matrix that is not symmetric, R not positive definite,
    or [Q N; N' R] not positive semidefinite.
    """
    R = _symmetric(who, "R", R, nu)
    smallest = np.linalg.eigvalsh(R)[0]
    if not smallest > 1e-14 * np.abs(R).max():
        raise ValueError(f"{who}: R must be positive definite, its smallest eigenvalue is {smallest:.3g}")
    Q = _symmetric(who, "Q", Q, n)
    Q0 = Q
    if N is not None:
        N = np.asarray(N, float)
        if N.shape != (n, nu) or not np.isfinite(N).all():
            raise ValueError(f"{who}: N must be finite and ({n}, {nu}), got {N.shape}")
        Q0 = Q - N @ np.linalg.solve(R, N.T)
    smallest = np.linalg.eigvalsh(Q0)[0]
    if smallest < -1e-10 * max(np.abs(Q).max(), 1e-300):
        what = "Q" if N is None else "Q - N R^-1 N'"
        raise ValueError(f"{who}: {what} must be positive semidefinite, its smallest eigenvalue is {smallest:.3g}")
    return Q, R, np.zeros((n, nu)) if N is None else N


def _checked(who: str, A, B, Q, R, N):
    try:
        A, B = pair(A, B)
    except ValueError as error:
        raise ValueError(f"{who}: {error}") from None
    return A, B, *weights(who, len(A), B.shape[1], Q, R, N)


def _without_cross_term(A, B, Q, R, N) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A - B R^-1 N', B R^-1 B', Q - N R^-1 N': the same problem in v = u + R^-1 N'x."""
    solved = np.linalg.solve(R, np.hstack([B.T, N.T]))
    BR, NR = solved[:, : len(A)], solved[:, len(A) :]
    return A - B @ NR, B @ BR, Q - N @ NR


def _symmetric(who: str, name: str, M, size: int) -> np.ndarray:
    M = np.asarray(M, float)
    if M.shape != (size, size):
        raise ValueError(f"{who}: {name} must be ({size}, {size}), got {M.shape}; from weights use np.diag([...])")
    if not np.isfinite(M).all():
        raise ValueError(f"{who}: {name} must be finite")
    if np.abs(M - M.T).max(initial=0.0) > 1e-8 * np.abs(M).max(initial=0.0):
        raise ValueError(
            f"{who}: {name} must be symmetric, it differs from its transpose by {np.abs(M - M.T).max():.3g}"
        )
    return 0.5 * (M + M.T)


def _scale(Q: np.ndarray, G: np.ndarray) -> float:
    """The factor by which S is divided so that both off-diagonal blocks are of one size."""
    q, g = np.linalg.norm(Q), np.linalg.norm(G)
    return float(np.sqrt(q / g)) if q > 0 and g > 0 else 1.0


def _stable_subspace(H: np.ndarray, stable: Callable, scale: float) -> np.ndarray | None:
    """S = scale U2 U1^-1, [U1; U2] spanning the stable invariant subspace of H; None if that has not n dimensions."""
    from scipy.linalg import lapack

    n = len(H) // 2
    _, found, _, _, U, _, info = lapack.dgees(stable, H, sort_t=1)
    if found != n or info not in (0, 2 * n + 2):
        return None
    try:
        S = scale * np.linalg.solve(U[:n, :n].T, U[n:, :n].T)
    except np.linalg.LinAlgError:
        return None
    return 0.5 * (S + S.T)


def _small(residual: np.ndarray, S: np.ndarray, Q: np.ndarray, A: np.ndarray) -> bool:
    size = np.linalg.norm(Q) + np.linalg.norm(S) * np.linalg.norm(A)
    return bool(np.isfinite(residual).all() and np.linalg.norm(residual) <= 1e-11 * size)


def _by_scipy(who: str, solver: str, A, B, Q, R, N, gain: Callable, discrete: bool) -> Gain:
    """SciPy's solver, slower and for worse conditioned problems; ValueError where it fails as well."""
    from scipy import linalg

    try:
        S = getattr(linalg, solver)(A, B, Q, R, s=N)
        K = gain(S)
        solved = _slowest(A - B @ K, discrete) < (1.0 if discrete else 0.0)
    except np.linalg.LinAlgError:
        solved = False
    if not solved:
        raise ValueError(
            f"{who}: the Riccati equation is too badly scaled for float64: bring x, u, Q and R closer to 1"
        )
    return K, 0.5 * (S + S.T)


def _slowest(A: np.ndarray, discrete: bool) -> float:
    """The largest |eigenvalue| (discrete) or real part of one."""
    eigenvalues = np.linalg.eigvals(A)
    return float((np.abs(eigenvalues) if discrete else eigenvalues.real).max())


def _refuse(who: str, A, B, A0, Q0, discrete: bool) -> None:
    """ValueError where no stabilising gain is optimal; it names the mode that is out of reach or costs nothing."""
    verdict = stabilisable(A, B, discrete=discrete)
    if not verdict:
        raise ValueError(
            f"{who}: (A, B) is {verdict.message}. No input reaches it and it does not decay: drop that state, use "
            "another actuator, or, if a constraint holds it, project it out (constrained_lqr)"
        )
    for mode in detectable(A0, Q0, discrete=discrete).modes:
        if abs(abs(mode.eigenvalue) - 1 if discrete else mode.eigenvalue.real) < 1e-6:
            raise ValueError(
                f"{who}: Q puts no weight on {mode.describe()}, which neither grows nor decays: the cheapest u leaves "
                "it alone and no stabilising K is optimal; give that state a weight in Q"
            )
