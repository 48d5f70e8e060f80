"""Splines, samplers and the planner that rolls them out, against closed forms."""

import ast
from pathlib import Path

import numpy as np
import pytest

from controllers.cost import Cost, quadratic, total_cost, tracking
from controllers.mpc import sampling
from controllers.mpc.sampling import CEM, MPPI, PredictiveSampling, Search
from controllers.mpc.sampling_planner import SamplingPlanner
from controllers.mpc.spline import Spline
from sims import OdeSimulator
from sims.plants import CartPole, DoubleIntegrator
from sims.trajectory import Trajectory

SAMPLERS = [PredictiveSampling(64, std=0.5), CEM(64, 8, std=0.5), MPPI(64, std=0.5, temperature=0.1)]
NAMES = ["predictive", "cem", "mppi"]
ORDERS = ["zero", "linear", "cubic"]


def point_mass(limit: float = np.inf) -> OdeSimulator:
    sim = OdeSimulator(DoubleIntegrator(), dt=0.1)
    sim.u_min, sim.u_max = np.array([-limit]), np.array([limit])
    return sim


COST = quadratic([1.0, 0.1], [0.1], x_goal=[0.0, 0.0], qf=[5.0, 5.0])


def closed_form(sim, spline: Spline, x0, T: int) -> tuple[np.ndarray, float]:
    """The least cost over all splines: J is quadratic in the knots; its Hessian from J at unit knots."""

    def J(knots):
        return float(total_cost(COST, sim.rollout(x0, spline.inputs(knots))))

    P, eye = spline.P, np.eye(spline.P)[..., None]
    J0 = J(np.zeros((P, 1)))
    one = np.array([J(e) for e in eye])
    H = np.array([[J(a + b) - J(a) - J(b) + J0 for b in eye] for a in eye])
    gradient = one - J0 - 0.5 * np.diag(H)
    best = -np.linalg.solve(H, gradient)
    return best[:, None], J(best[:, None])


TO_OPTIMUM = {
    "cem": (CEM(200, 20, std=1.0, std_min=0.02), 100, 1e-5),
    "mppi": (MPPI(400, std=1.0, temperature=0.02, shrink=0.92), 80, 1e-4),
    "predictive": (PredictiveSampling(400, std=1.0, shrink=0.8), 60, 1e-9),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", TO_OPTIMUM)
def test_the_closed_form_optimum_of_a_linear_quadratic_problem(name, order):
    """The cost within the tolerance in the table, relative to what there is to gain from u = 0."""
    sampler, rounds, tolerance = TO_OPTIMUM[name]
    sim, x0, T = point_mass(), np.array([1.0, -0.5]), 20
    planner = SamplingPlanner(sim, COST, sampler, T, knots=5, spline=order, iterations=rounds)
    knots, least = closed_form(sim, planner.spline, x0, T)
    nothing = float(total_cost(COST, sim.rollout(x0, np.zeros((T, 1)))))
    plan = planner.plan(x0)
    assert least - 1e-9 <= plan.cost <= least + tolerance * (nothing - least)
    np.testing.assert_allclose(plan.trajectory.u, planner.spline.inputs(knots), atol=10 * np.sqrt(tolerance))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=NAMES)
@pytest.mark.parametrize("order", ORDERS)
def test_the_plan_is_a_rollout_of_its_inputs_costs_what_it_says_and_is_not_worse_than_the_guess(sampler, order):
    sim, x0 = point_mass(0.8), np.array([1.0, 0.3])
    planner = SamplingPlanner(sim, COST, sampler, 15, knots=4, spline=order)
    plan, last = planner.plan(x0), np.inf
    for _ in range(6):
        run = sim.rollout(x0, plan.trajectory.u)
        assert run.x.tobytes() == plan.trajectory.x.tobytes()
        assert plan.cost == pytest.approx(float(total_cost(COST, run)), rel=1e-12)
        assert np.abs(plan.trajectory.u).max() <= 0.8 and plan.status == "iteration_limit" and plan.seconds > 0
        assert plan.cost <= last + 1e-9 or order == "cubic"  # a clipped cubic is none: its knots are fitted anew
        last, plan = plan.cost, planner.plan(x0, plan)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=NAMES)
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(sampler):
    sim, x0 = OdeSimulator(CartPole(force_limit=20.0), dt=0.02), np.array([0.0, 0.1, 0.0, 0.0])
    cost = quadratic([1, 10, 0.1, 0.1], [0.01], x_goal=[0, np.pi, 0, 0])
    make = lambda seed: SamplingPlanner(sim, cost, sampler, 30, iterations=2, seed=seed)  # noqa: E731
    first = make(1)
    a, b, c = first.plan(x0), make(1).plan(x0), make(2).plan(x0)
    assert a.trajectory.u.tobytes() == b.trajectory.u.tobytes() != c.trajectory.u.tobytes()
    assert first.plan(x0).trajectory.u.tobytes() == a.trajectory.u.tobytes()  # no memory
    later = Trajectory(a.trajectory.t + 0.02, a.trajectory.x, a.trajectory.u)
    assert first.plan(x0, a.trajectory).trajectory.u.tobytes() != first.plan(x0, later).trajectory.u.tobytes()


def test_mujoco_gives_the_same_bytes_on_any_number_of_threads():
    pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install mujoco")
    from sims import MujocoSimulator, models

    cost = quadratic([1, 10, 0.1, 0.1], [0.01], x_goal=[0, np.pi, 0, 0])
    plans = []
    for nthread in (1, 2, 3):
        sim = MujocoSimulator(models.cartpole, dt=0.02, nthread=nthread)
        sim.u_min, sim.u_max = np.array([-20.0]), np.array([20.0])
        plans.append(SamplingPlanner(sim, cost, CEM(32, 4, std=5.0), 20, iterations=2).plan(np.zeros(4)))
        sim.close()
    assert len({plan.trajectory.u.tobytes() for plan in plans}) == 1


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("P, T", [(3, 3), (4, 17), (5, 100)])
def test_splines_pass_through_their_knots_and_knots_come_back(order, P, T, rng):
    from scipy.interpolate import CubicSpline

    spline, knots = Spline(order, P, T), rng.standard_normal((7, P, 2))
    u, at = spline.inputs(knots), np.linspace(0, T - 1, P)
    assert u.shape == (7, T, 2)
    np.testing.assert_allclose(u, np.einsum("tp,npu->ntu", spline.W, knots), atol=1e-12)
    for i in range(7):
        np.testing.assert_allclose(spline.knots(u[i]), knots[i], atol=1e-9)
        if order == "linear":
            np.testing.assert_allclose(u[i, :, 1], np.interp(np.arange(T), at, knots[i, :, 1]), atol=1e-12)
        if order == "cubic":
            np.testing.assert_allclose(u[i], CubicSpline(at, knots[i], bc_type="natural")(np.arange(T)), atol=1e-9)
    np.testing.assert_allclose(spline.inputs(knots[:, :, :1]), u[:, :, :1], atol=1e-12)
    if order == "zero":
        assert len(np.unique(u[0, :, 0])) == P and (np.abs(np.bincount(spline._piece) - T / P) < 1).all()


def test_updates_of_the_samplers_by_hand():
    knots, cost = np.array([0.0, 1.0, 2.0, 5.0])[:, None, None], np.array([3.0, 1.0, 2.0, np.inf])
    search = Search(np.zeros((1, 1)), np.ones((1, 1)))
    assert PredictiveSampling(4).update(search, knots, cost).mean == 1.0
    found = CEM(4, 2, std_min=0.7, smoothing=0.5).update(search, knots, cost)
    assert found.mean == 0.5 * 1.5 and found.std == 0.5 * 0.5 + 0.5
    assert CEM(4, 2, std_min=0.9).update(search, knots, cost).std == 0.9
    weight = np.exp(-np.array([2.0, 0.0, 1.0]) / 0.5)
    found = MPPI(4, temperature=0.5, shrink=0.5).update(search, knots, cost)
    assert found.mean == pytest.approx((weight @ [0.0, 1.0, 2.0]) / weight.sum()) and found.std == 0.5
    lost = np.full(4, np.inf)
    assert CEM(4, 2).update(search, knots, lost) == search and MPPI(4).update(search, knots, lost) == search


def test_draws_are_normal_about_the_mean_which_comes_first(rng):
    mean, std = np.array([[1.0, -2.0], [3.0, 0.0]]), np.array([0.5, 2.0])
    sampler = PredictiveSampling(20_000, std=std)
    drawn = sampler.propose(sampler.start(mean), rng)
    np.testing.assert_array_equal(drawn[0], mean)
    np.testing.assert_allclose(drawn[1:].mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(drawn[1:].std(axis=0), np.broadcast_to(std, (2, 2)), rtol=0.03)


def test_a_sampler_knows_no_simulator():
    tree = ast.parse(Path(sampling.__file__).read_text())
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert imported == {"abc", "dataclasses", "typing", "numpy"}


def test_several_rounds_converge_and_say_so():
    sim = point_mass(1.0)
    planner = SamplingPlanner(sim, COST, CEM(64, 8, std=1.0), 15, knots=4, iterations=25)
    plan = planner.plan([1.0, 0.0])
    costs = [row.cost for row in plan.log]
    assert plan.status == "converged" and len(costs) == 25 and costs == sorted(costs, reverse=True)


def test_a_cost_along_the_run_is_cut_at_the_time_of_the_guess():
    sim = point_mass()
    t = 0.1 * np.arange(61)
    goal = Trajectory(t, np.stack([np.sin(t), np.cos(t)], axis=-1), -np.sin(t[:-1, None]))
    planner = SamplingPlanner(
        sim, tracking([10, 1], [0.01], goal, qf=[10, 1]), CEM(128, 10, std=1.0), 20, iterations=20
    )
    x0, start = goal.x[30], Trajectory(t[30:51], goal.x[30:51], np.zeros((20, 1)))
    plan = planner.plan(x0, start)
    assert plan.trajectory.t[0] == t[30] and np.abs(plan.trajectory.x - goal.x[30:51]).max() < 0.1


class Wild(Cost):
    """The size of the state, so that what runs away costs inf or nan."""

    def stage(self, x, u):
        return (x**2).sum(-1) - (x**2).sum(-1) * 0.5

    def terminal(self, x):
        return (x**2).sum(-1)

    def expand(self, x, u):
        raise NotImplementedError

    def expand_terminal(self, x):
        raise NotImplementedError


def test_draws_that_run_away_do_not_win_and_all_of_them_are_a_status():
    sim = OdeSimulator(CartPole(l=1e-3, force_limit=1e9), dt=0.5, integrator="euler")
    planner = SamplingPlanner(sim, Wild(), PredictiveSampling(16, std=1e8), 40)
    plan = planner.plan(np.full(sim.nx, 1e-3))
    run = sim.rollout(np.full(sim.nx, 1e-3), np.full((40, 1), 1e9))
    assert run.status == "diverged"  # else the test says nothing
    assert plan.status == "diverged" or np.isfinite(plan.trajectory.x).all()
    hopeless = SamplingPlanner(sim, Wild(), PredictiveSampling(16, std=1e8), 40).plan(np.full(sim.nx, 1e80))
    assert hopeless.status == "diverged" and "std" in hopeless.message


SIM = point_mass(1.0)
BAD = [
    (lambda: SamplingPlanner(SIM, COST, SAMPLERS[0], 0), "at least 1"),
    (lambda: SamplingPlanner(SIM, COST, SAMPLERS[0], 10, iterations=0), "at least 1"),
    (lambda: SamplingPlanner(SIM, COST, SAMPLERS[0], 10, spline="qubic"), "Did you mean 'cubic'"),
    (lambda: SamplingPlanner(SIM, COST, SAMPLERS[0], 3, knots=5), "2 to 3 knots"),
    (lambda: SamplingPlanner(SIM, COST, SAMPLERS[0], 9, u_start=[1.0, 2.0]), "u_start must have shape"),
    (lambda: SamplingPlanner(SIM, COST, PredictiveSampling(8, std=np.ones(3)), 9), "broadcast"),
    (lambda: SamplingPlanner(SIM, COST, SAMPLERS[0], 10).plan(np.zeros((2, 2))), "one state"),
    (lambda: SamplingPlanner(SIM, COST, SAMPLERS[0], 10).plan([np.nan, 0.0]), "must be finite"),
    (lambda: SamplingPlanner(SIM, COST, SAMPLERS[0], 10).plan([0.0, 0.0], np.zeros((9, 1))), r"must be \(10, 1\)"),
    (lambda: PredictiveSampling(1), "at least 2 samples"),
    (lambda: MPPI(8, temperature=0.0), "temperature > 0"),
    (lambda: CEM(8, 9), "2 <= elites <= samples"),
    (lambda: PredictiveSampling(8, std=0.0), "positive and finite"),
]


@pytest.mark.parametrize("call, message", BAD, ids=[m for _, m in BAD])
def test_bad_arguments_are_clear_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
