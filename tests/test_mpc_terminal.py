"""Polytopes, the maximal admissible set, and recursive feasibility with it."""

import numpy as np
import pytest
from mpc_cases import double_integrator, quadrotor_like

from controllers import dlqr
from controllers.mpc.linear import LinearMPC
from controllers.mpc.polytope import Polytope, box, maximal_admissible_set


def closed_loop(seed: int, n: int) -> tuple[np.ndarray, Polytope]:
    """A stable matrix (n, n) and a bounded polytope about 0."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    A *= rng.uniform(0.5, 0.97) / np.abs(np.linalg.eigvals(A)).max()
    bounds = box(-rng.uniform(0.5, 2, n), rng.uniform(0.5, 2, n))
    H = rng.standard_normal((3, n))
    return A, Polytope(np.vstack([bounds.H, H]), np.r_[bounds.h, rng.uniform(0.5, 1.5, 3)])


def stays(A: np.ndarray, constraints: Polytope, x: np.ndarray, steps: int = 400) -> np.ndarray:
    """True (k,) where A^i x (k, n) keeps the constraints for i = 0 .. steps: the oracle."""
    inside = np.ones(len(x), bool)
    for _ in range(steps):
        inside &= constraints.contains(x, 1e-7)
        x = x @ A.T
    return inside


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_the_maximal_admissible_set(seed, n):
    A, constraints = closed_loop(seed, n)
    found = maximal_admissible_set(A, constraints)
    image = found.H @ A
    for row, bound in zip(image, found.h, strict=True):  # invariance: one linear program a facet
        assert found.support(row) <= bound + 1e-7
    if n > 1:
        vertices = found.vertices()
        assert found.contains(vertices, 1e-7).all() and found.contains(vertices @ A.T, 1e-7).all()
        assert constraints.contains(vertices, 1e-7).all()
    points = found.sample(500, np.random.default_rng(seed))
    assert found.contains(points, 1e-9).all() and stays(A, constraints, points).all()
    around = 1.6 * constraints.sample(500, np.random.default_rng(seed + 1))
    clear = np.abs((around @ found.H.T - found.h).max(axis=1)) > 1e-6
    np.testing.assert_array_equal(found.contains(around)[clear], stays(A, constraints, around)[clear])  # maximality
    assert len(found.minimal().H) == len(found.H)


def test_closed_form_of_one_state():
    """x+ = -x/2 in [-1, 3]: from x > 2 the next state would be below -1."""
    found = maximal_admissible_set(np.array([[-0.5]]), box([-1.0], [3.0]))
    assert found.support([1.0]) == pytest.approx(2.0) and found.support([-1.0]) == pytest.approx(1.0)


def test_polytope_support_ball_minimal_and_bounds():
    square = box([-1, -2], [3, 2])
    assert square.support([1, 1]) == pytest.approx(5) and square.support([-1, 0]) == pytest.approx(1)
    centre, radius = square.ball()
    assert radius == pytest.approx(2) and square.contains(centre)
    doubled = Polytope(np.vstack([square.H, square.H, [[1, 1]]]), np.r_[square.h, square.h + 1, 100])
    assert sorted(map(tuple, doubled.minimal().H)) == sorted(map(tuple, square.H))
    np.testing.assert_allclose(sorted(square.vertices().tolist()), [[-1, -2], [-1, 2], [3, -2], [3, 2]])
    assert box([-np.inf, 0], [np.inf, 1]).support([1, 0]) == np.inf
    empty = Polytope(np.array([[1.0], [-1.0]]), np.array([0.0, -1.0]))
    assert empty.support([1.0]) == -np.inf and empty.ball()[1] < 0


def test_the_sample_fills_the_set():
    """The mean and variance of hit and run in a box against those of the uniform distribution."""
    x = box([-1, -1, 0], [1, 3, 4]).sample(4000, np.random.default_rng(0))
    np.testing.assert_allclose(x.mean(axis=0), [0, 1, 2], atol=0.1)
    np.testing.assert_allclose(x.var(axis=0), [4 / 12, 16 / 12, 16 / 12], rtol=0.08)


BAD = [
    (lambda: maximal_admissible_set(1.01 * np.eye(2), box([-1, -1], [1, 1])), "must be stable"),
    (lambda: maximal_admissible_set(0.5 * np.eye(2), box([0, -1], [1, 1])), "strictly inside"),
    (
        lambda: maximal_admissible_set(np.array([[0.9999, 0.5], [0, 0.9999]]), box([-1, -1], [1, 1]), limit=3),
        "raise limit",
    ),
    (lambda: Polytope(np.eye(2), np.ones(3)), "want H"),
    (lambda: Polytope(np.eye(1), np.zeros(1)).sample(1, np.random.default_rng(0)), "unbounded"),
    (lambda: box([0, 0], [np.inf, 1]).vertices(), "bounded"),
]


@pytest.mark.parametrize("call, message", BAD, ids=[m for _, m in BAD])
def test_bad_sets_are_clear_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("solver", ["auto", "clarabel"])
def test_with_the_terminal_set_a_problem_once_feasible_stays_feasible(solver):
    """And without it one does not: a horizon of 3 steps sees the wall too late."""
    pytest.importorskip("osqp", reason="OSQP is not installed: pip install osqp")
    A, B, Q, R = double_integrator()
    limits = {"u_min": -0.5, "u_max": 0.5, "x_min": [-2.0, -1.0], "x_max": [2.0, 1.0], "solver": solver}
    safe = LinearMPC(A, B, Q, R, 12, dt=0.1, terminal_set=True, **limits)
    bare = LinearMPC(A, B, Q, R, 3, dt=0.1, **limits)
    starts, started = np.random.default_rng(0).uniform([-2, -1], [2, 1], (60, 2)), 0
    for x in starts:
        if safe.plan(x).status == "infeasible":
            continue
        started += 1
        value = np.inf
        for _ in range(60):
            plan = safe.plan(x)
            assert plan.ok, plan.message
            assert plan.cost <= value + 1e-6  # the cost is a Lyapunov function
            value, x = plan.cost, A @ x + B @ plan.trajectory.u[0]
        assert np.abs(x).max() < 0.2
    assert started > 20
    assert sum(_ends_badly(bare, A, B, x) for x in starts) > 0


def _ends_badly(mpc: LinearMPC, A, B, x) -> bool:
    """True if the first plan exists and a later one does not."""
    for k in range(60):
        plan = mpc.plan(x)
        if plan.status == "infeasible":
            return k > 0
        x = A @ x + B @ plan.trajectory.u[0]
    return False


@pytest.mark.slow
def test_the_terminal_set_of_twelve_states():
    A, B, Q, R = quadrotor_like()
    K, _ = dlqr(A, B, Q, R)
    bound = np.r_[np.full(3, 2.0), np.full(3, 0.5), np.full(3, 2.0), np.full(3, 5.0)]
    mpc = LinearMPC(A, B, Q, R, 20, dt=0.05, u_min=-1, u_max=1, x_min=-bound, x_max=bound, terminal_set=True)
    found = mpc.terminal_set
    assert found is not None
    for row, limit in zip(found.H @ (A - B @ K), found.h, strict=True):
        assert found.support(row) <= limit + 1e-7
    everything = Polytope(np.vstack([np.eye(12), -np.eye(12), -K, K]), np.r_[bound, bound, np.ones(8)])
    points = found.sample(300, np.random.default_rng(0))
    assert stays(A - B @ K, everything, points, 300).all()
