"""One descent: expand, sweep back, try all step lengths at once, take one, and again."""

from dataclasses import dataclass, field

import numpy as np

from controllers.ilqr.augmented import Augmented
from controllers.ilqr.backward import Model, Step, backward, sharpened
from controllers.ilqr.costs import Running
from controllers.ilqr.dynamics import Dynamics, Law
from controllers.planner import Iteration

ALPHAS = 0.5 ** np.arange(8.0)
ACCEPT = 0.1  # share of the promised decrease that a step must give
FAR = 1e3  # times the largest state so far: a run that gets there has run away
NEAR = 1e-2  # relative: where less than that is promised second derivatives of the dynamics pay
FEW = 1e-12  # relative: a decrease below it is rounding
LEAST, MOST, FACTOR = 1e-9, 1e10, 10.0  # of the regularisation


@dataclass
class Search:
    """A trajectory x (T+1, nx), u (T, nu) on its way down; gap (T, ndx) is None once the dynamics hold."""

    dynamics: Dynamics
    running: Running | Augmented
    x: np.ndarray
    u: np.ndarray
    gap: np.ndarray | None
    cost: float
    tolerance: float
    mu: float = LEAST
    weight: float = 0.0  # of the gaps in the merit function
    violation: float = 0.0  # of constraints, for the log
    failures: int = 0  # in a row
    step: Step | None = None
    model: Model | None = None  # about the trajectory as it is, once known
    log: list[Iteration] = field(default_factory=list)

    def run(self, iterations: int) -> str:
        """The status after at most so many iterations; the trajectory, its gains and the log are in self."""
        for _ in range(iterations):
            model = self.model = self.model or self._model()
            self.step = self._sharper(model, backward(model, (self.mu, 0.0)))
            if self.step.failed >= 0:
                alpha = 0.0
            elif self._done(model, self.step):
                return "converged"
            else:
                alpha = self._try(self.step)
            self.model = None if alpha else model
            self._log(alpha)
            if not self._regularize(alpha):
                return "stalled"
        return "iteration_limit"

    def restart(self, violation: float) -> None:
        """Go on with `running` changed since, from the trajectory as it is."""
        self.mu, self.weight, self.violation, self.model = LEAST, 0.0, violation, None
        self.cost = float(self.running.totals(self.x[None], self.u[None])[0])

    def gains(self) -> np.ndarray:
        """K (T, nu, ndx) about the trajectory as it is, with the least regularisation that works."""
        model, mu = self.model or self._model(), 0.0
        while True:
            step = backward(model, (mu, 0.0))
            if step.failed < 0 or mu > MOST:
                return step.K
            mu = max(LEAST, FACTOR * mu)

    def _model(self) -> Model:
        x, u, dynamics = self.x, self.u, self.dynamics
        A, B = dynamics.linearize(x[:-1], u)
        stage, end = self.running.expand(x, u)
        return Model(A, B, self.gap, stage, end, self.running.h, dynamics.u_min - u, dynamics.u_max - u)

    def _sharper(self, model: Model, step: Step) -> Step:
        """Near the minimum the step with second derivatives of the dynamics, if it goes downhill."""
        if step.failed >= 0 or self.gap is not None or not step.promised(1.0) < NEAR * (1.0 + abs(self.cost)):
            return step
        H = self.dynamics.curvature(self.x[:-1], self.u, step.Vx[1:])
        newton = None if H is None else backward(sharpened(model, H), (self.mu, 0.0))
        return newton if newton is not None and newton.failed < 0 and newton.promised(1.0) > 0 else step

    def _done(self, model: Model, step: Step) -> bool:
        """Little is promised, and that not because regularisation is heavy."""
        little = self.tolerance * (1.0 + abs(self.cost))
        if self.gap is not None or abs(step.promised(1.0)) > little:
            return False
        if self.mu > LEAST:
            light = backward(model, (LEAST, 0.0))
            return light.failed >= 0 or abs(light.promised(1.0)) <= little
        return True

    def _try(self, step: Step) -> float:
        """The step length taken, the longest that keeps what it promised; 0 if none does."""
        size = 0.0 if self.gap is None else float(np.abs(self.gap).sum())
        if size:  # heavy enough that closing the gaps is downhill (Nocedal and Wright, 2006, eq. 18.36)
            self.weight = max(self.weight, (step.slope + 0.5 * max(step.curvature, 0.0)) / (0.5 * size))
        law = Law(self.x, self.u, step.k, step.K, self.gap, FAR * (1.0 + float(np.abs(self.x).max())))
        batches = (ALPHAS,) if self.dynamics.cheap else ALPHAS[:6, None]
        for alphas in batches:
            x, u = self.dynamics.rollout(law, alphas)
            costs = self.running.totals(x, u)
            promised = step.promised(alphas) + self.weight * alphas * size
            gained = self.cost - costs + self.weight * alphas * size
            rounding = FEW * (1.0 + abs(self.cost))
            good = (gained > ACCEPT * promised) & (gained > 0) | (np.abs(promised) <= rounding) & (gained >= 0)
            if good.any():
                i = int(np.argmax(good))
                self._take(np.ascontiguousarray(x[i]), np.ascontiguousarray(u[i]), float(costs[i]), float(alphas[i]))
                return float(alphas[i])
        return 0.0

    def _take(self, x: np.ndarray, u: np.ndarray, cost: float, alpha: float):
        self.x, self.u, self.cost = x, u, cost
        if self.gap is not None:
            self.gap = None if alpha == 1.0 else (1.0 - alpha) * self.gap

    def _regularize(self, alpha: float) -> bool:
        """Less after a full step, more after a short one; False if more would not help."""
        self.failures = 0 if alpha else self.failures + 1
        if alpha > 0.5:
            self.mu = max(LEAST, self.mu / FACTOR)
        elif alpha <= 0.01:
            self.mu *= FACTOR ** max(1, self.failures)  # its scale is not known: look for it in growing strides
        return self.mu <= MOST

    def _log(self, alpha: float):
        defect = 0.0 if self.gap is None else float(np.abs(self.gap).max())
        self.log.append(Iteration(self.cost, defect, alpha, self.mu, self.violation))
