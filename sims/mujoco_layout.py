"""Where MuJoCo keeps what in x = [qpos, qvel, act]: component names, and the manifold that quaternions make of it."""

import numpy as np

from sims import lie
from sims.mujoco_engine import mujoco

_FREE = (("x", "y", "z", "qw", "qx", "qy", "qz"), ("vx", "vy", "vz", "wx", "wy", "wz"))
_BALL = (("qw", "qx", "qy", "qz"), ("wx", "wy", "wz"))


def joint_names(model: mujoco.MjModel) -> tuple[str, ...]:
    """One name per joint; a joint without one is called after its body, or by its number if that name is taken."""
    names = [model.joint(i).name for i in range(model.njnt)]
    for i in range(model.njnt):
        if not names[i]:
            body = model.body(int(model.jnt_bodyid[i])).name
            names[i] = f"joint{i}" if body in (*names, "") else body
    return tuple(names)


def body_names(model: mujoco.MjModel) -> tuple[str, ...]:
    """One name per body, the world included; a body without one is called by its number."""
    return tuple(model.body(i).name or f"body{i}" for i in range(model.nbody))


def input_names(model: mujoco.MjModel) -> tuple[str, ...]:
    """One name per actuator; one without a name is called by its number."""
    return tuple(model.actuator(i).name or f"actuator{i}" for i in range(model.nu))


def state_names(model: mujoco.MjModel) -> tuple[str, ...]:
    """One name per component of [qpos, qvel, act].

    "shoulder" and "shoulder_dot"; a free joint "base": "base.x" ... "base.qz" and "base.vx" ... "base.wz"; "motor.act".
    """
    q, v, act = [], [], []
    for name, kind in zip(joint_names(model), model.jnt_type, strict=True):
        if int(kind) in (mujoco.mjtJoint.mjJNT_FREE, mujoco.mjtJoint.mjJNT_BALL):
            parts = _FREE if int(kind) == mujoco.mjtJoint.mjJNT_FREE else _BALL
            q += [f"{name}.{part}" for part in parts[0]]
            v += [f"{name}.{part}" for part in parts[1]]
        else:
            q.append(name)
            v.append(f"{name}_dot")
    for name, count in zip(input_names(model), model.actuator_actnum, strict=True):
        act += [f"{name}.act"] if count == 1 else [f"{name}.act{i}" for i in range(count)]
    return (*q, *v, *act)


class Manifold:
    """The tangent space of x (nx,): dx (ndx,) = [dq (nv,), dv (nv,), dact (na,)].

    Rotations are vectors in the body frame [rad]: the same as mj_differentiatePos and mj_integratePos, for any leading
    axes.
    """

    def __init__(self, model: mujoco.MjModel):
        nq, nv, na = model.nq, model.nv, model.na
        self.nx, self.ndx = nq + nv + na, 2 * nv + na
        quats, rotations = [], []
        for kind, q, v in zip(model.jnt_type, model.jnt_qposadr, model.jnt_dofadr, strict=True):
            if int(kind) in (mujoco.mjtJoint.mjJNT_FREE, mujoco.mjtJoint.mjJNT_BALL):
                skip = 3 if int(kind) == mujoco.mjtJoint.mjJNT_FREE else 0
                quats.append(range(q + skip, q + skip + 4))
                rotations.append(range(v + skip, v + skip + 3))
        self.quats = np.array(quats, int).reshape(-1, 4)  # indices into x, one row per quaternion
        self._rotations = np.array(rotations, int).reshape(-1, 3)  # indices into dx
        self._flat_x = np.setdiff1d(np.arange(self.nx), self.quats)
        self._flat_dx = np.setdiff1d(np.arange(self.ndx), self._rotations)

    def difference(self, x, y) -> np.ndarray:
        """dx (..., ndx) with integrate(x, dx) = y, up to the sign of a quaternion."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        if not len(self.quats):
            return y - x
        dx = np.empty((*np.broadcast_shapes(x.shape, y.shape)[:-1], self.ndx))
        dx[..., self._flat_dx] = y[..., self._flat_x] - x[..., self._flat_x]
        dx[..., self._rotations] = lie.quat_difference(x[..., self.quats], y[..., self.quats])
        return dx

    def integrate(self, x, dx) -> np.ndarray:
        """The state (..., nx) reached from x along dx (..., ndx); quaternions come out normalised."""
        x, dx = np.asarray(x, float), np.asarray(dx, float)
        if not len(self.quats):
            return x + dx
        y = np.empty((*np.broadcast_shapes(x.shape[:-1], dx.shape[:-1]), self.nx))
        y[..., self._flat_x] = x[..., self._flat_x] + dx[..., self._flat_dx]
        y[..., self.quats] = lie.quat_integrate(x[..., self.quats], dx[..., self._rotations])
        return y
