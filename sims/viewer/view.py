"""Where to stand: a camera that holds everything that moves."""

from dataclasses import dataclass

import numpy as np

from sims.viewer.scene import Scene, Shape


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

    @property
    def half_height(self) -> float:
        """Half the height [m] of the picture at the target."""
        return float(np.linalg.norm(self.eye - self.target) * np.tan(np.deg2rad(self.fov) / 2))

    @property
    def R_WC(self) -> np.ndarray:
        """The axes (3, 3) of the picture in the world: to the right, into it, up."""
        back = (self.eye - self.target) / np.linalg.norm(self.eye - self.target)
        right = np.cross([0.0, 0.0, 1.0], back)
        right = right / np.linalg.norm(right)
        return np.column_stack([right, -back, np.cross(back, right)])

    @property
    def corner(self) -> np.ndarray:
        """A point (3,) [m] near the upper left corner of the picture."""
        return self.target + self.half_height * self.R_WC @ [-1.2, 0.0, 0.88]

    @property
    def lamps(self) -> dict[str, np.ndarray]:
        """Where meshcat's two point lights stand, p_W (3,) [m]; its own places suit a scene of 1 m only."""
        right, into, _ = self.R_WC.T
        up, back = np.array([0.0, 0.0, 1.0]), -into
        key, fill = 2.0 * back + 1.5 * up - 1.5 * right, 2.0 * up + 2.0 * right - 1.0 * back
        where = {"PointLightNegativeX": key, "PointLightPositiveX": fill}
        return {name: self.target + self.radius * p for name, p in where.items()}


def view_of(scene: Scene, X_WB: np.ndarray, X_typical: np.ndarray, aspect: float = 4 / 3) -> View:
    """A view that holds all of X_WB (..., nbody, 4, 4) in a window of width / height = aspect.

    From the side if X_typical (n, nbody, 4, 4), poses all over the robot's reach, are motions in one vertical plane;
    from a corner otherwise. The moving shapes count, and those of the world that stand among them; planes do not.
    """
    X_WB = X_WB.reshape(-1, len(scene.bodies), 4, 4)
    X_WB = X_WB[:: max(1, len(X_WB) // 200)]
    centers, radii = _balls(scene, X_WB)
    low, high = (centers - radii[:, None]).min(axis=0), (centers + radii[:, None]).max(axis=0)
    target, radius = (low + high) / 2, max(1e-2, float(np.linalg.norm(high - low)) / 2)
    azimuth, elevation = np.deg2rad(_azimuth(X_typical)), np.deg2rad(12.0)
    back = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    planes = [s.X_BG[2, 3] for s in scene.shapes_of("world") if s.kind == "plane" and s.X_BG[2, 2] > 0.99]
    floor = float(min(planes)) if planes else float(low[2] - 0.05 * radius)
    return View(target + 1.08 * _distance(centers - target, radii, back, aspect) * back, target, radius, floor)


def _distance(centers: np.ndarray, radii: np.ndarray, back: np.ndarray, aspect: float, fov: float = 40.0) -> float:
    """How far back [m] a camera must be to see balls in its pyramid; each side is a plane the balls must not cross."""
    right = np.cross([0.0, 0.0, 1.0], back)
    right = right / np.linalg.norm(right)
    half_up = np.deg2rad(fov) / 2
    half_right = np.arctan(aspect * np.tan(half_up))
    needed = [
        (np.abs(centers @ axis) + radii / np.cos(half)) / np.tan(half) + centers @ back
        for axis, half in ((right, half_right), (np.cross(back, right), half_up))
    ]
    return float(max(np.max(n) for n in needed))


def seen(scene: Scene, X_WB: np.ndarray) -> list[Shape]:
    """The shapes that a view of X_WB (n, nbody, 4, 4) must hold: those that move, and what stands among them."""
    solid = [shape for shape in scene.shapes if shape.kind != "plane"]
    moving = [shape for shape in solid if shape.body != "world"]
    if not moving:
        return solid
    balls = [_ball(scene, shape, X_WB) for shape in moving]
    low = np.min([p.min(axis=0) - r for p, r in balls], axis=0)
    high = np.max([p.max(axis=0) + r for p, r in balls], axis=0)
    reach = 0.6 * float(np.linalg.norm(high - low))
    fixed = [(shape, shape.X_BG[:3, 3]) for shape in solid if shape.body == "world" and shape.radius < reach]
    return moving + [shape for shape, p in fixed if (p > low - reach).all() and (p < high + reach).all()]


def _ball(scene: Scene, shape: Shape, X_WB: np.ndarray) -> tuple[np.ndarray, float]:
    """Centres (n, 3) and radius [m] of the balls around a shape at all of X_WB."""
    if shape.body == "world":
        return shape.X_BG[None, :3, 3], shape.radius
    return (X_WB[:, scene.index(shape.body)] @ shape.X_BG)[:, :3, 3], shape.radius


def _balls(scene: Scene, X_WB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, 3) and radii (n,) [m] of balls around all that shall be seen."""
    balls = [_ball(scene, shape, X_WB) for shape in seen(scene, X_WB)] or [(np.zeros((1, 3)), 1.0)]
    return np.concatenate([p for p, _ in balls]), np.concatenate([np.full(len(p), r) for p, r in balls])


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
