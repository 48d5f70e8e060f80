"""A foam glider that perches: flat-plate wing and elevator in the vertical plane."""

from dataclasses import dataclass

import numpy as np

from sims.system import System, stack


@dataclass(frozen=True)
class Glider(System):
    """m xdd = fw s + fe se, m zdd = fw c + fe ce - m g, I thetadd = fw lw + fe (lh cos phi + le).

    Each surface is a flat plate whose force is normal to it: f = -rho S |v| v_n with v the velocity of its centre and
    v_n its component along the normal (lift and drag coefficients 2 sin a cos a and 2 sin^2 a). s, c: sine and cosine
    of the pitch theta, positive nose down (about +y); se, ce: of theta + phi.
    x = [x, z [m], pitch, elevator phi [rad], xdot, zdot [m/s], pitchdot [rad/s]], u = [elevator rate [rad/s]],
    |u| <= rate_limit. Areas Sw, Se [m^2]; lw, le, lh [m]: wing behind the centre of mass, elevator's centre behind
    its hinge, hinge behind the centre of mass; I [kg m^2], m [kg], rho [kg/m^3], g [m/s^2].
    published=True reproduces the numbers of perching.ipynb in Underactuated Robotics, which overwrites the state while
    it computes the derivative: there the wing's force points along [sin pitchdot, cos pitchdot], not [s, c], and the
    elevator's lever is lh cos u + le, not lh cos phi + le. Use it only to compare with results of that notebook.
    Source: Roberts, Cory and Tedrake, On the controllability of fixed-wing perching, 2009; Moore, Cory and Tedrake,
    Robust post-stall perching with a simple fixed-wing glider using LQR-Trees, 2014.
    """

    Sw: float = 0.0885
    Se: float = 0.0147
    lw: float = 0.0
    le: float = 0.022
    lh: float = 0.27
    I: float = 0.0015
    m: float = 0.08
    rho: float = 1.204
    g: float = 9.81
    rate_limit: float = np.inf
    published: bool = False

    nx, nu = 7, 1
    x_names = ("x", "z", "pitch", "elevator", "x_dot", "z_dot", "pitch_dot")
    u_names = ("elevator_rate",)

    @property
    def u_max(self) -> np.ndarray:
        return np.array([self.rate_limit])

    def f(self, x, u):
        pitch, phi, vx, vz, rate, phidot = x[..., 2], x[..., 3], x[..., 4], x[..., 5], x[..., 6], u[..., 0]
        s, c, se, ce = np.sin(pitch), np.cos(pitch), np.sin(pitch + phi), np.cos(pitch + phi)
        fw = self._plate(self.Sw, vx + self.lw * rate * s, vz + self.lw * rate * c, s, c)
        both = self.le * (rate + phidot)
        fe = self._plate(self.Se, vx + self.lh * rate * s + both * se, vz + self.lh * rate * c + both * ce, se, ce)
        lever = phi
        if self.published:
            s, c, lever = np.sin(rate), np.cos(rate), phidot
        return stack(
            [
                vx,
                vz,
                rate,
                phidot,
                (fw * s + fe * se) / self.m,
                (fw * c + fe * ce) / self.m - self.g,
                (self.lw * fw + (self.lh * np.cos(lever) + self.le) * fe) / self.I,
            ]
        )

    def _plate(self, area, vx, vz, s, c):
        speed = np.sqrt(vx * vx + vz * vz + 1e-10)  # smooth at rest, by 1e-5 m/s, as in the book
        return -self.rho * area * speed * (s * vx + c * vz)
