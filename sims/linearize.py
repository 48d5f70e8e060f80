"""The linear model of a continuous plant about a point."""

import numpy as np

from sims.simulator import check
from sims.system import System

# The derivative of the polynomial through 9 equally spaced values: error h^8 f^(9) / 630.
# Source: Fornberg, Generation of finite difference formulas on arbitrarily spaced grids, 1988, table 1.
_OFFSETS = np.array([-4, -3, -2, -1, 1, 2, 3, 4], float)
_WEIGHTS = np.array([1 / 280, -4 / 105, 1 / 5, -4 / 5, 4 / 5, -1 / 5, 4 / 105, -1 / 280])
_STEP = 2.0**-7  # rounding grows as eps / h, truncation as h^8: both near 1e-14 for sines of unit frequency


def linearize(system: System, x, u) -> tuple[np.ndarray, np.ndarray]:
    """A (..., ndx, ndx), B (..., ndx, nu) of d/dt dx = A dx + B du about x (..., nx), u (..., nu), at rest or not.

    dx is the deviation from the solution through x, difference(x(t), y(t)), so that I + dt A is what
    Simulator.linearize tends to for short steps. Central differences of order 8: 1e-9 relative to the largest entry, or
    better, where f is smooth on the scale of 0.03 around the point (all plants here but Glider below 0.3 m/s).
    Raises ValueError for a wrong shape or a value that is not finite.
    """
    x = check(x, system.nx, system.x_names, "linearize: state x")
    u = check(u, system.nu, system.u_names, "linearize: input u")
    batch = np.broadcast_shapes(x.shape[:-1], u.shape[:-1])
    x = np.broadcast_to(x, (*batch, system.nx))[..., None, None, :]
    u = np.broadcast_to(u, (*batch, system.nu))[..., None, None, :]
    n, m = system.ndx, system.nu
    steps = _STEP * _OFFSETS[:, None, None] * np.eye(n + m)  # (8, n + m, n + m)
    y = system.integrate(x, np.broadcast_to(steps[..., :n], (*batch, *steps[..., :n].shape)))
    rate = _deviation_rate(system, x, y, system.f(x, u), system.f(y, u + steps[..., n:]))
    J = np.einsum("k,...kij->...ji", _WEIGHTS / _STEP, rate)
    return J[..., :n], J[..., n:]


def _deviation_rate(system: System, x, y, xdot, ydot) -> np.ndarray:
    """d/dt difference(x, y) along both solutions, up to a constant where the state is a vector space."""
    if system.ndx == system.nx:
        return ydot
    ends = np.stack([system.difference(x + h * xdot, y + h * ydot) for h in _STEP * _OFFSETS])
    return np.tensordot(_WEIGHTS / _STEP, ends, axes=1)
