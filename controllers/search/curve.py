"""Curves in chains of convex regions: Bezier pieces whose control points keep the whole curve inside."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, factorial

import numpy as np

from controllers.reference import Polynomial
from controllers.search.drake_solvers import needs_drake, quiet
from controllers.search.polytope import Polytope


@dataclass(frozen=True, eq=False)
class Curve:
    """Bezier pieces one after the other: r(s) = sum_i B_i((s - s_p) / (s_{p+1} - s_p)) points[p, i] on piece p.

    points (P, d+1, m): control points, d the degree; s (P+1,): where the pieces begin and end, from 0 to 1. A piece
    lies in the convex hull of its control points.
    """

    points: np.ndarray
    s: np.ndarray

    def polynomial(self, duration: float) -> Polynomial:
        """The curve as a function of time, y(t) = r(t / duration), duration [s]."""
        t = duration * self.s
        powers = np.diff(t)[:, None, None] ** np.arange(self.points.shape[1])
        return Polynomial(t, np.einsum("ji,pin->pnj", power_basis(self.points.shape[1] - 1), self.points) / powers)

    def length(self, samples: int = 200) -> float:
        """Arc length [m], from `samples` chords a piece."""
        share = np.linspace(0.0, 1.0, samples * len(self.points) + 1)
        y = self.polynomial(1.0).derivatives(share, 0)[:, 0]
        return float(np.linalg.norm(np.diff(y, axis=0), axis=1).sum())


def power_basis(d: int) -> np.ndarray:
    """C (d+1, d+1) with sum_i B_i(s) p_i = sum_j s^j (C p)_j: from control points to powers of s."""
    C = np.zeros((d + 1, d + 1))
    for j in range(d + 1):
        for i in range(j + 1):
            C[j, i] = (-1) ** (j - i) * comb(d, j) * comb(j, i)
    return C


def smooth_curve(
    regions: Sequence[Polytope], start, goal, *, shares=None, order: int = 4, degree: int | None = None
) -> tuple[Curve | None, str]:
    """The curve from start to goal (m,), piece p inside regions[p], of least integral |d^order r/ds^order|^2.

    At rest at both ends (derivatives 1 to order - 1 are zero) and with order continuous derivatives in between, so that
    the inputs of a quadrotor (order 4) do not jump. shares (P,): the duration of each piece in proportion to the
    others', all equal if None; one shorter than a fiftieth of the whole is lengthened. degree: 2 order - 1 if None.
    Returns the curve, or None, and a sentence. A quadratic program in the control points, solved by Drake with
    Clarabel. Source: Mellinger and Kumar, 2011 (the objective); Farouki, The Bernstein polynomial basis, 2012 (hull,
    derivatives).
    """
    needs_drake("smooth_curve")
    start, goal = np.asarray(start, float), np.asarray(goal, float)
    d, P, m = 2 * order - 1 if degree is None else degree, len(regions), len(start)
    if not P:
        return None, "no region to draw a curve in"
    shares = np.ones(P) if shares is None else np.asarray(shares, float)
    shares = np.maximum(shares / shares.sum(), 0.02)
    shares /= shares.sum()
    try:
        best, span = _free_curves(shares * P, d, order, start, goal)
    except np.linalg.LinAlgError:
        return None, f"{P} pieces of degree {d} are too ill-conditioned: take fewer pieces or a lower degree"
    w, status = _least(regions, best.reshape(P, d + 1, m), span.reshape(P, d + 1, -1))
    if w is None:
        return None, f"no curve of degree {d} in these {P} regions ({status}): make them overlap more, or add some"
    points = (best + span @ w).reshape(P, d + 1, m)
    return Curve(points, np.append(0.0, np.cumsum(shares))), f"{P} pieces of degree {d}"


def _free_curves(h, d: int, order: int, start, goal) -> tuple[np.ndarray, np.ndarray]:
    """The control points (P (d+1), m) of least energy without regions, and directions L (P (d+1), K) from there.

    Every curve with the right ends and joints is best + L w, and its energy that of best plus |w|^2 (up to a scale):
    the quadratic program is left with a round cost, however unequal the pieces of durations h (P,) are.
    """
    from scipy.linalg import block_diag, null_space, solve_triangular

    P, size = len(h), d + 1
    rows, right = [], []
    for k in range(order + 1):
        D = _end_derivative(d, k)
        for piece in range(P - 1):
            row = np.zeros((P, size))
            row[piece], row[piece + 1] = (h[piece + 1] / h[piece]) ** k * D[::-1] * (-1) ** k, -D
            rows.append(row.ravel() / np.abs(row).max())
            right.append(0.0 * start)
        for piece, row_of_end, end in ((0, D, start), (P - 1, D[::-1], goal)) if k < order else ():
            row = np.zeros((P, size))
            row[piece] = row_of_end / np.abs(D).max()
            rows.append(row.ravel())
            right.append(end if k == 0 else 0.0 * end)
    E = np.array(rows)
    some, Z = np.linalg.lstsq(E, np.array(right), rcond=None)[0], np.asarray(null_space(E))
    H = np.asarray(block_diag(*(_energy(d, order) * length ** (1 - 2 * order) for length in h)))
    L = np.linalg.cholesky(np.asarray(Z.T @ H @ Z))
    span = np.asarray(solve_triangular(L, Z.T, lower=True)).T
    best = some - span @ (span.T @ (H @ some))
    return best, span / max(np.linalg.norm(span, axis=0).max(initial=0.0), 1e-300)


def _least(regions: Sequence[Polytope], best, span) -> tuple[np.ndarray | None, str]:
    """The shortest w (K, m) with best + span w (P, d+1, m) in the regions, or None and the solver's reason."""
    from pydrake.solvers import ClarabelSolver, MathematicalProgram

    m, K = best.shape[-1], span.shape[-1]
    program = MathematicalProgram()
    w = program.NewContinuousVariables(K * m)
    program.AddQuadraticCost(2 * np.eye(K * m), np.zeros(K * m), w, is_convex=True)
    for region, p, L in zip(regions, best, span, strict=True):
        rows = np.einsum("ik,fa->ifka", L, region.A).reshape(-1, K * m)
        room = (region.b - p @ region.A.T).ravel()
        moving = np.abs(rows).max(1, initial=0.0) > 1e-9  # the ends of the curve are fixed
        if room[~moving].min(initial=0.0) < -1e-6:
            return None, "start or goal lies outside its region"
        program.AddLinearConstraint(rows[moving], np.full(moving.sum(), -np.inf), room[moving], w)
    with quiet():
        result = ClarabelSolver().Solve(program)
    if not result.is_success():
        return None, result.get_solution_result().name
    return result.GetSolution(w).reshape(K, m), ""


def _end_derivative(d: int, k: int) -> np.ndarray:
    """Row (d+1,): the k-th derivative of a piece at s = 0 from its control points; reversed, with (-1)^k, at s = 1."""
    row = np.zeros(d + 1)
    for i in range(k + 1):
        row[i] = (-1) ** (k - i) * comb(k, i) * factorial(d) // factorial(d - k)
    return row


def _energy(d: int, order: int) -> np.ndarray:
    """H (d+1, d+1) with p'Hp the integral over [0, 1] of the squared derivative `order` of a piece."""
    C = power_basis(d)
    j = np.arange(order, d + 1)
    factor = np.array([factorial(i) // factorial(i - order) for i in j], float)
    gram = factor[:, None] * factor / (j[:, None] + j - 2 * order + 1)
    H = C[order:].T @ gram @ C[order:]
    return 0.5 * (H + H.T)
