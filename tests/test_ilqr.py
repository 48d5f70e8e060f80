"""iLQR against Riccati, SciPy, finite differences and itself from other starts and in other engines."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import lsq_linear, minimize

from controllers import ILQR, TimeVaryingFeedback, finite_horizon_dlqr
from controllers.constraint import Constraint
from controllers.cost import Cost, Expansion, quadratic, total_cost
from controllers.derivatives import Differentiated
from sims import MujocoSimulator, OdeSimulator, Trajectory, models, simulate
from sims.plants import Acrobot, CartPole, DoubleIntegrator, Pendulum, Quadrotor
from sims.system import System, stack

REFERENCE = Path("/work/shared/reference/public.json")


class Linear(System):
    """xdot = Ac x + Bc u, so that an Euler step is exactly linear."""

    x_names, u_names = ("a", "b", "c"), ("u", "w")
    nx, nu = 3, 2
    Ac = np.array([[0.0, 1.0, 0.0], [-1.0, 0.2, 0.5], [0.3, 0.0, -0.4]])
    Bc = np.array([[0.0, 0.3], [1.0, 0.0], [0.0, 0.7]])

    def __init__(self, limit: float = np.inf):
        self.limit = limit

    @property
    def u_max(self):
        return np.full(2, self.limit)

    def f(self, x, u):
        return x @ self.Ac.T + u @ self.Bc.T


LINEAR_COST = quadratic([1.0, 0.5, 2.0], [0.1, 0.4], x_goal=[1.0, 0.0, -1.0], u_goal=[0.2, 0.0], qf=[10.0, 3.0, 5.0])
DT, T = 0.1, 25
X0 = np.array([0.5, -1.0, 2.0])
SWING = quadratic([1, 1, 0.1, 0.1], [0.01], x_goal=[0, np.pi, 0, 0], qf=[1000, 1000, 100, 100])


def car_reference():
    """The entry ilqr_car_circle of the reference values, written out where the file is not there."""
    if REFERENCE.exists():
        return next(e for e in json.loads(REFERENCE.read_text())["entries"] if e["id"] == "ilqr_car_circle")
    value = {"initial": 267.5207321, "converged": 23.59934924}
    return {"plant_parameters": {"x0": [-3.0, 1.0, -0.2, 0.0, 0.0], "N": 50}, "value": value}


# ---- linear plants


def test_one_iteration_on_a_linear_plant_gives_the_riccati_gains():
    plan = ILQR(Linear(), LINEAR_COST, T, dt=DT, integrator="euler").plan(X0)
    A, B, c = np.eye(3) + DT * Linear.Ac, DT * Linear.Bc, LINEAR_COST
    exact = finite_horizon_dlqr(A, B, DT * c.Q, DT * c.R, c.Qf, T, x_d=np.tile(c.x_goal, (T + 1, 1)), u_d=c.u_goal)
    assert plan.ok and plan.log[0].step == 1.0 and plan.log[0].cost == pytest.approx(plan.cost, 1e-12)
    np.testing.assert_allclose(plan.K, exact.K, atol=1e-8)
    assert plan.cost == pytest.approx(float(exact.cost(X0)), rel=1e-10)


def condensed(x0) -> tuple[np.ndarray, np.ndarray]:
    """M, b with cost = |M u - b|^2 for all inputs u (T nu,) of the linear problem."""
    A, B, c = np.eye(3) + DT * Linear.Ac, DT * Linear.Bc, LINEAR_COST
    rows, rights, G, x = [], [], np.zeros((3, 2 * T)), np.array(x0, float)
    for k in range(T):
        W = np.sqrt(DT * c.Q)
        rows += [W @ G, np.sqrt(DT * c.R) @ np.eye(2 * T)[2 * k : 2 * k + 2]]
        rights += [W @ (c.x_goal - x), np.sqrt(DT * c.R) @ c.u_goal]
        G = A @ G + B @ np.eye(2 * T)[2 * k : 2 * k + 2]
        x = A @ x
    rows, rights = [*rows, np.sqrt(c.Qf) @ G], [*rights, np.sqrt(c.Qf) @ (c.x_goal - x)]
    return np.concatenate(rows), np.concatenate(rights)


@pytest.mark.parametrize("limit", [0.3, 1.0, 5.0])
def test_input_limits_against_the_exact_bounded_least_squares(limit):
    plan = ILQR(Linear(limit), LINEAR_COST, T, dt=DT, integrator="euler", tolerance=1e-13).plan(X0)
    M, b = condensed(X0)
    exact = lsq_linear(M, b, (-limit, limit), method="bvls", tol=1e-14, max_iter=1000)
    assert plan.ok
    assert plan.cost == pytest.approx(2 * exact.cost, rel=1e-9)
    np.testing.assert_allclose(plan.trajectory.u.ravel(), exact.x, atol=1e-4)
    assert np.abs(plan.trajectory.u).max() <= limit


def test_gaps_of_a_guess_close_in_one_full_step(rng):
    planner = ILQR(Linear(), LINEAR_COST, T, dt=DT, integrator="euler")
    guess = Trajectory(DT * np.arange(T + 1), rng.normal(size=(T + 1, 3)), rng.normal(size=(T, 2)))
    plan, alone = planner.plan(X0, guess), planner.plan(X0)
    assert plan.ok and plan.log[0].step == 1.0 and plan.log[0].defect == 0.0
    assert plan.cost == pytest.approx(alone.cost, rel=1e-10)
    np.testing.assert_allclose(plan.trajectory.x, alone.trajectory.x, atol=1e-7)


def test_a_state_constraint_against_scipy():
    ceiling = Constraint("b stays low", lambda x, u: x[..., 1:2], [-np.inf], [0.1], reads="x", knots=tuple(range(5, T)))
    planner = ILQR(Linear(3.0), LINEAR_COST, T, dt=DT, integrator="euler", constraints=[ceiling])
    plan = planner.plan(X0)
    M, b = condensed(X0)
    A, B = np.eye(3) + DT * Linear.Ac, DT * Linear.Bc
    G, g, x = [], [], np.zeros((3, 2 * T))
    free = X0
    for k in range(T):
        x, free = A @ x + B @ np.eye(2 * T)[2 * k : 2 * k + 2], A @ free
        if 5 <= k + 1 < T:
            G.append(x[1])
            g.append(0.1 - free[1])
    exact = minimize(
        lambda u: np.square(M @ u - b).sum(),
        np.zeros(2 * T),
        jac=lambda u: 2 * M.T @ (M @ u - b),
        bounds=[(-3.0, 3.0)] * (2 * T),
        constraints={"type": "ineq", "fun": lambda u: np.array(g) - np.array(G) @ u, "jac": lambda u: -np.array(G)},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert exact.success and plan.ok and not plan.violations
    assert ceiling.violation(plan.trajectory.x, plan.trajectory.u).max() <= planner.constraint_tolerance
    assert plan.cost == pytest.approx(exact.fun, rel=1e-4)


def test_constraints_that_cannot_hold_are_infeasible_and_named():
    left = Constraint("stay left", lambda x, u: x[..., :1], [-2.0], [-1.0], knots="final", reads="x", unit="m")
    right = Constraint("stay right", lambda x, u: x[..., :1], [1.0], [2.0], knots="final", reads="x", unit="m")
    cost = quadratic([0, 0], [1.0], x_goal=[0, 0])
    plan = ILQR(DoubleIntegrator(), cost, 10, dt=0.1, constraints=[left, right]).plan([0.0, 0.0])
    assert plan.status == "infeasible" and {v.label for v in plan.violations} == {"stay left", "stay right"}


# ---- curved ones


def planned(name: str):
    if name == "cartpole":
        return ILQR(CartPole(force_limit=50.0), SWING, 150, dt=0.02), np.zeros(4)
    if name == "pendulum":
        cost = quadratic([1, 0.1], [0.1], x_goal=[np.pi, 0], qf=[100, 10])
        return ILQR(Pendulum(torque_limit=3.0), cost, 80, dt=0.05), np.array([0.2, 0.0])
    if name == "acrobot":
        cost = quadratic([1, 1, 0.1, 0.1], [0.1], x_goal=[np.pi, 0, 0, 0], qf=[300, 300, 30, 30])
        return ILQR(Acrobot(), cost, 100, dt=0.03), np.zeros(4)
    plant = Quadrotor()
    x0, goal = np.zeros(13), np.zeros(13)
    x0[3] = goal[3] = 1.0
    goal[:3] = 1.0, -0.5, 0.7
    hover = np.full(4, plant.m * plant.g / 4)
    cost = quadratic(
        [1.0] * 6 + [0.1] * 6, [0.1] * 4, x_goal=goal, qf=[50.0] * 6 + [5.0] * 6, u_goal=hover,
        difference=plant.difference, integrate=plant.integrate,
    )  # fmt: skip
    return ILQR(plant, cost, 40, dt=0.05), x0


NAMES = ("cartpole", "pendulum", "acrobot", "quadrotor")


@pytest.mark.parametrize("name", NAMES)
def test_at_the_answer_the_gradient_by_free_inputs_vanishes(name, rng):
    planner, x0 = planned(name)
    guess = np.tile(planner.cost.u_goal, (planner.T, 1)) + 0.1 * rng.normal(size=(planner.T, planner.dynamics.nu))
    plan = planner.plan(x0, guess)
    assert plan.ok, plan.message
    sim, u = planner.dynamics.sim, plan.trajectory.u
    start = float(total_cost(planner.cost, sim.rollout(x0, guess)))
    assert plan.cost == pytest.approx(float(total_cost(planner.cost, sim.rollout(x0, u))), rel=1e-6)
    low, high = (np.broadcast_to(limit, u.shape) for limit in (sim.u_min, sim.u_max))
    h, steep = 1e-5, 0.0
    for k in rng.choice(planner.T, 12, replace=False):
        for j in range(u.shape[1]):
            if low[k, j] + h < u[k, j] < high[k, j] - h:
                e = np.zeros_like(u)
                e[k, j] = h
                up, down = (float(total_cost(planner.cost, sim.rollout(x0, u + s * e))) for s in (1, -1))
                steep = max(steep, abs(up - down) / (2 * h))
    assert steep < 1e-3 * max(1.0, abs(start - plan.cost))
    costs = [row.cost for row in plan.log]
    assert all(b <= a for a, b in pairwise(costs))


@pytest.mark.parametrize("name", NAMES)
def test_gains_hold_the_plan_from_a_perturbed_start(name, rng):
    planner, x0 = planned(name)
    plan = planner.plan(x0, np.tile(planner.cost.u_goal, (planner.T, 1)) + 0.01 * rng.normal(size=(planner.T, 1)))
    sim, run = planner.dynamics.sim, plan.trajectory
    assert plan.K.shape == (planner.T, sim.nu, sim.ndx)
    away = sim.integrate(x0, 1e-3 * rng.normal(size=sim.ndx))
    track = TimeVaryingFeedback(run.t, run.x, run.u, plan.K, difference=sim.difference)
    closed = simulate(sim, track, away, duration=planner.T * sim.dt)
    again = planner.plan(away, plan)
    assert again.ok and len(again.log) <= len(plan.log)
    cost = float(total_cost(planner.cost, closed))
    assert again.cost - 1e-6 <= cost <= again.cost + 1e-3 * (1 + again.cost)  # feedback is right to first order


def test_the_same_plan_from_the_same_guess_and_states_guessed(rng):
    planner, x0 = planned("cartpole")
    guess = rng.normal(size=(150, 1))
    a, b = planner.plan(x0, guess), planner.plan(x0, guess)
    assert a.trajectory.x.tobytes() == b.trajectory.x.tobytes() and a.K.tobytes() == b.K.tobytes()
    line = Trajectory(0.02 * np.arange(151), np.linspace(x0, SWING.x_goal, 151), np.zeros((150, 1)))
    c = planner.plan(x0, line)
    assert c.ok and c.cost < 2 * a.cost
    assert planner.plan(x0, a).cost == pytest.approx(a.cost, rel=1e-8)


class CircleCost(Cost):
    """(sqrt(x^2 + y^2 + 1e-6) - 2)^2 + (v - 2)^2 + 0.1 u'u a step of 0.1 s, the last state without the inputs."""

    def __init__(self, dt: float):
        self.dt = dt
        self._stage, self._end = Differentiated(self.stage, "stage"), Differentiated(self.terminal, "terminal")

    def stage(self, x, u):
        return (self.terminal(x) + 0.1 * (u * u).sum(-1)) / self.dt

    def terminal(self, x):
        r = np.sqrt(x[..., 0] * x[..., 0] + x[..., 1] * x[..., 1] + 1e-6)
        return (r - 2.0) * (r - 2.0) + (x[..., 3] - 2.0) * (x[..., 3] - 2.0)

    def expand(self, x, u):
        l, g, H = self._stage.hessian(x, u)
        return Expansion(l, g[..., :5], g[..., 5:], H[..., :5, :5], H[..., 5:, :5], H[..., 5:, 5:])

    def expand_terminal(self, x):
        l, g, H = self._end.hessian(x)
        return Expansion(l, g, None, H, None, None)


class Car(System):
    """A kinematic car x, y, heading, v, steer with acceleration and steering rate."""

    nx, nu = 5, 2
    x_names, u_names = ("x", "y", "heading", "v", "steer"), ("acceleration", "steer_rate")

    def f(self, x, u):
        heading, v, steer = x[..., 2], x[..., 3], x[..., 4]
        return stack([v * np.cos(heading), v * np.sin(heading), v * np.tan(steer), u[..., 0], u[..., 1]])


def test_the_car_on_a_circle_of_the_reference():
    entry = car_reference()
    planner = ILQR(Car(), CircleCost(0.1), entry["plant_parameters"]["N"] - 1, dt=0.1, integrator="euler")
    x0 = np.array(entry["plant_parameters"]["x0"])
    wanted = entry["value"]
    guess = 1e-4 * np.random.RandomState(0).randn(planner.T, 2)  # the reference began with these
    begin = planner.dynamics.sim.rollout(x0, guess)
    assert float(total_cost(planner.cost, begin)) == pytest.approx(wanted["initial"], abs=0.01)
    for u in (guess, None):
        plan = planner.plan(x0, u)
        assert plan.ok and plan.cost == pytest.approx(wanted["converged"], abs=0.01)


# ---- engines


def test_in_mujoco_the_plan_is_the_one_of_the_closed_form():
    sim = MujocoSimulator(models.pendulum, dt=0.02, integrator="euler")
    cost = quadratic([1, 0.1], [0.1], x_goal=[np.pi, 0], qf=[100, 10])
    plan = ILQR(sim, cost, 60).plan(np.zeros(2), np.full((60, 1), 0.1))
    assert plan.ok, plan.message
    again = sim.rollout(np.zeros(2), plan.trajectory.u)
    np.testing.assert_allclose(again.x, plan.trajectory.x, atol=1e-10)
    assert plan.cost == pytest.approx(float(total_cost(cost, again)), rel=1e-10)


@pytest.mark.parametrize("model", ["iiwa14", "quadrotor", "acrobot"])
def test_derivatives_and_rollouts_along_a_run_in_mujoco(model, rng):
    from sims.mujoco_along import Along

    sim = MujocoSimulator(getattr(models, model), dt=0.002, integrator="euler", contact=False)
    x = sim.rollout(start(sim), 0.1 * rng.normal(size=(12, sim.nu))).x
    u = 0.1 * rng.normal(size=(12, sim.nu))
    A, B = Along(sim, 3).linearize(x[:-1], u)
    wanted = sim.linearize(x[:-1], u)
    np.testing.assert_allclose(A, wanted[0], atol=1e-4 * np.abs(wanted[0]).max())
    np.testing.assert_allclose(B, wanted[1], atol=1e-4 * np.abs(wanted[1]).max())
    assert Along(sim, 1).linearize(x[:-1], u)[0].tobytes() == A.tobytes()
    K = 0.01 * rng.normal(size=(12, sim.nu, sim.ndx))
    run, applied = Along(sim).rollout(x, u, K)
    for k in range(12):
        np.testing.assert_allclose(applied[k], sim.saturate(u[k] - K[k] @ sim.difference(x[k], run[k])), atol=1e-14)
        np.testing.assert_array_equal(run[k + 1], sim.step(run[k], applied[k]))


def start(sim):
    x = np.zeros(sim.nx)
    for quat in sim._quats:
        x[quat[0]] = 1.0
    return x


@pytest.mark.slow
def test_in_drake_the_plan_is_the_one_of_the_closed_form():
    pytest.importorskip("pydrake")
    from sims import DrakeSimulator

    cost = quadratic([1, 1, 0.1, 0.1], [0.1], x_goal=[0.5, 0, 0, 0], qf=[100, 100, 10, 10])
    plans = []
    for sim in (
        DrakeSimulator(models.cartpole, dt=0.02, integrator="discrete"),
        MujocoSimulator(models.cartpole, dt=0.02, integrator="euler"),
    ):
        plans.append(ILQR(sim, cost, 40).plan([0.0, 0.3, 0.0, 0.0]))
    assert all(plan.ok for plan in plans)
    assert plans[0].cost == pytest.approx(plans[1].cost, rel=1e-6)


# ---- failures


def test_converged_is_what_the_simulator_repeats():
    planner, x0 = planned("cartpole")
    planner.defect_tolerance = 1e-300
    plan = planner.plan(x0, np.ones((150, 1)))
    assert not plan.ok and "misses a knot" in plan.message
    planner.iterations = 3
    assert planner.plan(x0, np.ones((150, 1))).status == "iteration_limit"


class Explosive(System):
    nx, nu = 1, 1
    x_names, u_names = ("x",), ("u",)

    def f(self, x, u):
        return 50.0 * x * x * x + u


def test_a_guess_that_runs_away_is_diverged():
    cost = quadratic([1.0], [1.0], x_goal=[0.0])
    plan = ILQR(Explosive(), cost, 50, dt=0.1).plan([3.0])
    assert plan.status == "diverged" and plan.cost == np.inf and "guess" in plan.message
    plan = ILQR(Explosive(), cost, 10, dt=0.01).plan([0.1], np.ones((10, 1)))
    assert plan.ok and np.isfinite(plan.trajectory.x).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"T": 0}, "T must be"),
        ({"dt": None}, "continuous"),
        ({"dt": -1.0}, "dt must be"),
        ({"iterations": 0}, "iterations"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"integrator": "leapfrog"}, "leapfrog"),
        ({"model": OdeSimulator(CartPole(), dt=0.01)}, "leave dt out"),
        ({"model": CartPole(force_limit=-1.0)}, "'force'"),
        ({"constraints": [Constraint("late", lambda x, u: x[..., :1], [0.0], [1.0], knots=(99,))]}, "late"),
        ({"cost": quadratic([1, 1, 1, 1], [1], x_goal=np.zeros((9, 4)))}, "8 knots"),
    ],
)
def test_bad_arguments_say_what_is_wrong(change, message):
    arguments = {"model": CartPole(), "cost": SWING, "T": 20, "dt": 0.02} | change
    with pytest.raises(ValueError, match=message):
        ILQR(arguments.pop("model"), arguments.pop("cost"), arguments.pop("T"), **arguments)


@pytest.mark.parametrize("x0", [np.zeros(3), np.full(4, np.nan), np.zeros((2, 4))])
def test_bad_starts_say_what_is_wrong(x0):
    with pytest.raises(ValueError, match="x0"):
        ILQR(CartPole(), SWING, 20, dt=0.02).plan(x0)
    with pytest.raises(ValueError, match="guess"):
        ILQR(CartPole(), SWING, 20, dt=0.02).plan(np.zeros(4), np.zeros((19, 1)))
