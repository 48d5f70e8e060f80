"""The entries of tests/reference/public.json that are about plants, each within its own tolerance."""

import json
from pathlib import Path

import numpy as np
import pytest

from sims import plants
from sims.linearize import linearize
from sims.ode import OdeSimulator, integrate_events

PUBLIC = json.loads((Path(__file__).parent / "reference" / "public.json").read_text())
ENTRIES = {entry["id"]: entry for entry in PUBLIC["entries"]}
NO_INPUT = lambda t, x: np.zeros(1)  # noqa: E731
TIGHT = {"rtol": 1e-12, "atol": 1e-13}


def parameters(id: str, **names: str) -> dict[str, float]:
    """The entry's plant parameters under the names of ours: parameters(id, g="gravity")."""
    given = ENTRIES[id]["plant_parameters"]
    return {ours: given[theirs] for ours, theirs in names.items()}


def same(*names: str, **renamed: str) -> dict[str, str]:
    return {**{name: name for name in names}, **renamed}


ACROBOT = same("m1", "m2", "l1", "lc1", "lc2", "Ic1", "Ic2", "b1", "b2", g="gravity")
GLIDER = same("Sw", "Se", "lw", "le", "lh", "m", "rho", "g", I="inertia")
DYNAMICS = {
    "cartpole_dynamics": lambda id: plants.CartPole(**parameters(id, **same("mc", "mp", "l", "g"))),
    "acrobot_dynamics": lambda id: plants.Acrobot(**parameters(id, **ACROBOT)),
    "quad3d_dynamics": lambda id: plants.QuadrotorRPY(
        I=tuple(np.diag(ENTRIES[id]["plant_parameters"]["inertia"])),
        **parameters(id, **same("m", "g", "L", "kF", "kM")),
    ),
    # Drake's notebook overwrites the state while it computes this derivative: see Glider
    "glider_dynamics": lambda id: plants.Glider(published=True, **parameters(id, **GLIDER)),
}


@pytest.mark.parametrize("id", DYNAMICS)
def test_dynamics(id):
    entry, plant = ENTRIES[id], DYNAMICS[id](id)
    value = entry["value"] if isinstance(entry["value"], list) else [entry["value"]]
    for row in value:
        found = plant.f(np.array(row["x"], float), np.atleast_1d(np.array(row["u"], float)))
        np.testing.assert_allclose(found, row["xdot"], rtol=0, atol=entry["tolerance"])


@pytest.mark.parametrize("id", DYNAMICS)
def test_the_defaults_are_the_reference_parameters(id):
    plant = DYNAMICS[id](id)
    assert type(plant)(**({"published": True} if id == "glider_dynamics" else {})) == plant


def test_glider_dynamics_where_the_notebook_is_right():
    """The first state has no wing force: the unbiased plant differs in the elevator's lever alone."""
    row = ENTRIES["glider_dynamics"]["value"][0]
    found = plants.Glider().f(np.array(row["x"], float), np.array([row["u"]]))
    np.testing.assert_allclose(found[:6], row["xdot"][:6], atol=1e-7)
    lever, theirs = 0.27 + 0.022, 0.27 * np.cos(1.5) + 0.022
    np.testing.assert_allclose(found[6] * theirs / lever, row["xdot"][6], atol=1e-7)


def test_acrobot_linearization():
    entry = ENTRIES["acrobot_linearization"]
    plant = plants.Acrobot(**parameters("acrobot_linearization", **ACROBOT))
    A, B = linearize(plant, [np.pi, 0, 0, 0], [0.0])
    np.testing.assert_allclose(A, entry["value"]["A"], rtol=0, atol=entry["tolerance"])
    np.testing.assert_allclose(B, entry["value"]["B"], rtol=0, atol=entry["tolerance"])
    controllability = np.hstack([np.linalg.matrix_power(A, k) @ B for k in range(4)])
    found = np.linalg.svd(controllability, compute_uv=False)
    np.testing.assert_allclose(found, entry["value"]["ctrb_sv"], rtol=0, atol=entry["tolerance"])


def test_pendulum_period():
    entry = ENTRIES["pendulum_period"]
    plant = plants.Pendulum(**parameters("pendulum_period", **same("l", "b", "g")))
    for theta0, wanted in zip(entry["plant_parameters"]["theta0"], entry["value"], strict=True):
        _, (crossings,) = integrate_events(plant, [theta0, 0], NO_INPUT, wanted, events=[lambda t, x: x[0]], **TIGHT)
        assert abs(4 * crossings[0, 0] - wanted) < entry["tolerance"]
        assert abs(2 * (crossings[1, 0] - crossings[0, 0]) - wanted) < entry["tolerance"]


@pytest.mark.parametrize("integrator", ["rk4", "rk45"])
def test_pendulum_damped_sim(integrator):
    id = "pendulum_damped_sim"
    plant = plants.Pendulum(**parameters(id, **same("m", "l", "b", "g")))
    sim = OdeSimulator(plant, dt=0.01, integrator=integrator)
    run = sim.rollout(ENTRIES[id]["plant_parameters"]["x0"], np.zeros((500, 1)))
    for name, wanted in ENTRIES[id]["value"].items():
        np.testing.assert_allclose(run.x[100 * int(name[1:])], wanted, rtol=0, atol=ENTRIES[id]["tolerance"])


def test_energy_shaping_pendulum():
    """The simulation part: u = b qd - k qd (E - Ed), saturated at 3 N m."""
    id = "energy_shaping_pendulum"
    given = ENTRIES[id]["plant_parameters"]
    plant = plants.Pendulum(**parameters(id, **same("m", "l", "b", "g")))

    def shape(t, x):
        return np.clip([(plant.b - given["k"] * (plant.energy(x) - given["Ed"])) * x[1]], -3.0, 3.0)

    run, _ = integrate_events(plant, given["x0"], shape, 20.0, n_out=201)
    for name, wanted in ENTRIES[id]["value"].items():
        assert abs(plant.energy(run.x[10 * int(name[1:])]) - wanted) < ENTRIES[id]["tolerance"]


def test_vdp_limit_cycle():
    entry = ENTRIES["vdp_limit_cycle"]
    plant = plants.VanDerPol(**parameters("vdp_limit_cycle", mu="mu"))

    def top(t, x):
        return x[1]

    top.direction = -1.0

    def return_map(amplitude):
        _, (tops,) = integrate_events(plant, [amplitude, 0.0], NO_INPUT, 8.0, events=[top], **TIGHT)
        return tops[tops[:, 0] > 1.0][0, :2]  # time and amplitude of the next maximum

    amplitude = 2.0
    for _ in range(5):  # contracts by the multiplier, about 1e-3, each time
        period, amplitude = return_map(amplitude)
    multiplier = (return_map(amplitude + 1e-3)[1] - return_map(amplitude - 1e-3)[1]) / 2e-3
    for name, found in {"amplitude": amplitude, "period": period, "multiplier": multiplier}.items():
        assert abs(found - entry["value"][name]) < entry["tolerance"][name], name


def test_ballbot_dlqr():
    """Theirs: ball angle and relative bot angle about -y, reduced onto the rolling constraint; ours: x and lean."""
    from scipy.linalg import solve_discrete_are

    entry = ENTRIES["ballbot_dlqr"]
    r = entry["plant_parameters"]["r_effective"]  # the contact gives by half a millimetre
    sim = OdeSimulator(plants.Ballbot(r=r), dt=1e-3, integrator="semi_implicit_euler")
    A, B = sim.linearize(np.zeros(4), np.zeros(1))
    to_theirs = np.kron(np.eye(2), [[np.sqrt(1 + r * r) / r, 0.0], [1 / r, -1.0]])
    A, B = to_theirs @ A @ np.linalg.inv(to_theirs), -to_theirs @ B
    np.testing.assert_allclose(A, entry["value"]["A"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(B, entry["value"]["B"], rtol=1e-3)
    S = solve_discrete_are(A, B, np.diag([10.0, 10, 1, 1]), np.eye(1))
    K = np.linalg.solve(np.eye(1) + B.T @ S @ B, B.T @ S @ A)
    np.testing.assert_allclose(K, entry["value"]["K"], rtol=entry["tolerance"]["K_rel"])
    closed_loop = np.sort(np.abs(np.linalg.eigvals(A - B @ K)))
    np.testing.assert_allclose(closed_loop, entry["value"]["abs_eig_cl"], rtol=1e-3)
