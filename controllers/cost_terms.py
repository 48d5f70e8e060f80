"""Costs of errors under any norm, and costs of the end alone."""

from dataclasses import dataclass, field, replace

import numpy as np

from controllers.cost import Cost, Expansion, in_tangent_space
from controllers.goal import Goal
from controllers.norms import Norm, SmoothAbs, Square
from controllers.tangent import Difference, Integrate, add, subtract


@dataclass(frozen=True, eq=False)
class ErrorCost(Cost):
    """stage = rho(dx) + rho_u(du), terminal = rho_f(dx), with dx = difference(x_goal, x), du = u - u_goal.

    rho, rho_f: norms of (ndx,), rho_u of (nu,); goals and manifolds as for QuadraticCost. Raises ValueError for shapes
    that do not fit.
    """

    rho: Norm
    rho_u: Norm
    rho_f: Norm
    x_goal: np.ndarray
    u_goal: np.ndarray
    difference: Difference = subtract
    integrate: Integrate = add
    _goal: Goal = field(init=False, repr=False)

    def __post_init__(self):
        goal = Goal("ErrorCost", self.x_goal, self.u_goal, self.difference, self.integrate)
        object.__setattr__(self, "_goal", goal)
        for name, norm, size in (
            ("x", self.rho, goal.ndx),
            ("u", self.rho_u, goal.nu),
            ("x, final", self.rho_f, goal.ndx),
        ):
            if norm.m != size:
                raise ValueError(f"ErrorCost: the error of {name} has {size} components, its weights are for {norm.m}")

    @property
    def gauss_newton(self) -> bool:
        return self._goal.nx != self._goal.ndx

    @property
    def T(self) -> int | None:
        return self._goal.T

    def stage(self, x, u):
        dx, du = self._goal.errors(x, u)
        return self.rho(dx) + self.rho_u(du)

    def terminal(self, x):
        return self.rho_f(self._goal.end_error(x))

    def expand(self, x, u):
        dx, du = self._goal.errors(x, u)
        l, lx, lxx = in_tangent_space(self.rho(dx), *self.rho.expand(dx), self._goal.jacobian(x))
        lu, luu = self.rho_u.expand(du)
        lux = np.broadcast_to(0.0, (*lu.shape, lx.shape[-1]))
        return Expansion(l + self.rho_u(du), lx, lu, lxx, lux, luu)

    def expand_terminal(self, x):
        dx = self._goal.end_error(x)
        l, lx, lxx = in_tangent_space(self.rho_f(dx), *self.rho_f.expand(dx), self._goal.end_jacobian(x))
        return Expansion(l, lx, None, lxx, None, None)

    def window(self, start, T):
        if self.T is None:
            return self
        x_goal, u_goal = self._goal.window(start, T)
        return replace(self, x_goal=x_goal, u_goal=u_goal)


@dataclass(frozen=True, eq=False)
class FinalCost(Cost):
    """The terminal part of another cost, and no stage."""

    cost: Cost

    @property
    def gauss_newton(self) -> bool:
        return self.cost.gauss_newton

    def stage(self, x, u):
        return np.zeros(x.shape[:-1])

    def terminal(self, x):
        return self.cost.terminal(x)

    def expand(self, x, u):
        ndx, nu = self.cost.expand_terminal(x.reshape(-1, x.shape[-1])[:1]).lx.shape[-1], u.shape[-1]
        l, g, H = zero(x, ndx + nu)
        return Expansion(l, g[..., :ndx], g[..., ndx:], H[..., :ndx, :ndx], H[..., ndx:, :ndx], H[..., ndx:, ndx:])

    def expand_terminal(self, x):
        return self.cost.expand_terminal(x)

    def window(self, start, T):
        return FinalCost(self.cost.window(start, T))


def smooth_abs(
    q,
    r,
    *,
    x_goal,
    alpha,
    alpha_u=None,
    qf=None,
    u_goal=None,
    difference: Difference = subtract,
    integrate: Integrate = add,
) -> ErrorCost:
    """sum of q s(dx) + r du^2, at the end of qf s(dx), with s(z) = sqrt(z^2 + alpha^2) - alpha (norms.SmoothAbs).

    q, qf (ndx,), r (nu,) >= 0, qf zero if None; alpha (ndx,) or one number, > 0, in the units of dx. With alpha_u
    inputs cost r s(du) too. Goals and manifolds as for `quadratic`.
    """
    q, r = np.atleast_1d(np.asarray(q, float)), np.atleast_1d(np.asarray(r, float))
    rho_u = Square(np.diag(r)) if alpha_u is None else SmoothAbs(r, alpha_u)
    rho_f = SmoothAbs(np.zeros(len(q)) if qf is None else qf, alpha)
    u_goal = np.zeros(len(r)) if u_goal is None else u_goal
    return ErrorCost(SmoothAbs(q, alpha), rho_u, rho_f, x_goal, u_goal, difference, integrate)


def final_only(cost: Cost) -> FinalCost:
    """The terminal part of a cost, without its stage."""
    return FinalCost(cost)


def zero(x, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The value (...), gradient (..., n) and Hessian (..., n, n) of no cost at x (..., nx)."""
    batch = x.shape[:-1]
    return np.zeros(batch), np.zeros((*batch, n)), np.zeros((*batch, n, n))
