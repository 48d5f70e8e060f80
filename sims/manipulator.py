"""Plants given by the manipulator equations: M(q) vdot + C(q, v) v = tau_g(q) - D v + B u."""

from typing import Any, Protocol

import numpy as np

from sims.system import solve


class Manipulator(Protocol):
    """A System with q and v of equal size that also gives the terms of its equations of motion.

    M(q) (..., nv, nv) [kg, kg m, kg m^2]; C(q, v) (..., nv, nv) with Mdot - 2 C skew; tau_g(q) (..., nv), the
    generalised force of gravity; B(q) (..., nv, nu); damping (nv,), diagonal of D; potential(q) (...) [J].
    Leading axes may be dropped where a term is constant. Source of the convention: Tedrake, Underactuated Robotics,
    chapter 1, equation "manipulator equations".
    """

    @property
    def nq(self) -> int: ...
    @property
    def nv(self) -> int: ...
    def M(self, q) -> Any: ...
    def C(self, q, v) -> Any: ...
    def tau_g(self, q) -> Any: ...
    def B(self, q) -> Any: ...
    def potential(self, q) -> Any: ...
    @property
    def damping(self) -> np.ndarray: ...


def forces(plant: Manipulator, x, u) -> Any:
    """tau_g(q) - C(q, v) v - D v + B(q) u, shape (..., nv) [N, N m]."""
    q, v = x[..., : plant.nq], x[..., plant.nq :]
    return plant.tau_g(q) - times(plant.C(q, v), v) - plant.damping * v + times(plant.B(q), u)


def acceleration(plant: Manipulator, x, u, dt: float = 0.0) -> Any:
    """vdot (..., nv) with (M + dt D) vdot = forces(x, u); dt > 0 makes the joint damping implicit."""
    M = plant.M(x[..., : plant.nq])
    return solve(M + dt * np.diag(plant.damping) if dt else M, forces(plant, x, u))


def energy(plant: Manipulator, x) -> Any:
    """Total energy 1/2 v' M v + U(q), shape (...) [J]."""
    q, v = x[..., : plant.nq], x[..., plant.nq :]
    return 0.5 * (v * times(plant.M(q), v)).sum(-1) + plant.potential(q)


def times(A, b) -> Any:
    """A b for A (..., m, n), b (..., n), object arrays included (np.matmul has no batch rule for those)."""
    return (A * b[..., None, :]).sum(-1)
