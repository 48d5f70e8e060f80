"""One live MuJoCo run: a state that stays in the engine, with exact snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sims.errors import SimulationDiverged
from sims.mujoco_engine import mujoco
from sims.policy import Policy
from sims.trajectory import Trajectory

if TYPE_CHECKING:
    from sims.mujoco_sim import MujocoSimulator
    from sims.simulator import Monitor

BOUND = float(mujoco.mjMAXVAL)  # beyond it MuJoCo calls a state or an input bad
SAFE = BOUND**2  # x.x below this: every component is finite and within the bound
_SPEC = int(mujoco.mjtState.mjSTATE_INTEGRATION)


class Cell:
    """An MjData and views of the parts of it that are x = [qpos, qvel, act]."""

    def __init__(self, model: mujoco.MjModel):
        nq, nv, na = model.nq, model.nv, model.na
        self.model, self.data = model, mujoco.MjData(model)
        self.parts = [(slice(0, nq), self.data.qpos), (slice(nq, nq + nv), self.data.qvel)]
        if na:
            self.parts.append((slice(nq + nv, nq + nv + na), self.data.act))
        self._warmstart, self.ctrl = self.data.qacc_warmstart, self.data.ctrl

    def load(self, x: np.ndarray, u: np.ndarray | float) -> None:
        """Start over from x (nx,) with the input u (nu,): time and warm start zero."""
        for where, part in self.parts:
            part[:] = x[where]
        self.ctrl[:] = u
        self._warmstart[:] = 0.0
        self.data.time = 0.0

    def step(self) -> np.ndarray:
        """Advance by one step; the new state (nx,), with what MuJoCo calls bad made infinite."""
        mujoco.mj_step(self.model, self.data)
        return mark(self.x, self.model.na)

    @property
    def x(self) -> np.ndarray:
        """The state (nx,), a copy."""
        return np.concatenate([part for _, part in self.parts])


class Session:
    """A run in progress, x <- step(x, u), which carries the constraint solver's warm start from step to step.

    Without active constraints the states are those of `Simulator.step`, bit for bit; with them they agree to the
    solver's tolerance. Made by `MujocoSimulator.session`; data is its MjData, for reading.
    """

    def __init__(self, sim: MujocoSimulator, x0: np.ndarray, cell: Cell):
        self._sim, self._cell, self.data = sim, cell, cell.data
        cell.load(x0, 0.0)

    @property
    def x(self) -> np.ndarray:
        """The state now (nx,), a copy."""
        return self._cell.x

    @property
    def t(self) -> float:
        """Time since the start [s]."""
        return self.data.time

    def step(self, u) -> np.ndarray:
        """Advance by dt under the input u (nu,) and return the new state (nx,).

        Raises ValueError for a bad u; SimulationDiverged if the state stops being finite, and the session then stands
        where it stood before.
        """
        u = self._sim.saturate(self._sim.check_input(u))
        x, before, t = self.x, self.snapshot(), self.t
        self._cell.ctrl[:] = u
        x_next = self._cell.step()
        if not np.isfinite(x_next).all():
            self.restore(before)
            raise SimulationDiverged(self._sim._failure(x, u, x_next, step=round(t / self._sim.dt), t=t))
        return x_next

    def snapshot(self) -> np.ndarray:
        """All that the next steps depend on (n,), warm start included: MuJoCo's mjSTATE_INTEGRATION."""
        state = np.empty(mujoco.mj_stateSize(self._sim.model, _SPEC))
        mujoco.mj_getState(self._sim.model, self.data, state, _SPEC)
        return state

    def restore(self, snapshot: np.ndarray) -> None:
        """Go back to a snapshot of a session of the same model; what follows is repeated bit for bit."""
        size = mujoco.mj_stateSize(self._sim.model, _SPEC)
        if np.shape(snapshot) != (size,):
            raise ValueError(f"restore: a snapshot of this model has shape ({size},), got {np.shape(snapshot)}")
        mujoco.mj_setState(self._sim.model, self.data, np.asarray(snapshot, float), _SPEC)

    def run(self, policy: Policy, T: int, monitor: Monitor | None = None) -> Trajectory:
        """T steps of u = policy(x, k dt) from here, k = 0, 1, ...; stops at the first value that is not finite."""
        sim, model, data, step, ctrl = self._sim, self._sim.model, self.data, mujoco.mj_step, self._cell.ctrl
        x, u, dt, na = np.empty((T + 1, sim.nx)), np.empty((T, sim.nu)), sim.dt, model.na
        x[0] = now = self.x
        (where_q, qpos), (where_v, qvel), *rest = self._cell.parts
        x_q, x_v, act = x[1:, where_q], x[1:, where_v], rest[0][1] if rest else None
        for k, (u_k, x_next, q_next, v_next) in enumerate(zip(u, x[1:], x_q, x_v, strict=True)):
            command = policy(now.copy(), k * dt)
            if k == 0:
                sim.check_policy(command, now)
            u_k[:] = command
            if not u_k.dot(u_k) < SAFE:
                u_k[:] = mark(np.minimum(np.maximum(u_k, sim.u_min), sim.u_max))
                if not np.isfinite(u_k).all():
                    return self._end(x, u, k)
            if monitor is not None:
                monitor(k * dt, now.copy(), np.minimum(np.maximum(u_k, sim.u_min), sim.u_max))
            ctrl[:] = u_k  # MuJoCo clamps it to ctrlrange, as _end does for the record
            step(model, data)
            q_next[:] = qpos
            v_next[:] = qvel
            if act is not None:
                x_next[-na:] = act
            if not x_next.dot(x_next) < SAFE and not np.isfinite(mark(x_next, na)).all():
                return self._end(x, u, k)
            now = x_next
        return self._end(x, u, T)

    def _end(self, x: np.ndarray, u: np.ndarray, steps: int) -> Trajectory:
        done = u[: steps + 1]
        np.minimum(np.maximum(done, self._sim.u_min, out=done), self._sim.u_max, out=done)
        return self._sim._close(x, u, steps)


def mark(x: np.ndarray, skip: int = 0) -> np.ndarray:
    """x (..., n) with what MuJoCo calls bad (beyond 1e10) made infinite, in place; the last `skip` are left alone.

    MuJoCo zeroes all inputs if one is bad, and mujoco.rollout stands still from the first bad state on: nothing later
    would show it.
    """
    checked = x[..., : x.shape[-1] - skip]
    bad = np.abs(checked) > BOUND
    if bad.any():
        checked[bad] = np.copysign(np.inf, checked[bad])
    return x
