"""Walking: the motion of the centre of mass that keeps the zero-moment point on the feet."""

from dataclasses import dataclass

import numpy as np

from controllers.finite_horizon import FiniteHorizonLQR, finite_horizon_lqr
from controllers.lqr import lqr
from controllers.reference import Polynomial


@dataclass(frozen=True, eq=False)
class ZmpPlan:
    """Centre of mass of a linear inverted pendulum that follows the zero-moment points zmp(t).

    t (T+1,) [s], com, comd (T+1, 2) [m, m/s], u (T+1, 2) its acceleration; S (4, 4): the cost to go after the end in
    x = [com, comd] about the last point at rest; policy(x, t) -> u. What `zmp_plan` returns.
    """

    zmp: Polynomial
    t: np.ndarray
    com: np.ndarray
    comd: np.ndarray
    u: np.ndarray
    S: np.ndarray
    policy: FiniteHorizonLQR


def footstep_zmp(footsteps, *, single_support: float = 1.0, double_support: float = 0.5) -> Polynomial:
    """Zero-moment points that rest under each of footsteps (F, 2) [m] and move evenly from one to the next [s]."""
    feet = np.asarray(footsteps, float)
    if feet.ndim != 2 or len(feet) < 1 or min(single_support, double_support) <= 0:
        raise ValueError(f"footstep_zmp: wanted footsteps (F, 2) and positive times, got {feet.shape}")
    lengths = np.tile([single_support, double_support], len(feet))[:-1]
    points = np.repeat(feet, 2, axis=0)
    slopes = np.diff(points, axis=0) / lengths[:, None]
    return Polynomial(np.append(0.0, np.cumsum(lengths)), np.stack([points[:-1], slopes], axis=-1))


def zmp_plan(
    zmp: Polynomial, x0, *, height: float = 1.0, g: float = 9.81, Qy=None, R=None, dt: float = 0.01
) -> ZmpPlan:
    """The motion from x0 = [com, comd] (4,) that minimises the integral of (y - zmp)'Qy (y - zmp) + u'Ru for ever.

    y = com - (height / g) u is the zero-moment point of a point mass at constant height [m] with acceleration u; beyond
    its end zmp stays where it is. Qy, R (2, 2): identity and 0.1 of it if None. A linear-quadratic tracking problem
    with preview, solved by its Riccati equations. Source: Kajita et al., Biped walking pattern generation by using
    preview control of zero-moment point, 2003; Tedrake, Kuindersma, Deits and Miura, A closed-form solution for
    real-time ZMP gait generation and feedback stabilization, 2015.
    """
    from scipy.integrate import solve_ivp

    Qy = np.eye(2) if Qy is None else np.asarray(Qy, float)
    R = 0.1 * np.eye(2) if R is None else np.asarray(R, float)
    I, O = np.eye(2), np.zeros((2, 2))
    A, B = np.block([[O, I], [O, O]]), np.vstack([O, I])
    C, D = np.hstack([I, O]), -(height / g) * I
    Q, N, Ru = C.T @ Qy @ C, C.T @ Qy @ D, R + D.T @ Qy @ D
    _, S = lqr(A, B, Q, Ru, N)
    duration = float(zmp.t[-1])

    def target(t: float) -> np.ndarray:
        return np.append(zmp.derivatives(t, 0)[0], [0.0, 0.0])

    policy = finite_horizon_lqr(A, B, Q, Ru, S, duration, N=N, x_d=target)
    t = np.linspace(0.0, duration, max(2, round(duration / dt) + 1))
    x, state = np.empty((len(t), 4)), np.asarray(x0, float)
    for i, (begin, end) in enumerate(zip(zmp.t[:-1], zmp.t[1:], strict=True)):  # smooth between two breaks of zmp
        solution = solve_ivp(
            lambda s, x: A @ x + B @ policy(x, s), (begin, end), state, dense_output=True, rtol=1e-9, atol=1e-12
        )
        inside = (t >= begin if i else t >= -1.0) & (t <= end)
        x[inside], state = solution.sol(t[inside]).T, solution.y[:, -1]
    u = np.array([policy(xi, ti) for xi, ti in zip(x, t, strict=True)])
    return ZmpPlan(zmp, t, x[:, :2], x[:, 2:], u, S, policy)
