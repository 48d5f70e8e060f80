"""Rotations: unit quaternions wxyz, rotation matrices, rotation vectors, roll-pitch-yaw; all batched over leading axes.

q (..., 4) = [w, x, y, z] turns vectors of B into vectors of A (q_AB); R (..., 3, 3) = R_AB likewise. Tangent vectors
are rotation vectors in the body frame: q exp(w) with w (..., 3) [rad], as MuJoCo integrates a free joint's omega_WB_B.
quat_multiply, quat_conjugate, quat_rotate, quat_to_matrix, quat_from_rpy and hat are polynomial in sines and take
every scalar type (object arrays too); the others decide by magnitude and take numbers, most of them dl tensors too.
Source: Sola, A micro Lie theory for state estimation in robotics, 2018, section IV and appendix B.
"""

from typing import Any

import numpy as np

from sims.system import stack

_NUMBERS = (np.ndarray, np.generic, list, tuple, float, int)


def quat_multiply(p, q):
    """The Hamilton product p q (..., 4): the rotation q, then p."""
    pw, px, py, pz = (p[..., i] for i in range(4))
    qw, qx, qy, qz = (q[..., i] for i in range(4))
    return stack(
        [
            pw * qw - px * qx - py * qy - pz * qz,
            pw * qx + px * qw + py * qz - pz * qy,
            pw * qy - px * qz + py * qw + pz * qx,
            pw * qz + px * qy - py * qx + pz * qw,
        ]
    )


def quat_conjugate(q):
    """The inverse (..., 4) of a unit quaternion."""
    return q * np.array([1.0, -1.0, -1.0, -1.0])


def quat_rotate(q, p):
    """The vector p (..., 3) rotated by the unit quaternion q: p_A = R_AB p_B."""
    R = quat_to_matrix(q)
    return (R * p[..., None, :]).sum(-1)


def quat_to_matrix(q):
    """R (..., 3, 3) of q (..., 4); the scale of q does not matter: R(s q) = R(q)."""
    w, x, y, z = (q[..., i] for i in range(4))
    s = 2.0 / (w * w + x * x + y * y + z * z)
    return stack(
        [
            [1.0 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
            [s * (x * y + w * z), 1.0 - s * (x * x + z * z), s * (y * z - w * x)],
            [s * (x * z - w * y), s * (y * z + w * x), 1.0 - s * (x * x + y * y)],
        ]
    )


def quat_from_matrix(R) -> np.ndarray:
    """The unit quaternion (..., 4) with w >= 0 of a rotation matrix R (..., 3, 3).

    4 q_i q for the largest |q_i|: no cancellation at any angle, pi included. Source: Shepperd, Quaternion from
    rotation matrix, 1978.
    """
    R = np.asarray(R, float)
    m = [[R[..., i, j] for j in range(3)] for i in range(3)]
    trace = m[0][0] + m[1][1] + m[2][2]
    x, y, z = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    xy, xz, yz = m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]
    squares = [1.0 + trace, *(1.0 + 2.0 * m[i][i] - trace for i in range(3))]
    candidates = stack(
        [
            [squares[0], x, y, z],
            [x, squares[1], xy, xz],
            [y, xy, squares[2], yz],
            [z, xz, yz, squares[3]],
        ]
    )
    best = np.argmax(stack(squares), axis=-1)
    q = np.take_along_axis(candidates, best[..., None, None], axis=-2)[..., 0, :]
    return _w_positive(quat_normalize(q))


def quat_normalize(q) -> np.ndarray:
    """q (..., 4) divided by its norm; a zero quaternion gives the identity, as in MuJoCo."""
    if not isinstance(q, _NUMBERS):
        return q / np.sqrt((q * q).sum(-1))[..., None]
    q = np.asarray(q)
    if q.dtype == object:
        return q / np.sqrt((q * q).sum(-1))
    q = q.astype(float, copy=False)
    largest = np.abs(q).max(axis=-1, keepdims=True)  # keeps the squares from under- and overflowing
    zero = largest == 0.0
    q = np.where(zero, (1.0, 0.0, 0.0, 0.0), q / np.where(zero, 1.0, largest))
    return q / np.sqrt((q * q).sum(axis=-1, keepdims=True))


def quat_exp(w) -> np.ndarray:
    """The unit quaternion (..., 4) of the rotation vector w (..., 3) [rad]: [cos(|w|/2), sin(|w|/2) w/|w|]."""
    w = _floats(w)
    half = 0.5 * _norm(w)
    return np.concatenate([np.cos(half), 0.5 * np.sinc(half / np.pi) * w], axis=-1)


def quat_log(q) -> np.ndarray:
    """The rotation vector w (..., 3), |w| <= pi [rad], with exp(w) = +-q; the scale of q (..., 4) does not matter."""
    q = _w_positive(_floats(q))
    w, v = q[..., :1], q[..., 1:]
    n = _norm(v)
    small = n == 0.0
    factor = np.where(small, 2.0 / np.where(small, w, 1.0), 2.0 * np.arctan2(n, w) / np.where(small, 1.0, n))
    return factor * v


def quat_integrate(q, w) -> np.ndarray:
    """q exp(w) (..., 4): q turned by the body-frame rotation vector w (..., 3) [rad], normalised."""
    return quat_normalize(quat_multiply(_floats(q), quat_exp(w)))


def quat_difference(p, q) -> np.ndarray:
    """The body-frame rotation vector w (..., 3) [rad] with quat_integrate(p, w) = +-q and |w| <= pi."""
    return quat_log(quat_multiply(quat_conjugate(_floats(p)), _floats(q)))


def so3_exp(w) -> np.ndarray:
    """R (..., 3, 3) of the rotation vector w (..., 3) [rad]."""
    return quat_to_matrix(quat_exp(w))


def so3_log(R) -> np.ndarray:
    """The rotation vector (..., 3) [rad] of R (..., 3, 3), |w| <= pi, accurate at 0 and at pi."""
    return quat_log(quat_from_matrix(R))


def hat(w):
    """The skew matrix (..., 3, 3) with hat(w) p = w x p."""
    x, y, z = (w[..., i] for i in range(3))
    return stack([[0.0 * x, -z, y], [z, 0.0 * x, -x], [-y, x, 0.0 * x]])


def vee(W) -> np.ndarray:
    """The w (..., 3) of the skew part of W (..., 3, 3); vee(hat(w)) = w."""
    return 0.5 * stack([W[..., 2, 1] - W[..., 1, 2], W[..., 0, 2] - W[..., 2, 0], W[..., 1, 0] - W[..., 0, 1]])


def quat_from_rpy(rpy):
    """The unit quaternion (..., 4) of R = Rz(yaw) Ry(pitch) Rx(roll), rpy (..., 3) [rad] (Drake's RollPitchYaw)."""
    half = 0.5 * rpy
    cr, cp, cy = (np.cos(half[..., i]) for i in range(3))
    sr, sp, sy = (np.sin(half[..., i]) for i in range(3))
    return stack(
        [
            cr * cp * cy + sr * sp * sy,
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
        ]
    )


def quat_to_rpy(q) -> np.ndarray:
    """[roll, pitch, yaw] (..., 3) [rad] of q (..., 4): |pitch| <= pi/2, roll and yaw in [-pi, pi].

    From (w - y) + i (x + z) = (cos - sin)(pitch/2) e^{i (yaw + roll)/2} and (w + y) + i (z - x) = (cos + sin)(pitch/2)
    e^{i (yaw - roll)/2}: pitch keeps full accuracy at +-pi/2, where only one combination of roll and yaw is determined
    (the other angle sum counts as zero).
    """
    w, x, y, z = np.moveaxis(np.asarray(q, float), -1, 0)
    sum_, difference = np.arctan2(x + z, w - y), np.arctan2(z - x, w + y)
    minus, plus = np.hypot(x + z, w - y), np.hypot(z - x, w + y)
    pitch = 2.0 * np.arctan2(plus - minus, plus + minus)
    return stack([_wrap(sum_ - difference), pitch, _wrap(sum_ + difference)])


def matrix_from_rpy(rpy):
    """R = Rz(yaw) Ry(pitch) Rx(roll) (..., 3, 3)."""
    return quat_to_matrix(quat_from_rpy(rpy))


def matrix_to_rpy(R) -> np.ndarray:
    """[roll, pitch, yaw] (..., 3) [rad] of R (..., 3, 3), as quat_to_rpy."""
    return quat_to_rpy(quat_from_matrix(R))


def _floats(value) -> Any:
    """value as float64, or as it is if it is of a type that answers NumPy's protocols, such as dl's tensor."""
    return np.asarray(value, float) if isinstance(value, _NUMBERS) else value


def _w_positive(q: np.ndarray) -> np.ndarray:
    return np.where(q[..., :1] < 0.0, -q, q)


def _norm(v: np.ndarray) -> np.ndarray:
    """|v| (..., 1) without underflow for tiny v."""
    return np.hypot(np.hypot(v[..., :1], v[..., 1:2]), v[..., 2:3])


def _wrap(angle: np.ndarray) -> np.ndarray:
    return angle - 2.0 * np.pi * np.round(angle / (2.0 * np.pi))
