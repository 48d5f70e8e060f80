"""Differences of states: flat, with angles, on manifolds; and their derivatives in the tangent space."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Difference = Callable[[Any, Any], Any]
Integrate = Callable[[Any, Any], Any]

# Central differences of order 4. With this step truncation (h^4 / 30) and rounding (1e-16 / h) are both below 1e-12
_STEP = 1e-3
_OFFSETS = np.array([-2.0, -1.0, 1.0, 2.0])
_FIRST = np.array([1.0, -8.0, 8.0, -1.0]) / (12.0 * _STEP)
_SECOND_STEP = 1e-2
_SECOND = np.array([-1.0, 16.0, -30.0, 16.0, -1.0]) / (12.0 * _SECOND_STEP**2)


def subtract(x, y) -> Any:
    """y - x, the difference of a flat state space."""
    return np.subtract(y, x)


def add(x, dx) -> Any:
    """x + dx, the step of a flat state space."""
    return np.add(x, dx)


@dataclass(frozen=True)
class Wrapped:
    """y - x with the components `angles` taken to [-pi, pi): a turn more or less is no difference."""

    angles: tuple[int, ...]

    def __call__(self, x, y) -> Any:
        dx = np.subtract(y, x)
        turn = np.zeros(dx.shape[-1])
        turn[list(self.angles)] = 2 * np.pi
        with np.errstate(invalid="ignore"):
            return dx - turn * np.floor((dx + np.pi) / (2 * np.pi))


def jacobian_of_difference(difference: Difference, integrate: Integrate, x_goal, x, ndx: int) -> np.ndarray | None:
    """D (..., ndx, ndx) = d difference(x_goal, integrate(x, dx)) / d dx at dx = 0; None stands for the identity.

    The state space is flat, and D the identity, where states have ndx components; elsewhere central differences of
    order 4, right to 1e-11. Raises ValueError if `integrate` is not that of a space with tangent vectors (ndx,).
    """
    if x.shape[-1] == ndx:
        return None
    _curved(integrate, x, ndx)
    goal, x = np.broadcast_arrays(np.asarray(x_goal, float), np.asarray(x, float))
    return _derivative(lambda steps, goal, x: difference(goal, integrate(x, steps)), ndx, goal, x)


def lift(integrate: Integrate, x, ndx: int) -> np.ndarray | None:
    """E (..., nx, ndx) = d integrate(x, dx) / d dx at dx = 0; None stands for the identity of a flat state space."""
    if x.shape[-1] == ndx:
        return None
    _curved(integrate, x, ndx)
    return _derivative(lambda steps, x: integrate(x, steps), ndx, np.asarray(x, float))


def lower(E: np.ndarray, J) -> np.ndarray:
    """(E'E)^-1 E' J (..., ndx, n): in tangent coordinates what J (..., nx, n) says by components, E = lift there."""
    Et = np.swapaxes(E, -1, -2)
    metric, into = Et @ E, Et @ J
    squares = np.diagonal(metric, axis1=-2, axis2=-1)[..., None]
    if np.abs(metric - squares * np.eye(E.shape[-1])).max(initial=0.0) < 1e-9:  # quaternions: the axes are orthogonal
        return into / squares
    return np.linalg.solve(metric, into)


def curvature(integrate: Integrate, x, gradient, ndx: int) -> np.ndarray:
    """The Hessian (..., ndx, ndx) of gradient . integrate(x, dx) by dx at dx = 0: what is added to E'HE on a manifold.

    gradient (..., nx) by the components of x. Central differences of order 4 along e_i and e_i + e_j, right to 1e-9.
    """
    x = np.asarray(x, float)
    bent = np.flatnonzero(_straight(lambda steps, x: integrate(x, steps), ndx, x[..., None, :])[0] < 0)
    i, j = np.triu_indices(len(bent))
    axes = np.eye(ndx)[bent]
    directions = np.where((i == j)[:, None], axes[i], axes[i] + axes[j])
    steps = (_SECOND_STEP * np.arange(-2.0, 3.0)[:, None, None] * directions).reshape(-1, ndx)
    ends = integrate(x[..., None, :], np.broadcast_to(steps, (*x.shape[:-1], *steps.shape)))
    along = (ends @ gradient[..., None])[..., 0].reshape(*x.shape[:-1], 5, len(i))
    part = np.zeros((*x.shape[:-1], len(bent), len(bent)))
    part[..., i, j] = part[..., j, i] = np.einsum("k,...kd->...d", _SECOND, along)
    pure = np.diagonal(part, axis1=-2, axis2=-1).copy()
    mixed = 0.5 * (part - pure[..., :, None] - pure[..., None, :])
    H = np.zeros((*x.shape[:-1], ndx, ndx))
    H[..., bent[:, None], bent] = np.where(np.eye(len(bent), dtype=bool), part, mixed)
    return H


def _curved(integrate: Integrate, x, ndx: int) -> None:
    if integrate is add:
        raise ValueError(
            f"states have {x.shape[-1]} components, tangent vectors {ndx}: pass integrate=sim.integrate (or the "
            "plant's) beside difference"
        )


def _derivative(move: Callable, ndx: int, *at: np.ndarray) -> np.ndarray:
    """d move(dx, *at) / d dx (..., n, ndx) at dx = 0, for states `at` (..., m) with equal leading axes."""
    batch, at = at[0].shape[:-1], tuple(part[..., None, :] for part in at)
    which, n = _straight(move, ndx, *at)
    J = np.zeros((*batch, n, ndx))
    J[..., which[which >= 0], np.flatnonzero(which >= 0)] = 1.0
    bent = np.flatnonzero(which < 0)
    if len(bent):
        steps = (_STEP * _OFFSETS[:, None, None] * np.eye(ndx)[bent]).reshape(-1, ndx)
        ends = move(np.broadcast_to(steps, (*batch, *steps.shape)), *at)
        J[..., bent] = np.einsum("k,...kij->...ji", _FIRST, ends.reshape(*batch, len(_OFFSETS), len(bent), n))
    return J


def _straight(move: Callable, ndx: int, *at: np.ndarray) -> tuple[np.ndarray, int]:
    """Per axis of the tangent space the component (ndx,) of move that alone grows along it, as fast; -1: none. And n.

    Most axes are straight (positions, velocities), and only the others, such as rotations, need differences. Which are
    is asked at the first state, and checked at all: a step along all straight axes adds itself to one along the others.
    """
    if not at[0].size:
        return np.full(ndx, -1), move(np.zeros((*at[0].shape[:-2], 1, ndx)), *at).shape[-1]
    first = tuple(part.reshape(-1, 1, part.shape[-1])[0] for part in at)
    moved = move(np.eye(ndx), *first) - move(np.zeros((1, ndx)), *first)
    n, which = moved.shape[-1], np.abs(moved).argmax(axis=-1)
    which[np.abs(moved - np.eye(n)[which]).max(axis=-1) > 1e-9] = -1
    size = 1.0 + np.arange(ndx) / ndx
    along, across = np.where(which >= 0, size, 0.0), np.where(which < 0, 0.1 * size, 0.0)
    wanted = np.zeros(n)
    wanted[which[which >= 0]] = size[which >= 0]
    probe = np.stack([along + across, across])
    ends = move(np.broadcast_to(probe, (*at[0].shape[:-2], *probe.shape)), *at)
    apart = np.abs(ends[..., 0, :] - ends[..., 1, :] - wanted).max(initial=0.0)
    if apart > 1e-9 * (1.0 + np.abs(ends).max(initial=0.0)):
        which[:] = -1
    return which, n
