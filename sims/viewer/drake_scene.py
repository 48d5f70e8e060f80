"""The illustration shapes of a Drake plant that came from SDF or URDF; of others, the geoms of their MuJoCo model."""

from pathlib import Path

import numpy as np
from pydrake import geometry as g
from pydrake.geometry import Role, SceneGraph, SceneGraphInspector
from pydrake.multibody.tree import BodyIndex

from sims.drake_sim import DrakeSimulator
from sims.viewer import geometry
from sims.viewer.scene import Scene, Shape

_GREY = (0.7, 0.7, 0.72, 1.0)


def drake_scene(sim: DrakeSimulator) -> Scene:
    """The scene of a DrakeSimulator; a shape Drake cannot triangulate is drawn as its convex hull."""
    text = sim.describe()["model"]
    if not _parsed_by_drake(text):
        from sims.mujoco_model import load_model
        from sims.viewer.mujoco_scene import model_scene

        return model_scene(load_model(text), sim.body_names, sim.body_poses)
    drawn = sim
    if not sim.plant.geometry_source_is_registered():  # contact=False leaves the shapes out too
        drawn = DrakeSimulator(text, dt=sim.dt)
    names = [name if sim.body_names.count(name) == 1 else f"{name}#{i}" for i, name in enumerate(sim.body_names)]
    return Scene(tuple(names), tuple(_shapes(drawn, names)), sim.body_poses)


def _parsed_by_drake(text: str) -> bool:
    head = text[:4000]
    if head.lstrip().startswith("<"):
        return "<sdf" in head or ("<robot" in head and "<mujoco" not in head.split("<robot")[0])
    return "\n" not in head and Path(head).suffix.lower() in (".sdf", ".urdf")


def _shapes(sim: DrakeSimulator, names: list[str]) -> list[Shape]:
    inspector = next(s for s in sim.diagram.GetSystems() if isinstance(s, SceneGraph)).model_inspector()
    plant, out = sim.plant, []
    bodies = [plant.get_body(BodyIndex(i)) for i in range(plant.num_bodies())]  # the world first, then as body_names
    for body, name in zip(bodies, ["world", *names], strict=True):
        frame = plant.GetBodyFrameIdOrThrow(body.index())
        ids = inspector.GetGeometries(frame, Role.kIllustration) or inspector.GetGeometries(frame, Role.kProximity)
        out += [shape for i in ids if (shape := _shape(inspector, i, name)) is not None]
    return out


def _shape(inspector: SceneGraphInspector, i, body: str) -> Shape | None:
    shape = inspector.GetShape(i)
    X = np.array(inspector.GetPoseInFrame(i).GetAsMatrix4())
    rgba, mesh = _color(inspector, i), None
    if rgba[3] <= 0:
        return None
    if isinstance(shape, g.Sphere):
        kind, size = "sphere", (shape.radius(),)
    elif isinstance(shape, g.Box):
        kind, size = "box", tuple(0.5 * np.array(shape.size()))
    elif isinstance(shape, g.Cylinder):
        kind, size = "cylinder", (shape.radius(), 0.5 * shape.length())
    elif isinstance(shape, g.Capsule):
        kind, size = "capsule", (shape.radius(), 0.5 * shape.length())
    elif isinstance(shape, g.Ellipsoid):
        kind, size = "ellipsoid", (shape.a(), shape.b(), shape.c())
    elif isinstance(shape, g.HalfSpace):
        kind, size = "plane", (0.0, 0.0)
    elif isinstance(shape, (g.Mesh, g.Convex)):
        kind, size, mesh = "mesh", (), _triangles(shape)
    else:
        return None
    return Shape(inspector.GetName(i), body, kind, tuple(float(s) for s in size), X, rgba, mesh)


def _color(inspector: SceneGraphInspector, i) -> tuple[float, float, float, float]:
    properties = inspector.GetIllustrationProperties(i)
    if properties is None or not properties.HasProperty("phong", "diffuse"):
        return _GREY
    color = properties.GetProperty("phong", "diffuse")
    return (color.r(), color.g(), color.b(), color.a())


def _triangles(shape) -> geometry.Mesh:
    """The triangles of a mesh: those of an OBJ file, the convex hull of any other."""
    source = shape.source()
    if isinstance(shape, g.Mesh) and source.is_path() and source.extension() == ".obj":
        surface = g.ReadObjToTriangleSurfaceMesh(source.path(), 1.0)
        faces = [[t.vertex(k) for k in range(3)] for t in surface.triangles()]
        return np.array(surface.vertices()) * shape.scale3(), np.array(faces)
    hull = shape.GetConvexHull()
    corners = np.array([hull.vertex(v) for v in range(hull.num_vertices())])
    vertices, faces = [], []
    for k in range(hull.num_faces()):
        face = hull.element(k)
        polygon = [face.vertex(j) for j in range(face.num_vertices())]
        start = len(vertices)
        vertices += [corners[v] for v in polygon]  # its own vertices: crisp edges
        faces += [[start, start + j, start + j + 1] for j in range(1, len(polygon) - 1)]
    return np.array(vertices), np.array(faces)
