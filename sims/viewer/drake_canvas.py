"""The canvas on Drake's own Meshcat server (its threads, its C++ websocket)."""

import logging

import numpy as np
from pydrake.common.eigen_geometry import Quaternion
from pydrake.geometry import Meshcat, MeshcatAnimation, MeshcatParams, Rgba
from pydrake.math import RigidTransform

from sims.lie import quat_from_matrix
from sims.viewer.canvas import Canvas, Motion, cannot_listen
from sims.viewer.view import View

_CAMERA = "/Cameras/default/rotated/<object>"


class DrakeCanvas(Canvas):
    """A scene on pydrake.geometry.Meshcat, listening on host:port."""

    def __init__(self, *, port: int | None = None, host: str = "127.0.0.1"):
        log = logging.getLogger("drake")
        heard, log.disabled = log.disabled, True  # it would announce the server of every film
        try:
            self._meshcat: Meshcat | None = Meshcat(MeshcatParams(host=host, port=port, show_stats_plot=False))
        except RuntimeError as error:
            raise cannot_listen(host, port, error) from error
        finally:
            log.disabled = heard
        self.url, self.port = self._meshcat.web_url(), self._meshcat.port()

    @property
    def _m(self) -> Meshcat:
        if self._meshcat is None:
            raise RuntimeError("this viewer is closed: make a new one")
        return self._meshcat

    def mesh(self, path: str, vertices: np.ndarray, faces: np.ndarray, rgba) -> None:
        corners, triangles = np.asfortranarray(vertices.T, float), np.asfortranarray(faces.T, np.int32)
        self._m.SetTriangleMesh(path, corners, triangles, Rgba(*rgba))
        self._m.SetProperty(f"{path}/<object>", "material.flatShading", False)  # the vertices know where edges are

    def lines(self, path: str, points: np.ndarray, rgba, width: float = 1.0) -> None:
        if points.ndim == 3:
            start, end = (np.asfortranarray(points[:, i].T, float) for i in (0, 1))
            self._m.SetLineSegments(path, start, end, width, Rgba(*rgba))
        else:
            self._m.SetLine(path, np.asfortranarray(points.T, float), width, Rgba(*rgba))

    def move(self, path: str, X: np.ndarray) -> None:
        self._m.SetTransform(path, _rigid(X[:3, 3], quat_from_matrix(X[:3, :3])))

    def show(self, path: str, visible: bool) -> None:
        self._m.SetProperty(path, "visible", visible)

    def delete(self, path: str) -> None:
        self._m.Delete(path)

    def look(self, view: View) -> None:
        m = self._m
        m.SetProperty("/Background", "top_color", [0.93, 0.95, 0.98])
        m.SetProperty("/Background", "bottom_color", [0.72, 0.77, 0.83])
        m.SetProperty("/Grid", "visible", False)
        m.SetProperty("/Axes", "visible", False)
        m.SetProperty(_CAMERA, "fov", view.fov)
        m.SetProperty(_CAMERA, "near", 0.01 * view.radius)
        m.SetProperty(_CAMERA, "far", 200.0 * view.radius)
        m.SetCameraPose(view.eye, view.target)
        for name, p_W in view.lamps.items():  # their light falls off with the square of the distance
            m.SetProperty(f"/Lights/{name}/<object>", "position", p_W.tolist())
            m.SetProperty(f"/Lights/{name}/<object>", "distance", 0.0)
            m.SetProperty(f"/Lights/{name}/<object>", "intensity", 25.0 * view.radius**2)

    def add_slider(self, name: str, low: float, high: float, step: float, value: float) -> None:
        self._m.DeleteSlider(name, strict=False)
        self._m.AddSlider(name, low, high, step, value)

    def slider(self, name: str) -> float:
        return self._m.GetSliderValue(name)

    def set_slider(self, name: str, value: float) -> None:
        self._m.SetSliderValue(name, value)

    def add_button(self, name: str, key: str = "") -> None:
        self._m.DeleteButton(name, strict=False)
        self._m.AddButton(name, key)

    def clicks(self, name: str) -> int:
        return self._m.GetButtonClicks(name)

    def remove_controls(self) -> None:
        self._m.DeleteAddedControls()

    def animate(self, motion: Motion) -> None:
        animation = MeshcatAnimation(motion.fps)
        keys = motion.keys.tolist()
        for path, X in motion.X.items():
            quat = quat_from_matrix(X[:, :3, :3])
            for key, p, q in zip(keys, X[:, :3, 3], quat, strict=True):
                animation.SetTransform(key, path, _rigid(p, q))
        for name, tracks in (("visible", motion.visible), ("scale", motion.scale)):
            for path, values in tracks.items():
                for key, value in zip(keys, values.tolist(), strict=True):
                    animation.SetProperty(key, path, name, value)
        animation.set_loop_mode(MeshcatAnimation.LoopMode.kLoopRepeat)
        animation.set_repetitions(1_000_000)
        self._m.SetAnimation(animation)

    def html(self) -> str:
        return self._m.StaticHtml()

    def browsers(self) -> int:
        return self._m.GetNumActiveConnections()

    def close(self) -> None:
        self._meshcat = None  # its destructor joins the server's thread and closes the port


def _rigid(p: np.ndarray, quat: np.ndarray) -> RigidTransform:
    return RigidTransform(Quaternion(quat), p)
