"""Plants, records and filters that several estimation tests share."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag, solve_discrete_lyapunov

from controllers.estimate import EKF, UKF, KalmanFilter, Model
from sims import OdeSimulator, lie, plants


@dataclass(frozen=True)
class Linear:
    """x+ = Ax + Bu + w, y = Cx + v, and where x starts: N(x0, P0)."""

    A: np.ndarray
    B: np.ndarray
    C: np.ndarray
    W: np.ndarray
    V: np.ndarray
    x0: np.ndarray
    P0: np.ndarray

    def model(self) -> Model:
        return Model.linear(self.A, self.B, self.C, W=self.W, V=self.V)

    def kalman(self, **options) -> KalmanFilter:
        return KalmanFilter(self.A, self.B, self.C, W=self.W, V=self.V, **options)

    def record(self, rng, T: int, batch: tuple[int, ...] = ()):
        """x (T+1, ..., n), y (T+1, ..., ny), u (T, ..., nu)."""
        (n, nu), ny = self.B.shape, len(self.C)
        root = {name: np.linalg.cholesky(getattr(self, name)) for name in ("W", "V", "P0")}
        x = np.empty((T + 1, *batch, n))
        u = rng.standard_normal((T, *batch, nu))
        x[0] = self.x0 + rng.standard_normal((*batch, n)) @ root["P0"].T
        for k in range(T):
            x[k + 1] = x[k] @ self.A.T + u[k] @ self.B.T + rng.standard_normal((*batch, n)) @ root["W"].T
        return x, x @ self.C.T + rng.standard_normal((T + 1, *batch, ny)) @ root["V"].T, u


def random_linear(seed: int) -> Linear:
    """A plant with one mode that does not decay, of random size."""
    rng = np.random.default_rng(seed)
    n, nu, ny = int(rng.integers(2, 6)), int(rng.integers(1, 3)), int(rng.integers(1, 3))
    A = rng.standard_normal((n, n))
    A *= 1.02 / np.abs(np.linalg.eigvals(A)).max()

    def spd(size: int, scale: float) -> np.ndarray:
        G = rng.standard_normal((size, size))
        return scale * (G @ G.T + 0.1 * np.eye(size))

    return Linear(
        A,
        rng.standard_normal((n, nu)),
        rng.standard_normal((ny, n)),
        spd(n, 0.1),
        spd(ny, 0.2),
        rng.standard_normal(n),
        spd(n, 1.0),
    )


LINEAR = {f"random{seed}": random_linear(seed) for seed in range(6)}
FILTERS = {
    "KalmanFilter": lambda case: case.kalman(),
    "EKF": lambda case: EKF(case.model()),
    "UKF": lambda case: UKF(case.model()),
    "UKF, small alpha": lambda case: UKF(case.model(), alpha=1e-2, kappa=1.0),
}


def run(filter, y, u, x0, P0):
    """The Estimates of a whole record."""
    filter.reset(x0, P0)
    return [filter.update(y[k], u[k - 1] if k else None, float(k)) for k in range(len(y))]


def least_squares(case: Linear, y, u) -> tuple[np.ndarray, np.ndarray]:
    """x (T+1, n) and its covariance (T+1, n, n): one dense weighted least-squares fit of a record, NaNs left out."""
    T, n = len(u), len(case.A)
    rows, right, noise = [], [], []

    def add(M, b, covariance):
        rows.append(M)
        right.append(b)
        noise.append(covariance)

    def at(k: int, M) -> np.ndarray:
        out = np.zeros((len(M), (T + 1) * n))
        out[:, k * n : (k + 1) * n] = M
        return out

    add(at(0, np.eye(n)), case.x0, case.P0)
    for k in range(T):
        add(at(k + 1, np.eye(n)) - at(k, case.A), case.B @ u[k], case.W)
    for k in range(T + 1):
        seen = np.isfinite(y[k])
        if seen.any():
            add(at(k, case.C[seen]), y[k][seen], case.V[np.ix_(seen, seen)])
    M, b, weight = np.vstack(rows), np.concatenate(right), np.linalg.inv(block_diag(*noise))
    covariance = np.linalg.inv(M.T @ weight @ M)
    x = covariance @ (M.T @ weight @ b)
    blocks = [covariance[k * n : (k + 1) * n, k * n : (k + 1) * n] for k in range(T + 1)]
    return x.reshape(T + 1, n), np.array(blocks)


def stationary(A, W) -> np.ndarray:
    """The covariance of x+ = Ax + w in the long run."""
    return solve_discrete_lyapunov(A, W)


HOVER = plants.Quadrotor().hover
TUMBLING = np.concatenate([np.zeros(3), [1.0, 0, 0, 0], [0.1, -0.2, 0.0], [0.5, -0.8, 0.3]])
QUAD_W = np.diag([1e-8] * 3 + [1e-6] * 3 + [1e-6] * 3 + [1e-4] * 3)
QUAD_P0 = np.diag([0.04] * 3 + [0.09] * 3 + [0.01] * 3 + [0.04] * 3)
QUAD_V = np.diag([1e-4] * 3 + [4e-4] * 3)


def pose(x, u):
    return x[..., :7]


def pose_residual(expected, y):
    w = lie.quat_difference(expected[..., 3:], y[..., 3:])
    return np.concatenate(np.broadcast_arrays(y[..., :3] - expected[..., :3], w), axis=-1)


def noisy_pose(x, rng):
    """Position, and an attitude off by a small rotation and of either sign."""
    v = rng.standard_normal((*x.shape[:-1], 6)) @ np.sqrt(QUAD_V)
    q = lie.quat_integrate(x[..., 3:7], v[..., 3:]) * rng.choice([-1.0, 1.0], (*x.shape[:-1], 1))
    return np.concatenate([x[..., :3] + v[..., :3], q], axis=-1)


def quadrotor(dt: float = 0.02, sim=None) -> Model:
    sim = sim or OdeSimulator(plants.Quadrotor(), dt=dt)
    return Model.of(sim, pose, W=QUAD_W, V=QUAD_V, residual=pose_residual)


def flights(model: Model, rng, T: int, batch: tuple[int, ...] = ()):
    """True states (T+1, ..., 13), measured poses (T+1, ..., 7), thrusts (T, 4) of a tumbling quadrotor."""
    x = np.empty((T + 1, *batch, 13))
    x[0] = model.integrate(
        np.broadcast_to(TUMBLING, (*batch, 13)), rng.standard_normal((*batch, 12)) @ np.sqrt(QUAD_P0)
    )
    u = HOVER + 0.1 * rng.standard_normal((T, 4))
    for k in range(T):
        x[k + 1] = model.integrate(model.f(x[k], u[k]), rng.standard_normal((*batch, 12)) @ np.sqrt(QUAD_W))
    return x, np.array([noisy_pose(xk, rng) for xk in x]), u
