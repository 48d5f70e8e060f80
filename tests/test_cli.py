"""The command line: help, JSON, exit codes, run folders that reproduce, and errors without a traceback."""

import json
import subprocess
import sys

import numpy as np
import pytest

from robotics import runs
from robotics.cli.main import COMMANDS, main
from robotics.registry import TASKS, names
from sims.build import build
from sims.ode import OdeSimulator
from sims.plants.van_der_pol import VanDerPol
from sims.trajectory import Trajectory

PACKAGE = {"mujoco": "mujoco", "drake": "pydrake"}


def need(backend: str) -> None:
    if backend in PACKAGE:
        pytest.importorskip(PACKAGE[backend], reason=f"{backend} is not installed")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def swingup(here, capsys):
    """swingup("list", "--json") -> (exit code, stdout, stderr)."""

    def call(*arguments):
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as stop:  # argparse ends the process itself
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def strict(text: str) -> dict:
    """JSON without NaN or Infinity."""
    return json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} in JSON"))


@pytest.mark.parametrize("command", [(), *((c,) for c in COMMANDS)])
def test_help(swingup, command):
    code, out, _ = swingup(*command, "--help")
    assert code == 0 and "usage: swingup" in out
    if not command:
        assert all(c in out for c in COMMANDS) and "exit codes" in out


def test_list_names_every_task_and_model(swingup):
    code, out, _ = swingup("list")
    assert code == 0 and all(name in out for name in names()) and "acrobot" in out
    data = strict(swingup("list", "--json")[1])
    assert [t["name"] for t in data["tasks"]] == list(names()) and "iiwa14" in data["models"]
    assert set(strict(swingup("list", "models", "--json")[1])) == {"models"}


@pytest.mark.parametrize("backend", ["ode", "mujoco", "drake"])
def test_run_folder_is_complete_and_reproduces_bit_by_bit(swingup, here, backend):
    need(backend)
    code, out, _ = swingup("run", "pendulum", "--controller", "random", "--sim", backend, "--duration", 1, "--json")
    data = strict(out)
    folder = here / data["folder"]
    assert code == 0 and folder.parent.name == "runs"
    assert {p.name for p in folder.iterdir()} == {"config.json", "summary.json", "trajectory.npz"}
    config = strict((folder / "config.json").read_text().replace("Infinity", "1e999"))
    assert config["seed"] == 0 and config["versions"]["numpy"] == np.__version__ and config["dt"] == 0.005
    assert build(config["simulator"]).describe() == config["simulator"]
    again = strict(swingup("run", "--config", folder / "config.json", "--out", here / "again", "--json")[1])
    assert again["reproduced"] is True
    for name in ("trajectory.npz", "config.json", "summary.json"):
        assert (here / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_run_that_does_not_reproduce_says_where_and_fails(swingup, here):
    swingup("run", "dubins", "--duration", 1, "--out", "first")
    run = Trajectory.load("first/trajectory.npz")
    run.x[30, 2] += 1e-15
    run.save("first/trajectory.npz")
    code, out, _ = swingup("run", "--config", "first", "--out", "second")
    assert code == 1 and "'heading' at step 30" in out


def test_run_start_seed_dt_and_duration_are_obeyed(swingup, here):
    arguments = ("--start", "theta=1.5", "--start", "theta_dot=-2", "--dt", 0.01, "--duration", 0.5, "--seed", 3)
    assert swingup("run", "pendulum", "--controller", "zero", *arguments, "--out", "r")[0] == 0
    run = Trajectory.load("r/trajectory.npz")
    assert run.x[0].tolist() == [1.5, -2.0] and run.t[-1] == pytest.approx(0.5) and len(run) == 50
    assert runs.load_config("r").seed == 3


def test_a_run_folder_in_use_is_not_touched(swingup, here):
    (here / "taken").mkdir()
    (here / "taken" / "thesis.txt").write_text("mine")
    code, _, err = swingup("run", "dubins", "--duration", 1, "--out", "taken")
    assert code == 2 and "taken" in err and [p.name for p in (here / "taken").iterdir()] == ["thesis.txt"]


def test_nothing_half_is_written_when_writing_fails(here, monkeypatch):
    made = runs.execute(runs.resolve("dubins", duration=0.1))
    monkeypatch.setattr(Trajectory, "save", lambda self, path: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        runs.write(made, here / "folder")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "acrobat"), ("unknown task", "Did you mean 'acrobot'", "pendulum")),
        (("eval", "acrobat"), ("unknown task", "Did you mean 'acrobot'")),
        (("regress", "acrobat", "--golden", "."), ("unknown task", "Did you mean 'acrobot'")),
        (("run", "pendulum", "--controller", "swingup"), ("unknown controller", "Did you mean 'swing_up'", "zero")),
        (("eval", "dubins", "--controller", "lin"), ("unknown controller", "Did you mean 'line'")),
        (("run", "pendulum", "--controller", "zero", "--start", "tetha=1"), ("Did you mean 'theta'", "theta_dot")),
        (("run", "pendulum", "--start", "theta"), ("NAME=VALUE",)),
        (("run", "pendulum", "--start", "theta=nan"), ("finite", "theta")),
        (("run", "dubins", "--sim", "mujoco"), ("unknown backend", "ode")),
        (("run", "dubins", "--sim", "gazebo"), ("gazebo", "ode")),
        (("run", "dubins", "--dt", "-1"), ("positive",)),
        (("run", "dubins", "--config", "x.json"), ("leave out task",)),
        (("run",), ("name a task", "pendulum")),
        (("run", "--config", "no.json"), ("no.json",)),
        (("eval", "dubins", "-n", "0"), ("at least 1",)),
        (("regress",), ("tests/golden", "--golden")),
        (("replay", "no.json"), ("no.json",)),
        (("frobnicate",), ("frobnicate", "demo")),
        ((), ("COMMAND",)),
    ],
)
def test_wrong_input_is_exit_code_2_and_one_clear_message(swingup, here, arguments, words):
    code, _, err = swingup(*arguments)
    assert code == 2 and "Traceback" not in err
    assert all(word in err for word in words), err
    assert not list(here.iterdir())


@pytest.mark.parametrize("model", ["acrobat", "no/such.xml"])
def test_unknown_models_are_exit_code_2(swingup, model):
    pytest.importorskip("sims.parity", reason="parity is not there")
    code, _, err = swingup("parity", model)
    assert (code == 2 and "acrobot" in err) or model in err


def test_errors_are_json_too(swingup):
    code, out, err = swingup("run", "acrobat", "--json")
    data = strict(out)
    assert code == 2 == data["exit_code"] and "acrobot" in data["error"] and err == ""


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"task": "dubins", "colour": 1}', '{"backend": "ode", "simulator": {}}']
)
@pytest.mark.parametrize("command", [("run", "--config"), ("replay",)])
def test_broken_files_are_exit_code_2(swingup, here, content, command):
    (here / "file.json").write_text(content)
    code, _, err = swingup(*command, "file.json")
    assert code == 2 and "file.json" in err and "Traceback" not in err


def explode():
    """A task for the registry that diverges: van der Pol with negative mu, far outside its (now unstable) cycle."""
    from dataclasses import replace

    from robotics.registry import make

    def factory(dt):
        return OdeSimulator(VanDerPol(mu=-1.0), dt=dt)

    return replace(
        make("van_der_pol"), name="explode", simulators={"ode": factory}, start=lambda rng: np.array([9.0, 9.0])
    )


def test_divergence_leaves_a_bundle_that_replays(swingup, here, monkeypatch):
    monkeypatch.setitem(TASKS, "explode", "tests_explode:explode")
    monkeypatch.setitem(sys.modules, "tests_explode", sys.modules[__name__])
    code, out, _ = swingup("run", "explode", "--controller", "zero", "--seed", 4, "--out", "bad")
    assert code == 1 and "diverged" in out and "swingup replay" in out
    bundle = strict((here / "bad" / "failure.json").read_text().replace("Infinity", "1e999"))
    assert bundle["seed"] == 4 and np.isfinite(bundle["x"]).all()
    code, out, _ = swingup("replay", "bad/failure.json", "--json")
    data = strict(out)
    assert code == 0 and data["reproduced"] and data["where"] == data["recorded"] == bundle["where"]
    summary = strict((here / "bad" / "summary.json").read_text())
    assert summary["status"] == "diverged" and summary["cost"] is None and not summary["success"]


def test_replay_notices_a_step_that_is_fine(swingup, here, monkeypatch):
    test_divergence_leaves_a_bundle_that_replays(swingup, here, monkeypatch)
    bundle = json.loads((here / "bad" / "failure.json").read_text())
    bundle["x"] = [0.0, 0.0]
    (here / "fine.json").write_text(json.dumps(bundle))
    code, out, _ = swingup("replay", "fine.json")
    assert code == 1 and "NOT the same" in out


def test_replay_of_a_policy_that_returned_nan(swingup, here):
    sim = OdeSimulator(VanDerPol(), dt=0.1)
    run = sim.closed_loop(lambda x, t: np.array([np.nan if t > 0.15 else 0.0]), np.array([1.0, 0.0]), 5)
    run.failure.save("nan.json")
    code, out, _ = swingup("replay", "nan.json", "--json")
    data = strict(out)
    assert code == 0 and data["where"] == "force" and data["u"] == [None]


def test_eval_counts_and_one_episode_replays(swingup):
    code, out, _ = swingup("eval", "dubins", "-n", 5, "--json", "--seed", 2)
    data = strict(out)
    assert code == 0 and data["n"] == 5 and len(data["interval"]) == 2
    one = data["episodes"][3]
    alone = strict(swingup("eval", "dubins", "--episode", one["seed"], "--json")[1])
    assert (alone["cost"], alone["success"]) == (one["cost"], one["success"])
    assert swingup("eval", "dubins", "-n", 3, "--controller", "zero", "--at-least", 3)[0] == 1


def test_require_success(swingup):
    assert swingup("run", "dubins", "--controller", "zero", "--out", "a")[0] == 0
    assert swingup("run", "dubins", "--controller", "zero", "--out", "b", "--require-success")[0] == 1
    assert swingup("run", "dubins", "--out", "c", "--require-success")[0] == 0


def test_regress_writes_compares_and_notices(swingup, here):
    assert swingup("regress", "dubins", "--golden", "g", "--update")[0] == 0
    assert swingup("regress", "dubins", "--golden", "g")[0] == 0
    path = here / "g" / "dubins.ode.json"
    data = json.loads(path.read_text())
    data["u"][4][0] += 1e-3
    path.write_text(json.dumps(data))
    code, out, _ = swingup("regress", "dubins", "--golden", "g")
    assert code == 1 and "'turn_rate'" in out and "0 of 1" in out
    code, out, _ = swingup("regress", "dubins", "--golden", "g", "--json")
    assert code == 1 and strict(out)["checks"][0]["signal"] == "turn_rate"


def test_progress_is_quiet_where_nobody_looks(swingup):
    _, out, err = swingup("eval", "dubins", "-n", 3)
    assert err == "" and "\x1b" not in out and "\r" not in out


def test_html_plot_and_summary_files(swingup, here):
    pytest.importorskip("meshcat", reason="meshcat is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    arguments = ("--controller", "zero", "--duration", 1, "--html", "film.html", "--plot", "--out", "r")
    code, out, _ = swingup("run", "pendulum", *arguments)
    assert code == 0 and "film.html" in out and (here / "film.html").stat().st_size > 1e5
    written = {p.suffix for p in (here / "r").iterdir()}
    assert {".png", ".csv"} <= written


def test_a_missing_package_is_exit_code_3_and_one_line():
    """In a process where MuJoCo cannot be imported."""
    code = (
        "import sys; sys.modules['mujoco'] = None\n"
        "from robotics.cli.main import main\n"
        "sys.exit(main(['run', 'pendulum', '--sim', 'mujoco']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 3 and "pip install mujoco" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_doctor_reports_versions_and_checks(swingup):
    code, out, _ = swingup("doctor", "--json")
    data = strict(out)
    assert code == (3 if data["missing"] else 0) and data["versions"]["numpy"] == np.__version__
    assert {"GL egl", "GL osmesa", "chromium", "MuJoCo steps", "Drake steps"} <= {c["name"] for c in data["checks"]}
    assert all(c["ok"] or c["fix"] for c in data["checks"])


@pytest.mark.slow
def test_parity_of_a_model(swingup):
    for package in PACKAGE.values():
        pytest.importorskip(package, reason=f"{package} is not installed")
    code, out, _ = swingup("parity", "pendulum", "--json")
    assert code == 0 and strict(out)


@pytest.mark.parametrize(
    "arguments", [("run", "--dt", "x"), ("eval",), ("nosuch",), ("parity", "pendulum", "--rollout", "nan")]
)
def test_what_argparse_refuses_is_json_too(swingup, arguments):
    code, out, err = swingup(*arguments, "--json")
    assert code == 2 and json.loads(out)["exit_code"] == 2 and json.loads(out)["error"] and not err


def test_a_run_that_could_not_be_kept_is_not_made(swingup, here, monkeypatch):
    (here / "taken").mkdir()
    (here / "taken" / "file").touch()
    monkeypatch.setattr(runs, "execute", None)
    assert swingup("run", "pendulum", "--out", "taken")[0] == 2
    assert swingup("run", "pendulum", "--video", "film.avi", "--out", "free")[0] == 2
    assert not (here / "free").exists()


def test_a_closed_stdout_is_no_error(here):
    start = "import sys; sys.stdout = None; from robotics.cli.main import main; sys.exit(main(['list']))"
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr


def test_a_diverging_run_has_one_message_and_no_warnings(here):
    arguments = ["run", "pendulum", "--start", "theta_dot=1e308", "--out", "far"]
    start = f"import sys; from robotics.cli.main import main; sys.exit(main({arguments!r}))"
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "diverged" in done.stdout and "Warning" not in done.stderr
