"""What a simulator looks like: shapes fixed to bodies, and where the bodies are."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sims.errors import unknown
from sims.simulator import Simulator
from sims.trajectory import Trajectory
from sims.viewer import geometry
from sims.viewer.geometry import Mesh

KINDS = ("sphere", "box", "capsule", "cylinder", "ellipsoid", "plane", "mesh")


@dataclass(frozen=True)
class Shape:
    """One rigid shape G on a body B.

    kind and size [m]: sphere (radius,), box (hx, hy, hz) half sizes, capsule and cylinder (radius, half_length) along
    z, ellipsoid (a, b, c) semi-axes, plane (hx, hy) half sizes with normal z (0: infinite), mesh () with vertices
    (n, 3) and faces (m, 3). body is a name in Scene.bodies or "world"; X_BG (4, 4); rgba (4,), each in [0, 1].
    """

    name: str
    body: str
    kind: str
    size: tuple[float, ...]
    X_BG: np.ndarray
    rgba: tuple[float, float, float, float]
    mesh: Mesh | None = field(default=None, repr=False)

    def __post_init__(self):
        if self.kind not in KINDS:
            raise unknown("kind of shape", self.kind, KINDS)

    def triangles(self, plane_half: float = 10.0) -> Mesh:
        """Vertices (n, 3) in the frame G [m] and faces (m, 3); an infinite plane ends at plane_half [m]."""
        s = self.size
        if self.kind == "sphere":
            return geometry.ball((s[0], s[0], s[0]))
        if self.kind == "box":
            return geometry.box(s)
        if self.kind == "capsule":
            return geometry.ball((s[0], s[0], s[0]), s[1])
        if self.kind == "cylinder":
            return geometry.cylinder(s[0], s[1])
        if self.kind == "ellipsoid":
            return geometry.ball(s)
        if self.kind == "plane":
            hx, hy = (half if 0 < half < plane_half else plane_half for half in s)
            return np.array([[-hx, -hy, 0], [hx, -hy, 0], [hx, hy, 0], [-hx, hy, 0]]), np.array([[0, 1, 2], [0, 2, 3]])
        assert self.mesh is not None
        return self.mesh

    @property
    def radius(self) -> float:
        """Radius [m] of a ball around the origin of G that holds the shape; 0 for a plane."""
        if self.kind == "plane":
            return 0.0
        if self.kind == "mesh":
            return float(np.linalg.norm(self.triangles()[0], axis=-1).max(initial=0.0))
        return float({"sphere": max, "box": np.linalg.norm, "ellipsoid": max}.get(self.kind, sum)(self.size))


@dataclass(frozen=True)
class Scene:
    """The shapes of a simulator and the function poses: x (..., nx) -> X_WB (..., nbody, 4, 4), in the order of bodies.

    model: the mujoco.MjModel whose geoms these are, or None.
    """

    bodies: tuple[str, ...]
    shapes: tuple[Shape, ...]
    poses: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    model: Any = field(default=None, repr=False)

    def index(self, body: str) -> int:
        """The row of a body in `poses`; ValueError with the list of bodies if there is none of that name."""
        if body not in self.bodies:
            raise unknown("body", body, self.bodies)
        return self.bodies.index(body)

    def shapes_of(self, body: str) -> list[Shape]:
        """The shapes fixed to a body or to "world"."""
        return [shape for shape in self.shapes if shape.body == body]


def scene_of(sim: Simulator) -> Scene:
    """The scene of any simulator of the suite.

    MuJoCo, and Drake built from a MuJoCo model: the model's visible geoms; Drake from SDF or URDF: the illustration
    shapes of its scene graph; closed form: the model of the same plant (sims.models.PLANT_MODEL) or a sketch drawn from
    the plant's parameters. Raises ValueError for a simulator without a picture.
    """
    if sim.backend == "mujoco":
        from sims.viewer.mujoco_scene import model_scene

        return model_scene(sim.model, sim.body_names, sim.body_poses)
    if sim.backend == "ode":
        from sims.viewer.sketch import plant_scene

        return plant_scene(sim.system)
    if sim.backend == "drake":
        from sims.drake_sim import DrakeSimulator

        if isinstance(sim, DrakeSimulator):
            from sims.viewer.drake_scene import drake_scene

            return drake_scene(sim)
    raise ValueError(
        f"no picture of {type(sim).__name__} (backend {sim.backend!r}): it has neither bodies nor a sketch; "
        "plot its run with plot_run"
    )


def poses(sim: Simulator, x) -> np.ndarray:
    """X_WB (..., nbody, 4, 4) of the bodies of `scene_of(sim)` at x (..., nx); for many states keep the scene."""
    return scene_of(sim).poses(np.asarray(x, float))


def check_run(sim: Simulator, run: Trajectory, what: str) -> None:
    """ValueError unless run is one run, x (T+1, nx), of this simulator."""
    if run.x.shape[-1] != sim.nx:
        names = ", ".join(sim.x_names)
        raise ValueError(f"{what}: the run has {run.x.shape[-1]} states, the simulator {sim.nx} ({names})")
    if run.x.ndim != 2:
        raise ValueError(f"{what} shows one run, x (T+1, nx); got x {run.x.shape}: pick one, e.g. x[0]")


def check_contacts(sim: Simulator, contacts: bool) -> None:
    """ValueError if contact forces are asked of a simulator that has none."""
    if contacts and sim.backend == "ode":
        raise ValueError("contacts=True: closed-form plants have no contacts; use MujocoSimulator or DrakeSimulator")
