"""Pictures and videos by MuJoCo's offscreen renderer."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sims import OdeSimulator, Trajectory, models, plants, simulate
from sims.errors import MissingDependency
from sims.viewer import contact_sheet, record_video, render_png
from sims.viewer.render import state_at

pytest.importorskip("mujoco", reason="pip install mujoco")
Image = pytest.importorskip("PIL.Image", reason="pip install pillow")
ROOT = Path(__file__).parent.parent
SMALL = {"width": 160, "height": 120, "shadows": False, "samples": 0}


@pytest.fixture(autouse=True)
def needs_gl(request):
    """Skips, with the line that installs it, where there is no OpenGL."""
    if "without_gl" in request.keywords:
        return
    from sims.viewer.offscreen import gl_context

    try:
        gl_context(16, 16).free()
    except MissingDependency as missing:
        pytest.skip(str(missing))


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """The share of pixels that differ by more than a shade."""
    return float((np.abs(a - b).max(axis=-1) > 30).mean())


def swing(dt: float = 0.02, duration: float = 1.0):
    sim = OdeSimulator(plants.Pendulum(), dt=dt)
    return sim, simulate(sim, lambda x, t: np.zeros(1), np.array([2.0, 0.0]), duration)


@pytest.mark.parametrize("name", sorted(plants.PLANTS))
def test_every_plant_is_rendered(name, tmp_path, rng):
    sim = OdeSimulator(plants.load(name)(), dt=0.01)
    x = rng.normal(size=sim.nx) * 0.3
    picture = pixels(render_png(sim, x, tmp_path / "a.png", **SMALL))
    assert picture.shape == (120, 160, 3)
    x[: sim.system.nq or sim.nx] += 0.7
    assert difference(picture, pixels(render_png(sim, x, tmp_path / "b.png", **SMALL))) > 0.001
    colored = picture.max(axis=-1) - picture.min(axis=-1) > 60  # parts of the plant, neither floor nor sky
    assert colored.mean() > 0.001


def test_three_engines_one_picture(tmp_path):
    """MuJoCo, Drake and the closed form of one state: the same pixels."""
    pytest.importorskip("pydrake", reason="pip install drake")
    from sims import DrakeSimulator, MujocoSimulator

    sims = [OdeSimulator(plants.Acrobot(), dt=0.01), MujocoSimulator(models.acrobot), DrakeSimulator(models.acrobot)]
    x = np.array([1.0, 0.5, 0.0, 0.0])
    first, *others = (pixels(render_png(sim, x, tmp_path / "a.png", **SMALL)) for sim in sims)
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_a_picture_shows_the_contact_forces(tmp_path):
    from sims import MujocoSimulator
    from sims.viewer.coordinates import default_state
    from sims.viewer.scene import scene_of

    sim = MujocoSimulator(models.block)
    x = simulate(sim, lambda x, t: np.zeros(sim.nu), default_state(sim, scene_of(sim)), 1.0).x[-1]
    assert sim.contacts(x, np.zeros(sim.nu))
    plain = pixels(render_png(sim, x, tmp_path / "a.png", **SMALL))
    assert difference(plain, pixels(render_png(sim, x, tmp_path / "b.png", contacts=True, **SMALL))) > 0.0005


def test_same_state_same_bytes_and_the_model_stays(tmp_path):
    from sims import MujocoSimulator

    sim = MujocoSimulator(models.iiwa14)
    before = sim.describe()
    first = render_png(sim, np.zeros(14), tmp_path / "a.png", **SMALL).read_bytes()
    assert first == render_png(sim, np.zeros(14), tmp_path / "b.png", **SMALL).read_bytes()
    assert sim.describe() == before


def test_video_as_gif(tmp_path):
    sim, run = swing()
    with Image.open(record_video(sim, run, tmp_path / "a.gif", fps=10, **SMALL)) as film:
        assert film.size == (160, 120) and film.n_frames == 11
        first = np.asarray(film.convert("RGB")).astype(int)
        film.seek(8)
        assert difference(first, np.asarray(film.convert("RGB")).astype(int)) > 0.002


def test_video_as_mp4(tmp_path):
    """ffmpeg itself says what is in the file: H.264, as many pictures as asked for, and they differ."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="pip install imageio-ffmpeg")
    sim, run = swing()
    path = record_video(sim, run, tmp_path / "a.mp4", fps=10, rate=0.5, **{**SMALL, "width": 161})
    reader = imageio_ffmpeg.read_frames(str(path))
    facts = next(reader)
    frames = [np.frombuffer(f, np.uint8).reshape(120, 162, 3).astype(int) for f in reader]
    assert facts["codec"].startswith("h264") and facts["size"] == (162, 120) and facts["fps"] == 10
    assert len(frames) == 21  # one second at half speed
    assert difference(frames[0], frames[10]) > 0.002
    assert list(tmp_path.iterdir()) == [path]


def test_contact_sheet(tmp_path):
    sim, run = swing()
    picture = pixels(contact_sheet(sim, run, tmp_path / "a.png", n=5, columns=3, width=80, height=60))
    assert picture.shape == (120, 240, 3)
    assert (picture[60:, 160:] == 255).all()  # the sixth place stays empty
    assert difference(picture[:60, :80], picture[60:, 80:160]) > 0.005


def test_states_between_samples_are_on_the_manifold():
    from sims import MujocoSimulator

    sim = MujocoSimulator(models.quadrotor)
    x = np.zeros((3, sim.nx))
    x[:, 3] = [1.0, np.cos(0.5), np.cos(1.0)]
    x[:, 6] = [0.0, np.sin(0.5), np.sin(1.0)]  # one radian about z a step
    run = Trajectory(np.arange(3) * 0.1, x, np.zeros((2, sim.nu)))
    middle, _ = state_at(sim, run, 0.15)
    np.testing.assert_allclose(middle[3:7], [np.cos(0.75), 0, 0, np.sin(0.75)], atol=1e-12)
    np.testing.assert_array_equal(state_at(sim, run, 9.0)[0], state_at(sim, run, 0.2)[0])


def test_wrong_arguments_are_errors_and_write_nothing(tmp_path):
    sim, run = swing()
    with pytest.raises(ValueError, match=r"writes .mp4 or .gif, got 'a.avi'"):
        record_video(sim, run, tmp_path / "a.avi")
    with pytest.raises(ValueError, match="draws one state"):
        render_png(sim, np.zeros((2, 2)), tmp_path / "a.png")
    with pytest.raises(ValueError, match="shows one run"):
        record_video(sim, Trajectory(run.t, run.x[None], run.u[None]), tmp_path / "a.gif")
    with pytest.raises(ValueError, match="have no contacts"):
        render_png(sim, np.zeros(2), tmp_path / "a.png", contacts=True)
    with pytest.raises(ValueError, match="width and height"):
        render_png(sim, np.zeros(2), tmp_path / "a.png", width=0)
    with pytest.raises(ValueError, match="fps and rate"):
        record_video(sim, run, tmp_path / "a.gif", fps=0)
    with pytest.raises(RuntimeError, match="ffmpeg could not write"):
        if not shutil.which("ffmpeg"):
            pytest.skip("apt-get install ffmpeg")
        from sims.viewer.render import _mp4

        _mp4(iter([np.zeros((2, 2, 3), np.uint8)]), 10, (0, 0), "ffmpeg")
    assert not list(tmp_path.iterdir())


PICTURE = (
    "import sys, numpy as np; from sims import OdeSimulator, plants; from sims.viewer import render_png; "
    "render_png(OdeSimulator(plants.Pendulum(), dt=0.1), np.zeros(2), sys.argv[1], width=64, height=48)"
)


def python(code: str, *arguments, **environment) -> subprocess.CompletedProcess:
    import os

    clean = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "PYOPENGL_PLATFORM", "DISPLAY")}
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=clean | environment, capture_output=True, text=True)


def test_no_environment_variable_is_needed(tmp_path):
    done = python(PICTURE, tmp_path / "a.png")
    assert done.returncode == 0, done.stderr
    assert pixels(tmp_path / "a.png").shape == (48, 64, 3)


def test_without_opengl_the_error_is_one_line_with_the_fix(tmp_path):
    done = python(PICTURE, tmp_path / "a.png", MUJOCO_GL="off")
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("sims.errors.MissingDependency:") and "apt-get install libegl1" in last
    assert "MUJOCO_GL=egl" in last
    assert not list(tmp_path.iterdir())
