"""The extended Kalman filter, on any manifold."""

import numpy as np

from controllers.estimate.base import Correction, Filter, checked_gate, symmetric
from controllers.estimate.kalman import square_root
from controllers.estimate.model import Model


class EKF(Filter):
    """The Kalman filter of the model linearised about its own estimate.

    xbar+ = f(xhat, u), P+ = F P F' + W; xhat = xbar [+] L (y [-] h(xbar, u)), L from H = dh/dx, P in square-root form
    and carried to the tangent space at xhat. On a linear model it is the Kalman filter. Batches over leading axes where
    the model does. gate: a bound on nis, see Filter. Source: Smith, Schmidt and McGee, 1962; on manifolds Sola, 2017.
    """

    who = "EKF"

    def __init__(self, model: Model, *, gate: float | None = None):
        self.model, self.gate = model, checked_gate(self.who, gate)
        self.ndx, self.ny, self.nu = model.ndx, model.ny, model.nu
        self.difference, self.integrate = model.difference, model.integrate

    def _move(self, u):
        F = self.model.jacobian_f(self.x, u)
        cross = self.P @ np.swapaxes(F, -1, -2)
        return self.model.f(self.x, u), symmetric(F @ cross) + self.model.W, cross

    def _measure(self, y):
        model = self.model
        e = model.innovation(self.x, self.u, y)
        dx, P, e, nis, used = square_root(self.P, e, model.jacobian_h(self.x, self.u), model.V, self.gate)
        return Correction(model.integrate(self.x, dx), symmetric(model.transport(self.x, dx, P)), e, nis, used)
