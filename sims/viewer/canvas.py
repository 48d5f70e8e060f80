"""A meshcat scene in a browser: one contract, two implementations (Drake's Meshcat, the meshcat package)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np

from sims.errors import MissingDependency, unknown
from sims.viewer.view import View


@dataclass(frozen=True)
class Motion:
    """Key frames: path -> values at `keys`, interpolated between them by the browser.

    keys (n,): frame numbers; fps [1/s]; X: path -> (n, 4, 4), pose in the parent path; visible: path -> (n,) bool;
    scale: path -> (n, 3). The film repeats until it is paused.
    """

    fps: float
    keys: np.ndarray
    X: dict[str, np.ndarray]
    visible: dict[str, np.ndarray] = field(default_factory=dict)
    scale: dict[str, np.ndarray] = field(default_factory=dict)


class Canvas(ABC):
    """Triangles and lines at paths "/a/b", moved by poses relative to the parent path; sliders and buttons.

    Every call returns at once; browsers that connect later see the whole scene. url is what to open.
    """

    url: str
    port: int

    @abstractmethod
    def mesh(self, path: str, vertices: np.ndarray, faces: np.ndarray, rgba) -> None:
        """Draw triangles, vertices (n, 3) [m] and faces (m, 3), at path; an object already there is replaced."""

    @abstractmethod
    def lines(self, path: str, points: np.ndarray, rgba, width: float = 1.0) -> None:
        """Draw a polyline through points (n, 3) [m], or segments (n, 2, 3); most browsers draw width 1 only."""

    @abstractmethod
    def move(self, path: str, X: np.ndarray) -> None:
        """Set the pose X (4, 4) of path in its parent."""

    @abstractmethod
    def show(self, path: str, visible: bool) -> None:
        """Show or hide path and what is below it."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove path and what is below it; nothing happens if there is none."""

    @abstractmethod
    def look(self, view: View) -> None:
        """Put the camera there, and the background and lights that the films have."""

    @abstractmethod
    def add_slider(self, name: str, low: float, high: float, step: float, value: float) -> None:
        """Add a slider to the controls, or replace the one of that name."""

    @abstractmethod
    def slider(self, name: str) -> float:
        """Where the slider stands."""

    @abstractmethod
    def set_slider(self, name: str, value: float) -> None:
        """Put the slider at value, on every browser's controls too."""

    @abstractmethod
    def add_button(self, name: str, key: str = "") -> None:
        """Add a button to the controls, pressed also by a key ("KeyR", "Space"); its count of clicks starts at 0."""

    @abstractmethod
    def clicks(self, name: str) -> int:
        """How often the button was clicked, in all browsers."""

    @abstractmethod
    def remove_controls(self) -> None:
        """Remove all sliders and buttons."""

    @abstractmethod
    def animate(self, motion: Motion) -> None:
        """Play the motion in every browser and in `html`."""

    @abstractmethod
    def html(self) -> str:
        """The scene and its motion as one HTML page that needs no network and no server."""

    @abstractmethod
    def browsers(self) -> int:
        """How many browsers are connected."""

    @abstractmethod
    def close(self) -> None:
        """Stop the server: its threads end and its port is free. More calls do nothing."""


CANVASES = ("auto", "drake", "meshcat")


def open_canvas(kind: str = "auto", *, port: int | None = None, host: str = "127.0.0.1") -> Canvas:
    """A canvas served at host:port; port None is the first free one from 7000 on, 0 any free one.

    kind: "drake" or "meshcat", or "auto", Drake's where Drake is installed. Raises ValueError for another kind or a
    port outside 1024 to 65535, MissingDependency if its package is missing and OSError if the port is taken.
    """
    if port and not 1024 <= port <= 65535:  # Drake would raise SystemExit below that and take another port above
        raise ValueError(f"viewer: port must be None, 0 or in 1024 ... 65535, got {port}")
    if kind not in CANVASES:
        raise unknown("canvas", kind, CANVASES)
    if kind == "drake" or (kind == "auto" and find_spec("pydrake")):
        if not find_spec("pydrake"):
            raise MissingDependency("the canvas 'drake' needs Drake: pip install drake (or canvas='meshcat')")
        from sims.viewer.drake_canvas import DrakeCanvas

        return DrakeCanvas(port=port, host=host)
    if not find_spec("meshcat"):
        raise MissingDependency("live pictures and films need meshcat or Drake: pip install meshcat")
    from sims.viewer.meshcat_canvas import MeshcatCanvas

    return MeshcatCanvas(port=port, host=host)


def cannot_listen(host: str, port: int | None, why: object) -> OSError:
    """The error of a server that finds no port."""
    return OSError(f"viewer: cannot listen on {host}:{port}: {why}; choose another port, or None for a free one")
