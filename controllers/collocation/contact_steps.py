"""One step of a plant in contact: the equations with unknown impulses, and their solution by projection."""

from collections.abc import Callable
from typing import Any

import numpy as np

from controllers.collocation.symbolic import casadi, components
from sims.system import solve


def impulses(M, v, gap_rate, Jn, Jt, friction, *, sweeps: int = 500, tolerance: float = 1e-12) -> np.ndarray:
    """The change of velocity (nv,) by contact: 0 <= gap_rate + Jn v+ _|_ n >= 0, |p| <= friction n against the slip.

    Projected Gauss-Seidel over the contacts; M (nv, nv), v (nv,) before contact, gap_rate = gap / h (nc,), Jn, Jt
    (nc, nv), friction (nc,). Source: Cottle, Pang and Stone, The Linear Complementarity Problem, 1992, section 5.2.
    """
    nc = len(gap_rate)
    Wn, Wt = np.linalg.solve(M, Jn.T), np.linalg.solve(M, Jt.T)
    n, p, dv = np.zeros(nc), np.zeros(nc), np.zeros(len(v))
    for _ in range(sweeps):
        before = dv.copy()
        for i in range(nc):
            ann, att = Jn[i] @ Wn[:, i], Jt[i] @ Wt[:, i]
            new = max(0.0, n[i] - (gap_rate[i] + Jn[i] @ (v + dv)) / ann) if ann > 0 else 0.0
            dv, n[i] = dv + Wn[:, i] * (new - n[i]), new
            if friction[i] and att > 0:
                most = friction[i] * n[i]
                new = min(max(p[i] - Jt[i] @ (v + dv) / att, -most), most)
                dv, p[i] = dv + Wt[:, i] * (new - p[i]), new
        if np.abs(dv - before).max(initial=0.0) <= tolerance:
            break
    return dv


def step_rows(system, gap, slide, friction: np.ndarray, h: float, stage) -> Callable[[Any], tuple[Any, Any]]:
    """make(w) of a Block over w = [x0, u, contact unknowns, x1]: the stage's cost h l, and the rows of one step.

    Rows in order: 2 nv of the dynamics = 0; nc of gap >= 0; with friction nc each of s + slip, s - slip, cone >= 0;
    then the products that should vanish, nc or 4 nc.
    """
    ca = casadi()
    nx, nq, nu, nc = system.nx, system.nq, system.nu, len(friction)

    def make(w):
        x0, u, x1 = w[:nx], w[nx : nx + nu], w[-nx:]
        c = w[nx + nu : -nx]
        q0, v0, q1, v1 = x0[:nq], x0[nq:], x1[:nq], x1[nq:]
        force = ca.mtimes(ca.jacobian(gap(q1), q1).T, c[:nc])
        signs, products = [gap(q1)], [gap(q1) * c[:nc]]
        if slide is not None:
            p, m, s = (c[i * nc : (i + 1) * nc] for i in (1, 2, 3))
            slip = ca.mtimes(ca.jacobian(slide(q1), q1), v1)
            cone = ca.DM(friction) * c[:nc] - p - m
            force = force + ca.mtimes(ca.jacobian(slide(q1), q1).T, p - m)
            signs += [s + slip, s - slip, cone]
            products += [(s + slip) * p, (s - slip) * m, cone * s]
        smooth = ca.vertcat(*system.f(components(x0), components(u))[nq:])
        kick = solve(np.array(system.M(components(q0)), dtype=object), components(force))
        moved = v1 - v0 - h * smooth - ca.vertcat(*kick)
        cost = None if stage is None else h * stage(x0, u)
        return cost, ca.vertcat(q1 - q0 - h * v1, moved, *signs, *products)

    return make
