"""IPOPT on a transcription, and what its answer is worth, judged by the answer itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite, nan
from time import perf_counter
from typing import Any

import numpy as np

from controllers.collocation.guess import initial, shaken
from controllers.collocation.nlp import Bound
from controllers.collocation.resimulate import Arc, defects, join
from controllers.collocation.transcribe import Transcription
from controllers.planner import Iteration, Plan, Violation
from sims.trajectory import Trajectory

QUIET = {"ipopt.print_level": 0, "ipopt.sb": "yes"}
# small pushes keep a start that is already optimal where it is
WARM = {
    "ipopt.warm_start_init_point": "yes",
    "ipopt.mu_init": 1e-6,
    "ipopt.warm_start_bound_push": 1e-9,
    "ipopt.warm_start_slack_bound_push": 1e-9,
    "ipopt.warm_start_mult_bound_push": 1e-9,
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """How hard to try, and what counts as solved.

    max_iterations, seconds: limits of one solve; tolerance: IPOPT's, on its scaled optimality conditions; feasibility:
    largest violation of a row or bound, in its own unit; stationarity: largest component of the Lagrangian's gradient,
    relative to the multipliers (Nlp.stationarity); defect: largest error of an interval simulated again [state units];
    starts: solves from the guess and starts - 1 random changes of it (seed), of which the best is kept; retries: more
    of them while none has converged; refinements: how often the intervals may be halved when only the defect is too
    large (knots then count on the finer grid); pieces: an interval is played in so many pieces with the input held;
    ipopt: more of IPOPT's options.
    """

    max_iterations: int = 1000
    seconds: float = inf
    tolerance: float = 1e-8
    feasibility: float = 1e-6
    stationarity: float = 1e-4
    defect: float = 1e-2
    starts: int = 1
    retries: int = 4
    refinements: int = 0
    seed: int = 0
    pieces: int = 8
    ipopt: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("max_iterations", "starts", "pieces"):
            if getattr(self, name) < 1:
                raise ValueError(f"collocation Options: {name} must be at least 1, got {getattr(self, name)!r}")

    def as_ipopt(self) -> dict[str, Any]:
        """These options as nlpsol takes them."""
        given = {"ipopt.max_iter": int(self.max_iterations), "ipopt.tol": float(self.tolerance)}
        if isfinite(self.seconds):
            given["ipopt.max_wall_time"] = float(self.seconds)
        return {**QUIET, **given, **{f"ipopt.{name}": value for name, value in self.ipopt.items()}}


@dataclass(frozen=True, eq=False)
class Solution:
    """An answer z (size,) with its multipliers, and what was measured of it.

    arcs: the phases' knots; defects: per phase (N-1,), of the intervals simulated again; status, message, violations,
    log as in Plan; stationarity as in Nlp.stationarity.
    """

    z: np.ndarray
    lam_g: np.ndarray
    lam_z: np.ndarray
    cost: float
    arcs: tuple[Arc, ...]
    defects: tuple[np.ndarray, ...]
    violations: tuple[Violation, ...]
    stationarity: float
    status: str
    message: str
    log: tuple[Iteration, ...]
    iterations: int
    seconds: float = nan

    @property
    def feasible(self) -> bool:
        """True if all constraints hold and the cost is finite."""
        return not self.violations and isfinite(self.cost)

    @property
    def defect(self) -> float:
        """The largest error of an interval simulated again [state units]."""
        return max(float(d.max()) for d in self.defects)

    def trajectories(self, pieces: int = 8) -> tuple[Trajectory, ...]:
        """The phases as they would be played, each from its own time on."""
        return tuple(arc.sample(pieces) for arc in self.arcs)

    def plan(self, pieces: int = 8) -> Plan:
        """The Plan of this solution; cost is the scheme's quadrature of the integral."""
        return Plan(
            trajectory=join(list(self.trajectories(pieces))),
            cost=self.cost,
            status=self.status,
            message=self.message,
            log=self.log,
            violations=self.violations,
            seconds=self.seconds,
        )


class Solver:
    """IPOPT for one transcription, made once and called from any start; not for several threads at a time."""

    def __init__(self, transcription: Transcription, options: Options):
        self.transcription, self.options = transcription, options
        self._ipopt: dict[tuple[bool, bool], Any] = {}

    def solve(self, x0, guess=None) -> Solution:
        """The best Solution from x0 (nx,), NaN or None where free; a Solution as guess also gives its multipliers."""
        begin = perf_counter()
        lower, upper, bounds = self.transcription.bounds_from(x0)
        if isinstance(guess, Solution) and len(guess.z) != self.transcription.nlp.size:
            guess = guess.trajectories(self.options.pieces)  # of another grid: worth its motion alone
        warm = guess if isinstance(guess, Solution) else None
        if warm is not None:
            z = np.clip(warm.z, lower, upper)
        else:
            z = initial(self.transcription, x0, guess, np.minimum(lower, upper), np.maximum(lower, upper))
        if (lower > upper).any():
            wrong = lower > upper
            z[wrong] = 0.5 * (lower[wrong] + upper[wrong])
            return replace(self._contradiction(z, lower, upper, bounds), seconds=perf_counter() - begin)
        box = lower, upper
        best = self._once(z, box, bounds, warm)
        rng = np.random.default_rng(self.options.seed)
        for i in range(1, self.options.starts + self.options.retries):
            if i >= self.options.starts and (
                best.status == "converged" or (best.feasible and self.options.refinements)
            ):
                break
            again = i == self.options.starts  # the first retry: the same start by the other path
            start = z if again else shaken(z, self.transcription, lower, upper, rng)
            other = self._once(start, box, bounds, None, adaptive=again or i % 2 == 0)
            best = other if _rank(other) < _rank(best) else best
        return replace(best, seconds=perf_counter() - begin)

    def _once(self, z, box, bounds: list[Bound], warm: Solution | None, *, adaptive: bool = False) -> Solution:
        """One call of IPOPT; adaptive: its free choice of the barrier, which often ends elsewhere."""
        nlp, kind = self.transcription.nlp, (warm is not None, adaptive)
        if kind not in self._ipopt:
            path = {"ipopt.mu_strategy": "adaptive"} if adaptive else {}
            more = WARM if warm is not None else {}
            self._ipopt[kind] = nlp.solver({**path, **more, **self.options.as_ipopt()})
        ipopt = self._ipopt[kind]
        multipliers = {"lam_g0": warm.lam_g, "lam_x0": warm.lam_z} if warm is not None else {}
        answer = ipopt(x0=z, lbx=box[0], ubx=box[1], lbg=nlp.lower, ubg=nlp.upper, **multipliers)
        return self._judge(np.asarray(answer["x"], float).reshape(-1), answer, ipopt.stats(), bounds)

    def _contradiction(self, z, lower, upper, bounds: list[Bound]) -> Solution:
        """The answer where limits on one unknown leave it no value: no solver is asked."""
        solution = self._judge(z, None, {}, bounds)
        wrong = set(np.flatnonzero(lower > upper).tolist())
        labels = {b.label for b in bounds if b.variable in wrong}
        violations = tuple(v for v in solution.violations if v.label in labels)
        named = " and ".join(repr(v.label) for v in violations)
        knot = min(k for v in violations for k in v.knots)
        message = f"{named} contradict each other at knot {knot}: together they leave no value; relax one of them"
        if len(violations) == 1:
            message = f"{named} leaves no value at knot {knot}: its lower limit is above the upper one"
        return replace(solution, status="infeasible", message=message, violations=violations)

    def _judge(self, z: np.ndarray, answer, stats: dict, bounds: list[Bound]) -> Solution:
        """Everything about z that can be measured without asking the solver."""
        nlp = self.transcription.nlp
        if answer is None:
            lam_g, lam_z = np.zeros(len(nlp.rows)), np.zeros(nlp.size)
        else:
            lam_g, lam_z = (np.asarray(answer[name], float).reshape(-1) for name in ("lam_g", "lam_x"))
        cost, g = nlp.values(z)
        violations = self._violations(z, g, bounds)
        arcs = self.arcs(z)
        found = tuple(defects(arc) for arc in arcs)
        stationarity = nlp.stationarity(z, lam_g, lam_z) if answer is not None else inf
        count = int(stats.get("iter_count", 0))
        log = _log(stats.get("iterations") or {})
        outside = max((v.amount for v in violations), default=0.0)
        defect = max(float(d.max()) for d in found)
        log += (Iteration(cost, defect, nan, 0.0, outside),)
        parts = (z, lam_g, lam_z, cost, arcs, found, violations, stationarity)
        status, message = verdict(self.options, cost, defect, violations, stationarity, count)
        return Solution(*parts, status, message, log, count)

    def _violations(self, z: np.ndarray, g: np.ndarray, bounds: list[Bound]) -> tuple[Violation, ...]:
        """Every label that is not met, with its knots, rows first."""
        nlp, tolerance = self.transcription.nlp, self.options.feasibility
        amounts = np.maximum(nlp.lower - g, g - nlp.upper)
        amounts[np.isnan(amounts)] = inf
        at = z[[b.variable for b in bounds]]
        low, high = np.array([b.lower for b in bounds]), np.array([b.upper for b in bounds])
        outside = np.maximum(low - at, at - high)
        outside[np.isnan(outside)] = inf
        found: dict[str, list[tuple[int, float, str]]] = {}
        for i in np.flatnonzero(amounts > tolerance):
            label, knot = nlp.rows[i]
            found.setdefault(label, []).append((knot, float(amounts[i]), nlp.units[i]))
        for i in np.flatnonzero(outside > tolerance):
            b = bounds[i]
            found.setdefault(b.label, []).append((b.knot, float(outside[i]), b.unit))
        return tuple(
            Violation(label, tuple(sorted({k for k, _, _ in hits})), max(a for _, a, _ in hits), hits[0][2])
            for label, hits in found.items()
        )

    def arcs(self, z: np.ndarray) -> tuple[Arc, ...]:
        """The phases of z (size,)."""
        out, start = [], 0.0
        for phase, layout in zip(self.transcription.hybrid.phases, self.transcription.layouts, strict=True):
            t = start + np.concatenate([[0.0], np.cumsum(layout.steps(z))])
            um = z[layout.um] if len(layout.um) else None
            out.append(Arc(phase.system, t, z[layout.x], z[layout.u], um))
            start = t[-1]
        return tuple(out)


def verdict(
    options: Options, cost: float, defect: float, violations: Sequence[Violation], stationarity: float, count: int
) -> tuple[str, str]:
    """Plan.status and its sentence, of what was measured; count: the solver's iterations."""
    if not isfinite(cost) or any(not isfinite(v.amount) for v in violations):
        return "diverged", "the cost or a constraint is not finite at the solver's answer: change guess or limits"
    stopped = f"after {count} iterations"
    if violations:
        worst = "; ".join(str(v) for v in sorted(violations, key=lambda v: -v.amount)[:3])
        if count >= options.max_iterations:
            return "iteration_limit", f"the constraints are not met {stopped}: {worst}; allow more iterations"
        return "infeasible", f"no trajectory near the guess meets all constraints: {worst}"
    if stationarity > options.stationarity:
        status = "iteration_limit" if count >= options.max_iterations else "stalled"
        return status, f"feasible, but not optimal {stopped}: the Lagrangian's gradient is {stationarity:.2g}"
    if not defect <= options.defect:
        return "stalled", (
            f"the equations are solved, but the plant leaves the knots by {defect:.2g} within an interval (allowed "
            f"{options.defect:.2g}): take more knots or a scheme of higher order"
        )
    return "converged", f"optimal {stopped}, the plant stays within {defect:.2g} of the knots"


def _rank(solution: Solution) -> tuple[bool, float, float]:
    """Converged first, then by cost; the others by how far they are outside, then by defect."""
    if solution.status == "converged":
        return False, 0.0, solution.cost
    return True, max((v.amount for v in solution.violations), default=0.0), solution.defect


def _log(rows: dict[str, list]) -> tuple[Iteration, ...]:
    """IPOPT's iterations; of an interior-point iterate the defect and the violation are one number."""
    columns = [rows.get(name, []) for name in ("obj", "inf_pr", "alpha_pr", "regularization_size", "inf_pr")]
    return tuple(Iteration(*row) for row in zip(*columns, strict=True))
