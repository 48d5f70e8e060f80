"""mujoco.rollout on threads of its own, kept alive from call to call."""

import os
import weakref

import numpy as np
from mujoco.rollout import Rollout

from sims.mujoco_engine import mujoco

_OF_PARENT: list[Rollout] = []  # after a fork: their threads did not come along, and joining them would never return


class RolloutPool:
    """Open-loop rollouts of one model, one mjData a thread; a row's bits do not depend on the number of threads.

    Threads start at the first call (again after a fork) and end with `close`, with the object, or with the process.
    """

    def __init__(self, model: mujoco.MjModel, nthread: int):
        self._model, self._nthread = model, nthread
        self._rollout: Rollout | None = None
        self._data: list[mujoco.MjData] = []
        self._pid = 0

    def run(self, x0: np.ndarray, u: np.ndarray) -> np.ndarray:
        """States (n, T, 1 + nx) = [time, x] after each step from x0 (n, nx) under u (n, T, nu), warm start zero.

        MuJoCo stops a row at its first warning of any kind: it then repeats the last state, and time stands still.
        """
        n, T, _ = u.shape
        initial = np.zeros((n, 1 + x0.shape[1]))
        initial[:, 1:] = x0
        states = np.empty((n, T, initial.shape[1]))
        self._started().rollout(
            [self._model] * n,
            self._data,
            initial,
            np.ascontiguousarray(u),
            nstep=T,
            state=states,
            skip_checks=True,
        )
        return states

    def close(self) -> None:
        """End the threads; the next call starts new ones."""
        if self._rollout is not None:
            self._finalizer()
            self._rollout = None

    def _started(self) -> Rollout:
        if self._rollout is None or self._pid != os.getpid():
            self.close()
            self._rollout = Rollout(nthread=self._nthread if self._nthread > 1 else 0)
            self._data = [mujoco.MjData(self._model) for _ in range(self._nthread)]
            self._pid = os.getpid()
            self._finalizer = weakref.finalize(self, _end, self._rollout, self._pid)
        return self._rollout


def _end(rollout: Rollout, pid: int) -> None:
    if pid == os.getpid():
        rollout.close()
    else:
        _OF_PARENT.append(rollout)
