"""Rotations and rigid motions: exp and log of SO(3) and SE(3), with gradients that are finite at 0 and at pi."""

import numpy as np

from dl.ops.base import floating
from dl.ops.elementwise import where
from dl.ops.join import cat, stack
from dl.tensor import Tensor

SMALL = 1e-2  # [rad^2] below this squared angle the coefficients come from their series (error under 1e-17)


def safe(s: Tensor) -> tuple[Tensor, Tensor]:
    """Whether s is small, and s with 1 where it is: an unused branch must not give NaN gradients."""
    small = s < SMALL
    return small, where(small, s * 0.0 + 1.0, s)


def series(s: Tensor, *coefficients: float) -> Tensor:
    total = s * 0.0 + coefficients[-1]
    for c in coefficients[-2::-1]:
        total = total * s + c
    return total


def coefficients(s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """sin(a)/a, (1 - cos a)/a^2, (a - sin a)/a^3 of s = a^2."""
    small, big = safe(s)
    a = big.sqrt()
    sin, cos = a.sin(), a.cos()
    return (
        where(small, series(s, 1, -1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800), sin / a),
        where(small, series(s, 1 / 2, -1 / 24, 1 / 720, -1 / 40320, 1 / 3628800, -1 / 479001600), (1.0 - cos) / big),
        where(small, series(s, 1 / 6, -1 / 120, 1 / 5040, -1 / 362880, 1 / 39916800), (a - sin) / (big * a)),
    )


def hat(w) -> Tensor:
    """The matrix (..., 3, 3) with hat(w) p = w x p."""
    w = floating(w)
    x, y, z = w[..., 0], w[..., 1], w[..., 2]
    o = x * 0.0
    return stack([stack([o, -z, y], -1), stack([z, o, -x], -1), stack([-y, x, o], -1)], -2)


def square(w: Tensor) -> Tensor:
    return (w * w).sum(-1, keepdim=True).unsqueeze(-1)


def so3_exp(w) -> Tensor:
    """The rotation matrix (..., 3, 3) of a rotation vector w (..., 3) [rad] (Rodrigues)."""
    w = floating(w)
    a, b, _ = coefficients(square(w))
    m = hat(w)
    return Tensor(np.eye(3, dtype=w.dtype)) + a * m + b * (m @ m)


def quaternion(R: Tensor) -> Tensor:
    """wxyz (..., 4), w >= 0, from the largest of its four squared entries, so that no division is by a small number."""
    r = [[R[..., i, j] for j in range(3)] for i in range(3)]
    x, y, z = r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]
    ww = 1.0 + r[0][0] + r[1][1] + r[2][2]
    xx = 1.0 + r[0][0] - r[1][1] - r[2][2]
    yy = 1.0 - r[0][0] + r[1][1] - r[2][2]
    zz = 1.0 - r[0][0] - r[1][1] + r[2][2]
    xy, xz, yz = r[0][1] + r[1][0], r[0][2] + r[2][0], r[1][2] + r[2][1]
    rows = stack([stack(q, -1) for q in ((ww, x, y, z), (x, xx, xy, xz), (y, xy, yy, yz), (z, xz, yz, zz))], -2)
    squares = stack([ww, xx, yy, zz], -1)
    best = squares.detach().argmax(-1).unsqueeze(-1)
    row = rows.take_along_dim(best.unsqueeze(-1).expand((*best.shape[:-1], 1, 4)), -2).squeeze(-2)
    q = row * 0.5 / squares.take_along_dim(best, -1).sqrt()
    return where(q[..., :1] < 0.0, -q, q)


def so3_log(R) -> Tensor:
    """The rotation vector (..., 3) [rad], of length at most pi, of a rotation matrix R (..., 3, 3).

    At exactly pi one of the two vectors is returned; the gradient is that of the branch it lies on.
    """
    q = quaternion(floating(R))
    w, v = q[..., :1], q[..., 1:]
    s = (v * v).sum(-1, keepdim=True)
    small, big = safe(s)
    n = big.sqrt()
    near = series(s, 2, 1 / 3, 3 / 20, 5 / 56, 35 / 576, 63 / 1408, 231 / 6656, 143 / 5120)
    return v * where(small, near, 2.0 * n.atan2(w) / n)


def se3_exp(twist) -> Tensor:
    """The motion X (..., 4, 4) of a twist (..., 6) = (w [rad], v [m])."""
    twist = floating(twist)
    w, v = twist[..., :3], twist[..., 3:]
    _, b, c = coefficients(square(w))
    m = hat(w)
    V = Tensor(np.eye(3, dtype=w.dtype)) + b * m + c * (m @ m)
    top = cat([so3_exp(w), V @ v.unsqueeze(-1)], dim=-1)
    last = Tensor(np.array([[0, 0, 0, 1]], w.dtype)).expand((*w.shape[:-1], 1, 4))
    return cat([top, last], dim=-2)


def se3_log(X) -> Tensor:
    """The twist (..., 6) = (w [rad], v [m]) of a motion X (..., 4, 4)."""
    X = floating(X)
    w = so3_log(X[..., :3, :3])
    s = square(w)
    m = hat(w)
    small, big = safe(s)
    a, b, _ = coefficients(big)
    near = series(s, 1 / 12, 1 / 720, 1 / 30240, 1 / 1209600, 1 / 47900160)
    c = where(small, near, (1.0 - a / (2.0 * b)) / big)
    inverse = Tensor(np.eye(3, dtype=w.dtype)) - 0.5 * m + c * (m @ m)
    return cat([w, (inverse @ X[..., :3, 3:]).squeeze(-1)], dim=-1)
