"""What a solution of the equations is worth in the plant: simulated again between knots, sampled to be played."""

from dataclasses import dataclass

import numpy as np

from sims.system import System
from sims.trajectory import Trajectory


@dataclass(frozen=True)
class Arc:
    """One phase of a solution: knots t (N,) [s], x (N, nx), inputs u (N, nu), or (N-1, nu) held over the intervals.

    um (N-1, nu): inputs in the middle of the intervals, for a quadratic between knots; None for a line.
    """

    system: System
    t: np.ndarray
    x: np.ndarray
    u: np.ndarray
    um: np.ndarray | None = None

    @property
    def held(self) -> bool:
        """True if inputs are constant over intervals."""
        return len(self.u) < len(self.x)

    def inputs(self, s: float) -> np.ndarray:
        """The inputs (N-1, nu) at the share s of all intervals."""
        if self.held:
            return self.u
        a, b = self.u[:-1], self.u[1:]
        if self.um is None:
            return a + s * (b - a)
        return (1 - s) * (1 - 2 * s) * a + 4 * s * (1 - s) * self.um + s * (2 * s - 1) * b

    def sample(self, pieces: int) -> Trajectory:
        """A Trajectory with every interval in `pieces` (1 where inputs are held): what a plant is to be fed.

        States from the cubic with xdot = f at both knots, the polynomial of collocation; inputs held at their value in
        the middle of each piece and within the limits.
        """
        low, high = self.system.u_min, self.system.u_max
        if self.held:
            return Trajectory(self.t, self.x, np.clip(self.u, low, high))
        h = np.diff(self.t)
        shares = np.arange(pieces) / pieces
        x0, x1 = self.x[:-1], self.x[1:]
        with np.errstate(all="ignore"):  # an answer that is not finite is a status, not a warning
            ends = (self.x[:-1], self.u[:-1]), (self.x[1:], self.u[1:])
            slope = [h[:, None] * self.system.f(*end) for end in ends]
        x = np.stack([_cubic(s, x0, x1, *slope) for s in shares], axis=1).reshape(len(h) * pieces, self.x.shape[1])
        u = np.stack([self.inputs(s + 0.5 / pieces) for s in shares], axis=1).reshape(len(h) * pieces, self.u.shape[1])
        t = (self.t[:-1, None] + h[:, None] * shares).reshape(-1)
        x = self.system.normalize(np.vstack([x, self.x[-1:]]))
        return Trajectory(np.append(t, self.t[-1]), x, np.clip(u, low, high))


def defects(arc: Arc, *, atol: float = 1e-10, most: int = 512) -> np.ndarray:
    """How far (N-1,) each interval, integrated from its first knot, ends from the next [largest of the state units].

    All intervals at once by the classical Runge-Kutta method; its steps are halved until their own error, by
    Richardson's estimate, is below 1 % of the largest defect or atol. Infinite where the integration does not stay
    finite or needs more than `most` steps. Source: Hairer, Norsett, Wanner, 1993, section II.4.
    """
    steps, coarse = 4, _integrate(arc, 4)
    while steps < most:
        steps *= 2
        fine = _integrate(arc, steps)
        error = np.abs(fine - coarse).max(axis=1, initial=0.0) / 15
        found = np.abs(arc.x[1:] - fine).max(axis=1, initial=0.0)
        finite = np.isfinite(found) & np.isfinite(error)
        if finite.all() and error.max() <= max(atol, 1e-2 * found.max()):
            return found
        coarse = fine
    return np.where(finite & (error <= np.maximum(atol, 0.1 * found)), found, np.inf)


def _integrate(arc: Arc, steps: int) -> np.ndarray:
    """The ends (N-1, nx) of all intervals after so many steps of Runge-Kutta."""
    f, x = arc.system.f, arc.x[:-1]
    h = np.diff(arc.t)[:, None] / steps
    with np.errstate(all="ignore"):  # an interval that diverges is reported as an infinite defect
        for j in range(steps):
            u0, um, u1 = (arc.inputs((j + part) / steps) for part in (0.0, 0.5, 1.0))
            k1 = f(x, u0)
            k2 = f(x + h / 2 * k1, um)
            k3 = f(x + h / 2 * k2, um)
            k4 = f(x + h * k3, u1)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


def _cubic(s: float, x0, x1, d0, d1):
    """Hermite's cubic at the share s between values x0, x1 with slopes d0, d1 per interval."""
    r = 1 - s
    return r * r * (1 + 2 * s) * x0 + s * s * (3 - 2 * s) * x1 + s * r * r * d0 - s * s * r * d1


def join(runs: list[Trajectory]) -> Trajectory:
    """Phases one after the other; at a transition the state is the one after it."""
    t, x = [runs[0].t], [runs[0].x]
    for run in runs[1:]:
        t[-1], x[-1] = t[-1][:-1], x[-1][:-1]
        t.append(run.t)
        x.append(run.x)
    return Trajectory(np.concatenate(t), np.vstack(x), np.vstack([run.u for run in runs]))
