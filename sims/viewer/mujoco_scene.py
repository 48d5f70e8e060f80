"""The geoms of a MuJoCo model as shapes."""

from collections.abc import Callable, Sequence

import mujoco
import numpy as np

from sims.viewer import geometry
from sims.viewer.scene import Scene, Shape

_KIND = {
    mujoco.mjtGeom.mjGEOM_PLANE.value: "plane",
    mujoco.mjtGeom.mjGEOM_SPHERE.value: "sphere",
    mujoco.mjtGeom.mjGEOM_CAPSULE.value: "capsule",
    mujoco.mjtGeom.mjGEOM_ELLIPSOID.value: "ellipsoid",
    mujoco.mjtGeom.mjGEOM_CYLINDER.value: "cylinder",
    mujoco.mjtGeom.mjGEOM_BOX.value: "box",
    mujoco.mjtGeom.mjGEOM_MESH.value: "mesh",
    mujoco.mjtGeom.mjGEOM_SDF.value: "mesh",
    mujoco.mjtGeom.mjGEOM_HFIELD.value: "mesh",
}
_NUMBERS = {"plane": 2, "sphere": 1, "capsule": 2, "ellipsoid": 3, "cylinder": 2, "box": 3, "mesh": 0}
_DEFAULT_RGBA = np.array([0.5, 0.5, 0.5, 1.0], np.float32)
_SHOWN_GROUPS = 3  # MuJoCo's own viewer shows geom groups 0, 1 and 2


def model_scene(model: mujoco.MjModel, body_names: Sequence[str], poses: Callable[[np.ndarray], np.ndarray]) -> Scene:
    """The visible geoms (groups 0 to 2, not transparent) of a model whose bodies 1, 2, ... are called body_names."""
    names = ["world", *body_names]
    shapes = [_shape(model, g, names) for g in range(model.ngeom) if model.geom_group[g] < _SHOWN_GROUPS]
    return Scene(tuple(body_names), tuple(s for s in shapes if s is not None and s.rgba[3] > 0), poses, model)


def _shape(model: mujoco.MjModel, g: int, names: list[str]) -> Shape | None:
    kind = _KIND.get(int(model.geom_type[g]))
    if kind is None:
        return None
    R = np.zeros(9)
    mujoco.mju_quat2Mat(R, model.geom_quat[g])
    rgba = model.geom_rgba[g]
    if model.geom_matid[g] >= 0 and np.array_equal(rgba, _DEFAULT_RGBA):
        rgba = model.mat_rgba[model.geom_matid[g]]
    return Shape(
        name=model.geom(g).name or f"geom{g}",
        body=names[model.geom_bodyid[g]],
        kind=kind,
        size=tuple(model.geom_size[g][: _NUMBERS[kind]].tolist()),
        X_BG=geometry.pose(model.geom_pos[g], R.reshape(3, 3)),
        rgba=(float(rgba[0]), float(rgba[1]), float(rgba[2]), float(rgba[3])),
        mesh=_mesh(model, g) if kind == "mesh" else None,
    )


def _mesh(model: mujoco.MjModel, g: int) -> geometry.Mesh:
    i = int(model.geom_dataid[g])
    if int(model.geom_type[g]) == mujoco.mjtGeom.mjGEOM_HFIELD.value:
        return _height_field(model, i)
    vertices = np.array(model.mesh_vert[model.mesh_vertadr[i] :][: model.mesh_vertnum[i]], float)
    rows = slice(model.mesh_faceadr[i], model.mesh_faceadr[i] + model.mesh_facenum[i])
    corners = np.stack([model.mesh_face[rows], model.mesh_facenormal[rows]], axis=-1).reshape(-1, 2)
    # one vertex per pair of position and normal: where MuJoCo has an edge, browsers shade an edge
    pairs, inverse = np.unique(corners, axis=0, return_inverse=True)
    return vertices[pairs[:, 0]], inverse.reshape(-1, 3)


def _height_field(model: mujoco.MjModel, i: int) -> geometry.Mesh:
    rows, columns, first = int(model.hfield_nrow[i]), int(model.hfield_ncol[i]), int(model.hfield_adr[i])
    rx, ry, top, _ = model.hfield_size[i]
    z = top * model.hfield_data[first : first + rows * columns].reshape(rows, columns)
    x, y = np.meshgrid(np.linspace(-rx, rx, columns), np.linspace(-ry, ry, rows))
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + columns + 1], axis=-1)
    upper = np.stack([corner, corner + columns + 1, corner + columns], axis=-1)
    return np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(float), np.concatenate([lower, upper])
