"""A robot that balances on a ball, in the vertical plane."""

from dataclasses import dataclass

import numpy as np

from sims import manipulator
from sims.system import System, stack


@dataclass(frozen=True)
class Ballbot(System):
    """(m_ball + m_bot + I_ball/r^2) xdd + m_bot l (thetadd cos theta - thetad^2 sin theta) = -u/r,
    m_bot l xdd cos theta + (I_bot + m_bot l^2) thetadd - m_bot g l sin theta = u.

    x = [x [m], theta [rad], xdot [m/s], thetadot [rad/s]]: position of the ball, lean of the bot, 0 upright, positive
    towards +x. The ball rolls without slipping, so its angle is x / r and no state. u = [torque of the ball on the bot
    [N m]], |u| <= torque_limit; the ball feels -u. Masses [kg], inertias about the centres of mass [kg m^2], radius of
    the ball r [m], l [m] from the ball's centre to the bot's centre of mass, g [m/s^2].
    Source: Lauwers, Kantor and Hollis, A dynamically stable single-wheeled mobile robot with inverse mouse-ball drive,
    2006; parameters of Underactuated Robotics, chapter 8, ballbot.
    """

    m_ball: float = 5.0
    I_ball: float = 0.02
    r: float = 0.1
    m_bot: float = 4.0
    I_bot: float = 0.018
    l: float = 0.05
    g: float = 9.81
    torque_limit: float = np.inf

    nx, nu, nq, nv = 4, 1, 2, 2
    x_names = ("x", "theta", "x_dot", "theta_dot")
    u_names = ("torque",)

    @property
    def u_max(self) -> np.ndarray:
        return np.array([self.torque_limit])

    @property
    def damping(self) -> np.ndarray:
        return np.zeros(2)

    def f(self, x, u):
        return stack([x[..., 2], x[..., 3], *self._vdot(x, u)])

    def acceleration(self, x, u, dt):
        return stack(self._vdot(x, u))

    def _vdot(self, x, u):
        theta, omega, tau = x[..., 1], x[..., 3], u[..., 0]
        s = np.sin(theta)
        m11, m22 = self._inertias()
        ml = self.m_bot * self.l
        m12 = ml * np.cos(theta)
        force, torque = ml * s * (omega * omega) - tau / self.r, ml * self.g * s + tau
        det = m11 * m22 - m12 * m12
        return [(m22 * force - m12 * torque) / det, (m11 * torque - m12 * force) / det]

    def _inertias(self):
        rolling = self.I_ball / (self.r * self.r)
        return self.m_ball + self.m_bot + rolling, self.I_bot + self.m_bot * self.l * self.l

    def M(self, q):
        m11, m22 = self._inertias()
        m12 = self.m_bot * self.l * np.cos(q[..., 1])
        return stack([[m11 + 0.0 * m12, m12], [m12, m22 + 0.0 * m12]])

    def C(self, q, v):
        c12 = -self.m_bot * self.l * np.sin(q[..., 1]) * v[..., 1]
        return stack([[0.0 * c12, c12], [0.0 * c12, 0.0 * c12]])

    def tau_g(self, q):
        torque = self.m_bot * self.g * self.l * np.sin(q[..., 1])
        return stack([0.0 * torque, torque])

    def B(self, q):
        return np.array([[-1.0 / self.r], [1.0]])

    def potential(self, q):
        return self.m_bot * self.g * self.l * np.cos(q[..., 1])

    def energy(self, x):
        """Kinetic plus potential energy (...) [J], zero at rest with the bot level."""
        return manipulator.energy(self, x)
