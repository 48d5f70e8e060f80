"""H-infinity LQR, invariant tubes, common Lyapunov functions and the matrix inequalities under them."""

import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov

from controllers import dlqr, lqr
from controllers.lmi import solve_lmi
from controllers.robust import common_lyapunov, hinf_gamma, hinf_lqr, mrpi_support, support, tighten


def plant(seed: int):
    rng = np.random.default_rng(seed)
    n, nu, nw = int(rng.integers(2, 5)), int(rng.integers(1, 3)), int(rng.integers(1, 3))
    A, B, D = rng.standard_normal((n, n)), rng.standard_normal((n, nu)), rng.standard_normal((n, nw))
    return A, B, D, np.diag(rng.uniform(0.5, 2.0, n)), np.diag(rng.uniform(0.5, 2.0, nu))


def gain(A, B, D, Q, R, K) -> float:
    """The largest singular value over frequency from w to [Q^1/2 x; R^1/2 u] under u = -K x."""
    Z = np.vstack([np.sqrt(Q), -np.sqrt(R) @ K])
    omega = np.concatenate([[0.0], np.logspace(-3, 3, 3000)])[:, None, None]
    response = Z @ np.linalg.solve(1j * omega * np.eye(len(A)) - (A - B @ K), D.astype(complex))
    return float(np.linalg.svd(response, compute_uv=False).max())


@pytest.mark.parametrize("seed", range(6))
def test_hinf_is_the_value_of_its_game_and_keeps_its_promise(seed):
    A, B, D, Q, R = plant(seed)
    least = hinf_gamma(A, B, D, Q, R)
    for gamma in (1.01 * least, 1.5 * least, 10 * least):
        K, P = hinf_lqr(A, B, D, Q, R, gamma)
        worst = D.T @ P / gamma**2
        closed = A - B @ K + D @ worst
        value = solve_continuous_lyapunov(closed.T, -(Q + K.T @ R @ K - gamma**2 * worst.T @ worst))
        np.testing.assert_allclose(P, value, rtol=1e-6, atol=1e-8)
        assert np.linalg.eigvals(A - B @ K).real.max() < 0
        assert gain(A, B, D, Q, R, K) <= gamma * (1 + 1e-6)
    K, P = hinf_lqr(A, B, D, Q, R, 1e6)
    np.testing.assert_allclose((K, P)[1], lqr(A, B, Q, R)[1], rtol=1e-8)
    with pytest.raises(ValueError, match=r"no feedback reaches gamma = .*; the least is"):
        hinf_lqr(A, B, D, Q, R, 0.99 * least)


@pytest.mark.parametrize("seed", range(6))
def test_no_feedback_beats_the_least_gamma(seed):
    A, B, D, Q, R = plant(seed)
    least, rng = hinf_gamma(A, B, D, Q, R), np.random.default_rng(seed)
    K, _ = hinf_lqr(A, B, D, Q, R, 1.0001 * least)
    found = []
    for scale in (0.0, 0.1, 0.3, 1.0):
        for _ in range(10):
            other = K + scale * rng.standard_normal(K.shape)
            if np.linalg.eigvals(A - B @ other).real.max() < -1e-3:
                found.append(gain(A, B, D, Q, R, other))
    assert min(found) >= least * (1 - 1e-3)  # the grid of frequencies may miss a peak by this


def test_hinf_errors():
    A, B, D, Q, R = plant(0)
    with pytest.raises(ValueError, match="D must be finite"):
        hinf_lqr(A, B, D[:1], Q, R, 2.0)
    with pytest.raises(ValueError, match="gamma must be positive"):
        hinf_lqr(A, B, D, Q, R, 0.0)
    with pytest.raises(ValueError, match="not stabilisable"):
        hinf_gamma(np.eye(2), np.zeros((2, 1)), np.eye(2), np.eye(2), np.eye(1))


def stable(seed: int, radius: float = 0.9) -> np.ndarray:
    A = np.random.default_rng(seed).standard_normal((3, 3))
    return A * radius / np.abs(np.linalg.eigvals(A)).max()


@pytest.mark.parametrize("a", [0.0, 0.5, -0.9, 0.999])
def test_the_tube_of_one_state(a):
    np.testing.assert_allclose(mrpi_support([[a]], [0.2], [[1.0], [-2.0]]), np.array([1, 2]) * 0.2 / (1 - abs(a)))


@pytest.mark.parametrize("seed", range(5))
def test_the_tube_is_invariant_and_no_larger_than_needed(seed):
    A, rng = stable(seed), np.random.default_rng(seed)
    half = rng.uniform(0.0, 1.0, 3)
    corners = half * np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    d = rng.standard_normal((20, 3))
    box = mrpi_support(A, half, d)
    np.testing.assert_allclose(mrpi_support(A, corners, d), box, atol=2e-9)
    brute = sum(np.abs(d @ np.linalg.matrix_power(A, i)) @ half for i in range(2000))
    assert (box >= brute - 1e-12).all() and (box <= brute + 1e-9).all()
    # one step further: h(A'd) + h_W(d) = h(d)
    np.testing.assert_allclose(mrpi_support(A, half, d @ A) + support(half, d), box, atol=2e-9)
    for row in range(3):  # the disturbance that pushes hardest gets there, and no other gets further
        e = np.zeros(3)
        for i in reversed(range(300)):
            e = A @ e + half * np.sign(d[row] @ np.linalg.matrix_power(A, i))
        assert d[row] @ e == pytest.approx(box[row], abs=1e-6)


def test_a_tightened_constraint_holds_under_every_disturbance():
    A, B, W = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[0.5], [1.0]]), np.array([0.1, 0.1])
    K, _ = dlqr(A, B, np.eye(2), np.eye(1))
    closed = A - B @ K
    H, h = np.vstack([np.eye(2), -np.eye(2)]), np.full(4, 2.0)
    inside = tighten(H, h, closed, W)
    limit = tighten([[1.0], [-1.0]], [1.0, 1.0], closed, W, K=K)
    rng, e = np.random.default_rng(0), np.zeros((5000, 2))
    for _ in range(60):
        e = e @ closed.T + W * rng.choice([-1.0, 1.0], e.shape)
        assert (inside + (e @ H.T) <= h + 1e-9).all()
        assert (limit[0] - e @ K.T <= 1.0 + 1e-9).all()
    with pytest.raises(ValueError, match=r"the tube needs 0.35.* of the 0.3 that row 0"):
        tighten(H, [0.3, 2, 2, 2], closed, W)


TUBE_ERRORS = {
    "unstable": (lambda: mrpi_support(np.eye(2), [0.1, 0.1], np.eye(2)), "spectral radius is 1"),
    "negative half-width": (lambda: support([-1.0, 1.0], np.eye(2)), "none negative"),
    "origin outside": (lambda: mrpi_support(np.zeros((1, 1)), [[1.0], [2.0]], [[1.0]]), "origin must lie in W"),
    "size": (lambda: mrpi_support(np.zeros((2, 2)), [0.1], np.eye(2)), r"half-widths \(2,\)"),
}


@pytest.mark.parametrize("name", TUBE_ERRORS)
def test_tube_errors(name):
    call, message = TUBE_ERRORS[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_a_common_lyapunov_function_exists_exactly_when_it_should():
    """Two stable 2 x 2 matrices share one if and only if neither A1 A2 nor A1 A2^-1 has a negative real eigenvalue.

    Source: Shorten and Narendra, 2002.
    """
    rng, seen = np.random.default_rng(1), []
    while len(seen) < 60:
        A1, A2 = rng.standard_normal((2, 2, 2)) * rng.uniform(0.2, 4.0, (2, 2, 2))
        A1, A2 = (A - (np.linalg.eigvals(A).real.max() + 0.2) * np.eye(2) for A in (A1, A2))
        products = [np.linalg.eigvals(M) for M in (A1 @ A2, A1 @ np.linalg.inv(A2))]
        angles = np.abs(np.angle(np.concatenate(products)))
        if np.pi - 0.1 < angles.max() < np.pi - 1e-9:
            continue  # too close to call
        found = common_lyapunov([A1, A2])
        seen.append(found.ok)
        assert found.ok == bool(angles.max() < np.pi - 1e-9), (A1, A2)
        if found.ok:
            assert np.linalg.eigvalsh(found.P)[0] >= 0.01 * (1 - 1e-6)
            for A in (A1, A2):
                assert np.linalg.eigvalsh(A.T @ found.P + found.P @ A)[-1] <= -0.01 * (1 - 1e-6)
        else:
            assert found.P is None and "infeasible" in found.message
    assert 10 < sum(seen) < 50


def test_common_lyapunov_of_one_matrix_and_of_none():
    A = stable(3) - np.eye(3)
    assert common_lyapunov([A]).ok
    assert not common_lyapunov([A, np.eye(3)]).ok
    for As in ([], [np.eye(2), np.eye(3)]):
        with pytest.raises(ValueError, match="of one size"):
            common_lyapunov(As)


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_eigenvalue_is_a_small_sdp(seed):
    M = np.random.default_rng(seed).standard_normal((5, 5))
    M = M + M.T
    found = solve_lmi([1.0], [np.array([-M, np.eye(5)])])
    assert found.ok and found.cost == pytest.approx(np.linalg.eigvalsh(M)[-1], abs=1e-7)
    assert found.cost - np.linalg.eigvalsh(M)[-1] <= found.gap + 1e-12


def random_sdp(seed: int):
    rng = np.random.default_rng(seed)
    m, sizes = 4, (3, 5)
    blocks = []
    for n in sizes:
        F = rng.standard_normal((m + 1, n, n))
        F = F + np.swapaxes(F, -1, -2)
        F[0] += 4 * np.eye(n) - np.tensordot(0.3 * np.ones(m), F[1:], axes=1)
        blocks.append(F)
    bound = np.zeros((2 * m, m + 1))
    bound[:, 0], bound[:m, 1:], bound[m:, 1:] = 3.0, np.eye(m), -np.eye(m)
    blocks.append(np.einsum("ij,ik->jik", bound, np.eye(2 * m)))
    return rng.standard_normal(m), blocks


@pytest.mark.parametrize("seed", range(6))
def test_small_sdps_against_clarabel(seed):
    mp = pytest.importorskip("pydrake.solvers", reason="the oracle is Drake's Clarabel: pip install drake")
    c, blocks = random_sdp(seed)
    prog = mp.MathematicalProgram()
    y = prog.NewContinuousVariables(len(c))
    prog.AddLinearCost(c, y)
    for F in blocks:
        prog.AddLinearMatrixInequalityConstraint(list(F), y)
    result = mp.ClarabelSolver().Solve(prog)
    found = solve_lmi(c, blocks)
    assert found.ok == result.is_success()
    if found.ok:
        assert found.cost == pytest.approx(result.get_optimal_cost(), abs=1e-5)
        assert all(np.linalg.eigvalsh(F[0] + np.tensordot(found.y, F[1:], axes=1))[0] > 0 for F in blocks)


def test_lmi_errors_and_an_empty_set():
    empty = solve_lmi([1.0], [np.array([[[-1.0]], [[1.0]]]), np.array([[[-1.0]], [[-1.0]]])])
    assert not empty.ok and "best margin is -1" in empty.message
    with pytest.raises(ValueError, match="block 0 must be finite"):
        solve_lmi([1.0], [np.zeros((3, 2, 2))])
    with pytest.raises(ValueError, match="block 0 must be symmetric"):
        solve_lmi([1.0], [np.array([[[1.0, 1.0], [0.0, 1.0]], np.eye(2)])])
