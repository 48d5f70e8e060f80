"""A scene as a MuJoCo model of its own, with light, sky and floor: for pictures of what is no MuJoCo model."""

from collections.abc import Callable

import mujoco
import numpy as np

from sims.lie import quat_from_matrix
from sims.viewer.scene import Scene, Shape
from sims.viewer.view import View

Pose = Callable[[mujoco.MjData, np.ndarray], None]

_GEOM = {
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "plane": mujoco.mjtGeom.mjGEOM_PLANE,
    "mesh": mujoco.mjtGeom.mjGEOM_MESH,
}


def set_for(scene: Scene, view: View) -> tuple[mujoco.MjModel, Pose]:
    """The model to draw and the function (data, x) that poses it.

    The scene's own MuJoCo model if it has lights or textures, as its author wanted it to look; else `studio`.
    """
    own = scene.model
    if own is not None and (own.nlight or own.ntex):
        return own, lambda data, x: _set(data.qpos, x[: own.nq])
    return studio(scene, view)


def _set(target: np.ndarray, value: np.ndarray) -> None:
    target[:] = value


def studio(scene: Scene, view: View) -> tuple[mujoco.MjModel, Pose]:
    """A model with one mocap body per body of the scene, and the function that moves them to scene.poses(x)."""
    spec = mujoco.MjSpec()
    _decorate(spec, scene, view)
    holders = {"world": spec.worldbody}
    for body in scene.bodies:
        holders[body] = spec.worldbody.add_body(name=body, mocap=True)
    for i, shape in enumerate(scene.shapes):
        _add(spec, holders[shape.body], shape, i, view)
    model = spec.compile()

    def pose(data: mujoco.MjData, x: np.ndarray) -> None:
        X_WB = scene.poses(x)
        data.mocap_pos[:] = X_WB[:, :3, 3]
        data.mocap_quat[:] = quat_from_matrix(X_WB[:, :3, :3])

    return model, pose


def _decorate(spec: mujoco.MjSpec, scene: Scene, view: View) -> None:
    kinds, patterns = mujoco.mjtTexture, mujoco.mjtBuiltin
    sky = {"rgb1": [0.95, 0.97, 1.0], "rgb2": [0.62, 0.71, 0.82], "width": 64, "height": 384}
    tiles = {"rgb1": [0.86, 0.88, 0.9], "rgb2": [0.8, 0.82, 0.85], "width": 128, "height": 128}
    spec.add_texture(name="sky", type=kinds.mjTEXTURE_SKYBOX, builtin=patterns.mjBUILTIN_GRADIENT, **sky)
    spec.add_texture(name="tiles", type=kinds.mjTEXTURE_2D, builtin=patterns.mjBUILTIN_CHECKER, **tiles)
    floor = spec.add_material(name="floor", texuniform=True, texrepeat=[3 / view.radius] * 2)
    floor.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "tiles"
    spec.visual.headlight.ambient = [0.4, 0.4, 0.42]
    spec.visual.headlight.diffuse = [0.4, 0.4, 0.4]
    sun = view.target + view.radius * np.array([-1.0, -2.0, 4.0])
    directional, color = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, [0.5, 0.5, 0.48]
    spec.worldbody.add_light(type=directional, pos=sun, dir=view.target - sun, diffuse=color, castshadow=True)
    if not any(s.kind == "plane" for s in scene.shapes_of("world")):
        size = [6 * view.radius, 6 * view.radius, 0.1]
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_PLANE, size=size, pos=[*view.target[:2], view.floor], material="floor"
        )


def _add(spec: mujoco.MjSpec, holder, shape: Shape, i: int, view: View) -> None:
    quat = quat_from_matrix(shape.X_BG[:3, :3])
    look: dict = {"rgba": shape.rgba, "contype": 0, "conaffinity": 0}
    if shape.kind == "plane":
        look["material"] = "floor"
        size = [*(min(h, 6 * view.radius) or 6 * view.radius for h in shape.size), 0.1]
    else:
        size = [*shape.size, 0.0, 0.0, 0.0][:3]
    if shape.kind == "mesh":
        vertices, faces = shape.triangles()
        spec.add_mesh(
            name=f"mesh{i}", uservert=vertices.ravel().tolist(), userface=faces.ravel().tolist(),
            inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
        )  # fmt: skip
        look["meshname"] = f"mesh{i}"
        size = [0.0, 0.0, 0.0]
    holder.add_geom(type=_GEOM[shape.kind], size=size, pos=shape.X_BG[:3, 3], quat=quat, **look)
