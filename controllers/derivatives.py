"""Derivatives of functions written in NumPy, of all knots in one call: dl records them once and replays them in C."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

import dl
from controllers.tangent import lift, lower
from sims.errors import unknown
from sims.ode import INTEGRATORS
from sims.simulator import check
from sims.system import System

DIFFERENTIABLE = ("rk4", "euler")


class Differentiated:
    """fn(x, u) (...) or (..., m), with its first and second derivatives by dl, at x (..., nx), u (..., nu).

    fn is plain NumPy on arrays with any leading axes, like System.f: index with x[..., i], join with sims.system.stack,
    reduce over the last axis only. u may be None, for fn(x). goal (ng,) or (..., ng): one more argument of fn, which is
    not differentiated by. fn is recorded once per number of knots: whatever else it reads must not change. The numbers
    of a knot do not depend on how many come with it. who: what an error calls fn. Raises ValueError for a result of
    another shape, TypeError for one that dl cannot follow.
    """

    def __init__(self, fn: Callable, who: str):
        self.fn, self.who = fn, who
        self._recorded: dict[tuple[str, int], Callable] = {}

    def __call__(self, x, u=None, goal=None):
        """fn(x), fn(x, u), fn(x, u, goal) as it is: numbers, dl tensors or symbols."""
        return self.fn(*(part for part in (x, u, goal) if part is not None))

    def jacobian(self, x, u=None, goal=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """r (..., m), dr/dx (..., m, nx), dr/du (..., m, nu), by components of x, not in its tangent space."""
        batch, rows = self._rows(x, u, goal)
        r, J = self._run(self._jacobian, 1 + (u is not None), rows)
        nx = rows[0].shape[1]
        r, J = r.reshape(*batch, *r.shape[1:]), J.reshape(*batch, *J.shape[1:])
        return r, J[..., :nx], J[..., nx:]

    def hessian(self, x, u=None, goal=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """l (...), its gradient (..., n) and Hessian (..., n, n) by [x, u] with n = nx + nu, for fn with numbers."""
        batch, rows = self._rows(x, u, goal)
        l, g, H = self._run(self._hessian, 1 + (u is not None), rows)
        return l.reshape(batch), g.reshape(*batch, *g.shape[1:]), H.reshape(*batch, *H.shape[1:])

    def _run(self, program: Callable, n: int, rows: list):
        """program(the n variables, the rest) by rows; recorded, unless it already is part of a recording."""
        if isinstance(rows[0], dl.Tensor):
            return program(tuple(rows[:n]), tuple(rows[n:]))
        key = program.__name__, n
        if key not in self._recorded:
            self._recorded[key] = dl.jit(lambda *parts: program(parts[:n], parts[n:]))
        return self._recorded[key](*rows)

    def _jacobian(self, by: tuple, goal: tuple):
        r, push = dl.transforms.forward.linearize(lambda *by: self._traced(by, goal, 2), *by)
        return r, dl.vmap(push)(*_directions(by)).permute(1, 2, 0).contiguous()

    def _hessian(self, by: tuple, goal: tuple):
        def gradient(*by):
            parts = dl.grad(lambda *by: self._traced(by, goal, 1).sum(), tuple(range(len(by))))(*by)
            return dl.cat(parts, 1)

        g, push = dl.transforms.forward.linearize(gradient, *by)
        H = dl.vmap(push)(*_directions(by)).permute(1, 2, 0).contiguous()
        return self._traced(by, goal, 1), g, H

    def _traced(self, by: tuple, goal: tuple, ndim: int):
        out = self.fn(*by, *goal)
        if isinstance(out, (np.ndarray, float, int)):  # it reads neither x nor u
            none = 0.0 * by[0].sum(-1)
            out = (none if ndim == 1 else none[:, None]) + np.asarray(out, float)
        if not isinstance(out, dl.Tensor):
            raise TypeError(f"{self.who}: it must return an array computed by NumPy functions, got {out!r:.100}")
        if out.ndim != ndim or out.shape[0] != by[0].shape[0]:
            sizes = ", ".join(str(tuple(part.shape)) for part in by)
            kind = "a row (..., m)" if ndim == 2 else "a number (...)"
            raise ValueError(
                f"{self.who}: it must return {kind} for each knot; for arguments of shape {sizes} it returned "
                f"{tuple(out.shape)}: index with x[..., i] and reduce with axis=-1"
            )
        return out

    @staticmethod
    def _rows(*parts) -> tuple[tuple[int, ...], list]:
        given = [part if isinstance(part, dl.Tensor) else np.asarray(part, float) for part in parts if part is not None]
        batch = np.broadcast_shapes(*(part.shape[:-1] for part in given))
        if any(isinstance(part, dl.Tensor) for part in given):
            given = [part if isinstance(part, dl.Tensor) else dl.from_numpy(part) for part in given]
            return batch, [part.expand(*batch, part.shape[-1]).reshape(-1, part.shape[-1]) for part in given]
        return batch, [
            np.ascontiguousarray(np.broadcast_to(part, (*batch, part.shape[-1]))).reshape(-1, part.shape[-1])
            for part in given
        ]


class StepDerivatives:
    """A (..., ndx, ndx), B (..., ndx, nu) of dx_next = A dx + B du, for one step of dt [s] of a closed-form plant.

    The derivative of the integrator's step itself ("rk4" or "euler"), not of the flow that it approximates, without
    input limits, in the tangent space on a manifold. Recorded once: the plant's parameters must not change. Raises
    ValueError for another integrator or a bad dt.
    """

    def __init__(self, system: System, dt: float, integrator: str = "rk4"):
        if integrator not in DIFFERENTIABLE:
            raise unknown("differentiable integrator", integrator, DIFFERENTIABLE)
        if not (np.isfinite(dt) and dt > 0):
            raise ValueError(f"derivatives: dt must be a positive number of seconds, got {dt!r}")
        self.system, self.dt = system, float(dt)
        advance = INTEGRATORS[integrator]
        self._step = Differentiated(lambda x, u: advance(system, x, u, self.dt), f"the step of {type(system).__name__}")

    def __call__(self, x, u) -> tuple[np.ndarray, np.ndarray]:
        """A, B at x (..., nx), u (..., nu); leading axes broadcast."""
        y, A, B = self._step.jacobian(x, u)
        ndx = self.system.ndx
        E = lift(self.system.integrate, np.broadcast_to(x, y.shape), ndx)
        if E is None:
            return A, B
        Ey = lift(self.system.integrate, y, ndx)  # A and B lead into its range, the tangent space at y
        J = lower(Ey, np.concatenate([A @ E, B], axis=-1))
        return J[..., :ndx], J[..., ndx:]


def derivatives(system: System, x, u, dt: float, integrator: str = "rk4") -> tuple[np.ndarray, np.ndarray]:
    """A, B of one step of a plant at x (..., nx), u (..., nu): StepDerivatives, kept per plant and parameters.

    Raises ValueError for a wrong shape, a value that is not finite, another integrator or a bad dt.
    """
    x = check(x, system.nx, system.x_names, "derivatives: state x")
    u = check(u, system.nu, system.u_names, "derivatives: input u")
    try:
        step = _cached(system, float(dt), integrator, tuple(vars(system).items()))
    except TypeError:  # a plant, or a parameter, that cannot be hashed
        step = StepDerivatives(system, dt, integrator)
    return step(x, u)


@lru_cache(maxsize=64)
def _cached(system: System, dt: float, integrator: str, parameters: tuple) -> StepDerivatives:
    """One recording for each set of parameters: a plant whose parameters were changed is recorded anew."""
    return StepDerivatives(system, dt, integrator)


def _directions(by: tuple) -> list:
    """The unit vectors of all variables side by side as tangents of all knots: per variable (n, N, size)."""
    sizes = [part.shape[1] for part in by]
    unit = np.broadcast_to(np.eye(sum(sizes))[:, None, :], (sum(sizes), by[0].shape[0], sum(sizes)))
    return [dl.from_numpy(part.copy()) for part in np.split(unit, np.cumsum(sizes)[:-1], axis=-1)]
