"""A discrete-time plant whose state is an argument, and the loop that closes it with a policy."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from math import isfinite

import numpy as np

from sims.errors import SimulationDiverged
from sims.policy import Controller, Policy
from sims.trajectory import Failure, Trajectory

Monitor = Callable[[float, np.ndarray, np.ndarray], None]


class Simulator(ABC):
    """x_next = step(x, u): one plant in one engine, pure, batched over leading axes.

    backend: "ode", "mujoco" or "drake"; nx, ndx, nu: sizes of state, tangent space, input; dt [s]; u_min, u_max (nu,):
    inputs are saturated there, as an actuator would; x_names, u_names: one name per component. Every backend uses the
    same layout x = [q, v(, act)]: quaternions wxyz, a free joint's q = [p_WB, quat_WB], v = [v_WB, omega_WB_B].
    """

    backend: str
    nx: int
    ndx: int
    nu: int
    dt: float
    u_min: np.ndarray
    u_max: np.ndarray
    x_names: tuple[str, ...]
    u_names: tuple[str, ...]
    _quats: np.ndarray = np.empty((0, 4), int)  # where the quaternions are in x

    @abstractmethod
    def _step(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """step on checked, saturated float64 arrays with equal leading axes; may return non-finite values."""

    @abstractmethod
    def describe(self) -> dict:
        """What `sims.simulator.build` needs to make this simulator again: JSON types only, with the key "backend"."""

    def step(self, x, u) -> np.ndarray:
        """The state (..., nx) one dt [s] after x (..., nx) under the constant input u (..., nu).

        Raises ValueError for a wrong shape or a value that is not finite, SimulationDiverged if the result is not.
        """
        x, u = self._batched(self.check_state(x), self.check_input(u))
        u = self.saturate(u)
        x_next = self._step(x, u)
        if not np.isfinite(x_next).all():
            raise SimulationDiverged(self._failure(x, u, x_next, step=0, t=0.0))
        return x_next

    def rollout(self, x0, u) -> Trajectory:
        """Open loop from x0 (..., nx) under u (..., T, nu), leading axes broadcast.

        A run that diverges keeps its non-finite tail (its neighbours in the batch go on) and has status "diverged".
        """
        x0, u = self.check_state(x0, "x0"), self.check_input(u)
        if u.ndim < 2:
            raise ValueError(f"rollout: u must be (..., T, {self.nu}), got {u.shape}; for one step use step(x, u)")
        T, batch = u.shape[-2], np.broadcast_shapes(x0.shape[:-1], u.shape[:-2])
        x0 = np.broadcast_to(x0, (*batch, self.nx))
        u = self.saturate(np.broadcast_to(u, (*batch, T, self.nu)))
        x = self._rollout(x0, u)
        return self._finish(Trajectory(self.dt * np.arange(T + 1), x, u))

    def _rollout(self, x0: np.ndarray, u: np.ndarray) -> np.ndarray:
        T = u.shape[-2]
        x = np.empty((T + 1, *x0.shape))
        x[0] = x0
        for k in range(T):
            x[k + 1] = self._step(x[k], u[..., k, :])
        return np.moveaxis(x, 0, -2)

    def closed_loop(self, policy: Policy, x0: np.ndarray, T: int, monitor: Monitor | None = None) -> Trajectory:
        """T steps of u = policy(x, t) from x0 (..., nx); stops at the first value that is not finite."""
        x = np.empty((T + 1, *x0.shape))
        u = np.empty((T, *x0.shape[:-1], self.nu))
        x[0] = x0
        steps = T
        for k in range(T):
            command = policy(x[k].copy(), k * self.dt)
            if k == 0:
                self.check_policy(command, x0)
            u[k] = command
            u[k] = np.minimum(np.maximum(u[k], self.u_min), self.u_max)
            if not np.isfinite(u[k]).all():
                steps = k
                break
            if monitor is not None:
                monitor(k * self.dt, x[k].copy(), u[k].copy())
            x[k + 1] = self._step(x[k], u[k])
            if not np.isfinite(x[k + 1]).all():
                steps = k
                break
        return self._close(x, u, steps)

    def _close(self, x: np.ndarray, u: np.ndarray, steps: int) -> Trajectory:
        """The Trajectory of time-major x (T+1, ..., nx), u (T, ..., nu) of which `steps` steps went well."""
        run = Trajectory(
            self.dt * np.arange(steps + 1), np.moveaxis(x[: steps + 1], 0, -2), np.moveaxis(u[:steps], 0, -2)
        )
        if steps == len(u):
            return run
        failure = self._failure(x[steps], u[steps], x[steps + 1], step=steps, t=steps * self.dt)
        return replace(run, status="diverged", message=failure.message, failure=failure)

    def linearize(self, x, u) -> tuple[np.ndarray, np.ndarray]:
        """A (..., ndx, ndx), B (..., ndx, nu) of dx_next = A dx + B du about x (..., nx), u (..., nu).

        Central differences on the manifold: integrate(x, dx) before the step, difference after it.
        """
        x, u = self._batched(self.check_state(x), self.check_input(u))
        return self._linearize(x, u)

    def _linearize(self, x: np.ndarray, u: np.ndarray, eps: float = 1e-6) -> tuple[np.ndarray, np.ndarray]:
        dx = np.concatenate([eps * np.eye(self.ndx), np.zeros((self.nu, self.ndx))])
        du = np.concatenate([np.zeros((self.ndx, self.nu)), eps * np.eye(self.nu)])
        x, u = x[..., None, :], u[..., None, :]
        ends = [
            self._step(self.integrate(x, sign * dx), u + sign * du) for sign in (1.0, -1.0)
        ]  # no saturation: the derivative at a limit is the interior one
        J = np.swapaxes(self.difference(ends[1], ends[0]), -1, -2) / (2 * eps)
        return J[..., : self.ndx], J[..., self.ndx :]

    def difference(self, x, y) -> np.ndarray:
        """The tangent vector dx (..., ndx) with integrate(x, dx) = y."""
        return np.subtract(y, x)

    def integrate(self, x, dx) -> np.ndarray:
        """The state (..., nx) reached from x along the tangent vector dx (..., ndx)."""
        return np.add(x, dx)

    def saturate(self, u: np.ndarray) -> np.ndarray:
        """u (..., nu) clipped to [u_min, u_max]."""
        return np.minimum(np.maximum(u, self.u_min), self.u_max)

    def check_state(self, x, name: str = "x") -> np.ndarray:
        """x as float64 (..., nx); ValueError naming the component if the shape is wrong or a value is not finite.

        A quaternion whose norm is so far from 1 that an engine would overflow, or replace it, is an error too.
        """
        what = f"{self.backend} simulator: state {name}"
        x = check(x, self.nx, self.x_names, what)
        for quat in self._quats:
            size = np.abs(x[..., quat]).max(axis=-1)
            if not ((size > 1e-10) & (size < 1e10)).all():
                raise ValueError(
                    f"{what}: the quaternion from {self.x_names[quat[0]]!r} on is zero or far from unit length; "
                    "no rotation is (1, 0, 0, 0)"
                )
        return x

    def check_input(self, u, name: str = "u") -> np.ndarray:
        """u as float64 (..., nu); ValueError naming the component if the shape is wrong or a value is not finite."""
        return check(u, self.nu, self.u_names, f"{self.backend} simulator: input {name}")

    def check_policy(self, command, x: np.ndarray) -> None:
        """ValueError unless command, what a policy returned for x (..., nx), is real and broadcasts to (..., nu)."""
        shape, wanted = np.shape(command), (*x.shape[:-1], self.nu)
        if command is None or np.asarray(command).dtype.kind not in "biuf":
            raise ValueError(
                f"{self.backend} simulator: the policy must return real numbers u of shape {wanted} "
                f"({', '.join(self.u_names)}), got {command!r:.100}"
            )
        if len(shape) > len(wanted) or any(s not in (1, w) for s, w in zip(shape[::-1], wanted[::-1], strict=False)):
            raise ValueError(
                f"{self.backend} simulator: the policy must return u of shape {wanted} ({', '.join(self.u_names)}) "
                f"for x of shape {x.shape}, got {shape}"
            )

    @staticmethod
    def _batched(x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        batch = np.broadcast_shapes(x.shape[:-1], u.shape[:-1])
        return np.broadcast_to(x, (*batch, x.shape[-1])), np.broadcast_to(u, (*batch, u.shape[-1]))

    def _finish(self, run: Trajectory) -> Trajectory:
        """run, with status "diverged" and a failure if its states (..., T+1, nx) are not all finite."""
        if np.isfinite(run.x[..., -1, :]).all():  # non-finite values do not heal
            return run
        bad = ~np.isfinite(run.x).all(axis=-1).reshape(-1, len(run) + 1)
        row = int(np.flatnonzero(bad.any(axis=1))[0])
        step = int(np.flatnonzero(bad[row])[0]) - 1
        x = run.x.reshape(-1, len(run) + 1, self.nx)[row]
        u = run.u.reshape(len(bad), len(run), self.nu)[row]  # not -1, which needs nu > 0
        failure = self._failure(x[step], u[step], x[step + 1], step=step, t=float(run.t[step]))
        return replace(run, status="diverged", message=failure.message, failure=failure)

    def _failure(self, x: np.ndarray, u: np.ndarray, x_next: np.ndarray, *, step: int, t: float) -> Failure:
        bad_x = ~np.isfinite(x_next).reshape(-1, self.nx)
        u = u.reshape(len(bad_x), self.nu)
        bad_u = ~np.isfinite(u)
        bad = bad_u if bad_u.any() else bad_x
        names = self.u_names if bad_u.any() else self.x_names
        row, column = (int(i) for i in np.argwhere(bad)[0])
        where = names[column] + (f" (batch row {row})" if len(bad) > 1 else "")
        return Failure(self.describe(), x.reshape(-1, self.nx)[row].copy(), u[row].copy(), t, step, where)


def simulate(
    sim: Simulator,
    policy: Policy,
    x0,
    duration: float,
    *,
    monitor: Monitor | None = None,
    check: bool = False,
) -> Trajectory:
    """Close the loop: x[k+1] = step(x[k], policy(x[k], t[k])) from x0 (..., nx) for `duration` [s].

    policy: any function (x, t) -> u; a Controller is reset first. monitor(t, x, u) is called before every step. The
    result has status "diverged" and ends early if a state or an input stops being finite; with check=True that raises
    SimulationDiverged instead. Raises ValueError for a bad x0, a bad duration or an input of the wrong shape.
    """
    x0 = sim.check_state(x0, "x0")
    if not (isfinite(duration) and duration > 0):
        raise ValueError(f"simulate: duration must be a positive number of seconds, got {duration!r}")
    if isinstance(policy, Controller):
        policy.reset()
    run = sim.closed_loop(policy, x0, max(1, round(duration / sim.dt)), monitor)
    if check and run.failure is not None:
        raise SimulationDiverged(run.failure)
    return run


def check(value, size: int, names: tuple[str, ...], what: str) -> np.ndarray:
    """value as float64 (..., size); ValueError saying what was wanted and which named component is not finite."""
    array = np.asarray(value, dtype=float)
    if array.ndim == 0 or array.shape[-1] != size:
        raise ValueError(f"{what} must have shape (..., {size}) = ({', '.join(names)}), got {array.shape}")
    if not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{what} must be finite, got {array[index]} for {names[index[-1]]!r} at index {index}")
    return array
