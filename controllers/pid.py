"""Joint control: PID, and inverse dynamics (computed torque), towards a posture or along a reference."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np

from controllers.base import Controller
from controllers.feedback_linearization import computed_torque
from sims.manipulator import Manipulator
from sims.ode import OdeSimulator
from sims.simulator import Simulator

Reference = Callable[[float], tuple[np.ndarray, np.ndarray, np.ndarray]]  # t -> q, qdot, qddot, each (n,)


class PID(Controller):
    """u = kp (q_d - q) + ki integral of (q_d - q) dt + kd (v_d - v), one motor for each joint in `joints`.

    reference: a posture q_d (n,), where v_d = 0 and the derivative acts on the measurement alone, or a function
    t -> (q, v, vdot). kp, ki, kd: (n,) or scalars, N m/rad, N m/(rad s), N m s/rad or their linear kin. u is clipped to
    [u_min, u_max], and while it is, a joint's integral does not grow further (clamping). joints: indices into q, where
    x = [q, v]; nq: size of q, half of nx unless told, 7 + n beside a free joint. u_goal (n,): added to u, for instance
    gravity. The integral uses the time between calls and starts anew at reset or when time runs backward. Raises
    ValueError for sizes that do not fit. Source: Astrom and Hagglund, Advanced PID Control, 2006, sections 3.3 to 3.5.
    """

    def __init__(
        self,
        reference,
        *,
        kp,
        kd=0.0,
        ki=0.0,
        u_goal=0.0,
        u_min=-np.inf,
        u_max=np.inf,
        joints: Sequence[int] | None = None,
        nq: int | None = None,
    ):
        self.reference, start = _reference(reference)
        n = len(start[0])
        if joints is not None and len(joints) != n:
            raise ValueError(f"PID: the reference has {n} joints, `joints` names {len(joints)}: {list(joints)}")
        self.joints, self.nq = None if joints is None else np.array(joints, int), nq
        self.kp, self.ki, self.kd = (_per_joint("PID", name, g, n) for name, g in (("kp", kp), ("ki", ki), ("kd", kd)))
        self.u_goal = _per_joint("PID", "u_goal", u_goal, n, signed=True)
        self.u_min, self.u_max = np.broadcast_to(u_min, (n,)), np.broadcast_to(u_max, (n,))
        if not (self.u_min <= self.u_max).all():
            raise ValueError(f"PID: u_min must not exceed u_max, got {self.u_min.tolist()}, {self.u_max.tolist()}")
        self.reset()

    def reset(self) -> None:
        """Empty the integral."""
        self.integral: np.ndarray | float = 0.0
        self._last: float | None = None

    def __call__(self, x, t: float):
        q, v = _split(np.asarray(x, float), self.nq, self.joints)
        q_d, v_d, _ = self.reference(t)
        if q.shape[-1] != len(q_d):
            raise ValueError(
                f"PID: the reference has {len(q_d)} joints, the state {q.shape[-1]}: name them in `joints`"
            )
        if self._last is not None and t < self._last:
            self.reset()
        error = q_d - q
        dt = 0.0 if self._last is None else t - self._last
        self._last = t
        push = self.ki * error
        u = self.u_goal + self.kp * error + self.kd * (v_d - v) + self.integral
        windup = ((u >= self.u_max) & (push > 0)) | ((u <= self.u_min) & (push < 0))
        grown = np.where(windup, 0.0, dt * push)
        self.integral = self.integral + grown
        return np.minimum(np.maximum(u + grown, self.u_min), self.u_max)


class InverseDynamicsControl(Controller):
    """u with M vdot + ... = B u and vdot = vdot_d + kd (v_d - v) + kp (q_d - q): every joint a linear error equation.

    plant: a fully actuated Manipulator (M, C, tau_g, B, damping), or a simulator, whose `terms` then give the forces,
    damping, springs and all. reference: a posture (n,) or a function t -> (q, v, vdot). kp [1/s^2], kd [1/s]: (n,) or
    scalars; kd = 2 sqrt(kp) is critically damped and the default. Raises ValueError for a plant with fewer motors
    than joints, quaternions or actuator states. Source: Luh, Walker and Paul, "Resolved-acceleration control of
    mechanical manipulators", 1980; Lynch and Park, Modern Robotics, 2017, section 11.4.
    """

    def __init__(self, plant: Manipulator | Simulator, reference, *, kp, kd=None):
        self.reference, start = _reference(reference)
        n = len(start[0])
        self.kp = _per_joint("InverseDynamicsControl", "kp", kp, n)
        self.kd = 2 * np.sqrt(self.kp) if kd is None else _per_joint("InverseDynamicsControl", "kd", kd, n)
        if isinstance(plant, OdeSimulator):
            plant = cast(Manipulator, plant.system)
        if not isinstance(plant, Simulator) and plant.nv != n:
            raise ValueError(f"InverseDynamicsControl: the reference has {n} joints, {type(plant).__name__} {plant.nv}")
        self._inverse = _EngineInverse(plant, n) if isinstance(plant, Simulator) else partial(computed_torque, plant)

    def __call__(self, x, t: float):
        x = np.asarray(x, float)
        return self._inverse(x, self.acceleration(x, t))

    def acceleration(self, x, t: float):
        """The commanded vdot (..., nv)."""
        q, v = _split(x, None, None)
        q_d, v_d, a_d = self.reference(t)
        return a_d + self.kd * (v_d - v) + self.kp * (q_d - q)


class _EngineInverse:
    """Inverse dynamics by an engine's forward dynamics: vdot is affine in u, so u = u0 + B^-1 M (vdd - vdot(u0))."""

    def __init__(self, sim: Any, n: int):  # a Simulator with `terms`
        who = "InverseDynamicsControl"
        if sim.nx != sim.ndx or sim.nx != 2 * n:
            raise ValueError(
                f"{who}: x = [q, v] must be {n} joints and their speeds, without quaternions and actuator states; "
                f"the {sim.backend} simulator's state has {sim.nx} components: {', '.join(sim.x_names)}"
            )
        self.sim, self.u0 = sim, sim.saturate(np.zeros(sim.nu))
        low, high = np.maximum(sim.u_min, self.u0 - 1), np.minimum(sim.u_max, self.u0 + 1)
        self.steps = np.where(high > self.u0, high - self.u0, low - self.u0)
        B = self.input_map(np.zeros(sim.nx))
        rank = np.linalg.matrix_rank(B)
        if rank < n:
            raise ValueError(
                f"{who}: the actuators ({', '.join(sim.u_names)}) move only {rank} of {n} joints on their own"
            )
        elsewhere = self.input_map(np.concatenate([np.linspace(0.3, 0.7, n), np.zeros(n)]))
        self.B_inverse = np.linalg.pinv(B) if np.allclose(B, elsewhere, rtol=0, atol=1e-9 * np.abs(B).max()) else None

    def input_map(self, x) -> np.ndarray:
        """d tau / du (nv, nu), exact since tau is affine in u."""
        base = self.sim.terms(x, self.u0).tau
        ends = [
            self.sim.terms(x, self.u0 + step * unit).tau
            for step, unit in zip(self.steps, np.eye(len(self.u0)), strict=True)
        ]
        return (np.array(ends) - base).T / self.steps

    def __call__(self, x: np.ndarray, vdd: np.ndarray) -> np.ndarray:
        if x.ndim > 1:
            return np.array([self(row, a) for row, a in zip(x, np.broadcast_to(vdd, x[..., ::2].shape), strict=True)])
        terms = self.sim.terms(x, self.u0)
        inverse = np.linalg.pinv(self.input_map(x)) if self.B_inverse is None else self.B_inverse
        return self.u0 + inverse @ (terms.M @ (vdd - terms.vdot))


def _reference(reference: Any) -> tuple[Reference, tuple[np.ndarray, ...]]:
    """The reference as a function, and what it says at t = 0."""
    if not callable(reference):
        q = np.atleast_1d(np.array(reference, float))
        posture = (q, np.zeros_like(q), np.zeros_like(q))
        return lambda t: posture, posture
    follow = cast(Reference, reference)
    start = tuple(np.atleast_1d(np.asarray(part, float)) for part in follow(0.0))
    if len(start) != 3 or any(part.shape != start[0].shape or part.ndim != 1 for part in start):
        raise ValueError(
            f"a reference must return q, qdot, qddot, each (n,); at t = 0 it gave {[part.shape for part in start]}"
        )
    return follow, start


def _split(x, nq: int | None, joints: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """q and v of the joints; a free joint, whose q is longer than its v, comes first."""
    nq = x.shape[-1] // 2 if nq is None else nq
    q, v = x[..., :nq], x[..., nq:]
    return (q, v) if joints is None else (q[..., joints], v[..., joints - (q.shape[-1] - v.shape[-1])])


def _per_joint(who: str, name: str, value, n: int, *, signed: bool = False) -> np.ndarray:
    value = np.asarray(value, float)
    if value.shape not in ((), (1,), (n,)) or not np.isfinite(value).all() or (not signed and (value < 0).any()):
        sign = "" if signed else " and not negative"
        raise ValueError(f"{who}: {name} must be a scalar or ({n},), finite{sign}, got {value.tolist()}")
    return np.array(np.broadcast_to(value, (n,)))
