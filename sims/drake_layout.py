"""State conversion between the suite's layout (MuJoCo's) and a Drake MultibodyPlant's.

    free joint   suite q = [p_WB, quat_WB], v = [v_WB, omega_WB_B]    Drake q = [quat_WB, p_WB], v = [omega_WB_W, v_WB]
    ball joint   suite q = quat_PB,         v = omega_PB_B            Drake q = [roll, pitch, yaw], v = omega_PB_P
    others       the same numbers, in Drake's order

v_drake = E(q) v_suite with E a permutation of rotations; (dE/dt) v = 0 for every joint (R (omega x omega) = 0), so
accelerations transform by the same E, and forces and mass matrices by its transpose.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, sin, sqrt

import numpy as np

from sims import lie


@dataclass(frozen=True)
class Block:
    """One joint: kind "plain", "free" or "ball", and where its q and v start in the suite's and in Drake's vectors."""

    kind: str
    q: int
    v: int
    q_drake: int
    v_drake: int
    nq: int
    nv: int
    name: str


class Layout:
    """The conversion for one plant; arrays are (n,) unless said otherwise."""

    def __init__(self, blocks: Sequence[Block]):
        self.blocks = tuple(blocks)
        self.nq = sum(4 if b.kind == "ball" else b.nq for b in blocks)
        self.nq_drake = sum(3 if b.kind == "ball" else b.nq for b in blocks)
        self.nv = sum(b.nv for b in blocks)
        self.free = [b for b in blocks if b.kind == "free"]
        self.ball = [b for b in blocks if b.kind == "ball"]
        self._q_from = np.zeros(self.nq_drake, int)  # q_drake = q[_q_from], wrong for ball joints
        self._v_from = np.zeros(self.nv, int)
        for b in blocks:
            order = [3, 4, 5, 6, 0, 1, 2] if b.kind == "free" else range(3 if b.kind == "ball" else b.nq)
            self._q_from[b.q_drake : b.q_drake + len(order)] = [b.q + i for i in order]
            order = [3, 4, 5, 0, 1, 2] if b.kind == "free" else range(b.nv)
            self._v_from[b.v_drake : b.v_drake + b.nv] = [b.v + i for i in order]
        self._x_from = np.concatenate([self._q_from, self.nq + self._v_from])
        # (suite quaternion, suite omega, Drake omega) slices of every rotating joint
        self.rotations = [
            (slice(b.q + 3, b.q + 7), slice(b.v + 3, b.v + 6), slice(b.v_drake, b.v_drake + 3)) for b in self.free
        ] + [(slice(b.q, b.q + 4), slice(b.v, b.v + 3), slice(b.v_drake, b.v_drake + 3)) for b in self.ball]
        self._additive_q = np.setdiff1d(
            np.arange(self.nq), [i for q, _, _ in self.rotations for i in range(q.start, q.stop)]
        )
        to_drake = {b.q + i: b.q_drake + i for b in blocks if b.kind == "plain" for i in range(b.nq)}
        to_drake |= {b.q + i: b.q_drake + 4 + i for b in self.free for i in range(3)}
        self.additive = (
            self._additive_q,
            np.array([to_drake[i] for i in self._additive_q.tolist()], int),
        )  # suite, Drake
        tangent = [i for _, w, _ in self.rotations for i in range(w.start, w.stop)]
        self.additive_tangent = self._velocity_of(np.setdiff1d(np.arange(self.nv), tangent))
        self.identity = not self.rotations and bool((self._x_from == np.arange(self.nq + self.nv)).all())

    def _velocity_of(self, rows: np.ndarray) -> np.ndarray:
        """The velocity rows in the order of the additive positions they move."""
        start = {r: b for b in self.blocks for r in range(b.v, b.v + b.nv)}
        position = {r: start[r].q + (r - start[r].v) for r in rows.tolist()}
        return np.array(sorted(position, key=lambda r: position[r]), int)

    def rotation_matrices(self, q: np.ndarray) -> list[np.ndarray]:
        """R (3, 3) of every free and ball joint at the suite's q (nq,)."""
        return [rotation_matrix(q[quat]) for quat, _, _ in self.rotations]

    def to_drake(self, x: np.ndarray, R: list[np.ndarray]) -> np.ndarray:
        """Drake's [q, v] of the suite's x (nx,), R = rotation_matrices(x)."""
        if self.identity:
            return x
        nq = self.nq_drake
        out = np.empty(nq + self.nv)
        if self.ball:
            out[:nq] = x[: self.nq][self._q_from]
            out[nq:] = x[self.nq :][self._v_from]
            for b in self.ball:
                out[b.q_drake : b.q_drake + 3] = lie.quat_to_rpy(x[b.q : b.q + 4])
        else:
            np.take(x, self._x_from, out=out)
        for b in self.free:
            quat = out[b.q_drake : b.q_drake + 4]
            quat /= np.sqrt(quat @ quat)
        for (_, w, w_drake), R_k in zip(self.rotations, R, strict=True):
            out[nq + w_drake.start : nq + w_drake.stop] = R_k @ x[self.nq + w.start : self.nq + w.stop]
        return out

    def from_drake(self, x_drake: np.ndarray) -> np.ndarray:
        """The suite's x (nx,) of Drake's [q, v]; a copy."""
        x = np.empty(self.nq + self.nv)
        q_drake = x_drake[: self.nq_drake]
        for b in self.blocks:
            if b.kind == "ball":
                x[b.q : b.q + 4] = lie.quat_from_rpy(q_drake[b.q_drake : b.q_drake + 3])
            else:
                n = b.nq
                x[self._q_from[b.q_drake : b.q_drake + n]] = q_drake[b.q_drake : b.q_drake + n]
        x[self.nq :] = self.velocity_from_drake(x_drake[self.nq_drake :], self.rotation_matrices(x))
        return x

    def velocity_from_drake(self, v_drake: np.ndarray, R: list[np.ndarray]) -> np.ndarray:
        """E(q)^-1 v_drake (nv,); accelerations too."""
        v = np.empty(self.nv)
        v[self._v_from] = v_drake
        for (_, w, w_drake), R_k in zip(self.rotations, R, strict=True):
            v[w] = v_drake[w_drake] @ R_k
        return v

    def velocity_to_drake(self, v: np.ndarray, R: list[np.ndarray]) -> np.ndarray:
        """E(q) v (nv,); generalised forces too, since E is orthogonal."""
        v_drake = v[self._v_from]
        for (_, w, w_drake), R_k in zip(self.rotations, R, strict=True):
            v_drake[w_drake] = R_k @ v[w]
        return v_drake

    def E(self, R: list[np.ndarray]) -> np.ndarray:
        """The matrix (nv, nv) with v_drake = E v."""
        E = np.zeros((self.nv, self.nv))
        E[np.arange(self.nv), self._v_from] = 1.0
        for (_, w, w_drake), R_k in zip(self.rotations, R, strict=True):
            E[w_drake, w] = R_k
        return E

    def integrate(self, x: np.ndarray, dx: np.ndarray) -> np.ndarray:
        """The state (..., nx) reached from x along dx (..., 2 nv): quaternions by the exponential map."""
        out = np.empty((*np.broadcast_shapes(x.shape[:-1], dx.shape[:-1]), x.shape[-1]))
        out[..., self.nq :] = x[..., self.nq :] + dx[..., self.nv :]
        out[..., self._additive_q] = x[..., self._additive_q] + dx[..., self.additive_tangent]
        for quat, w, _ in self.rotations:
            out[..., quat] = lie.quat_integrate(x[..., quat], dx[..., w])
        return out

    def difference(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The tangent vector dx (..., 2 nv) with integrate(x, dx) = y."""
        x, y = np.broadcast_arrays(x, y)
        dx = np.empty((*x.shape[:-1], 2 * self.nv))
        dx[..., self.nv :] = y[..., self.nq :] - x[..., self.nq :]
        dx[..., self.additive_tangent] = y[..., self._additive_q] - x[..., self._additive_q]
        for quat, w, _ in self.rotations:
            dx[..., w] = lie.quat_difference(x[..., quat], y[..., quat])
        return dx


def rotation_matrix(quat: np.ndarray) -> np.ndarray:
    """R (3, 3) of one quaternion (4,) of any length; lie.quat_to_matrix without the cost of batching."""
    w, x, y, z = quat.tolist()
    n = w * w + x * x + y * y + z * z
    s = 2.0 / n if n > 0.0 else 0.0
    return np.array(
        [
            [1.0 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
            [s * (x * y + w * z), 1.0 - s * (x * x + z * z), s * (y * z - w * x)],
            [s * (x * z - w * y), s * (y * z + w * x), 1.0 - s * (x * x + y * y)],
        ]
    )


def quat_step(quat: np.ndarray, w: np.ndarray) -> np.ndarray:
    """quat exp(w) (4,) for one quaternion, normalised; lie.quat_integrate without the cost of batching."""
    aw, ax, ay, az = quat.tolist()
    x, y, z = w.tolist()
    angle = sqrt(x * x + y * y + z * z)
    s, bw = (sin(0.5 * angle) / angle if angle > 1e-12 else 0.5), cos(0.5 * angle)
    bx, by, bz = s * x, s * y, s * z
    q = (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )
    n = sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
    return np.array(q) / n
