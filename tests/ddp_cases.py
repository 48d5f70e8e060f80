"""Random linear-quadratic problems as the backward pass takes them."""

import numpy as np

SIZES = [(1, 1), (1, 3), (2, 1), (4, 1), (5, 3), (6, 2), (12, 4), (14, 7), (17, 2)]  # compiled sizes and others


def problem(rng, T: int, n: int, m: int, *, gap: bool = False, width: float = 1.0) -> tuple:
    """A, B, lx, lu, lxx, lux, luu, lx_end, lxx_end, h, lo, hi, gap: convex, with limits of du up to width."""
    A, B = np.eye(n) + 0.1 * rng.normal(size=(T, n, n)), 0.3 * rng.normal(size=(T, n, m))
    lx, lu, lux = rng.normal(size=(T, n)), rng.normal(size=(T, m)), 0.01 * rng.normal(size=(T, m, n))
    lxx, luu, lxx_end = (definite(rng, *shape) for shape in ((T, n), (T, m), (1, n)))
    lo, hi = -width * rng.uniform(0.1, 1, (T, m)), width * rng.uniform(0.1, 1, (T, m))
    gaps = 0.1 * rng.normal(size=(T, n)) if gap else None
    return A, B, lx, lu, lxx, lux, luu, rng.normal(size=n), lxx_end[0], np.full(T, 0.1), lo, hi, gaps


def definite(rng, T: int, k: int) -> np.ndarray:
    X = rng.normal(size=(T, k, k))
    return X @ X.swapaxes(1, 2) + 0.1 * np.eye(k)
