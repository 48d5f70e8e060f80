"""Where steps, their derivatives and batches of rollouts under a feedback law come from."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from sims.ode import OdeSimulator
from sims.simulator import Simulator
from sims.system import System


@dataclass(frozen=True)
class Law:
    """u = clip(u[k] + alpha k[k] - K[k] (x [-] x[k])), for several alpha at once.

    x (T+1, nx), u (T, nu), k (T, nu), K (T, nu, ndx); gap (T, ndx), step(x[k], u[k]) [-] x[k+1], or None where all are
    zero: a rollout of length alpha leaves the share 1 - alpha of each. A run with a state beyond bound is given up:
    what runs away is not taken, and sines of huge angles are slow.
    """

    x: np.ndarray
    u: np.ndarray
    k: np.ndarray
    K: np.ndarray
    gap: np.ndarray | None = None
    bound: float = np.inf


class Dynamics(ABC):
    """A discrete plant as the planner sees it: sim is the simulator that has the last word on the defect.

    cheap: a batch of rollouts costs about as much as one.
    """

    cheap = True

    def __init__(self, sim: Simulator):
        self.sim = sim
        self.nx, self.ndx, self.nu, self.dt = sim.nx, sim.ndx, sim.nu, sim.dt
        self.u_min, self.u_max = np.asarray(sim.u_min, float), np.asarray(sim.u_max, float)

    @abstractmethod
    def rollout(self, law: Law, alphas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x (n, T+1, nx), u (n, T, nu) from x[0] for step lengths alphas (n,); not finite where a run diverges."""

    @abstractmethod
    def linearize(self, x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A (T, ndx, ndx), B (T, ndx, nu) at x (T, nx), u (T, nu), all in one call."""

    def curvature(self, x: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray | None:
        """The Hessian (T, n, n) of v . step(x, u) by [x, u] at x (T, nx), u (T, nu), v (T, nx); None: not known."""
        return None

    def gaps(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """step(x[k], u[k]) [-] x[k+1] (T, ndx) for x (T+1, nx), u (T, nu), by the simulator itself."""
        return self.sim.difference(x[1:], self.sim._step(x[:-1], u))


def dynamics_of(model: System | Simulator, dt: float | None, integrator: str) -> Dynamics:
    """The Dynamics of a closed-form plant (recorded, replayed in C), a MuJoCo or any other simulator.

    Raises ValueError for a System without dt, or a Simulator with another one than its own.
    """
    if isinstance(model, System):
        if dt is None:
            raise ValueError(
                f"ILQR: {type(model).__name__} is continuous; say the length of a step, ILQR(..., dt=0.02)"
            )
        model = OdeSimulator(model, dt=dt, integrator=integrator)
    elif dt is not None and not np.isclose(dt, model.dt, rtol=1e-9):
        raise ValueError(f"ILQR: dt = {dt} s, but the simulator steps by {model.dt} s; leave dt out")
    if isinstance(model, OdeSimulator) and model.integrator != "rk45":
        from controllers.ilqr.recorded import Recorded

        return Recorded(model)
    from controllers.ilqr.simulated import InMujoco, Simulated

    return InMujoco(model) if model.backend == "mujoco" else Simulated(model)
