"""A quadruped that stands on its feet."""

import numpy as np

from robotics.backends import drake, mujoco
from robotics.cost import quadratic
from robotics.policies import posture_pd, random, zero
from robotics.task import Golden, Task
from sims import lie
from sims.trajectory import Trajectory

HOME = np.array([0.0, 0.0, 0.2686, 1.0, 0.0, 0.0, 0.0, *([0.0, 0.9, -1.8] * 4)])
TORQUE = 33.5  # [N m], Unitree A1


def quadruped() -> Task:
    """Land on the feet from 2 cm above the ground in a bent posture, and stand still for a second.

    Joint PD only: a robot with its feet on the ground needs no more to stand. Source of the model: Unitree A1.
    """
    x_goal = np.concatenate([HOME, np.zeros(18)])
    weights = [1.0, 1.0, 100.0, 10.0, 10.0, 0.0] + [1.0] * 12 + [0.1] * 18
    return Task(
        name="quadruped",
        description="land on four feet and stand still",
        simulators={
            "mujoco": mujoco("quadruped", integrator="implicitfast", contact=True, limits=True),
            "drake": drake("quadruped", integrator="discrete", contact=True, limits=True),
        },
        controllers={"pd": posture_pd(60.0, 2.0), "zero": zero, "random": random},
        cost=quadratic(weights, [1e-3] * 12, x_goal=x_goal, difference=difference, integrate=integrate),
        dt=0.002,
        duration=3.0,
        start=start,
        success=stands,
        x_goal=x_goal,
        u_min=np.full(12, -TORQUE),
        u_max=np.full(12, TORQUE),
        difference=difference,
        lost=lambda x: x[..., 2] < 0.1,
        hold=10,
        golden=Golden("pd", duration=0.5, tolerance=1e-4),
    )


def start(rng: np.random.Generator) -> np.ndarray:
    """2 to 4 cm above standing height, joints up to 0.1 rad from the posture, at rest, turned up to 0.3 rad."""
    yaw = rng.uniform(-0.3, 0.3)
    lift = rng.uniform(0.02, 0.04)
    q = HOME + np.concatenate([[0.0, 0.0, lift], np.zeros(4), rng.uniform(-0.1, 0.1, 12)])
    q[3:7] = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
    return np.concatenate([q, np.zeros(18)])


def difference(x, y) -> np.ndarray:
    """The tangent vector (..., 36) from x to y: position, body-frame rotation vector, joints, velocities."""
    x, y = np.broadcast_arrays(x, y)
    turn = lie.quat_difference(x[..., 3:7], y[..., 3:7])
    return np.concatenate([y[..., :3] - x[..., :3], turn, y[..., 7:] - x[..., 7:]], axis=-1)


def integrate(x, dx) -> np.ndarray:
    """The state (..., 37) reached from x along the tangent vector dx (..., 36) of `difference`."""
    turned = lie.quat_integrate(x[..., 3:7], dx[..., 3:6])
    before, after = x[..., :3] + dx[..., :3], x[..., 7:] + dx[..., 6:]
    batch = np.broadcast_shapes(before.shape[:-1], turned.shape[:-1])
    return np.concatenate(
        [np.broadcast_to(part, (*batch, part.shape[-1])) for part in (before, turned, after)], axis=-1
    )


def stands(run: Trajectory) -> np.ndarray:
    """For the last second: trunk within 5 cm of its height, its z axis within 0.1 rad of up, slower than 5 cm/s."""
    if run.status != "ok":
        return np.zeros(run.x.shape[:-2], dtype=bool)
    x = run.x[..., run.t >= run.t[-1] - 1.0, :]
    height = np.abs(x[..., 2] - HOME[2]) < 0.05
    up = 1.0 - 2.0 * (x[..., 4] ** 2 + x[..., 5] ** 2) > np.cos(0.1)
    still = np.linalg.norm(x[..., 19:22], axis=-1) < 0.05
    return (height & up & still).all(axis=-1)
