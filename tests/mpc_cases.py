"""Plants, planners and oracles of the tests of predictive control."""

import numpy as np

from controllers import zoh
from controllers.mpc.linear import LinearMPC


def quadrotor_like(dt: float = 0.05) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A (12, 12), B (12, 4), Q, R: a quadrotor about its hover, sampled; x = [p, rpy, v, rates]."""
    A, B = np.zeros((12, 12)), np.zeros((12, 4))
    A[:6, 6:] = np.eye(6)
    A[6, 4], A[7, 3] = 9.81, -9.81
    B[8, 0] = 1 / 0.775
    B[9:, 1:] = np.diag(0.1 / np.array([0.0015, 0.0025, 0.0035]))
    Q = np.diag([10.0, 10, 10, 1, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1])
    return *zoh(A, B, dt), Q, 0.1 * np.eye(4)


def double_integrator(dt: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A, B, Q, R of a unit mass, sampled."""
    return *zoh([[0.0, 1.0], [0.0, 0.0]], [[0.0], [1.0]], dt), np.diag([1.0, 0.1]), 0.1 * np.eye(1)


def random_plant(rng: np.random.Generator, nx: int, nu: int) -> tuple[np.ndarray, ...]:
    """A (spectral radius 1.05), B, Q, R, none of them special."""
    A = rng.standard_normal((nx, nx))
    A *= 1.05 / np.abs(np.linalg.eigvals(A)).max()
    F, G = rng.standard_normal((nx, nx)), rng.standard_normal((nu, nu))
    return A, rng.standard_normal((nx, nu)), F @ F.T + 0.1 * np.eye(nx), G @ G.T + np.eye(nu)


def dense(mpc: LinearMPC, x0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """H, h of the cost 1/2 u'Hu + h'u + const in the inputs u (T nu,) alone, by simulating unit inputs one by one."""
    T, nx, nu = mpc.T, mpc.nx, mpc.nu
    free, columns = simulate(mpc, x0, np.zeros((T, nu))), []
    for i in range(T * nu):
        unit = np.zeros(T * nu)
        unit[i] = 1.0
        columns.append((simulate(mpc, x0, unit.reshape(T, nu)) - free).ravel())
    G, e = np.array(columns).T, (free - mpc.x_goal).ravel()
    W = np.kron(np.eye(T + 1), mpc.Q)
    W[-nx:, -nx:] = mpc.Qf
    Rb, w = np.kron(np.eye(T), mpc.R), mpc.u_goal.ravel()
    return 2 * (G.T @ W @ G + Rb), 2 * (G.T @ W @ e - Rb @ w)


def simulate(mpc: LinearMPC, x0: np.ndarray, u: np.ndarray) -> np.ndarray:
    """States (T+1, nx) of x+ = Ax + Bu + c."""
    x = [np.asarray(x0, float)]
    for row in u:
        x.append(mpc.A @ x[-1] + mpc.B @ row + mpc.c)
    return np.array(x)


def cost(mpc: LinearMPC, x: np.ndarray, u: np.ndarray) -> float:
    """The cost of a run, one step after the other."""
    total = 0.0
    for k in range(mpc.T):
        e, w = x[k] - mpc.x_goal[k], u[k] - mpc.u_goal[k]
        total += float(e @ mpc.Q @ e + w @ mpc.R @ w)
    e = x[-1] - mpc.x_goal[-1]
    return total + float(e @ mpc.Qf @ e)
