"""References with derivatives: sinusoids and piecewise polynomials that a flat plant or a manipulator can follow."""

from dataclasses import dataclass
from math import factorial

import numpy as np


@dataclass(frozen=True)
class Sinusoid:
    """y(t) = offset + amplitude sin(omega t + phase), for n coordinates.

    offset, amplitude, omega [rad/s], phase [rad]: (n,), or scalars that go with all; amplitude in the unit of y.
    """

    offset: np.ndarray
    amplitude: np.ndarray
    omega: np.ndarray
    phase: np.ndarray | float = 0.0

    def __post_init__(self):
        fields = ("offset", "amplitude", "omega", "phase")
        values = np.broadcast_arrays(*(np.atleast_1d(np.asarray(getattr(self, name), float)) for name in fields))
        for name, value in zip(fields, values, strict=True):
            object.__setattr__(self, name, value.copy())

    def __call__(self, t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """y, ydot, yddot at t [s], each (n,)."""
        return tuple(self.derivatives(t, 2))

    def derivatives(self, t, order: int) -> np.ndarray:
        """y and its derivatives up to `order`, (..., order + 1, n), at t (...) [s]."""
        t = np.asarray(t, float)[..., None, None]
        i = np.arange(order + 1)[:, None]
        y = self.amplitude * self.omega**i * np.sin(self.omega * t + self.phase + i * (np.pi / 2))
        return y + (i == 0) * self.offset


@dataclass(frozen=True)
class Polynomial:
    """y(t) = sum of coefficients[p, :, j] (t - t[p])^j on piece p, t[p] <= t < t[p+1], for n coordinates.

    t (P+1,) [s], increasing; coefficients (P, n, d+1). Before the start and after the end y stays where it is there, at
    rest.
    """

    t: np.ndarray
    coefficients: np.ndarray

    def __post_init__(self):
        t, c = np.array(self.t, float), np.array(self.coefficients, float)
        if t.ndim != 1 or len(t) < 2 or c.ndim != 3 or len(c) != len(t) - 1 or not (np.diff(t) > 0).all():
            raise ValueError(
                f"Polynomial: wanted increasing times (P+1,), coefficients (P, n, d+1), got {t.tolist()} and {c.shape}"
            )
        object.__setattr__(self, "t", t)
        object.__setattr__(self, "coefficients", c)

    def __call__(self, t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """y, ydot, yddot at t [s], each (n,)."""
        return tuple(self.derivatives(t, 2))

    def derivatives(self, t, order: int) -> np.ndarray:
        """y and its derivatives up to `order`, (..., order + 1, n), at t (...) [s]."""
        t = np.asarray(t, float)
        inside = np.clip(t, self.t[0], self.t[-1])
        piece = np.clip(np.searchsorted(self.t, inside, side="right") - 1, 0, len(self.coefficients) - 1)
        rows = basis(inside - self.t[piece], self.coefficients.shape[-1] - 1, order)
        y = np.einsum("...ij,...nj->...in", rows, self.coefficients[piece])
        moving = (t == inside)[..., None, None] | (np.arange(order + 1)[:, None] == 0)
        return np.where(moving, y, 0.0)


def minimum_derivative(t, points, order: int = 4) -> Polynomial:
    """The piecewise polynomial through points (P+1, n) at times t (P+1,) [s] with the least integral of |y^(order)|^2.

    At rest, derivatives 1 to order - 1 zero, at both ends. order = 4 is minimum snap, 3 minimum jerk, 2 the clamped
    cubic spline. The minimiser has degree 2 order - 1 and 2 order - 2 continuous derivatives: one linear system.
    Source: Mellinger and Kumar, "Minimum snap trajectory generation and control for quadrotors", ICRA 2011; the
    conditions are Euler and Lagrange's.
    """
    t, points = np.asarray(t, float), np.asarray(points, float)
    if points.ndim != 2 or t.shape != points.shape[:1] or len(t) < 2 or not (np.diff(t) > 0).all():
        raise ValueError(
            f"minimum_derivative: wanted points (P+1, n) at increasing times (P+1,), got {points.shape}, {t.tolist()}"
        )
    P, degree = len(t) - 1, 2 * order - 1
    size, lengths = degree + 1, np.diff(t)
    ends = [basis(1.0, degree, 2 * order - 2), basis(0.0, degree, 2 * order - 2)]  # each piece in its own time, 0 to 1
    M, right = np.zeros((P * size, P * size)), np.zeros((P * size, points.shape[1]))
    row = 0
    for p in range(P):
        here = slice(p * size, (p + 1) * size)
        M[row, here], right[row] = ends[1][0], points[p]
        M[row + 1, here], right[row + 1] = ends[0][0], points[p + 1]
        row += 2
        if p < P - 1:
            after = slice((p + 1) * size, (p + 2) * size)
            ratio = (lengths[p] / lengths[p + 1]) ** np.arange(1, 2 * order - 1)
            M[row : row + 2 * order - 2, here] = ends[0][1:]
            M[row : row + 2 * order - 2, after] = -ends[1][1:] * ratio[:, None]
            row += 2 * order - 2
    M[row : row + order - 1, :size] = ends[1][1:order]
    M[row + order - 1 :, -size:] = ends[0][1:order]
    coefficients = np.linalg.solve(M, right).reshape(P, size, -1)
    coefficients /= lengths[:, None, None] ** np.arange(size)[:, None]
    return Polynomial(t, np.swapaxes(coefficients, 1, 2))


def basis(t, degree: int, order: int) -> np.ndarray:
    """Rows [1, t, ..., t^degree] and their derivatives up to `order`, (..., order + 1, degree + 1), at t (...)."""
    t = np.asarray(t, float)
    rows = np.zeros((*t.shape, order + 1, degree + 1))
    for i in range(min(order, degree) + 1):
        for j in range(i, degree + 1):
            rows[..., i, j] = factorial(j) // factorial(j - i) * t ** (j - i)
    return rows
