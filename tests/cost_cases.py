"""The costs that the tests range over: each with states to try and, for Gauss-Newton ones, its residual and norm."""

from dataclasses import dataclass

import numpy as np

from controllers import cost as costs
from controllers import cost_terms, function_cost, obstacles
from controllers.constraint import Constraint, input_limits, state_box
from controllers.norms import Barrier, SmoothAbs
from sims import lie, plants
from sims.system import stack
from sims.trajectory import Trajectory

T = 6
QUAD = plants.Quadrotor()


@dataclass(frozen=True, kw_only=True)
class Case:
    """cost; x (T+1, nx), u (T, nu) to try it at; residuals and norms of Gauss-Newton costs, stage and end, by knot."""

    cost: costs.Cost
    x: np.ndarray
    u: np.ndarray
    integrate: object = costs.add
    ndx: int | None = None
    stage_terms: tuple = ()  # of (r(x, u, k), rho(r))
    end_terms: tuple = ()  # of (r(x), rho(r))

    @property
    def size(self) -> int:
        return self.x.shape[-1] if self.ndx is None else self.ndx


def matrix(rng, n: int) -> np.ndarray:
    half = rng.normal(size=(n, n))
    return half @ half.T


def flat(rng, nx: int = 4, nu: int = 2) -> dict:
    return {"x": rng.normal(size=(T + 1, nx)), "u": rng.normal(size=(T, nu))}


def away(rng, rows, lower, upper, delta: float) -> dict:
    """Flat samples that are not where the barrier of lower <= rows(x, u) <= upper has only two derivatives."""
    sample = flat(rng)
    for _ in range(1000):
        r = [rows(x, u) for x, u in zip(sample["x"], [*sample["u"], sample["u"][-1]], strict=True)]
        z = np.concatenate([np.ravel(np.subtract(r, lower)), np.ravel(np.subtract(upper, r))])
        if np.abs(z[np.isfinite(z)] - delta).min() > 0.04:
            return sample
        sample = flat(rng)
    raise AssertionError("no sample away from the seam of the barrier")


def flying(rng) -> dict:
    x = rng.normal(size=(T + 1, 13))
    x[:, 3:7] = lie.quat_normalize(x[:, 3:7])
    return {"x": x, "u": rng.normal(size=(T, 4)), "integrate": QUAD.integrate, "ndx": 12}


def near(x: np.ndarray, rng) -> np.ndarray:
    """States within reach of one turn of x, where differences are smooth."""
    return QUAD.integrate(x, rng.normal(size=(*x.shape[:-1], 12)) * 0.4)


def square(W):
    return lambda r: r @ W @ r


def quadratic(rng) -> Case:
    return Case(
        cost=costs.QuadraticCost(
            matrix(rng, 4), matrix(rng, 2), matrix(rng, 4), rng.normal(size=4), rng.normal(size=2)
        ),
        **flat(rng),
    )


def wrapped(rng) -> Case:
    sample = flat(rng)
    sample["x"][:, 1] += 40.0
    return Case(cost=costs.quadratic([1, 2, 3, 4], [1, 2], x_goal=np.ones(4), difference=costs.Wrapped((1,))), **sample)


def manifold(rng) -> Case:
    sample = flying(rng)
    goal, hover = near(sample["x"][0], rng), rng.normal(size=4)
    sample["x"] = near(np.tile(goal, (T + 1, 1)), rng)
    Q, R, Qf = matrix(rng, 12), matrix(rng, 4), matrix(rng, 12)
    return Case(
        cost=costs.QuadraticCost(Q, R, Qf, goal, hover, QUAD.difference, QUAD.integrate),
        stage_terms=((lambda x, u, k: QUAD.difference(goal, x), square(Q)), (lambda x, u, k: u - hover, square(R))),
        end_terms=((lambda x: QUAD.difference(goal, x), square(Qf)),),
        **sample,
    )


def tracking(rng) -> Case:
    goals = Trajectory(0.1 * np.arange(T + 1), rng.normal(size=(T + 1, 4)), rng.normal(size=(T, 2)))
    return Case(cost=costs.tracking([1, 2, 3, 4], [5, 6], goals, qf=[4, 3, 2, 1]), **flat(rng))


def tracking_on_manifold(rng) -> Case:
    sample = flying(rng)
    goals = Trajectory(0.1 * np.arange(T + 1), near(sample["x"], rng), rng.normal(size=(T, 4)))
    q, r = np.arange(1.0, 13.0), np.arange(1.0, 5.0)
    return Case(
        cost=costs.tracking(q, r, goals, qf=2 * q, difference=QUAD.difference, integrate=QUAD.integrate),
        stage_terms=(
            (lambda x, u, k: QUAD.difference(goals.x[k], x), square(np.diag(q))),
            (lambda x, u, k: u - goals.u[k], square(np.diag(r))),
        ),
        end_terms=((lambda x: QUAD.difference(goals.x[-1], x), square(np.diag(2 * q))),),
        **sample,
    )


def hand(x, u):
    """Where a two-link arm is, how fast, and a torque."""
    a, b = x[..., 0], x[..., 0] + x[..., 1]
    return stack(
        [np.cos(a) + 0.7 * np.cos(b), np.sin(a) + 0.7 * np.sin(b), x[..., 2] * np.cos(a), u[..., 0] * x[..., 3]]
    )


def residual(rng) -> Case:
    W = matrix(rng, 4)
    return Case(
        cost=function_cost.residual(hand, W, terminal=lambda x: x[..., :2] ** 2, Wf=[2.0, 3.0]),
        stage_terms=((lambda x, u, k: hand(x, u), square(W)),),
        end_terms=((lambda x: x[:2] ** 2, square(np.diag([2.0, 3.0]))),),
        **flat(rng),
    )


def residual_along_a_goal(rng) -> Case:
    goal, w, alpha = rng.normal(size=(T + 1, 4)), np.array([1.0, 2.0, 0.5, 3.0]), 0.6

    def apart(x, u, place):
        return hand(x, u) - place

    def rho(r):
        return (w * (np.sqrt(r**2 + alpha**2) - alpha)).sum()

    return Case(
        cost=function_cost.residual(
            apart, SmoothAbs(w, alpha), terminal=lambda x, place: np.sin(x) - place, Wf=w, goal=goal
        ),
        stage_terms=((lambda x, u, k: hand(x, u) - goal[k], rho),),
        end_terms=((lambda x: np.sin(x) - goal[-1], square(np.diag(w))),),
        **flat(rng),
    )


def body_axis(x):
    """The first axis of the body in the world, times the height."""
    w, i, j, k = (x[..., n] for n in range(3, 7))
    return stack([1 - 2 * (j * j + k * k), 2 * (i * j + w * k), x[..., 2] * 2 * (i * k - w * j)])


def residual_on_manifold(rng) -> Case:
    W = matrix(rng, 3)
    return Case(
        cost=function_cost.residual(
            lambda x, u: body_axis(x) * u[..., :1],
            W,
            terminal=body_axis,
            Wf=2 * W,
            integrate=QUAD.integrate,
            ndx=12,
        ),
        stage_terms=((lambda x, u, k: body_axis(x) * u[:1], square(W)),),
        end_terms=((body_axis, square(2 * W)),),
        **flying(rng),
    )


def function(rng) -> Case:
    def stage(x, u):
        return np.exp(-x[..., 0] * u[..., 1]) + (np.cos(x[..., 1]) * u[..., 0]) ** 2 + np.tanh(x).sum(-1)

    return Case(cost=function_cost.from_function(stage, terminal=lambda x: np.log1p((x * x).sum(-1))), **flat(rng))


def function_along_a_goal(rng) -> Case:
    goal = rng.normal(size=(T + 1, 3))
    return Case(
        cost=function_cost.from_function(
            lambda x, u, p: (np.sin(x[..., :3] - p) * u[..., :1]).sum(-1),
            terminal=lambda x, p: np.cos(x[..., :3] * p).sum(-1),
            goal=goal,
        ),
        **flat(rng),
    )


def function_on_manifold(rng) -> Case:
    return Case(
        cost=function_cost.from_function(
            lambda x, u: (body_axis(x) ** 3).sum(-1) * u[..., 0] + np.sin(x[..., 10] * x[..., 5]),
            terminal=lambda x: body_axis(x)[..., 1] * x[..., 7],
            integrate=QUAD.integrate,
            ndx=12,
        ),
        **flying(rng),
    )


def smooth_abs(rng) -> Case:
    return Case(
        cost=cost_terms.smooth_abs(
            [1, 2, 3, 4], [1, 2], x_goal=np.zeros(4), alpha=[0.4, 0.5, 0.6, 0.7], alpha_u=0.5, qf=[1, 0, 1, 0]
        ),
        **flat(rng),
    )


def smooth_abs_on_manifold(rng) -> Case:
    sample, q, alpha = flying(rng), np.arange(1.0, 13.0), 0.5
    goal = near(sample["x"][0], rng)
    sample["x"] = near(np.tile(goal, (T + 1, 1)), rng)
    parts = {"alpha": alpha, "difference": QUAD.difference, "integrate": QUAD.integrate}

    def rho(r):
        return (q * (np.sqrt(r**2 + alpha**2) - alpha)).sum()

    return Case(
        cost=cost_terms.smooth_abs(q, [1, 2, 3, 4], x_goal=goal, qf=3 * q, **parts),
        stage_terms=(
            (lambda x, u, k: QUAD.difference(goal, x), rho),
            (lambda x, u, k: u, square(np.diag([1.0, 2.0, 3.0, 4.0]))),
        ),
        end_terms=((lambda x: QUAD.difference(goal, x), lambda r: 3 * rho(r)),),
        **sample,
    )


def beta(z: float, delta: float) -> float:
    return -np.log(z) if z > delta else 0.5 * (((z - 2 * delta) / delta) ** 2 - 1) - np.log(delta)


def barrier_of_inputs(rng) -> Case:
    limits = input_limits([-1.0, -2.0], [1.0, 0.5], label="torque limits")
    return Case(
        cost=function_cost.barrier(limits, 0.3, 0.2),
        stage_terms=(
            (
                lambda x, u, k: u,
                lambda r: 0.3 * sum(beta(z, 0.2) for z in (r[0] + 1, 1 - r[0], r[1] + 2, 0.5 - r[1])),
            ),
        ),
        end_terms=(),
        **away(rng, lambda x, u: u, [-1.0, -2.0], [1.0, 0.5], 0.2),
    )


def barrier_of_an_obstacle(rng) -> Case:
    circle = obstacles.keep_out([0.3, -0.2], 0.4, label="pillar", clearance=0.1)
    return Case(
        cost=function_cost.barrier(circle, 2.0, 0.3),
        stage_terms=((lambda x, u, k: circle.g(x, u), lambda r: 2.0 * beta(r[0] - 0.1, 0.3)),),
        end_terms=((lambda x: circle.g(x, None), lambda r: 2.0 * beta(r[0] - 0.1, 0.3)),),
        **away(rng, circle.g, 0.1, np.inf, 0.3),
    )


def barrier_under_a_residual(rng) -> Case:
    rho = Barrier([-1.0, -np.inf], [np.inf, 2.0], 0.7, 0.4)
    return Case(
        cost=function_cost.residual(lambda x, u: hand(x, u)[..., :2], rho),
        stage_terms=((lambda x, u, k: hand(x, u)[:2], lambda r: 0.7 * (beta(r[0] + 1, 0.4) + beta(2 - r[1], 0.4))),),
        **away(rng, lambda x, u: hand(x, u)[:2], [-1.0, -np.inf], [np.inf, 2.0], 0.4),
    )


def only_final(rng) -> Case:
    return Case(cost=cost_terms.final_only(quadratic(rng).cost), **flat(rng))


def only_final_function(rng) -> Case:
    return Case(cost=function_cost.from_function(terminal=lambda x: np.sin(x).prod(-1)), **flat(rng))


def box_by_function(rng) -> Case:
    limits = Constraint("speed", lambda x, u: stack([x[..., 2] * x[..., 3]]), -3.0, 3.0, unit="m/s", reads="x")
    return Case(
        cost=function_cost.barrier(limits, 1.0, 0.5),
        stage_terms=((lambda x, u, k: x[2:3] * x[3:4], lambda r: beta(r[0] + 3, 0.5) + beta(3 - r[0], 0.5)),),
        end_terms=((lambda x: x[2:3] * x[3:4], lambda r: beta(r[0] + 3, 0.5) + beta(3 - r[0], 0.5)),),
        **away(rng, limits.g, -3.0, 3.0, 0.5),
    )


def sum_of_exact_ones(rng) -> Case:
    cost = 2.0 * quadratic(rng).cost + tracking(rng).cost * 0.5 + function(rng).cost + wrapped(rng).cost
    return Case(cost=cost, **flat(rng))


def barrier_of_states(rng) -> Case:
    box = state_box([-1.5, -1.0], [1.5, 2.0], label="rails", components=[0, 2])
    both = lambda r: 0.4 * sum(beta(z, 0.25) for z in (r[0] + 1.5, 1.5 - r[0], r[1] + 1, 2 - r[1]))  # noqa: E731
    return Case(
        cost=function_cost.barrier(box, 0.4, 0.25),
        stage_terms=((lambda x, u, k: x[[0, 2]], both),),
        end_terms=((lambda x: x[[0, 2]], both),),
        **away(rng, lambda x, u: x[[0, 2]], [-1.5, -1.0], [1.5, 2.0], 0.25),
    )


CASES = {
    fn.__name__: fn
    for fn in (
        quadratic,
        wrapped,
        manifold,
        tracking,
        tracking_on_manifold,
        residual,
        residual_along_a_goal,
        residual_on_manifold,
        function,
        function_along_a_goal,
        function_on_manifold,
        smooth_abs,
        smooth_abs_on_manifold,
        barrier_of_inputs,
        barrier_of_states,
        barrier_of_an_obstacle,
        barrier_under_a_residual,
        box_by_function,
        only_final,
        only_final_function,
        sum_of_exact_ones,
    )
}
