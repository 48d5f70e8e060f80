"""A linear model from what was measured: Markov parameters, and the realisation of Ho and Kalman."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Realization:
    """x+ = Ax + Bu, y = Cx + Du; singular_values: of the Hankel matrix, whose gap shows the order."""

    A: np.ndarray
    B: np.ndarray
    C: np.ndarray
    D: np.ndarray
    singular_values: np.ndarray

    @property
    def poles(self) -> np.ndarray:
        """The eigenvalues (n,) of A, sorted."""
        return np.sort_complex(np.linalg.eigvals(self.A))


def markov_parameters(A, B, C, T: int, *, D=None) -> np.ndarray:
    """D, CB, CAB, ..., the impulse response (T, ny, nu) of x+ = Ax + Bu, y = Cx + Du."""
    A, B, C = (np.atleast_2d(np.asarray(M, float)) for M in (A, B, C))
    found = [np.zeros((len(C), B.shape[1])) if D is None else np.atleast_2d(np.asarray(D, float))]
    state = B
    for _ in range(T - 1):
        found.append(C @ state)
        state = A @ state
    return np.array(found[:T])


def estimate_markov(y, u, T: int) -> np.ndarray:
    """The first T Markov parameters (T, ny, nu) that fit a record from rest best: least squares of y = sum G[i] u[k-i].

    y (N, ny), u (N, nu), y[k] measured with u[k] acting. What happened more than T steps ago is neglected: choose T
    longer than the plant's memory. Raises ValueError if u does not excite all T parameters. Source: Tedrake,
    Underactuated Robotics, chapter "System identification".
    """
    y, u = np.asarray(y, float), np.asarray(u, float)
    if y.ndim != 2 or u.ndim != 2 or len(y) != len(u) or T < 1:
        raise ValueError(f"estimate_markov: y (N, ny), u (N, nu) and T >= 1 are needed, got {y.shape}, {u.shape}, {T}")
    past = np.concatenate([np.vstack([np.zeros((i, u.shape[1])), u[: len(u) - i]]) for i in range(T)], axis=1)
    G, _, rank, _ = np.linalg.lstsq(past, y)
    if rank < past.shape[1]:
        raise ValueError(
            f"estimate_markov: u excites {rank} of {past.shape[1]} directions; take a longer or livelier record"
        )
    return np.swapaxes(G.reshape(T, u.shape[1], y.shape[1]), 1, 2)


def hankel(markov) -> np.ndarray:
    """The block matrix [G[1], G[2], ...; G[2], G[3], ...; ...] (r ny, r nu) of G (T, ny, nu), r = T // 2."""
    G = np.asarray(markov, float)
    r = len(G) // 2
    if G.ndim != 3 or r < 1:
        raise ValueError(f"hankel: the Markov parameters must be (T, ny, nu) with T >= 2, got {G.shape}")
    return np.vstack([np.hstack(list(G[i + 1 : i + 1 + r])) for i in range(r)])


def ho_kalman(markov, *, order: int | None = None, rtol: float = 1e-9) -> Realization:
    """The balanced realisation of Markov parameters D, CB, CAB, ... (T, ny, nu), T // 2 blocks of the Hankel matrix.

    H = U s V' of the first blocks; A from the shifted H, B and C from its first columns and rows. order: of the model;
    None: the singular values above rtol times the largest. With noise look at `singular_values` and choose. T must be
    at least 2 order + 1. Raises ValueError for a bad order. Source: Ho and Kalman, 1966; Kung, 1978.
    """
    G = np.asarray(markov, float)
    H = hankel(G)
    r, (_, ny, nu) = len(G) // 2, G.shape
    full = np.hstack([H, np.vstack([G[i + 1 + r] if i + 1 + r < len(G) else np.zeros((ny, nu)) for i in range(r)])])
    known = r if len(G) > 2 * r else r - 1  # block rows of the shifted matrix whose entries were all measured
    U, s, Vt = np.linalg.svd(H)
    found = int((s > rtol * s[0]).sum()) if s[0] > 0 else 0
    n = found if order is None else order
    if not 1 <= n <= min(found, known * ny):
        raise ValueError(
            f"ho_kalman: order must be between 1 and {min(found, known * ny)}, got {n}; H ({r} x {r} blocks) has "
            f"{found} singular values above {rtol:g} of the largest: longer records give more"
        )
    root = np.sqrt(s[:n])
    O, R = U[:, :n] * root, root[:, None] * Vt[:n]
    shifted = full[: known * ny, nu:]
    A = np.linalg.lstsq(O[: known * ny], shifted)[0] @ np.linalg.pinv(R)
    return Realization(A, R[:, :nu], O[:ny], G[0], s)
