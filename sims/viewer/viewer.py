"""One live picture of any simulator, in a browser."""

import time
from collections.abc import Sequence

import numpy as np

from sims.contact import Contact
from sims.errors import unknown
from sims.simulator import Simulator
from sims.trajectory import Trajectory
from sims.viewer import stage
from sims.viewer.canvas import open_canvas
from sims.viewer.coordinates import coordinates, default_state, typical_states
from sims.viewer.geometry import pose
from sims.viewer.scene import check_contacts, check_run, scene_of
from sims.viewer.view import view_of


class ResetRequested(Exception):
    """Raised by Viewer.monitor when the reset button, if there is one, was pressed."""


class StopRequested(Exception):
    """Raised by Viewer.monitor when the stop button, if there is one, was pressed."""


class Slider:
    """A slider of the controls; `value` is where it stands, and can be set."""

    def __init__(self, canvas, name: str, low: float, high: float):
        self._canvas, self.name, self.low, self.high = canvas, name, low, high

    @property
    def value(self) -> float:
        """Where the slider stands."""
        return self._canvas.slider(self.name)

    @value.setter
    def value(self, value: float) -> None:
        self._canvas.set_slider(self.name, float(np.clip(value, self.low, self.high)))


class Button:
    """A button of the controls."""

    def __init__(self, canvas, name: str):
        self._canvas, self.name, self._seen = canvas, name, 0

    def pressed(self) -> bool:
        """Whether it was clicked since the last call."""
        clicks = self._canvas.clicks(self.name)
        before, self._seen = self._seen, clicks
        return clicks > before


class Viewer:
    """A simulator's scene at `viewer.url`; use it in a `with` block, or `close` it.

    port: None is the first free one from 7000 on, 0 any; host: "127.0.0.1" serves this machine only. canvas: "auto" is
    Drake's Meshcat where Drake is installed, else the meshcat package; "drake" and "meshcat" choose. contacts: draw the
    contact forces of every state that comes with an input (MuJoCo and Drake). fps: at most so many pictures a second.
    Raises ValueError for a simulator that has no picture, MissingDependency, OSError if the port is taken.
    """

    def __init__(
        self,
        sim: Simulator,
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        canvas: str = "auto",
        contacts: bool = False,
        fps: float = 30.0,
    ):
        check_contacts(sim, contacts)
        _check_positive("fps", fps)
        self.sim, self.scene, self.fps, self.contacts = sim, scene_of(sim), float(fps), contacts
        reach = self.scene.poses(typical_states(sim, self.scene))
        self.view = view_of(self.scene, reach, reach)
        self.canvas = open_canvas(canvas, port=port, host=host)
        self.url, self.rate = self.canvas.url, 1.0
        self._bodies = stage.draw_scene(self.canvas, self.scene, 6.0 * self.view.radius)
        stage.draw_grid(self.canvas, self.scene, self.view, 6.0 * self.view.radius)
        self.canvas.look(self.view)
        self._buttons: dict[str, Button] = {}
        self._clock: tuple[float, float] | None = None  # simulated and wall time [s] that belong together
        self._last_t = self._next_t = -np.inf
        self._force_scale = stage.ForceScale(self.view.radius)
        self.show(default_state(sim, self.scene))

    def __enter__(self) -> "Viewer":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server; no thread, process or port stays behind."""
        self.canvas.close()

    def show(self, x, t: float | None = None, u=None) -> None:
        """Draw the state x (nx,), the time t [s] if given, and with contacts=True the contact forces under u (nu,)."""
        x = self.sim.check_state(x)
        if x.ndim != 1:
            raise ValueError(f"show draws one state (nx,) = ({self.sim.nx},), got {x.shape}: pick one, e.g. x[0]")
        for path, X in zip(self._bodies, self.scene.poses(x), strict=True):
            self.canvas.move(path, X)
        if t is not None:
            self.text("time", f"t = {t:.2f} s", self.view.corner, 0.055 * self.view.half_height)
        if self.contacts and u is not None:
            self.arrows(self.sim.contacts(x, u))

    def arrows(self, contacts: Sequence[Contact]) -> None:
        """Draw contact forces; the usual one of late is a third of the picture's radius long."""
        self._force_scale.see(contacts)
        mesh = stage.arrows(contacts, self._force_scale)
        if mesh is None:
            self.canvas.delete(f"{stage.ROOT}/contacts")
        else:
            self.canvas.mesh(f"{stage.ROOT}/contacts", *mesh, stage.FORCE_COLOR)

    def triad(self, name: str, X=None, *, body: str = "world", length: float | None = None) -> None:
        """Draw a frame X (4, 4), the identity if not given, in a body or the world; its axes are length [m]."""
        parent = stage.ROOT if body == "world" else self._bodies[self.scene.index(body)]
        stage.draw_triad(self.canvas, f"{parent}/triad_{name}", length or 0.15 * self.view.radius)
        self.canvas.move(f"{parent}/triad_{name}", np.eye(4) if X is None else np.asarray(X, float))

    def path(self, name: str, p_W, rgba=stage.PATH_COLOR) -> None:
        """Draw a line through points p_W (n, 3) [m], a planned path for instance."""
        self.canvas.lines(f"{stage.ROOT}/paths/{name}", stage.points(p_W), rgba)

    def text(self, name: str, text: str, p_W, height: float | None = None) -> None:
        """Write text at p_W (3,) [m], facing the first camera; height [m] of its letters."""
        segments = stage.text_lines(text, height or 0.055 * self.view.radius)
        path = f"{stage.ROOT}/text/{name}"
        self.canvas.lines(path, segments, stage.TEXT_COLOR)
        self.canvas.move(path, pose(p_W, self.view.R_WC))

    def slider(self, name: str, low: float, high: float, value: float, step: float | None = None) -> Slider:
        """Add a slider; read `.value` of what comes back, in a policy for instance."""
        if not low < high:
            raise ValueError(f"slider {name!r}: low must be less than high, got {low} and {high}")
        self.canvas.add_slider(name, low, high, step or (high - low) / 1000, float(np.clip(value, low, high)))
        return Slider(self.canvas, name, low, high)

    def button(self, name: str, key: str = "") -> Button:
        """Add a button, pressed also by a key ("KeyR", "Space"); ask `.pressed()` of what comes back."""
        self.canvas.add_button(name, key)
        self._buttons[name] = Button(self.canvas, name)
        return self._buttons[name]

    def run_buttons(self, *names: str) -> None:
        """Add those of "pause" (also the space bar), "reset" (key R) and "stop" (escape) that `monitor` shall obey."""
        known = {"pause": "Space", "reset": "KeyR", "stop": "Escape"}
        for name in names:
            if name not in known:
                raise unknown("button", name, known)
            self.button(name, known[name])

    def monitor(self, t: float, x: np.ndarray, u: np.ndarray) -> None:
        """Show a running simulation, `simulate(..., monitor=viewer.monitor)`, at `viewer.rate` times real time.

        Draws at most fps pictures a second (the first run of a batch) and waits so that simulated time does not run
        ahead. With `run_buttons`: pause waits here; reset raises ResetRequested and stop StopRequested, which
        `sims.viewer.run_live` handles.
        """
        if self._last_t <= t < self._next_t:
            self._last_t = t
            return
        if t < self._last_t:
            self._clock = None  # a new run
        self._last_t, self._next_t = t, t + self.rate / self.fps * (1 - 1e-9)
        self.show(x.reshape(-1, self.sim.nx)[0], t, u.reshape(-1, self.sim.nu)[0])
        self._wait(t)

    def _wait(self, t: float) -> None:
        """Obey the buttons, then sleep until the wall clock has caught up with t [s]."""
        self._obey()
        now = time.monotonic()
        start_t, start = self._clock or (t, now)
        ahead = (t - start_t) / self.rate - (now - start)
        if ahead > 0:
            time.sleep(ahead)
        if self._clock is None or ahead < -0.2:  # too slow for real time: do not race afterwards
            self._clock = (t, time.monotonic())

    def _obey(self) -> None:
        if self._pressed("stop"):
            raise StopRequested
        if self._pressed("reset"):
            raise ResetRequested
        if self._pressed("pause"):
            while not self._pressed("pause"):
                if self._pressed("stop"):
                    raise StopRequested
                if self._pressed("reset"):
                    raise ResetRequested
                time.sleep(0.02)
            self._clock = None

    def _pressed(self, name: str) -> bool:
        return name in self._buttons and self._buttons[name].pressed()

    def play(self, trajectory: Trajectory, rate: float = 1.0) -> None:
        """Show a finished run, x (T+1, nx), at rate times real time; obeys `run_buttons` (reset starts again)."""
        check_run(self.sim, trajectory, "play")
        _check_positive("rate", rate)
        before, self.rate = self.rate, float(rate)
        self._last_t, self._clock = -np.inf, None
        try:
            k = 0
            while k < len(trajectory):
                try:
                    self.monitor(float(trajectory.t[k]), trajectory.x[k], trajectory.u[k])
                    k += 1
                except ResetRequested:
                    k = 0
                except StopRequested:
                    return
            self.show(trajectory.x[-1], float(trajectory.t[-1]))
        finally:
            self.rate = before

    def teleop(self, x=None, duration: float | None = None) -> np.ndarray:
        """Pose the robot with one slider per coordinate until "stop" is pressed or duration [s] is over.

        x (nx,): where to start. Returns the state posed last, at rest.
        """
        from sims.viewer.live import teleop

        return teleop(self, x, duration)

    def coordinates(self) -> list:
        """The coordinates that `teleop` has sliders for: name, low, high, and how each changes a state."""
        return coordinates(self.sim, self.scene)


def _check_positive(what: str, value: float) -> None:
    if not 0.0 < value < np.inf:
        raise ValueError(f"viewer: {what} must be a positive number, got {value!r}")
