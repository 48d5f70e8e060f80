"""A pole on a cart."""

from dataclasses import dataclass

import numpy as np

from sims import manipulator
from sims.system import System, stack


@dataclass(frozen=True)
class CartPole(System):
    """(mc + mp) xdd + mp l (thetadd cos theta - thetad^2 sin theta) + b_cart xd = u,
    mp l xdd cos theta + mp l^2 thetadd + mp g l sin theta + b_pole thetad = 0; theta = 0 hanging, counter-clockwise.

    x = [x [m], theta [rad], xdot [m/s], thetadot [rad/s]], u = [force on the cart [N]], |u| <= force_limit; cart mc and
    point mass mp [kg] at l [m], damping b_cart [N s/m] and b_pole [N m s/rad], g [m/s^2].
    Source: Tedrake, Underactuated Robotics, chapter 3, "Cart-Pole", with the parameters of its cartpole.urdf.
    """

    mc: float = 10.0
    mp: float = 1.0
    l: float = 0.5
    b_cart: float = 0.0
    b_pole: float = 0.0
    g: float = 9.81
    force_limit: float = np.inf

    nx, nu, nq, nv = 4, 1, 2, 2
    x_names = ("x", "theta", "x_dot", "theta_dot")
    u_names = ("force",)

    @property
    def u_max(self) -> np.ndarray:
        return np.array([self.force_limit])

    @property
    def damping(self) -> np.ndarray:
        return np.array([self.b_cart, self.b_pole])

    def f(self, x, u):
        return stack([x[..., 2], x[..., 3], *self._vdot(x, u, 0.0)])

    def acceleration(self, x, u, dt):
        return stack(self._vdot(x, u, dt))

    def _vdot(self, x, u, dt):
        theta, v, omega = x[..., 1], x[..., 2], x[..., 3]
        s, c = np.sin(theta), np.cos(theta)
        ml = self.mp * self.l
        m11, m12, m22 = self.mc + self.mp + dt * self.b_cart, ml * c, ml * self.l + dt * self.b_pole
        force = u[..., 0] + ml * s * (omega * omega) - self.b_cart * v
        torque = -ml * self.g * s - self.b_pole * omega
        det = m11 * m22 - m12 * m12
        return [(m22 * force - m12 * torque) / det, (m11 * torque - m12 * force) / det]

    def M(self, q):
        m12 = self.mp * self.l * np.cos(q[..., 1])
        return stack([[self.mc + self.mp + 0.0 * m12, m12], [m12, self.mp * self.l**2 + 0.0 * m12]])

    def C(self, q, v):
        c12 = -self.mp * self.l * np.sin(q[..., 1]) * v[..., 1]
        return stack([[0.0 * c12, c12], [0.0 * c12, 0.0 * c12]])

    def tau_g(self, q):
        gravity = -self.mp * self.g * self.l * np.sin(q[..., 1])
        return stack([0.0 * gravity, gravity])

    def B(self, q):
        return np.array([[1.0], [0.0]])

    def potential(self, q):
        return -self.mp * self.g * self.l * np.cos(q[..., 1])

    def energy(self, x):
        """Kinetic plus potential energy (...) [J], zero at rest with the pole level."""
        return manipulator.energy(self, x)
