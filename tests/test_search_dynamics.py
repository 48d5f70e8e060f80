"""Plans with dynamics and paths with timing: replayed, finely checked for collisions, compared with closed forms."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from search_cases import GATE, WALLS, World, box, collisions

from controllers import Polynomial
from controllers.search import (
    FreeSpace,
    KinodynamicRRT,
    QuadrotorAmongObstacles,
    Space,
    cuboid,
    rounded,
    rrt_connect,
    se2,
    shortcut,
    time_optimal,
)
from sims import MujocoSimulator, OdeSimulator, models
from sims.plants import DubinsCar, Pendulum, PlanarQuadrotor

UPRIGHT = np.array([np.pi, 0.0])
SWING = Space([-np.pi, -10], [np.pi, 10], angles=(0,), weights=[1.0, 0.3])


def upright(x):
    return (np.abs(SWING.difference(UPRIGHT, x)) < [0.1, 0.3]).all(-1)


def swing_up(sim, seed=0, **changes):
    """A pendulum with less than a third of the torque that would lift it straight up."""
    return KinodynamicRRT(sim, FreeSpace(SWING), UPRIGHT, upright, u_min=-1.5, u_max=1.5, seed=seed, **changes)


def car(seed=0, **changes):
    sim = OdeSimulator(DubinsCar(turn_limit=1.0), dt=0.1)
    free = FreeSpace(se2([0, 0], WALLS.upper, length=0.5), WALLS.obstacles)
    goal = np.array([*WALLS.goal, 0.0])
    return KinodynamicRRT(sim, free, goal, lambda x: np.linalg.norm(x[..., :2] - goal[:2], axis=-1) < 0.3, seed=seed)


@pytest.mark.parametrize("seed", range(5))
def test_a_swing_up_reaches_upright_when_an_adaptive_integrator_replays_it(seed):
    plan = swing_up(OdeSimulator(Pendulum(), dt=0.01), seed, hold=40).plan(np.zeros(2))
    assert plan.ok, plan.message
    run, plant, x = plan.trajectory, Pendulum(), np.zeros(2)
    assert np.abs(run.u).max() <= 1.5 and plan.cost == pytest.approx(run.t[-1])
    for k, u in enumerate(run.u):
        x = solve_ivp(lambda _, y, u=u: plant.f(y, u), (0, 0.01), x, rtol=1e-10, atol=1e-12).y[:, -1]
        np.testing.assert_allclose(x, run.x[k + 1], atol=1e-4)
    assert upright(x)


def test_a_swing_up_in_mujoco():
    pytest.importorskip("mujoco")
    sim = MujocoSimulator(models.pendulum, dt=0.01)
    plan = swing_up(sim, hold=40).plan(np.zeros(2))
    assert plan.ok, plan.message
    x = np.zeros(2)
    for u in plan.trajectory.u:
        x = sim.step(x, u)
    assert upright(x)


@pytest.mark.parametrize("seed", range(5))
def test_a_car_arrives_without_touching(seed):
    """Its arcs in closed form, at ten points a step."""
    plan = car(seed).plan([*WALLS.start, 0.0])
    assert plan.ok, plan.message
    run = plan.trajectory
    share, x = 0.1 * np.linspace(0, 1, 11)[:, None], np.array([*WALLS.start, 0.0])
    for u, after in zip(run.u, run.x[1:], strict=True):
        turned = x[2] + u * share
        ahead = share * np.sinc(u * share / (2 * np.pi))  # the chord of an arc
        points = x[:2] + ahead * np.concatenate([np.cos((turned + x[2]) / 2), np.sin((turned + x[2]) / 2)], axis=1)
        assert collisions(points, WALLS.polygons, depth=2e-3) == 0  # the sagitta of a step's chord is 1.25 mm
        x = np.array([*points[-1], turned[-1, 0]])
        np.testing.assert_allclose(x, after, atol=1e-4)
    assert np.linalg.norm(x[:2] - WALLS.goal) < 0.3


def test_same_seed_same_plan():
    plans = [car(seed).plan([*WALLS.start, 0.0]).trajectory.u for seed in (3, 3, 4)]
    assert plans[0].tobytes() == plans[1].tobytes() != plans[2].tobytes()
    pytest.importorskip("pydrake")
    for method in ("mixed_integer", "convex_sets"):
        x0 = [*GATE.start, 0, 0, 0, 0]
        first, again = (flight(GATE, method=method).plan(x0).trajectory.x for _ in "12")
        assert first.tobytes() == again.tobytes()


def test_what_kinodynamic_planning_says_when_it_fails():
    sim = OdeSimulator(Pendulum(), dt=0.02)
    brief = swing_up(sim, iterations=3).plan(np.zeros(2))
    assert brief.status == "iteration_limit" and "3 rounds" in brief.message and len(brief.trajectory) > 0
    assert swing_up(sim).plan(UPRIGHT).ok and len(swing_up(sim).plan(UPRIGHT).trajectory) == 0
    inside = car().plan([2.5, 3.0, 0.0])
    assert inside.status == "infeasible" and "x0 lies 0.5 m inside obstacle 0" in inside.message
    with pytest.raises(ValueError, match="finite u_min"):
        KinodynamicRRT(sim, FreeSpace(SWING), UPRIGHT, upright)
    with pytest.raises(ValueError, match="state x0 must have shape"):
        swing_up(sim).plan(np.zeros(3))


ROTORS = PlanarQuadrotor(thrust_min=0.0, thrust_max=5.0)


def flight(world: World, **changes):
    return QuadrotorAmongObstacles(ROTORS, world.obstacles, [0, 0], world.upper, world.goal, **changes)


@pytest.mark.parametrize("world", [WALLS, GATE], ids=["walls", "gate"])
@pytest.mark.parametrize("method", ["mixed_integer", "convex_sets"])
def test_a_quadrotor_flies_past_obstacles(method, world):
    pytest.importorskip("pydrake")
    x0 = np.array([*world.start, 0, 0, 0, 0])
    plan = flight(world, method=method).plan(x0)
    assert plan.ok, plan.message
    run = plan.trajectory
    assert (run.u >= 0).all() and (run.u <= 5).all() and plan.K.shape == (len(run), 2, 6)
    x = [x0]
    for u in run.u:  # ten times as finely as it was planned, by another integrator
        solution = solve_ivp(
            lambda _, y, u=u: ROTORS.f(y, u), (0, 0.01), x[-1], rtol=1e-9, atol=1e-11, dense_output=True
        )
        x.extend(solution.sol(np.linspace(0.001, 0.01, 10)).T)
    x = np.array(x)
    np.testing.assert_allclose(x[::10], run.x, atol=1e-3)
    for along in np.linspace(-ROTORS.r, ROTORS.r, 7):  # the whole beam, from rotor to rotor
        beam = x[:, :2] + along * np.column_stack([np.cos(x[:, 2]), np.sin(x[:, 2])])
        assert collisions(beam, world.polygons) == 0
    assert np.abs(run.x[-1] - [*world.goal, 0, 0, 0, 0]).max() < 1e-2


def test_what_a_quadrotor_cannot_fly():
    pytest.importorskip("pydrake")
    shut = World((box(4, -1, 5, 4.9), box(4, 5.1, 5, 11)), GATE.start, GATE.goal)
    for method in ("mixed_integer", "convex_sets"):
        plan = flight(shut, method=method).plan([*shut.start, 0, 0, 0, 0])  # the gate is narrower than the beam
        assert plan.status == "infeasible" and plan.message
        blocked = QuadrotorAmongObstacles(ROTORS, GATE.obstacles, [0, 0], [10, 10], [4.5, 2.0], method=method)
        assert "goal lies" in blocked.plan([1, 9, 0, 0, 0, 0]).message
    assert "at rest" in flight(GATE).plan([1, 9, 0, 1, 0, 0]).message
    with pytest.raises(ValueError, match="unknown method"):
        flight(GATE, method="mixed")


def line(length: float) -> Polynomial:
    direction = np.array([0.6, 0.8])
    return Polynomial(np.array([0.0, length]), np.stack([np.zeros(2), direction], axis=-1)[None])


@pytest.mark.parametrize("length", [0.3, 2.0, 7.0])
def test_a_straight_line_is_timed_as_the_closed_form_says(length):
    """Full acceleration, the limit speed where it is reached, full braking; the second joint is the tighter."""
    pytest.importorskip("pydrake")
    timed = time_optimal(line(length), v_max=[2.0, 1.2], a_max=[5.0, 1.6], points=1001)
    v, a = 1.2 / 0.8, 1.6 / 0.8
    wanted = 2 * np.sqrt(length / a) if length < v * v / a else length / v + v / a
    assert timed.duration == pytest.approx(wanted, rel=2e-3)
    y = timed.derivatives(np.linspace(0, timed.duration, 500))
    assert (np.abs(y[:, 1]) <= np.array([2.0, 1.2]) + 1e-6).all()
    np.testing.assert_allclose(y[[0, -1], 0], [[0, 0], [0.6 * length, 0.8 * length]], atol=1e-9)


def test_a_path_with_rounded_corners_keeps_its_limits_and_its_distance():
    pytest.importorskip("pydrake")
    wide = FreeSpace(WALLS.space, [obstacle.grown(0.2) for obstacle in WALLS.obstacles])
    path = shortcut(wide, rrt_connect(wide, WALLS.start, WALLS.goal))
    curve = rounded(WALLS.free, path, radius=0.5)
    before, after = (curve.derivatives(curve.t[1:-1] + side, 1) for side in (-1e-10, 1e-10))
    np.testing.assert_allclose(before, after, atol=1e-6)
    timed = time_optimal(curve, v_max=2.0, a_max=3.0, points=501)
    t = np.linspace(0, timed.duration, 20_001)
    y = timed.derivatives(t)
    assert collisions(y[:, 0], WALLS.polygons, depth=1e-4) == 0
    assert np.abs(y[:, 1]).max() <= 2 + 1e-6 and np.quantile(np.abs(y[:, 2]), 0.999) <= 3 * (1 + 1e-3)
    moved = y[0, 0] + np.concatenate([[0 * y[0, 1]], np.cumsum(0.5 * (y[1:, 1] + y[:-1, 1]), axis=0) * t[1]])
    np.testing.assert_allclose(moved, y[:, 0], atol=1e-4)
    slower = time_optimal(curve, v_max=1.0, a_max=3.0, points=501)
    assert timed.duration < slower.duration and slower.duration > path.cost / np.sqrt(2)


def test_timing_refuses_corners_and_limits_that_are_none():
    pytest.importorskip("pydrake")
    corner = Polynomial(np.array([0.0, 1.0, 2.0]), np.array([[[0, 1], [0, 0]], [[1, 0], [0, 1]]], float))
    with pytest.raises(ValueError, match="corner at s = 1"):
        time_optimal(corner, v_max=1.0, a_max=1.0)
    with pytest.raises(ValueError, match="limits must be positive"):
        time_optimal(line(1.0), v_max=[1.0, 0.0], a_max=1.0)
    with pytest.raises(ValueError, match="there is no path"):
        rounded(WALLS.free, rrt_connect(WALLS.free, (2.5, 3.0), WALLS.goal), radius=0.1)
    assert cuboid([0], [1]).m == 1
