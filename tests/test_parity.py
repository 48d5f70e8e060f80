"""Every model of the suite is the same robot in MuJoCo, Drake and closed form; parity finds what is not."""

import json

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install mujoco")
pytest.importorskip("pydrake", reason="Drake is not installed: pip install drake")

from sims import plants  # noqa: E402
from sims.models import MODELS, PLANT_MODEL  # noqa: E402
from sims.parity import Report, Row, parity  # noqa: E402


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_parity(name):
    report = parity(name, n=20)
    assert report.ok, report.table()
    quantities = {row.quantity for row in report.rows}
    assert {
        "mass matrix",
        "bias forces",
        "gravity",
        "actuator map",
        "vdot (relative)",
        "one step",
        "body poses",
    } <= quantities


@pytest.mark.parametrize("plant, name", PLANT_MODEL.items())
def test_every_closed_form_with_a_model_takes_part(plant, name):
    report = parity(MODELS[name], n=3)
    rows = [row for row in report.rows if row.between == "mujoco closed form"]
    assert {"vdot (relative)", "one step", "linearize (relative)"} <= {row.quantity for row in rows}, plant


@pytest.mark.parametrize("name", ["cartpole", "double_pendulum"])
def test_five_second_rollout(name):
    report = parity(name, n=1, rollout=5.0)
    assert report.rows[-1].quantity == "5 s passive rollout"
    assert report.rows[-1].ok, report.table()


def test_a_wrong_closed_form_is_found_and_named():
    report = parity("acrobot", n=3, plant=plants.load("Acrobot")(Ic2=0.34))
    wrong = {row.quantity: row for row in report.rows if not row.ok}
    assert not report.ok and wrong["mass matrix"].error == pytest.approx(0.01)
    assert all(row.between == "mujoco closed form" for row in wrong.values())
    assert wrong["mass matrix"].where in ("theta1", "theta2") and "FAIL" in report.table()


def test_a_plant_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="different robots"):
        parity("acrobot", n=1, plant=plants.load("Pendulum")())
    with pytest.raises(ValueError, match="n must be at least 1"):
        parity("acrobot", n=0)


def test_same_seed_same_report():
    assert parity("iiwa14", n=2, seed=3) == parity("iiwa14", n=2, seed=3)


def test_report_is_json_and_not_a_number_is_not_ok():
    report = Report("x", 1, 0, (Row("one step", "mujoco drake", float("nan"), 1e-9, "elbow"),))
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert not report.ok and data["rows"][0] == {
        "quantity": "one step",
        "between": "mujoco drake",
        "error": None,
        "tolerance": 1e-9,
        "where": "elbow",
        "ok": False,
    }
    assert "elbow" in report.table()


def test_text_and_compiled_models_work_too():
    text = MODELS["pendulum"].read_text()
    for model in (text, mujoco.MjModel.from_xml_string(text), mujoco.MjSpec.from_string(text)):
        report = parity(model, n=2)
        assert report.ok and np.isfinite([row.error for row in report.rows]).all()
