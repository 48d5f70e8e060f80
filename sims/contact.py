"""What every multibody simulator reports beside the state: contact forces and the terms of the equations of motion."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Contact:
    """One contact point between two bodies.

    body_a, body_b: names ("world" for the ground); p_W (3,): the point in the world frame [m]; f_W (3,): the force on
    body_b from body_a, friction included, in the world frame [N].
    """

    body_a: str
    body_b: str
    p_W: np.ndarray
    f_W: np.ndarray


@dataclass(frozen=True)
class Terms:
    """M vdot + bias = tau + passive and constraint forces, at one state and input.

    M (nv, nv): mass matrix with armature; bias (nv,): C v - tau_g, without damping and springs; gravity (nv,): tau_g,
    so bias at v = 0 is -gravity; tau (nv,): generalised force of the actuators; vdot (nv,): forward dynamics,
    everything the engine models included (damping, springs, limits, contact where they are on). SI units, the suite's
    layout of v.
    """

    M: np.ndarray
    bias: np.ndarray
    gravity: np.ndarray
    tau: np.ndarray
    vdot: np.ndarray
