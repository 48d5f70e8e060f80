"""Any simulator: rollouts step a batch at a time, derivatives are the simulator's own, on threads for MuJoCo."""

import numpy as np

from controllers.ilqr.dynamics import Dynamics, Law
from sims.simulator import Simulator


class Simulated(Dynamics):
    """A Simulator whose steps are worth more than the loop around them."""

    cheap = False

    def rollout(self, law: Law, alphas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sim, T, n = self.sim, len(law.u), len(alphas)
        x, u = np.full((T + 1, n, self.nx), np.nan), np.zeros((T, n, self.nu))
        x[0] = law.x[0]
        alive = np.arange(n)
        for k in range(T):
            now = x[k, alive]
            wanted = law.u[k] + alphas[alive, None] * law.k[k] - sim.difference(law.x[k], now) @ law.K[k].T
            u[k, alive] = np.minimum(np.maximum(wanted, self.u_min), self.u_max)
            after = sim._step(now, u[k, alive])
            if law.gap is not None:
                after = sim.integrate(after, (alphas[alive, None] - 1.0) * law.gap[k])
            x[k + 1, alive] = after
            alive = alive[np.isfinite(after).all(axis=-1)]
            if not len(alive):
                break
        return x.swapaxes(0, 1), u.swapaxes(0, 1)

    def linearize(self, x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.sim.linearize(x, u)


class InMujoco(Simulated):
    """A MujocoSimulator: runs stay in the engine; derivatives are exact for plain arms, else differences on threads."""

    def __init__(self, sim: Simulator):
        from sims.mujoco_along import Along
        from sims.mujoco_inverse import StepDerivatives, eligible

        super().__init__(sim)
        self._along = along = Along(sim)  # pyright: ignore[reportArgumentType]
        self._exact = StepDerivatives(along.model) if eligible(along.model) else None
        self._runs: list[np.ndarray] = []  # the latest ones: the derivatives of the taken one need its next states

    def rollout(self, law: Law, alphas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if law.gap is not None:
            return super().rollout(law, alphas)
        runs = [self._along.rollout(law.x, law.u + alpha * law.k, law.K) for alpha in alphas]
        self._runs = [x for x, _ in runs]
        return np.array([x for x, _ in runs]), np.array([u for _, u in runs])

    def linearize(self, x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._exact is None:
            return self._along.linearize(x, u)
        after = next((run[1:] for run in self._runs if np.array_equal(run[:-1], x)), None)
        return self._exact(x, self.sim._step(x, u) if after is None else after)
