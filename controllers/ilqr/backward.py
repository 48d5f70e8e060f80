"""The backward pass: gains, the cost to go, and what a step along them promises."""

from typing import NamedTuple

import numpy as np

from controllers.cost import Expansion
from dl.ddp_kernels import ddp_backward


class Model(NamedTuple):
    """All that the backward pass reads: the plant A (T, n, n), B (T, n, m), gap (T, n) or None; the cost's expansions
    along the run (per second) and at its end, h (T,) [s]; lo, hi (T, m): what an input may change by."""

    A: np.ndarray
    B: np.ndarray
    gap: np.ndarray | None
    stage: Expansion
    end: Expansion
    h: np.ndarray
    lo: np.ndarray
    hi: np.ndarray


class Step(NamedTuple):
    """du = alpha k - K dx, its cost to go Vx (T+1, n), Vxx (T+1, n, n), and what the quadratic model says of it.

    failed: the knot where the Hessian by the free inputs was not positive definite, or -1; a step of length alpha
    changes the cost by alpha slope + alpha^2 / 2 curvature; gradient: the largest derivative by an input that is free
    to follow it.
    """

    k: np.ndarray
    K: np.ndarray
    Vx: np.ndarray
    Vxx: np.ndarray
    failed: int
    slope: float
    curvature: float
    gradient: float

    def promised(self, alpha):
        """The decrease of the cost that the quadratic model promises for step lengths alpha."""
        return -(alpha * self.slope + 0.5 * alpha * alpha * self.curvature)


def backward(model: Model, mu: tuple[float, float]) -> Step:
    """The Riccati-like recursion with input limits; mu: (in the cost, on du; in the minimisation
    alone, on the state that du leads to). See dl.ddp_kernels."""
    e, end = model.stage, model.end
    k, K, Vx, Vxx, info = ddp_backward(
        model.A,
        model.B,
        e.lx,
        e.lu,
        e.lxx,
        e.lux,
        e.luu,
        end.lx,
        end.lxx,
        model.h,
        model.lo,
        model.hi,
        model.gap,
        mu=mu,
    )
    slope, curvature = (info[1], info[2]) if model.gap is None else (info[4], info[5])
    return Step(k, K, Vx, Vxx, int(info[0]), float(slope), float(curvature), float(info[3]))


def sharpened(model: Model, H: np.ndarray) -> Model:
    """The model with the second derivatives H (T, n + m, n + m) of the dynamics, weighed by the cost to go, added."""
    n, h = model.A.shape[2], model.h[:, None, None]
    e, H = model.stage, H / h
    blocks = {"lxx": e.lxx + H[:, :n, :n], "lux": e.lux + H[:, n:, :n], "luu": e.luu + H[:, n:, n:]}
    return model._replace(stage=e._replace(**blocks))
