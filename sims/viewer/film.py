"""Runs as one HTML file that plays by itself, offline."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sims.contact import Contact
from sims.simulator import Simulator
from sims.trajectory import Trajectory, write_atomically
from sims.viewer import stage
from sims.viewer.canvas import Canvas, Motion, open_canvas
from sims.viewer.coordinates import typical_states
from sims.viewer.geometry import align_z, pose
from sims.viewer.scene import Scene, check_contacts, check_run, scene_of
from sims.viewer.view import View, seen, view_of

_MOST_ARROWS = 32


@dataclass(frozen=True)
class Take:
    """One run of a film: its simulator, its trajectory x (T+1, nx), a label below it and where its world stands.

    path_of: name of a body whose path is drawn as a line, or points (n, 3) [m] of a planned path, or None.
    """

    sim: Simulator
    trajectory: Trajectory
    label: str = ""
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    path_of: str | np.ndarray | None = None


class Film:
    """Several runs side by side in one HTML file, on one clock.

        film = Film(fps=30)
        film.add(mujoco_sim, run, label="MuJoCo")
        film.add(drake_sim, other, label="Drake")
        film.save("both.html")

    fps: key frames a second; contacts: draw contact forces (MuJoCo and Drake); canvas: "auto", "drake" or "meshcat".
    """

    def __init__(self, *, fps: float = 30.0, contacts: bool = False, title: str = "", canvas: str = "auto"):
        if not 0 < fps < np.inf:
            raise ValueError(f"Film: fps must be positive, got {fps!r}")
        self.fps, self.contacts, self.title, self.canvas = float(fps), contacts, title, canvas
        self.takes: list[Take] = []

    def add(
        self,
        sim: Simulator,
        trajectory: Trajectory,
        *,
        label: str = "",
        offset: Sequence[float] = (0.0, 0.0, 0.0),
        path_of: str | np.ndarray | None = None,
    ) -> "Film":
        """Add a run, its world moved by offset (3,) [m]; the runs of a batch x (n, T+1, nx) are drawn in one place.

        Raises ValueError for a trajectory that is not of this simulator, or contacts of a closed-form plant.
        """
        x = trajectory.x.reshape(-1, *trajectory.x.shape[-2:])
        batch, (T, nu) = trajectory.x.shape[:-2], trajectory.u.shape[-2:]
        u = np.broadcast_to(trajectory.u, (*batch, T, nu)).reshape(len(x), T, nu)
        runs = [Trajectory(trajectory.t, x[i], u[i]) for i in range(len(x))]
        check_run(sim, runs[0], "film")
        check_contacts(sim, self.contacts)
        if not np.isfinite(trajectory.x).all():
            raise ValueError("film: the trajectory has states that are not finite; cut it, e.g. at the first np.isnan")
        for i, run in enumerate(runs):
            self.takes.append(Take(sim, run, label if i == 0 else "", tuple(offset), path_of))
        return self

    def save(self, path: str | Path) -> Path:
        """Write the film as one HTML file, whole or not at all."""
        return write_atomically(path, self.html().encode())

    def html(self) -> str:
        """The film as one HTML page that needs no network."""
        if not self.takes:
            raise ValueError("film: there is no run in it; call add(sim, trajectory) first")
        canvas = open_canvas(self.canvas, port=0)
        try:
            return _with_clock(self._draw(canvas), self._start, self.title)
        finally:
            canvas.close()

    @property
    def _start(self) -> float:
        return float(min(take.trajectory.t[0] for take in self.takes))

    def _draw(self, canvas: Canvas) -> str:
        scene_by_sim: dict[int, Scene] = {}
        scenes = [scene_by_sim.setdefault(id(take.sim), scene_of(take.sim)) for take in self.takes]
        moves = [scene.poses(take.trajectory.x) for take, scene in zip(self.takes, scenes, strict=True)]
        view = _common_view(self.takes, scenes, moves)
        motion = Motion(self.fps, self._keys(), {})
        places = {take.offset for take in self.takes}
        done: set[tuple] = set()
        for i, (take, scene, X_WB) in enumerate(zip(self.takes, scenes, moves, strict=True)):
            root = f"{stage.ROOT}/run{i}"
            local = view if len(places) == 1 else view_of(scene, X_WB, _typical(take.sim, scene))
            reach = 6.0 * view.radius if len(places) == 1 else 1.15 * local.radius  # floors of neighbours must not meet
            drawn = scene
            if take.offset in done:
                drawn = Scene(scene.bodies, tuple(stage.moving_shapes(scene)), scene.poses)
            else:
                stage.draw_grid(canvas, scene, local, reach, root)
            done.add(take.offset)
            paths = stage.draw_scene(canvas, drawn, reach, root)
            self._draw_take(canvas, root, take, scene, local, motion, X_WB, paths)
            if take.label:
                _draw_label(canvas, f"{root}/label", take.label, X_WB, local, view)
        canvas.look(view)
        canvas.animate(motion)
        return canvas.html()

    def _draw_take(self, canvas, root, take: Take, scene: Scene, view: View, motion: Motion, X_WB, paths) -> None:
        canvas.move(root, pose(take.offset))
        rows = _rows_at(take.trajectory.t, self._start + motion.keys / self.fps)
        for b, path in enumerate(paths):
            motion.X[path] = X_WB[rows, b]
            canvas.move(path, X_WB[rows[0], b])
        if take.path_of is not None:
            line = X_WB[:, scene.index(take.path_of), :3, 3] if isinstance(take.path_of, str) else take.path_of
            canvas.lines(f"{root}/path", stage.points(line)[:: max(1, len(line) // 2000)], stage.PATH_COLOR)
        if self.contacts:
            _draw_contacts(canvas, f"{root}/contacts", take, rows, view, motion)

    def _keys(self) -> np.ndarray:
        """Frame numbers; none between the samples of coarse trajectories, where the browser interpolates."""
        frames = [np.unique(np.round((take.trajectory.t - self._start) * self.fps)) for take in self.takes]
        return np.unique(np.concatenate(frames)).astype(int)


def record_html(
    sim: Simulator,
    trajectory: Trajectory,
    path: str | Path,
    *,
    fps: float = 30.0,
    contacts: bool = False,
    path_of: str | np.ndarray | None = None,
    title: str = "",
    canvas: str = "auto",
) -> Path:
    """Write a run, x (..., T+1, nx), as one HTML file that plays by itself in any browser, without a network.

    fps: key frames a second. contacts: draw contact forces (MuJoCo and Drake). path_of: a body whose path is drawn, or
    points (n, 3) [m] of a planned path. title: shown beside the time. canvas: "auto", "drake" or "meshcat". The file is
    written whole or not at all. Raises ValueError for a simulator without a picture, see `sims.viewer.scene_of`.
    """
    film = Film(fps=fps, contacts=contacts, title=title, canvas=canvas)
    return film.add(sim, trajectory, path_of=path_of).save(path)


def _common_view(takes: list[Take], scenes: list[Scene], moves: list[np.ndarray]) -> View:
    """The view of a scene in which all worlds stand together."""
    bodies, shapes, X, X_typical = [], [], [], []
    for i, (take, scene, X_WB) in enumerate(zip(takes, scenes, moves, strict=True)):
        thin = X_WB[np.linspace(0, len(X_WB) - 1, 200).round().astype(int)]
        offset = pose(take.offset)
        X.append(offset @ thin)
        X_typical.append(_typical(take.sim, scene))
        bodies += [f"{i}/{body}" for body in scene.bodies]
        planes = [s for s in scene.shapes_of("world") if s.kind == "plane"]
        for s in seen(scene, thin) + planes:
            fixed = s.body == "world"
            shapes.append(replace(s, body="world", X_BG=offset @ s.X_BG) if fixed else replace(s, body=f"{i}/{s.body}"))
    together = Scene(tuple(bodies), tuple(shapes), scenes[0].poses)
    return view_of(together, np.concatenate(X, axis=1), np.concatenate(X_typical, axis=1))


def _typical(sim: Simulator, scene: Scene) -> np.ndarray:
    return scene.poses(typical_states(sim, scene))


def _rows_at(t: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The rows of t nearest to times; the last one once the run is over."""
    after = np.clip(np.searchsorted(t, times), 1, max(1, len(t) - 1))
    if len(t) == 1:
        return np.zeros(len(times), int)
    return after - (times - t[after - 1] < t[after] - times)


def _draw_label(canvas: Canvas, path: str, label: str, X_WB: np.ndarray, local: View, view: View) -> None:
    height = max(0.06 * local.radius, 0.03 * view.half_height)
    lines = stage.text_lines(label, height)
    lines[..., 0] -= lines[..., 0].mean() if len(lines) else 0.0
    middle = (X_WB[..., :3, 3].min(axis=(0, 1)) + X_WB[..., :3, 3].max(axis=(0, 1))) / 2
    front = view.R_WC[:, 1] * [1, 1, 0]
    canvas.lines(path, lines, stage.TEXT_COLOR)
    canvas.move(path, pose([*middle[:2], local.floor + 0.3 * height] - 0.3 * local.radius * front, view.R_WC))


def _draw_contacts(canvas: Canvas, path: str, take: Take, rows: np.ndarray, view: View, motion: Motion) -> None:
    """A fixed set of arrows that the film moves, scales and hides."""
    run = take.trajectory
    found: list[list[Contact]] = []
    for row in rows:
        u = run.u[min(row, len(run) - 1)] if len(run) else np.zeros(take.sim.nu)
        largest = sorted(take.sim.contacts(run.x[row], u), key=lambda c: -float(np.linalg.norm(c.f_W)))
        found.append(sorted(largest[:_MOST_ARROWS], key=lambda c: (c.body_a, c.body_b)))
    most = max((len(contacts) for contacts in found), default=0)
    scale = stage.ForceScale(view.radius, memory=len(rows))
    for contacts in found:
        scale.see(contacts)
    mesh = stage.unit_arrow()
    for slot in range(most):
        name = f"{path}/{slot}"
        X, visible = np.tile(np.eye(4), (len(rows), 1, 1)), np.zeros(len(rows), bool)
        length = np.full(len(rows), 1e-3)
        for k, contacts in enumerate(found):
            if slot < len(contacts) and (size := scale.length(contacts[slot])):
                X[k] = pose(contacts[slot].p_W, align_z(contacts[slot].f_W))
                visible[k], length[k] = True, size
        canvas.mesh(name, *mesh, stage.FORCE_COLOR)
        canvas.show(name, False)
        motion.X[name], motion.visible[name] = X, visible
        motion.scale[name] = np.repeat(length[:, None], 3, axis=1)


def _with_clock(page: str, start: float, title: str) -> str:
    """The page with the time, and the title, in its corner."""
    heading = f"{html.escape(title)}<br>" if title else ""
    clock = f"""
<div style="position: fixed; left: 1.2em; top: 1em; font: 16px/1.4 system-ui, sans-serif; color: #1a1f29;
  pointer-events: none">{heading}<span id="film-time"></span></div>
<script>
(function tick() {{
  const t = {json.dumps(start)} + viewer.animator.actions.reduce((last, action) => Math.max(last, action.time), 0);
  document.getElementById("film-time").textContent = "t = " + t.toFixed(2) + " s";
  requestAnimationFrame(tick);
}})();
</script>
"""
    end = page.rindex("</body>")
    return page[:end] + clock + page[end:]
