"""The derivatives of a MuJoCo step in closed form, for trees of hinges and slides: recorded by dl, replayed in C."""

from __future__ import annotations

import numpy as np

import dl
from sims.mujoco_engine import mujoco
from sims.spatial import (
    NUMBERS,
    add,
    apply,
    cross,
    cross_force,
    cross_motion,
    dot,
    eliminate,
    inertia,
    multiply,
    plus,
    scale,
    transpose,
    turn,
    velocity_product,
)

MOST_JOINTS = 12  # the program grows with their square: 13 000 operations for 7


def eligible(model: mujoco.MjModel) -> bool:
    """True if a step is v+ = v + dt a, q+ = q + dt v+ with M a + c(q, v) = gear u, and nothing else acts.

    At most one joint a body and MOST_JOINTS in all, each a hinge or a slide; Euler steps; motors on joints; no damping,
    springs, friction loss, contacts, limits, equalities, tendons, fluid or compensated gravity.
    """
    m, off, disable = model, model.opt.disableflags, mujoco.mjtDisableBit
    kinds = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
    simple = 0 < m.njnt <= MOST_JOINTS and (m.body_jntnum <= 1).all() and all(int(t) in kinds for t in m.jnt_type)
    constrained = not off & int(disable.mjDSBL_CONSTRAINT) and (
        m.neq
        or m.dof_frictionloss.any()
        or (m.ngeom and not off & int(disable.mjDSBL_CONTACT))
        or (m.jnt_limited.any() and not off & int(disable.mjDSBL_LIMIT))
    )
    motors = (
        (m.actuator_trntype == int(mujoco.mjtTrn.mjTRN_JOINT)).all()
        and (m.actuator_gaintype == int(mujoco.mjtGain.mjGAIN_FIXED)).all()
        and (m.actuator_biastype == int(mujoco.mjtBias.mjBIAS_NONE)).all()
        and not (m.actuator_forcelimited.any() or m.jnt_actfrclimited.any())
    )
    forces = (m.dof_damping, m.jnt_stiffness, m.body_gravcomp, np.array([m.opt.density, m.opt.viscosity]))
    flags = int(disable.mjDSBL_GRAVITY) | int(disable.mjDSBL_ACTUATION)
    euler = int(m.opt.integrator) == int(mujoco.mjtIntegrator.mjINT_EULER)
    extras = m.na or m.ntendon or off & flags or any(force.any() for force in forces)
    return bool(simple and euler and motors and not (constrained or extras))


class StepDerivatives:
    """A (T, 2 nv, 2 nv), B (T, 2 nv, nu) of the steps from x (T, 2 nv) to x_next (T, 2 nv), for an eligible model.

    From M da = gear du - (d tau / dq) dq - (d tau / dv) dv with tau(q, v, a) of the inverse dynamics: exact, where
    mjd_transitionFD differences. Source: Singh, Russell, Wensing, "Efficient analytical derivatives of rigid-body
    dynamics using spatial vector algebra", RA-L 2022, equations (30) to (33), in the world's frame.
    """

    def __init__(self, model: mujoco.MjModel):
        self.model = model
        self._terms = dl.jit(self._recorded)
        self._gear = np.zeros((model.nv, model.nu))
        for i in range(model.nu):
            dof = int(model.jnt_dofadr[int(model.actuator_trnid[i, 0])])
            self._gear[dof, i] = model.actuator_gear[i, 0] * model.actuator_gainprm[i, 0]

    def __call__(self, x: np.ndarray, x_next: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n, T, h = self.model.nv, len(x), self.model.opt.timestep
        q, v = np.ascontiguousarray(x[:, :n]), np.ascontiguousarray(x[:, n:])
        flat = self._terms(q, v, (x_next[:, n:] - v) / h)
        by = np.moveaxis(flat.reshape(n, -1, T), -1, 0)  # of the acceleration, by q, v and u
        J = np.empty((T, 2, n, by.shape[2]))
        np.multiply(by, h, out=J[:, 1])
        J[:, 1, :, n : 2 * n] += np.eye(n)
        np.multiply(J[:, 1], h, out=J[:, 0])
        J[:, 0, :, :n] += np.eye(n)
        J = J.reshape(T, 2 * n, -1)
        return np.ascontiguousarray(J[:, :, : 2 * n]), np.ascontiguousarray(J[:, :, 2 * n :])

    def _recorded(self, q, v, a):
        """The derivatives (n (2 n + nu), T) of the acceleration by q, v and u, row by row."""
        m, n = self.model, self.model.nv
        nothing = 0.0 * q[..., 0]
        parts = [[part[..., i] for i in range(n)] for part in (q, v, a)]
        bodies = [Body(m, i) for i in range(m.nbody)]
        for body in bodies[1:]:
            body.move(bodies[int(m.body_parentid[body.index])], *parts)
        M, by_q, by_v = ([[0.0] * n for _ in range(n)] for _ in range(3))
        for body in reversed(bodies[1:]):
            if body.dof is not None:
                body.columns(M, by_q, by_v)
            body.gather()
        for i in range(n):
            M[i][i] = plus(M[i][i], float(m.dof_armature[i]))
        right = [scale(-1.0, by_q[i] + by_v[i]) + self._gear[i].tolist() for i in range(n)]
        flat = [entry for row in eliminate(M, right) for entry in row]
        return dl.stack([nothing + entry if isinstance(entry, NUMBERS) else entry for entry in flat], 0)


class Body:
    """One body: on the way out its pose, velocity, acceleration and inertia, on the way back those of its subtree.

    A new one is the world, at rest and accelerating against gravity.
    """

    def __init__(self, model, index: int):
        self.model, self.index, self.parent = model, index, self
        self.dof = int(model.body_dofadr[index]) if model.body_jntnum[index] else None
        self.R, self.p = np.eye(3).tolist(), [0.0] * 3
        self.v, self.a = [0.0] * 6, [0.0] * 3 + [-float(g) for g in model.opt.gravity]
        self.I, self.B, self.f = np.zeros((6, 6)).tolist(), np.zeros((6, 6)).tolist(), [0.0] * 6

    def move(self, parent: Body, q, v, a) -> None:
        m, i = self.model, self.index
        self.parent, self.v, self.a = parent, parent.v, parent.a
        self.R = multiply(parent.R, matrix(m.body_quat[i]))
        self.p = add(parent.p, apply(parent.R, m.body_pos[i]))
        if self.dof is not None:
            self._turn(q[self.dof], v[self.dof], a[self.dof])
        Q = matrix(m.body_iquat[i])
        about = multiply(multiply(self.R, Q @ np.diag(m.body_inertia[i]) @ Q.T), transpose(self.R))
        centre = add(self.p, apply(self.R, m.body_ipos[i]))
        self.I = inertia(float(m.body_mass[i]), about, centre)
        self.B = velocity_product(self.I, self.v)
        self.f = add(apply(self.I, self.a), cross_force(self.v, apply(self.I, self.v)))

    def _turn(self, q, v, a) -> None:
        m, parent = self.model, self.parent
        j = int(m.body_jntadr[self.index])
        z = apply(self.R, m.jnt_axis[j])
        q = q - float(m.qpos0[int(m.jnt_qposadr[j])])
        if int(m.jnt_type[j]) == int(mujoco.mjtJoint.mjJNT_SLIDE):
            self.S = [0.0] * 3 + z
            self.p = add(self.p, scale(q, z))
        else:
            anchor = add(self.p, apply(self.R, m.jnt_pos[j]))
            self.S = z + cross(anchor, z)
            self.R = multiply(self.R, turn(m.jnt_axis[j], q))
            self.p = add(anchor, apply(self.R, -m.jnt_pos[j]))
        self.psi1 = cross_motion(parent.v, self.S)
        self.psi2 = add(cross_motion(parent.a, self.S), cross_motion(parent.v, self.psi1))
        self.v = add(parent.v, scale(v, self.S))
        turning = cross_motion(self.v, self.S)
        self.a = add(add(parent.a, scale(a, self.S)), scale(v, turning))
        self.slope = add(self.psi1, turning)

    def gather(self) -> None:
        """Add the subtree to the parent's."""
        parent = self.parent
        parent.I = [add(x, y) for x, y in zip(parent.I, self.I, strict=True)]
        parent.B = [add(x, y) for x, y in zip(parent.B, self.B, strict=True)]
        parent.f = add(parent.f, self.f)

    def columns(self, M, by_q, by_v) -> None:
        """Entries of M, d tau / dq, d tau / dv for this joint and those that carry it, from the subtree's inertia."""
        I, B2, i = self.I, [scale(2.0, row) for row in self.B], self.dof
        IS, BtS = apply(I, self.S), apply(transpose(B2), self.S)
        to_v = add(apply(B2, self.S), apply(I, self.slope))
        to_q = add(add(apply(B2, self.psi1), apply(I, self.psi2)), cross_force(self.S, self.f))
        body = self
        while body.index:
            j = body.dof
            if j is not None:
                M[i][j] = M[j][i] = dot(body.S, IS)
                by_q[i][j] = plus(dot(IS, body.psi2), dot(BtS, body.psi1))
                by_v[i][j] = plus(dot(IS, body.slope), dot(BtS, body.S))
                if body is not self:
                    by_q[j][i], by_v[j][i] = dot(body.S, to_q), dot(body.S, to_v)
            body = body.parent


def matrix(quat) -> np.ndarray:
    R = np.empty(9)
    mujoco.mju_quat2Mat(R, np.asarray(quat, float))
    return R.reshape(3, 3).round(15)
