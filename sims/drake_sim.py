"""A robot in Drake as a pure, batched Simulator."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from sims.contact import Contact, Terms
from sims.errors import MissingDependency, unknown
from sims.simulator import Simulator

try:
    import pydrake  # noqa: F401  (before the files that wrap it, which would only say that a module is missing)
except ImportError as error:
    raise MissingDependency("Drake is not installed: pip install drake") from error

from sims.drake_diagram import APPROXIMATIONS, quiet
from sims.drake_flow import Flow
from sims.drake_layout import quat_step
from sims.drake_robot import Robot, load
from sims.drake_terms import Derivatives, terms

DISCRETE = "discrete"
CONTINUOUS = (
    "bogacki_shampine3",
    "explicit_euler",
    "implicit_euler",
    "radau1",
    "radau3",
    "runge_kutta2",
    "runge_kutta3",
    "runge_kutta5",
    "semi_explicit_euler",
    "velocity_implicit_euler",
)
INTEGRATORS = (DISCRETE, *CONTINUOUS)


class DrakeSimulator(Simulator):
    """x_next = one step of a MultibodyPlant, x = [q, v] in MuJoCo's layout and joint order (drake_layout), u = ctrl.

    model: anything `sims.mujoco_model.load_model` takes; the plant is built from the compiled model, and what it cannot
    carry is a ModelError that names it, unless `allow` names the feature (sims.drake_check.FEATURES). An .sdf or .urdf
    file, or such text, goes through Drake's own parser: fixed or floating as there, joints in Drake's order.
    dt [s]: the model's if None (1 ms for SDF and URDF). integrator "discrete": MultibodyPlant(dt) with the SAP solver,
    point contact, joint damping implicit, quaternions advanced by the exponential map. Others: Drake's integrators of
    the continuous plant, error-controlled to `accuracy` where they can be; position limits do not exist there.
    contact_approximation: of the discrete contact constraints, "lagged" (Coulomb's law), "sap" or "similar".
    contact=False, limits=False leave contact and joint limits out. `.plant`, `.diagram`: Drake's; `.omissions`: what is
    different from the model, in sentences. One simulator belongs to one Python thread.
    """

    backend = "drake"

    def __init__(
        self,
        model,
        *,
        dt: float | None = None,
        integrator: str = DISCRETE,
        accuracy: float = 1e-10,
        contact: bool = True,
        limits: bool = True,
        contact_approximation: str = "lagged",
        allow: Sequence[str] = (),
    ):
        if integrator not in INTEGRATORS:
            raise unknown("Drake integrator", integrator, INTEGRATORS)
        if contact_approximation not in APPROXIMATIONS:
            raise unknown("contact approximation", contact_approximation, APPROXIMATIONS)
        for name, value in (("dt", dt), ("accuracy", accuracy)):
            if value is not None and not (np.isfinite(value) and value > 0):
                raise ValueError(f"DrakeSimulator: {name} must be a positive number, got {value!r}")
        self.integrator, self.accuracy = integrator, float(accuracy)
        self._options = {
            "contact": bool(contact),
            "limits": bool(limits),
            "contact_approximation": contact_approximation,
            "allow": [allow] if isinstance(allow, str) else list(allow),
        }
        robot = load(
            model,
            dt=dt,
            discrete=integrator == DISCRETE,
            contact=contact,
            limits=limits,
            allow=tuple(self._options["allow"]),
            approximation=contact_approximation,
        )
        self._adopt(robot)

    def _adopt(self, robot: Robot) -> None:
        self._robot, self._layout = robot, robot.layout
        self.plant, self.diagram, self.dt = robot.plant, robot.diagram, robot.dt
        self._quats = np.array([np.r_[quat] for quat, _, _ in robot.layout.rotations], int).reshape(-1, 4)
        self.nx, self.ndx, self.nu = robot.layout.nq + robot.layout.nv, 2 * robot.layout.nv, len(robot.u_names)
        self.u_min, self.u_max = robot.u_min, robot.u_max
        self.x_names, self.u_names = robot.x_names, robot.u_names
        self.body_names, self.joint_names, self.omissions = robot.body_names, robot.joint_names, robot.omissions
        if self.plant.num_collision_geometries():
            with quiet():
                self._context = self.diagram.CreateDefaultContext()
            self._plant_context = self.plant.GetMyMutableContextFromRoot(self._context)
        else:  # nothing to ask of the scene graph
            self._context = self._plant_context = self.plant.CreateDefaultContext()
        port = self.plant.get_applied_generalized_force_input_port()
        self._force = port.FixValue(self._plant_context, np.zeros(robot.layout.nv))
        self._is_discrete = self.integrator == DISCRETE
        self._flow = None if self._is_discrete else Flow(robot, self.integrator, self.accuracy)

    @classmethod
    def from_description(cls, description: dict) -> "DrakeSimulator":
        """The simulator that `describe` described."""
        keys = ("dt", "integrator", "accuracy", "contact", "limits", "contact_approximation", "allow")
        return cls(description["model"], **{k: description[k] for k in keys})

    def describe(self) -> dict:
        """The arguments that make this simulator again, with the key "backend"; "model" as in MujocoSimulator."""
        description = {
            "backend": self.backend,
            "model": self._robot.text,
            "dt": self.dt,
            "integrator": self.integrator,
            "accuracy": self.accuracy,
            **self._options,
        }
        if Path(self._robot.text[:4096]).is_absolute():
            description["sha256"] = hashlib.sha256(Path(self._robot.text).read_bytes()).hexdigest()
        return description

    @property
    def position_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The limits (nq,), (nq,) of q in the suite's layout, as the plant has them; infinite where there are none."""
        suite, drake = self._layout.additive
        low, high = np.full(self._layout.nq, -np.inf), np.full(self._layout.nq, np.inf)
        low[suite], high[suite] = self.plant.GetPositionLowerLimits()[drake], self.plant.GetPositionUpperLimits()[drake]
        return low, high

    def difference(self, x, y) -> np.ndarray:
        """The tangent vector dx (..., ndx) with integrate(x, dx) = y; rotations as body-frame vectors [rad]."""
        return self._layout.difference(np.asarray(x, float), np.asarray(y, float))

    def integrate(self, x, dx) -> np.ndarray:
        """The state (..., nx) reached from x along dx (..., ndx)."""
        return self._layout.integrate(np.asarray(x, float), np.asarray(dx, float))

    def _step(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        advance = self._discrete_step if self._is_discrete else self._continuous_step
        if x.ndim == 1:
            return advance(x, u)
        out = np.empty(x.shape)
        for index in np.ndindex(x.shape[:-1]):
            out[index] = advance(x[index], u[index])
        return out

    def _set(self, x: np.ndarray, u: np.ndarray) -> list[np.ndarray]:
        """Put x (nx,) and the force of u (nu,) into the context; returns the joints' rotation matrices."""
        layout, context = self._layout, self._plant_context
        R = layout.rotation_matrices(x)
        self.plant.SetPositionsAndVelocities(context, self._to_drake(x, R))
        if self.nu:
            tau = self._robot.actuators.tau(x, u, R, context)
            tau = tau if layout.identity else layout.velocity_to_drake(tau, R)
            self._force.GetMutableData().get_mutable_value().SetFromVector(tau)  # half the time of FixValue
        return R

    def _to_drake(self, x: np.ndarray, R: list[np.ndarray]) -> np.ndarray:
        """layout.to_drake; RuntimeError if that is not finite, for which Drake would end the process (SystemExit)."""
        state = self._layout.to_drake(x, R)
        if not np.isfinite(state).all():
            raise RuntimeError("drake simulator: the state is not finite in Drake's coordinates")
        return state

    def _discrete_step(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        try:
            R = self._set(x, u)
            values = self.plant.EvalUniquePeriodicDiscreteUpdate(self._plant_context).value(0)
        except RuntimeError:  # Drake's solvers throw where others return NaN; the caller reports the divergence
            return np.full(self.nx, np.nan)
        layout = self._layout
        if layout.identity:
            return values.copy()
        nq = layout.nq
        out = np.empty(self.nx)
        suite, drake = layout.additive
        out[suite] = values[drake]
        v = out[nq:]
        v[:] = layout.velocity_from_drake(values[layout.nq_drake :], R)
        # omega_B after the step is R' omega_W with the old R: turning about omega does not change it
        for quat, w, _ in layout.rotations:
            out[quat] = quat_step(x[quat], self.dt * v[w])
        return out

    def _continuous_step(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        layout = self._layout
        R = layout.rotation_matrices(x)
        try:
            values = self._flow.advance(self._to_drake(x, R), u)
        except RuntimeError:
            return np.full(self.nx, np.nan)
        return layout.from_drake(values)

    def _linearize(self, x: np.ndarray, u: np.ndarray, eps: float = 1e-6) -> tuple[np.ndarray, np.ndarray]:
        """Drake's AutoDiff through the discrete update where that is smooth, central differences elsewhere."""
        if not (self._is_discrete and self._robot.smooth and self._robot.actuators.differentiable) or self._layout.ball:
            return super()._linearize(x, u, eps)
        A, B = np.empty((*x.shape[:-1], self.ndx, self.ndx)), np.empty((*x.shape[:-1], self.ndx, self.nu))
        for index in np.ndindex(x.shape[:-1]):
            A[index], B[index] = self._derivatives(x[index], u[index])
        return A, B

    @cached_property
    def _derivatives(self) -> Derivatives:
        return Derivatives(self._robot)

    def body_poses(self, x) -> np.ndarray:
        """X_WB (..., nbody, 4, 4) of all bodies but the world, in the order of body_names, at x (..., nx)."""
        x = self.check_state(x)
        out = np.empty((*x.shape[:-1], len(self.body_names), 4, 4))
        layout = self._layout
        for index in np.ndindex(x.shape[:-1]):
            state = self._to_drake(x[index], layout.rotation_matrices(x[index]))
            self.plant.SetPositionsAndVelocities(self._plant_context, state)
            for b, body in enumerate(self._robot.bodies):
                pose = self.plant.EvalBodyPoseInWorld(self._plant_context, body)
                out[(*index, b)] = pose.GetAsMatrix4()
        return out

    def contacts(self, x, u) -> list[Contact]:
        """The contact points with force at x (nx,), u (nu,), in the step that starts there or the continuous plant."""
        x, u = self._one(x, u)
        if not self.plant.num_collision_geometries():
            return []
        self._set(x, u)
        results = self.plant.get_contact_results_output_port().Eval(self._plant_context)
        names = {body.index(): name for body, name in zip(self._robot.bodies, self.body_names, strict=True)}
        infos = [results.point_pair_contact_info(i) for i in range(results.num_point_pair_contacts())]
        return [
            Contact(
                names.get(info.bodyA_index(), "world"),
                names.get(info.bodyB_index(), "world"),
                np.array(info.contact_point()),
                np.array(info.contact_force()),
            )
            for info in infos
        ]

    def terms(self, x, u) -> Terms:
        """M, bias, gravity, tau and vdot at x (nx,), u (nu,)."""
        x, u = self._one(x, u)
        R = self._set(x, u)
        return terms(self._robot, self._plant_context, x, self.saturate(u), R)

    def _one(self, x, u) -> tuple[np.ndarray, np.ndarray]:
        x, u = self.check_state(x), self.check_input(u)
        if x.ndim != 1 or u.ndim != 1:
            raise ValueError(
                f"drake simulator: one state ({self.nx},) and one input ({self.nu},), got {x.shape}, {u.shape}"
            )
        return x, self.saturate(u)
