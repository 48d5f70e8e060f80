"""Scenes drawn on a canvas: bodies, ground, contact arrows, triads, text."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from sims.contact import Contact
from sims.viewer import geometry
from sims.viewer.canvas import Canvas
from sims.viewer.scene import Scene, Shape
from sims.viewer.view import View

ROOT = "/swingup"
RED, GREEN, BLUE = (0.85, 0.16, 0.16, 1.0), (0.13, 0.6, 0.2, 1.0), (0.14, 0.35, 0.85, 1.0)
PATH_COLOR, FORCE_COLOR = (0.6, 0.1, 0.65, 1.0), (0.05, 0.6, 0.35, 1.0)
TEXT_COLOR, GRID_COLOR = (0.1, 0.12, 0.16, 1.0), (0.6, 0.64, 0.69, 1.0)


def draw_scene(canvas: Canvas, scene: Scene, reach: float, root: str = ROOT) -> list[str]:
    """Draw every shape below root and return the paths of the bodies, in the order of scene.bodies.

    reach [m]: half size of planes that are larger.
    """
    paths = [f"{root}/bodies/{_plain(body)}" for body in scene.bodies]
    for i, shape in enumerate(scene.shapes):
        parent = f"{root}/world" if shape.body == "world" else paths[scene.index(shape.body)]
        path = f"{parent}/{i}_{_plain(shape.name)}"
        canvas.mesh(path, *shape.triangles(reach), shape.rgba)
        canvas.move(path, shape.X_BG)
    return paths


def draw_grid(canvas: Canvas, scene: Scene, view: View, reach: float, root: str = ROOT) -> None:
    """A square grid on the floor, of lines 1, 2 or 5 times a power of ten apart, reach [m] to every side."""
    step = _round_step(view.radius / 3)
    center = np.array([*(np.round(view.target[:2] / step) * step), view.floor + 2e-3 * view.radius])
    sides = [h for s in scene.shapes_of("world") if s.kind == "plane" for h in s.size if 0 < h < reach]
    if sides:  # on a bounded floor the lines must not stick out
        reach, center[:2] = np.floor(min(sides) / step + 1e-9) * step, 0.0
    if reach >= step:
        canvas.lines(f"{root}/grid", geometry.grid(center, reach, step), GRID_COLOR)


def _round_step(length: float) -> float:
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(s * power for s in (1, 2, 5) if s * power <= length * (1 + 1e-9)))


def draw_triad(canvas: Canvas, path: str, length: float) -> None:
    """A frame as three rods of length [m] from its origin: x red, y green, z blue."""
    rod = geometry.move(geometry.pose((0, 0, length / 2)), geometry.cylinder(0.03 * length, length / 2, around=12))
    for name, axis, color in (("x", (1, 0, 0), RED), ("y", (0, 1, 0), GREEN), ("z", (0, 0, 1), BLUE)):
        canvas.mesh(f"{path}/{name}", *geometry.move(geometry.pose(R=geometry.align_z(axis)), rod), color)


def unit_arrow() -> geometry.Mesh:
    """An arrow of length 1 along z."""
    return geometry.arrow(1.0, 0.06)


class ForceScale:
    """How long arrows are: the usual force a third of radius [m], none more than 0.8 of it.

    Usual is the median of the largest forces of the last states with contact; an impact does not shrink the others.
    """

    def __init__(self, radius: float, memory: int = 300):
        self._radius, self._largest = radius, deque(maxlen=memory)

    def see(self, contacts: Sequence[Contact]) -> None:
        """Take the contact forces of one more state into account."""
        largest = max((float(np.linalg.norm(c.f_W)) for c in contacts), default=0.0)
        if largest > 0:
            self._largest.append(largest)

    def length(self, contact: Contact) -> float:
        """The length [m] of a contact's arrow; 0 if it is too short to be seen."""
        usual = float(np.median(self._largest)) if self._largest else np.inf
        length = 0.33 * self._radius * float(np.linalg.norm(contact.f_W)) / usual
        return min(length, 0.8 * self._radius) if length > 1e-3 * self._radius else 0.0


def arrows(contacts: Sequence[Contact], scale: ForceScale) -> geometry.Mesh | None:
    """One mesh of all contact forces, each an arrow from its point; None if no force is to be seen."""
    arrow, out = unit_arrow(), []
    for contact in contacts:
        length = scale.length(contact)
        if length:
            X = geometry.pose(contact.p_W, length * geometry.align_z(contact.f_W))
            out.append(geometry.move(X, arrow))
    return geometry.merge(out) if out else None


def text_lines(text: str, height: float) -> np.ndarray:
    """The outlines of a text as segments (n, 2, 3) [m] in the x-z plane, its baseline starting at the origin.

    Raises MissingDependency without matplotlib, whose fonts these are.
    """
    try:
        from matplotlib.textpath import TextPath
    except ImportError as error:
        from sims.errors import MissingDependency

        raise MissingDependency("text in a scene needs matplotlib: pip install matplotlib") from error
    outlines = TextPath((0, 0), text, size=1.4 * height).to_polygons(closed_only=False)
    pairs = [np.stack([line[:-1], line[1:]], axis=1) for line in outlines if len(line) > 1]
    flat = np.concatenate(pairs) if pairs else np.zeros((0, 2, 2))
    return np.stack([flat[..., 0], np.zeros(flat.shape[:2]), flat[..., 1]], axis=-1)


def _plain(name: str) -> str:
    return name.replace("/", ".")


def moving_shapes(scene: Scene) -> list[Shape]:
    """The shapes that are not fixed to the world."""
    return [shape for shape in scene.shapes if shape.body != "world"]


def points(p_W) -> np.ndarray:
    """p_W as float64 (n, 3) [m]; ValueError for another shape or a value that is not finite."""
    p_W = np.asarray(p_W, float)
    if p_W.ndim != 2 or p_W.shape[1] != 3 or not np.isfinite(p_W).all():
        raise ValueError(f"a path must be finite points (n, 3), got shape {p_W.shape}")
    return p_W
