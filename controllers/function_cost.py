"""Costs that are arbitrary NumPy functions, or residuals under a norm, differentiated by dl."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from controllers.checks import all_knots, cut, finite
from controllers.constraint import Constraint
from controllers.cost import Cost, Expansion, in_tangent_space
from controllers.cost_terms import zero
from controllers.derivatives import Differentiated
from controllers.norms import Barrier, Norm, Square
from controllers.tangent import Integrate, add, curvature, lift


@dataclass(frozen=True, eq=False)
class FunctionCost(Cost):
    """stage = l(x, u), terminal = lf(x): arbitrary NumPy functions (...) of x (..., nx), u (..., nu), zero where None.

    With rho, l and lf are residuals (..., m) instead, the costs are rho(l(x, u)) and rho_f(lf(x)), and expansions are
    Gauss-Newton, J' rho'' J; without, they are the exact Hessian. l and lf are differentiated by dl (see
    controllers.derivatives for what it asks of them). goal (ng,) or (T+1, ng): a further argument of both, l(x, u,
    goal), one row a knot if it changes along the run. On a manifold integrate is the plant's and ndx the size of its
    tangent space. Raises ValueError for shapes that do not fit.
    """

    l: Callable | None = None
    lf: Callable | None = None
    rho: Norm | None = None
    rho_f: Norm | None = None
    goal: np.ndarray | None = None
    integrate: Integrate = add
    ndx: int | None = None
    _l: Differentiated | None = field(init=False, repr=False)
    _lf: Differentiated | None = field(init=False, repr=False)

    def __post_init__(self):
        who = "a residual" if self.gauss_newton else "a cost"
        if self.l is None and self.lf is None:
            raise ValueError(f"{who} needs a function: of the stages (x, u), of the end (x), or both")
        for name, fn, norm in (("stage", self.l, self.rho), ("terminal", self.lf, self.rho_f)):
            if fn is not None and self.gauss_newton and norm is None:
                raise ValueError(f"{who} needs weights for its {name} function")
        goal = None if self.goal is None else finite(f"{who}: goal", self.goal)
        if goal is not None and goal.ndim not in (1, 2):
            raise ValueError(f"{who}: goal must be (ng,) or (T+1, ng), got {goal.shape}")
        object.__setattr__(self, "goal", goal)
        object.__setattr__(self, "_l", None if self.l is None else Differentiated(self.l, f"{who} of (x, u)"))
        object.__setattr__(self, "_lf", None if self.lf is None else Differentiated(self.lf, f"{who} of the end x"))

    @property
    def gauss_newton(self) -> bool:
        return self.rho is not None or self.rho_f is not None

    @property
    def T(self) -> int | None:
        return len(self.goal) - 1 if self.goal is not None and self.goal.ndim == 2 else None

    def stage(self, x, u):
        all_knots(self.T, x, u)
        if self._l is None:
            return np.zeros(x.shape[:-1])
        return _checked(self._l(x, u, self._stage_goal), self.rho, x)

    def terminal(self, x):
        if self._lf is None:
            return np.zeros(x.shape[:-1])
        return _checked(self._lf(x, None, self._end_goal), self.rho_f, x)

    def expand(self, x, u):
        all_knots(self.T, x, u)
        ndx, nu = self._ndx(x), u.shape[-1]
        if self._l is None:
            l, g, H = zero(x, ndx + nu)
        else:
            l, g, H = self._expanded(self._l, self.rho, x, u, self._stage_goal)
        return Expansion(l, g[..., :ndx], g[..., ndx:], H[..., :ndx, :ndx], H[..., ndx:, :ndx], H[..., ndx:, ndx:])

    def expand_terminal(self, x):
        if self._lf is None:
            l, g, H = zero(x, self._ndx(x))
        else:
            l, g, H = self._expanded(self._lf, self.rho_f, x, None, self._end_goal)
        return Expansion(l, g, None, H, None, None)

    def window(self, start, T):
        return self if self.T is None else self._with_goal(cut(self.goal, start, T + 1))

    def _with_goal(self, goal: np.ndarray) -> "FunctionCost":
        """The same cost with another goal, the recorded programs kept."""
        other = replace(self, goal=goal)
        object.__setattr__(other, "_l", self._l)
        object.__setattr__(other, "_lf", self._lf)
        return other

    def _expanded(self, fn: Differentiated, rho: Norm | None, x, u, goal):
        """l (...), gradient (..., n) and Hessian (..., n, n) by [dx, du], n = ndx + nu."""
        ndx = self._ndx(x)
        if rho is None:
            l, g, H = fn.hessian(x, u, goal)
            E = lift(self.integrate, x, ndx)
            if E is not None:
                extra = curvature(self.integrate, x, g[..., : x.shape[-1]], ndx)
                l, g, H = in_tangent_space(l, g, H, _beside_identity(E, g.shape[-1] - x.shape[-1]))
                H[..., :ndx, :ndx] += extra
            return l, g, H
        r, Jx, Ju = fn.jacobian(x, u, goal)
        _fits(r, rho)
        E = lift(self.integrate, x, ndx)
        J = np.concatenate([Jx if E is None else Jx @ E, Ju], axis=-1)
        return in_tangent_space(rho(r), *rho.expand(r), J)

    def _ndx(self, x) -> int:
        return x.shape[-1] if self.ndx is None else self.ndx

    @property
    def _stage_goal(self):
        return self.goal if self.goal is None or self.goal.ndim == 1 else self.goal[:-1]

    @property
    def _end_goal(self):
        return self.goal if self.goal is None or self.goal.ndim == 1 else self.goal[-1]


def residual(r, W=None, *, terminal=None, Wf=None, goal=None, integrate: Integrate = add, ndx=None) -> FunctionCost:
    """stage = r' W r with r(x, u) (..., m), terminal = rf' Wf rf with rf = terminal(x), expanded by Gauss-Newton.

    The Hessian is 2 J' W J with the Jacobian J of r by [dx, du]. W, Wf: a matrix (m, m), its diagonal (m,), or a Norm
    (SmoothAbs, Barrier). r or terminal may be None. goal: a further argument of both, (ng,) or one row a knot (T+1,
    ng). On a manifold pass the plant's integrate and ndx. Raises ValueError for weights that are not positive
    semidefinite, and for a residual of another length when it is first computed.
    """
    norms = [None if weights is None else _norm(weights) for weights in (W, Wf)]
    if norms[0] is None and norms[1] is None:
        raise ValueError("residual: it needs weights: W for r, Wf for terminal")
    return FunctionCost(r, terminal, *norms, goal, integrate, ndx)


def from_function(l=None, *, terminal=None, goal=None, integrate: Integrate = add, ndx=None) -> FunctionCost:
    """stage = l(x, u) (...), terminal = terminal(x) (...): any NumPy functions, with exact Hessians by dl.

    l(x, u) of x (..., nx), u (..., nu) [cost/s]; goal: a further argument of both, (ng,) or one row a knot (T+1, ng).
    On a manifold pass the plant's integrate and ndx. Where l is not convex, its Hessian is not positive semidefinite.
    """
    return FunctionCost(l, terminal, None, None, goal, integrate, ndx)


def barrier(
    constraint: Constraint, mu: float, delta: float, *, integrate: Integrate = add, ndx: int | None = None
) -> FunctionCost:
    """The constraint as a cost: mu times the relaxed logarithmic barrier of each finite bound (controllers.norms).

    mu [cost/s, at the end cost]; delta: the distance from a bound, in the unit of g, at which the logarithm goes over
    into a parabola. A constraint on "all" knots acts on the stages, and at the end too if it reads only x; one on
    "final" that reads only x acts at the end. Raises ValueError for other knots and for equalities.
    """
    if constraint.equality.any():
        raise ValueError(
            f"barrier: constraint {constraint.label!r} is an equality, which has no inside: use a residual"
        )
    if constraint.knots == "all":
        ends = constraint.reads == "x"
    elif constraint.knots == "final" and constraint.reads == "x":
        ends = True
    else:
        raise ValueError(
            f"barrier: constraint {constraint.label!r} acts on knots {constraint.knots!r}: a barrier needs 'all', or "
            "'final' and reads='x'"
        )
    rho, g = Barrier(constraint.lower, constraint.upper, mu, delta), constraint.g
    stage = g if constraint.knots == "all" else None
    end = (lambda x: g(x, None)) if ends else None
    return FunctionCost(stage, end, rho, rho, None, integrate, ndx)


def _norm(weights) -> Norm:
    if isinstance(weights, Norm):
        return weights
    W = np.asarray(weights, float)
    return Square(np.diag(np.atleast_1d(W)) if W.ndim < 2 else W)


def _fits(r, rho: Norm) -> None:
    if r.shape[-1] != rho.m:
        raise ValueError(f"a residual has {r.shape[-1]} components, its weights are for {rho.m}")


def _checked(value, rho: Norm | None, x):
    """rho(value), or value if there is no rho; ValueError unless there is one number a knot."""
    if rho is not None:
        _fits(value, rho)
        return rho(value)
    if type(x) is np.ndarray and x.dtype != object and np.shape(value) != x.shape[:-1]:
        raise ValueError(
            f"a cost must return one number a knot, shape {tuple(x.shape[:-1])} for x {tuple(x.shape)}, got "
            f"{np.shape(value)}: index with x[..., i] and reduce with axis=-1"
        )
    return value


def _beside_identity(E: np.ndarray, nu: int) -> np.ndarray:
    """diag(E, I) (..., nx + nu, ndx + nu)."""
    nx, ndx = E.shape[-2:]
    out = np.zeros((*E.shape[:-2], nx + nu, ndx + nu))
    out[..., :nx, :ndx] = E
    out[..., nx:, ndx:] = np.eye(nu)
    return out
