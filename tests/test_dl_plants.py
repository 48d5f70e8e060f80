"""Every plant's f on dl tensors: the same numbers as on arrays, and the derivatives of finite differences."""

import numpy as np
import pytest
from plant_cases import CASES, IDS, jacobian, make, states

import dl
from sims import lie

every_plant = pytest.mark.parametrize(("name", "variant"), CASES, ids=IDS)


@every_plant
@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_f_gives_the_same_numbers(rng, name, variant, shape):
    plant = make(name, variant)
    x, u = states(plant, rng, *shape)
    found = plant.f(dl.from_numpy(x), dl.from_numpy(u))
    assert isinstance(found, dl.Tensor)
    np.testing.assert_allclose(found.numpy(), plant.f(x, u), rtol=1e-12, atol=1e-12)
    constant = np.full(plant.nu, 0.3)
    found = plant.f(dl.from_numpy(x), constant)
    np.testing.assert_allclose(found.numpy(), plant.f(x, constant), rtol=1e-12, atol=1e-12)
    if plant.nv:
        found = plant.acceleration(dl.from_numpy(x), dl.from_numpy(u), 0.01)
        np.testing.assert_allclose(found.numpy(), plant.acceleration(x, u, 0.01), rtol=1e-11, atol=1e-11)


@every_plant
def test_f_has_the_derivatives_of_finite_differences(rng, name, variant):
    plant = make(name, variant)
    x, u = states(plant, rng)
    z = np.concatenate([x, u])
    wanted = jacobian(lambda z: plant.f(z[: plant.nx], z[plant.nx :]), z)
    for row in range(plant.nx):
        leaf = dl.tensor(z, requires_grad=True)
        plant.f(leaf[: plant.nx], leaf[plant.nx :])[row].backward()
        assert leaf.grad is not None, row
        np.testing.assert_allclose(
            leaf.grad.numpy(), wanted[row], rtol=1e-8, atol=1e-8 * max(1.0, np.abs(wanted).max())
        )


def test_rotations_take_tensors(rng):
    p, q, w = (lie.quat_normalize(rng.normal(size=(5, 4))) for _ in range(3))
    a, b = dl.from_numpy(p), dl.from_numpy(q)
    np.testing.assert_allclose(lie.quat_multiply(a, b).numpy(), lie.quat_multiply(p, q), atol=1e-15)
    np.testing.assert_allclose(lie.quat_to_matrix(a).numpy(), lie.quat_to_matrix(p), atol=1e-15)
    np.testing.assert_allclose(lie.quat_rotate(a, w[:, :3]).numpy(), lie.quat_rotate(p, w[:, :3]), atol=1e-15)
    np.testing.assert_allclose(lie.hat(a[:, 1:]).numpy(), lie.hat(p[:, 1:]))


def test_f_is_float32_where_the_state_is(rng):
    plant = make("cartpole")
    x, u = (a.astype(np.float32) for a in states(plant, rng, 8))
    found = plant.f(dl.from_numpy(x), dl.from_numpy(u))
    np.testing.assert_allclose(found.numpy(), plant.f(x.astype(float), u.astype(float)), rtol=2e-4, atol=2e-4)
