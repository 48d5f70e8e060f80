"""MuJoCo's stateless actuators as generalised forces for a Drake plant.

    force = clip(gain(l, ldot) u + bias(l, ldot), forcerange),  gain and bias affine,  tau = B(q) force

l, ldot: transmission length and its rate. Joint and fixed-tendon transmissions have a constant B; a site transmission
is a wrench fixed to a body. Source: MuJoCo's manual, "Computation: Actuation model".
"""

import mujoco
import numpy as np
from pydrake.multibody.tree import JacobianWrtVariable

from sims import lie
from sims.drake_build import FREE, Built
from sims.drake_check import disabled, why_not
from sims.drake_geometry import pose
from sims.drake_layout import Layout


class Actuators:
    """tau(q, v, u) in the suite's layout for the actuators of m that drake_check accepts; others give no force.

    constant: B does not depend on the state; differentiable: `derivatives` covers what there is.
    """

    def __init__(self, m: mujoco.MjModel, built: Built, layout: Layout):
        n = m.nactuator
        self.nv, self._built, self._layout = m.nv, built, layout
        self.B = np.zeros((m.nv, n))  # the constant part
        self.length_of = np.zeros((n, m.nq))  # l = length_of q, for 1-dof transmissions
        self._length_dof = np.zeros((n, m.nv))  # the same, over velocities
        self.sites: list[tuple[int, int, np.ndarray]] = []  # actuator, body, wrench [t, f] in B at Bo
        self.on_base: dict[int, np.ndarray] = {}  # first dof of a floating base -> forces (3, n) in B; torques are in B
        self.gain, self.bias = np.zeros((n, 3)), np.zeros((n, 3))
        self.ctrl = np.array([m.actuator_ctrladr[i] for i in range(n)], int)
        inf = np.full(n, np.inf)
        limited = m.actuator_forcelimited.astype(bool)
        self.force_min = np.where(limited, m.actuator_forcerange[:, 0], -inf)
        self.force_max = np.where(limited, m.actuator_forcerange[:, 1], inf)
        self._set_joint_limits(m)
        for i in range(n):
            if self._alive(m, i):
                self._add(m, i)
        self.constant = not (self.sites or self.on_base)
        self._feedback = bool(self.bias[:, 1:].any() or self.gain[:, 1:].any())
        self._plain = not (self.bias.any() or self._feedback)
        self.pure = self._plain and self.constant and not limited.any() and self._joint_limit is None
        self._gained_B = self.B * self.gain[:, 0]
        self.differentiable = not self.sites and (self.constant or not self._feedback)

    def _set_joint_limits(self, m: mujoco.MjModel) -> None:
        self._joint_limit = None
        if not m.jnt_actfrclimited.any():
            return
        low, high = np.full(m.nv, -np.inf), np.full(m.nv, np.inf)
        for j in np.flatnonzero(m.jnt_actfrclimited):
            dofs = slice(m.jnt_dofadr[j], m.jnt_dofadr[j] + (1 if int(m.jnt_type[j]) >= 2 else 3))
            low[dofs], high[dofs] = m.jnt_actfrcrange[j]
        self._joint_limit = low, high

    @staticmethod
    def _alive(m: mujoco.MjModel, i: int) -> bool:
        group = int(m.actuator_group[i])
        off = 0 <= group <= 30 and m.opt.disableactuator >> group & 1
        static = int(m.actuator_dyntype[i]) == int(mujoco.mjtDyn.mjDYN_NONE)
        return not (disabled(m, mujoco.mjtDisableBit.mjDSBL_ACTUATION) or off) and static and not why_not(m, i)

    def _add(self, m: mujoco.MjModel, i: int) -> None:
        trn, kind, target, gear = mujoco.mjtTrn, int(m.actuator_trntype[i]), m.actuator_trnid[i, 0], m.actuator_gear[i]
        affine_gain = int(m.actuator_gaintype[i]) == int(mujoco.mjtGain.mjGAIN_AFFINE)
        self.gain[i, : 3 if affine_gain else 1] = m.actuator_gainprm[i, : 3 if affine_gain else 1]
        if int(m.actuator_biastype[i]) == int(mujoco.mjtBias.mjBIAS_AFFINE):
            self.bias[i] = m.actuator_biasprm[i, :3]
        if kind == int(trn.mjTRN_SITE):
            self._add_site(m, i, target, np.array(gear))
        elif kind == int(trn.mjTRN_TENDON):
            adr = m.tendon_adr[target]
            for w in range(adr, adr + m.tendon_num[target]):
                j, coefficient = m.wrap_objid[w], m.wrap_prm[w]
                self.B[m.jnt_dofadr[j], i] += gear[0] * coefficient
                self.length_of[i, m.jnt_qposadr[j]] += gear[0] * coefficient
                self._length_dof[i, m.jnt_dofadr[j]] += gear[0] * coefficient
        else:
            size = {FREE: 6, int(mujoco.mjtJoint.mjJNT_BALL): 3}.get(int(m.jnt_type[target]), 1)
            self.B[m.jnt_dofadr[target] : m.jnt_dofadr[target] + size, i] = gear[:size]
            if size == 1:
                self.length_of[i, m.jnt_qposadr[target]] = gear[0]
                self._length_dof[i, m.jnt_dofadr[target]] = gear[0]

    def _add_site(self, m: mujoco.MjModel, i: int, site: int, gear: np.ndarray) -> None:
        body = int(m.site_bodyid[site])
        X = pose(m.site_pos[site], m.site_quat[site])
        f = X.rotation().matrix() @ gear[:3]
        t = X.rotation().matrix() @ gear[3:] + np.cross(X.translation(), f)
        joint = m.body_jntadr[body]
        if joint >= 0 and int(m.jnt_type[joint]) == FREE:
            dof = int(m.jnt_dofadr[joint])
            self.on_base.setdefault(dof, np.zeros((3, m.nactuator)))[:, i] = f
            self.B[dof + 3 : dof + 6, i] = t
        else:
            self.sites.append((i, body, np.r_[t, f]))

    def moment(self, R: list[np.ndarray], context) -> np.ndarray:
        """B (nv, n actuators) at the state that the plant's context holds (only read where there are sites)."""
        if self.constant:
            return self.B
        B = self.B.copy()
        for (_, w, _), R_k in zip(self._layout.rotations, R, strict=True):
            if w.start - 3 in self.on_base:
                B[w.start - 3 : w.start] += R_k @ self.on_base[w.start - 3]
        plant = self._built.plant
        for i, body, wrench in self.sites:
            frame = self._built.bodies[body].body_frame()
            J = plant.CalcJacobianSpatialVelocity(
                context, JacobianWrtVariable.kV, frame, np.zeros(3), plant.world_frame(), frame
            )
            B[:, i] += self._layout.velocity_from_drake(J.T @ wrench, R)
        return B

    def tau(self, x: np.ndarray, u: np.ndarray, R: list[np.ndarray], context) -> np.ndarray:
        """Generalised actuator force (nv,) in the suite's layout at x (nx,), u (nu,)."""
        if self.pure:
            return self._gained_B @ u[self.ctrl]
        B = self.moment(R, context)
        tau = B @ np.minimum(np.maximum(self._force(x, u, B)[0], self.force_min), self.force_max)
        return tau if self._joint_limit is None else np.clip(tau, *self._joint_limit)

    def _force(self, x: np.ndarray, u: np.ndarray, B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The forces (n,) before clipping, and the gain (n,) that multiplies u."""
        if self._plain:
            return self.gain[:, 0] * u[self.ctrl], self.gain[:, 0]
        q, v = x[: len(x) - self.nv], x[len(x) - self.nv :]
        length, rate = self.length_of @ q, v @ B
        gain = self.gain[:, 0] + self.gain[:, 1] * length + self.gain[:, 2] * rate
        return gain * u[self.ctrl] + self.bias[:, 0] + self.bias[:, 1] * length + self.bias[:, 2] * rate, gain

    def derivatives(self, x: np.ndarray, u: np.ndarray, R: list[np.ndarray]) -> np.ndarray:
        """d tau / d [dq, dv, du] (nv, 2 nv + nu), dq in the tangent space; only where `differentiable`.

        A clipped force has derivative zero. A base's force turns with it: d(R f) = -R hat(f) dtheta.
        """
        nv, nu = self.nv, len(u)
        B = self.moment(R, None)
        force, gain = self._force(x, u, B)
        inside = (force > self.force_min) & (force < self.force_max)
        command = u[self.ctrl]
        dF = np.zeros((len(force), 2 * nv + nu))
        dF[:, :nv] = (self.gain[:, 1] * command + self.bias[:, 1])[:, None] * self._length_dof
        dF[:, nv : 2 * nv] = (self.gain[:, 2] * command + self.bias[:, 2])[:, None] * B.T
        dF[np.arange(len(force)), 2 * nv + self.ctrl] = gain
        out = B @ (dF * inside[:, None])
        clipped = np.clip(force, self.force_min, self.force_max)
        for (_, w, _), R_k in zip(self._layout.rotations, R, strict=True):
            if w.start - 3 in self.on_base:
                out[w.start - 3 : w.start, w] -= R_k @ lie.hat(self.on_base[w.start - 3] @ clipped)
        if self._joint_limit is not None:
            tau = B @ clipped
            out[(tau <= self._joint_limit[0]) | (tau >= self._joint_limit[1])] = 0.0
        return out
