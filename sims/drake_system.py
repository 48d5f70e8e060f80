"""Any sims.System as a Drake LeafSystem in all three scalar types, and any Drake System with vectors as a Simulator."""

from typing import Any

import numpy as np

from sims.errors import MissingDependency, ModelError, unknown
from sims.simulator import Simulator
from sims.system import System

try:
    from pydrake.autodiffutils import AutoDiffXd
    from pydrake.symbolic import Expression
    from pydrake.systems.analysis import Simulator as DrakesSimulator
    from pydrake.systems.framework import LeafSystem_, PortDataType
    from pydrake.systems.scalar_conversion import TemplateSystem
except ImportError as error:
    raise MissingDependency("Drake is not installed: pip install drake") from error

from sims.drake_flow import Integration
from sims.drake_sim import CONTINUOUS, DISCRETE


def to_drake(system: System, T: type = float) -> Any:
    """The plant as a Drake LeafSystem_[T]: xdot = f(x, u), T one of float, AutoDiffXd, Expression.

    Input port "u" (nu,), absent for nu = 0; output port "state" (nx,); continuous state x, in System's layout and one
    piece. ToAutoDiffXd(), ToSymbolic() and Linearize work on it. f does not clip u, nor does this system.
    """
    if not isinstance(system, System):
        raise TypeError(f"to_drake takes a sims.System, got {type(system).__name__}")
    return PlantSystem_[T](system)  # pyright: ignore[reportOptionalCall]


@TemplateSystem.define("PlantSystem_")
def PlantSystem_(T):
    """The LeafSystem classes behind to_drake."""

    class Impl(LeafSystem_[T]):
        def _construct(self, system: System, converter=None):
            LeafSystem_[T].__init__(self, converter)
            self.system = system
            self.set_name(type(system).__name__)
            if system.nu:
                self.DeclareVectorInputPort("u", system.nu)
            state = self.DeclareContinuousState(system.nx)
            self.DeclareStateOutputPort("state", state)

        def _construct_copy(self, other, converter=None):
            Impl._construct(self, other.system, converter=converter)

        def DoCalcTimeDerivatives(self, context, derivatives):
            x = context.get_continuous_state_vector().CopyToVector()
            u = self.get_input_port(0).Eval(context) if self.system.nu else np.zeros(0)
            with np.errstate(all="ignore" if T is not float else None):  # NumPy reports flags Drake's scalars leave set
                xdot = self.system.f(x, u)
            derivatives.get_mutable_vector().SetFromVector(_vector(xdot, T))

    return Impl


def _vector(xdot, T: type) -> np.ndarray:
    """xdot with every entry of type T: f may return plain numbers where nothing depends on x or u."""
    xdot = np.asarray(xdot)
    if T is float or xdot.dtype != object:
        return xdot if T is float else np.array([T(float(c)) for c in xdot], dtype=object)
    return np.array([c if isinstance(c, (AutoDiffXd, Expression)) else T(float(c)) for c in xdot], dtype=object)


class DrakeSystemSimulator(Simulator):
    """A Drake System (Diagrams too) stepped by Drake: x its state, u its vector inputs, one after the other.

    A discrete system steps with its own period and dt must be None or equal to it; its state groups are joined. A
    continuous one is integrated over dt [s] (1 ms if None) by one of Drake's integrators at `accuracy`, input held.
    Inputs named in `fixed` (port name -> value) keep that value and are no part of u; abstract inputs must be fixed
    there, be optional, or be connected. The time is 0 at the start of every step: systems that depend on time are not
    simulators. Raises ModelError, naming what there is, for systems without state, with abstract state, with both kinds
    of state, or with several update periods.
    """

    backend = "drake"

    def __init__(
        self,
        system: Any,
        *,
        dt: float | None = None,
        integrator: str = "runge_kutta3",
        accuracy: float = 1e-10,
        fixed: dict[str, Any] | None = None,
    ):
        if integrator not in CONTINUOUS:
            raise unknown("Drake integrator", integrator, CONTINUOUS)
        self.system, self.integrator, self.accuracy = system, integrator, float(accuracy)
        self._fixed = dict(fixed or {})
        self._name = system.get_name() or type(system).__name__
        self._is_discrete = _is_discrete(system, self._name)
        self.dt = self._period(dt)
        self._simulator = DrakesSimulator(system)
        self._context = self._simulator.get_mutable_context()
        self._ports = self._connect()
        self.nu = sum(port.size() for port in self._ports)
        self.u_names = tuple(_names([(port.get_name(), port.size()) for port in self._ports]))
        self.u_min, self.u_max = np.full(self.nu, -np.inf), np.full(self.nu, np.inf)
        self._groups = self._context.num_discrete_state_groups() if self._is_discrete else 0
        sizes = [self._context.get_discrete_state(i).size() for i in range(self._groups)]
        self._splits = np.cumsum(sizes)[:-1]
        self.nx = self.ndx = sum(sizes) if self._is_discrete else self._context.num_continuous_states()
        self.x_names = tuple(_names([("x", self.nx)]))
        if not self._is_discrete:
            self._integration = Integration(self._simulator, integrator, self.accuracy, self.dt)

    def _period(self, dt: float | None) -> float:
        if dt is not None and not (np.isfinite(dt) and dt > 0):
            raise ValueError(f"DrakeSystemSimulator: dt must be a positive number of seconds, got {dt!r}")
        if not self._is_discrete:
            return 1e-3 if dt is None else float(dt)
        timing = self.system.GetUniquePeriodicDiscreteUpdateAttribute()
        if timing is None:
            raise ModelError(f"Drake system {self._name!r} has discrete state but not one period of discrete updates")
        if dt is not None and not np.isclose(dt, timing.period_sec(), rtol=1e-12, atol=0):
            raise ValueError(
                f"Drake system {self._name!r} steps {timing.period_sec()} s and cannot step by {dt}: leave dt out"
            )
        return float(timing.period_sec())

    def _connect(self) -> list:
        """Fix what is to be fixed; returns the vector ports that make up u."""
        ports = [self.system.get_input_port(i) for i in range(self.system.num_input_ports())]
        known = [port.get_name() for port in ports]
        for name in self._fixed:
            if name not in known:
                raise unknown(f"input port of Drake system {self._name!r}", name, known)
        out = []
        for port in ports:
            if port.get_name() in self._fixed:
                port.FixValue(self._context, self._fixed[port.get_name()])
            elif port.get_data_type() == PortDataType.kVectorValued and port.size():
                port.FixValue(self._context, np.zeros(port.size()))
                out.append(port)
        return out

    def describe(self) -> dict:
        """The kind of system and the options; a Drake system is code, so build() cannot make it again."""
        return {
            "backend": "drake_system",
            "system": self._name,
            "type": type(self.system).__name__,
            "dt": self.dt,
            "integrator": DISCRETE if self._is_discrete else self.integrator,
            "accuracy": self.accuracy,
        }

    def _step(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        if x.ndim == 1:
            return self._advance(x, u)
        out = np.empty(x.shape)
        for index in np.ndindex(x.shape[:-1]):
            out[index] = self._advance(x[index], u[index])
        return out

    def _advance(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        context, start = self._context, 0
        context.SetTime(0.0)
        for port in self._ports:
            port.FixValue(context, u[start : start + port.size()])
            start += port.size()
        try:
            if self._is_discrete:
                for i, group in enumerate(np.split(x, self._splits)):
                    context.SetDiscreteState(i, group)
                update = self.system.EvalUniquePeriodicDiscreteUpdate(context)
                return np.concatenate([np.array(update.value(i)) for i in range(self._groups)])
            context.SetContinuousState(x)
            self._integration.advance()
            return np.array(context.get_continuous_state_vector().CopyToVector())
        except RuntimeError:  # a solver or integrator that gave up; the caller reports the divergence
            return np.full(self.nx, np.nan)


def _is_discrete(system: Any, name: str) -> bool:
    continuous, discrete = system.num_continuous_states(), system.num_discrete_state_groups()
    if system.num_abstract_states():
        raise ModelError(
            f"Drake system {name!r} has {system.num_abstract_states()} abstract states, which are no vectors; for a "
            f"MultibodyPlant call SetUseSampledOutputPorts(False) before Finalize()"
        )
    if continuous and discrete:
        raise ModelError(
            f"Drake system {name!r} has continuous ({continuous}) and discrete ({discrete} groups) state; a Simulator "
            f"has one kind: import the parts one by one"
        )
    if not continuous and not discrete:
        raise ModelError(f"Drake system {name!r} has no state, so there is nothing to simulate")
    return bool(discrete)


def _names(parts: list[tuple[str, int]]) -> list[str]:
    return [name if size == 1 and name != "x" else f"{name}{i}" for name, size in parts for i in range(size)]
