"""The published reference numbers of planning: dynamic programming, convex sets, timing, walking."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

from controllers import Polynomial, footstep_zmp, mesh_value_iteration, value_iteration, zmp_plan
from controllers.search import Ellipsoid, ball, convex_shortest_path, hull, through_regions, time_optimal
from sims import OdeSimulator
from sims.plants import DoubleIntegrator

PUBLIC = json.loads((Path(__file__).parent / "reference" / "public.json").read_text())["entries"]
ENTRY = {entry["id"]: entry for entry in PUBLIC}


def test_gcs_toy():
    pytest.importorskip("pydrake")
    entry = ENTRY["gcs_toy"]
    p, value = entry["plant_parameters"], entry["value"]
    sets = {name: hull(np.transpose(v)) for name, v in p["vertices"].items() if name.startswith("p")}
    sets |= {"e1": ball([4, 1], 1.0), "e2": Ellipsoid(np.diag([0.5, 1.0]), np.array([7.0, -2.0]))}
    sets |= {name: np.array(p[name], float) for name in ("source", "target")}
    full = {"s": "source", "t": "target"}
    edges = [tuple(full.get(n, n) for n in edge.split("-")) for edge in p["edges"].split(" ")[0].split(",")]
    path = convex_shortest_path(sets, edges, "source", "target", cost="squared")
    assert list(path.names) == value["path"]
    np.testing.assert_allclose(
        [path.bound, path.cost], [value["lower"], value["upper"]], rtol=0, atol=entry["tolerance"]
    )


def test_gcs_2d_min_distance():
    pytest.importorskip("pydrake")
    entry = ENTRY["gcs_2d_min_distance"]
    p = entry["plant_parameters"]
    path = through_regions([hull(v) for v in p["vertices"]], p["start"], p["goal"], degree=p["order"])
    assert path.cost == pytest.approx(entry["value"]["cost"], abs=entry["tolerance"])
    assert path.curve.length() == pytest.approx(entry["value"]["length"], abs=entry["tolerance"])


def test_toppra_iiwa():
    """The path's slopes are those of Fritsch and Butland, as SciPy computes them, with zero at both ends."""
    pytest.importorskip("pydrake")
    entry = ENTRY["toppra_iiwa"]
    p, q1 = entry["plant_parameters"], np.array([0.5, 0.4, -0.3, -1.0, 0.2, 0.6, 0.0])
    s, q = np.arange(3.0), np.array([0 * q1, 0.5 * q1 + 0.2 * (np.arange(7) == 1), q1])
    slopes = PchipInterpolator(s, q).derivative()(s) * [[0], [1], [0]]
    path = Polynomial(s, CubicHermiteSpline(s, q, slopes).c[::-1].transpose(1, 2, 0))
    grid = np.linspace(0, 2, p["gridpoints"])
    timed = time_optimal(path, v_max=p["vel_limit"], a_max=p["acc_limit"], points=grid)
    assert timed.duration == pytest.approx(entry["value"], abs=entry["tolerance"])


def test_grid_world_vi():
    entry = ENTRY["grid_world_vi"]
    W, H = 21, 16
    x, y = (c.ravel() for c in np.meshgrid(np.arange(W), np.arange(H), indexing="ij"))
    moves = np.array([[i, j] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    after = [np.clip(c[:, None] + move, 0, n - 1) for c, move, n in ((x, moves[:, 0], W), (y, moves[:, 1], H))]
    blocked = (x >= 6) & (x <= 8) & (y >= 4) & (y <= 7)
    state = np.where((x == 2) & (y == 8), 0, np.where(blocked, 10, 1))
    effort = np.abs(moves).sum(1)
    found = value_iteration(after[0] * H + after[1], state[:, None] + np.where(effort > 1, 10, effort))
    assert found.ok, found.message
    for i, j, J in entry["value"]:
        assert found.J[int(i) * H + int(j)] == pytest.approx(J, abs=entry["tolerance"])


def brick_time(x) -> np.ndarray:
    """Least time (...) of the double integrator with |u| <= 1 from x (..., 2) to rest at the origin."""
    q, v = x[..., 0], x[..., 1]
    low = q < -v * np.abs(v) / 2
    root = np.sqrt(np.maximum(v * v / 2 + np.where(low, -q, q), 0))
    return 2 * root + np.where(low, -v, v)


def test_di_min_time():
    entry = ENTRY["di_min_time"]
    value = np.array(entry["value"])
    np.testing.assert_allclose(brick_time(value[:, :2]), value[:, 2], atol=1e-9)


def min_time(nodes: tuple[int, int], dt: float):
    p = ENTRY["vi_di_mintime_mesh"]["plant_parameters"]
    axes = [np.linspace(*p[name][:2], n) for name, n in zip(("q", "qd"), nodes, strict=True)]
    return mesh_value_iteration(
        OdeSimulator(DoubleIntegrator(), dt=dt),
        axes,
        np.linspace(*p["u"]),
        lambda x, u: np.where(np.square(x).sum(-1) < 0.05, 0.0, 1.0),
        tolerance=p["tol"],
    )


def test_vi_di_mintime_mesh():
    entry = ENTRY["vi_di_mintime_mesh"]
    policy = min_time((31, 51), 0.01)
    value = np.array(entry["value"])
    np.testing.assert_allclose(policy.J(value[:, :2]), value[:, 2], rtol=0, atol=entry["tolerance"]["J"])


def test_a_finer_mesh_comes_nearer_to_the_least_time():
    """It stays above the least time to the origin less the longest time from the rim of the target disc."""
    value = np.array(ENTRY["vi_di_mintime_mesh"]["value"])[:-1]
    x = value[:, :2]
    angle = np.linspace(0, 2 * np.pi, 721)
    rim = np.sqrt(0.05) * np.column_stack([np.cos(angle), np.sin(angle)])
    fine = min_time((121, 201), 0.05).J(x)
    assert (fine > brick_time(x) - brick_time(rim).max()).all() and (fine < value[:, 2]).all()


def test_zmp_plan():
    entry = ENTRY["zmp_plan"]
    p, value = entry["plant_parameters"], entry["value"]
    zmp = footstep_zmp(p["footsteps"], single_support=p["single_support"], double_support=p["double_support"])
    np.testing.assert_allclose(zmp.t, p["breaks"])
    plan = zmp_plan(zmp, p["x0"], height=p["height"], g=p["g"])
    for name, found in (("com", plan.com), ("comd", plan.comd)):
        for at, wanted in value[name].items():
            k = int(np.argmin(np.abs(plan.t - float(at[1:]))))
            np.testing.assert_allclose(found[k], wanted, rtol=0, atol=entry["tolerance"], err_msg=f"{name} {at}")
    np.testing.assert_allclose(plan.S, value["Vxx"], rtol=0, atol=entry["tolerance"])
