"""Plots: the picture is a picture, the CSV is the run, the numbers in the cost panel are the cost."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sims import OdeSimulator, Trajectory, plants, simulate
from sims.viewer import plot_run
from sims.viewer.plot import position_count

pytest.importorskip("matplotlib", reason="pip install matplotlib")
ROOT = Path(__file__).parent.parent


class Quadratic:
    """x'x per second and 10 x'x at the end."""

    def stage(self, x, u):
        return (x**2).sum(-1)

    def terminal(self, x):
        return 10.0 * (x**2).sum(-1)


def run_of(name: str, dt: float = 0.02):
    sim = OdeSimulator(plants.load(name)(), dt=dt)
    x0 = np.full(sim.nx, 0.1)
    return sim, simulate(sim, lambda x, t: np.full(sim.nu, 0.1 * np.sin(5 * t)), x0, 0.5)


@pytest.mark.parametrize("name", ["cartpole", "glider", "quadrotor", "van_der_pol"])
def test_the_picture_is_one_and_the_csv_is_the_run(name, tmp_path):
    from PIL import Image

    sim, run = run_of(name)
    png, table = plot_run(sim, run, tmp_path / "v1.2-run", cost=Quadratic())
    assert (png.name, table.name) == ("v1.2-run.png", "v1.2-run.csv")
    pixels = np.asarray(Image.open(png).convert("RGB"))
    assert pixels.shape[0] > 300 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    rows = list(csv.reader(table.open()))
    assert rows[0] == ["t", *sim.x_names, *sim.u_names]
    values = np.array([[float(v) for v in row[: 1 + sim.nx]] for row in rows[1:]])
    np.testing.assert_array_equal(values[:, 0], run.t)
    np.testing.assert_array_equal(values[:, 1:], run.x)
    inputs = np.array([[float(v) for v in row[1 + sim.nx :]] for row in rows[1:-1]])
    np.testing.assert_array_equal(inputs, run.u)


def test_same_run_same_bytes(tmp_path):
    sim, run = run_of("acrobot")
    first = [p.read_bytes() for p in plot_run(sim, run, tmp_path / "a")]
    assert first == [p.read_bytes() for p in plot_run(sim, run, tmp_path / "b")]


@pytest.mark.parametrize("name", ["pendulum", "quadruped"])
def test_positions_are_counted_on_the_manifold(name):
    pytest.importorskip("mujoco", reason="pip install mujoco")
    from sims import MujocoSimulator, models

    sim = MujocoSimulator(models.MODELS[name])
    assert position_count(sim) == sim.model.nq


def test_a_run_without_steps_and_one_that_diverged(tmp_path):
    sim, run = run_of("pendulum")
    plot_run(sim, Trajectory(run.t[:1], run.x[:1], run.u[:0]), tmp_path / "still", cost=Quadratic())
    plot_run(sim, Trajectory(run.t, run.x, run.u, "diverged", "diverged: a sentence"), tmp_path / "bad")


def test_wrong_runs_are_errors_and_write_nothing(tmp_path):
    sim, run = run_of("pendulum")
    with pytest.raises(ValueError, match="shows one run"):
        plot_run(sim, Trajectory(run.t, run.x[None], run.u[None]), tmp_path / "a")
    with pytest.raises(ValueError, match=r"has 3 states, the simulator 2 \(theta, theta_dot\)"):
        plot_run(sim, Trajectory(run.t, np.zeros((len(run.t), 3)), run.u), tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_no_global_state_of_pyplot(tmp_path):
    code = (
        "import sys; sys.path.insert(0, 'tests'); from test_plot import run_of; from sims.viewer import plot_run; "
        f"plot_run(*run_of('pendulum'), {str(tmp_path / 'a')!r}); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=ROOT)
