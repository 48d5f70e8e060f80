"""`swingup plan`: folder, JSON, exit codes, a line per engine, and errors that name what there is."""

import json

import numpy as np
import pytest

from robotics.cli.main import main
from robotics.planning import registry
from sims.trajectory import Trajectory


@pytest.fixture
def swingup(tmp_path, monkeypatch, capsys):
    """swingup("plan", "pendulum") -> (exit code, stdout, stderr), in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.slow
def test_a_plan_is_kept_pictured_and_tracked_in_every_engine(swingup, tmp_path):
    pytest.importorskip("mujoco")
    pytest.importorskip("pydrake")
    code, out, _ = swingup("plan", "pendulum", "--out", "here", "--seed", 1, "--html", "film.html")
    assert code == 0 and "converged" in out and "cost" in out and "iterations" in out and "defect" in out
    for backend in ("ode", "mujoco", "drake"):
        line = next(line for line in out.splitlines() if line.startswith(f"tracked in {backend}: "))
        assert "at the goal, final error theta" in line and "NOT" not in line
    assert {p.name for p in (tmp_path / "here").iterdir()} == {"trajectory.npz", "plan.json", "plan.png"}
    run = Trajectory.load(tmp_path / "here" / "trajectory.npz")
    wanted = registry.make("pendulum").solve(seed=1).trajectory
    np.testing.assert_array_equal(run.x, wanted.x)
    assert "<html" in (tmp_path / "film.html").read_text()[:1000].lower()
    again = swingup("plan", "pendulum", "--out", "here")
    assert again[0] == 2 and "not empty" in again[2]


def test_json_of_a_plan_and_the_list(swingup):
    pytest.importorskip("casadi", reason="collocation needs CasADi: pip install casadi")
    code, out, _ = swingup("plan", "dubins", "--planner", "collocation", "--json")
    data = json.loads(out, parse_constant=lambda c: pytest.fail(f"{c} in JSON"))
    assert code == 0 and data["status"] == "converged" and data["tracked"][0]["reached"] is True
    assert data["planner"] == "collocation" and data["iterations"] > 0 and len(data["files"]) == 3
    listed = json.loads(swingup("plan", "--json")[1])["problems"]
    assert [p["name"] for p in listed] == list(registry.names())


def test_exit_code_1_if_it_did_not_converge(swingup, monkeypatch):
    from robotics.planning import methods, swing_up

    def hurried(problem, seed):
        planner, guess = methods.ilqr()(problem, seed)
        planner.iterations = 2
        return planner, guess

    monkeypatch.setattr(swing_up, "ilqr", lambda **_: hurried)
    code, out, _ = swingup("plan", "pendulum", "--json")
    data = json.loads(out)
    assert code == 1 and data["status"] == "iteration_limit" and data["tracked"] == [] and len(data["files"]) == 3


def test_unknown_names_are_one_clear_error(swingup, tmp_path):
    code, out, err = swingup("plan", "pendulm")
    assert code == 2 and not out and "pendulm" in err and "cartpole" in err and "Traceback" not in err
    code, _, err = swingup("plan", "pendulum", "--planner", "magic")
    assert code == 2 and "magic" in err and "collocation, ilqr" in err
    assert not list(tmp_path.iterdir())
