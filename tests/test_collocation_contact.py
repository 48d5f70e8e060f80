"""Contact-implicit planning: a pushed block and a falling one against closed forms, and the laws of contact."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

pytest.importorskip("casadi", reason="collocation uses CasADi: pip install casadi")

from controllers.collocation.contact import ContactCollocation, ContactProblem
from controllers.collocation.contact_steps import impulses
from controllers.cost import quadratic
from sims.plants import VanDerPol
from sims.system import System, stack

MU, G = 0.5, 9.81


@dataclass(frozen=True)
class Block(System):
    """A point mass m above a floor, pushed along it; x = [x, z [m], xdot, zdot [m/s]], u = [push [N]]."""

    m: float = 1.0
    force_limit: float = np.inf

    nx, nu, nq, nv = 4, 1, 2, 2
    x_names, u_names = ("x", "z", "x_dot", "z_dot"), ("push",)

    @property
    def u_max(self):
        return np.array([self.force_limit])

    def f(self, x, u):
        return stack([x[..., 2], x[..., 3], u[..., 0] / self.m, 0.0 * u[..., 0] - G])

    def M(self, q):
        return np.diag([self.m, self.m])


def push(**changes) -> ContactProblem:
    """A metre along the floor in 2 s, from rest to rest, with the least effort."""
    cost = quadratic(np.zeros(4), [1.0], x_goal=np.zeros(4))
    given = {
        "system": Block(),
        "gap": lambda q: q[..., 1:2],
        "slide": lambda q: q[..., 0:1],
        "friction": MU,
        "duration": 2.0,
        "cost": cost,
        "knots": 41,
        "x_goal": [1.0, 0, 0, 0],
    }
    return ContactProblem(**{**given, **changes})


def test_the_least_effort_of_pushing_a_block():
    """u = mu m g + m a, a linear in time, while it moves for T' = (36 d^2 / (mu g)^2)^(1/4); then it is left alone.

    The effort (mu m g)^2 T' + 12 m^2 d^2 / T'^3 is least there; friction holds the block for the rest.
    """
    moving = (36 / (MU * G) ** 2) ** 0.25
    wanted = (MU * G) ** 2 * moving + 12 / moving**3
    planner = ContactCollocation(push())
    plan = planner.plan(np.zeros(4))
    assert plan.ok, plan.message
    assert plan.cost == pytest.approx(wanted, rel=2e-3)
    x, u, (n, p) = plan.trajectory.x, plan.trajectory.u, planner.forces
    np.testing.assert_allclose(x[-1], [1, 0, 0, 0], atol=1e-6)
    h = plan.trajectory.t[1]
    np.testing.assert_allclose(n[:, 0], G * h, atol=1e-4)  # the floor carries the weight
    slides = x[1:, 2] > 1e-2
    np.testing.assert_allclose(p[slides, 0], -MU * n[slides, 0], atol=1e-4)
    assert (np.abs(p) <= MU * n + 1e-6).all()
    np.testing.assert_allclose(np.diff(x[:, 2]), h * u[:, 0] + p[:, 0], atol=1e-6)  # momentum, step by step
    assert (~slides).sum() > 10 and np.abs(u[-10:]).max() < 1e-3  # done early, then left alone


def test_too_little_force_to_slide_is_infeasible():
    plan = ContactCollocation(push(system=Block(force_limit=0.8 * MU * G))).plan(np.zeros(4))
    assert plan.status == "infeasible" and plan.violations
    assert {v.label for v in plan.violations} <= {"dynamics", "gap", "friction", "complementarity"}


def test_a_fall_ends_on_the_floor():
    problem = push(slide=None, friction=0.0, duration=1.0, knots=101, x_goal=None)
    planner = ContactCollocation(problem)
    plan = planner.plan([0.0, 1.0, 0.3, 0.0])
    assert plan.ok, plan.message
    x, n, h = plan.trajectory.x, planner.forces[0][:, 0], problem.h
    lands = int(np.flatnonzero(n > 1e-2)[0])
    assert abs((lands + 1) * h - np.sqrt(2 / G)) < 1.5 * h
    airborne = plan.trajectory.t[: lands + 1]
    np.testing.assert_allclose(x[: lands + 1, 1], 1 - G * airborne**2 / 2, atol=G * h * 0.6)  # first order in h
    assert n.sum() == pytest.approx(G * 1.0, rel=1e-6)  # impact and weight: all of gravity's impulse
    np.testing.assert_allclose(x[lands + 3 :, 1::2], 0, atol=1e-5)
    assert plan.cost == pytest.approx(0, abs=1e-6)


def test_complementarity_tightens():
    log = ContactCollocation(push(knots=21)).plan(np.zeros(4)).log
    assert [row.regularization for row in log] == [1.0, 1e-2, 1e-4, 1e-6, 1e-8]
    assert log[0].cost < 1e-6 < log[-1].cost  # forces at a distance push for nothing


def test_projected_impulses_keep_the_laws(rng=np.random.default_rng(0)):  # noqa: B008
    for _ in range(50):
        root = rng.standard_normal((4, 4))
        M, v, Jn, Jt = root @ root.T + np.eye(4), rng.standard_normal(4), *rng.standard_normal((2, 2, 4))
        gap, mu = rng.uniform(0, 0.5, 2), rng.uniform(0, 1, 2)
        dv = impulses(M, v, gap, Jn, Jt, mu, sweeps=20_000)
        force = np.linalg.lstsq(np.vstack([Jn, Jt]).T, M @ dv, rcond=None)[0]
        n, p, after = force[:2], force[2:], v + dv
        clear = gap + Jn @ after
        assert (n > -1e-8).all() and (clear > -1e-8).all() and np.abs(n * clear).max() < 1e-7
        assert (np.abs(p) <= mu * n + 1e-8).all()
        assert (np.where(np.abs(p) < mu * n - 1e-8, np.abs(Jt @ after), 0) < 1e-6).all()  # it sticks inside the cone
        assert (p * (Jt @ after) <= 1e-8).all()


WRONG = {
    "plant": (lambda: push(system=VanDerPol()), "mass matrix"),
    "friction": (lambda: push(slide=None), "needs slide"),
    "relaxations": (lambda: push(relaxations=(1e-6, 1.0)), "must fall"),
    "duration": (lambda: push(duration=0.0), "positive duration"),
    "start": (lambda: ContactCollocation(push(knots=5)).plan([0, 0]), r"x0 must be \(4,\)"),
    "guess": (lambda: ContactCollocation(push(knots=5)).plan(np.zeros(4), np.zeros((3, 1))), r"must be \(4, 1\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_one_clear_error(name):
    make, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        make()


def test_changes_keep_the_rest():
    assert replace(push(), knots=5).h == 0.5
