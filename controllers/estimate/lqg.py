"""Control from measurements: y -> estimate -> u."""

import numpy as np

from controllers.base import Controller, Policy
from controllers.estimate.base import Filter, covariance
from controllers.estimate.kalman import dkalman
from controllers.estimate.model import Function, Model
from controllers.estimate.observer import Luenberger
from controllers.lqr import dlqr
from controllers.manifold_lqr import balance
from sims.simulator import Simulator


class Sensor:
    """y = h(x, u) + v, v ~ N(0, V): a measurement (..., ny) of a simulator's state x (..., nx).

    u: the input that acted up to now. V (ny, ny). The noise comes from `seed` alone and is the same after every reset.
    """

    def __init__(self, h: Function, V, *, seed: int):
        V = np.atleast_2d(np.asarray(V, float))
        self.h, self.seed = h, seed
        values, vectors = np.linalg.eigh(covariance("Sensor", "V", V, len(V)))
        self._G = vectors * np.sqrt(np.maximum(values, 0.0))
        self.reset()

    def reset(self) -> None:
        """Draw the same noise again."""
        self._rng = np.random.default_rng(self.seed)

    def __call__(self, x, u) -> np.ndarray:
        y = np.asarray(self.h(x, u), float)
        return y + self._rng.standard_normal(y.shape) @ self._G.T


class OutputFeedback(Controller):
    """u = feedback(xhat, t) with xhat = filter.update(y, u before, t).x: a controller that does not see the state.

    sensor(x, u) -> y makes the measurement from a simulator's state; without one the controller is called with the
    measurement itself, u = controller(y, t), as on a robot. The filter starts from x0, P0. u_min, u_max (nu,) or
    scalar: limits the plant has, so that the filter knows what really acted. A measurement that is not finite is not
    used, and counted in filter.rejected. A time before the last one starts anew. `.estimate`: the last Estimate.
    """

    def __init__(self, filter: Filter, feedback: Policy, *, x0, P0=None, sensor=None, u_min=-np.inf, u_max=np.inf):
        self.filter, self.feedback, self.sensor = filter, feedback, sensor
        self.u_min, self.u_max = np.asarray(u_min, float), np.asarray(u_max, float)
        if not (self.u_min <= self.u_max).all():
            raise ValueError(f"OutputFeedback: u_min must not exceed u_max, got {u_min} and {u_max}")
        self._start = (x0, P0)
        self.reset()

    def reset(self) -> None:
        """Believe x0, P0 again; reset the sensor's noise and the feedback."""
        self.filter.reset(*self._start)
        if isinstance(self.sensor, Sensor):
            self.sensor.reset()
        if isinstance(self.feedback, Controller):
            self.feedback.reset()
        self.estimate, self._u, self._t = None, None, -np.inf

    def __call__(self, x, t: float = 0.0):
        if t < self._t:
            self.reset()
        before = np.zeros(self.filter.nu) if self._u is None else self._u
        y = x if self.sensor is None else self.sensor(x, before)
        self.estimate, self._t = self.filter.update(y, self._u, t), t
        u = np.asarray(self.feedback(self.estimate.x, t), float)
        self._u = np.minimum(np.maximum(u, self.u_min), self.u_max)
        return self._u.copy()


def lqg(
    sim: Simulator, x_goal, u_goal, Q, R, h: Function, *, W, V, seed: int | None = None, angles=()
) -> OutputFeedback:
    """The controller that holds a simulator at an equilibrium from measurements y = h(x, u) + v.

    `balance` for the feedback, and for the estimate the simulator itself, corrected with the steady Kalman gain of its
    linear model about (x_goal, u_goal); it starts from x_goal. Q (ndx, ndx), R (nu, nu); W (ndx, ndx), V (ny, ny):
    covariances of one step's disturbance and of the measurement. seed: measure the state it is called with by
    Sensor(h, V, seed); None: call it with y. Raises ValueError as `balance` and `dkalman` do.
    """
    feedback, _ = balance(sim, x_goal, u_goal, Q, R, angles=angles)
    model = Model.of(sim, h, W=W, V=V)
    x, u = feedback.x_goal, feedback.u_goal
    A, C = model.jacobian_f(x, u), model.jacobian_h(x, u)
    L, P = dkalman(A, C, model.W, model.V)
    observer = Luenberger(model, L, P=(np.eye(sim.ndx) - L @ C) @ P)
    sensor = None if seed is None else Sensor(h, model.V, seed=seed)
    return OutputFeedback(observer, feedback, x0=x, sensor=sensor, u_min=sim.u_min, u_max=sim.u_max)


def lqg_cost(A, B, C, Q, R, *, W, V) -> float:
    """The least mean of x'Qx + u'Ru per step for x+ = Ax + Bu + w from y = Cx + v: tr(SW) + tr(K'(R + B'SB) K P).

    K, S of `dlqr`; P the covariance of the steady Kalman filter after the measurement. The first term is the price of
    disturbances, the second that of not seeing the state. Source: Astrom, Introduction to Stochastic Control Theory,
    1970, chapter 8.
    """
    K, S = dlqr(A, B, Q, R)
    L, P = dkalman(A, C, W, V)
    B, W = np.asarray(B, float), np.asarray(W, float)
    after = P - L @ np.atleast_2d(np.asarray(C, float)) @ P
    return float(np.trace(S @ W) + np.trace(K.T @ (np.asarray(R, float) + B.T @ S @ B) @ K @ after))
