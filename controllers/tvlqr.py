"""Linear-quadratic feedback along a trajectory: the discrete Riccati recursion and the controller that plays it."""

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from controllers.base import Controller, Difference, Policy
from controllers.lqr import weights
from sims.simulator import Simulator
from sims.trajectory import Trajectory


@dataclass(frozen=True)
class Riccati:
    """u[i] = -K[i] x[i] - k[i] and the cost to go x'S[i]x + 2 x's[i] + s0[i] of a discrete problem with T steps.

    K (T, nu, nx), k (T, nu), S (T+1, nx, nx), s (T+1, nx), s0 (T+1,). With a hard end point S, s, s0 hold for the
    states from which it can be reached in the steps left.
    """

    K: np.ndarray
    k: np.ndarray
    S: np.ndarray
    s: np.ndarray
    s0: np.ndarray

    def cost(self, x, i: int = 0) -> np.ndarray:
        """The minimum (...) from x (..., nx) at step i."""
        x = np.asarray(x, float)
        return ((x @ self.S[i]) * x).sum(-1) + 2 * x @ self.s[i] + self.s0[i]


def finite_horizon_dlqr(A, B, Q, R, Qf, T: int, *, N=None, c=None, x_d=None, u_d=None) -> Riccati:
    """The gains that minimise, along x+ = Ax + Bu + c, e[T]'Qf e[T] + sum of e'Qe + w'Rw + 2 e'Nw over T steps,

    e = x - x_d, w = u - u_d, by the backward recursion K = (R + B'SB)^-1 (B'SA + N'). Every matrix is constant or has
    one more axis of length T in front (x_d: T + 1). A (nx, nx), B (nx, nu), c (nx,), x_d (nx,), u_d (nu,). Qf
    (nx, nx), or np.inf for x[T] = x_d[T] exactly: the recursion then also carries the linear constraint on x[i] that
    the steps left must remove, and the last nx / nu inputs are dead-beat. Raises ValueError for bad shapes and
    weights, and if for Qf = inf T steps cannot reach the end point from every state. Source: Bertsekas, Dynamic
    Programming and Optimal Control, section 4.1; for the constraint Laine and Tomlin, "Efficient computation of
    feedback control for equality-constrained LQR", 2019.
    """
    who = "finite_horizon_dlqr"
    n, nu = np.shape(B)[-2:]
    data = _Stages(who, T, n, nu, A, B, Q, R, N, c, x_d, u_d)
    hard = np.ndim(Qf) == 0 and np.isposinf(Qf)
    S, s, s0 = np.zeros((T + 1, n, n)), np.zeros((T + 1, n)), np.zeros(T + 1)
    K, k = np.empty((T, nu, n)), np.empty((T, nu))
    H, h = np.zeros((0, n)), np.zeros(0)
    end = data.x_d[T]
    if hard:
        H, h = np.eye(n), -end
    else:
        Qf = weights(f"{who} (Q is Qf here)", n, nu, Qf, np.eye(nu))[0]
        S[T], s[T], s0[T] = Qf, -Qf @ end, end @ Qf @ end
    for i in reversed(range(T)):
        stage = data.stage(i)
        K[i], k[i], H, h = _gain(stage, S[i + 1], s[i + 1], H, h)
        S[i], s[i], s0[i] = _cost_to_go(stage, S[i + 1], s[i + 1], s0[i + 1], K[i], k[i])
    if len(H):
        raise ValueError(
            f"{who}: with Qf = inf, T = {T} steps cannot bring every state to the goal ({len(H)} of {n} directions "
            "remain): take more steps or check controllability"
        )
    return Riccati(K, k, S, s, s0)


class TimeVaryingFeedback(Controller):
    """u = u_goal[i] - K[i] (x [-] x_goal[i]) for t in [t[i], t[i+1]); `after` the end another policy, if given.

    t (T+1,) [s], x_goal (T+1, nx), u_goal (T, nu), K (T, nu, ndx); difference: `sim.difference` on a manifold. Without
    `after` the last gain holds the last state. Raises ValueError for shapes that do not fit.
    """

    def __init__(self, t, x_goal, u_goal, K, *, difference: Difference | None = None, after: Policy | None = None):
        self.t, self.x_goal, self.u_goal, self.K = (np.array(a, float) for a in (t, x_goal, u_goal, K))
        T = len(self.t) - 1
        if T < 1 or len(self.x_goal) != T + 1 or len(self.u_goal) != T or self.K.shape[:2] != self.u_goal.shape:
            raise ValueError(
                f"TimeVaryingFeedback: t (T+1,), x_goal (T+1, nx), u_goal (T, nu), K (T, nu, ndx) do not fit: got "
                f"{self.t.shape}, {self.x_goal.shape}, {self.u_goal.shape}, {self.K.shape}"
            )
        self.difference, self.after = difference, after
        self._times = (self.t - 1e-6 * np.diff(self.t).min()).tolist()  # a time rounded down belongs to its knot

    def reset(self) -> None:
        """Reset the policy that follows, if it can be."""
        if isinstance(self.after, Controller):
            self.after.reset()

    def __call__(self, x, t: float):
        last = len(self.K) - 1
        i = max(bisect_right(self._times, t) - 1, 0)
        if i > last and self.after is not None:
            return self.after(x, t)
        goal, i = self.x_goal[i], min(i, last)
        dx = x - goal if self.difference is None else self.difference(goal, x)
        return self.u_goal[i] - dx @ self.K[i].T


def tvlqr(
    sim: Simulator, trajectory: Trajectory, Q, R, Qf, *, N=None, after: Policy | None = None
) -> tuple[TimeVaryingFeedback, np.ndarray]:
    """Feedback along a trajectory of a simulator, and S (T+1, ndx, ndx) of its cost to go.

    The simulator is linearised at all knots in one call, in tangent coordinates dx = x [-] x[i], and the cost
    dx[T]'Qf dx[T] + sum of dx'Q dx + du'R du + 2 dx'N du is minimised (Qf = np.inf: end exactly there). Where the
    trajectory is not one of `sim` (a plan of another engine or grid) its defects step(x[i], u[i]) [-] x[i+1] enter as a
    known disturbance and give a feedforward. trajectory: x (T+1, nx), u (T, nu) on the grid of sim.dt (`on_grid` puts
    it there); Q, Qf (ndx, ndx), R (nu, nu). Raises ValueError for another grid, a batch, or bad weights. Source:
    Tedrake, Underactuated Robotics, chapter 10, "Local trajectory feedback design".
    """
    x, u = trajectory.x, trajectory.u
    if x.ndim != 2:
        raise ValueError(f"tvlqr: one trajectory at a time, x (T+1, nx); got x {x.shape}: pick one, e.g. x[0]")
    if np.abs(np.diff(trajectory.t) - sim.dt).max() > 1e-6 * sim.dt:
        raise ValueError(
            f"tvlqr: the trajectory's step is {np.diff(trajectory.t).max():.6g} s, the simulator's {sim.dt:.6g} s: "
            "call tvlqr(sim, on_grid(sim, trajectory), ...)"
        )
    A, B = sim.linearize(x[:-1], u)
    defect = sim.difference(x[1:], sim.step(x[:-1], u))
    riccati = finite_horizon_dlqr(A, B, Q, R, Qf, len(u), N=N, c=defect)
    along = np.zeros((len(u) + 1, sim.ndx))
    feedforward = np.empty_like(u)
    for i in range(len(u)):  # the disturbed optimum itself becomes the nominal trajectory
        feedforward[i] = -riccati.k[i] - riccati.K[i] @ along[i]
        along[i + 1] = A[i] @ along[i] + B[i] @ feedforward[i] + defect[i]
    goal = sim.integrate(x, along)
    return TimeVaryingFeedback(
        trajectory.t, goal, u + feedforward, riccati.K, difference=sim.difference, after=after
    ), riccati.S


def on_grid(sim: Simulator, trajectory: Trajectory) -> Trajectory:
    """The trajectory on the simulator's time grid: states interpolated along the manifold, inputs held."""
    T = max(1, round(float(trajectory.t[-1] - trajectory.t[0]) / sim.dt))
    t = trajectory.t[0] + sim.dt * np.arange(T + 1)
    i = np.clip(np.searchsorted(trajectory.t, t + 1e-6 * sim.dt, side="right") - 1, 0, len(trajectory) - 1)
    share = np.clip((t - trajectory.t[i]) / np.diff(trajectory.t)[i], 0.0, 1.0)
    start = trajectory.x[..., i, :]
    step = sim.difference(start, trajectory.x[..., i + 1, :])
    return Trajectory(t, sim.integrate(start, share[:, None] * step), trajectory.u[..., i[:-1], :])


class _Stages:
    """The data of a discrete problem, each broadcast to one entry a step, the targets folded into q, r, q0."""

    def __init__(self, who: str, T: int, n: int, nu: int, A, B, Q, R, N, c, x_d, u_d):
        if T < 1:
            raise ValueError(f"{who}: T must be at least 1, got {T}")

        def spread(name: str, value, shape: tuple[int, ...], length: int = T) -> np.ndarray:
            value = np.zeros(shape) if value is None else np.asarray(value, float)
            if value.shape not in (shape, (length, *shape)):
                raise ValueError(f"{who}: {name} must be {shape} or {(length, *shape)}, got {value.shape}")
            return np.broadcast_to(value, (length, *shape))

        self.A, self.B, self.c = spread("A", A, (n, n)), spread("B", B, (n, nu)), spread("c", c, (n,))
        self.Q, self.R, self.N = spread("Q", Q, (n, n)), spread("R", R, (nu, nu)), spread("N", N, (n, nu))
        self.x_d, self.u_d = spread("x_d", x_d, (n,), T + 1), spread("u_d", u_d, (nu,))
        varying = any(np.ndim(M) == 3 for M in (Q, R, N) if M is not None)
        for i in range(T if varying else 1):
            weights(who, n, nu, self.Q[i], self.R[i], self.N[i])

    def stage(self, i: int) -> tuple[np.ndarray, ...]:
        """A, B, c, Q, R, N, q, r, q0 of step i."""
        Q, R, N, x_d, u_d = self.Q[i], self.R[i], self.N[i], self.x_d[i], self.u_d[i]
        q, r = -Q @ x_d - N @ u_d, -R @ u_d - N.T @ x_d
        return self.A[i], self.B[i], self.c[i], Q, R, N, q, r, -(q @ x_d + r @ u_d)


def _gain(stage, S, s, H, h) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """K, k of one step, and what is left of the constraint H x+ + h = 0 on the next state as H x + h = 0 on this."""
    A, B, c, _, R, N, _, r, _ = stage
    Quu, Qux, qu = R + B.T @ S @ B, B.T @ S @ A + N.T, r + B.T @ (S @ c + s)
    if not len(H):
        solved = np.linalg.solve(Quu, np.column_stack([Qux, qu]))
        return solved[:, :-1], solved[:, -1], H, h
    D, E, e = H @ B, H @ A, H @ c + h
    U, sv, Vt = np.linalg.svd(D)
    rank = int((sv > 1e-12 * np.linalg.norm(B)).sum())
    into = Vt[:rank].T / sv[:rank]
    K, k = into @ (U[:, :rank].T @ E), into @ (U[:, :rank].T @ e)  # what the constraint fixes
    if rank < len(R):
        Z = Vt[rank:].T  # what it leaves to the cost
        free = np.linalg.solve(Z.T @ Quu @ Z, Z.T @ np.column_stack([Qux - Quu @ K, qu - Quu @ k]))
        K, k = K + Z @ free[:, :-1], k + Z @ free[:, -1]
    H, h = U[:, rank:].T @ E, U[:, rank:].T @ e
    length = np.linalg.norm(H, axis=1)
    done = (length < 1e-12) & (np.abs(h) < 1e-12)  # what comes to rest by itself
    return K, k, H[~done] / length[~done, None], h[~done] / length[~done]


def _cost_to_go(stage, S, s, s0, K, k) -> tuple[np.ndarray, np.ndarray, float]:
    """S, s, s0 of one step from those of the next under u = -K x - k (Joseph's form: stays positive semidefinite)."""
    A, B, c, Q, R, N, q, r, q0 = stage
    Acl, d = A - B @ K, c - B @ k
    S_now = Q - N @ K - K.T @ N.T + K.T @ R @ K + Acl.T @ S @ Acl
    s_now = q - N @ k + K.T @ (R @ k - r) + Acl.T @ (S @ d + s)
    s0_now = q0 + k @ R @ k - 2 * r @ k + d @ S @ d + 2 * s @ d + s0
    return 0.5 * (S_now + S_now.T), s_now, float(s0_now)
