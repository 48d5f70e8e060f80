"""The published reference numbers of LQR, linearisation and flatness, each within its own tolerance."""

import json
from pathlib import Path

import numpy as np
import pytest

from controllers import (
    constrained_dlqr,
    controllability_matrix,
    dlqr,
    finite_horizon_lqr,
    lqr,
    planar_quadrotor_flat,
)
from controllers.manifold_lqr import impose, position_and_velocity, tangent_basis
from controllers.reference import Sinusoid
from sims import plants
from sims.linearize import linearize

PUBLIC = json.loads((Path(__file__).parent / "reference" / "public.json").read_text())["entries"]
ENTRY = {entry["id"]: entry for entry in PUBLIC}


def check(name: str, **computed):
    entry = ENTRY[name]
    for key, value in computed.items():
        np.testing.assert_allclose(
            value, entry["value"][key], rtol=0, atol=entry["tolerance"], err_msg=f"{name}: {key}"
        )


def matrices(name: str):
    p = ENTRY[name]["plant_parameters"]
    return np.array(p["A"], float), np.array(p["B"], float)


def acrobot() -> plants.Acrobot:
    p = ENTRY["acrobot_linearization"]["plant_parameters"]
    names = ("m1", "m2", "l1", "lc1", "lc2", "Ic1", "Ic2", "b1", "b2")
    return plants.Acrobot(**{name: p[name] for name in names}, g=p["gravity"])


def test_lqr_di_ct():
    K, S = lqr(*matrices("lqr_di_ct"), np.eye(2), np.eye(1))
    check("lqr_di_ct", K=K, S=S, eigS=np.linalg.eigvalsh(S))


def test_lqr_di_dt_h1():
    K, S = dlqr(*matrices("lqr_di_dt_h1"), np.eye(2), np.eye(1))
    check("lqr_di_dt_h1", K=K, S=S)


def test_cartpole_lqr():
    p = ENTRY["cartpole_lqr"]["plant_parameters"]
    plant = plants.CartPole(mc=p["mc"], mp=p["mp"], l=p["l"], g=p["g"])
    A, B = linearize(plant, np.array([0, np.pi, 0, 0]), np.zeros(1))
    K, S = lqr(A, B, np.diag(p["Q"]), [[p["R"]]])
    poles = np.linalg.eigvals(A - B @ K)
    assert np.abs(poles.imag).max() < 2
    check("cartpole_lqr", K=K, S=S, cl_poles=np.sort(poles.real))


def test_pendulum_lqr():
    p = ENTRY["pendulum_lqr"]["plant_parameters"]
    plant = plants.Pendulum(m=p["m"], l=p["l"], b=p["b"], g=p["g"])
    K, S = lqr(*linearize(plant, np.array([np.pi, 0.0]), np.zeros(1)), np.diag(p["Q"]), [[p["R"]]])
    check("pendulum_lqr", K=K, S=S)


def test_quad2d_lqr():
    p = ENTRY["quad2d_lqr"]["plant_parameters"]
    plant = plants.PlanarQuadrotor(m=p["m"], r=p["r"], I=p["I"], g=p["g"])
    K, S = lqr(*linearize(plant, np.zeros(6), plant.hover), np.diag(p["Q"]), p["R"])
    check("quad2d_lqr", K=K, S=S)


def test_acrobot_linearization():
    A, B = linearize(acrobot(), np.array([np.pi, 0, 0, 0]), np.zeros(1))
    sv = np.linalg.svd(controllability_matrix(A, B), compute_uv=False)
    check("acrobot_linearization", A=A, B=B, ctrb_sv=sv)


def test_acrobot_kalman_gain():
    """The filter is the regulator of the transposed plant: L' = lqr(A', C', W, V)."""
    entry = ENTRY["acrobot_kalman_gain"]
    A, _ = linearize(acrobot(), np.array([np.pi, 0, 0, 0]), np.zeros(1))
    gain, _ = lqr(A.T, np.eye(4)[:, :2], np.eye(4), 0.1 * np.eye(2))
    np.testing.assert_allclose(gain.T, entry["value"], rtol=0, atol=entry["tolerance"])


def test_finite_horizon_lqr_di():
    computed = {
        f"T{T:g}": finite_horizon_lqr(*matrices("finite_horizon_lqr_di"), np.eye(2), np.eye(1), np.zeros((2, 2)), T).S(
            0.0
        )
        for T in (0.5, 1.0, 2.0, 5.0)
    }
    check("finite_horizon_lqr_di", **computed)


def ballbot_gain_agrees(K) -> bool:
    entry = ENTRY["ballbot_dlqr"]
    wanted = np.array(entry["value"]["K"])
    return bool((np.abs(K - wanted) <= entry["tolerance"]["K_rel"] * np.abs(wanted)).all())


def test_ballbot_dlqr_from_its_matrices():
    entry = ENTRY["ballbot_dlqr"]
    A, B = np.array(entry["value"]["A"]), np.array(entry["value"]["B"])
    K, _ = dlqr(A, B, np.diag(entry["plant_parameters"]["Q"]), np.eye(1))
    assert ballbot_gain_agrees(K)
    np.testing.assert_allclose(np.sort(np.abs(np.linalg.eigvals(A - B @ K))), entry["value"]["abs_eig_cl"], atol=1e-7)


def ballbot_free(r: float) -> tuple:
    """M, d tau / dx, B of a ball that slides at x, turns by phi, and a bot at theta from it, all about upright."""
    m_ball, I_ball, m_bot, I_bot, l, g = 5.0, 0.02, 4.0, 0.018, 0.05, 9.81
    tilt, com = np.array([0.0, 1.0, 1.0]), np.array([1.0, -l, -l])
    M = np.diag([m_ball, I_ball, 0.0]) + m_bot * np.outer(com, com) + I_bot * np.outer(tilt, tilt)
    tau_x = np.hstack([m_bot * g * l * np.outer(tilt, tilt), np.zeros((3, 3))])
    return M, tau_x, np.array([[0.0], [0.0], [1.0]]), np.array([[1.0, r, 0.0]])


def test_ballbot_dlqr_on_the_manifold():
    """From the free bodies and the rolling constraint alone: eliminate its force, discretise as the engine, design."""
    entry = ENTRY["ballbot_dlqr"]
    M, tau_x, B, J = ballbot_free(entry["plant_parameters"]["r_effective"])
    F = position_and_velocity(J)
    dt, (A, B) = 1e-3, impose(M, tau_x, B, J)
    A, B = dt * A[3:], dt * B[3:]  # semi-implicit: v+ = v + dt vdot, q+ = q + dt v+
    carry = np.hstack([np.eye(3), dt * np.eye(3)])
    Ad = np.vstack([carry + dt * A, np.eye(3, 6, k=3) + A])
    Bd = np.vstack([dt * B, B])
    P = np.kron(np.eye(2), [[-J[0, 1], 1.0, 0.0], [0.0, 0.0, np.hypot(1.0, J[0, 1])]]) / np.hypot(1.0, J[0, 1])
    P[[0, 2]] *= -1  # the orthonormal complement of the entry
    np.testing.assert_allclose(P @ P.T, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(F @ P.T, 0.0, atol=1e-12)
    np.testing.assert_allclose(P.T @ P, tangent_basis(F).T @ tangent_basis(F), atol=1e-12)
    np.testing.assert_allclose(P @ Ad @ P.T, entry["value"]["A"], atol=1e-5)
    np.testing.assert_allclose(P @ Bd, entry["value"]["B"], rtol=0.02, atol=1e-5)
    Q = np.diag(entry["plant_parameters"]["Q"])  # in the coordinates y = P x
    K, _ = constrained_dlqr(Ad, Bd, P.T @ Q @ P, np.eye(1), F)
    assert ballbot_gain_agrees(K @ P.T)
    np.testing.assert_allclose(K @ F.T, 0.0, atol=1e-9)  # nothing is fed back across the constraint


def test_quad2d_flatness():
    p = ENTRY["quad2d_flatness"]["plant_parameters"]
    plant = plants.PlanarQuadrotor(m=0.486, I=0.00383, r=0.25, g=9.81)
    path = Sinusoid(offset=0.0, amplitude=(1.0, 0.5), omega=(1.0, 2.0), phase=(0.0, np.pi / 2))
    x, u = planar_quadrotor_flat(plant, path.derivatives(p["t"], 4))
    check("quad2d_flatness", theta=x[2], thetadot=x[5], u=u)


@pytest.mark.parametrize("gamma", [1.5, 2.0, 5.0])
def test_hinf_di(gamma):
    """Robust LQR with the disturbance at the input is the LQR of a weaker input: B R^-1 B' (1 - 1 / gamma^2)."""
    A, B = matrices("hinf_di")
    _, S = lqr(A, B * np.sqrt(1 - gamma**-2), np.eye(2), np.eye(1))
    check("hinf_di", **{f"gamma{gamma:g}": S})
