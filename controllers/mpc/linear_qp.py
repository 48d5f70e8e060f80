"""The quadratic program behind LinearMPC: matrices once, vectors each time, and the shifted warm start."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from controllers.mpc.qp import program

if TYPE_CHECKING:
    from controllers.mpc.linear import LinearMPC
    from controllers.tvlqr import Riccati

DENSE = 2_000_000  # entries of the map from all inputs to all states up to which one product beats a loop of T steps
MESSAGES = {
    "solved": ("converged", "the QP was solved"),
    "infeasible": ("infeasible", "no inputs meet all constraints from this state"),
    "iteration_limit": ("iteration_limit", "the QP solver ran into its limit of iterations"),
    "failed": ("diverged", "the QP solver failed"),
}


class Memory(NamedTuple):
    """Time t [s] of the first knot, the QP's variables z and multipliers y (None: zero)."""

    t: float
    z: np.ndarray
    y: np.ndarray | None


class LinearProgram:
    """z = [x[1..T], u[0..T-1], s] with slacks s >= 0 of the soft rows; rows: dynamics, hard, soft from above and from
    below, slacks."""

    def __init__(self, mpc: LinearMPC, solver: str, tolerance: float, iterations: int):
        from scipy import sparse

        self.mpc, rows = mpc, mpc.rows
        T, nx, nu = mpc.T, mpc.nx, mpc.nu
        self.times = mpc.dt * np.arange(T + 1)
        self.split, self.size = T * nx, T * (nx + nu)
        dynamics = sparse.hstack(
            [
                sparse.eye(T * nx) - sparse.kron(sparse.eye(T, k=-1), mpc.A),
                -sparse.kron(sparse.eye(T), mpc.B),
            ]
        )
        soft = rows.weight > 0
        self.hard, self.above, self.below = (
            np.flatnonzero(~soft),
            np.flatnonzero(soft & np.isfinite(rows.upper)),
            np.flatnonzero(soft & np.isfinite(rows.lower)),
        )
        slack = np.cumsum(soft) - 1  # of every soft row, the number of its slack
        self.n_slack = int(soft.sum())
        eye = sparse.eye(self.n_slack, format="csr")
        body = sparse.vstack([dynamics, rows.C[self.hard], rows.C[self.above], rows.C[self.below]])
        slacks = sparse.vstack(
            [
                sparse.csr_matrix((T * nx + len(self.hard), self.n_slack)),
                -eye[slack[self.above]],
                eye[slack[self.below]],
            ]
        )
        self.C = sparse.csc_matrix(
            sparse.vstack(
                [sparse.hstack([body, slacks]), sparse.hstack([sparse.csr_matrix((self.n_slack, self.size)), eye])]
            )
        )
        weight = rows.weight[soft]
        blocks = [sparse.kron(sparse.eye(T - 1), mpc.Q), sparse.csc_matrix(mpc.Qf), sparse.kron(sparse.eye(T), mpc.R)]
        self.P = sparse.csc_matrix(2.0 * sparse.block_diag([*blocks, sparse.diags(weight)]))
        self._q = np.concatenate([np.zeros(self.size), weight])
        self._l, self._u = self._vectors()
        self._shift_z, self._shift_y = self._shifts(soft)
        self._first = np.flatnonzero(rows.C0.any(axis=1))
        self._program = program(
            solver, self.P, self._q, self.C, self._l, self._u, tolerance=tolerance, iterations=iterations
        )
        self._memory: Memory | None = None
        self.aimed = False
        self._Gamma, self._free = self._dense() if T * nx * T * nu <= DENSE else (None, None)

    def aim(self, riccati: Riccati) -> None:
        """Take over the goals of the LinearMPC and the gains of its unconstrained problem."""
        mpc = self.mpc
        target = np.concatenate([mpc.x_goal[1:].ravel(), mpc.u_goal.ravel(), np.zeros(self.n_slack)])
        weight = self._q[self.size :]
        self._q = -self.P @ target
        self._q[self.size :] = weight
        affine = np.empty((mpc.T * (mpc.nx + mpc.nu), mpc.nx + 1))  # z of the unconstrained optimum from (x0, 1)
        x = np.eye(mpc.nx, mpc.nx + 1)
        for k in range(mpc.T):
            u = -riccati.K[k] @ x
            u[:, -1] -= riccati.k[k]
            x = mpc.A @ x + mpc.B @ u
            x[:, -1] += mpc.c
            affine[k * mpc.nx : (k + 1) * mpc.nx] = x
            affine[self.split + k * mpc.nu : self.split + (k + 1) * mpc.nu] = u
        self._Z, self._z0 = np.ascontiguousarray(affine[:, :-1]), affine[:, -1].copy()
        self._M, self._m0 = mpc.rows.C @ self._Z + mpc.rows.C0, mpc.rows.C @ self._z0
        self.aimed, self._memory = True, None

    def unconstrained(self, x0: np.ndarray) -> tuple[np.ndarray, float]:
        """z of the optimum without constraints, and the most by which it leaves one (hard or soft)."""
        z = self._Z @ x0 + self._z0
        rows = self.mpc.rows
        if not len(rows.lower):
            return z, 0.0
        g = self._M @ x0 + self._m0
        return z, float(max((g - rows.upper).max(), (rows.lower - g).max()))

    def solve(self, x0: np.ndarray, warm: Memory | None, now: float) -> tuple[np.ndarray, str, str]:
        """The flat states and inputs (of the clipped LQR if the solver gave nothing finite), status and message."""
        rows, nx = self.mpc.rows, self.mpc.nx
        l, u = self._l, self._u
        l[:nx] = u[:nx] = self.mpc.A @ x0 + self.mpc.c
        if len(self._first):
            self._move_first_rows(rows, x0)
        start = None if warm is None else np.concatenate([warm.z[: self.size], np.zeros(self.n_slack)])
        if warm is not None and len(warm.z) == len(self._q):
            start = warm.z
        solution = self._program.solve(self._q, l, u, start, None if warm is None else warm.y)
        status, message = MESSAGES[solution.status]
        if status in ("converged", "iteration_limit") and np.isfinite(solution.z).all():
            self.remember(now, solution.z, solution.y)
            return solution.z[: self.size], status, f"{message} in {solution.iterations} iterations"
        self._memory = None
        return self._clipped_lqr(x0), "diverged" if status in ("converged", "iteration_limit") else status, message

    def simulated(self, x0: np.ndarray, z: np.ndarray) -> np.ndarray:
        """z with its inputs clipped to their limits and its states those that the inputs lead to."""
        mpc, out = self.mpc, np.empty(self.size)
        u = out[self.split :].reshape(mpc.T, mpc.nu)
        np.minimum(np.maximum(z[self.split : self.size].reshape(u.shape), mpc.u_min), mpc.u_max, out=u)
        if self._Gamma is not None and self._free is not None:
            out[: self.split] = self._Gamma @ out[self.split :] + self._free[0] @ x0 + self._free[1]
            return out
        x, drive = x0, u @ mpc.B.T + mpc.c
        for k in range(mpc.T):
            x = out[k * mpc.nx : (k + 1) * mpc.nx] = mpc.A @ x + drive[k]
        return out

    def judged(self, x0: np.ndarray, z: np.ndarray, tolerance: float) -> tuple[float, tuple]:
        """The largest excess over a hard row (0 within the tolerance), and the Violations of all rows beyond it."""
        rows = self.mpc.rows
        if not len(rows.lower):
            return 0.0, ()
        g = rows.C @ z
        if len(self._first):
            g = g + rows.C0 @ x0
        excess = np.maximum(g - rows.upper, rows.lower - g)
        if excess.max() <= tolerance:
            return 0.0, ()
        return float(excess[self.hard].max(initial=0.0)), rows.violations(excess, tolerance)

    def remember(self, now: float, z: np.ndarray, y: np.ndarray | None) -> None:
        """Keep a solution for the next warm start."""
        self._memory = Memory(now, z, y)

    def recall(self, now: float) -> Memory | None:
        """The last solution, shifted to begin at `now` [s]; None if it does not reach that far."""
        memory = self._memory
        if memory is None:
            return None
        steps = round((now - memory.t) / self.mpc.dt)
        if not 0 <= steps < self.mpc.T:
            return None
        z, y = memory.z, memory.y
        shift_z = self._shift_z[: len(z)]
        for _ in range(steps):
            z = z[shift_z]
            if y is not None:
                y = y[self._shift_y]
        return Memory(now, z, y)

    def _move_first_rows(self, rows, x0: np.ndarray) -> None:
        """Rows at knot 0 that contain the given state: its share goes to the bounds."""
        share = rows.C0 @ x0
        for at, where, signs in self._bound_blocks():
            for sign in signs:
                bound, vector = (rows.upper, self._u) if sign > 0 else (rows.lower, self._l)
                vector[at : at + len(where)] = bound[where] - share[where]

    def _bound_blocks(self) -> list[tuple[int, np.ndarray, tuple[int, ...]]]:
        start = self.split
        return [
            (start, self.hard, (1, -1)),
            (start + len(self.hard), self.above, (1,)),
            (start + len(self.hard) + len(self.above), self.below, (-1,)),
        ]

    def _vectors(self) -> tuple[np.ndarray, np.ndarray]:
        rows = self.mpc.rows
        dynamics = np.tile(self.mpc.c, self.mpc.T)
        open_above, open_below = np.full(len(self.below), np.inf), np.full(len(self.above), -np.inf)
        slack = np.zeros(self.n_slack)
        l = np.concatenate([dynamics, rows.lower[self.hard], open_below, rows.lower[self.below], slack])
        u = np.concatenate([dynamics, rows.upper[self.hard], rows.upper[self.above], open_above, slack + np.inf])
        return l, u

    def _shifts(self, soft: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of every variable and every row, the index of the same one a knot later; its own at the end."""
        mpc, rows = self.mpc, self.mpc.rows
        later = {(int(i), int(k)): n for n, (i, k) in enumerate(zip(rows.kind, rows.knot, strict=True))}
        following = np.array([later.get((int(i), int(k) + 1), n) for (i, k), n in later.items()], int)
        x, u = (
            np.minimum(np.arange(mpc.T * n) + n, mpc.T * n - n + np.arange(mpc.T * n) % n) for n in (mpc.nx, mpc.nu)
        )

        def within(where: np.ndarray) -> np.ndarray:
            place = np.full(len(rows.lower), -1)
            place[where] = np.arange(len(where))
            found = place[following[where]] if len(where) else np.empty(0, int)
            return np.where(found < 0, np.arange(len(where)), found)

        slack = within(np.flatnonzero(soft))
        z = np.concatenate([x, self.split + u, self.size + slack])
        parts, offset = [], 0
        for part in (x, within(self.hard), within(self.above), within(self.below), slack):
            parts.append(offset + part)
            offset += len(part)
        return z, np.concatenate(parts)

    def _dense(self):
        """Gamma, (Phi, free): x[1..T] = Gamma u + Phi x0 + free, flat."""
        mpc = self.mpc
        T, nx, nu = mpc.T, mpc.nx, mpc.nu
        Gamma, Phi, free = np.zeros((T * nx, T * nu)), np.empty((T * nx, nx)), np.empty(T * nx)
        row, power, drift = np.zeros((nx, T * nu)), np.eye(nx), np.zeros(nx)
        for k in range(T):
            row = mpc.A @ row
            row[:, k * nu : (k + 1) * nu] += mpc.B
            power, drift = mpc.A @ power, mpc.A @ drift + mpc.c
            here = slice(k * nx, (k + 1) * nx)
            Gamma[here], Phi[here], free[here] = row, power, drift
        return Gamma, (Phi, free)

    def _clipped_lqr(self, x0: np.ndarray) -> np.ndarray:
        """What the unconstrained gains do with clipped inputs, closed loop."""
        mpc, out, x = self.mpc, np.empty(self.size), x0
        for k in range(mpc.T):
            at = slice(self.split + k * mpc.nu, self.split + (k + 1) * mpc.nu)
            nominal = self._z0[at] if k == 0 else self._nominal(k)
            u = np.clip(nominal - mpc._gains[k] @ x, mpc.u_min, mpc.u_max)
            out[at] = u
            x = out[k * mpc.nx : (k + 1) * mpc.nx] = mpc.A @ x + mpc.B @ u + mpc.c
        return out

    def _nominal(self, k: int) -> np.ndarray:
        """The feedforward -k[k] of the unconstrained optimum."""
        mpc = self.mpc
        x = self._z0[(k - 1) * mpc.nx : k * mpc.nx]
        return self._z0[self.split + k * mpc.nu : self.split + (k + 1) * mpc.nu] + mpc._gains[k] @ x
