"""Derivatives of every closed-form plant's step, of functions by dl, and of rotations, against what they should be."""

from dataclasses import dataclass

import numpy as np
import pytest
from plant_cases import CASES, IDS, make, slope, states

from controllers.derivatives import Differentiated, StepDerivatives, derivatives
from controllers.tangent import curvature, jacobian_of_difference, lift, lower
from sims import lie, plants
from sims.ode import INTEGRATORS, OdeSimulator
from sims.system import System, stack

DT = 0.02


def step_in_tangent_space(plant, integrator: str, x, u):
    """z -> the step from (x [+] z_x, u + z_u), as a difference from the step from (x, u)."""
    advance, n = INTEGRATORS[integrator], plant.ndx
    to = advance(plant, x, u, DT)

    def step(z):
        start = plant.integrate(x, z[:n]) if n != plant.nx else x + z
        return plant.difference(to, advance(plant, start, u + z[n:], DT))

    def flat(z):
        return advance(plant, x + z[:n], u + z[n:], DT) - to

    return step if n != plant.nx else flat


@pytest.mark.parametrize("integrator", ["rk4", "euler"])
@pytest.mark.parametrize(("name", "variant"), CASES, ids=IDS)
def test_the_derivative_of_a_step_is_that_of_finite_differences(name, variant, integrator, rng):
    plant = make(name, variant)
    x, u = states(plant, rng, 3)
    A, B = derivatives(plant, x, u, DT, integrator)
    assert A.shape == (3, plant.ndx, plant.ndx) and B.shape == (3, plant.ndx, plant.nu)
    n = plant.ndx + plant.nu
    for k in range(3):
        step = step_in_tangent_space(plant, integrator, x[k], u[k])
        J = np.stack([slope(lambda s, e=e, step=step: step(s * e)) for e in np.eye(n)], axis=-1)
        assert np.abs(np.hstack([A[k], B[k]]) - J).max() < 1e-6 * max(1.0, np.abs(J).max())


@pytest.mark.parametrize("name", plants.PLANTS)
def test_one_knot_has_the_bits_of_many(name, rng):
    plant = make(name, "odd")
    x, u = states(plant, rng, 2, 37)
    A, B = derivatives(plant, x, u, DT)
    assert A.shape[:2] == B.shape[:2] == (2, 37)
    for at in ((0, 0), (1, 36), (0, slice(3, 8))):
        one = derivatives(plant, x[at], u[at], DT)
        assert one[0].tobytes() == A[at].tobytes() and one[1].tobytes() == B[at].tobytes()


def test_results_are_not_overwritten_and_inputs_broadcast(rng):
    plant = make("cartpole")
    x, u = states(plant, rng, 5)
    A, B = derivatives(plant, x, u[0], DT)
    kept = A.copy(), B.copy()
    derivatives(plant, x + 1.0, u[0], DT)
    assert np.array_equal(A, kept[0]) and np.array_equal(B, kept[1])
    sim = OdeSimulator(plant, dt=DT)
    for found, wanted in zip((A, B), sim.linearize(x, np.broadcast_to(u[0], u.shape)), strict=True):
        assert np.allclose(found, wanted, atol=1e-8)


@dataclass  # eq without frozen: it has no hash
class Spring(System):
    k: float = 2.0
    nx, nu, nq, nv = 2, 1, 1, 1
    x_names, u_names = ("x", "v"), ("f",)

    def f(self, x, u):
        return stack([x[..., 1], u[..., 0] - self.k * x[..., 0]])


@dataclass(eq=False)
class Rod(System):  # hashed by identity
    k: float = 2.0
    nx, nu, nq, nv = 2, 1, 1, 1
    x_names, u_names = ("x", "v"), ("f",)
    f = Spring.f


@pytest.mark.parametrize("kind", [Spring, Rod])
def test_a_plant_that_changes_is_differentiated_as_it_is_now(kind):
    plant = kind()
    before = derivatives(plant, np.zeros(2), np.zeros(1), DT, "euler")[0]
    plant.k = 5.0
    after = derivatives(plant, np.zeros(2), np.zeros(1), DT, "euler")[0]
    assert before[1, 0] == -2.0 * DT and after[1, 0] == -5.0 * DT


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": np.zeros(3)}, "state x must have shape"),
        ({"u": np.zeros(2)}, "input u must have shape"),
        ({"x": np.array([0, np.nan, 0, 0])}, "'theta'"),
        ({"dt": 0.0}, "dt must be a positive number"),
        ({"dt": np.nan}, "dt must be a positive number"),
        ({"integrator": "rk45"}, "unknown differentiable integrator 'rk45'.*euler, rk4"),
    ],
)
def test_bad_arguments_get_one_clear_error(change, words):
    arguments = {"x": np.zeros(4), "u": np.zeros(1), "dt": DT, "integrator": "rk4"} | change
    with pytest.raises(ValueError, match=words):
        derivatives(make("cartpole"), **arguments)
    with pytest.raises(ValueError, match="unknown differentiable integrator"):
        StepDerivatives(make("cartpole"), DT, "midpoint")


def test_a_function_that_reads_nothing_has_zero_derivatives():
    x, u = np.ones((4, 3)), np.ones((4, 2))
    r, rx, ru = Differentiated(lambda x, u: np.array([1.0, 2.0]), "g").jacobian(x, u)
    assert np.array_equal(r, np.tile([1.0, 2.0], (4, 1))) and not rx.any() and not ru.any()
    value, g, H = Differentiated(lambda x, u, p: p.sum(-1), "l").hessian(x, u, np.array([1.0, 2.0]))
    assert (value == 3.0).all() and g.shape == (4, 5) and H.shape == (4, 5, 5) and not g.any() and not H.any()


def test_what_dl_cannot_follow_is_a_type_error():
    for fn in (lambda x, u: np.asarray(x, float), lambda x, u: x if x[0, 0] > 0 else -x):
        with pytest.raises(TypeError, match="recorded"):
            Differentiated(fn, "g").jacobian(np.ones((4, 3)), np.ones((4, 2)))


def test_the_derivatives_of_a_rotation_are_the_closed_forms(rng):
    plant = plants.Quadrotor()
    x, _ = states(plant, rng, 5)
    E = lift(plant.integrate, x, 12)
    assert E is not None
    w, i, j, k = x[:, 3:7].T
    want = 0.5 * np.stack([[-i, -j, -k], [w, -k, j], [k, w, -i], [-j, i, w]]).transpose(2, 0, 1)
    assert np.abs(E[:, 3:7, 3:6] - want).max() < 1e-11
    assert np.array_equal(E[:, :3, :3], np.tile(np.eye(3), (5, 1, 1))) and not E[:, 3:7, 6:].any()
    assert np.abs(lower(E, E) - np.eye(12)).max() < 1e-11

    goal = plant.integrate(x, 0.7 * rng.normal(size=(5, 12)))
    D = jacobian_of_difference(plant.difference, plant.integrate, goal, x, 12)
    assert D is not None
    phi = plant.difference(goal, x)[:, 3:6]
    angle = np.linalg.norm(phi, axis=1)[:, None, None]
    factor = 1 / angle**2 - (1 + np.cos(angle)) / (2 * angle * np.sin(angle))
    W = lie.hat(phi)
    assert np.abs(D[:, 3:6, 3:6] - (np.eye(3) + 0.5 * W + factor * W @ W)).max() < 1e-9  # Sola 2018, equation 144
    at_goal = jacobian_of_difference(plant.difference, plant.integrate, x, x, 12)
    assert at_goal is not None and np.abs(at_goal - np.eye(12)).max() < 1e-11

    gradient = rng.normal(size=(5, 13))
    H = np.zeros((5, 12, 12))
    H[:, [3, 4, 5], [3, 4, 5]] = -0.25 * (gradient[:, 3:7] * x[:, 3:7]).sum(-1)[:, None]
    assert np.abs(curvature(plant.integrate, x, gradient, 12) - H).max() < 1e-8


def test_a_body_frame_step_is_not_taken_for_a_straight_one(rng):
    """A pose [px, py, theta] + one padding component, moved in its own frame: at theta = 0 it looks flat."""

    def integrate(x, dx):
        c, s = np.cos(x[..., 2]), np.sin(x[..., 2])
        turn = x[..., 2] + dx[..., 2]
        half = 0.5 * dx[..., 2]
        forward = dx[..., 0] * np.cos(half) - dx[..., 1] * np.sin(half)
        left = dx[..., 0] * np.sin(half) + dx[..., 1] * np.cos(half)
        return np.stack([x[..., 0] + c * forward - s * left, x[..., 1] + s * forward + c * left, turn, 0 * turn], -1)

    x = np.zeros((3, 4))
    x[1:, :3] = rng.normal(size=(2, 3))
    E = lift(integrate, x, 3)
    c, s = np.cos(x[:, 2]), np.sin(x[:, 2])
    assert E is not None and np.abs(E[:, 0, :2] - np.stack([c, -s], -1)).max() < 1e-11
    gradient = rng.normal(size=(3, 4))
    H = curvature(integrate, x[:1], gradient[:1], 3)[0]  # d2 px / d dy d theta = -1/2, d2 py / d dx d theta = 1/2
    want = np.zeros((3, 3))
    want[1, 2] = want[2, 1] = -0.5 * gradient[0, 0]
    want[0, 2] = want[2, 0] = 0.5 * gradient[0, 1]
    assert np.abs(H - want).max() < 1e-9
