"""LinearFeedback, feedback along trajectories and on manifolds, PID and inverse dynamics, each closed with a plant."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
from controller_cases import engine

import controllers
from controllers import (
    Controller,
    LinearFeedback,
    TimeVaryingFeedback,
    balance,
    constrained_dlqr,
    constrained_lqr,
    dlqr,
    lqr,
    tvlqr,
    wrap_angle,
)
from controllers.manifold_lqr import tangent_basis
from controllers.tvlqr import on_grid
from sims import OdeSimulator, Trajectory, plants, simulate

UPRIGHT = np.array([0.0, np.pi, 0.0, 0.0])


# ---- the package


def test_every_name_can_be_imported_and_unknown_ones_are_listed():
    for name in controllers.__all__:
        assert getattr(controllers, name) is not None
    with pytest.raises(AttributeError, match="lqr"):
        controllers.nothing  # noqa: B018


@pytest.mark.parametrize("name", ["lqr", "tvlqr"])
def test_functions_named_like_their_file_stay_functions(name):
    importlib.import_module(f"controllers.{name}")
    assert callable(getattr(controllers, name))


def test_importing_all_controllers_imports_nothing_heavy():
    code = (
        "import sys, controllers\nfor name in controllers.__all__: getattr(controllers, name)\n"
        "print([m for m in ('scipy', 'mujoco', 'pydrake', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- LinearFeedback


@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_linear_feedback_is_what_it_says(batch, rng):
    K, goal, u_goal, x = (rng.standard_normal(s) for s in ((2, 4), 4, 2, (*batch, 4)))
    policy = LinearFeedback(K, goal, u_goal)
    assert isinstance(policy, Controller)
    np.testing.assert_allclose(policy(x, 0.0), u_goal - np.einsum("ij,...j->...i", K, x - goal), atol=1e-12)
    assert policy(x).shape == (*batch, 2)
    np.testing.assert_array_equal(policy(np.broadcast_to(goal, x.shape)), np.broadcast_to(u_goal, (*batch, 2)))


def test_linear_feedback_takes_lists_float32_and_object_arrays():
    policy = LinearFeedback([[1.0, 2.0]], [1.0, 0.0], 0.5)
    for x in ([2.0, 1.0], np.array([2.0, 1.0], np.float32), np.array([2.0, 1.0], object)):
        np.testing.assert_allclose(np.asarray(policy(x), float), [-2.5])


def test_linear_feedback_does_not_keep_what_it_was_given():
    K, goal = np.ones((1, 2)), np.zeros(2)
    policy = LinearFeedback(K, goal)
    K[:], goal[:] = 7.0, 7.0
    np.testing.assert_array_equal(policy(np.ones(2)), [-2.0])


def test_wrapped_angles_do_not_count_turns(rng):
    policy = LinearFeedback([[1.0, 2.0, 3.0]], [0.5, np.pi, 0.0], angles=(1,))
    x = rng.standard_normal((20, 3))
    around = x + 2 * np.pi * rng.integers(-3, 4, 20)[:, None] * [0, 1, 0]
    np.testing.assert_allclose(policy(around), policy(x), atol=1e-12)
    np.testing.assert_allclose(policy(around[0]), policy(x[0]), atol=1e-12)
    assert policy(x[0] + [2 * np.pi, 0, 0]) != pytest.approx(policy(x[0]))


def test_wrap_angle_is_exact_inside_and_half_open():
    inside = np.linspace(-np.pi, np.pi, 101)[:-1]
    np.testing.assert_array_equal(wrap_angle(inside), inside)
    assert wrap_angle(np.pi) == -np.pi
    np.testing.assert_allclose(wrap_angle(inside + 20 * np.pi), inside, atol=1e-13)


def test_feedback_on_a_manifold_does_not_see_the_sign_of_a_quaternion(rng):
    plant = plants.Quadrotor()
    goal = np.eye(13)[3]
    policy = LinearFeedback(rng.standard_normal((4, 12)), goal, plant.hover, difference=plant.difference)
    dx = 0.3 * rng.standard_normal((6, 12))
    x = plant.integrate(goal, dx)
    np.testing.assert_allclose(policy(x), plant.hover - dx @ policy.K.T, atol=1e-12)
    flipped = x.copy()
    flipped[:, 3:7] *= -1
    np.testing.assert_allclose(policy(flipped), policy(x), atol=1e-12)
    np.testing.assert_allclose(policy(x[0]), policy(x)[0], atol=1e-12)


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: LinearFeedback(np.ones((1, 3)), np.zeros(2)), "K has 3 columns"),
        (lambda: LinearFeedback(np.ones((4, 12)), np.eye(13)[3]), "difference=sim.difference"),
        (lambda: LinearFeedback(np.ones((1, 2)), np.zeros(2), np.zeros(2)), r"u_goal must be \(1,\)"),
        (lambda: LinearFeedback([[np.nan, 1.0]], np.zeros(2)), "gain K must be finite"),
        (lambda: LinearFeedback(np.ones((1, 2)), [0.0, np.inf]), "x_goal must be finite"),
        (lambda: LinearFeedback(np.ones((1, 2)), np.zeros(2), angles=(2,)), r"0\.\.1"),
        (lambda: LinearFeedback(np.ones((1, 2, 2)), np.zeros(2)), r"K must be \(nu, ndx\)"),
    ],
)
def test_bad_linear_feedback(make, wanted):
    with pytest.raises(ValueError, match=wanted):
        make()


# ---- along trajectories


def swing(sim, T=150):
    """A run of the cart-pole far from any equilibrium."""
    u = 8.0 * np.sin(np.linspace(0, 6, T))[:, None]
    return sim.rollout(np.array([0.0, 0.5, 0.0, 0.0]), u)


def test_tvlqr_at_an_equilibrium_is_lqr():
    sim = OdeSimulator(plants.CartPole(), dt=0.02)
    A, B = sim.linearize(UPRIGHT, np.zeros(1))
    K, S = dlqr(A, B, np.eye(4), np.eye(1))
    T = 60
    rest = Trajectory(sim.dt * np.arange(T + 1), np.tile(UPRIGHT, (T + 1, 1)), np.zeros((T, 1)))
    policy, cost = tvlqr(sim, rest, np.eye(4), np.eye(1), S)
    np.testing.assert_allclose(policy.K, np.broadcast_to(K, policy.K.shape), rtol=1e-6, atol=1e-6 * np.abs(K).max())
    np.testing.assert_allclose(cost[0], S, rtol=1e-6, atol=1e-7 * np.abs(S).max())


def test_tvlqr_holds_a_ride_that_open_loop_loses():
    sim = OdeSimulator(plants.CartPole(), dt=0.01)
    ride, _ = balance(sim, UPRIGHT, 0.0, np.diag([50, 10, 1, 1.0]), 0.01 * np.eye(1))
    run = simulate(sim, ride, [0.5, np.pi, 0.0, 0.0], 1.5)  # half a metre with the pole upright
    policy, S = tvlqr(sim, run, np.eye(4), 1e-4 * np.eye(1), 10 * np.eye(4))
    x0 = run.x[0] + [0.02, 0.02, -0.02, 0.02]
    closed, opened = simulate(sim, policy, x0, 1.5), sim.rollout(x0, run.u)
    assert np.abs(closed.x[-1] - run.x[-1]).max() < 0.03 < 1 < np.abs(opened.x[-1] - run.x[-1]).max()
    np.testing.assert_allclose(simulate(sim, policy, run.x[0], 1.5).x, run.x, atol=1e-9)
    small = 1e-4 * np.array([1.0, -1.0, 1.0, 1.0])  # S predicts the cost of small deviations
    near = simulate(sim, policy, run.x[0] + small, 1.5)
    dx, du = near.x - run.x, near.u - run.u
    cost = (dx[:-1] ** 2).sum() + 1e-4 * (du**2).sum() + 10 * (dx[-1] ** 2).sum()
    assert cost == pytest.approx(small @ S[0] @ small, rel=1e-3)


def test_tvlqr_with_a_hard_end_point_arrives():
    sim = OdeSimulator(plants.CartPole(), dt=0.05)
    run = swing(sim, T=40)
    policy, _ = tvlqr(sim, run, np.eye(4), np.eye(1), np.inf)
    offsets = []
    for size in (1e-2, 1e-3):
        end = simulate(sim, policy, run.x[0] + size * np.array([1, 1, -1, 1]), 2.0).x[-1]
        offsets.append(np.abs(end - run.x[-1]).max())
    assert offsets[1] < 1e-4 and offsets[0] / offsets[1] > 30  # zero to first order


def test_tvlqr_carries_a_plan_of_another_plant():
    """The defects of a plan made without damping become a feedforward; without it the error is larger."""
    sim = OdeSimulator(plants.Pendulum(b=0.3), dt=0.01)
    plan = OdeSimulator(plants.Pendulum(b=0.0), dt=0.01).rollout(np.array([1.0, 0.0]), np.zeros((200, 1)))
    Q, R, Qf = np.diag([10.0, 1.0]), np.eye(1), 100 * np.eye(2)
    policy, _ = tvlqr(sim, plan, Q, R, Qf)
    plain = TimeVaryingFeedback(plan.t, plan.x, plan.u, policy.K)

    def cost(candidate):
        run = simulate(sim, candidate, plan.x[0], 2.0)
        dx = run.x - plan.x
        return np.einsum("ti,ij,tj->", dx[:-1], Q, dx[:-1]) + (run.u**2).sum() + dx[-1] @ Qf @ dx[-1]

    assert cost(policy) < 0.8 * cost(plain)


def test_tvlqr_on_quaternions():
    plant = plants.Quadrotor()
    sim = OdeSimulator(plant, dt=0.01)
    u = plant.hover + 0.03 * np.sin(np.arange(100)[:, None] / 10 + np.arange(4))
    run = sim.rollout(np.eye(13)[3], u)
    policy, S = tvlqr(sim, run, np.eye(12), np.eye(4), 10 * np.eye(12))
    assert S.shape == (101, 12, 12)
    x0 = plant.integrate(run.x[0], 0.2 * np.ones(12))
    closed, opened = simulate(sim, policy, x0, 1.0), sim.rollout(x0, u)
    error, drift = (np.abs(sim.difference(run.x[-1], x)).max() for x in (closed.x[-1], opened.x[-1]))
    assert error < 0.3 * drift


def test_after_the_end_another_policy_takes_over():
    follow = TimeVaryingFeedback([0.0, 0.1, 0.2], np.zeros((3, 2)), [[1.0], [2.0]], np.zeros((2, 1, 2)))
    assert [follow(np.zeros(2), t)[0] for t in (0.0, 0.05, 0.1, 0.3 - 0.2, 0.2, 5.0)] == [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]
    follow.after = LinearFeedback(np.zeros((1, 2)), np.zeros(2), 9.0)
    assert follow(np.zeros(2), 0.19)[0] == 2.0 and follow(np.zeros((3, 2)), 0.2)[0] == 9.0


def test_trajectories_on_another_grid():
    sim = OdeSimulator(plants.CartPole(), dt=0.01)
    run = swing(OdeSimulator(plants.CartPole(), dt=0.05), T=30)
    with pytest.raises(ValueError, match="on_grid"):
        tvlqr(sim, run, np.eye(4), np.eye(1), np.eye(4))
    fine = on_grid(sim, run)
    np.testing.assert_allclose(fine.x[::5], run.x, atol=1e-12)
    np.testing.assert_allclose(fine.u[::5], run.u)
    policy, _ = tvlqr(sim, fine, np.eye(4), 0.01 * np.eye(1), 10 * np.eye(4))
    assert np.abs(simulate(sim, policy, run.x[0], 1.5).x[-1] - run.x[-1]).max() < 0.01
    with pytest.raises(ValueError, match="one trajectory at a time"):
        tvlqr(sim, sim.rollout(np.zeros((2, 4)), np.zeros((5, 1))), np.eye(4), np.eye(1), np.eye(4))


# ---- on manifolds


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("solver", ["lqr", "dlqr"])
def test_a_constrained_lqr_is_the_lqr_of_the_free_coordinates(solver, seed):
    """Hide a 3-state system in 5 coordinates: gain and cost come back, and F dx = 0 is kept."""
    rng = np.random.default_rng(seed)
    P = np.linalg.qr(rng.standard_normal((5, 5)))[0][:3]
    F = np.linalg.qr(rng.standard_normal((2, 2)))[0] @ tangent_basis(P)
    Ay, By, Q = rng.standard_normal((3, 3)), rng.standard_normal((3, 2)), np.diag(rng.uniform(0.5, 2, 5))
    plain, constrained = {"lqr": (lqr, constrained_lqr), "dlqr": (dlqr, constrained_dlqr)}[solver]
    Ky, Sy = plain(Ay, By, P @ Q @ P.T, np.eye(2))
    K, S = constrained(P.T @ Ay @ P, P.T @ By, Q, np.eye(2), F)
    np.testing.assert_allclose(K, Ky @ P, rtol=1e-7, atol=1e-9 * np.abs(K).max())
    np.testing.assert_allclose(S, P.T @ Sy @ P, rtol=1e-7, atol=1e-8 * np.abs(S).max())
    np.testing.assert_allclose(K @ F.T, 0.0, atol=1e-8 * np.abs(K).max())


def test_constraints_that_the_motion_does_not_keep():
    A, B = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.0], [1.0]])
    with pytest.raises(ValueError, match="leaves F x = 0"):
        constrained_lqr(A, B, np.eye(2), np.eye(1), [[1.0, 0.0]])
    with pytest.raises(ValueError, match="no state to control"):
        constrained_lqr(A, B, np.eye(2), np.eye(1), np.eye(2))
    with pytest.raises(ValueError, match=r"F must be \(m, 2\)"):
        constrained_lqr(A, B, np.eye(2), np.eye(1), np.eye(3))


@pytest.mark.parametrize("backend", ["ode", "MujocoSimulator", "DrakeSimulator"])
def test_the_quadrotor_hovers_from_a_tilt(backend):
    plant = plants.Quadrotor()
    sim = OdeSimulator(plant, dt=0.01) if backend == "ode" else engine(backend, "quadrotor", dt=0.01)
    goal = np.eye(13)[3]
    goal[:3] = 0.3, -0.2, 1.0
    policy, S = balance(sim, goal, plant.hover, np.eye(12), np.eye(4))
    assert S.shape == (12, 12) and np.linalg.eigvalsh(S)[0] > 0
    x0 = sim.integrate(goal, 0.3 * np.ones(12))
    x0[3:7] *= -1.0  # the same attitude
    end = simulate(sim, policy, x0, 10.0).x[-1]
    assert np.abs(sim.difference(goal, end)).max() < 1e-3


def test_balance_refuses_what_is_no_equilibrium():
    sim = OdeSimulator(plants.CartPole(), dt=0.01)
    with pytest.raises(ValueError, match="not an equilibrium"):
        balance(sim, [0.0, 2.0, 0.0, 0.0], 0.0, np.eye(4), np.eye(1))


def test_balance_with_angles_goes_the_short_way():
    sim = OdeSimulator(plants.CartPole(), dt=0.01)
    policy, _ = balance(sim, UPRIGHT, 0.0, np.diag([9, 9, 1, 1.0]), 0.01 * np.eye(1), angles=(1,))
    run = simulate(sim, policy, [0.0, 0.1 - 3 * np.pi, 0.0, 0.0], 12.0)
    np.testing.assert_allclose(run.x[-1], UPRIGHT - [0, 4 * np.pi, 0, 0], atol=1e-3)
