"""Controllability, Hautus and underactuation tests against plants whose answer is known."""

import numpy as np
import pytest

from controllers.analysis import (
    actuation,
    controllability_matrix,
    controllable,
    detectable,
    input_map,
    null_space,
    observability_matrix,
    observable,
    stabilisable,
)
from sims import plants
from sims.linearize import linearize

SECOND_ORDER = ("DoubleIntegrator", "Pendulum", "CartPole", "Acrobot", "Pendubot", "PlanarQuadrotor", "Quadrotor")


def decoupled(rng, spectrum, reached):
    """A with the given eigenvalues in random coordinates, B that misses the modes where reached is False."""
    n = len(spectrum)
    V = np.linalg.qr(rng.standard_normal((n, n)))[0] + 0.2 * rng.standard_normal((n, n))
    B = V @ (np.array(reached, float)[:, None] * rng.uniform(0.5, 1.5, (n, 2)))
    return V @ np.diag(spectrum) @ np.linalg.inv(V), B


@pytest.mark.parametrize("seed", range(20))
def test_hautus_finds_exactly_the_modes_that_no_input_reaches(seed):
    rng = np.random.default_rng(seed)
    spectrum = rng.permutation([-2.0, -0.7, -0.1, 0.4, 1.3]) * rng.uniform(0.8, 1.2)
    reached = rng.random(5) < 0.6
    A, B = decoupled(rng, spectrum, reached)
    missed = np.sort(spectrum[~reached])
    np.testing.assert_allclose(np.sort([m.eigenvalue.real for m in controllable(A, B).modes]), missed, atol=1e-8)
    unstable = stabilisable(A, B)
    np.testing.assert_allclose(np.sort([m.eigenvalue.real for m in unstable.modes]), missed[missed > 0], atol=1e-8)
    growing = stabilisable(A, B, discrete=True).modes
    np.testing.assert_allclose(np.sort([m.eigenvalue.real for m in growing]), missed[abs(missed) >= 1], atol=1e-8)
    assert bool(controllable(A, B)) == (np.linalg.matrix_rank(controllability_matrix(A, B), tol=1e-9) == 5)
    for mode in controllable(A, B).modes:
        assert np.abs(mode.direction.conj() @ B).max() < 1e-9
        assert np.abs(mode.direction.conj() @ A - mode.eigenvalue * mode.direction.conj()).max() < 1e-8


@pytest.mark.parametrize("seed", range(5))
def test_observability_is_the_dual(seed):
    rng = np.random.default_rng(seed)
    A, B = decoupled(rng, [-1.0, 0.3, 2.0, -0.4], rng.random(4) < 0.6)
    assert bool(observable(A.T, B.T)) == bool(controllable(A, B))
    assert bool(detectable(A.T, B.T)) == bool(stabilisable(A, B))
    assert bool(detectable(A.T, B.T, discrete=True)) == bool(stabilisable(A, B, discrete=True))
    np.testing.assert_array_equal(observability_matrix(A.T, B.T), controllability_matrix(A, B).T)


def test_the_message_names_the_mode():
    A, B = np.diag([1.0, -1.0, 0.5]), np.array([[1.0], [1.0], [0.0]])
    verdict = stabilisable(A, B, names=("cart", "pole", "wheel"))
    assert not verdict
    assert "eigenvalue 0.5" in verdict.message and "wheel" in verdict.message and "cart" not in verdict.message


def test_a_complex_pair_counts_once():
    A = np.zeros((3, 3))
    A[:2, :2] = [[0.1, -2.0], [2.0, 0.1]]
    A[2, 2] = -1
    modes = controllable(A, np.array([[0.0], [0.0], [1.0]])).modes
    assert len(modes) == 1 and modes[0].eigenvalue == pytest.approx(0.1 + 2j)


@pytest.mark.parametrize("units", [1e-6, 1.0, 1e6])
def test_the_units_of_the_input_do_not_matter(units):
    plant = plants.CartPole()
    A, B = linearize(plant, np.array([0, np.pi, 0, 0]), np.zeros(1))
    assert controllable(A, units * B)
    assert not controllable(A, 0.0 * B)


def test_equal_pendulums_on_one_cart_cannot_be_told_apart():
    """Two poles of one length answer alike to the cart: their difference is a mode no force reaches."""
    w = 9.81 / 0.5
    A = np.zeros((6, 6))
    A[:3, 3:] = np.eye(3)
    A[4, 1], A[5, 2] = w, w
    B = np.array([[0, 0, 0, 1, 2, 2.0]]).T
    modes = stabilisable(A, B).modes
    assert [m.eigenvalue.real for m in modes] == [pytest.approx(np.sqrt(w))]
    A[5, 2] *= 1.5
    assert controllable(A, B)


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_input_map_is_the_inverse_mass_times_B(name, rng):
    plant = plants.load(name)()
    x = plant.normalize(rng.uniform(0.2, 1.0, plant.nx))
    q = x[: plant.nq]
    np.testing.assert_allclose(input_map(plant, x), np.linalg.solve(plant.M(q), plant.B(q)), atol=1e-9)


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_underactuation_of_the_plants(name, rng):
    plant = plants.load(name)()
    x = plant.normalize(rng.uniform(0.2, 1.0, plant.nx))
    by_force, by_acceleration = actuation(plant.B(x[: plant.nq])), actuation(input_map(plant, x))
    assert by_force.underactuated == by_acceleration.underactuated == (plant.nu < plant.nv)
    assert by_force.rank == by_acceleration.rank == min(plant.nu, plant.nv)
    np.testing.assert_allclose(by_force.missing @ plant.B(x[: plant.nq]), 0.0, atol=1e-12)
    assert by_force.missing.shape == (plant.nv - plant.nu, plant.nv)


def test_a_torque_at_its_limit_does_not_count():
    B = np.eye(2)
    assert not actuation(B, u=[0.5, -0.5], u_min=-1.0, u_max=1.0).underactuated
    at_limit = actuation(B, u=[1.0, -0.5], u_min=-1.0, u_max=1.0)
    assert at_limit.underactuated and at_limit.rank == 1 and "input [0]" in at_limit.message
    np.testing.assert_allclose(np.abs(at_limit.missing), [[1.0, 0.0]])


@pytest.mark.parametrize("heading", [0.0, 0.7, 2.5])
def test_a_car_is_underactuated_in_the_plane_but_not_along_its_wheels(heading):
    s, c = np.sin(heading), np.cos(heading)
    B, J = np.array([[c, 0.0], [s, 0.0], [0.0, 1.0]]), np.array([[-s, c, 0.0]])
    assert actuation(B).underactuated
    np.testing.assert_allclose(np.abs(actuation(B).missing @ J.T), 1.0)
    rolling = actuation(B, constraint=J)
    assert not rolling.underactuated and (rolling.rank, rolling.dof) == (2, 2)


@pytest.mark.parametrize("seed", range(5))
def test_null_space_is_orthonormal_and_complete(seed):
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((3, 2)) @ rng.standard_normal((2, 6))  # rank 2
    P = null_space(F)
    assert P.shape == (4, 6)
    np.testing.assert_allclose(P @ P.T, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(F @ P.T, 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("A", "B", "wanted"),
    [
        ([[1.0, 2.0]], [[1.0]], "square"),
        (np.eye(2), [[1.0]], r"\(2, m\)"),
        ([[np.nan]], [[1.0]], "finite"),
    ],
)
def test_bad_matrices(A, B, wanted):
    with pytest.raises(ValueError, match=wanted):
        controllable(A, B)


def test_bad_constraint_and_plant():
    with pytest.raises(ValueError, match=r"\(nc, 2\)"):
        actuation(np.eye(2), constraint=[[1.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="second-order"):
        input_map(plants.DubinsCar(), np.zeros(3))
