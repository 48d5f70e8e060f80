"""A robot in MuJoCo as a pure, batched Simulator."""

import hashlib
import os
import zlib
from pathlib import Path

import numpy as np

from sims import mujoco_query
from sims.contact import Contact, Terms
from sims.errors import ModelError
from sims.mujoco_engine import mujoco
from sims.mujoco_layout import Manifold, body_names, input_names, state_names
from sims.mujoco_model import INTEGRATORS, load_model, model_bytes, model_text
from sims.mujoco_pool import RolloutPool
from sims.mujoco_session import BOUND, Cell, Session, mark
from sims.policy import Policy
from sims.simulator import Monitor, Simulator
from sims.trajectory import Trajectory


class MujocoSimulator(Simulator):
    """x_next = mj_step(x, u) with x = [qpos, qvel, act] (nx = nq + nv + na, ndx = 2 nv + na) and u = ctrl.

    model: anything `sims.mujoco_model.load_model` takes, with the same dt [s], integrator, contact and limits; the
    compiled copy is `.model`. nthread: threads of `rollout`, one per core by default; results do not depend on it.
    u_min, u_max: ctrlrange where ctrllimited. Every `step` starts from a zero warm start at time 0, so it depends on x
    and u alone; `rollout` and `closed_loop` carry the warm start along, which without active constraints gives the same
    bits and with them the same states to the solver's tolerance. Sleeping is off (it is hidden state). One simulator
    belongs to one Python thread. Raises ModelError for a model with state outside x (delays, plasticity, plugins).
    """

    backend = "mujoco"

    def __init__(
        self,
        model,
        *,
        dt: float | None = None,
        integrator: str | None = None,
        contact: bool = True,
        limits: bool = True,
        nthread: int | None = None,
    ):
        if nthread is not None and nthread < 1:
            raise ValueError(f"MujocoSimulator: nthread must be at least 1, got {nthread}")
        self.model = load_model(model, dt=dt, integrator=integrator, contact=contact, limits=limits)
        self.model.opt.enableflags &= ~int(mujoco.mjtEnableBit.mjENBL_SLEEP)
        _check_markov(self.model)
        self._text = model_text(model) if isinstance(model, (str, os.PathLike)) else None
        self._checksum = zlib.crc32(model_bytes(self.model))
        self._contact, self._limits = contact, limits
        self.dt = float(self.model.opt.timestep)
        manifold = Manifold(self.model)
        self.nx, self.ndx, self.nu = manifold.nx, manifold.ndx, self.model.nu
        self.difference, self.integrate, self._quats = manifold.difference, manifold.integrate, manifold.quats
        self.x_names, self.u_names = state_names(self.model), input_names(self.model)
        clamped = self.model.actuator_ctrllimited.astype(bool)
        if self.model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_CLAMPCTRL:
            clamped[:] = False
        self.u_min = np.where(clamped, self.model.actuator_ctrlrange[:, 0], -np.inf)
        self.u_max = np.where(clamped, self.model.actuator_ctrlrange[:, 1], np.inf)
        self.body_names = body_names(self.model)[1:]
        self._scratch = Cell(self.model)
        self._idle: list[Cell] = []
        self._pool = RolloutPool(self.model, nthread or os.cpu_count() or 1)

    @property
    def integrator(self) -> str:
        """Name of the integrator in use."""
        return next(name for name, value in INTEGRATORS.items() if value == self.model.opt.integrator)

    def describe(self) -> dict:
        """The arguments that make this simulator again, with the key "backend".

        "model" is MJCF or URDF text, the path of a file that names other files (with its "sha256"), or, for an MjSpec,
        an MjModel or a model edited since, the compiled model as a string.
        """
        text = self._text
        if text is None or zlib.crc32(model_bytes(self.model)) != self._checksum:
            text = model_text(self.model)
        description = {
            "backend": self.backend,
            "model": text,
            "dt": self.dt,
            "integrator": self.integrator,
            "contact": self._contact,
            "limits": self._limits,
        }
        if not text.startswith(("<", "data:")):
            description["sha256"] = hashlib.sha256(Path(text).read_bytes()).hexdigest()
        return description

    def close(self) -> None:
        """End the threads of `rollout`; calling it again starts new ones."""
        self._pool.close()

    def session(self, x0) -> Session:
        """A live run from x0 (nx,) with exact snapshots; independent of every other call."""
        return Session(self, self._one(x0, "x0"), Cell(self.model))

    def closed_loop(self, policy: Policy, x0: np.ndarray, T: int, monitor: Monitor | None = None) -> Trajectory:
        """As Simulator.closed_loop; a single run stays in the engine and carries the warm start along."""
        if x0.ndim > 1:
            return super().closed_loop(policy, x0, T, monitor)
        cell = self._idle.pop() if self._idle else Cell(self.model)  # a policy may close loops of its own
        try:
            return Session(self, x0, cell).run(policy, T, monitor)
        finally:
            self._idle.append(cell)

    def saturate(self, u: np.ndarray) -> np.ndarray:
        """u (..., nu) clipped to [u_min, u_max]; ValueError where it is still beyond 1e10, which MuJoCo would zero."""
        u = super().saturate(u)
        if u.size and (u.max() > BOUND or u.min() < -BOUND):
            index = tuple(int(i) for i in np.argwhere(np.abs(u) > BOUND)[0])
            raise ValueError(
                f"mujoco simulator: input {self.u_names[index[-1]]!r} is {u[index]:.6g} at index {index}; MuJoCo takes "
                f"up to {BOUND:g} and would silently apply zero: scale the input or give the actuator a ctrlrange"
            )
        return u

    def body_poses(self, x) -> np.ndarray:
        """X_WB (..., nbody, 4, 4) of the bodies in `body_names` (the world is left out) at x (..., nx)."""
        x = self.check_state(x)
        X_WB = np.empty((*x.shape[:-1], len(self.body_names), 4, 4))
        for index in np.ndindex(x.shape[:-1]):
            self._scratch.load(x[index], 0.0)
            X_WB[index] = mujoco_query.poses(self.model, self._scratch.data)
        return X_WB

    def contacts(self, x, u) -> list[Contact]:
        """The contact points at x (nx,) that carry a force under u (nu,); frictional and normal force together."""
        self._load_one(x, u)
        mujoco.mj_forward(self.model, self._scratch.data)
        return mujoco_query.contacts(self.model, self._scratch.data)

    def terms(self, x, u) -> Terms:
        """M, bias, gravity, actuator forces and acceleration at x (nx,) under u (nu,), saturated; see Terms."""
        self._load_one(x, u)
        return mujoco_query.terms(self.model, self._scratch.data)

    def _step(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        if x.ndim > 1:
            return self._rollout(x, u[..., None, :])[..., 1, :]
        self._scratch.load(x, u)
        return self._scratch.step()

    def _rollout(self, x0: np.ndarray, u: np.ndarray) -> np.ndarray:
        batch, T = x0.shape[:-1], u.shape[-2]
        x0 = x0.reshape(-1, self.nx)
        u = u.reshape(len(x0), T, self.nu)
        x = np.empty((len(x0), T + 1, self.nx))
        x[:, 0] = x0
        if T and len(x0):
            states = self._pool.run(x0, u)
            x[:, 1:] = states[:, :, 1:]
            mark(x[:, -1], self.model.na)
            stopped = np.flatnonzero(states[:, -1, 0] <= states[:, -2, 0]) if T > 1 else np.empty(0, int)
            x[stopped] = mark(x[stopped], self.model.na)
            for row in stopped[np.isfinite(x[stopped, -1]).all(axis=-1)]:  # warned, but did not diverge there
                self._replay(x[row], u[row])
        return x.reshape(*batch, T + 1, self.nx)

    def _replay(self, x: np.ndarray, u: np.ndarray) -> None:
        """Fill x[1:] (T+1, nx) by stepping from x[0] under u (T, nu), to the end or to the first bad value."""
        self._scratch.load(x[0], u[0])
        for k in range(len(u)):
            self._scratch.ctrl[:] = u[k]
            x[k + 1] = self._scratch.step()
            if not np.isfinite(x[k + 1]).all():
                x[k + 2 :] = x[k + 1]
                return

    def _linearize(self, x: np.ndarray, u: np.ndarray, eps: float = 1e-6) -> tuple[np.ndarray, np.ndarray]:
        limited = self.model.actuator_ctrllimited.copy()
        self.model.actuator_ctrllimited[:] = False  # the derivative at an input limit is the interior one
        try:
            if self.model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4:  # mjd_transitionFD refuses it
                return super()._linearize(x, u, eps)
            A = np.empty((*x.shape[:-1], self.ndx, self.ndx))
            B = np.empty((*x.shape[:-1], self.ndx, self.nu))
            for index in np.ndindex(x.shape[:-1]):
                self._scratch.load(x[index], u[index])
                mujoco.mjd_transitionFD(
                    self.model, self._scratch.data, eps, True, A[index], B[index] if self.nu else None, None, None
                )
            return A, B
        finally:
            self.model.actuator_ctrllimited[:] = limited

    def _load_one(self, x, u) -> None:
        u = self.check_input(u)
        if u.ndim != 1:
            raise ValueError(f"mujoco simulator: u must be one input ({self.nu},), got {u.shape}")
        self._scratch.load(self._one(x), self.saturate(u))

    def _one(self, x, name: str = "x") -> np.ndarray:
        x = self.check_state(x, name)
        if x.ndim != 1:
            raise ValueError(f"mujoco simulator: {name} must be one state ({self.nx},), got {x.shape}")
        return x


def _check_markov(model: mujoco.MjModel) -> None:
    """ModelError if the next state depends on more than x and u."""
    hidden = {
        "mjSTATE_HISTORY": "delayed actuators or sensors (nsample, delay)",
        "mjSTATE_PLUGIN": "plugins with a state",
        "mjSTATE_PLASTIC": "plastic springs or flexes (springyield, yield)",
    }
    for component, what in hidden.items():
        size = mujoco.mj_stateSize(model, int(getattr(mujoco.mjtState, component)))
        if size:
            raise ModelError(
                f"the model has {what}: {size} numbers of state outside x = [qpos, qvel, act], so a step would not "
                "depend on x and u alone; remove them from the model, or step it with mujoco itself"
            )
