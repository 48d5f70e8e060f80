"""Terms of the equations of motion and the derivative of the discrete step of a Drake plant, in the suite's layout."""

import numpy as np
from pydrake.autodiffutils import InitializeAutoDiff
from pydrake.multibody.tree import MultibodyForces

from sims import lie
from sims.contact import Terms
from sims.drake_robot import Robot


def terms(robot: Robot, context, x: np.ndarray, u: np.ndarray, R: list[np.ndarray]) -> Terms:
    """Terms at x, u, which the plant's context already holds. vdot solves M vdot = tau - bias + passive + constraints.

    In a discrete plant the constraint force is that of the coming step, recovered from its change of velocity:
    f_c = (M + dt D) (v_next - v) / dt - (tau - bias + passive).
    """
    plant, layout = robot.plant, robot.layout
    M, bias, gravity = _rigid_body(plant, context)
    tau = robot.actuators.tau(x, u, R, context) if len(u) else np.zeros(layout.nv)
    v = np.array(plant.GetVelocities(context))
    force = layout.velocity_to_drake(tau, R) - bias + _passive(plant, context, gravity)
    if plant.time_step() == 0.0 and not robot.smooth:
        vdot = np.array(plant.EvalTimeDerivatives(context).get_generalized_velocity().CopyToVector())
    else:
        if not robot.smooth:
            dt = plant.time_step()
            v_next = plant.EvalUniquePeriodicDiscreteUpdate(context).value(0)[layout.nq_drake :]
            force = (M + dt * np.diag(robot.damping)) @ (v_next - v) / dt
        vdot = np.linalg.solve(M, force)
    E = layout.E(R)
    return Terms(E.T @ M @ E, E.T @ bias, E.T @ gravity, tau, layout.velocity_from_drake(vdot, R))


def _rigid_body(plant, context) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    M = np.array(plant.CalcMassMatrix(context))
    gravity = np.array(plant.CalcGravityGeneralizedForces(context))
    return M, np.array(plant.CalcBiasTerm(context)) - gravity, gravity


def _passive(plant, context, gravity: np.ndarray) -> np.ndarray:
    """Springs and joint damping (nv,), Drake's layout."""
    forces = MultibodyForces(plant)
    plant.CalcForceElementsContribution(context, forces)  # joint damping and gravity are in it
    return np.array(plant.CalcGeneralizedForces(context, forces)) - gravity


class Derivatives:
    """A, B of the discrete update by Drake's AutoDiff through the suite's layout; no contact, limits, balls."""

    def __init__(self, robot: Robot):
        self._robot = robot
        self._plant = robot.plant.ToAutoDiffXd()
        self._context = self._plant.CreateDefaultContext()
        self._port = self._plant.get_applied_generalized_force_input_port()

    def __call__(self, x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A (ndx, ndx), B (ndx, nu) at x (nx,), u (nu,)."""
        layout, nv = self._robot.layout, self._robot.layout.nv
        R = layout.rotation_matrices(x)
        x_drake = layout.to_drake(x, R)
        seed = self._seed(x, x_drake, len(u), R)
        self._plant.SetPositionsAndVelocities(self._context, InitializeAutoDiff(x_drake, seed)[:, 0])
        if len(u):
            tau, dtau = self._tau(x, u, R)
            self._port.FixValue(self._context, InitializeAutoDiff(tau, dtau)[:, 0])
        update = self._plant.EvalUniquePeriodicDiscreteUpdate(self._context).value(0)[layout.nq_drake :]
        v = np.array([c.value() for c in update])
        dv = np.array([c.derivatives() if len(c.derivatives()) else np.zeros(seed.shape[1]) for c in update])
        J = self._suite(v, dv, R)
        return J[:, : 2 * nv], J[:, 2 * nv :]

    def _seed(self, x: np.ndarray, x_drake: np.ndarray, nu: int, R: list[np.ndarray]) -> np.ndarray:
        """d [q, v]_drake / d [dq, dv, du]."""
        layout, nv = self._robot.layout, self._robot.layout.nv
        seed = np.zeros((len(x_drake), 2 * nv + nu))
        _, drake = layout.additive
        seed[drake, layout.additive_tangent] = 1.0
        seed[layout.nq_drake :, nv : 2 * nv] = layout.E(R)
        for b, (quat, w, w_drake), R_k in zip(layout.free, layout.rotations, R, strict=True):
            unit = x[quat] / np.linalg.norm(x[quat])
            basis = np.concatenate([np.zeros((3, 1)), 0.5 * np.eye(3)], axis=1)
            seed[b.q_drake : b.q_drake + 4, w] = lie.quat_multiply(unit, basis).T
            omega = x[layout.nq :][w]
            seed[layout.nq_drake + w_drake.start : layout.nq_drake + w_drake.stop, w] = -R_k @ lie.hat(omega)
        return seed

    def _tau(self, x: np.ndarray, u: np.ndarray, R: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The generalised force in Drake's layout and its derivative."""
        layout, actuators = self._robot.layout, self._robot.actuators
        tau = actuators.tau(x, u, R, None)
        d = layout.E(R) @ actuators.derivatives(x, u, R)
        for (_, w, w_drake), R_k in zip(layout.rotations, R, strict=True):
            d[w_drake, w] -= R_k @ lie.hat(tau[w])
        return layout.velocity_to_drake(tau, R), d

    def _suite(self, v_drake: np.ndarray, dv_drake: np.ndarray, R: list[np.ndarray]) -> np.ndarray:
        """d [dq, dv] after the step / d [dq, dv, du] before it, from Drake's next velocity and its derivative."""
        layout, nv, dt = self._robot.layout, self._robot.layout.nv, self._robot.dt
        v = layout.velocity_from_drake(v_drake, R)
        dv = layout.E(R).T @ dv_drake
        for _, w, _ in layout.rotations:  # omega_B+ = R' omega_W+
            dv[w, w] += lie.hat(v[w])
        dq = dt * dv
        dq[:, :nv] += np.eye(nv)
        for _, w, _ in layout.rotations:  # log(exp(-phi) exp(dq) exp(phi + dphi)), phi = dt omega_B+
            phi = dt * v[w]
            dq[w] = dt * right_jacobian(phi) @ dv[w]
            dq[w, w] += lie.so3_exp(-phi)
        return np.concatenate([dq, dv])


def right_jacobian(w: np.ndarray) -> np.ndarray:
    """Jr (3, 3) with exp(w + dw) = exp(w) exp(Jr dw) (Sola et al., 2018, equation 143)."""
    angle, W = float(np.linalg.norm(w)), lie.hat(w)
    if angle < 1e-4:
        return np.eye(3) - W / 2 + W @ W / 6
    return np.eye(3) - (1 - np.cos(angle)) / angle**2 * W + (angle - np.sin(angle)) / angle**3 * W @ W
