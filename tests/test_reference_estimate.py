"""The published reference numbers of estimation, robust LQR and identification, each within its own tolerance."""

import json
from pathlib import Path

import numpy as np
import pytest

from controllers.estimate import kalman
from controllers.identify import ho_kalman, markov_parameters
from controllers.lqr import dlqr
from controllers.robust import common_lyapunov, hinf_gamma, hinf_lqr, mrpi_support
from sims import plants
from sims.linearize import linearize

PUBLIC = json.loads((Path(__file__).parent / "reference" / "public.json").read_text())["entries"]
ENTRY = {entry["id"]: entry for entry in PUBLIC}


def agrees(name: str, value, wanted) -> None:
    np.testing.assert_allclose(value, wanted, rtol=0, atol=ENTRY[name]["tolerance"], err_msg=name)


def test_acrobot_kalman_gain():
    p = ENTRY["acrobot_kalman_gain"]["plant_parameters"]
    names = ("m1", "m2", "l1", "lc1", "lc2", "Ic1", "Ic2", "b1", "b2")
    plant = plants.Acrobot(**{name: p[name] for name in names}, g=p["gravity"])
    A, _ = linearize(plant, np.array([np.pi, 0, 0, 0]), np.zeros(1))
    L, P = kalman(A, np.eye(4)[:2], np.eye(4), 0.1 * np.eye(2))
    agrees("acrobot_kalman_gain", L, ENTRY["acrobot_kalman_gain"]["value"])
    np.testing.assert_allclose(L, 10 * P[:, :2], atol=1e-9)
    assert np.linalg.eigvals(A - L @ np.eye(4)[:2]).real.max() < 0


@pytest.mark.parametrize("gamma", [1.5, 2.0, 5.0])
def test_hinf_di(gamma):
    p = ENTRY["hinf_di"]["plant_parameters"]
    A, B = np.array(p["A"], float), np.array(p["B"], float)
    K, P = hinf_lqr(A, B, B, np.eye(2), [[p["R"]]], gamma)
    agrees("hinf_di", P, ENTRY["hinf_di"]["value"][f"gamma{gamma:g}"])
    agrees("hinf_di", K, B.T @ P)


def test_hinf_di_least_gamma():
    p = ENTRY["hinf_di"]["plant_parameters"]
    A, B = np.array(p["A"], float), np.array(p["B"], float)
    assert hinf_gamma(A, B, B, np.eye(2), np.eye(1)) == pytest.approx(p["min gamma"], rel=1e-4)


def test_tube_mrpi_support():
    p = ENTRY["tube_mrpi_support"]["plant_parameters"]
    A, B, K = (np.array(p[name], float) for name in "ABK")
    agrees("tube_mrpi_support", dlqr(A, B, np.eye(2), np.eye(1))[0], K)
    value = mrpi_support(A - B @ K, [0.1, 0.1], [[1, 0], [0, 1], [1, 1]])
    agrees("tube_mrpi_support", value, ENTRY["tube_mrpi_support"]["value"])


def test_common_lyapunov():
    p, value = ENTRY["common_lyapunov"]["plant_parameters"], ENTRY["common_lyapunov"]["value"]
    found = common_lyapunov([p["A1"], p["A2"]], margin=0.01)
    assert found.ok is value["ok"]
    agrees("common_lyapunov", found.P, value["P"])
    agrees("common_lyapunov", np.trace(found.P), value["tr"])


def test_ho_kalman():
    p, value = ENTRY["ho_kalman"]["plant_parameters"], ENTRY["ho_kalman"]["value"]
    markov = markov_parameters(p["A"], p["B"], p["C"], 10)
    agrees("ho_kalman", markov[1:7, 0, 0], value["markov"])
    model = ho_kalman(markov)
    agrees("ho_kalman", model.singular_values, value["sv"])
    agrees("ho_kalman", model.poles, value["poles"])
    again = markov_parameters(model.A, model.B, model.C, 30, D=model.D)
    np.testing.assert_allclose(again, markov_parameters(p["A"], p["B"], p["C"], 30), atol=1e-12)
