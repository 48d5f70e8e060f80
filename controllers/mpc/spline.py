"""Inputs as splines of few knots."""

import numpy as np

from sims.errors import unknown

ORDERS = ("zero", "linear", "cubic")


class Spline:
    """u = W knots: T inputs from P knots, piecewise constant ("zero"), "linear", or natural "cubic".

    W (T, P). "zero": P pieces of (nearly) equal length; the others pass through their knots, the first at step 0, the
    last at step T - 1. Raises ValueError for an unknown order and P outside 1..T (2..T linear, 3..T cubic).
    """

    def __init__(self, order: str, P: int, T: int):
        if order not in ORDERS:
            raise unknown("spline order", order, ORDERS)
        least = 1 + ORDERS.index(order)
        if not least <= P <= T:
            raise ValueError(f"a {order} spline over T = {T} steps needs {least} to {T} knots, got {P}")
        self.order, self.P, self.T = order, P, T
        steps, eye = np.arange(T), np.eye(P)
        self._piece = steps * P // T
        if order == "zero":
            W = eye[self._piece]
        elif order == "linear":
            W = np.stack([np.interp(steps, np.linspace(0, T - 1, P), column) for column in eye], axis=1)
        else:
            from scipy.interpolate import CubicSpline

            W = CubicSpline(np.linspace(0, T - 1, P), eye, bc_type="natural")(steps)
        self.W, self._fit = np.ascontiguousarray(W), np.linalg.pinv(W)

    def inputs(self, knots: np.ndarray) -> np.ndarray:
        """u (..., T, nu) from knots (..., P, nu)."""
        if self.order == "zero":
            return knots[..., self._piece, :]
        if knots.shape[-1] == 1:  # one product of matrices rather than one a sample
            return (knots[..., 0] @ self.W.T)[..., None]
        return np.matmul(self.W, knots)

    def knots(self, u: np.ndarray) -> np.ndarray:
        """The knots (P, nu) whose inputs are closest to u (T, nu): exact if u is such a spline."""
        return self._fit @ u
