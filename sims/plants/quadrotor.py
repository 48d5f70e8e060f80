"""A quadrotor in space, attitude as a quaternion."""

from dataclasses import dataclass

import numpy as np

from sims import lie, manipulator
from sims.plants import rotors
from sims.system import System, stack


@dataclass(frozen=True)
class Quadrotor(System):
    """m vdot = R e_z sum(u) - m g e_z, I omegadot = moments(u) - omega x I omega, qdot = 1/2 q [0, omega].

    x = [p_WB (3) [m], quat_WB (4) wxyz, v_WB (3) [m/s], omega_WB_B (3) [rad/s]], the layout of MuJoCo's free joint;
    u = thrusts [N] of the rotors at +x, +y, -x, -y of the body, thrust_min <= u <= thrust_max. Mass m [kg], principal
    inertia I (3,) [kg m^2], rotors at L [m], thrust kF u and drag moment kM u about +z for the first and third, about
    -z for the others; g [m/s^2]. Tangent space: dx (12,) with the attitude error as a body-frame rotation vector.
    Source: Mellinger, Michael and Kumar, Trajectory generation and control for precise aggressive maneuvers with
    quadrotors, 2010; parameters of Drake's QuadrotorPlant (there kF = 1, so u is the thrust).
    """

    m: float = 0.775
    I: tuple[float, float, float] = (0.0015, 0.0025, 0.0035)
    L: float = 0.15
    kF: float = 1.0
    kM: float = 0.0245
    g: float = 9.81
    thrust_min: float = -np.inf
    thrust_max: float = np.inf

    nx, nu, nq, nv = 13, 4, 7, 6
    x_names = tuple(f"frame.{c}" for c in ("x", "y", "z", "qw", "qx", "qy", "qz", "vx", "vy", "vz", "wx", "wy", "wz"))
    u_names = ("thrust_front", "thrust_left", "thrust_back", "thrust_right")

    def __post_init__(self):
        object.__setattr__(self, "I", rotors.principal_inertia("Quadrotor", self.I))

    @property
    def ndx(self) -> int:
        return 12

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
        w, i, j, k = (x[..., n] for n in range(3, 7))
        a, b, c = (x[..., n] for n in range(10, 13))
        attitude = [
            0.5 * (-i * a - j * b - k * c),
            0.5 * (w * a + j * c - k * b),
            0.5 * (w * b - i * c + k * a),
            0.5 * (w * c + i * b - j * a),
        ]
        return stack([x[..., 7], x[..., 8], x[..., 9], *attitude, *self._vdot(x, u)])

    def acceleration(self, x, u, dt):
        return stack(self._vdot(x, u))

    def _vdot(self, x, u):
        w, i, j, k = (x[..., n] for n in range(3, 7))
        a, b, c = (x[..., n] for n in range(10, 13))
        Ix, Iy, Iz = self.I
        thrust, Mx, My, Mz = rotors.wrench(self, u)
        lift = thrust / (self.m * (w * w + i * i + j * j + k * k))  # R e_z for a quaternion of any length
        return [
            2.0 * lift * (i * k + w * j),
            2.0 * lift * (j * k - w * i),
            lift * (w * w - i * i - j * j + k * k) - self.g,
            (Mx + (Iy - Iz) * (b * c)) / Ix,
            (My + (Iz - Ix) * (c * a)) / Iy,
            (Mz + (Ix - Iy) * (a * b)) / Iz,
        ]

    def difference(self, x, y):
        x, y = np.broadcast_arrays(x, y)
        dw = lie.quat_difference(x[..., 3:7], y[..., 3:7])
        return np.concatenate([y[..., :3] - x[..., :3], dw, y[..., 7:] - x[..., 7:]], axis=-1)

    def integrate(self, x, dx):
        q = lie.quat_integrate(x[..., 3:7], dx[..., 3:6])
        p, v = x[..., :3] + dx[..., :3], x[..., 7:] + dx[..., 6:]
        batch = np.broadcast_shapes(p.shape[:-1], q.shape[:-1])
        return np.concatenate([np.broadcast_to(part, (*batch, part.shape[-1])) for part in (p, q, v)], axis=-1)

    def normalize(self, x):
        return np.concatenate([x[..., :3], lie.quat_normalize(x[..., 3:7]), x[..., 7:]], axis=-1)

    def M(self, q):
        return np.diag([self.m, self.m, self.m, *self.I])

    def C(self, q, v):
        """omega x I omega written as -hat(I omega) omega."""
        momentum = [inertia * v[..., 3 + n] for n, inertia in enumerate(self.I)]
        zero = 0.0 * momentum[0]
        x, y, z = momentum
        rows = [[zero, z, -y], [-z, zero, x], [y, -x, zero]]
        return stack([[zero] * 6] * 3 + [[zero] * 3 + row for row in rows])

    def tau_g(self, q):
        return np.array([0.0, 0.0, -self.m * self.g, 0.0, 0.0, 0.0])

    def B(self, q):
        w, i, j, k = (q[..., n] for n in range(3, 7))
        s = 1.0 / (w * w + i * i + j * j + k * k)
        up = [2.0 * s * (i * k + w * j), 2.0 * s * (j * k - w * i), s * (w * w - i * i - j * j + k * k)]
        return rotors.input_matrix(self, up)

    def potential(self, q):
        return self.m * self.g * q[..., 2]

    def energy(self, x):
        """Kinetic plus potential energy (...) [J], zero at rest at z = 0."""
        return manipulator.energy(self, x)
