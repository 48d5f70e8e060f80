"""Where to stand: a camera that holds everything that moves."""

from dataclasses import dataclass

import numpy as np

from sims.viewer.scene import Scene


@dataclass(frozen=True)
class View:
    """A camera: eye and target (3,) in the world [m], vertical field of view fov [deg].

    radius [m]: of a ball around target that holds the picture; floor [m]: the height of the ground.
    """

    eye: np.ndarray
    target: np.ndarray
    radius: float
    floor: float
    fov: float = 40.0


def view_of(scene: Scene, X_WB: np.ndarray) -> View:
    """A view that holds all of X_WB (..., nbody, 4, 4), from the side if everything moves in one vertical plane.

    The moving shapes count, and those of the world within reach of them; planes do not.
    """
    X_WB = X_WB.reshape(-1, len(scene.bodies), 4, 4)
    X_WB = X_WB[:: max(1, len(X_WB) // 200)]
    low, high = _bounds(scene, X_WB)
    target, radius = (low + high) / 2, max(1e-2, float(np.linalg.norm(high - low)) / 2)
    azimuth, elevation = np.deg2rad(_azimuth(X_WB)), np.deg2rad(12.0)
    back = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    planes = [s.X_BG[2, 3] for s in scene.shapes_of("world") if s.kind == "plane" and s.X_BG[2, 2] > 0.99]
    floor = float(min(planes)) if planes else float(low[2] - 0.05 * radius)
    distance = radius / np.tan(np.deg2rad(20.0))
    return View(target + distance * back, target, radius, floor)


def _bounds(scene: Scene, X_WB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (3,) [m] of a box around balls around the shapes."""
    solid = [shape for shape in scene.shapes if shape.kind != "plane"]
    moving = [s for s in solid if s.body != "world"]
    balls = [((X_WB[:, scene.index(s.body)] @ s.X_BG)[:, :3, 3], s.radius) for s in moving]
    if not balls:
        balls = [(s.X_BG[None, :3, 3], s.radius) for s in solid] or [(np.zeros((1, 3)), 1.0)]
    low, high = _box(balls)
    reach = float(np.linalg.norm(high - low))
    for shape in solid:
        p = shape.X_BG[:3, 3]
        if shape.body == "world" and shape.radius < reach and (p > low - reach).all() and (p < high + reach).all():
            balls.append((p[None], shape.radius))
    return _box(balls)


def _box(balls: list) -> tuple[np.ndarray, np.ndarray]:
    return np.min([p.min(axis=0) - r for p, r in balls], axis=0), np.max([p.max(axis=0) + r for p, r in balls], axis=0)


def _azimuth(X_WB: np.ndarray) -> float:
    """Azimuth [deg] to look from: nearly along the normal of a plane of motion, or a three-quarter view."""
    if X_WB.shape[1] == 0:
        return -55.0
    travel = np.array([np.ptp(X_WB[:, :, axis, :], axis=0).max() for axis in range(3)])  # row i: p_i and R's i-th row
    if travel[1] <= 1e-3 * travel.max():
        return -80.0
    if travel[0] <= 1e-3 * travel.max():
        return 10.0
    return -50.0
