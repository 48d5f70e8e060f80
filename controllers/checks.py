"""Checks of what a user gives to costs: one clear error each."""

import numpy as np


def finite(name: str, value) -> np.ndarray:
    """value as float64; ValueError if an entry is not finite."""
    array = np.asarray(value, dtype=float)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {array.tolist()!s:.200}")
    return array


def semidefinite(who: str, name: str, value, size: int) -> np.ndarray:
    """value as a symmetric positive semidefinite float64 matrix (size, size); ValueError if it is none."""
    W = finite(f"{who}: {name}", value)
    if W.shape != (size, size):
        raise ValueError(f"{who}: {name} must be ({size}, {size}), got {W.shape}")
    scale = np.abs(W).max(initial=0.0)
    if np.abs(W - W.T).max(initial=0.0) > 1e-9 * scale:
        raise ValueError(f"{who}: {name} must be symmetric, got {W.tolist()!s:.200}")
    W = 0.5 * (W + W.T)
    smallest = np.linalg.eigvalsh(W).min(initial=0.0)
    if smallest < -1e-10 * scale:
        raise ValueError(f"{who}: {name} must be positive semidefinite, its smallest eigenvalue is {smallest:.3g}")
    return W


def cut(rows: np.ndarray, start: int, length: int) -> np.ndarray:
    """rows[start : start + length] (length, ...), the last one repeated after the end."""
    return rows[np.minimum(np.arange(start, start + length), len(rows) - 1)]


def all_knots(T: int | None, x, u) -> None:
    """ValueError unless x (..., T, nx), u (..., T, nu) have all T knots of a cost that changes along the run."""
    if T is not None and not (len(x.shape) > 1 and x.shape[-2] == u.shape[-2] == T):
        raise ValueError(
            f"this cost follows a goal along {T} knots: x must be (..., {T}, nx) and u (..., {T}, nu), got "
            f"{tuple(x.shape)} and {tuple(u.shape)}; cut it with cost.window(start, T)"
        )
