"""Linear-quadratic regulators with a final time: Riccati equations in continuous and in discrete time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from controllers.base import Controller
from controllers.lqr import weights

Signal = Callable[[float], np.ndarray]


class FiniteHorizonLQR(Controller):
    """u = -K(t) x - k(t) for t in [0, duration], with the cost to go x'S(t)x + 2 x's(t) + s0(t).

    What `finite_horizon_lqr` returns. S(t) (nx, nx), s(t) (nx,), K(t) (nu, nx), k(t) (nu,). After the end the last
    gains stay; with a hard end point, where K grows without bound, from `hold` [s] before it.
    """

    def __init__(self, solution: Callable, problem: "_Problem", duration: float, hard: bool, hold: float):
        self.duration, self.hold = duration, hold
        self._solution, self._problem, self._hard = solution, problem, hard

    def S(self, t: float) -> np.ndarray:
        """Quadratic part of the cost to go (nx, nx) at t [s]."""
        return self._value(t)[0]

    def s(self, t: float) -> np.ndarray:
        """Linear part of the cost to go (nx,), half its gradient at x = 0."""
        return self._value(t)[1]

    def K(self, t: float) -> np.ndarray:
        """Feedback gain (nu, nx) = R^-1 (B'S + N')."""
        p, S = self._problem, self.S(t)
        return np.linalg.solve(p.R(t), p.B(t).T @ S + p.N(t).T)

    def k(self, t: float) -> np.ndarray:
        """Feedforward (nu,) = R^-1 (B's + r)."""
        p, s = self._problem, self.s(t)
        return np.linalg.solve(p.R(t), p.B(t).T @ s + p.r(t))

    def cost(self, x, t: float = 0.0) -> np.ndarray:
        """The minimum (...) over [t, duration] from x (..., nx) at t [s]."""
        S, s, s0 = self._value(t)
        x = np.asarray(x, float)
        return ((x @ S) * x).sum(-1) + 2 * x @ s + s0

    def __call__(self, x, t: float):
        p, t = self._problem, min(max(t, 0.0), self.duration)
        if not self._hard:
            return -self.k(t) - x @ self.K(t).T
        S = self.S(min(t, self.duration - self.hold))
        s = -S @ p.unpack(self._solution(t))[1]  # the gain stops growing, the point it aims at goes on to the end
        return -np.linalg.solve(p.R(t), p.B(t).T @ s + p.r(t)) - x @ np.linalg.solve(p.R(t), p.B(t).T @ S + p.N(t).T).T

    def _value(self, t: float) -> tuple[np.ndarray, np.ndarray, float]:
        if not 0.0 <= t <= self.duration:
            raise ValueError(f"the horizon is [0, {self.duration}] s, got t = {t}")
        if self._hard and t == self.duration:
            raise ValueError("with Qf = inf the cost to go is infinite at the end of the horizon: ask for an earlier t")
        first, second, s0 = self._problem.unpack(self._solution(t))
        if not self._hard:
            return first, second, s0
        S = np.linalg.inv(first)  # the state is P = S^-1 and the point P (-s) that must be met
        S = 0.5 * (S + S.T)
        return S, -S @ second, s0 + float(second @ S @ second)


def finite_horizon_lqr(
    A, B, Q, R, Qf, duration: float, *, N=None, c=None, x_d=None, u_d=None, rtol: float = 1e-10
) -> FiniteHorizonLQR:
    """The controller that minimises, along xdot = Ax + Bu + c,

    e(T)'Qf e(T) + integral over [0, T] of e'Qe + w'Rw + 2 e'Nw, with e = x - x_d, w = u - u_d, T = duration [s], from
    -Sdot = Q + A'S + SA - (SB + N) R^-1 (B'S + N') and its linear part, integrated backward. A (nx, nx), B (nx, nu),
    Q, R, N, c (nx,), x_d (nx,), u_d (nu,): constants or functions of t [s]. Qf (nx, nx), or np.inf: x(T) = x_d(T)
    exactly; then P = S^-1 is integrated from P(T) = 0, and (A, B) must be controllable. Raises ValueError for bad
    shapes and weights as `lqr` does, or if the integration fails. Source: Tedrake, Underactuated Robotics, chapter 8,
    "Finite-horizon formulations"; Bryson and Ho, Applied Optimal Control, 1975, sections 5.2 and 5.3.
    """
    from scipy.integrate import solve_ivp

    if not (np.isfinite(duration) and duration > 0):
        raise ValueError(f"finite_horizon_lqr: duration must be a positive number of seconds, got {duration!r}")
    problem = _Problem.of(A, B, Q, R, N, c, x_d, u_d)
    n, hard = problem.n, np.ndim(Qf) == 0 and np.isposinf(Qf)
    x_end = problem.x_d(duration)
    if hard:
        end, rate = np.concatenate([np.zeros(n * n), x_end, [0.0]]), problem.hard_rate
    else:
        Qf = weights("finite_horizon_lqr (Q is Qf here)", n, problem.nu, Qf, np.eye(problem.nu))[0]
        end = np.concatenate([Qf.ravel(), -Qf @ x_end, [x_end @ Qf @ x_end]])
        rate = problem.soft_rate
    solution = solve_ivp(
        lambda tau, z: -rate(duration - tau, z),
        (0.0, duration),
        end,
        method="DOP853",
        dense_output=True,
        rtol=rtol,
        atol=1e-4 * rtol * (1.0 if hard else max(1.0, float(np.abs(end).max()))),
    )
    if not solution.success or not np.isfinite(solution.y).all():
        raise ValueError(f"finite_horizon_lqr: the Riccati equation could not be integrated: {solution.message}")
    return FiniteHorizonLQR(
        lambda t: solution.sol(duration - t), problem, float(duration), hard, 1e-2 * duration if hard else 0.0
    )


@dataclass(frozen=True)
class _Problem:
    """The functions of t that define a continuous linear-quadratic problem."""

    A: Signal
    B: Signal
    Q: Signal
    R: Signal
    N: Signal
    c: Signal
    x_d: Signal
    u_d: Signal
    n: int
    nu: int

    @staticmethod
    def of(A, B, Q, R, N, c, x_d, u_d) -> "_Problem":
        shape = np.shape(B(0.0) if callable(B) else B)
        if len(shape) != 2:
            raise ValueError(f"finite_horizon_lqr: B must be (nx, nu), got {shape}")
        n, nu = shape
        defaults = ((N, (n, nu)), (c, (n,)), (x_d, (n,)), (u_d, (nu,)))
        rest = [np.zeros(shape) if value is None else value for value, shape in defaults]
        signals = [_signal(value) for value in (A, B, Q, R, *rest)]
        shapes = ((n, n), (n, nu), (n, n), (nu, nu), (n, nu), (n,), (n,), (nu,))
        for name, signal, shape in zip(("A", "B", "Q", "R", "N", "c", "x_d", "u_d"), signals, shapes, strict=True):
            if signal(0.0).shape != shape:
                raise ValueError(f"finite_horizon_lqr: {name} must be {shape}, got {signal(0.0).shape}")
        weights("finite_horizon_lqr", n, nu, signals[2](0.0), signals[3](0.0), signals[4](0.0))
        return _Problem(*signals, n, nu)

    def q(self, t: float) -> np.ndarray:
        return -self.Q(t) @ self.x_d(t) - self.N(t) @ self.u_d(t)

    def r(self, t: float) -> np.ndarray:
        return -self.R(t) @ self.u_d(t) - self.N(t).T @ self.x_d(t)

    def q0(self, t: float) -> float:
        return -float(self.q(t) @ self.x_d(t) + self.r(t) @ self.u_d(t))

    def unpack(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        S = z[: self.n**2].reshape(self.n, self.n)
        return 0.5 * (S + S.T), z[self.n**2 : -1], float(z[-1])

    def soft_rate(self, t: float, z: np.ndarray) -> np.ndarray:
        """Time derivative of S, s, s0."""
        S, s, _ = self.unpack(z)
        A, B, R, c = self.A(t), self.B(t), self.R(t), self.c(t)
        g, h = B.T @ S + self.N(t).T, B.T @ s + self.r(t)
        K, k = np.linalg.solve(R, g), np.linalg.solve(R, h)
        dS = -(self.Q(t) + A.T @ S + S @ A - g.T @ K)
        ds = -(self.q(t) + A.T @ s + S @ c - g.T @ k)
        return np.concatenate([dS.ravel(), ds, [-(self.q0(t) + 2 * s @ c - h @ k)]])

    def hard_rate(self, t: float, z: np.ndarray) -> np.ndarray:
        """Time derivative of P = S^-1, xi = -P s and s0 - xi'S xi: finite where S is not."""
        P, xi, _ = self.unpack(z)
        B, Ri, N, r = self.B(t), np.linalg.inv(self.R(t)), self.N(t), self.r(t)
        A = self.A(t) - B @ Ri @ N.T  # u = v - R^-1 (N'x + r) takes N and r away
        Q, q, c = self.Q(t) - N @ Ri @ N.T, self.q(t) - N @ Ri @ r, self.c(t) - B @ Ri @ r
        dP = P @ Q @ P + P @ A.T + A @ P - B @ Ri @ B.T
        dxi = P @ (Q @ xi + q) + A @ xi + c
        left_over = self.q0(t) - r @ Ri @ r + 2 * q @ xi + xi @ Q @ xi
        return np.concatenate([dP.ravel(), dxi, [-left_over]])


def _signal(value) -> Signal:
    if callable(value):
        return lambda t: np.asarray(value(t), float)
    constant = np.asarray(value, float)
    return lambda t: constant
