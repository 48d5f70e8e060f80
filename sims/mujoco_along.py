"""Along a trajectory in MuJoCo: rollouts under a feedback law, and derivatives at all knots on threads."""

import copy
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from sims.mujoco_engine import mujoco
from sims.mujoco_session import BOUND, Cell
from sims.mujoco_sim import MujocoSimulator

STEP = 1e-6  # of the forward differences: right to about 1e-6 relative, at half the price of central ones


class Along:
    """A MujocoSimulator's derivatives (mjd_transitionFD) and feedback rollouts, one MjData a thread.

    It works on a copy of the model: make another after editing `sim.model`. Input limits do not enter derivatives: at a
    limit they are the interior ones. Results do not depend on the number of threads.
    """

    def __init__(self, sim: MujocoSimulator, nthread: int | None = None):
        self.sim = sim
        self.model = copy.copy(sim.model)
        self.model.actuator_ctrllimited[:] = False
        self._smooth = sim.model.opt.integrator != mujoco.mjtIntegrator.mjINT_RK4  # mjd_transitionFD refuses RK4
        self._cells = [Cell(self.model) for _ in range(nthread or os.cpu_count() or 1)]
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0

    def linearize(self, x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A (T, ndx, ndx), B (T, ndx, nu) of a step at x (T, nx), u (T, nu), by forward differences."""
        sim, model = self.sim, self.model
        if not self._smooth:
            return sim.linearize(x, u)
        A, B = np.empty((len(x), sim.ndx, sim.ndx)), np.empty((len(x), sim.ndx, sim.nu))
        turns, lock = iter(range(len(x))), threading.Lock()

        def work(cell: Cell) -> None:
            while True:
                with lock:
                    k = next(turns, None)
                if k is None:
                    return
                cell.load(x[k], u[k])
                mujoco.mjd_transitionFD(model, cell.data, STEP, False, A[k], B[k] if sim.nu else None, None, None)

        helpers = [self._threads().submit(work, cell) for cell in self._cells[1:]]
        work(self._cells[0])
        for helper in helpers:
            helper.result()
        return A, B

    def rollout(self, x_law: np.ndarray, u_law: np.ndarray, K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x (T+1, nx), u (T, nu) from x_law[0] under u = clip(u_law[k] - K[k] (x [-] x_law[k])); NaN once it diverges.

        x_law (T+1, nx), u_law (T, nu), K (T, nu, ndx). Every step starts from a zero warm start, as sim.step does.
        """
        sim, model, cell = self.sim, self.model, self._cells[0]
        x, u = np.empty((len(x_law), sim.nx)), np.empty((len(u_law), sim.nu))
        x[0] = x_law[0]
        cell.load(x[0], 0.0)
        data, warmstart, ctrl, step = cell.data, cell.data.qacc_warmstart, cell.ctrl, mujoco.mj_step
        views = [(x[:, where], part) for where, part in cell.parts]
        flat, subtract = sim.nx == sim.ndx, np.subtract
        limited = bool(np.isfinite(sim.u_min).any() or np.isfinite(sim.u_max).any())
        minimum, maximum, low, high = np.minimum, np.maximum, sim.u_min, sim.u_max
        offset = u_law + (K @ x_law[:-1, :, None])[:, :, 0] if flat else u_law  # a subtraction less in each step
        for k, (now, at, gain, before) in enumerate(zip(u, offset, K, x, strict=False)):
            subtract(at, gain.dot(before if flat else sim.difference(x_law[k], before)), now)
            if limited:
                minimum(maximum(now, low, out=now), high, out=now)
            ctrl[:] = now
            warmstart[:] = 0.0
            step(model, data)
            for rows, part in views:
                rows[k + 1] = part
        bad = np.flatnonzero(~(np.abs(x) < BOUND).all(axis=1))  # what is not finite stays so
        if len(bad):
            x[bad[0] :] = np.nan
        return x, u

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None or self._pid != os.getpid():  # after a fork the threads are not there
            self._pool, self._pid = ThreadPoolExecutor(max(1, len(self._cells) - 1), "swingup-linearize"), os.getpid()
            weakref.finalize(self, self._pool.shutdown, wait=False)
        return self._pool
