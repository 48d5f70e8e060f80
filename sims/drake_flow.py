"""Drake's own integrators over a step with the input held: the exact flow of a continuous plant, to an accuracy."""

import numpy as np
from pydrake.systems.analysis import ResetIntegratorFromFlags, SimulatorStatus
from pydrake.systems.analysis import Simulator as DrakesSimulator
from pydrake.systems.framework import BasicVector, DiagramBuilder, EventStatus, LeafSystem

from sims.drake_robot import Robot

FIXED_STEP = ("explicit_euler", "semi_explicit_euler", "runge_kutta2", "radau1", "radau3")  # no error estimate
MAX_STEPS, HUGE = 20_000, 1e100  # within one dt; of a state: beyond them Drake's error control may never return


class Flow:
    """The state after dt from any state and input; nothing is carried from call to call."""

    def __init__(self, robot: Robot, integrator: str, accuracy: float):
        self._robot, self._plant = robot, robot.plant
        builder = DiagramBuilder()
        builder.AddSystem(robot.diagram)
        force = builder.AddSystem(ActuatorForce(robot))
        builder.Connect(robot.diagram.GetOutputPort("state"), force.GetInputPort("state"))
        builder.Connect(force.GetOutputPort("force"), robot.diagram.GetInputPort("applied_generalized_force"))
        builder.ExportInput(force.GetInputPort("u"), "u")
        self._diagram = builder.Build()
        self._simulator = DrakesSimulator(self._diagram)
        self._integration = Integration(self._simulator, integrator, accuracy, robot.dt)
        self._context = self._simulator.get_mutable_context()
        self._plant_context = self._plant.GetMyMutableContextFromRoot(self._context)
        self._input = self._diagram.GetInputPort("u")

    def advance(self, x_drake: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Drake's [q, v] after the robot's dt (a copy)."""
        self._plant.SetPositionsAndVelocities(self._plant_context, x_drake)
        self._input.FixValue(self._context, u)
        self._integration.advance()
        return np.array(self._plant.GetPositionsAndVelocities(self._plant_context))


class Integration:
    """A Drake Simulator with the named integrator, error-controlled to `accuracy` where it can be; steps of dt [s]."""

    def __init__(self, simulator: DrakesSimulator, integrator: str, accuracy: float, dt: float):
        self._simulator, self._accuracy, self._dt = simulator, accuracy, dt
        ResetIntegratorFromFlags(simulator, integrator, dt)
        self._controlled = integrator not in FIXED_STEP
        self._steps = 0
        simulator.set_monitor(self._watch)

    def _watch(self, context) -> EventStatus:
        self._steps += 1
        size = np.abs(context.get_continuous_state_vector().CopyToVector()).max(initial=0.0)
        if self._steps > MAX_STEPS or not size < HUGE:
            return EventStatus.ReachedTermination(self._simulator.get_system(), "diverges")
        return EventStatus.Succeeded()

    def advance(self) -> None:
        """Integrate the simulator's context from time 0 to dt, with nothing (step size) kept from the last call.

        Raises RuntimeError if that takes more than MAX_STEPS or a state grows beyond HUGE.
        """
        integrator = self._simulator.get_mutable_integrator()
        integrator.Reset()  # Initialize alone keeps the step size: results would depend on what was stepped before
        integrator.set_maximum_step_size(self._dt)
        if self._controlled:
            integrator.set_fixed_step_mode(False)
            integrator.set_target_accuracy(self._accuracy)  # of the integrator: the context's is not read
            integrator.request_initial_step_size_target(self._dt)
            integrator.set_throw_on_minimum_step_size_violation(False)
        self._simulator.get_mutable_context().SetTime(0.0)
        self._steps = 0
        rate = self._simulator.get_system().EvalTimeDerivatives(self._simulator.get_context()).CopyToVector()
        if not np.abs(rate).max(initial=0.0) < HUGE:
            raise RuntimeError("the state's derivative is not finite")
        status = self._simulator.Initialize()
        if status.reason() == SimulatorStatus.ReturnReason.kReachedBoundaryTime:
            status = self._simulator.AdvanceTo(self._dt)
        if status.reason() != SimulatorStatus.ReturnReason.kReachedBoundaryTime:
            raise RuntimeError(f"the state diverges within {self._dt} s")


class ActuatorForce(LeafSystem):
    """The actuators' generalised force in Drake's layout, from the plant's state and the held input u."""

    def __init__(self, robot: Robot):
        super().__init__()
        self._robot = robot
        self._context = robot.plant.CreateDefaultContext()
        self._constant = robot.actuators.pure and not robot.layout.rotations
        n = robot.layout.nq_drake + robot.layout.nv
        state = self.DeclareVectorInputPort("state", n)
        u = self.DeclareVectorInputPort("u", len(robot.u_names))
        needs = {u.ticket()} if self._constant else {u.ticket(), state.ticket()}
        self.DeclareVectorOutputPort("force", robot.layout.nv, self._calc, prerequisites_of_calc=needs)

    def _calc(self, context, output: BasicVector) -> None:
        robot, layout = self._robot, self._robot.layout
        u = self.GetInputPort("u").Eval(context)
        if not len(u):
            output.SetFromVector(np.zeros(layout.nv))
            return
        if self._constant:
            output.SetFromVector(layout.velocity_to_drake(robot.actuators.tau(None, u, [], None), []))
            return
        x_drake = self.GetInputPort("state").Eval(context)
        x = layout.from_drake(x_drake)
        if not robot.actuators.constant:
            robot.plant.SetPositionsAndVelocities(self._context, x_drake)
        R = layout.rotation_matrices(x)
        output.SetFromVector(layout.velocity_to_drake(robot.actuators.tau(x, u, R, self._context), R))
