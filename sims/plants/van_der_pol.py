"""The van der Pol oscillator."""

from dataclasses import dataclass

import numpy as np

from sims.system import System, stack


@dataclass(frozen=True)
class VanDerPol(System):
    """qdd = -mu (q^2 - 1) qdot - q + u.

    x = [q, qdot], u = [force], all without unit, |u| <= force_limit. Source: Tedrake, Underactuated Robotics, chapter 4
    (unforced); Khalil, Nonlinear Systems, 3rd ed., section 2.4.
    """

    mu: float = 1.0
    force_limit: float = np.inf

    nx, nu, nq, nv = 2, 1, 1, 1
    x_names = ("q", "q_dot")
    u_names = ("force",)

    @property
    def u_max(self) -> np.ndarray:
        return np.array([self.force_limit])

    def f(self, x, u):
        q, v = x[..., 0], x[..., 1]
        return stack([v, -self.mu * (q * q - 1.0) * v - q + u[..., 0]])
