"""Two links, both joints driven."""

from dataclasses import dataclass

import numpy as np

from sims import manipulator
from sims.plants import two_link
from sims.system import System, stack


@dataclass(frozen=True)
class DoublePendulum(System):
    """M(q) vdot + C(q, v) v = tau_g(q) - D v + u: two links with a motor at either joint.

    x = [theta1, theta2 [rad], theta1dot, theta2dot [rad/s]], theta1 = 0 hanging, theta2 relative to link 1, both
    counter-clockwise; u = [shoulder, elbow torque [N m]], |u| <= torque_limit; m, l, lc, Ic, b, g as in Acrobot, and
    the same defaults. Source: Tedrake, Underactuated Robotics, appendix B, "double pendulum".
    """

    m1: float = 1.0
    m2: float = 1.0
    l1: float = 1.0
    l2: float = 2.0
    lc1: float = 0.5
    lc2: float = 1.0
    Ic1: float = 0.083
    Ic2: float = 0.33
    b1: float = 0.1
    b2: float = 0.1
    g: float = 9.81
    torque_limit: float = np.inf

    nx, nu, nq, nv = 4, 2, 2, 2
    x_names = ("theta1", "theta2", "theta1_dot", "theta2_dot")
    u_names = ("shoulder_torque", "elbow_torque")

    @property
    def u_max(self) -> np.ndarray:
        return np.full(2, self.torque_limit)

    @property
    def damping(self) -> np.ndarray:
        return np.array([self.b1, self.b2])

    def f(self, x, u):
        return stack([x[..., 2], x[..., 3], *two_link.vdot(self, x, u[..., 0], u[..., 1], 0.0)])

    def acceleration(self, x, u, dt):
        return stack(two_link.vdot(self, x, u[..., 0], u[..., 1], dt))

    def M(self, q):
        return two_link.mass_matrix(self, q)

    def C(self, q, v):
        return two_link.coriolis(self, q, v)

    def tau_g(self, q):
        return two_link.gravity(self, q)

    def B(self, q):
        return np.eye(2)

    def potential(self, q):
        return two_link.potential(self, q)

    def energy(self, x):
        """Kinetic plus potential energy (...) [J], zero at rest with both links level."""
        return manipulator.energy(self, x)
