"""Control of what is disturbed or not known exactly: H-infinity LQR, invariant tubes, common Lyapunov functions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controllers.analysis import pair
from controllers.lmi import solve_lmi
from controllers.lqr import Gain, lqr, weights


def hinf_lqr(A, B, D, Q, R, gamma: float) -> Gain:
    """K (nu, n) and P (n, n) of u = -K x against the worst w in xdot = Ax + Bu + Dw.

    The saddle point of the integral of x'Qx + u'Ru - gamma^2 w'w: 0 = A'P + PA + Q - P (B R^-1 B' - gamma^-2 D D') P,
    K = R^-1 B'P, worst w = gamma^-2 D'P x; the gain from w to the cost's root is then at most gamma. A (n, n),
    B (n, nu), D (n, nw), Q (n, n), R (nu, nu). Raises ValueError as `lqr` does, or if gamma is below what any feedback
    reaches (`hinf_gamma`). Source: Basar and Bernhard, H-infinity Optimal Control, 1995, chapter 4; Tedrake,
    Underactuated Robotics, chapter "Robust and stochastic control".
    """
    A, B, D, Q, R = _plant("hinf_lqr", A, B, D, Q, R)
    if not gamma > 0:
        raise ValueError(f"hinf_lqr: gamma must be positive, got {gamma!r}")
    P = _saddle(A, B, D, Q, R, gamma)
    if P is None:
        least = hinf_gamma(A, B, D, Q, R)
        raise ValueError(f"hinf_lqr: no feedback reaches gamma = {gamma:.6g}; the least is {least:.6g} (hinf_gamma)")
    return np.linalg.solve(R, B.T @ P), P


def hinf_gamma(A, B, D, Q, R, *, rtol: float = 1e-6) -> float:
    """The least gamma (to rtol, from above) for which `hinf_lqr` has an answer; by bisection. Zero if D is."""
    A, B, D, Q, R = _plant("hinf_gamma", A, B, D, Q, R)
    low, high = 0.0, 1.0
    while _saddle(A, B, D, Q, R, high) is None:
        low, high = high, 2 * high
        if high > 1e12:
            raise ValueError("hinf_gamma: no gamma up to 1e12 has an answer: bring x, u, w, Q and R closer to 1")
    while high - low > rtol * high and high > 1e-12:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _saddle(A, B, D, Q, R, middle) is None else (low, middle)
    return high


def support(W, directions) -> np.ndarray:
    """max of d'w over w in W (...) for directions d (..., n).

    W: (n,) half-widths of a box about the origin, or (m, n) the vertices of a polytope. Raises ValueError otherwise.
    """
    W, directions = np.asarray(W, float), np.asarray(directions, float)
    if W.ndim not in (1, 2) or W.shape[-1] != directions.shape[-1] or (W.ndim == 1 and (W < 0).any()):
        raise ValueError(
            f"support: W must be half-widths ({directions.shape[-1]},), none negative, or vertices "
            f"(m, {directions.shape[-1]}), got {W.shape}"
        )
    return np.abs(directions) @ W if W.ndim == 1 else (directions @ W.T).max(axis=-1)


def mrpi_support(A, W, directions, *, tol: float = 1e-9) -> np.ndarray:
    """max of d'e (...) over the minimal robust positively invariant set of e+ = Ae + w, w in W.

    That set is the sum of A^i W over all i: where an error driven by any w in W ends up. A (n, n) stable (of a tube:
    A - BK), W as in `support` with the origin inside, directions d (..., n). The sum is cut where what is left is below
    tol, and that bound added: never too small, at most tol too large. Raises ValueError if A is not stable. Source:
    Rakovic et al., Invariant approximations of the minimal robust positively invariant set, 2005.
    """
    A, directions = np.asarray(A, float), np.asarray(directions, float)
    radius = np.abs(np.linalg.eigvals(A)).max()
    if not radius < 1:
        raise ValueError(f"mrpi_support: A must be stable, its spectral radius is {radius:.6g}: pass A - B K")
    if (support(W, np.concatenate([np.eye(len(A)), -np.eye(len(A))])) < 0).any():
        raise ValueError("mrpi_support: the origin must lie in W; shift w's mean into the nominal model")
    size = np.linalg.norm(np.asarray(W, float), axis=-1).max()
    tail = size * _power_sum(A)  # sum over i of support(W, (A^i)'d) <= tail |d|
    total, d = np.zeros(directions.shape[:-1]), directions
    while True:
        left = tail * np.linalg.norm(d, axis=-1)
        if not (left > tol).any():
            return total + left
        total, d = total + support(W, d), d @ A


def tighten(H, h, A, W, *, K=None) -> np.ndarray:
    """h of H z <= h - max H e, so that x = z + e obeys H x <= h for every e of the tube; K: for H u <= h, u = v - K e.

    H (m, n), or (m, nu) with K (nu, n); h (m,); A, W as in `mrpi_support`. Raises ValueError, naming the row, where
    the tube alone is wider than the constraint. Source: Mayne, Seron and Rakovic, Robust model predictive control of
    constrained linear systems with bounded disturbances, 2005.
    """
    H, h = np.asarray(H, float), np.asarray(h, float)
    taken = mrpi_support(A, W, H if K is None else -H @ np.asarray(K, float))
    if (taken > h).any():
        row = int((taken - h).argmax())
        raise ValueError(f"tighten: the tube needs {taken[row]:.6g} of the {h[row]:.6g} that row {row} of H x <= h has")
    return h - taken


@dataclass(frozen=True)
class CommonLyapunov:
    """V = x'P x that decreases along every xdot = A_i x; ok False and P None if there is none, with a sentence."""

    P: np.ndarray | None
    ok: bool
    message: str


def common_lyapunov(As: Sequence, *, margin: float = 1e-2) -> CommonLyapunov:
    """The P (n, n) of least trace with P >= margin I and A_i'P + P A_i <= -margin I for every A_i (n, n).

    One P for all proves that the plant stays stable when it switches among the A_i, or has any mixture of them, as fast
    as it likes. Checked after the fact by eigenvalues. Raises ValueError for shapes that do not fit. Source: Boyd, El
    Ghaoui, Feron and Balakrishnan, Linear Matrix Inequalities in System and Control Theory, 1994, section 5.1.
    """
    As = [pair(A, np.empty((len(A), 0)))[0] for A in As]
    if not As or any(A.shape != As[0].shape for A in As) or not margin > 0:
        raise ValueError("common_lyapunov: one or more square matrices of one size and a margin > 0 are needed")
    n = len(As[0])
    basis = []
    for i, j in zip(*np.triu_indices(n), strict=True):
        E = np.zeros((n, n))
        E[i, j] = E[j, i] = 1.0
        basis.append(E)
    unit = margin * np.eye(n)
    blocks = [np.array([-unit, *basis])]
    blocks += [np.array([-unit, *(-(A.T @ E + E @ A) for E in basis)]) for A in As]
    found = solve_lmi([np.trace(E) for E in basis], blocks)
    if not found.ok:
        return CommonLyapunov(None, False, f"no common quadratic Lyapunov function: {found.message}")
    P = np.tensordot(found.y, np.array(basis), axes=1)
    worst = max(np.linalg.eigvalsh(A.T @ P + P @ A)[-1] for A in As)
    ok = bool(np.linalg.eigvalsh(P)[0] > 0 and worst < 0)
    return CommonLyapunov(P, ok, f"V decreases along all {len(As)}: A'P + PA <= {worst:.3g}")


def _plant(who: str, A, B, D, Q, R):
    lqr(A, B, Q, R)  # refuses what has no answer at gamma = infinity, and says why
    A, B = pair(A, B)
    D = np.asarray(D, float)
    if D.ndim != 2 or len(D) != len(A) or not np.isfinite(D).all():
        raise ValueError(f"{who}: D must be finite and ({len(A)}, nw), got {D.shape}")
    Q, R, _ = weights(who, len(A), B.shape[1], Q, R)
    return A, B, D, Q, R


def _saddle(A, B, D, Q, R, gamma: float) -> np.ndarray | None:
    """The stabilising P >= 0 of the game's Riccati equation, None if there is none."""
    from scipy.linalg import lapack

    n = len(A)
    G = B @ np.linalg.solve(R, B.T) - D @ D.T / gamma**2
    hamiltonian = np.block([[A, -G], [-Q, -A.T]])
    _, stable, _, _, U, _, info = lapack.dgees(lambda re, im: re < 0.0, hamiltonian, sort_t=1)
    if stable != n or info not in (0, 2 * n + 2):  # the latter: rounding moved an eigenvalue across; checked below
        return None
    try:
        P = np.linalg.solve(U[:n, :n].T, U[n:, :n].T)
    except np.linalg.LinAlgError:
        return None
    P = 0.5 * (P + P.T)
    residual = A.T @ P + P @ A + Q - P @ G @ P
    size = np.linalg.norm(Q) + 2 * np.linalg.norm(A) * np.linalg.norm(P) + np.linalg.norm(G) * np.linalg.norm(P) ** 2
    good = np.linalg.norm(residual) <= 1e-9 * size and np.linalg.eigvalsh(P)[0] >= -1e-9 * np.abs(P).max()
    return P if good and np.linalg.eigvals(A - G @ P).real.max() < 0 else None


def _power_sum(A: np.ndarray) -> float:
    """A bound of the sum of |A^i|_2 over i >= 0: the first m terms over 1 - |A^m|, with |A^m| < 1/2."""
    total, power = 0.0, np.eye(len(A))
    while (norm := np.linalg.norm(power, 2)) >= 0.5:
        total, power = total + norm, power @ A
    return float(total / (1 - norm))
