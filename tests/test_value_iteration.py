"""Value iteration against linear programming and shortest paths, and the mesh against what is exact on it."""

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from controllers import Mesh, mesh_value_iteration, value_iteration
from sims import OdeSimulator, simulate
from sims.plants import DoubleIntegrator, Pendulum


@pytest.mark.parametrize("discount", [0.5, 0.95])
def test_random_decisions_against_linear_programming(discount, rng):
    """J is the largest with J <= c_a + discount P_a J for all actions a."""
    N, A = 12, 3
    P, cost = rng.dirichlet(np.full(N, 0.3), (N, A)), rng.uniform(0, 1, (N, A))
    found = value_iteration(csr_array(P.reshape(N * A, N)), cost, discount=discount, tolerance=1e-11)
    rows = np.repeat(np.eye(N), A, axis=0) - discount * P.reshape(N * A, N)
    wanted = linprog(-np.ones(N), rows, cost.ravel(), bounds=[(None, None)] * N).x
    np.testing.assert_allclose(found.J, wanted, atol=1e-8)
    assert found.ok
    chosen = P[np.arange(N), found.choice]  # the policy's own cost, by its linear equations
    own = np.linalg.solve(np.eye(N) - discount * chosen, cost[np.arange(N), found.choice])
    np.testing.assert_allclose(own, found.J, atol=1e-8)


def test_deterministic_decisions_against_dijkstra(rng):
    N, A = 60, 4
    after, cost = rng.integers(0, N, (N, A)), rng.uniform(0.1, 1, (N, A))
    after[0], cost[0] = 0, 0.0
    found = value_iteration(after, cost)
    graph = np.full((N, N), np.inf)
    np.minimum.at(graph, (after.ravel(), np.repeat(np.arange(N), A)), cost.ravel())  # backward, from the goal
    graph[0, 0] = np.inf
    wanted = dijkstra(csr_array(np.where(np.isfinite(graph), graph, 0.0)), indices=0)
    reached = np.isfinite(wanted)
    assert reached.sum() > 30
    np.testing.assert_allclose(found.J[reached], wanted[reached], atol=1e-9)


def test_without_a_free_state_it_says_so():
    found = value_iteration(np.zeros((3, 1), int), np.ones((3, 1)), iterations=50)
    assert (found.status, found.iterations) == ("iteration_limit", 50) and "discount" in found.message
    for call, reason in (
        (lambda: value_iteration(np.zeros((3, 2), int), np.ones((3, 1))), r"\(3, 1\) integers"),
        (lambda: value_iteration(np.full((3, 1), 3), np.ones((3, 1))), r"0\.\.2"),
        (lambda: value_iteration(np.zeros((3, 1), int), np.ones((3, 1)), discount=1.5), "discount"),
        (lambda: Mesh([[0.0, 1.0], [1.0, 1.0]]), "axis 1"),
        (lambda: mesh_value_iteration(OdeSimulator(Pendulum()), [[0.0, 1.0]], [0.0], lambda x, u: 0.0), "2 axes"),
    ):
        with pytest.raises(ValueError, match=reason):
            call()


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_mesh_is_exact_for_linear_functions_and_at_its_nodes(n, rng):
    axes = [np.sort(rng.uniform(-2, 2, 3 + i)) for i in range(n)]
    mesh, slope = Mesh(axes), rng.normal(size=n)
    low, high = [a[0] for a in axes], [a[-1] for a in axes]
    x = rng.uniform(low, high, (500, n))
    np.testing.assert_allclose(mesh.interpolate(x, mesh.nodes @ slope + 1), x @ slope + 1, atol=1e-12)
    values = rng.normal(size=len(mesh.nodes))
    np.testing.assert_allclose(mesh.interpolate(mesh.nodes, values), values, atol=1e-12)
    outside = rng.uniform(-4, 4, (500, n))
    corners, weights = mesh.weights(outside)
    assert weights.min() >= 0 and corners.shape == (500, n + 1)
    np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-12)
    np.testing.assert_allclose(
        (weights[..., None] * mesh.nodes[corners]).sum(1), np.clip(outside, low, high), atol=1e-12
    )


def test_a_periodic_axis_has_no_border():
    mesh = Mesh([np.linspace(0, 2 * np.pi, 201), np.linspace(-1, 1, 3)], periodic=(0,))
    assert len(mesh.nodes) == 200 * 3
    x = np.column_stack([np.linspace(-20, 20, 777), np.zeros(777)])
    np.testing.assert_allclose(mesh.interpolate(x, np.cos(mesh.nodes[:, 0])), np.cos(x[:, 0]), atol=2e-4)


def test_the_policy_of_a_mesh_drives_the_plant_home_in_about_the_time_it_says():
    sim = OdeSimulator(DoubleIntegrator(force_limit=1.0), dt=0.05)
    policy = mesh_value_iteration(
        sim,
        [np.linspace(-3, 3, 61), np.linspace(-3, 3, 61)],
        np.array([-1.0, 0.0, 1.0]),
        lambda x, u: np.where(np.square(x).sum(-1) < 0.05, 0.0, 1.0),
    )
    assert policy.values.ok
    for x0 in ([-2.0, 0.0], [1.0, 1.0], [0.5, -1.5]):
        run = simulate(sim, policy, x0, 6.0)
        inside = np.flatnonzero(np.square(run.x).sum(-1) < 0.05)
        assert len(inside) and abs(run.t[inside[0]] - policy.J(np.array(x0))) < 0.5


def test_a_pendulum_swings_up_by_value_iteration():
    """Too weak to lift straight up: the periodic mesh finds the pumping, and the plant follows it."""
    sim = OdeSimulator(Pendulum(), dt=0.05)
    policy = mesh_value_iteration(
        sim,
        [np.linspace(0, 2 * np.pi, 81), np.linspace(-10, 10, 81)],
        np.linspace(-2, 2, 9),
        lambda x, u: 20 * np.cos(x[..., 0] / 2) ** 2 + x[..., 1] ** 2 + 0.1 * u[..., 0] ** 2,
        periodic=(0,),
        discount=0.999,
        tolerance=1e-4,
    )
    run = simulate(sim, policy, np.zeros(2), 8.0)
    assert abs(np.cos(run.x[-20:, 0]) + 1).max() < 0.05 and np.abs(run.x[-20:, 1]).max() < 0.5
