"""A quadrotor in space, attitude as roll, pitch, yaw."""

from dataclasses import dataclass

import numpy as np

from sims import manipulator
from sims.plants import rotors
from sims.system import System, stack


@dataclass(frozen=True)
class QuadrotorRPY(System):
    """Quadrotor in 12 states: R = Rz(yaw) Ry(pitch) Rx(roll); singular at pitch = +-pi/2.

    x = [p (3) [m], roll, pitch, yaw [rad], pdot (3) [m/s], rolldot, pitchdot, yawdot [rad/s]]; inputs and parameters as
    in Quadrotor. With omega = E(rpy) rpydot in the body frame, E = [[1, 0, -sp], [0, cr, sr cp], [0, -sr, cr cp]]:
    rpydd = E^-1 (I^-1 (moments - omega x I omega) - Edot rpydot). Source: Drake's QuadrotorPlant, state and parameters.
    """

    m: float = 0.775
    I: tuple[float, float, float] = (0.0015, 0.0025, 0.0035)
    L: float = 0.15
    kF: float = 1.0
    kM: float = 0.0245
    g: float = 9.81
    thrust_min: float = -np.inf
    thrust_max: float = np.inf

    nx, nu, nq, nv = 12, 4, 6, 6
    x_names = ("x", "y", "z", "roll", "pitch", "yaw", "vx", "vy", "vz", "roll_dot", "pitch_dot", "yaw_dot")
    u_names = ("thrust_front", "thrust_left", "thrust_back", "thrust_right")

    def __post_init__(self):
        object.__setattr__(self, "I", rotors.principal_inertia("QuadrotorRPY", self.I))

    @property
    def u_max(self) -> np.ndarray:
        return np.full(4, self.thrust_max)

    @property
    def u_min(self) -> np.ndarray:
        return np.full(4, self.thrust_min)

    @property
    def damping(self) -> np.ndarray:
        return np.zeros(6)

    @property
    def hover(self) -> np.ndarray:
        """The inputs u (4,) that hold the level quadrotor still."""
        return np.full(4, self.m * self.g / (4.0 * self.kF))

    def f(self, x, u):
        return stack([*(x[..., n] for n in range(6, 12)), *self._vdot(x, u)])

    def acceleration(self, x, u, dt):
        return stack(self._vdot(x, u))

    def _vdot(self, x, u):
        sr, cr, sp, cp = np.sin(x[..., 3]), np.cos(x[..., 3]), np.sin(x[..., 4]), np.cos(x[..., 4])
        sy, cy = np.sin(x[..., 5]), np.cos(x[..., 5])
        roll, pitch, yaw = x[..., 9], x[..., 10], x[..., 11]
        Ix, Iy, Iz = self.I
        thrust, Mx, My, Mz = rotors.wrench(self, u)
        lift = thrust / self.m
        a, b, c = roll - sp * yaw, cr * pitch + sr * cp * yaw, cr * cp * yaw - sr * pitch
        # body angular acceleration less Edot rpydot, equals E rpydd
        ax = (Mx + (Iy - Iz) * (b * c)) / Ix + cp * pitch * yaw
        ay = (My + (Iz - Ix) * (c * a)) / Iy - c * roll + sr * sp * pitch * yaw
        az = (Mz + (Ix - Iy) * (a * b)) / Iz + b * roll + cr * sp * pitch * yaw
        yawdd = (sr * ay + cr * az) / cp
        return [
            lift * (cr * sp * cy + sr * sy),
            lift * (cr * sp * sy - sr * cy),
            lift * (cr * cp) - self.g,
            ax + sp * yawdd,
            cr * ay - sr * az,
            yawdd,
        ]

    def M(self, q):
        Ix, Iy, Iz = self.I
        sr, cr, sp, cp = np.sin(q[..., 3]), np.cos(q[..., 3]), np.sin(q[..., 4]), np.cos(q[..., 4])
        zero = 0.0 * sr
        xz, yz = -Ix * sp, (Iy - Iz) * sr * cr * cp
        yy, zz = Iy * cr * cr + Iz * sr * sr, Ix * sp * sp + cp * cp * (Iy * sr * sr + Iz * cr * cr)
        position = [[self.m + zero if i == j else zero for j in range(6)] for i in range(3)]
        attitude = [[Ix + zero, zero, xz], [zero, yy, yz], [xz, yz, zz]]
        return stack(position + [[zero] * 3 + row for row in attitude])

    def C(self, q, v):
        """E' I Edot - E' hat(I omega) E: with it Mdot - 2 C = Edot' I E - E' I Edot + 2 E' hat(I omega) E is skew."""
        sr, cr, sp, cp = np.sin(q[..., 3]), np.cos(q[..., 3]), np.sin(q[..., 4]), np.cos(q[..., 4])
        roll, pitch, yaw = v[..., 3], v[..., 4], v[..., 5]
        zero, one = 0.0 * sr, 1.0 + 0.0 * sr
        E = [[one, zero, -sp], [zero, cr, sr * cp], [zero, -sr, cr * cp]]
        dE = [
            [zero, zero, -cp * pitch],
            [zero, -sr * roll, cr * cp * roll - sr * sp * pitch],
            [zero, -cr * roll, -sr * cp * roll - cr * sp * pitch],
        ]
        rates = (roll, pitch, yaw)
        x, y, z = (i * sum(e * r for e, r in zip(row, rates, strict=True)) for i, row in zip(self.I, E, strict=True))
        minus_hat = [[zero, z, -y], [-z, zero, x], [y, -x, zero]]
        axes = range(3)
        inner = [[self.I[i] * dE[i][j] + sum(minus_hat[i][k] * E[k][j] for k in axes) for j in axes] for i in axes]
        rows = [[sum(E[k][i] * inner[k][j] for k in axes) for j in axes] for i in axes]
        return stack([[zero] * 6] * 3 + [[zero] * 3 + row for row in rows])

    def tau_g(self, q):
        return np.array([0.0, 0.0, -self.m * self.g, 0.0, 0.0, 0.0])

    def B(self, q):
        """Thrust along the body's z axis; moments through E' (power = moments . omega = moments . E rpydot)."""
        sr, cr, sp, cp = np.sin(q[..., 3]), np.cos(q[..., 3]), np.sin(q[..., 4]), np.cos(q[..., 4])
        sy, cy = np.sin(q[..., 5]), np.cos(q[..., 5])
        up = [cr * sp * cy + sr * sy, cr * sp * sy - sr * cy, cr * cp]
        columns = rotors.moment_map(self).T.tolist()
        moments = [
            [mx + 0.0 * sr for mx, _, _ in columns],
            [cr * my - sr * mz for _, my, mz in columns],
            [-sp * mx + sr * cp * my + cr * cp * mz for mx, my, mz in columns],
        ]
        return stack([[self.kF * component] * 4 for component in up] + moments)

    def potential(self, q):
        return self.m * self.g * q[..., 2]

    def energy(self, x):
        """Kinetic plus potential energy (...) [J], zero at rest at z = 0."""
        return manipulator.energy(self, x)
