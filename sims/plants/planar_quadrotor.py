"""A quadrotor in the vertical plane."""

from dataclasses import dataclass

import numpy as np

from sims import manipulator
from sims.system import System, stack


@dataclass(frozen=True)
class PlanarQuadrotor(System):
    """m xdd = -(u1 + u2) sin theta, m zdd = (u1 + u2) cos theta - m g, I thetadd = r (u1 - u2).

    x = [x, z [m], theta [rad], xdot, zdot [m/s], thetadot [rad/s]], z up, theta counter-clockwise, 0 level;
    u = [right, left rotor thrust [N]], thrust_min <= u <= thrust_max; mass m [kg], inertia I [kg m^2], rotors at
    r [m] from the centre, g [m/s^2]. Source: Tedrake, Underactuated Robotics, chapter 3, "planar quadrotor", with the
    parameters of its Quadrotor2D (Bouadi, Bouchoucha and Tadjine, 2007).
    """

    m: float = 0.486
    I: float = 0.00383
    r: float = 0.25
    g: float = 9.81
    thrust_min: float = -np.inf
    thrust_max: float = np.inf

    nx, nu, nq, nv = 6, 2, 3, 3
    x_names = ("x", "z", "theta", "x_dot", "z_dot", "theta_dot")
    u_names = ("thrust_right", "thrust_left")

    @property
    def u_max(self) -> np.ndarray:
        return np.full(2, self.thrust_max)

    @property
    def u_min(self) -> np.ndarray:
        return np.full(2, self.thrust_min)

    @property
    def damping(self) -> np.ndarray:
        return np.zeros(3)

    @property
    def hover(self) -> np.ndarray:
        """The thrusts u (2,) [N] that hold the level quadrotor still."""
        return np.full(2, self.m * self.g / 2.0)

    def f(self, x, u):
        return stack([x[..., 3], x[..., 4], x[..., 5], *self._vdot(x, u)])

    def acceleration(self, x, u, dt):
        return stack(self._vdot(x, u))

    def _vdot(self, x, u):
        theta, right, left = x[..., 2], u[..., 0], u[..., 1]
        lift = (right + left) / self.m
        return [-lift * np.sin(theta), lift * np.cos(theta) - self.g, (self.r / self.I) * (right - left)]

    def M(self, q):
        return np.diag([self.m, self.m, self.I])

    def C(self, q, v):
        return np.zeros((3, 3))

    def tau_g(self, q):
        return np.array([0.0, -self.m * self.g, 0.0])

    def B(self, q):
        s, c = np.sin(q[..., 2]), np.cos(q[..., 2])
        return stack([[-s, -s], [c, c], [self.r + 0.0 * s, -self.r + 0.0 * s]])

    def potential(self, q):
        return self.m * self.g * q[..., 1]

    def energy(self, x):
        """Kinetic plus potential energy (...) [J], zero at rest at z = 0."""
        return manipulator.energy(self, x)
