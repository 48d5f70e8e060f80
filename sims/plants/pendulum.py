"""The damped, torque-limited simple pendulum."""

from dataclasses import dataclass

import numpy as np

from sims import manipulator
from sims.system import System, stack


@dataclass(frozen=True)
class Pendulum(System):
    """m l^2 thetadd + b thetad + m g l sin(theta) = u, theta = 0 hanging, positive counter-clockwise.

    x = [theta [rad], thetadot [rad/s]], u = [torque [N m]], |u| <= torque_limit; point mass m [kg] at l [m], damping
    b [N m s/rad], g [m/s^2]. Source: Tedrake, Underactuated Robotics, chapter 2; Drake's PendulumPlant defaults.
    """

    m: float = 1.0
    l: float = 0.5
    b: float = 0.1
    g: float = 9.81
    torque_limit: float = np.inf

    nx, nu, nq, nv = 2, 1, 1, 1
    x_names = ("theta", "theta_dot")
    u_names = ("torque",)

    @property
    def u_max(self) -> np.ndarray:
        return np.array([self.torque_limit])

    @property
    def damping(self) -> np.ndarray:
        return np.array([self.b])

    def f(self, x, u):
        q, v, tau = x[..., 0], x[..., 1], u[..., 0]
        gravity = self.m * self.g * self.l * np.sin(q)
        return stack([v, (tau - self.b * v - gravity) / (self.m * self.l**2)])

    def acceleration(self, x, u, dt):
        inertia = self.m * self.l**2
        return self.f(x, u)[..., 1:] * (inertia / (inertia + dt * self.b))

    def M(self, q):
        return np.array([[self.m * self.l**2]])

    def C(self, q, v):
        return np.zeros((1, 1))

    def tau_g(self, q):
        return stack([-self.m * self.g * self.l * np.sin(q[..., 0])])

    def B(self, q):
        return np.ones((1, 1))

    def potential(self, q):
        return -self.m * self.g * self.l * np.cos(q[..., 0])

    def energy(self, x):
        """Kinetic plus potential energy (...) [J], zero at rest with the mass level with the pivot."""
        return manipulator.energy(self, x)
