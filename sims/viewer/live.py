"""Simulations that a person watches, pauses, restarts and steers."""

import time
from collections import deque

import numpy as np

from sims.policy import Controller, Policy
from sims.simulator import Simulator, simulate
from sims.trajectory import Trajectory
from sims.viewer.viewer import ResetRequested, StopRequested, Viewer


def run_live(
    sim: Simulator,
    policy: Policy,
    x0,
    *,
    viewer: Viewer | None = None,
    duration: float | None = None,
    rate: float = 1.0,
    history: float = 60.0,
    port: int | None = None,
    canvas: str = "auto",
) -> Trajectory:
    """Simulate u = policy(x, t) from x0 (nx,) in real time, in the browser at viewer.url, until it is stopped.

    Buttons: pause, reset (back to x0, the controller too) and stop; a slider sets the rate (1 is real time, rate its
    start). It ends with the stop button, Ctrl-C, after duration [s] of simulated time, or when the run diverges.
    viewer: one made before, with sliders that the policy reads for instance; otherwise one is made, its URL printed,
    and closed at the end. Returns the last `history` [s] since the last reset.
    """
    own = viewer is None
    viewer = viewer or Viewer(sim, port=port, canvas=canvas)
    if own:
        print(f"watch it at {viewer.url}", flush=True)
    try:
        viewer.run_buttons("pause", "reset", "stop")
        speed = viewer.slider("rate", 0.05, 4.0, rate, step=0.05)
        while True:
            parts: deque[Trajectory] = deque()
            try:
                _episode(sim, policy, sim.check_state(x0, "x0"), viewer, speed, duration, history, parts)
            except ResetRequested:
                continue
            except (StopRequested, KeyboardInterrupt):
                pass
            return _joined(parts, sim, x0)
    finally:
        if own:
            viewer.close()


def _episode(sim, policy, x, viewer, speed, duration, history, parts: deque[Trajectory]) -> None:
    """Simulate picture by picture; what was simulated is in parts, whatever ends the episode."""
    if isinstance(policy, Controller):
        policy.reset()
    steps = max(1, round(1.0 / (viewer.fps * sim.dt)))
    k, last = 0, np.inf if duration is None else max(1, round(duration / sim.dt))
    while k < last:
        viewer.rate = speed.value
        t, n = k * sim.dt, int(min(steps, last - k))
        run = simulate(sim, _Later(policy, t), x, n * sim.dt)
        if len(run):
            viewer.monitor(t, x, run.u[0])
        parts.append(Trajectory(t + run.t, run.x, run.u, run.status, run.message, run.failure))
        while parts[0].t[-1] < t - history:
            parts.popleft()
        if run.status != "ok":
            return
        x, k = run.x[-1], k + n
    viewer.show(x, k * sim.dt)


class _Later:
    """A policy whose clock is ahead; not a Controller, so that simulate does not reset it at every picture."""

    def __init__(self, policy: Policy, t: float):
        self._policy, self._t = policy, t

    def __call__(self, x, t):
        return self._policy(x, self._t + t)


def _joined(parts: deque[Trajectory], sim: Simulator, x0) -> Trajectory:
    if not parts:
        return Trajectory(np.zeros(1), np.asarray(x0, float)[None], np.zeros((0, sim.nu)))
    last = parts[-1]
    return Trajectory(
        np.concatenate([*(part.t[:-1] for part in parts), last.t[-1:]]),
        np.concatenate([*(part.x[:-1] for part in parts), last.x[-1:]]),
        np.concatenate([part.u for part in parts]),
        last.status,
        last.message,
        last.failure,
    )


def teleop(viewer: Viewer, x=None, duration: float | None = None) -> np.ndarray:
    """Pose the robot of a viewer with one slider per coordinate; see Viewer.teleop."""
    from sims.viewer.coordinates import default_state

    start = default_state(viewer.sim, viewer.scene) if x is None else viewer.sim.check_state(x).copy()
    stop, reset = viewer.button("stop", "Escape"), viewer.button("reset", "KeyR")
    x, coordinates = start.copy(), viewer.coordinates()
    sliders = [viewer.slider(c.name, c.low, c.high, c.value(x)) for c in coordinates]
    values = [slider.value for slider in sliders]
    end = np.inf if duration is None else time.monotonic() + duration
    viewer.show(x)
    while time.monotonic() < end and not stop.pressed():
        if reset.pressed():
            x = start.copy()
            for coordinate, slider in zip(coordinates, sliders, strict=True):
                slider.value = coordinate.value(x)
            values = [slider.value for slider in sliders]
            viewer.show(x)
        now = [slider.value for slider in sliders]
        if now != values:
            for coordinate, before, after in zip(coordinates, values, now, strict=True):
                if after != before:
                    coordinate.set(x, after)
            values = now
            viewer.show(x)
        time.sleep(1.0 / viewer.fps)
    return x
