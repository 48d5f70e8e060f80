"""The live viewer and the HTML film, the same laws over both canvases (Drake's Meshcat and the meshcat package)."""

import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from chromium import Chromium
from viewer_cases import SDF, arm_run, mujoco_sim, pendulum, swing

from sims import OdeSimulator, Trajectory, models, plants, simulate
from sims.errors import MissingDependency
from sims.viewer import (
    Film,
    ResetRequested,
    Scene,
    StopRequested,
    Viewer,
    record_html,
    run_live,
    scene_of,
)
from sims.viewer import geometry as g
from sims.viewer.canvas import CANVASES, open_canvas
from sims.viewer.coordinates import coordinates, default_state

ROOT = Path(__file__).parent.parent
NEEDS = {"drake": "pydrake", "meshcat": "meshcat"}


@pytest.fixture(params=sorted(NEEDS))
def canvas(request):
    """The name of a canvas whose package is installed."""
    pytest.importorskip(NEEDS[request.param], reason=f"pip install {request.param}")
    return request.param


# --- the film -------------------------------------------------------------------------------------------------------


def test_film_plays_offline_in_a_browser(canvas, tmp_path):
    """Opened from file:// with the network off: it asks for nothing, its pixels change, and no process stays."""
    film = record_html(pendulum(), swing(pendulum()), tmp_path / "a.html", canvas=canvas, title="a <pendulum>")
    with Chromium() as browser:
        browser.open(film.as_uri(), offline=True)
        browser.wait("viewer.animator.duration > 0 && viewer.animator.time > 0.05")
        before, first = browser.evaluate("viewer.animator.time"), browser.screenshot()
        browser.wait(f"Math.abs(viewer.animator.time - {before}) > 0.3")
        second = browser.screenshot()
        assert browser.left()  # so that the last line means something
        assert browser.evaluate("viewer.animator.duration") == pytest.approx(2.0, abs=0.05)
        assert "a <pendulum>\nt = " in browser.evaluate("document.body.innerText")
        assert not browser.errors
        assert all(url.startswith(("file:", "data:", "blob:")) for url in browser.requests), browser.requests
    picture = first[80:, :]  # below the clock
    changed = (np.abs(picture.astype(int) - second[80:].astype(int)).max(axis=-1) > 30).mean()
    assert changed > 0.002, f"only {changed:.2%} of the pixels changed"
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100  # not an empty page
    assert not browser.left()


def test_ten_seconds_of_an_arm_are_small(canvas, tmp_path):
    sim = mujoco_sim("iiwa14")
    film = record_html(sim, arm_run(sim, 10.0), tmp_path / "arm.html", canvas=canvas)
    assert film.stat().st_size < 20e6
    assert not [p for p in tmp_path.iterdir() if p != film]  # nothing half-written


def test_film_shows_contact_forces_of_both_engines(canvas):
    pytest.importorskip("pydrake", reason="pip install drake")
    from sims import DrakeSimulator

    film = Film(contacts=True, canvas=canvas, fps=20)
    for sim in (mujoco_sim("quadruped"), DrakeSimulator(models.quadruped)):
        scene = scene_of(sim)
        x = default_state(sim, scene)
        run = simulate(sim, lambda x, t, nu=sim.nu: np.zeros(nu), x, 0.4)
        film.add(sim, run, label=sim.backend, offset=(0, 2.0 * len(film.takes), 0), path_of=scene.bodies[0])
    page = film.html()
    assert page.rstrip().endswith("</html>") and "film-time" in page


def test_film_says_what_is_wrong(tmp_path):
    sim = pendulum()
    run = swing(sim)
    path = tmp_path / "film.html"
    path.write_text("old")
    with pytest.raises(ValueError, match="no run in it"):
        Film().save(path)
    with pytest.raises(ValueError, match=r"has 3 states, the simulator 2"):
        record_html(sim, Trajectory(run.t, np.zeros((len(run.t), 3)), run.u), path)
    with pytest.raises(ValueError, match="not finite"):
        record_html(sim, Trajectory(run.t, run.x * np.nan, run.u), path)
    with pytest.raises(ValueError, match="closed-form plants have no contacts"):
        record_html(sim, run, path, contacts=True)
    with pytest.raises(ValueError, match=r"unknown body 'foot'.*arm"):
        record_html(sim, run, path, path_of="foot")
    with pytest.raises(ValueError, match="unknown canvas 'vtk'"):
        record_html(sim, run, path, canvas="vtk")
    assert path.read_text() == "old"


@pytest.mark.parametrize("dt", [1e-3, 0.1])
def test_film_has_no_more_key_frames_than_the_run_or_the_clock(dt):
    sim = pendulum(dt)
    film = Film(fps=30).add(sim, swing(sim, 2.0))
    keys = film._keys()
    assert keys[0] == 0 and keys[-1] == 60 and len(keys) == min(61, round(2.0 / dt) + 1)


def test_a_batch_is_drawn_in_one_place():
    sim = pendulum()
    run = simulate(sim, lambda x, t: np.zeros((3, 1)), np.array([[1.0, 0], [2.0, 0], [3.0, 0]]), 0.5)
    assert len(Film().add(sim, run, label="three").takes) == 3


# --- live -----------------------------------------------------------------------------------------------------------


def reachable(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2.0)
        return probe.connect_ex((address, port)) == 0


def other_address() -> str | None:
    """An address of this machine that is not the loopback; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = probe.getsockname()[0]
    return None if address.startswith("127.") else address


def native_threads() -> int:
    """How many threads the system counts in this process; 0 where it does not say."""
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0


def test_server_is_for_this_machine_only_and_leaves_nothing(canvas):
    Viewer(pendulum(), port=0, canvas=canvas).close()  # libraries start threads of their own when first used
    before, native = set(threading.enumerate()), native_threads()
    viewer = Viewer(pendulum(), port=0, canvas=canvas)
    port = viewer.canvas.port
    assert viewer.url == f"http://127.0.0.1:{port}" and reachable("127.0.0.1", port)
    outside = other_address()
    if outside:
        assert not reachable(outside, port)
    viewer.close()
    viewer.close()
    assert not reachable("127.0.0.1", port)
    assert set(threading.enumerate()) == before
    end = time.monotonic() + 5.0  # the system's thread ends a moment after Python's has been joined
    while native_threads() > native and time.monotonic() < end:
        time.sleep(0.01)
    assert native_threads() <= native
    with pytest.raises(RuntimeError, match="viewer is closed"):
        viewer.show(np.zeros(2))


def test_a_taken_port_is_an_error_and_none_finds_another(canvas):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}.*another port"):
            open_canvas(canvas, port=port)
    with Viewer(pendulum(), canvas=canvas) as a, Viewer(pendulum(), canvas=canvas) as b:
        assert a.canvas.port != b.canvas.port and a.canvas.port >= 7000


def test_sliders_and_buttons_in_python(canvas):
    with Viewer(pendulum(), port=0, canvas=canvas) as viewer:
        gain = viewer.slider("gain", 0.0, 10.0, 2.5)
        assert gain.value == pytest.approx(2.5, abs=0.01)
        gain.value = 20.0
        assert gain.value == pytest.approx(10.0)
        assert not viewer.button("kick", "KeyK").pressed()
        with pytest.raises(ValueError, match="low must be less than high"):
            viewer.slider("bad", 1.0, 1.0, 1.0)
        with pytest.raises(ValueError, match=r"unknown button 'pase'. Did you mean 'pause'"):
            viewer.run_buttons("pase")
        with pytest.raises(ValueError, match=r"show draws one state"):
            viewer.show(np.zeros((3, 2)))
        with pytest.raises(ValueError, match="unknown body"):
            viewer.triad("t", body="nobody")


def control(name: str) -> str:
    return f"viewer.gui_controllers[{name!r}]"


def test_a_browser_sees_the_scene_and_its_controls_reach_python(canvas):
    """The live page: what was drawn before and after it connected is there; a slider, a button and a key come back."""
    with Viewer(pendulum(), port=0, canvas=canvas) as viewer, Chromium() as browser:
        gain, kick = viewer.slider("gain", 0.0, 10.0, 2.5), viewer.button("kick", "KeyK")
        viewer.triad("base", length=0.3)
        viewer.triad("tip", g.pose((0, 0, -0.5)), body="arm")
        viewer.path("plan", np.array([[0, 0, 0], [0.5, 0, 0.5], [1, 0, 0]]))
        browser.open(viewer.url)
        browser.wait("'gain' in viewer.gui_controllers && 'kick' in viewer.gui_controllers")
        assert viewer.canvas.browsers() == 1
        first = browser.screenshot()
        viewer.show([np.pi / 2, 0.0], t=1.5)
        browser.run(f"{control('gain')}.setValue(7.5)")
        browser.run(f"{control('kick')}.getValue()()")
        browser.run("window.dispatchEvent(new KeyboardEvent('keydown', {code: 'KeyK'}))")
        end = time.monotonic() + 10
        while (gain.value < 7 or viewer.canvas.clicks("kick") < 2) and time.monotonic() < end:
            time.sleep(0.02)
        assert gain.value == pytest.approx(7.5) and viewer.canvas.clicks("kick") == 2
        assert kick.pressed() and not kick.pressed()
        gain.value = 3.0
        browser.wait(f"Math.abs({control('gain')}.getValue() - 3) < 1e-9")
        second = browser.screenshot()
        viewer.canvas.remove_controls()
        browser.wait("!('gain' in viewer.gui_controllers) && !('kick' in viewer.gui_controllers)")
        assert not browser.errors
    assert (np.abs(first.astype(int) - second.astype(int)).max(axis=-1) > 30).mean() > 0.002


def test_monitor_keeps_real_time_and_does_not_change_the_run(canvas):
    sim = pendulum()
    plain = swing(sim, 0.5)
    with Viewer(sim, port=0, canvas=canvas) as viewer:
        viewer.rate = 2.0
        start = time.monotonic()
        watched = simulate(sim, lambda x, t: np.zeros(1), np.array([2.0, 0.0]), 0.5, monitor=viewer.monitor)
        elapsed = time.monotonic() - start
    np.testing.assert_array_equal(plain.x, watched.x)
    assert elapsed > 0.2  # half a second at twice real time, but for the last picture


def test_pause_reset_and_stop(monkeypatch):
    """Clicks as a browser sends them, one after the other."""
    pytest.importorskip("meshcat", reason="pip install meshcat")
    sim = pendulum()
    with Viewer(sim, port=0, canvas="meshcat") as viewer:
        viewer.run_buttons("pause", "reset", "stop")

        def press(name):
            viewer.canvas._hear({"type": "button", "name": name})

        press("reset")
        with pytest.raises(ResetRequested):
            viewer.monitor(0.0, np.zeros(2), np.zeros(1))
        press("pause")
        threading.Timer(0.15, press, ["pause"]).start()
        start = time.monotonic()
        viewer.monitor(1.0, np.zeros(2), np.zeros(1))
        assert time.monotonic() - start > 0.1
        press("pause")
        press("stop")
        with pytest.raises(StopRequested):
            viewer.monitor(2.0, np.zeros(2), np.zeros(1))


def test_run_live_ends_resets_and_returns_the_run():
    pytest.importorskip("meshcat", reason="pip install meshcat")
    sim, starts = pendulum(), []

    def policy(x, t):
        if t == 0.0:
            starts.append(x.copy())
        return np.zeros(1)

    with Viewer(sim, port=0, canvas="meshcat", fps=50) as viewer:
        threading.Timer(0.1, viewer.canvas._hear, [{"type": "button", "name": "reset"}]).start()
        run = run_live(sim, policy, [1.0, 0.0], viewer=viewer, duration=0.4, rate=2.0)
        assert len(starts) >= 2 and len(run) == 40 and run.t[-1] == pytest.approx(0.4)
        np.testing.assert_allclose(run.x, simulate(sim, policy, np.array([1.0, 0.0]), 0.4).x, atol=1e-12)
        short = run_live(sim, policy, [1.0, 0.0], viewer=viewer, duration=0.6, rate=4.0, history=0.2)
        assert short.t[-1] == pytest.approx(0.6) and 0.2 <= short.t[-1] - short.t[0] < 0.3


def test_play_and_teleop(canvas, monkeypatch):
    sim = mujoco_sim("iiwa14")
    with Viewer(sim, port=0, canvas=canvas) as viewer:
        viewer.play(arm_run(sim, 0.3), rate=3.0)
        names = [c.name for c in viewer.coordinates()]
        assert len(names) == 7
        monkeypatch.setattr("sims.viewer.live.time.sleep", lambda _: viewer.canvas.set_slider(names[3], 1.25))
        x = viewer.teleop(duration=0.2)
    assert x[3] == pytest.approx(1.25, abs=0.01) and not x[[0, 1, 2, 4, 5, 6]].any()


def test_coordinates_of_a_free_joint_turn_it():
    sim = mujoco_sim("quadruped")
    scene = scene_of(sim)
    by_name = {c.name.split()[-1]: c for c in coordinates(sim, scene)[:6]}
    assert set(by_name) == {"x", "y", "z", "roll", "pitch", "yaw"}
    x = default_state(sim, scene)
    by_name["x"].set(x, 0.5)
    by_name["yaw"].set(x, 0.7)
    X = scene.poses(x)[0]
    np.testing.assert_allclose(X[:3, :3], g.rotation("z", 0.7), atol=1e-12)
    assert X[0, 3] == pytest.approx(0.5) and by_name["yaw"].value(x) == pytest.approx(0.7)


# --- doors ----------------------------------------------------------------------------------------------------------


def test_import_is_light():
    code = (
        "import sys, sims.viewer; "
        "assert not {'mujoco', 'pydrake', 'meshcat', 'matplotlib', 'scipy', 'tornado'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=ROOT)


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch):
    found = importlib.util.find_spec
    for kind, gone, line in (("drake", "pydrake", "pip install drake"), ("meshcat", "meshcat", "pip install meshcat")):
        monkeypatch.setattr("sims.viewer.canvas.find_spec", lambda n, gone=gone: None if n == gone else found(n))
        with pytest.raises(MissingDependency, match=line):
            open_canvas(kind, port=0)
    assert set(CANVASES) == {"auto", *NEEDS}


@pytest.mark.parametrize("gone", ["mujoco", "pydrake"])
def test_one_engine_is_enough(gone, tmp_path):
    """Films with MuJoCo, or Drake, not installed: the plants, and the other engine's robots."""
    other = {"mujoco": "pydrake", "pydrake": "mujoco"}[gone]
    for package in (other, "meshcat"):
        pytest.importorskip(package, reason=f"pip install {package}")
    robot = {"mujoco": "DrakeSimulator(sys.argv[2])", "pydrake": "MujocoSimulator(models.acrobot)"}[gone]
    code = f"""if True:
        import sys
        sys.modules[{gone!r}] = None  # as if it were not installed
        import numpy as np
        from sims import DrakeSimulator, MujocoSimulator, OdeSimulator, Trajectory, models, plants
        from sims.viewer import record_html
        for i, sim in enumerate([OdeSimulator(plants.CartPole(), dt=0.1), {robot}]):
            x = np.zeros((3, sim.nx))
            x[:, [j for j, name in enumerate(sim.x_names) if name.endswith("qw")]] = 1.0
            record_html(sim, Trajectory(np.arange(3) * 0.1, x, np.zeros((2, sim.nu))), f"{{sys.argv[1]}}/{{i}}.html")
    """.replace("DrakeSimulator, MujocoSimulator,", robot.split("(")[0] + ",")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path), SDF], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for i in range(2):
        made_by_drake = "Drake MeshCat" in (tmp_path / f"{i}.html").read_text()
        assert made_by_drake == (gone != "pydrake")


def test_without_mujoco_plants_are_sketched(monkeypatch):
    monkeypatch.setattr("sims.viewer.sketch.find_spec", lambda name: None)
    scene = scene_of(pendulum())
    assert isinstance(scene, Scene) and scene.model is None and "link1" in scene.bodies


@pytest.mark.parametrize("canvas", ["drake", "meshcat"])
def test_what_a_viewer_cannot_do_is_a_value_error(canvas):
    pytest.importorskip("pydrake" if canvas == "drake" else "meshcat", reason=f"{canvas} is not installed")
    sim = OdeSimulator(plants.Pendulum(), dt=0.01)
    run = sim.rollout([0.1, 0.0], np.zeros((2, 1)))
    for settings in ({"port": -1}, {"port": 80}, {"port": 99999}, {"fps": 0.0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            Viewer(sim, canvas=canvas, **settings)
    with Viewer(sim, canvas=canvas, port=0) as viewer:
        for points in (np.zeros(3), np.zeros((4, 2)), np.full((4, 3), np.nan)):
            with pytest.raises(ValueError, match="path"):
                viewer.path("plan", points)
        with pytest.raises(ValueError, match="rate"):
            viewer.play(run, rate=0.0)
