"""A planar quadrotor among obstacles: a corridor, the smoothest curve in it, the fastest flight the rotors allow."""

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from controllers.flatness import planar_quadrotor_flat
from controllers.planner import Guess, Plan, Planner
from controllers.search.curve import Curve, smooth_curve
from controllers.search.mixed_integer import mixed_integer_path
from controllers.search.polytope import Obstacles, Polytope
from controllers.search.regions import free_regions, through_regions
from controllers.search.space import FreeSpace, Space
from controllers.tvlqr import tvlqr
from sims.errors import unknown
from sims.ode import OdeSimulator
from sims.plants import PlanarQuadrotor
from sims.simulator import simulate
from sims.trajectory import Trajectory

METHODS = ("mixed_integer", "convex_sets")
POSITION = [0, 1]


class QuadrotorAmongObstacles(Planner):
    """Rest-to-rest flights of a planar quadrotor from x0 to goal (2,) [m] past convex obstacles.

    The corridor comes from `mixed_integer_path` or from `through_regions` with `free_regions` (method); in it
    `smooth_curve` finds the curve of least snap, all of it at least `margin` [m] from every obstacle (the plant's r if
    None, so that the rotors' tips clear them too); the flat map gives states and thrusts, and the duration is the
    shortest at which these keep `share` of the way from hover to the rotors' limits (0 to twice hover where the plant
    has none), which leaves the feedback the rest. Time-varying LQR flies it on an OdeSimulator of step dt [s]: that run
    is the Plan's trajectory, "converged" if it misses all obstacles and ends within `tolerance` of rest at the goal.
    Plan.cost is the duration [s]; Plan.K are the gains. Source: Deits and Tedrake, Efficient mixed-integer planning for
    UAVs in cluttered environments, 2015; Mellinger and Kumar, 2011.
    """

    def __init__(
        self,
        plant: PlanarQuadrotor,
        obstacles: Sequence[Polytope],
        lower,
        upper,
        goal,
        *,
        method: str = "mixed_integer",
        motions: int = 8,
        regions: int = 20,
        margin: float | None = None,
        share: float = 0.8,
        dt: float = 0.01,
        tolerance: float = 1e-2,
        seed: int = 0,
    ):
        if method not in METHODS:
            raise unknown("method of QuadrotorAmongObstacles", method, METHODS)
        self.plant, self.method, self.obstacles = plant, method, tuple(obstacles)
        self.lower, self.upper, self.goal = (np.asarray(value, float) for value in (lower, upper, goal))
        self.motions, self.regions, self.seed = motions, regions, seed
        self.margin = plant.r if margin is None else margin
        self.share, self.tolerance = share, tolerance
        self.sim = OdeSimulator(plant, dt=dt)

    def plan(self, x0, guess: Guess = None) -> Plan:
        """A Plan from x0 (6,), level and at rest; a guess is not used. What cannot be flown is "infeasible"."""
        begin = perf_counter()
        x0 = self.sim.check_state(x0, "x0")
        if np.abs(x0[2:]).max() > 1e-6:
            return self._nothing(x0, "infeasible", "x0 must be level and at rest (flights are rest to rest)", begin)
        curve, status, message = self.curve(x0[POSITION])
        if curve is None:
            return self._nothing(x0, status, message, begin)
        duration = self.fastest(curve)
        run, K = self.fly(x0, curve, duration)
        status, verdict = self._judge(run)
        message = f"{duration:.4g} s over {curve.length():.4g} m, {verdict}; {message}"
        return Plan(trajectory=run, cost=duration, status=status, message=message, K=K, seconds=perf_counter() - begin)

    def curve(self, start) -> tuple[Curve | None, str, str]:
        """The smoothest curve from start (2,) to the goal in a corridor of free space, or None; status and sentence."""
        grown = tuple(obstacle.grown(self.margin) for obstacle in self.obstacles)
        free = FreeSpace(Space(self.lower, self.upper), grown)
        for name, q in (("start", start), ("goal", self.goal)):
            reason = free.problem(q, name)
            if reason:
                return None, "infeasible", f"{reason} (obstacles grown by the margin of {self.margin} m)"
        if self.method == "mixed_integer":
            found = mixed_integer_path(grown, self.lower, self.upper, start, self.goal, motions=self.motions)
            path, corridor = found.path, list(found.regions)
            q, status, message = path.q, path.status, path.message
        else:
            points = [start, self.goal]
            seeds = dict(count=self.regions, seed=self.seed, points=points)
            regions = free_regions(grown, self.lower, self.upper, **seeds)
            through = through_regions(regions, start, self.goal, seed=self.seed)
            corridor = [regions[i] for i in through.visits]
            q = np.concatenate([through.curve.points[:, 0], self.goal[None]]) if through.curve else np.empty((0, 2))
            status, message = through.status, through.message
        if status != "converged":
            return None, status, message
        pieces = [region for region in corridor for _ in range(2)]  # two pieces a region: room to brake at its ends
        lengths = np.linalg.norm(np.diff(q, axis=0), axis=1)
        curve, about = smooth_curve(pieces, start, self.goal, shares=np.repeat(lengths, 2))
        return curve, "converged" if curve is not None else "infeasible", f"{message}; {about}"

    def fastest(self, curve: Curve) -> float:
        """The shortest duration [s], a whole number of steps, at which the thrusts keep their share of the limits."""
        slow = self.sim.dt
        while not self._allowed(curve, slow):
            slow *= 2
        fast = slow / 2
        for _ in range(30):
            middle = (slow + fast) / 2
            slow, fast = (middle, fast) if self._allowed(curve, middle) else (slow, middle)
        return self.sim.dt * int(np.ceil(slow / self.sim.dt))

    def fly(self, x0, curve: Curve, duration: float) -> tuple[Trajectory, np.ndarray]:
        """The closed-loop run from x0 along the curve and the gains K (T, 2, 6) that flew it."""
        T = round(duration / self.sim.dt)
        t = self.sim.dt * np.arange(T + 1)
        path = curve.polynomial(duration)
        x, _ = planar_quadrotor_flat(self.plant, path.derivatives(t, 4))
        _, u = planar_quadrotor_flat(self.plant, path.derivatives(t[:-1] + 0.5 * self.sim.dt, 4))
        Q, R = np.diag([20.0, 20.0, 2.0, 2.0, 2.0, 0.2]), 0.1 * np.eye(2)
        policy, _ = tvlqr(self.sim, Trajectory(t, x, u), Q, R, 10 * Q)
        return simulate(self.sim, policy, x0, duration), policy.K

    def _allowed(self, curve: Curve, duration: float) -> bool:
        """Whether the thrusts along the curve, flown in this duration, keep within their share of the limits."""
        t = np.linspace(0.0, duration, 50 * len(curve.points) + 1)
        _, u = planar_quadrotor_flat(self.plant, curve.polynomial(duration).derivatives(t, 4))
        hover = self.plant.hover
        low = np.where(np.isfinite(self.plant.u_min), self.plant.u_min, 0.0)
        high = np.where(np.isfinite(self.plant.u_max), self.plant.u_max, 2 * hover)
        return bool(((u >= hover + self.share * (low - hover)) & (u <= hover + self.share * (high - hover))).all())

    def _judge(self, run: Trajectory) -> tuple[str, str]:
        if run.status != "ok":
            return "diverged", run.message
        p = run.x[:, POSITION]
        if not Obstacles(self.obstacles).miss(p[:-1], p[1:]).all():
            return "stalled", "the flight touches an obstacle: use a wider margin"
        rest = np.concatenate([self.goal, np.zeros(4)])
        error = float(np.abs(run.x[-1] - rest).max())
        if error > self.tolerance:
            return "stalled", f"the flight ends {error:.3g} from rest at the goal: use a smaller dt or share"
        return "converged", f"ends {error:.2g} from rest at the goal"

    def _nothing(self, x0: np.ndarray, status: str, message: str, begin: float) -> Plan:
        run = Trajectory(np.zeros(1), x0[None].copy(), np.empty((0, self.plant.nu)))
        return Plan(trajectory=run, cost=np.inf, status=status, message=message, seconds=perf_counter() - begin)
