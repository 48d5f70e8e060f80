"""MuJoCo's offscreen renderer without a window, a display or an environment variable."""

import copy
import ctypes.util
import itertools
import os
import platform

import mujoco
import numpy as np

from sims.errors import MissingDependency
from sims.viewer.view import View

INSTALL = "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"


class Offscreen:
    """Pictures (height, width, 3) of a model's data, in a `with` block; the model is copied and stays as it is.

    shadows and samples (per pixel) cost most of the time where there is no graphics card. Raises MissingDependency,
    with the line that installs it, where there is no OpenGL.
    """

    def __init__(self, model: mujoco.MjModel, view: View, *, width: int, height: int, shadows: bool, samples: int):
        self.model = copy.copy(model)
        self.model.vis.global_.offwidth, self.model.vis.global_.offheight = width, height
        self.model.vis.global_.fovy = view.fov
        self.model.vis.quality.offsamples = samples
        self.model.stat.extent, self.model.stat.center[:] = 2 * view.radius, view.target  # clipping planes follow them
        self._size, self._shadows, self._camera = (width, height), shadows, _camera(view)

    def __enter__(self) -> "Offscreen":
        self._gl = gl_context(*self._size)
        try:
            self._gl.make_current()
            self._scene = mujoco.MjvScene(self.model, maxgeom=20000)
            self._context = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_150.value)
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        except (mujoco.FatalError, RuntimeError) as error:
            self._gl.free()
            raise _missing(error) from error
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = self._shadows
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = self._shadows
        return self

    def __exit__(self, *_) -> None:
        self._context.free()
        self._gl.free()

    def picture(self, data: mujoco.MjData, arrows=(), path: np.ndarray | None = None) -> np.ndarray:
        """The picture (height, width, 3), uint8, of data after mj_fwdPosition.

        arrows: pairs of start and end (3,) [m]; path: points (n, 3) [m] of a line.
        """
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self.model, data, mujoco.MjvOption(), None, self._camera, everything, self._scene)
        width = 0.006 * self._camera.distance
        for start, end in arrows:
            self._connect(mujoco.mjtGeom.mjGEOM_ARROW, width, start, end, (0.05, 0.6, 0.35, 1.0))
        for start, end in itertools.pairwise(path if path is not None else ()):
            self._connect(mujoco.mjtGeom.mjGEOM_CAPSULE, 0.3 * width, start, end, (0.6, 0.1, 0.65, 1.0))
        rectangle = mujoco.MjrRect(0, 0, *self._size)
        pixels = np.empty((self._size[1], self._size[0], 3), np.uint8)
        mujoco.mjr_render(rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(pixels, None, rectangle, self._context)
        return pixels[::-1]

    def _connect(self, kind, width: float, start, end, rgba) -> None:
        if self._scene.ngeom >= self._scene.maxgeom:
            return
        geom = self._scene.geoms[self._scene.ngeom]
        mujoco.mjv_initGeom(geom, kind.value, np.zeros(3), np.zeros(3), np.zeros(9), np.array(rgba, np.float32))
        mujoco.mjv_connector(geom, kind.value, width, np.asarray(start, float), np.asarray(end, float))
        self._scene.ngeom += 1


def gl_context(width: int, height: int):
    """An OpenGL context of MuJoCo's: what MUJOCO_GL asks for if it is set, else EGL or OSMesa on Linux.

    Raises MissingDependency where there is none.
    """
    try:
        if os.environ.get("MUJOCO_GL") or platform.system() != "Linux":
            from mujoco.gl_context import GLContext
        elif ctypes.util.find_library("EGL"):
            from mujoco.egl import GLContext
        elif ctypes.util.find_library("OSMesa"):
            from mujoco.osmesa import GLContext
        else:
            raise ImportError("neither libEGL nor libOSMesa is installed")
        return GLContext(width, height)
    except (ImportError, AttributeError, RuntimeError, OSError, mujoco.FatalError) as error:
        raise _missing(error) from error


def _missing(error: Exception) -> MissingDependency:
    asked = os.environ.get("MUJOCO_GL")
    hint = f"; MUJOCO_GL={asked} is set, try MUJOCO_GL=egl" if asked and asked != "egl" else ""
    return MissingDependency(f"pictures need OpenGL: {INSTALL} (or libosmesa6){hint}; it said: {error}")


def _camera(view: View) -> mujoco.MjvCamera:
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE.value
    forward = view.target - view.eye
    camera.lookat[:], camera.distance = view.target, np.linalg.norm(forward)
    camera.azimuth = np.rad2deg(np.arctan2(forward[1], forward[0]))
    camera.elevation = np.rad2deg(np.arcsin(forward[2] / camera.distance))
    return camera
