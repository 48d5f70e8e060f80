"""LQR in all its forms, against closed forms, the Riccati equations, brute force and perturbed gains."""

import numpy as np
import pytest
from scipy.linalg import block_diag, solve_continuous_are, solve_continuous_lyapunov, solve_discrete_are

from controllers import finite_horizon_dlqr, finite_horizon_lqr, sampled_lqr, zoh
from controllers.lqr import dlqr, lqr, sampled_cost
from sims import plants
from sims.linearize import linearize

DI = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.0], [1.0]])
SYSTEMS = {
    "double integrator": lambda: DI,
    "cart-pole": lambda: linearize(plants.CartPole(), np.array([0, np.pi, 0, 0]), np.zeros(1)),
    "acrobot": lambda: linearize(plants.Acrobot(), np.array([np.pi, 0, 0, 0]), np.zeros(1)),
    "planar quadrotor": lambda: linearize(plants.PlanarQuadrotor(), np.zeros(6), plants.PlanarQuadrotor().hover),
    "quadrotor": lambda: linearize(plants.Quadrotor(), np.eye(13)[3], plants.Quadrotor().hover),
    "stable": lambda: (-np.eye(3) + 0.5 * np.eye(3, k=1), np.ones((3, 2)) * [[1.0, 0], [0, 1], [1, 1]]),
}


def problem(rng, n, nu):
    A, B = rng.standard_normal((n, n)), rng.standard_normal((n, nu))
    W = rng.standard_normal((n + nu, n + nu))
    W = W @ W.T + 0.1 * np.eye(n + nu)
    return A, B, W[:n, :n], W[n:, n:], W[:n, n:]


def quadratic(W, x, u):
    z = np.concatenate([x, u])
    return z @ W @ z


@pytest.mark.parametrize("q", [0.1, 1.0, 25.0])
def test_the_double_integrator_in_closed_form(q):
    """q x1^2 + u^2: K = [sqrt q, sqrt(2 sqrt q)], S = [[sqrt 2 q^3/4, sqrt q], [sqrt q, sqrt 2 q^1/4]]."""
    K, S = lqr(*DI, np.diag([q, 0.0]), np.eye(1))
    np.testing.assert_allclose(K, [[np.sqrt(q), np.sqrt(2 * np.sqrt(q))]], rtol=1e-12)
    root = np.sqrt(2.0)
    np.testing.assert_allclose(S, [[root * q**0.75, np.sqrt(q)], [np.sqrt(q), root * q**0.25]], rtol=1e-12)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_riccati_equations_hold_and_agree_with_scipy(name):
    A, B = SYSTEMS[name]()
    Q, R = np.diag(np.linspace(1.0, 10.0, len(A))), np.diag(np.linspace(0.5, 2.0, B.shape[1]))
    K, S = lqr(A, B, Q, R)
    residual = A.T @ S + S @ A + Q - K.T @ R @ K
    assert np.abs(residual).max() < 1e-10 * np.abs(S).max() * max(1, np.abs(A).max())
    assert np.linalg.eigvals(A - B @ K).real.max() < 0
    np.testing.assert_allclose(S, solve_continuous_are(A, B, Q, R), rtol=1e-8, atol=1e-9 * np.abs(S).max())
    np.testing.assert_array_equal(S, S.T)
    for dt in (1e-3, 1e-2, 0.3):
        Ad, Bd = zoh(A, B, dt)
        K, S = dlqr(Ad, Bd, Q, R)
        residual = Ad.T @ S @ Ad - S + Q - K.T @ (R + Bd.T @ S @ Bd) @ K
        assert np.abs(residual).max() < 1e-10 * np.abs(S).max()
        np.testing.assert_allclose(S, solve_discrete_are(Ad, Bd, Q, R), rtol=1e-7, atol=1e-9 * np.abs(S).max())


@pytest.mark.parametrize("seed", range(12))
def test_cross_terms_on_random_systems(seed):
    rng = np.random.default_rng(seed)
    A, B, Q, R, N = problem(rng, int(rng.integers(1, 9)), int(rng.integers(1, 4)))
    K, S = lqr(A, B, Q, R, N)
    np.testing.assert_allclose(S, solve_continuous_are(A, B, Q, R, s=N), rtol=1e-6, atol=1e-8 * np.abs(S).max())
    Acl, W = A - B @ K, np.block([[Q, N], [N.T, R]])
    shape = np.vstack([np.eye(len(A)), -K])
    cost = solve_continuous_lyapunov(Acl.T, -shape.T @ W @ shape)  # of the closed loop: an independent way to S
    np.testing.assert_allclose(S, cost, rtol=1e-6, atol=1e-8 * np.abs(S).max())
    K, S = dlqr(A, B, Q, R, N)
    np.testing.assert_allclose(S, solve_discrete_are(A, B, Q, R, s=N), rtol=1e-6, atol=1e-8 * np.abs(S).max())


def test_a_singular_transition_matrix():
    """A delay chain: x+ = [x2, u]; the symplectic matrix does not exist, the answer does."""
    A, B = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.0], [1.0]])
    K, S = dlqr(A, B, np.diag([1.0, 2.0]), np.eye(1))
    np.testing.assert_allclose(K, [[0.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(S, [[1.0, 0.0], [0.0, 3.0]], atol=1e-12)


def test_an_unweighted_unstable_mode_is_mirrored():
    """Q = 0: the cheapest stabilising gain mirrors the unstable eigenvalues, Re a -> -a and lambda -> 1 / lambda."""
    A, B = np.diag([2.0, -1.0]), np.ones((2, 1))
    K, _ = lqr(A, B, np.zeros((2, 2)), np.eye(1))
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(A - B @ K).real), [-2.0, -1.0], rtol=1e-9)
    A = np.diag([2.0, 0.3])
    K, _ = dlqr(A, B, np.zeros((2, 2)), np.eye(1))
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(A - B @ K).real), [0.3, 0.5], rtol=1e-9)


@pytest.mark.parametrize("name", ["double integrator", "cart-pole", "planar quadrotor"])
def test_perturbed_gains_never_cost_less(name, rng):
    A, B = zoh(*SYSTEMS[name](), 0.05)
    n, nu = B.shape
    Q, R = np.eye(n), np.eye(nu)
    K, S = dlqr(A, B, Q, R)
    x0 = rng.standard_normal((200, n))
    best = np.einsum("ij,jk,ik->i", x0, S, x0)
    for scale in (0.0, 1e-3, 1e-2):
        gains = K + scale * np.abs(K).max() * rng.standard_normal((200, nu, n))
        x, cost = x0.copy(), np.zeros(200)
        for _ in range(2000):
            u = -np.einsum("bij,bj->bi", gains, x)
            cost += (x * x).sum(1) + (u * u).sum(1)
            x = np.minimum(np.maximum(x @ A.T + u @ B.T, -1e6), 1e6)
        assert (cost >= best * (1 - 1e-9)).all()
        if scale == 0.0:
            np.testing.assert_allclose(cost, best, rtol=1e-6)


def test_sampled_feedback_tends_to_continuous_feedback():
    """K(dt) = K + O(dt), S(dt) = S + O(dt^2), never below S; the sampled cost is that of a finely integrated run."""
    Q, R, N = np.diag([2.0, 0.5]), np.array([[0.7]]), np.array([[0.1], [0.2]])
    K, S = lqr(*DI, Q, R, N)
    gaps = []
    for dt in (0.1, 0.05, 0.025):
        Kd, Sd = sampled_lqr(*DI, Q, R, dt, N)
        assert np.linalg.eigvalsh(Sd - S)[0] > -1e-10
        gaps.append((np.abs(Kd - K).max(), np.abs(Sd - S).max()))
    gaps = np.array(gaps)
    np.testing.assert_allclose(gaps[0] / gaps[1], [2.0, 4.0], rtol=0.1)
    np.testing.assert_allclose(gaps[1] / gaps[2], [2.0, 4.0], rtol=0.1)


def test_the_cost_of_one_held_period(rng):
    A, B, Q, R, N = problem(rng, 3, 2)
    dt, pieces = 0.2, 4000
    x, u = rng.standard_normal(3), rng.standard_normal(2)
    Qd, Rd, Nd = sampled_cost(A, B, Q, R, dt, N)
    Ah, Bh = zoh(A, B, dt / (2 * pieces))
    W, total, state = np.block([[Q, N], [N.T, R]]), 0.0, x
    for _ in range(pieces):  # Simpson's rule
        middle = Ah @ state + Bh @ u
        end = Ah @ middle + Bh @ u
        total += dt / pieces / 6 * (quadratic(W, state, u) + 4 * quadratic(W, middle, u) + quadratic(W, end, u))
        state = end
    assert quadratic(np.block([[Qd, Nd], [Nd.T, Rd]]), x, u) == pytest.approx(total, rel=1e-10)


# ---- finite horizon


def least_squares(A, B, Q, R, N, c, x_d, u_d, Qf, T, x0, hard):
    """The optimal inputs (T, nu) and cost by one dense quadratic program in all inputs."""
    n, nu = B.shape
    free, forced = np.zeros(((T + 1) * n, T * nu)), np.zeros((T + 1) * n)
    forced[:n] = x0
    for i in range(T):
        rows, after = slice(i * n, (i + 1) * n), slice((i + 1) * n, (i + 2) * n)
        free[after], forced[after] = A @ free[rows], A @ forced[rows] + c
        free[after, i * nu : (i + 1) * nu] += B
    W = np.block([[Q, N], [N.T, R]])
    z = np.zeros((T * (n + nu), T * nu))
    target = np.zeros(T * (n + nu))
    for i in range(T):
        rows = slice(i * (n + nu), i * (n + nu) + n)
        inputs = slice(i * (n + nu) + n, (i + 1) * (n + nu))
        z[rows], target[rows] = free[i * n : (i + 1) * n], forced[i * n : (i + 1) * n] - x_d[i]
        z[inputs, i * nu : (i + 1) * nu], target[inputs] = np.eye(nu), -u_d
    weight = block_diag(*[W] * T)
    end, end_target = free[T * n :], forced[T * n :] - x_d[T]
    H, g = z.T @ weight @ z, z.T @ weight @ target
    constant = target @ weight @ target
    if hard:
        kkt = np.block([[H, end.T], [end, np.zeros((n, n))]])
        u = np.linalg.lstsq(kkt, -np.concatenate([g, end_target]), rcond=None)[0][: T * nu]
    else:
        H, g, constant = H + end.T @ Qf @ end, g + end.T @ Qf @ end_target, constant + end_target @ Qf @ end_target
        u = np.linalg.solve(H, -g)
    return u.reshape(T, nu), u @ H @ u + 2 * g @ u + constant


@pytest.mark.parametrize("hard", [False, True], ids=["Qf", "Qf=inf"])
@pytest.mark.parametrize("seed", range(6))
def test_the_backward_recursion_against_one_dense_program(seed, hard):
    rng = np.random.default_rng(seed)
    n, nu, T = int(rng.integers(1, 5)), int(rng.integers(1, 3)), 8
    A, B, Q, R, N = problem(rng, n, nu)
    A *= 0.7
    c, x_d, u_d, x0 = (rng.standard_normal(shape) for shape in (n, (T + 1, n), nu, n))
    Qf = np.inf if hard else np.diag(rng.uniform(0.5, 3.0, n))
    riccati = finite_horizon_dlqr(A, B, Q, R, Qf, T, N=N, c=c, x_d=x_d, u_d=u_d)
    u, cost = least_squares(A, B, Q, R, N, c, x_d, u_d, Qf, T, x0, hard)
    x = x0
    for i in range(T):
        played = -riccati.K[i] @ x - riccati.k[i]
        np.testing.assert_allclose(played, u[i], rtol=1e-6, atol=1e-6)
        x = A @ x + B @ played + c
    assert riccati.cost(x0) == pytest.approx(cost, rel=1e-7)
    if hard:
        np.testing.assert_allclose(x, x_d[T], atol=1e-8)


def test_time_varying_matrices_one_by_one(rng):
    """Varying data equal to constant data when constant, and the recursion is the principle of optimality."""
    A, B, Q, R, _ = problem(rng, 3, 2)
    constant = finite_horizon_dlqr(A, B, Q, R, Q, 6)
    stacked = finite_horizon_dlqr(*(np.broadcast_to(M, (6, *M.shape)) for M in (A, B, Q, R)), Q, 6)
    np.testing.assert_array_equal(stacked.K, constant.K)
    tail = finite_horizon_dlqr(A, B, Q, R, Q, 4)
    np.testing.assert_allclose(constant.S[2:], tail.S, rtol=1e-12)


@pytest.mark.parametrize(("name", "T"), [("double integrator", 20.0), ("cart-pole", 70.0), ("planar quadrotor", 20.0)])
def test_long_horizons_tend_to_the_infinite_one(name, T):
    A, B = SYSTEMS[name]()
    Q, R = np.eye(len(A)), np.eye(B.shape[1])
    K, S = lqr(A, B, Q, R)
    horizon = finite_horizon_lqr(A, B, Q, R, np.zeros_like(A), T)
    np.testing.assert_allclose(horizon.S(0.0), S, atol=1e-6 * np.abs(S).max())
    np.testing.assert_allclose(horizon.K(0.0), K, atol=1e-6 * np.abs(K).max())
    start_at_S = finite_horizon_lqr(A, B, Q, R, S, 1.0)
    np.testing.assert_allclose(start_at_S.S(0.0), S, rtol=1e-6, atol=1e-7 * np.abs(S).max())
    Ad, Bd = zoh(A, B, 0.05)
    np.testing.assert_allclose(
        finite_horizon_dlqr(Ad, Bd, Q, R, Q, 2000).K[0], dlqr(Ad, Bd, Q, R)[0], rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize("hard", [False, True], ids=["Qf", "Qf=inf"])
def test_continuous_and_discrete_horizons_meet_as_dt_goes_to_zero(hard):
    """The sampled problem costs more, by O(dt^2), also with targets, cross terms and time-varying matrices."""
    Q, R, N, Qf, T = np.diag([2.0, 0.5]), np.array([[0.7]]), np.array([[0.1], [0.2]]), np.diag([3.0, 1.0]), 2.0
    Qf = np.inf if hard else Qf
    x0 = np.array([0.5, -0.4])
    best = finite_horizon_lqr(*DI, Q, R, Qf, T, N=N)
    gaps = []
    for steps in (20, 40):
        Ad, Bd = zoh(*DI, T / steps)
        Qd, Rd, Nd = sampled_cost(*DI, Q, R, T / steps, N)
        gaps.append(finite_horizon_dlqr(Ad, Bd, Qd, Rd, Qf, steps, N=Nd).cost(x0) - best.cost(x0))
    assert gaps[1] > 0 and gaps[0] / gaps[1] == pytest.approx(4.0, rel=0.1)


@pytest.mark.parametrize("hard", [False, True], ids=["Qf", "Qf=inf"])
def test_the_cost_to_go_is_the_cost_of_playing_it(hard):
    """Affine dynamics, moving targets, time-varying A: play the controller finely and add up the cost."""
    from scipy.integrate import solve_ivp

    def A(t):
        return np.array([[0.0, 1.0], [-1.0 - 0.5 * np.sin(t), -0.1]])

    def x_d(t):
        return np.array([np.sin(t), np.cos(t)])

    def u_d(t):
        return np.array([0.3 * t])

    B, c, Q, R, N = DI[1], np.array([0.1, 0.4]), np.diag([4.0, 1.0]), np.array([[0.5]]), np.array([[0.2], [0.1]])
    Qf, T, x0 = (np.inf if hard else np.diag([5.0, 2.0])), 2.0, np.array([1.0, 0.5])
    controller = finite_horizon_lqr(A, B, Q, R, Qf, T, N=N, c=c, x_d=x_d, u_d=u_d)
    W, stop = np.block([[Q, N], [N.T, R]]), (T - controller.hold if hard else T)

    def rate(t, z):
        u = controller(z[:2], t)
        return np.concatenate([A(t) @ z[:2] + B @ u + c, [quadratic(W, z[:2] - x_d(t), u - u_d(t))]])

    end = solve_ivp(rate, (0.0, stop), [*x0, 0.0], rtol=1e-9, atol=1e-11).y[:, -1]
    final = controller.cost(end[:2], stop) if hard else (end[:2] - x_d(T)) @ Qf @ (end[:2] - x_d(T))
    assert end[2] + final == pytest.approx(controller.cost(x0), rel=1e-6)
    if hard:  # with the gain of T - hold the rest of the way leads close to the target
        coast = solve_ivp(lambda t, x: A(t) @ x + B @ controller(x, t) + c, (stop, T), end[:2], rtol=1e-9).y[:, -1]
        np.testing.assert_allclose(coast, x_d(T), atol=0.02)


@pytest.mark.parametrize("T", [0.5, 2.0])
def test_least_effort_to_rest_in_closed_form(T):
    """Q = 0, Qf = inf, double integrator: S(0) = [[12/T^3, 6/T^2], [6/T^2, 4/T]]."""
    S = finite_horizon_lqr(*DI, np.zeros((2, 2)), np.eye(1), np.inf, T).S(0.0)
    np.testing.assert_allclose(S, [[12 / T**3, 6 / T**2], [6 / T**2, 4 / T]], rtol=1e-8)


# ---- what cannot be done is said


BAD = {
    "not stabilisable": (lqr, np.diag([1.0, 2.0]), [[1.0], [0.0]], np.eye(2), np.eye(1), "eigenvalue 2"),
    "not stabilisable, discrete": (dlqr, np.diag([0.5, 1.5]), [[1.0], [0.0]], np.eye(2), np.eye(1), "eigenvalue 1.5"),
    "free integrator": (
        lqr,
        *DI,
        np.diag([0.0, 1.0]),
        np.eye(1),
        r"no weight on the mode with eigenvalue 0 \(in x\[0\]",
    ),
    "free integrator, discrete": (dlqr, *zoh(*DI, 0.1), np.diag([0.0, 1.0]), np.eye(1), "no weight on the mode"),
    "Q": (lqr, *DI, np.diag([1.0, -1.0]), np.eye(1), "Q must be positive semidefinite"),
    "Q shape": (lqr, *DI, np.ones(2), np.eye(1), r"Q must be \(2, 2\), got \(2,\); from weights use np.diag"),
    "Q asymmetric": (lqr, *DI, [[1.0, 1.0], [0.0, 1.0]], np.eye(1), "Q must be symmetric"),
    "Q nan": (lqr, *DI, np.full((2, 2), np.nan), np.eye(1), "Q must be finite"),
    "R": (dlqr, *DI, np.eye(2), np.zeros((1, 1)), "R must be positive definite"),
    "A": (lqr, np.ones((2, 3)), np.ones((2, 1)), np.eye(2), np.eye(1), "lqr: A must be square"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_problems(name):
    solver, A, B, Q, R, wanted = BAD[name]
    with pytest.raises(ValueError, match=wanted):
        solver(A, B, Q, R)


def test_bad_cross_term_and_horizons():
    with pytest.raises(ValueError, match="N R\\^-1 N"):
        lqr(*DI, np.eye(2), np.eye(1), [[2.0], [0.0]])
    with pytest.raises(ValueError, match="duration"):
        finite_horizon_lqr(*DI, np.eye(2), np.eye(1), np.eye(2), -1.0)
    with pytest.raises(ValueError, match="T = 1 steps cannot bring"):
        finite_horizon_dlqr(*zoh(*DI, 0.1), np.eye(2), np.eye(1), np.inf, 1)
    with pytest.raises(ValueError, match=r"x_d must be \(2,\)"):
        finite_horizon_dlqr(*DI, np.eye(2), np.eye(1), np.eye(2), 5, x_d=np.zeros(3))
    horizon = finite_horizon_lqr(*DI, np.eye(2), np.eye(1), np.inf, 1.0)
    with pytest.raises(ValueError, match="infinite at the end"):
        horizon.S(1.0)
