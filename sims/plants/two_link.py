"""Equations of motion shared by the acrobot, the pendubot and the double pendulum.

Two links, q = [q1 from hanging, q2 relative to link 1]; each function takes the plant p with the fields m1, m2, l1,
lc1, lc2, Ic1, Ic2 (about the centres of mass), b1, b2, g. Source: Spong, The swing up control problem for the acrobot,
1995, equations (1) to (7); C is the one from Christoffel's symbols.
"""

import numpy as np

from sims.system import stack


def vdot(p, x, tau1, tau2, dt):
    """[q1dd, q2dd] of (M + dt D) vdot = tau_g - C v - D v + tau, solved by Cramer's rule."""
    q1, q2, v1, v2 = x[..., 0], x[..., 1], x[..., 2], x[..., 3]
    m11, m12, m22 = _inertias(p, np.cos(q2))
    h = p.m2 * p.l1 * p.lc2 * np.sin(q2)
    g1, g2 = _gravity(p, q1, q2)
    r1 = g1 + h * (v2 * (2.0 * v1 + v2)) - p.b1 * v1 + tau1
    r2 = g2 - h * (v1 * v1) - p.b2 * v2 + tau2
    m11, m22 = m11 + dt * p.b1, m22 + dt * p.b2
    det = m11 * m22 - m12 * m12
    return [(m22 * r1 - m12 * r2) / det, (m11 * r2 - m12 * r1) / det]


def mass_matrix(p, q):
    """M(q) (..., 2, 2) [kg m^2]."""
    m11, m12, m22 = _inertias(p, np.cos(q[..., 1]))
    return stack([[m11, m12], [m12, m22 + 0.0 * m12]])


def coriolis(p, q, v):
    """C(q, v) (..., 2, 2) with Mdot - 2 C skew [kg m^2/s]."""
    h = p.m2 * p.l1 * p.lc2 * np.sin(q[..., 1])
    v1, v2 = v[..., 0], v[..., 1]
    return stack([[-h * v2, -h * (v1 + v2)], [h * v1, 0.0 * h]])


def gravity(p, q):
    """tau_g(q) (..., 2) [N m]."""
    return stack(_gravity(p, q[..., 0], q[..., 1]))


def potential(p, q):
    """U(q) (...) [J], zero with both links level."""
    q1, q12 = q[..., 0], q[..., 0] + q[..., 1]
    return -p.g * ((p.m1 * p.lc1 + p.m2 * p.l1) * np.cos(q1) + p.m2 * p.lc2 * np.cos(q12))


def _inertias(p, c2):
    coupling = p.m2 * p.l1 * p.lc2
    I2 = p.Ic2 + p.m2 * p.lc2 * p.lc2
    constant = p.Ic1 + p.m1 * p.lc1 * p.lc1 + I2 + p.m2 * p.l1 * p.l1
    m12 = coupling * c2
    return constant + 2.0 * m12, I2 + m12, I2


def _gravity(p, q1, q2):
    outer = -p.m2 * p.g * p.lc2 * np.sin(q1 + q2)
    return outer - p.g * (p.m1 * p.lc1 + p.m2 * p.l1) * np.sin(q1), outer
