"""A chain of n poles on a cart."""

from dataclasses import dataclass

import numpy as np

from sims import manipulator
from sims.system import System, stack


@dataclass(frozen=True)
class NPole(System):
    """M(q) vdot + C(q, v) v = tau_g(q) - D v + [u, 0, ..., 0]: n massless rods in series with a point mass at each end.

    x = [x [m], theta_1..theta_n [rad], xdot [m/s], theta_1dot..theta_ndot [rad/s]]: theta_1 = 0 hanging, theta_i
    relative to pole i - 1, counter-clockwise, so that upright is [pi, 0, ..., 0]; u = [force on the cart [N]],
    |u| <= force_limit. mc [kg]; mp [kg], l [m] and b_pole [N m s/rad] are numbers or sequences of n; b_cart [N s/m];
    g [m/s^2]. NPole(1) is CartPole. Raises ValueError if n < 1 or a sequence has another length.
    Source: Lagrange's equations in absolute angles phi = cumsum(theta), with mu_i = sum of the masses from i outwards:
    T = 1/2 (mc + mu_1) xdot^2 + sum_i mu_i l_i xdot phidot_i cos phi_i
      + 1/2 sum_ij mu_max(i,j) l_i l_j phidot_i phidot_j cos(phi_i - phi_j),  U = -g sum_i mu_i l_i cos phi_i.
    """

    n: int = 2
    mc: float = 10.0
    mp: float | tuple[float, ...] = 1.0
    l: float | tuple[float, ...] = 0.5
    b_cart: float = 0.0
    b_pole: float | tuple[float, ...] = 0.0
    g: float = 9.81
    force_limit: float = np.inf

    nu = 1
    u_names = ("force",)

    def __post_init__(self):
        if int(self.n) != self.n or self.n < 1:
            raise ValueError(f"NPole: n must be a number of poles, 1 or more, got {self.n!r}")
        for name in ("mp", "l", "b_pole"):
            value = getattr(self, name)
            if np.ndim(value):
                if len(value) != self.n:
                    raise ValueError(f"NPole: {name} must be a number or n = {self.n} numbers, got {value!r}")
                object.__setattr__(self, name, tuple(float(v) for v in value))

    @property
    def nq(self) -> int:
        return self.n + 1

    @property
    def nv(self) -> int:
        return self.n + 1

    @property
    def nx(self) -> int:
        return 2 * self.n + 2

    @property
    def x_names(self) -> tuple[str, ...]:
        angles = [f"theta{i + 1}" for i in range(self.n)] if self.n > 1 else ["theta"]
        return ("x", *angles, "x_dot", *(f"{angle}_dot" for angle in angles))

    @property
    def u_max(self) -> np.ndarray:
        return np.array([self.force_limit])

    @property
    def damping(self) -> np.ndarray:
        return np.array([self.b_cart, *self._each(self.b_pole)])

    def f(self, x, u):
        vdot = manipulator.acceleration(self, x, u)
        return stack([*(x[..., self.nq + i] for i in range(self.nv)), *(vdot[..., i] for i in range(self.nv))])

    def acceleration(self, x, u, dt):
        return manipulator.acceleration(self, x, u, dt)

    def M(self, q):
        phi, first, mass = self._absolute(q), self._moments(), self._outer_masses()
        zero, each = 0.0 * phi[0], range(self.n)
        corner = [[0.0] * (self.n + 1) for _ in range(self.n + 1)]
        corner[0][0] = self.mc + mass[0] + zero
        lengths = self._each(self.l)
        for i in each:
            corner[0][i + 1] = corner[i + 1][0] = first[i] * np.cos(phi[i])
            corner[i + 1][i + 1] = first[i] * lengths[i] + zero
            for j in range(i):
                both = first[i] * lengths[j] * np.cos(phi[i] - phi[j])
                corner[i + 1][j + 1] = corner[j + 1][i + 1] = both
        rows = _relative_rows(corner)
        return stack(
            [[rows[max(i, j)][min(i, j)] for j in range(self.nv)] for i in range(self.nv)]
        )  # exactly symmetric

    def C(self, q, v):
        phi, rate, first = self._absolute(q), self._absolute(v), self._moments()
        zero, lengths = 0.0 * phi[0], self._each(self.l)
        rows = [[zero] * (self.n + 1) for _ in range(self.n + 1)]
        for i in range(self.n):
            rows[0][i + 1] = -first[i] * np.sin(phi[i]) * rate[i]
            for j in range(i):
                both = first[i] * lengths[j] * np.sin(phi[i] - phi[j])
                rows[i + 1][j + 1] = both * rate[j]
                rows[j + 1][i + 1] = -both * rate[i]
        return stack(_relative_rows(rows))

    def tau_g(self, q):
        torques = [-self.g * m * np.sin(p) for m, p in zip(self._moments(), self._absolute(q), strict=True)]
        return stack([0.0 * torques[0], *_tail_sums(torques)])

    def B(self, q):
        return np.eye(self.n + 1)[:, :1]

    def potential(self, q):
        return sum(-self.g * m * np.cos(p) for m, p in zip(self._moments(), self._absolute(q), strict=True))

    def energy(self, x):
        """Kinetic plus potential energy (...) [J], zero at rest with all poles level."""
        return manipulator.energy(self, x)

    def _each(self, value) -> tuple[float, ...]:
        return value if isinstance(value, tuple) else (value,) * self.n

    def _outer_masses(self) -> list[float]:
        return _tail_sums(list(self._each(self.mp)))

    def _moments(self) -> list[float]:
        """mu_i l_i."""
        return [m * l for m, l in zip(self._outer_masses(), self._each(self.l), strict=True)]

    def _absolute(self, q) -> list:
        """The n absolute angles (or rates) from the relative ones in q (..., n + 1)."""
        angles = [q[..., 1]]
        for i in range(2, self.n + 1):
            angles.append(angles[-1] + q[..., i])
        return angles


def _tail_sums(values: list) -> list:
    """[sum of values[i:] for every i]."""
    sums = [values[-1]]
    for value in values[-2::-1]:
        sums.append(sums[-1] + value)
    return sums[::-1]


def _relative_rows(rows: list[list]) -> list[list]:
    """T' A T for absolute = T relative: cart row and column stay, pole rows and columns become their tail sums."""
    rows = [[row[0], *_tail_sums(row[1:])] for row in rows]
    columns = [_tail_sums([row[j] for row in rows[1:]]) for j in range(len(rows))]
    return [rows[0], *([column[i] for column in columns] for i in range(len(rows) - 1))]
