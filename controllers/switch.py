"""From swing-up to balance and back: a switch by level set with hysteresis, and how large the level may be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controllers.base import wrap_angle
from sims.policy import Controller, Policy
from sims.simulator import Simulator


class Switch(Controller):
    """balance inside the level set V(x) < catch, swing_up outside, and balance until V(x) >= release.

    V = dx' S dx with dx = x - x_goal, the components `angles` wrapped to [-pi, pi). S (nx, nx) symmetric positive
    definite, x_goal (nx,), 0 < catch <= release. Both policies are (x, t) -> u and do their own wrapping; a batch
    x (..., nx) has a memory of its own for each row, forgotten by reset() and when the batch changes its shape.
    Raises ValueError for shapes or levels that do not fit. Source: Tedrake, Underactuated Robotics, chapters 2 and 3
    ("energy shaping ... and LQR at the top"); Spong, The swing up control problem for the acrobot, 1995, section IV.
    """

    def __init__(
        self,
        swing_up: Policy,
        balance: Policy,
        *,
        S,
        x_goal,
        catch: float,
        release: float,
        angles: Sequence[int] = (),
    ):
        self.swing_up, self.balance = swing_up, balance
        self.S, self.x_goal = np.array(S, float), np.array(x_goal, float)
        nx = self.x_goal.size
        if self.S.shape != (nx, nx) or self.x_goal.shape != (nx,):
            raise ValueError(
                f"Switch: S must be ({nx}, {nx}) and x_goal ({nx},), got {self.S.shape}, {self.x_goal.shape}"
            )
        if not np.allclose(self.S, self.S.T, rtol=1e-6) or np.linalg.eigvalsh(self.S)[0] <= 0.0:
            raise ValueError("Switch: S must be symmetric positive definite, or V(x) < catch is no ellipsoid")
        if not 0.0 < catch <= release < np.inf:
            raise ValueError(f"Switch: wanted 0 < catch <= release, got catch = {catch}, release = {release}")
        self.catch, self.release = float(catch), float(release)
        self.angles = np.array(list(angles), int)
        self._angles = self.angles.tolist()
        self._caught: bool | np.ndarray = False

    def reset(self) -> None:
        """Start again with swing_up in every row; resets both policies."""
        self._caught = False
        for policy in (self.swing_up, self.balance):
            if isinstance(policy, Controller):
                policy.reset()

    @property
    def caught(self) -> bool | np.ndarray:
        """Whether balance had the last word: one bool, or (...,) of them after a batched call."""
        return self._caught if isinstance(self._caught, bool) else self._caught.copy()

    def value(self, x) -> np.ndarray:
        """V(x) (...) for x (..., nx)."""
        dx = np.asarray(x, float) - self.x_goal
        if len(self.angles):
            dx[..., self.angles] = wrap_angle(dx[..., self.angles])
        return ((dx @ self.S) * dx).sum(-1)

    def __call__(self, x, t: float) -> np.ndarray:
        """The input u (..., nu) of the policy in charge at the state x (..., nx), time t [s]."""
        if np.ndim(x) == 1:
            self._caught = self._value(x) < (self.release if self._caught is True else self.catch)
            return (self.balance if self._caught else self.swing_up)(x, t)
        value = self.value(x)
        before = self._caught if np.shape(self._caught) == value.shape else np.zeros(value.shape, bool)
        self._caught = now = value < np.where(before, self.release, self.catch)
        if now.all():
            return self.balance(x, t)
        if not now.any():
            return self.swing_up(x, t)
        return np.where(now[..., None], self.balance(x, t), self.swing_up(x, t))

    def _value(self, x) -> float:
        """V of one state, without the overhead of arrays of indices: a control period is a few microseconds."""
        dx = x - self.x_goal
        for i in self._angles:
            dx[i] -= 2 * np.pi * np.floor((dx[i] + np.pi) / (2 * np.pi))
        return float(dx @ self.S @ dx)


@dataclass(frozen=True)
class Recovery:
    """What became of a set of starts under a policy.

    recovered (...,): ended with V < settle * V(x0) and never diverged; peak (...,): largest V on the way; n, successes.
    """

    recovered: np.ndarray
    peak: np.ndarray

    @property
    def n(self) -> int:
        return self.recovered.size

    @property
    def successes(self) -> int:
        return int(self.recovered.sum())


def recovery(
    sim: Simulator, balance: Policy, switch: Switch, x0, *, duration: float = 4.0, settle: float = 0.05
) -> Recovery:
    """Simulates balance, saturated at sim's limits, from each of x0 (..., nx) for `duration` [s], V taken from switch."""
    x = sim.check_state(x0, "x0").copy()
    first = peak = switch.value(x)
    for k in range(max(1, round(duration / sim.dt))):
        u = sim.saturate(np.broadcast_to(np.nan_to_num(balance(x, k * sim.dt)), (*x.shape[:-1], sim.nu)))
        x_next = sim._step(x, u)
        x = np.where(np.isfinite(x_next).all(-1, keepdims=True), x_next, x)
        peak = np.maximum(peak, switch.value(x))
    return Recovery(switch.value(x) < settle * first, peak)


def level_set_samples(S, x_goal, rho: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """n states (n, nx) uniform on the surface (in the metric S) of (x - x_goal)' S (x - x_goal) = rho."""
    S, x_goal = np.asarray(S, float), np.asarray(x_goal, float)
    ball = rng.standard_normal((n, len(x_goal)))
    ball /= np.linalg.norm(ball, axis=-1, keepdims=True)
    return x_goal + np.sqrt(rho) * np.linalg.solve(np.linalg.cholesky(S).T, ball.T).T
