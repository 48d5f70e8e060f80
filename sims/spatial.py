"""Spatial vectors and inertias as lists of scalars: tensors or numbers, where numbers that are 0 or 1 cost nothing.

Motion [angular, linear] and force [moment, force] vectors (6), inertias (6, 6) as rows. Written out entry by entry, a
recorded function of them is element-wise and fuses. Source: Featherstone, Rigid Body Dynamics Algorithms, 2008, ch. 2.
"""

from typing import Any

import numpy as np

NUMBERS = (float, int, np.floating)
NOTHING = 1e-12  # numbers of a model below it are rounding
Row = list[Any]


def times(a, b) -> Any:
    if isinstance(a, NUMBERS):
        a, b = b, a
    if not isinstance(b, NUMBERS) or isinstance(a, NUMBERS):
        return a * b
    if abs(b) < NOTHING:
        return 0.0
    return a if b == 1.0 else float(b) * a


def plus(a, b) -> Any:
    if isinstance(a, NUMBERS) and a == 0.0:
        return b
    return a if isinstance(b, NUMBERS) and b == 0.0 else a + b


def minus(a, b) -> Any:
    if isinstance(a, NUMBERS) and a == 0.0:
        return times(b, -1.0)
    return a if isinstance(b, NUMBERS) and b == 0.0 else a - b


def add(x: Row, y: Row) -> Row:
    return [plus(a, b) for a, b in zip(x, y, strict=True)]


def scale(a, x) -> Row:
    return [times(a, c) for c in x]


def dot(x, y) -> Any:
    total: Any = 0.0
    for a, b in zip(x, y, strict=True):
        total = plus(total, times(a, b))
    return total


def apply(A, x) -> Row:
    return [dot(row, x) for row in A]


def transpose(A) -> list[Row]:
    return [list(column) for column in zip(*A, strict=True)]


def multiply(A, B) -> list[Row]:
    columns = transpose(B)
    return [[dot(row, column) for column in columns] for row in A]


def eliminate(M, right) -> list[Row]:
    """X with M X = right, M symmetric positive definite: LDL' without pivoting, as sims.system.solve."""
    M, X, n = [list(row) for row in M], [list(row) for row in right], len(right)
    inverse = [1.0] * n
    for i in range(n):
        inverse[i] = 1.0 / M[i][i]
        for j in range(i + 1, n):
            factor = times(M[i][j], inverse[i])
            M[j][j:] = [minus(a, times(factor, b)) for a, b in zip(M[j][j:], M[i][j:], strict=True)]
            X[j] = [minus(a, times(factor, b)) for a, b in zip(X[j], X[i], strict=True)]
    for i in reversed(range(n)):
        for k in range(i + 1, n):
            X[i] = [minus(a, times(M[i][k], b)) for a, b in zip(X[i], X[k], strict=True)]
        X[i] = scale(inverse[i], X[i])
    return X


def cross(x, y) -> Row:
    return [minus(times(x[i], y[j]), times(x[j], y[i])) for i, j in ((1, 2), (2, 0), (0, 1))]


def cross_motion(v, m) -> Row:
    """v x m, the rate of a motion vector m that is carried along by v."""
    return cross(v[:3], m[:3]) + add(cross(v[:3], m[3:]), cross(v[3:], m[:3]))


def cross_force(v, f) -> Row:
    """v x* f, the same of a force vector."""
    return add(cross(v[:3], f[:3]), cross(v[3:], f[3:])) + cross(v[:3], f[3:])


def turn(axis, q) -> list[Row]:
    """The rotation matrix by q about a unit axis of numbers (Rodrigues)."""
    W = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]], float)
    sine, versine = np.sin(q), 1.0 - np.cos(q)
    entries = zip(np.eye(3).flat, W.flat, (W @ W).flat, strict=True)
    flat = [plus(plus(float(e), times(sine, w)), times(versine, w2)) for e, w, w2 in entries]
    return [flat[:3], flat[3:6], flat[6:]]


def inertia(mass: float, about: list[Row], c) -> list[Row]:
    """The spatial inertia about the origin of a mass with its centre at c and rotational inertia `about` (3, 3) it."""
    mc = scale(mass, c)
    square = dot(mc, c)
    C = [[0.0, times(mc[2], -1.0), mc[1]], [mc[2], 0.0, times(mc[0], -1.0)], [times(mc[1], -1.0), mc[0], 0.0]]
    top = [
        [plus(minus(about[a][b], times(mc[a], c[b])), square if a == b else 0.0) for b in range(3)] for a in range(3)
    ]
    return [top[a] + C[a] for a in range(3)] + [
        [C[b][a] for b in range(3)] + scale(mass, np.eye(3)[a]) for a in range(3)
    ]


def velocity_product(I: list[Row], v) -> list[Row]:
    """B (6, 6) = (v x* I - I v x + (I v) x~*) / 2, with f x~* m = m x* f: half the rate of I v by v at rest."""
    h, columns = apply(I, v), []
    for e, column in zip(np.eye(6).tolist(), transpose(I), strict=True):
        parts = zip(cross_force(v, column), apply(I, cross_motion(v, e)), cross_force(e, h), strict=True)
        columns.append([times(plus(minus(x, y), z), 0.5) for x, y, z in parts])
    return transpose(columns)
