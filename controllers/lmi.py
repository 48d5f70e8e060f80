"""Small linear matrix inequalities, solved by a barrier method in NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BOX = 1e6  # |y_i| stays below it, so that an unbounded set does not lead the search away


@dataclass(frozen=True)
class Solution:
    """y (m,); ok: every F_j(y) is positive definite and the cost within gap of the least; a sentence if not."""

    y: np.ndarray
    cost: float
    gap: float
    ok: bool
    message: str


def solve_lmi(c, blocks: Sequence[np.ndarray], *, tol: float = 1e-9) -> Solution:
    """The least c'y with F_j(y) = F_j[0] + sum of y_i F_j[i + 1] positive semidefinite for every block j.

    c (m,); blocks: F_j (m + 1, n_j, n_j), symmetric; tol: of the cost, absolute and relative. First the largest margin
    t with F_j(y) >= t I is sought; none positive means that the set has no interior (ok False, y the best found).
    Dense: for some tens of unknowns. |y_i| < 1e6, so scale. Raises ValueError for shapes that do not fit. Source: Boyd
    and Vandenberghe, Convex Optimization, 2004, sections 11.3 and 11.6.2.
    """
    c = np.asarray(c, float)
    m = len(c)
    blocks = [np.asarray(F, float) for F in blocks]
    for j, F in enumerate(blocks):
        if F.ndim != 3 or F.shape[0] != m + 1 or F.shape[1] != F.shape[2] or not np.isfinite(F).all():
            raise ValueError(f"solve_lmi: block {j} must be finite and ({m + 1}, n, n), got {F.shape}")
        if np.abs(F - np.swapaxes(F, -1, -2)).max(initial=0.0) > 1e-9 * np.abs(F).max(initial=0.0):
            raise ValueError(f"solve_lmi: block {j} must be symmetric")
    start, margin = _interior(blocks, m)
    if not margin > 0:
        message = f"infeasible: no y makes every block positive definite (the best margin is {margin:.3g})"
        return Solution(start, float(c @ start), np.inf, False, message)
    y, gap = _follow(c, [*blocks, *_box(m)], start, tol)
    return Solution(y, float(c @ y), gap, True, "solved")


def _interior(blocks: list[np.ndarray], m: int) -> tuple[np.ndarray, float]:
    """A y with F_j(y) > 0 and its margin, or the y with the largest margin and that (not positive)."""
    lifted = []
    for F in blocks:  # unknowns (y, t): F(y) - t I >= 0, 1 - t >= 0, the largest t
        lifted.append(np.concatenate([F, -np.eye(F.shape[1])[None]]))
    unit = np.zeros((m + 2, 1, 1))
    unit[0], unit[-1] = 1.0, -1.0
    smallest = min(np.linalg.eigvalsh(F[0])[0] for F in blocks)
    start = np.append(np.zeros(m), min(smallest - 1.0, 0.0))
    c = np.append(np.zeros(m), -1.0)
    scale = max(np.abs(F).max() for F in blocks)
    y, _ = _follow(c, [*lifted, unit, *_box(m, extra=1)], start, 1e-9 * max(scale, 1.0), until=lambda y: y[-1] > 0)
    margin = min(np.linalg.eigvalsh(_at(F, y[:-1]))[0] for F in blocks)
    return y[:-1], float(margin if margin > 1e-9 * scale else min(margin, 0.0))


def _follow(c, blocks, y, tol: float, until=None) -> tuple[np.ndarray, float]:
    """Newton's method on weight c'y - sum log det F_j(y) for growing weights; y and the duality gap."""
    size = sum(F.shape[1] for F in blocks)
    weight = 1.0
    while True:
        y = _centre(weight * c, blocks, y)
        gap = size / weight
        if (until is not None and until(y)) or gap < tol * max(1.0, abs(c @ y)):
            return y, gap
        weight *= 10.0


def _centre(c, blocks, y) -> np.ndarray:
    for _ in range(100):
        gradient, hessian = c.copy(), np.zeros((len(c), len(c)))
        for F in blocks:
            inverse = np.linalg.inv(np.linalg.cholesky(_at(F, y)))
            scaled = (inverse @ F[1:] @ inverse.T).reshape(len(c), -1)
            gradient -= scaled[:, :: F.shape[1] + 1].sum(axis=1)
            hessian += scaled @ scaled.T
        step = -np.linalg.solve(hessian, gradient)
        decrement = float(-gradient @ step)
        if not decrement > 1e-10:
            return y
        length = 1.0 if decrement < 0.06 else 1.0 / (1.0 + np.sqrt(decrement))  # damped: always stays inside
        while not all(_definite(_at(F, y + length * step)) for F in blocks):
            length *= 0.5
            if length < 1e-12:
                return y
        y = y + length * step
    return y


def _at(F: np.ndarray, y: np.ndarray) -> np.ndarray:
    return F[0] + np.tensordot(y, F[1:], axes=1)


def _definite(M: np.ndarray) -> bool:
    try:
        np.linalg.cholesky(M)
    except np.linalg.LinAlgError:
        return False
    return True


def _box(m: int, extra: int = 0) -> list[np.ndarray]:
    """BOX - y_i > 0 and BOX + y_i > 0 for the first m of m + extra unknowns, as blocks of size 1."""
    found = []
    for i in range(m):
        for sign in (1.0, -1.0):
            F = np.zeros((m + extra + 1, 1, 1))
            F[0], F[i + 1] = BOX, sign
            found.append(F)
    return found
