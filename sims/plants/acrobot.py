"""Two links, the elbow driven."""

from dataclasses import dataclass

import numpy as np

from sims import manipulator
from sims.plants import two_link
from sims.system import System, stack


@dataclass(frozen=True)
class Acrobot(System):
    """M(q) vdot + C(q, v) v = tau_g(q) - D v + [0, u]: a double pendulum with a motor at the elbow only.

    x = [theta1, theta2 [rad], theta1dot, theta2dot [rad/s]], theta1 = 0 hanging, theta2 relative to link 1, both
    counter-clockwise; u = [elbow torque [N m]], |u| <= torque_limit. Links of mass m [kg], length l [m] (l2 enters no
    equation; it is there to be drawn), centre of mass at lc [m], inertia Ic about it [kg m^2]; joint damping b
    [N m s/rad]; g [m/s^2]. Source: Tedrake, Underactuated Robotics, chapter 3; Drake's AcrobotPlant defaults.
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

    nx, nu, nq, nv = 4, 1, 2, 2
    x_names = ("theta1", "theta2", "theta1_dot", "theta2_dot")
    u_names = ("elbow_torque",)

    @property
    def u_max(self) -> np.ndarray:
        return np.array([self.torque_limit])

    @property
    def damping(self) -> np.ndarray:
        return np.array([self.b1, self.b2])

    def f(self, x, u):
        return stack([x[..., 2], x[..., 3], *two_link.vdot(self, x, 0.0, u[..., 0], 0.0)])

    def acceleration(self, x, u, dt):
        return stack(two_link.vdot(self, x, 0.0, u[..., 0], dt))

    def M(self, q):
        return two_link.mass_matrix(self, q)

    def C(self, q, v):
        return two_link.coriolis(self, q, v)

    def tau_g(self, q):
        return two_link.gravity(self, q)

    def B(self, q):
        return np.array([[0.0], [1.0]])

    def potential(self, q):
        return two_link.potential(self, q)

    def energy(self, x):
        """Kinetic plus potential energy (...) [J], zero at rest with both links level."""
        return manipulator.energy(self, x)
