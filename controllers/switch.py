"""From swing-up to balance and back: a switch by level set with hysteresis, and how large the level may be."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, pi

import numpy as np

from controllers.base import indices, wrap_angle
from sims.policy import Controller, Policy
from sims.simulator import Simulator

TURN = 2 * pi


class Switch(Controller):
    """balance once V(x) < catch, until V(x) >= release; swing_up otherwise.

    V = dx' S dx with dx = x - x_goal, the components `angles` wrapped to [-pi, pi). S (nx, nx) symmetric positive
    definite, x_goal (nx,), 0 < catch <= release. within (nx,): to be caught, |dx| <= within must hold too; an ellipsoid
    is long along the modes that decay by themselves, and far out there the plant is not the linear one. Both policies
    are (x, t) -> u and do their own wrapping. A batch x (..., nx) has a memory of its own for each row, forgotten by
    reset() and when the batch changes its shape. Raises ValueError for shapes or levels that do not fit. Source:
    Tedrake, Underactuated Robotics, chapters 2 and 3 ("energy shaping ... and LQR at the top"); Spong, The swing up
    control problem for the acrobot, 1995, section IV.
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
        within=np.inf,
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
        if np.shape(within) not in ((), (nx,)) or not np.all(np.asarray(within, float) > 0.0):
            raise ValueError(f"Switch: within must be positive, a number or ({nx},), got {within}")
        self.within = np.array(np.broadcast_to(np.asarray(within, float), (nx,)))
        self.angles = indices(angles, nx)
        self._angles, self._boxed = self.angles.tolist(), bool(np.isfinite(self.within).any())
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

    def error(self, x) -> np.ndarray:
        """dx = x - x_goal (..., nx), angles wrapped."""
        dx = np.asarray(x, float) - self.x_goal
        if len(self.angles):
            dx[..., self.angles] = wrap_angle(dx[..., self.angles])
        return dx

    def value(self, x) -> np.ndarray:
        """V(x) (...) for x (..., nx)."""
        dx = self.error(x)
        return ((dx @ self.S) * dx).sum(-1)

    def __call__(self, x, t: float) -> np.ndarray:
        """The input u (..., nu) of the policy in charge at the state x (..., nx), time t [s]."""
        return self._one(x, t) if np.ndim(x) == 1 else self._batch(x, t)

    def _one(self, x, t: float) -> np.ndarray:
        dx = x - self.x_goal
        for i in self._angles:  # a loop over floats: indexing with arrays would double the time of a call
            dx[i] -= TURN * floor((dx[i] + pi) / TURN)
        value = dx.dot(self.S).dot(dx)
        if self._caught is True:
            self._caught = bool(value < self.release)
        else:
            self._caught = bool(value < self.catch and not (self._boxed and (np.abs(dx) > self.within).any()))
        return self.balance(x, t) if self._caught else self.swing_up(x, t)

    def _batch(self, x, t: float) -> np.ndarray:
        dx = self.error(x)
        value = ((dx @ self.S) * dx).sum(-1)
        before = self._caught if np.shape(self._caught) == value.shape else np.zeros(value.shape, bool)
        inside = (value < self.catch) & (np.abs(dx) <= self.within).all(-1)
        self._caught = now = np.where(before, value < self.release, inside)
        if now.all():
            return self.balance(x, t)
        if not now.any():
            return self.swing_up(x, t)
        return np.where(now[..., None], self.balance(x, t), self.swing_up(x, t))


@dataclass(frozen=True)
class Recovery:
    """What became of a set of starts under the balancing policy of a Switch.

    recovered (...,): V fell below `settle` times its first value; peak (...,): largest V on the way over the first V.
    """

    recovered: np.ndarray
    peak: np.ndarray


def recovery(sim: Simulator, switch: Switch, x0, *, duration: float = 4.0, settle: float = 0.05) -> Recovery:
    """Simulates switch.balance alone, saturated at sim's limits, from each of x0 (..., nx) for `duration` [s]."""
    x = sim.check_state(x0, "x0").copy()
    first = peak = switch.value(x)
    for k in range(max(1, round(duration / sim.dt))):
        u = sim.saturate(np.broadcast_to(switch.balance(x, k * sim.dt), (*x.shape[:-1], sim.nu)))
        x_next = sim._step(x, u)
        x = np.where(np.isfinite(x_next).all(-1, keepdims=True), x_next, x)  # a row that diverged stays far away
        peak = np.maximum(peak, switch.value(x))
    return Recovery(switch.value(x) < settle * first, peak / first)


def level_set_samples(S, x_goal, rho: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """n states (n, nx) with (x - x_goal)' S (x - x_goal) = rho, uniform on the sphere that S^(1/2) makes of it."""
    S, x_goal = np.asarray(S, float), np.asarray(x_goal, float)
    ball = rng.standard_normal((n, len(x_goal)))
    ball /= np.linalg.norm(ball, axis=-1, keepdims=True)
    return x_goal + np.sqrt(rho) * np.linalg.solve(np.linalg.cholesky(S).T, ball.T).T


def recoverable_level(
    sim: Simulator,
    switch: Switch,
    *,
    rng: np.random.Generator,
    n: int = 200,
    low: float = 1e-3,
    high: float = 1e6,
    duration: float = 4.0,
) -> float:
    """The largest rho, to 5 %, for which balance recovers from all of n sampled states with V = rho; 0 if none at low.

    An estimate of the region of attraction of the saturated controller, by bisection in log rho. All of n samples
    recovered means: with 95 % confidence fewer than 3 / n of that surface are not. It is no proof; an approach from
    swing-up touches a small part of the surface and may be recovered from far larger levels.
    """
    shell = level_set_samples(switch.S, np.zeros(sim.nx), 1.0, n, rng)

    def all_recovered(rho: float) -> bool:
        return bool(recovery(sim, switch, switch.x_goal + np.sqrt(rho) * shell, duration=duration).recovered.all())

    if not all_recovered(low):
        return 0.0
    while high > 1.05 * low:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if all_recovered(middle) else (low, middle)
    return low
