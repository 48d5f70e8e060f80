"""Plants exported to Drake in all scalar types; Drake systems imported as simulators."""

import numpy as np
import pytest

pytest.importorskip("pydrake", reason="Drake is not installed: pip install drake")

from pydrake.autodiffutils import AutoDiffXd, InitializeAutoDiff
from pydrake.symbolic import Expression, MakeVectorVariable
from pydrake.systems.framework import LeafSystem
from pydrake.systems.primitives import AffineSystem, Linearize, LinearSystem

from sims import plants
from sims.drake_system import DrakeSystemSimulator, to_drake
from sims.errors import ModelError
from sims.ode import OdeSimulator

PLANTS = sorted(plants.PLANTS)


def point(plant, rng):
    x = plant.normalize(rng.normal(size=plant.nx))
    return x, rng.normal(size=plant.nu)


def context_at(system, x, u):
    context = system.CreateDefaultContext()
    context.SetContinuousState(x)
    if len(u):
        system.GetInputPort("u").FixValue(context, u)
    return context


@pytest.mark.parametrize("name", PLANTS)
def test_float_export_is_f(name, rng):
    plant = plants.load(name)()
    system = to_drake(plant)
    for _ in range(5):
        x, u = point(plant, rng)
        xdot = system.EvalTimeDerivatives(context_at(system, x, u)).CopyToVector()
        assert (xdot == plant.f(x, u)).all()


@pytest.mark.parametrize("name", PLANTS)
def test_autodiff_export_has_the_derivative_of_f(name, rng):
    plant = plants.load(name)()
    system = to_drake(plant).ToAutoDiffXd()
    x, u = point(plant, rng)
    z = InitializeAutoDiff(np.concatenate([x, u]))[:, 0]
    xdot = system.EvalTimeDerivatives(context_at(system, z[: plant.nx], z[plant.nx :])).CopyToVector()
    J = np.array([c.derivatives() if len(c.derivatives()) else np.zeros(len(z)) for c in xdot])
    steps = 1e-6 * np.eye(len(z))
    ends = [plant.f(*np.split(np.concatenate([x, u]) + s * steps, [plant.nx], axis=-1)) for s in (1.0, -1.0)]
    expected = (ends[0] - ends[1]).T / 2e-6
    assert all(isinstance(c, AutoDiffXd) for c in xdot)
    np.testing.assert_allclose(J, expected, rtol=1e-6, atol=1e-7 * max(1.0, abs(expected).max()))


@pytest.mark.parametrize("name", PLANTS)
def test_symbolic_export_evaluates_to_f(name, rng):
    plant = plants.load(name)()
    system = to_drake(plant).ToSymbolic()
    variables = MakeVectorVariable(plant.nx + plant.nu, "z")
    z = np.array([Expression(v) for v in variables])
    xdot = system.EvalTimeDerivatives(context_at(system, z[: plant.nx], z[plant.nx :])).CopyToVector()
    x, u = point(plant, rng)
    values = dict(zip(variables, np.concatenate([x, u]), strict=True))
    np.testing.assert_allclose([e.Evaluate(values) for e in xdot], plant.f(x, u), rtol=1e-11, atol=1e-11)


def test_drakes_linearize_takes_an_export():
    plant = plants.load("Pendulum")()
    system = to_drake(plant)
    linear = Linearize(system, context_at(system, np.array([np.pi, 0.0]), np.zeros(1)))
    np.testing.assert_allclose(linear.A(), [[0, 1], [plant.g / plant.l, -plant.b / plant.l**2]], atol=1e-12)


def test_export_of_something_else_says_so():
    with pytest.raises(TypeError, match=r"sims\.System"):
        to_drake(OdeSimulator(plants.load("Pendulum")()))


@pytest.mark.parametrize("name", ["Pendulum", "CartPole", "VanDerPol"])
def test_export_and_import_is_the_closed_form(name, rng):
    plant = plants.load(name)()
    x, u = point(plant, rng)
    drake = DrakeSystemSimulator(to_drake(plant), dt=1e-2, integrator="runge_kutta5", accuracy=1e-12)
    exact = OdeSimulator(plant, dt=1e-2, integrator="rk45")
    np.testing.assert_allclose(drake.step(x, u), exact.step(x, u), rtol=1e-8, atol=1e-9)
    assert drake.nu == plant.nu and drake.nx == plant.nx


def test_steps_are_pure_and_own_their_memory(rng):
    plant = plants.load("Acrobot")()
    sim = DrakeSystemSimulator(to_drake(plant), dt=1e-2)
    x, u = rng.normal(size=(6, plant.nx)), rng.normal(size=(6, plant.nu))
    batch = sim.step(x, u)
    kept = batch.copy()
    for i in reversed(range(6)):
        assert (sim.step(x[i], u[i]) == kept[i]).all()
    assert (batch == kept).all()


def test_discrete_linear_system_is_its_matrices(rng):
    A, B = rng.normal(size=(3, 3)), rng.normal(size=(3, 2))
    sim = DrakeSystemSimulator(LinearSystem(A, B, np.eye(3), np.zeros((3, 2)), 0.1))
    x, u = rng.normal(size=3), rng.normal(size=2)
    assert sim.dt == 0.1
    np.testing.assert_allclose(sim.step(x, u), A @ x + B @ u, rtol=1e-14)
    A_fd, B_fd = sim.linearize(x, u)
    np.testing.assert_allclose(A_fd, A, atol=1e-8)
    np.testing.assert_allclose(B_fd, B, atol=1e-8)


def test_several_discrete_groups_and_ports_are_joined():
    class TwoTanks(LeafSystem):
        def __init__(self):
            super().__init__()
            self.DeclareVectorInputPort("left", 1)
            self.DeclareVectorInputPort("right", 2)
            self.DeclareDiscreteState(1)
            self.DeclareDiscreteState(2)
            self.DeclarePeriodicDiscreteUpdateEvent(0.5, 0.0, self.advance)

        def advance(self, context, state):
            for i, port in enumerate((self.get_input_port(0), self.get_input_port(1))):
                state.set_value(i, 2 * context.get_discrete_state(i).value() + port.Eval(context))

    sim = DrakeSystemSimulator(TwoTanks())
    assert sim.u_names == ("left", "right0", "right1") and sim.nx == 3 and sim.dt == 0.5
    np.testing.assert_array_equal(sim.step([1.0, 2, 3], [10.0, 20, 30]), [12.0, 24, 36])


def test_an_input_can_be_fixed(rng):
    plant = plants.load("Pendulum")()
    sim = DrakeSystemSimulator(to_drake(plant), fixed={"u": [0.7]})
    free = DrakeSystemSimulator(to_drake(plant))
    x = rng.normal(size=2)
    assert sim.nu == 0 and (sim.step(x, []) == free.step(x, [0.7])).all()
    with pytest.raises(ValueError, match="Available: u"):
        DrakeSystemSimulator(to_drake(plant), fixed={"torque": [0.0]})


def test_what_is_not_a_simulator_is_refused():
    gain = AffineSystem(A=np.zeros((0, 0)), B=np.zeros((0, 1)), f0=[], C=np.zeros((1, 0)), D=np.eye(1), y0=[0.0])
    with pytest.raises(ModelError, match="no state"):
        DrakeSystemSimulator(gain)
    with pytest.raises(ValueError, match=r"0\.1 s and cannot step by 0\.2"):
        DrakeSystemSimulator(LinearSystem(np.eye(1), np.eye(1), np.eye(1), np.zeros((1, 1)), 0.1), dt=0.2)
