"""Feedback linearisation of manipulator-equation plants: joints with motors, joints without, or any output y = h(q)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sims.manipulator import Manipulator, times
from sims.policy import Policy

Output = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
Reference = Callable[[float], tuple[np.ndarray, np.ndarray, np.ndarray]]


def bias(plant: Manipulator, x) -> np.ndarray:
    """h(q, v) = C v + D v - tau_g (..., nv) [N, N m], so that M vdot + h = B u."""
    q, v = x[..., : plant.nq], x[..., plant.nq :]
    return times(plant.C(q, v), v) + plant.damping * v - plant.tau_g(q)


def actuated_joints(plant: Manipulator) -> np.ndarray:
    """Indices of the joints that a motor acts on directly: the rows of B that are not zero (B does not depend on q)."""
    return np.flatnonzero(np.any(np.asarray(plant.B(np.zeros(plant.nq)), float) != 0.0, axis=-1))


def passive_joints(plant: Manipulator) -> np.ndarray:
    """Indices of the joints without a motor."""
    return np.setdiff1d(np.arange(plant.nv), actuated_joints(plant))


def computed_torque(plant: Manipulator, x, vdd) -> np.ndarray:
    """u (..., nu) with vdot = vdd for a fully actuated plant: B u = M vdd + h ("feedback equivalence").

    x (..., nx); vdd (..., nv) [m/s^2, rad/s^2]. Raises ValueError if the plant has fewer motors than joints. Source:
    Tedrake, Underactuated Robotics, chapter 1, "feedback equivalence"; Luh, Walker and Paul, 1980.
    """
    if len(actuated_joints(plant)) < plant.nv:
        raise ValueError(
            f"computed_torque needs a motor on each of the {plant.nv} joints, but {type(plant).__name__} has none on "
            f"joint {passive_joints(plant).tolist()}: use collocated, noncollocated or task_space"
        )
    q = x[..., : plant.nq]
    load = times(plant.M(q), np.asarray(vdd, float)) + bias(plant, x)
    return _invert(plant.B(q), load, 0.0)


def collocated(plant: Manipulator, x, vdd) -> np.ndarray:
    """u (..., nu) that gives y = B'q, the joints with motors, the acceleration vdd (..., nu) [m/s^2, rad/s^2].

    Possible in every state, for B' M^-1 B is positive definite; B may not depend on q (a motor between two joints, as
    the ballbot's, makes y their difference). x (..., nx). Source: Spong, "Partial feedback linearization of
    underactuated mechanical systems", IROS 1994; Tedrake, Underactuated Robotics, chapter 3, equation "collocated PFL".
    """
    return task_space(plant, x, np.swapaxes(plant.B(x[..., : plant.nq]), -1, -2), vdd)


def noncollocated(plant: Manipulator, x, vdd, *, damping: float = 0.0) -> np.ndarray:
    """u (..., nu) that gives the joints without motors the acceleration vdd (..., np) [m/s^2, rad/s^2].

    Possible where the inertial coupling M[passive, actuated] has full row rank; a cart-pole loses it with the pole
    level. There the input grows without bound, unless damping > 0 (see task_space). x (..., nx). Raises ValueError if
    every joint has a motor, or if there are more joints without than motors. Source: as for `collocated`.
    """
    joints = passive_joints(plant)
    if not len(joints):
        raise ValueError(
            f"noncollocated: every joint of {type(plant).__name__} has a motor: use computed_torque or task_space"
        )
    return task_space(plant, x, np.eye(plant.nv)[joints], vdd, damping=damping)


def task_space(plant: Manipulator, x, J, yddot, Jdot_v: Any = 0.0, *, damping: float = 0.0) -> np.ndarray:
    """u (..., nu) that gives the output y = h(q) the acceleration yddot.

    G u = yddot - Jdot v + J M^-1 h with the coupling G = J M^-1 B; the least u where there are more motors than
    outputs. x (..., nx); J = dh/dq (..., ny, nv); yddot (..., ny); Jdot_v = Jdot(q, v) v (..., ny). Where G loses row
    rank the input grows without bound; damping > 0 [1/kg, 1/(kg m^2)] solves (G G' + damping^2) z = rhs, u = G' z
    instead. Raises ValueError for more outputs than motors. Source: Tedrake, Underactuated Robotics, chapter 3, theorem
    "task-space partial feedback linearization"; Shkolnik and Tedrake, "High-dimensional underactuated motion planning",
    2008.
    """
    MinvB, Minvh = _forward(plant, x)
    if J.shape[-2] > MinvB.shape[-1]:
        raise ValueError(f"task_space: {J.shape[-2]} outputs need as many motors, the plant has {MinvB.shape[-1]}")
    right = np.asarray(yddot) - Jdot_v + (J @ Minvh[..., None])[..., 0]
    return _invert(J @ MinvB, right, damping)


def coupling(plant: Manipulator, q, J) -> np.ndarray:
    """Smallest singular value (...) of G = J M^-1 B: zero where the motors cannot accelerate the output at all."""
    return np.linalg.svd(J @ np.linalg.solve(plant.M(q), plant.B(q)), compute_uv=False)[..., -1]


def output_tracking(
    plant: Manipulator, output: Output, reference: Reference, *, kp: float, kd: float, damping: float = 0.0
) -> Policy:
    """A policy with e = y - r and eddot = -kp e - kd edot, where the coupling allows it.

    output(q, v) -> y (..., ny), J (..., ny, nv), Jdot v (..., ny); reference(t) -> r, rdot, rddot (ny,); kp [1/s^2],
    kd [1/s]. Source: as for `task_space`.
    """

    def policy(x: np.ndarray, t: float) -> np.ndarray:
        q, v = x[..., : plant.nq], x[..., plant.nq :]
        y, J, Jdot_v = output(q, v)
        r, rdot, rddot = reference(t)
        yddot = rddot - kp * (y - r) - kd * (times(J, v) - rdot)
        return task_space(plant, x, J, yddot, Jdot_v, damping=damping)

    return policy


def _forward(plant: Manipulator, x) -> tuple[np.ndarray, np.ndarray]:
    """M^-1 B (..., nv, nu) and M^-1 h (..., nv), with one factorisation."""
    q = x[..., : plant.nq]
    B, h = plant.B(q), bias(plant, x)
    columns = np.empty((*h.shape, B.shape[-1] + 1))
    columns[..., :-1], columns[..., -1] = B, h
    solved = np.linalg.solve(plant.M(q), columns)
    return solved[..., :-1], solved[..., -1]


def _invert(G: np.ndarray, right: Any, damping: float) -> np.ndarray:
    """The least u with G u = right, or its damped least-squares version."""
    if G.shape[-1] == 1 and G.shape[-2] == 1:
        gain = G[..., 0]
        return right / gain if damping == 0.0 else right * gain / (gain**2 + damping**2)
    transposed = np.swapaxes(G, -1, -2)
    gram = G @ transposed + damping**2 * np.eye(G.shape[-2])
    return (transposed @ np.linalg.solve(gram, right[..., None]))[..., 0]
