"""The main job: acrobot and cart-pole swing up and balance in every engine, and the engines agree."""

import json
from pathlib import Path

import pytest

from robotics.demo import DURATION, SYSTEMS, demo

BACKENDS = ("ode", "mujoco", "drake")


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    for package in ("mujoco", "pydrake", "matplotlib"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    return demo(tmp_path_factory.mktemp("demo"), workers=2)


@pytest.mark.slow
def test_every_plant_is_upright_in_every_engine(shown):
    assert [(row.system, row.backend) for row in shown.rows] == [(s, b) for s in SYSTEMS for b in BACKENDS]
    assert shown.ok and all(row.reached < 12.0 and row.cost > 0 and row.effort > 0 for row in shown.rows)


@pytest.mark.slow
def test_engines_agree_over_the_whole_run(shown):
    """RK4 at 1 ms in closed form and MuJoCo, Drake error-controlled to 1e-10: a second program of the same physics."""
    assert all(row.difference < {"mujoco": 1e-9, "drake": 1e-6}[row.backend] for row in shown.rows if row.difference)
    assert all(run.t[-1] == pytest.approx(DURATION) for run in shown.trajectories.values())


@pytest.mark.slow
def test_it_is_quick_and_leaves_a_film_a_picture_and_a_table(shown):
    film, picture = (Path(path).read_bytes() for path in shown.files)
    assert shown.seconds < 60.0
    assert b"<html" in film[:2000].lower() and 1e5 < len(film) < 20e6
    assert picture.startswith(b"\x89PNG") and len(picture) > 2e4
    text = shown.text()
    assert all(word in text for word in ("acrobot", "cartpole", "closed form", "MuJoCo", "Drake", "upright"))
    assert json.loads(json.dumps(shown.to_dict(), allow_nan=False))["ok"]


def test_one_engine_alone(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    shown = demo(tmp_path, backends=("ode",), workers=1)
    assert shown.ok and [row.difference for row in shown.rows] == [None, None]
