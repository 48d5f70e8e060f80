"""System.f, written once, on every scalar type: CasADi SX, AutoDiffXd, Expression, and a foreign array type."""

import warnings

import numpy as np
import pytest
from numpy.lib.mixins import NDArrayOperatorsMixin
from plant_cases import CASES, IDS, jacobian, make, states

from sims import lie, manipulator
from sims.linearize import linearize
from sims.ode import OdeSimulator

every_plant = pytest.mark.parametrize(("name", "variant"), CASES, ids=IDS)


@pytest.fixture
def casadi():
    return pytest.importorskip("casadi", reason="CasADi is not installed: pip install casadi")


@pytest.fixture
def autodiff():
    return pytest.importorskip("pydrake.autodiffutils", reason="Drake is not installed")


@pytest.fixture
def symbolic():
    module = pytest.importorskip("pydrake.symbolic", reason="Drake is not installed")
    with np.errstate(
        all="ignore"
    ):  # Drake's Expression leaves floating-point flags set, and NumPy reports them as its own
        yield module


@every_plant
def test_casadi_gives_the_same_values_and_derivatives(rng, casadi, name, variant):
    from sims.scalar import to_casadi

    plant = make(name, variant)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x, u, xdot = system = to_casadi(plant)
    assert xdot.shape == (plant.nx, 1)
    f = system.function()
    J = casadi.Function("J", [x, u], [casadi.jacobian(xdot, casadi.vertcat(x, u))])
    for x0, u0 in zip(*states(plant, rng, 5), strict=True):
        np.testing.assert_allclose(f(x0, u0).full()[:, 0], plant.f(x0, u0), rtol=1e-12, atol=1e-12)
        joined = np.concatenate([x0, u0])
        wanted = jacobian(lambda z: plant.f(z[: plant.nx], z[plant.nx :]), joined)
        np.testing.assert_allclose(J(x0, u0).full(), wanted, rtol=1e-8, atol=1e-8 * max(1.0, np.abs(wanted).max()))


def test_casadi_keeps_its_own_numpy_mode(casadi):
    from sims.scalar import numpy_on_casadi, to_casadi

    if "setNumpyMode" not in dir(casadi.GlobalOptions):
        pytest.skip("this CasADi has no NumPy mode (before 3.8)")
    before = casadi.GlobalOptions.getNumpyMode()
    to_casadi(make("pendulum"))
    with pytest.raises(RuntimeError, match="from inside"), numpy_on_casadi():
        raise RuntimeError("from inside")
    assert casadi.GlobalOptions.getNumpyMode() == before


@every_plant
def test_autodiff_gives_the_same_values_and_derivatives(rng, autodiff, name, variant):
    plant = make(name, variant)
    n = plant.nx
    for x0, u0 in zip(*states(plant, rng, 5), strict=True):
        z = autodiff.InitializeAutoDiff(np.concatenate([x0, u0]))[:, 0]
        xdot = plant.f(z[:n], z[n:])
        assert xdot.shape == (n,)
        np.testing.assert_allclose(autodiff.ExtractValue(xdot)[:, 0], plant.f(x0, u0), rtol=1e-12, atol=1e-12)
        wanted = jacobian(lambda z: plant.f(z[:n], z[n:]), np.concatenate([x0, u0]))
        found = autodiff.ExtractGradient(xdot)
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-8 * max(1.0, np.abs(wanted).max()))


@every_plant
def test_expressions_give_the_same_values(rng, symbolic, name, variant):
    plant = make(name, variant)
    x = np.array([symbolic.Variable(f"x{i}") for i in range(plant.nx)])
    u = np.array([symbolic.Variable(f"u{i}") for i in range(plant.nu)])
    xdot = plant.f(np.array([symbolic.Expression(v) for v in x]), np.array([symbolic.Expression(v) for v in u]))
    assert xdot.shape == (plant.nx,)
    for x0, u0 in zip(*states(plant, rng, 3), strict=True):
        env = dict(zip([*x, *u], [*x0.tolist(), *u0.tolist()], strict=True))
        values = [e.Evaluate(env) if isinstance(e, symbolic.Expression) else float(e) for e in xdot]
        np.testing.assert_allclose(values, plant.f(x0, u0), rtol=1e-11, atol=1e-11)


def test_the_acrobot_from_expressions_is_polynomial_in_sines_and_cosines(symbolic):
    """What a sums-of-squares program needs: M, C, tau_g come out as expressions too."""
    plant = make("acrobot")
    q = np.array([symbolic.Expression(symbolic.Variable(f"q{i}")) for i in range(2)])
    v = np.array([symbolic.Expression(symbolic.Variable(f"v{i}")) for i in range(2)])
    for term in (plant.M(q), plant.C(q, v), plant.tau_g(q)):
        assert term.dtype == object
    assert "cos(q1)" in str(plant.M(q)[0, 0])


class Foreign(NDArrayOperatorsMixin):
    """An array type that answers NumPy's two protocols and nothing else: it cannot be turned into an ndarray."""

    def __init__(self, data, log):
        self.data, self.log = data, log

    shape = property(lambda self: self.data.shape)

    def __array__(self, *_, **__):
        raise TypeError("f turned a foreign array into an ndarray")

    def __getitem__(self, index):
        return Foreign(self.data[index], self.log)

    def reshape(self, *shape):
        return Foreign(self.data.reshape(*shape), self.log)

    def sum(self, axis):
        return Foreign(self.data.sum(axis), self.log)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        assert method == "__call__" and not kwargs
        self.log.append(ufunc.__name__)
        return Foreign(ufunc(*map(bare, inputs)), self.log)

    def __array_function__(self, func, types, args, kwargs):
        self.log.append(func.__name__)
        return Foreign(func(*map(bare, args), **{k: bare(v) for k, v in kwargs.items()}), self.log)


def bare(value):
    if isinstance(value, (list, tuple)):
        return type(value)(bare(v) for v in value)
    return value.data if isinstance(value, Foreign) else value


@every_plant
@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_f_goes_through_numpys_protocols(rng, name, variant, shape):
    plant = make(name, variant)
    x, u = states(plant, rng, *shape)
    log: list[str] = []
    found = plant.f(Foreign(x, log), Foreign(u, log))
    assert isinstance(found, Foreign)
    assert "stack" in log
    np.testing.assert_allclose(found.data, plant.f(x, u), rtol=1e-13, atol=1e-13)
    mixed = plant.f(Foreign(x, log), np.full(plant.nu, 0.3))  # a constant input
    np.testing.assert_allclose(mixed.data, plant.f(x, np.full(plant.nu, 0.3)), rtol=1e-13, atol=1e-13)
    if plant.nv:
        found = plant.acceleration(Foreign(x, log), Foreign(u, log), 0.01)
        np.testing.assert_allclose(bare(found), plant.acceleration(x, u, 0.01), rtol=1e-12, atol=1e-13)


def test_rotations_take_foreign_arrays_and_symbols(rng, symbolic):
    p, q, w = (lie.quat_normalize(rng.normal(size=(5, 4))) for _ in range(3))
    found = lie.quat_multiply(Foreign(p, []), Foreign(q, []))
    np.testing.assert_allclose(found.data, lie.quat_multiply(p, q))
    np.testing.assert_allclose(lie.quat_to_matrix(Foreign(p, [])).data, lie.quat_to_matrix(p))
    one = np.array([symbolic.Expression(float(e)) for e in p[0]])
    turned = lie.quat_rotate(one, w[0, :3])
    np.testing.assert_allclose([e.Evaluate({}) for e in turned], lie.quat_rotate(p[0], w[0, :3]))


# The linear model


@every_plant
def test_linearize_agrees_with_autodiff(rng, autodiff, name, variant):
    plant = make(name, variant)
    if plant.ndx != plant.nx:
        pytest.skip("compared on its manifold below")
    x, u = states(plant, rng, 4)
    A, B = linearize(plant, x, u)
    for k in range(4):
        z = autodiff.InitializeAutoDiff(np.concatenate([x[k], u[k]]))[:, 0]
        wanted = autodiff.ExtractGradient(plant.f(z[: plant.nx], z[plant.nx :]))
        scale = np.abs(wanted).max()
        assert np.abs(np.concatenate([A[k], B[k]], axis=1) - wanted).max() < 1e-9 * scale


def test_linearize_on_the_manifold_is_the_motion_of_a_neighbour(rng):
    """Two solutions a small dx apart: their difference, integrated in time with a fine step, grows as A dx."""
    plant = make("quadrotor", "odd")
    for x, u in zip(*states(plant, rng, 3), strict=True):
        A, B = linearize(plant, x, u)
        assert A.shape == (12, 12) and B.shape == (12, 4)
        steps = {dt: OdeSimulator(plant, dt=dt).linearize(x, u) for dt in (1e-3, 5e-4, 2.5e-4)}
        Ad = {dt: ((step[0] - np.eye(12)) / dt, step[1] / dt) for dt, step in steps.items()}
        once = [[2 * Ad[5e-4][i] - Ad[1e-3][i], 2 * Ad[2.5e-4][i] - Ad[5e-4][i]] for i in range(2)]
        twice = [(4 * fine - coarse) / 3 for coarse, fine in once]  # the limit dt -> 0, Richardson
        np.testing.assert_allclose(A, twice[0], atol=1e-6 * np.abs(A).max())
        np.testing.assert_allclose(B, twice[1], atol=1e-6 * np.abs(B).max())


def test_linearize_of_the_hovering_quadrotor_is_the_closed_form():
    plant = make("quadrotor")
    rest = np.array([0.3, -0.2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], float)
    A, B = linearize(plant, rest, plant.hover)
    wanted = np.zeros((12, 12))
    wanted[:6, 6:] = np.eye(6)
    wanted[6, 4], wanted[7, 3] = plant.g, -plant.g
    np.testing.assert_allclose(A, wanted, atol=1e-10)
    inertia = np.diag(plant.M(rest[:7]))
    np.testing.assert_allclose(B[6:], plant.B(rest[:7]) / inertia[:, None], rtol=1e-11, atol=1e-10)


def test_linearize_is_batched_and_checks_its_input(rng):
    plant = make("acrobot")
    x, u = states(plant, rng, 2, 3)
    A, B = linearize(plant, x, u)
    assert A.shape == (2, 3, 4, 4) and B.shape == (2, 3, 4, 1)
    np.testing.assert_allclose(A[1, 2], linearize(plant, x[1, 2], u[1, 2])[0], atol=1e-11)
    assert linearize(plant, x, [0.0])[1].shape == (2, 3, 4, 1)
    with pytest.raises(ValueError, match=r"linearize: input u must have shape \(..., 1\) = \(elbow_torque\)"):
        linearize(plant, x, np.zeros(2))
    with pytest.raises(ValueError, match="must be finite, got nan for 'theta2'"):
        linearize(plant, [0, np.nan, 0, 0], [0.0])


def test_generic_acceleration_works_for_every_type(rng, casadi):
    from sims.scalar import numpy_on_casadi, to_array

    plant = make("npole", "odd")
    x0, u0 = states(plant, rng)
    x, u = casadi.SX.sym("x", plant.nx), casadi.SX.sym("u", 1)
    with numpy_on_casadi():
        vdot = manipulator.acceleration(plant, to_array(x), to_array(u), 0.01)
    found = casadi.Function("a", [x, u], [casadi.vertcat(*vdot)])(x0, u0).full()[:, 0]
    np.testing.assert_allclose(found, plant.acceleration(x0, u0, 0.01), rtol=1e-12)
