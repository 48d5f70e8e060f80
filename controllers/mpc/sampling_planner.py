"""A planner that tries many inputs at once on a simulator and keeps what costs least."""

from time import perf_counter
from typing import final
from zlib import crc32

import numpy as np

from controllers.cost import Cost
from controllers.mpc.sampling import Sampler
from controllers.mpc.spline import Spline
from controllers.planner import Guess, Iteration, Plan, Planner, read_guess
from sims.simulator import Simulator
from sims.trajectory import Trajectory

WHO = "SamplingPlanner"


@final
class SamplingPlanner(Planner):
    """Minimise sum_k stage(x[k], u[k]) dt + terminal(x[T]) over input splines, by rolling out `sampler`'s draws.

    sim: any Simulator (MuJoCo: one thread a core); T steps of sim.dt; knots: of the spline over them; spline: "zero",
    "linear" or "cubic"; iterations: rounds of draws a plan; u_start (nu,): the inputs of a plan without a guess, zero
    within the limits if None. Inputs are clipped to the limits of `sim` before they are tried. The answer is the last
    mean or the best draw, whichever costs less, and so never worse than the guess (as a spline). status: "converged"
    if the last round of several improved the cost by less than `tolerance` (relative), "iteration_limit" otherwise,
    "diverged" if no draw stayed finite. The draws depend on seed, x0, the guess and its time, and on nothing else:
    the same call gives the same bytes. A cost that changes along the run is cut at the time of the guess. Raises
    ValueError for sizes that do not fit. Source: Howell et al., "Predictive sampling", 2022 (knots and shifting).
    """

    def __init__(
        self,
        sim: Simulator,
        cost: Cost,
        sampler: Sampler,
        T: int,
        *,
        knots: int = 5,
        spline: str = "linear",
        iterations: int = 1,
        tolerance: float = 1e-3,
        u_start=None,
        seed: int = 0,
    ):
        if T < 1 or iterations < 1:
            raise ValueError(f"{WHO}: T and iterations must be at least 1, got {T} and {iterations}")
        if sim.nu < 1:
            raise ValueError(f"{WHO}: the plant has no input to search over")
        self.sim, self.cost, self.sampler, self.T = sim, cost, sampler, T
        self.iterations, self.tolerance, self.seed = iterations, tolerance, int(seed)
        self.u_min, self.u_max, self.difference = sim.u_min, sim.u_max, sim.difference
        self.spline = Spline(spline, knots, T)
        start = np.zeros(sim.nu) if u_start is None else sim.check_input(u_start, "u_start")
        self._start = np.broadcast_to(sim.saturate(start), (T, sim.nu))
        sampler.start(np.zeros((knots, sim.nu)))  # a std of a wrong shape is told here

    def plan(self, x0, guess: Guess = None) -> Plan:
        """The Plan from x0 (nx,); its trajectory begins at the time of the guess, or at 0."""
        begin = perf_counter()
        x0 = self.sim.check_state(x0, "x0")
        if x0.ndim != 1:
            raise ValueError(f"{WHO}: x0 must be one state ({self.sim.nx},), got {x0.shape}")
        now, u = self._guessed(guess)
        cost = self._cost_from(now)
        rng = self._generator(x0, u, now)
        search = self.sampler.start(self.spline.knots(u))
        best, log = _Best(), []
        for _ in range(self.iterations):
            knots = np.clip(self.sampler.propose(search, rng), self.u_min, self.u_max)
            run, costs = self._try(x0, knots, cost)
            best.consider(run, knots, costs)
            search = self.sampler.update(search, knots, costs)
            log.append(Iteration(best.cost, step=float(search.std.mean())))
        if not np.array_equal(search.mean, best.knots):
            run, costs = self._try(x0, search.mean[None], cost)
            best.consider(run, search.mean[None], costs)
        status, message = self._verdict(best.cost, log)
        return Plan(
            trajectory=Trajectory(now + run.t, best.x, best.u),
            cost=best.cost,
            status=status,
            message=message,
            log=tuple(log),
            seconds=perf_counter() - begin,
        )

    def _try(self, x0: np.ndarray, knots: np.ndarray, cost: Cost) -> tuple[Trajectory, np.ndarray]:
        """The rollouts of knots (n, P, nu) and their costs (n,), infinite where one diverged."""
        run = self.sim.rollout(x0, self.spline.inputs(knots))  # which clips what a cubic spline overshoots
        with np.errstate(all="ignore"):  # a rollout that runs away costs inf or nan
            costs = cost.stage(run.x[:, :-1], run.u).sum(-1) * self.sim.dt + cost.terminal(run.x[:, -1])
        if run.status != "ok":
            costs = np.where(np.isfinite(run.x[:, -1]).all(axis=-1), costs, np.inf)
        return run, np.where(np.isfinite(costs), costs, np.inf)

    def _guessed(self, guess: Guess) -> tuple[float, np.ndarray]:
        if guess is None:
            return 0.0, self._start
        _, u = read_guess(guess, self.T, self.sim.nx, self.sim.nu, WHO)
        trajectory = guess.trajectory if isinstance(guess, Plan) else guess
        assert u is not None
        return (float(trajectory.t[0]) if isinstance(trajectory, Trajectory) else 0.0), u

    def _cost_from(self, now: float) -> Cost:
        return self.cost if self.cost.T is None else self.cost.window(round(now / self.sim.dt), self.T)

    def _generator(self, x0: np.ndarray, u: np.ndarray, now: float) -> np.random.Generator:
        """A generator for this call: noise is new at every replanning, and the same where everything else is."""
        about = crc32(np.ascontiguousarray(u).tobytes(), crc32(x0.tobytes(), crc32(np.float64(now).tobytes())))
        return np.random.default_rng([self.seed, about])

    def _verdict(self, cost: float, log: list[Iteration]) -> tuple[str, str]:
        if not np.isfinite(cost):
            return "diverged", "no draw stayed finite: lower the sampler's std, or dt"
        rounds = len(log)
        if rounds > 1 and log[-2].cost - cost <= self.tolerance * abs(cost):
            return "converged", f"the last of {rounds} rounds gained less than {self.tolerance:g} of the cost"
        tried = rounds * self.sampler.samples
        return "iteration_limit", f"the best of {tried} rollouts in {rounds} round{'s' if rounds > 1 else ''}"


class _Best:
    """The cheapest rollout so far; one of them at least, however bad."""

    def __init__(self):
        self.cost = np.inf
        self.knots: np.ndarray | None = None

    def consider(self, run: Trajectory, knots: np.ndarray, costs: np.ndarray) -> None:
        """Keep the best of these rollouts if it costs less."""
        i = int(np.argmin(costs))
        if self.knots is None or costs[i] < self.cost:
            self.cost, self.knots, self.x, self.u = float(costs[i]), knots[i], run.x[i].copy(), run.u[i].copy()
