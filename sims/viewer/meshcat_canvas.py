"""The canvas on the meshcat package: its JavaScript viewer and message format, served by meshcat_server."""

import json
import threading

import numpy as np
import umsgpack
from meshcat import geometry as g

from sims.lie import quat_from_matrix
from sims.viewer.canvas import Canvas, Motion
from sims.viewer.meshcat_page import static_page
from sims.viewer.meshcat_server import Server
from sims.viewer.view import View

_CAMERA = "/Cameras/default/rotated/<object>"


class MeshcatCanvas(Canvas):
    """A scene on the meshcat package's viewer, listening on host:port."""

    def __init__(self, *, port: int | None = None, host: str = "127.0.0.1"):
        self._lock = threading.Lock()
        self._scene: dict[tuple[str, str], bytes] = {}  # (what, path) -> the last command about it, in order
        self._values: dict[str, float] = {}
        self._clicks: dict[str, int] = {}
        self._server = Server(host=host, port=port, scene=self._commands, on_event=self._hear)
        self.port = self._server.port
        self.url = f"http://{'localhost' if host in ('', '0.0.0.0', '*') else host}:{self.port}"

    def mesh(self, path: str, vertices: np.ndarray, faces: np.ndarray, rgba) -> None:
        rgb, alpha = _color(rgba)
        material = g.MeshPhongMaterial(color=rgb, opacity=alpha, side=2, shininess=40)
        self._draw(path, g.Mesh(g.TriangularMeshGeometry(vertices, faces), material))

    def lines(self, path: str, points: np.ndarray, rgba, width: float = 1.0) -> None:
        rgb, alpha = _color(rgba)
        material = g.LineBasicMaterial(color=rgb, opacity=alpha, linewidth=width)
        kind = g.LineSegments if points.ndim == 3 else g.Line
        self._draw(path, kind(g.PointsGeometry(points.reshape(-1, 3).T.astype(np.float32)), material))

    def _draw(self, path: str, thing: g.Object) -> None:
        self._send("object", path, {"type": "set_object", "path": path, "object": thing.lower()})

    def move(self, path: str, X: np.ndarray) -> None:
        matrix = np.asarray(X, float).T.ravel().tolist()
        self._send("transform", path, {"type": "set_transform", "path": path, "matrix": matrix})

    def show(self, path: str, visible: bool) -> None:
        self._property(path, "visible", bool(visible))

    def _property(self, path: str, name: str, value) -> None:
        self._send(name, path, {"type": "set_property", "path": path, "property": name, "value": value})

    def delete(self, path: str) -> None:
        with self._lock:
            gone = [key for key in self._scene if key[1] == path or key[1].startswith(f"{path}/")]
            for key in gone:
                del self._scene[key]
        self._server.send(umsgpack.packb({"type": "delete", "path": path}))

    def look(self, view: View) -> None:
        self._property("/Background", "top_color", [0.93, 0.95, 0.98])
        self._property("/Background", "bottom_color", [0.72, 0.77, 0.83])
        self._property("/Grid", "visible", False)
        self._property("/Axes", "visible", False)
        for name, value in (("fov", view.fov), ("near", 0.01 * view.radius), ("far", 200.0 * view.radius)):
            self._property(_CAMERA, name, float(value))
        for name, p_W in view.lamps.items():
            self._property(f"/Lights/{name}/<object>", "position", p_W.tolist())
            self._property(f"/Lights/{name}/<object>", "distance", 0.0)
        self._property("/Lights/AmbientLight/<object>", "intensity", 0.5)
        self._property(_CAMERA, "position", _y_up(view.eye))
        self._send("target", "", {"type": "set_target", "value": _y_up(view.target)})

    def add_slider(self, name: str, low: float, high: float, step: float, value: float) -> None:
        self._values[name] = float(value)
        callback = f'(value) => tell({{type: "slider", name: {json.dumps(name)}, value: value}})'
        command = {"type": "set_control", "name": name, "callback": callback, "value": float(value)}
        self._send("control", name, command | {"min": float(low), "max": float(high), "step": float(step)})

    def slider(self, name: str) -> float:
        return self._values[name]

    def set_slider(self, name: str, value: float) -> None:
        self._values[name] = float(value)
        command = {"type": "set_control_value", "name": name, "value": float(value), "invoke_callback": False}
        self._send("value", name, command)

    def add_button(self, name: str, key: str = "") -> None:
        self._clicks[name] = 0
        callback = f'() => tell({{type: "button", name: {json.dumps(name)}}})'
        self._send("control", name, {"type": "set_control", "name": name, "callback": callback, "key": key})

    def clicks(self, name: str) -> int:
        return self._clicks[name]

    def remove_controls(self) -> None:
        for name in [*self._values, *self._clicks]:
            with self._lock:
                self._scene.pop(("control", name), None)
                self._scene.pop(("value", name), None)
            self._server.send(umsgpack.packb({"type": "delete_control", "name": name}))
        self._values, self._clicks = {}, {}

    def animate(self, motion: Motion) -> None:
        clips: dict[str, list[dict]] = {}
        for path, X in motion.X.items():
            quat = quat_from_matrix(X[:, :3, :3])[:, [1, 2, 3, 0]]
            clips[path] = [
                _track(".position", "vector3", motion.keys, X[:, :3, 3]),
                _track(".quaternion", "quaternion", motion.keys, quat),
            ]
        for path, values in motion.visible.items():
            clips.setdefault(path, []).append(_track(".visible", "bool", motion.keys, values))
        for path, values in motion.scale.items():
            clips.setdefault(path, []).append(_track(".scale", "vector3", motion.keys, values))
        animations = [
            {"path": path, "clip": {"fps": float(motion.fps), "name": "default", "tracks": tracks}}
            for path, tracks in clips.items()
        ]
        options = {"play": True, "repetitions": 1_000_000}
        self._send("animation", "", {"type": "set_animation", "animations": animations, "options": options, "path": ""})

    def html(self) -> str:
        with self._lock:
            shown = [command for (what, _), command in self._scene.items() if what not in ("control", "value")]
        return static_page(shown).decode()

    def browsers(self) -> int:
        return self._server.browsers()

    def close(self) -> None:
        self._server.close()

    def _send(self, what: str, path: str, command: dict) -> None:
        packed = umsgpack.packb(command)
        with self._lock:
            self._scene[what, path] = packed
        self._server.send(packed)

    def _commands(self) -> list[bytes]:
        """The scene in the order a browser must hear it: the animation needs its objects first."""
        with self._lock:
            last = self._scene.get(("animation", ""))
            return [c for key, c in self._scene.items() if key[0] != "animation"] + ([last] if last else [])

    def _hear(self, event: dict) -> None:
        name, value = event.get("name"), event.get("value")
        if event.get("type") == "button" and name in self._clicks:
            self._clicks[name] += 1
        if event.get("type") == "slider" and name in self._values and isinstance(value, (int, float)):
            self._values[name] = float(value)


def _track(name: str, kind: str, keys: np.ndarray, values: np.ndarray) -> dict:
    rows = zip(keys.tolist(), values.tolist(), strict=True)
    return {"name": name, "type": kind, "keys": [{"time": key, "value": value} for key, value in rows]}


def _y_up(p_W: np.ndarray) -> list[float]:
    """p (3,) in the axes of three.js, where y is up."""
    return [float(p_W[0]), float(p_W[2]), -float(p_W[1])]


def _color(rgba) -> tuple[int, float]:
    r, g_, b = (round(255 * min(1.0, max(0.0, float(c)))) for c in rgba[:3])
    return (r << 16) + (g_ << 8) + b, float(rgba[3])
