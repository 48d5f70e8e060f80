"""A mass pushed along a line."""

from dataclasses import dataclass

import numpy as np

from sims import manipulator
from sims.system import System, stack


@dataclass(frozen=True)
class DoubleIntegrator(System):
    """m qdd + b qd = u.

    x = [q [m], qdot [m/s]], u = [force [N]], |u| <= force_limit; mass m [kg], damping b [N s/m]. Source: Tedrake,
    Underactuated Robotics, chapter 1.
    """

    m: float = 1.0
    b: float = 0.0
    force_limit: float = np.inf

    nx, nu, nq, nv = 2, 1, 1, 1
    x_names = ("q", "q_dot")
    u_names = ("force",)

    @property
    def u_max(self) -> np.ndarray:
        return np.array([self.force_limit])

    @property
    def damping(self) -> np.ndarray:
        return np.array([self.b])

    def f(self, x, u):
        v = x[..., 1]
        return stack([v, (u[..., 0] - self.b * v) / self.m])

    def acceleration(self, x, u, dt):
        return stack([(u[..., 0] - self.b * x[..., 1]) / (self.m + dt * self.b)])

    def M(self, q):
        return np.array([[self.m]])

    def C(self, q, v):
        return np.zeros((1, 1))

    def tau_g(self, q):
        return np.zeros(1)

    def B(self, q):
        return np.ones((1, 1))

    def potential(self, q):
        return 0.0 * q[..., 0]

    def energy(self, x):
        """Kinetic energy (...) [J]."""
        return manipulator.energy(self, x)
