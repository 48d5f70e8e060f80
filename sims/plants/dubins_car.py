"""A car of constant speed that turns."""

from dataclasses import dataclass

import numpy as np

from sims.system import System, stack


@dataclass(frozen=True)
class DubinsCar(System):
    """xdot = speed cos heading, ydot = speed sin heading, headingdot = u.

    x = [x, y [m], heading [rad], counter-clockwise from +x], u = [turn rate [rad/s]], |u| <= turn_limit (the tightest
    circle has the radius speed / turn_limit); speed [m/s]. Source: Dubins, On curves of minimal length with a
    constraint on average curvature, 1957.
    """

    speed: float = 1.0
    turn_limit: float = np.inf

    nx, nu = 3, 1
    x_names = ("x", "y", "heading")
    u_names = ("turn_rate",)

    @property
    def u_max(self) -> np.ndarray:
        return np.array([self.turn_limit])

    def f(self, x, u):
        heading = x[..., 2]
        return stack([self.speed * np.cos(heading), self.speed * np.sin(heading), u[..., 0]])
