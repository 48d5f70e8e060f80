"""Pictures and videos by MuJoCo's offscreen renderer, of every simulator that has a scene."""

import io
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from sims.contact import Contact
from sims.errors import MissingDependency
from sims.simulator import Simulator
from sims.trajectory import Trajectory, write_atomically
from sims.viewer.coordinates import default_state, typical_states
from sims.viewer.scene import Scene, check_contacts, check_run, scene_of
from sims.viewer.stage import ForceScale
from sims.viewer.view import View, view_of


def render_png(
    sim: Simulator,
    x,
    path: str | Path,
    *,
    u=None,
    contacts: bool = False,
    width: int = 960,
    height: int = 720,
    shadows: bool = True,
    samples: int = 8,
) -> Path:
    """Write a picture of the state x (nx,) as PNG, width x height pixels; with contacts=True the forces under u (nu,).

    shadows=False and samples=0 (per pixel) are twenty times faster without a graphics card. Raises MissingDependency
    where MuJoCo or OpenGL is missing, with the line that installs it, ValueError for a simulator without a picture.
    """
    x = sim.check_state(x)
    if x.ndim != 1:
        raise ValueError(f"render_png draws one state (nx,) = ({sim.nx},), got {x.shape}: pick one, e.g. x[0]")
    u = np.zeros((1, sim.nu)) if u is None else sim.check_input(u)[None]
    run = Trajectory(np.array([0.0, sim.dt]), np.stack([x, x]), u)
    with _Studio(sim, run, width=width, height=height, shadows=shadows, samples=samples, contacts=contacts) as studio:
        return write_atomically(path, _png(studio.picture(0.0)))


def record_video(
    sim: Simulator,
    trajectory: Trajectory,
    path: str | Path,
    *,
    fps: float = 30.0,
    rate: float = 1.0,
    contacts: bool = False,
    width: int = 640,
    height: int = 480,
    shadows: bool = False,
    samples: int = 4,
) -> Path:
    """Write a run, x (T+1, nx), as .mp4 (H.264, by ffmpeg) or .gif (by Pillow), at rate times real time.

    States between the samples of the run are interpolated on the manifold. The file is written whole or not at all.
    Raises ValueError for a batch or another kind of file, MissingDependency where MuJoCo, OpenGL or ffmpeg is missing.
    """
    path = Path(path)
    if path.suffix.lower() not in (".mp4", ".gif"):
        raise ValueError(f"record_video writes .mp4 or .gif, got {path.name!r}; for .html use record_html")
    if not (fps > 0 and rate > 0):
        raise ValueError(f"record_video: fps and rate must be positive, got {fps!r} and {rate!r}")
    encode = _gif if path.suffix.lower() == ".gif" else _mp4
    encoder = "" if encode is _gif else _ffmpeg()
    width, height = width + width % 2, height + height % 2  # H.264 stores colour for 2 x 2 pixels
    with _Studio(
        sim, trajectory, width=width, height=height, shadows=shadows, samples=samples, contacts=contacts
    ) as studio:
        frames = (studio.picture(t) for t in _times(trajectory, fps / rate))
        return write_atomically(path, encode(frames, fps, (width, height), encoder))


def contact_sheet(
    sim: Simulator,
    trajectory: Trajectory,
    path: str | Path,
    n: int = 8,
    *,
    columns: int = 4,
    width: int = 320,
    height: int = 240,
) -> Path:
    """Write n pictures of a run, equal times apart and each with its time, as one PNG."""
    if not (n >= 1 and columns >= 1):
        raise ValueError(f"contact_sheet: n and columns must be at least 1, got {n} and {columns}")
    from PIL import Image, ImageDraw, ImageFont

    columns = min(columns, n)
    sheet = Image.new("RGB", (columns * width, -(-n // columns) * height), "white")
    font, draw = ImageFont.load_default(height // 15), ImageDraw.Draw(sheet)
    with _Studio(sim, trajectory, width=width, height=height, shadows=True, samples=8, contacts=False) as studio:
        for i, t in enumerate(np.linspace(trajectory.t[0], trajectory.t[-1], n)):
            corner = (i % columns) * width, (i // columns) * height
            sheet.paste(Image.fromarray(studio.picture(float(t))), corner)
            draw.text((corner[0] + height // 20, corner[1] + height // 24), f"t = {t:.2f} s", "#1a1f29", font)
    return write_atomically(path, _png(np.asarray(sheet)))


class Camera:
    """A renderer that stays open for one state after another, framed for all that the robot usually does.

    picture(x) -> (height, width, 3) uint8; close() frees it. Raises as `render_png` does.
    """

    def __init__(self, sim: Simulator, *, width: int = 480, height: int = 360):
        x = default_state(sim, scene_of(sim))
        run = Trajectory(np.array([0.0, sim.dt]), np.stack([x, x]), np.zeros((1, sim.nu)))
        self._u = run.u[0]
        self._studio = _Studio(sim, run, width=width, height=height, shadows=False, samples=0, contacts=False)
        self._studio.__enter__()

    def picture(self, x: np.ndarray) -> np.ndarray:
        """The picture of the state x (nx,)."""
        return self._studio.of(x, self._u)

    def close(self) -> None:
        """Free the renderer."""
        self._studio.__exit__(None, None, None)


class _Studio:
    """A run in front of the camera; `picture(t)` in a `with` block."""

    def __init__(self, sim: Simulator, run: Trajectory, *, width, height, shadows, samples, contacts: bool):
        check_run(sim, run, "picture")
        check_contacts(sim, contacts)
        if not (0 < width <= 8192 and 0 < height <= 8192):
            raise ValueError(f"picture: width and height must be in 1 ... 8192 pixels, got {width} x {height}")
        if not find_spec("mujoco"):
            raise MissingDependency("pictures and videos are drawn by MuJoCo: pip install mujoco")
        import mujoco

        from sims.viewer.offscreen import Offscreen
        from sims.viewer.studio import set_for

        self._sim, self._run, self._contacts = sim, run, contacts
        scene = scene_of(sim)
        self._view = _view(sim, scene, run, width / height)
        model, self._pose = set_for(scene, self._view)
        self._offscreen = Offscreen(model, self._view, width=width, height=height, shadows=shadows, samples=samples)
        self._data, self._update = mujoco.MjData(model), mujoco.mj_fwdPosition
        self._scale = ForceScale(self._view.radius)

    def __enter__(self) -> "_Studio":
        self._offscreen.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._offscreen.__exit__(*error)

    def picture(self, t: float) -> np.ndarray:
        """The picture (height, width, 3), uint8, at time t [s]."""
        return self.of(*state_at(self._sim, self._run, t))

    def of(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """The picture of a state x (nx,) under u (nu,), which need not be of the run."""
        self._pose(self._data, x)
        self._update(self._offscreen.model, self._data)
        return self._offscreen.picture(self._data, self._arrows(self._sim.contacts(x, u)) if self._contacts else ())

    def _arrows(self, contacts: Sequence[Contact]) -> list[tuple[np.ndarray, np.ndarray]]:
        self._scale.see(contacts)
        lengths = [self._scale.length(c) for c in contacts]
        forces = [c.f_W / max(float(np.linalg.norm(c.f_W)), 1e-12) for c in contacts]
        return [(c.p_W, c.p_W + l * f) for c, l, f in zip(contacts, lengths, forces, strict=True) if l]


def state_at(sim: Simulator, run: Trajectory, t: float) -> tuple[np.ndarray, np.ndarray]:
    """The state x (nx,), interpolated on the manifold, and the input u (nu,) of a run, x (T+1, nx), at t [s]."""
    if len(run) == 0:
        return run.x[0], np.zeros(sim.nu)
    k = int(np.clip(np.searchsorted(run.t, t, side="right") - 1, 0, len(run) - 1))
    part = np.clip((t - run.t[k]) / (run.t[k + 1] - run.t[k]), 0.0, 1.0)
    return sim.integrate(run.x[k], part * sim.difference(run.x[k], run.x[k + 1])), run.u[k]


def _view(sim: Simulator, scene: Scene, run: Trajectory, aspect: float) -> View:
    rows = np.unique(np.linspace(0, len(run.x) - 1, 200).round().astype(int))
    return view_of(scene, scene.poses(run.x[rows]), scene.poses(typical_states(sim, scene)), aspect)


def _times(run: Trajectory, per_second: float) -> np.ndarray:
    return run.t[0] + np.arange(max(1, int((run.t[-1] - run.t[0]) * per_second + 1e-9) + 1)) / per_second


def _png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _gif(frames: Iterator[np.ndarray], fps: float, size: tuple[int, int], encoder: str) -> bytes:
    from PIL import Image

    first, *others = (Image.fromarray(f).quantize(128, method=Image.Quantize.FASTOCTREE) for f in frames)
    out = io.BytesIO()
    first.save(out, "GIF", save_all=True, append_images=others, duration=max(20, round(1000 / fps)), loop=0)
    return out.getvalue()


def _mp4(frames: Iterator[np.ndarray], fps: float, size: tuple[int, int], encoder: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "video.mp4"
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", f"{fps:g}", "-i", "-"]
        coding = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "21", "-movflags", "+faststart", str(target)]
        command = [encoder, "-y", "-loglevel", "error", *source, *coding]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdin is not None and process.stderr is not None
            try:
                for frame in frames:
                    process.stdin.write(np.ascontiguousarray(frame))
            except BrokenPipeError:
                pass  # it says why below
            except BaseException:
                process.kill()
                raise
            process.stdin.close()
            message = process.stderr.read().decode(errors="replace").strip()
        if process.returncode:
            raise RuntimeError(f"ffmpeg could not write the video: {message or process.returncode}")
        return target.read_bytes()


def _ffmpeg() -> str:
    """The path of an ffmpeg: imageio-ffmpeg's, or the system's."""
    if find_spec("imageio_ffmpeg"):
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    system = shutil.which("ffmpeg")
    if system is None:
        raise MissingDependency("MP4 needs ffmpeg: pip install imageio-ffmpeg (or write a .gif)")
    return system
