"""Policies around policies: limits, wrapped angles, sampling, delay and jitter."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from controllers.base import Controller, Policy, wrap_angle

EARLY = 1e-9  # [s] a time this little before a sampling instant is that instant: k dt is rounded


class Saturate(Controller):
    """u clipped to [u_min, u_max], each a scalar or (nu,), infinite where there is no limit.

    Raises ValueError if u_min > u_max, a limit is nan, or the shapes differ.
    """

    def __init__(self, policy: Policy, u_min, u_max):
        self.policy = _policy("Saturate", policy)
        u_min, u_max = np.broadcast_arrays(np.asarray(u_min, float), np.asarray(u_max, float))
        if not (u_min <= u_max).all():
            raise ValueError(f"Saturate: u_min must not exceed u_max, got {u_min.tolist()} and {u_max.tolist()}")
        self.u_min, self.u_max = u_min.copy(), u_max.copy()

    def reset(self) -> None:
        """Reset the policy inside."""
        _reset(self.policy)

    def __call__(self, x, t: float):
        return np.minimum(np.maximum(self.policy(x, t), self.u_min), self.u_max)


class WrapAngles(Controller):
    """The policy sees each angle x[i], i in indices, as its copy within half a turn of x_goal[i].

    x_goal (nx,); indices: into x, negative ones count from the end. Of two copies half a turn away it sees the
    lower one. The state of the plant itself is not touched.
    """

    def __init__(self, policy: Policy, x_goal, indices: Sequence[int]):
        self.policy = _policy("WrapAngles", policy)
        x_goal = np.asarray(x_goal, float)
        self.indices = np.array(list(indices), dtype=int)
        if x_goal.ndim != 1 or (np.abs(self.indices + 0.5) > len(x_goal)).any():
            raise ValueError(
                f"WrapAngles: indices must lie within x_goal (nx,), got {self.indices.tolist()} and {x_goal.shape}"
            )
        self.x_goal = x_goal[self.indices]

    def reset(self) -> None:
        """Reset the policy inside."""
        _reset(self.policy)

    def __call__(self, x, t: float):
        x = np.array(x, float)
        x[..., self.indices] = self.x_goal + wrap_angle(x[..., self.indices] - self.x_goal)
        return self.policy(x, t)


class SampleAndHold(Controller):
    """The policy is asked at t = 0, period, 2 period, ... [s] and its answer held in between.

    A simulator's dt that does not divide the period sees the sample at its first step at or after the instant. A time
    before the last one starts anew.
    """

    def __init__(self, policy: Policy, period: float):
        self.policy = _policy("SampleAndHold", policy)
        self.period = _positive("SampleAndHold: period", period)
        self._held, self._sample, self._last = None, -1, -np.inf

    def reset(self) -> None:
        """Forget what is held or queued, and reset the policy inside."""
        _reset(self.policy)
        self._held, self._sample, self._last = None, -1, -np.inf

    def __call__(self, x, t: float):
        sample = int((t + EARLY) // self.period)
        if self._held is None or sample > self._sample or t < self._last:
            self._held, self._sample = np.array(self.policy(x, t), float), sample
        self._last = t
        return self._held.copy()


class Delay(Controller):
    """u(t) is what the policy answered to the state at t - delay [s]: a transport delay of sensor, computer or network.

    Before t = delay it is u_initial, a scalar or (nu,). The policy is asked at every call, in order; its answers queue.
    With a simulator's dt the delay is rounded up to a whole number of steps.
    """

    def __init__(self, policy: Policy, delay: float, *, u_initial=0.0):
        self.policy = _policy("Delay", policy)
        self.delay = _positive("Delay: delay", delay, zero=True)
        self.u_initial = np.array(u_initial, float)
        self._queue: deque[tuple[float, np.ndarray]] = deque()
        self._current: np.ndarray | None = None

    def reset(self) -> None:
        """Forget what is held or queued, and reset the policy inside."""
        _reset(self.policy)
        self._queue.clear()
        self._current = None

    def __call__(self, x, t: float):
        if self._queue and t < self._queue[-1][0]:
            self._queue.clear()
            self._current = None
        u = np.array(self.policy(x, t), float)
        self._queue.append((t, u))
        if self._current is None:
            self._current = np.broadcast_to(self.u_initial, u.shape).copy()
        while self._queue and self._queue[0][0] <= t - self.delay + EARLY:
            self._current = self._queue.popleft()[1]
        return self._current.copy()


class Jitter(Controller):
    """The policy is asked at t[k] = k period + e[k], e[k] uniform in [0, jitter] [s], and its answer held in between.

    Before t[0] the answer to the first state is held. jitter <= period, so that samples keep their order. The instants
    come from `seed` alone: the same after every reset, whatever the simulator's dt.
    """

    def __init__(self, policy: Policy, period: float, jitter: float, seed: int):
        self.policy = _policy("Jitter", policy)
        self.period = _positive("Jitter: period", period)
        self.jitter = _positive("Jitter: jitter", jitter, zero=True)
        if self.jitter > self.period:
            raise ValueError(f"Jitter: jitter must not exceed the period {period} s, got {jitter} s")
        self.seed = seed
        self._start()

    def _start(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._held, self._k, self._last = None, 0, -np.inf
        self._next = self.jitter * self._rng.random()

    def reset(self) -> None:
        """Draw the same instants again, and reset the policy inside."""
        _reset(self.policy)
        self._start()

    def __call__(self, x, t: float):
        if t < self._last:
            self._start()
        self._last = t
        due = self._held is None
        while t >= self._next - EARLY:
            due = True
            self._k += 1
            self._next = self._k * self.period + self.jitter * self._rng.random()
        if due:
            self._held = np.array(self.policy(x, t), float)
        return self._held.copy()


def _policy(who: str, policy: Policy) -> Policy:
    if not callable(policy):
        raise ValueError(f"{who}: policy must be a function (x, t) -> u, got {type(policy).__name__}")
    return policy


def _reset(policy: Policy) -> None:
    if isinstance(policy, Controller):
        policy.reset()


def _positive(what: str, value: float, *, zero: bool = False) -> float:
    if not (np.isfinite(value) and (value >= 0 if zero else value > 0)):
        raise ValueError(f"{what} must be a {'non-negative' if zero else 'positive'} number of seconds, got {value!r}")
    return float(value)
