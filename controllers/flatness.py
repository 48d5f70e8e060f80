"""Quadrotors as differentially flat systems: state and thrusts from the path, and tracking control of it."""

from typing import Protocol

import numpy as np

from sims import lie
from sims.plants import PlanarQuadrotor, Quadrotor, rotors
from sims.policy import Controller


class FlatReference(Protocol):
    """derivatives(t, order) -> (order + 1, n): the flat outputs and their derivatives at t [s]; see reference.py."""

    def derivatives(self, t, order: int) -> np.ndarray: ...


def planar_quadrotor_flat(plant: PlanarQuadrotor, y) -> tuple[np.ndarray, np.ndarray]:
    """State x (..., 6) and thrusts u (..., 2) [N] of the planar quadrotor whose position does what y says.

    y (..., 5, 2): [x, y] [m] and its derivatives up to the fourth. The thrust m (a + g) fixes theta, its second
    derivative the moment. Singular where the thrust is zero, a = -g. Source: Tedrake, Underactuated Robotics, chapter
    10, "Differential flatness"; Mellinger, Michael and Kumar, 2010.
    """
    y = np.asarray(y, float)
    p, v, a, jerk, snap = (y[..., i, :] for i in range(5))
    theta, rate, acceleration, force = _planar_attitude(a + np.array([0.0, plant.g]), jerk, snap)
    total, moment = plant.m * force, plant.I * acceleration / plant.r
    x = np.concatenate([p, theta[..., None], v, rate[..., None]], axis=-1)
    return x, np.stack([(total + moment) / 2, (total - moment) / 2], axis=-1)


def quadrotor_flat(plant: Quadrotor, y) -> tuple[np.ndarray, np.ndarray]:
    """State x (..., 13) and thrusts u (..., 4) of the quadrotor whose position and yaw do what y says.

    y (..., 5, 4): [x, y, z [m], yaw [rad]] and its derivatives up to the fourth (yaw: second). yaw is that
    of roll, pitch, yaw (lie.quat_from_rpy). Singular where the thrust is zero or level, at right angles to the yaw.
    Source: Mellinger and Kumar, "Minimum snap trajectory generation and control for quadrotors", ICRA 2011, section
    III, there with the yaw of the order z-x-y.
    """
    y = np.asarray(y, float)
    p, v, a, jerk, snap = (y[..., i, :3] for i in range(5))
    F = [a + np.array([0.0, 0.0, plant.g]), jerk, snap]
    R, omega, omegadot = attitude_flat(F, [y[..., i, 3] for i in range(3)])
    I = np.array(plant.I)
    thrust = plant.m * np.linalg.norm(F[0], axis=-1)
    moment = I * omegadot + cross(omega, I * omega)
    x = np.concatenate([p, lie.quat_from_matrix(R), v, omega], axis=-1)
    return x, allocate(plant, thrust, moment)


def attitude_flat(F, yaw) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R_WB (..., 3, 3), omega_WB_B and its derivative (..., 3) of a body whose z axis points along F.

    F: [F, Fdot, Fddot], each (..., 3), F not zero; yaw: [yaw, yawdot, yawddot], each (...) [rad]. Body x is normal to F
    and to [-sin yaw, cos yaw, 0]. The derivatives come from Rdot = R hat(omega), in closed form.
    """
    z = _unit(F)
    c, s = np.cos(yaw[0]), np.sin(yaw[0])
    ahead, left = _rows(c, s, 0.0 * c), _rows(-s, c, 0.0 * c)
    rate, acceleration = yaw[1][..., None], yaw[2][..., None]
    left_and_derivatives = [left, -rate * ahead, -acceleration * ahead - rate**2 * left]
    body_x = _unit(_cross(left_and_derivatives, z))
    body_y = _cross(z, body_x)
    R, dR, ddR = (np.stack([body_x[i], body_y[i], z[i]], axis=-1) for i in range(3))
    transposed = np.swapaxes(R, -1, -2)
    omega = _vee(transposed @ dR)
    return R, omega, _vee(transposed @ ddR)  # R'Rddot = hat(omega)^2 + hat(omegadot): the first part is symmetric


def allocate(plant: Quadrotor, thrust, moment) -> np.ndarray:
    """The inputs u (..., 4) for a thrust (...) [N] along body z and moments (..., 3) [N m] about the body axes."""
    wrench = np.concatenate([np.asarray(thrust)[..., None], moment], axis=-1)
    mixer = np.vstack([np.full(4, plant.kF), rotors.moment_map(plant)])
    return wrench @ np.linalg.inv(mixer).T


class PlanarQuadrotorTracking(Controller):
    """Follow a path with a planar quadrotor: thrust along the body for the position, moment for the attitude it needs.

    F = a_r + g + kv (v_r - v) + kp (p_r - p); thrust m F . n with n the body's normal; theta_c is F's direction and
    thetadd = thetadd_c + k_omega (thetad_c - thetad) + k_theta sin(theta_c - theta), where the derivatives of theta_c
    hold those of the feedback, from the model. reference.derivatives(t, 4) (5, 2): [x, y] [m]; gains kp [1/s^2], kv
    [1/s], k_theta [1/s^2], k_omega [1/s]. Inputs are not clipped. Source: Lee, Leok and McClamroch, 2010, in the plane.
    """

    def __init__(
        self, plant: PlanarQuadrotor, reference: FlatReference, *, kp=16.0, kv=8.0, k_theta=400.0, k_omega=40.0
    ):
        self.plant, self.reference = plant, reference
        self.kp, self.kv, self.k_theta, self.k_omega = kp, kv, k_theta, k_omega

    def __call__(self, x, t: float):
        x, plant, reference = np.asarray(x, float), self.plant, self.reference.derivatives(t, 4)
        p, theta, v, rate = x[..., :2], x[..., 2], x[..., 3:5], x[..., 5]
        n = np.stack([-np.sin(theta), np.cos(theta)], axis=-1)
        dn = rate[..., None] * np.stack([-np.cos(theta), -np.sin(theta)], axis=-1)
        F, lift = _commanded_force(reference, p, v, n, dn, np.array([0.0, plant.g]), self.kp, self.kv)
        theta_c, rate_c, acceleration_c, _ = _planar_attitude(*F)
        error = np.sin(theta_c - theta)
        moment = plant.I * (acceleration_c + self.k_omega * (rate_c - rate) + self.k_theta * error) / plant.r
        total = plant.m * lift
        return np.stack([(total + moment) / 2, (total - moment) / 2], axis=-1)


class QuadrotorTracking(Controller):
    """Follow position and yaw with a quadrotor: the geometric controller on SE(3).

    F = a_r + g + kv (v_r - v) + kp (p_r - p); thrust m F . R e_z; the commanded R_c has its z axis along F and the yaw
    of the reference; with e_R = vee(R_c'R - R'R_c) / 2, e_w = omega - R'R_c omega_c,
    moment = I (-k_R e_R - k_omega e_w + d/dt of R'R_c omega_c) + omega x I omega. omega_c and its derivative hold those
    of the feedback, from the model. reference.derivatives(t, 4) (5, 4): [x, y, z [m], yaw [rad]]. Gains kp [1/s^2],
    kv [1/s], k_R [1/s^2], k_omega [1/s]. Converges from every attitude error below a half turn; inputs are not clipped.
    Source: Lee, Leok and McClamroch, "Geometric tracking control of a quadrotor UAV on SE(3)", CDC 2010, equations
    (15) and (16), with the gains scaled by mass and inertia.
    """

    def __init__(self, plant: Quadrotor, reference: FlatReference, *, kp=16.0, kv=8.0, k_R=400.0, k_omega=40.0):
        self.plant, self.reference = plant, reference
        self.kp, self.kv, self.k_R, self.k_omega = kp, kv, k_R, k_omega

    def __call__(self, x, t: float):
        x, plant, y = np.asarray(x, float), self.plant, self.reference.derivatives(t, 4)
        p, v, omega = x[..., :3], x[..., 7:10], x[..., 10:13]
        R = lie.quat_to_matrix(x[..., 3:7])
        Rt = np.swapaxes(R, -1, -2)
        n, dn = R[..., :, 2], times(R, cross(omega, np.array([0.0, 0.0, 1.0])))
        F, lift = _commanded_force(y[:, :3], p, v, n, dn, np.array([0.0, 0.0, plant.g]), self.kp, self.kv)
        Rc, omega_c, omegadot_c = attitude_flat(F, list(y[:3, 3]))
        RtRc = Rt @ Rc
        e_R = 0.5 * _vee(np.swapaxes(RtRc, -1, -2) - RtRc)
        turned = times(RtRc, omega_c)
        feedforward = times(RtRc, omegadot_c) - cross(omega, turned)
        I = np.array(plant.I)
        moment = I * (feedforward - self.k_R * e_R - self.k_omega * (omega - turned)) + cross(omega, I * omega)
        return allocate(plant, plant.m * lift, moment)


def cross(a, b) -> np.ndarray:
    """a x b (..., 3), with less overhead than np.cross for single vectors."""
    ax, ay, az, bx, by, bz = (v[..., i] for v in (a, b) for i in range(3))
    return _rows(ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)


def times(A, b) -> np.ndarray:
    """A b for A (..., m, n), b (..., n)."""
    return (A @ b[..., None])[..., 0]


def _commanded_force(y, p, v, n, dn, g, kp: float, kv: float):
    """[F, Fdot, Fddot] of the commanded specific force and the lift F . n, for a body whose thrust axis is n, ndot dn.

    With the thrust F . n the model gives a = (F . n) n - g and the jerk: the feedback can be differentiated twice.
    """
    F = y[2] + g + kv * (y[1] - v) + kp * (y[0] - p)
    lift = (F * n).sum(-1, keepdims=True)
    a = lift * n - g
    dF = y[3] + kv * (y[2] - a) + kp * (y[1] - v)
    jerk = ((dF * n).sum(-1, keepdims=True) + (F * dn).sum(-1, keepdims=True)) * n + lift * dn
    ddF = y[4] + kv * (y[3] - jerk) + kp * (y[2] - a)
    return [F, dF, ddF], lift[..., 0]


def _planar_attitude(F, dF, ddF):
    """theta, thetadot, thetadd, |F| (...) of F = |F| [-sin theta, cos theta], from F and two derivatives (..., 2)."""
    square = (F * F).sum(-1)
    turn = F[..., 0] * dF[..., 1] - F[..., 1] * dF[..., 0]
    rate = turn / square
    growth = 2 * (F * dF).sum(-1)
    acceleration = (F[..., 0] * ddF[..., 1] - F[..., 1] * ddF[..., 0] - rate * growth) / square
    return np.arctan2(-F[..., 0], F[..., 1]), rate, acceleration, np.sqrt(square)


def _unit(F) -> list[np.ndarray]:
    """F / |F| and its two derivatives, from [F, Fdot, Fddot]."""
    length = np.linalg.norm(F[0], axis=-1, keepdims=True)
    z = F[0] / length
    dlength = (z * F[1]).sum(-1, keepdims=True)
    dz = (F[1] - z * dlength) / length
    ddlength = (dz * F[1] + z * F[2]).sum(-1, keepdims=True)
    return [z, dz, (F[2] - 2 * dz * dlength - z * ddlength) / length]


def _cross(a, b) -> list[np.ndarray]:
    """a x b and its two derivatives."""
    return [
        cross(a[0], b[0]),
        cross(a[1], b[0]) + cross(a[0], b[1]),
        cross(a[2], b[0]) + 2 * cross(a[1], b[1]) + cross(a[0], b[2]),
    ]


def _vee(W) -> np.ndarray:
    """The vector (..., 3) of the skew part of W (..., 3, 3)."""
    pairs = ((2, 1), (0, 2), (1, 0))
    return 0.5 * np.stack([W[..., i, j] - W[..., j, i] for i, j in pairs], axis=-1)


def _rows(*components) -> np.ndarray:
    return np.array(components) if not np.ndim(components[0]) else np.stack(components, axis=-1)
