"""Where the solver starts: straight lines, an earlier run, or something random."""

from collections.abc import Sequence

import numpy as np

from controllers.collocation.problem import Problem
from controllers.collocation.transcribe import Layout, Transcription
from controllers.planner import Plan
from sims.trajectory import Trajectory


def initial(transcription: Transcription, x0, guess, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """z (size,) from a guess (a Trajectory, one a phase, a Plan, inputs (T, nu), None), within the bounds.

    A Trajectory may have any number of steps: it is interpolated. Raises ValueError for sizes that do not fit.
    """
    phases, z = transcription.hybrid.phases, np.zeros(transcription.nlp.size)
    parts: Sequence = [None] * len(phases)
    if isinstance(guess, (tuple, list)) and all(isinstance(part, (Trajectory, Plan)) for part in guess):
        parts = guess
    elif guess is not None:
        parts = [guess]
    if len(parts) != len(phases):
        raise ValueError(f"collocation: a guess for {len(phases)} phases is a tuple of as many, got {len(parts)}")
    x = np.zeros(phases[0].system.nx) if x0 is None else np.asarray(x0, float)
    for phase, layout, part in zip(phases, transcription.layouts, parts, strict=True):
        if len(x) != phase.system.nx:
            x = np.zeros(phase.system.nx)
        x = _fill(z, phase, layout, part, np.where(np.isnan(x), 0.0, x))
    return np.clip(z, lower, upper)


def shaken(z: np.ndarray, transcription: Transcription, lower, upper, rng: np.random.Generator) -> np.ndarray:
    """z (size,) with smooth random waves on the states, random inputs and durations, within the bounds."""
    z = z.copy()
    for layout in transcription.layouts:
        N, nx = layout.x.shape
        waves = np.sin(np.pi * np.linspace(0, 1, N)[:, None] * np.arange(1, 4))
        size = np.maximum(np.ptp(z[layout.x], axis=0), 1.0)
        z[layout.x] += size * (waves @ rng.normal(0.0, 0.4, (3, nx)))
        for at in (layout.u, layout.um):
            low, high = lower[at], upper[at]
            size = np.where(np.isfinite(high - low), (high - low) / 2, 1.0)
            z[at] += rng.uniform(-1.0, 1.0, at.shape) * size
        z[layout.time] *= np.exp(rng.uniform(-0.7, 0.7))  # half to twice
    return np.clip(z, lower, upper)


def _fill(z, phase: Problem, layout: Layout, guess, start: np.ndarray) -> np.ndarray:
    """Write one phase into z; returns its last state."""
    low, high = phase.time_limits
    x, u, T = None, None, _duration(low, high)
    if isinstance(guess, Plan):
        guess = guess.trajectory
    if isinstance(guess, Trajectory):
        t, x, u = guess.t, _checked(guess.x, phase.system.nx, "states x"), guess.u
        T = float(np.clip(t[-1] - t[0], low, high))
        t = (t - t[0]) / (t[-1] - t[0])
    elif guess is not None:
        u = np.asarray(guess, float)
        t = np.linspace(0.0, 1.0, len(u) + 1)
    N = len(layout.x)
    knots, centres = np.linspace(0, 1, N), (np.arange(N - 1) + 0.5) / (N - 1)
    if x is None:
        goal = start if phase.x_goal is None else np.where(np.isnan(phase.x_goal), start, phase.x_goal)
        t_x, x = np.array([0.0, 1.0]), np.vstack([start, goal])
    else:
        t_x = t
    z[layout.x] = _interpolate(knots, t_x, x)
    if len(layout.xm):
        z[layout.xm] = _interpolate(centres, t_x, x)
    if u is not None:
        u = _checked(u, phase.system.nu, "inputs u")
        middles = 0.5 * (t[:-1] + t[1:])
        z[layout.u] = _interpolate(centres if len(layout.u) < N else knots, middles, u)
        if len(layout.um):
            z[layout.um] = _interpolate(centres, middles, u)
    z[layout.time] = T / len(layout.time)
    return x[-1]


def _duration(low: float, high: float) -> float:
    """The geometric mean of the limits [s]: too long is the worse guess, coarse steps hide the motion."""
    if not np.isfinite(high):
        return max(2.0 * low, 1.0)
    return float(np.sqrt(max(low, 0.01 * high) * high))


def _interpolate(at: np.ndarray, t: np.ndarray, values: np.ndarray) -> np.ndarray:
    return (
        np.stack([np.interp(at, t, column) for column in values.T], axis=-1) if values.size else np.zeros((len(at), 0))
    )


def _checked(value, size: int, name: str) -> np.ndarray:
    array = np.asarray(value, float)
    if array.ndim != 2 or array.shape[1] != size or not len(array):
        raise ValueError(f"collocation: the {name} of the guess must be (.., {size}), one run, got {array.shape}")
    if not np.isfinite(array).all():
        k, i = (int(j) for j in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"collocation: the {name} of the guess must be finite, got {array[k, i]} at step {k}")
    return array
