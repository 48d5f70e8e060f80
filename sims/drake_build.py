"""A Drake MultibodyPlant from a compiled MuJoCo model: bodies, joints, rotor inertia, springs, limits, constraints."""

from dataclasses import dataclass, field
from typing import Any

import mujoco
import numpy as np
from pydrake.common.eigen_geometry import Quaternion
from pydrake.geometry import SceneGraph
from pydrake.math import RigidTransform, RotationMatrix
from pydrake.multibody import tree
from pydrake.multibody.plant import MultibodyPlant

from sims.drake_check import carries_equality, disabled, has_contact, has_limits, name_of
from sims.drake_diagram import connect, quiet, set_approximation
from sims.drake_geometry import STICTION_TOLERANCE, add_collision_geometry, filter_collisions, pose
from sims.errors import ModelError

HINGE, SLIDE, BALL, FREE = (
    int(mujoco.mjtJoint.mjJNT_HINGE),
    int(mujoco.mjtJoint.mjJNT_SLIDE),
    int(mujoco.mjtJoint.mjJNT_BALL),
    int(mujoco.mjtJoint.mjJNT_FREE),
)


@dataclass
class Built:
    """The finalised plant in its diagram, and where each MuJoCo body and joint went (Drake's, in MuJoCo's order).

    A 1-dof joint has MuJoCo's coordinate (qpos0 is inside its frames); a free joint is a QuaternionFloatingJoint,
    a ball joint a BallRpyJoint. geoms: Drake GeometryId -> MuJoCo geom, for the colliding ones.
    """

    plant: MultibodyPlant
    scene_graph: SceneGraph
    bodies: list[Any] = field(default_factory=list)
    joints: list[Any] = field(default_factory=list)
    geoms: dict[Any, int] = field(default_factory=dict)
    diagram: Any = None


def build(
    m: mujoco.MjModel, *, dt: float, contact: bool = True, limits: bool = True, approximation: str = "lagged"
) -> Built:
    """The plant of m with time step dt [s] (0: continuous), everything in it that `drake_check.check` does not name.

    approximation: of the contact constraints inside the discrete SAP solver, "lagged", "sap" or "similar". "lagged"
    converges to Coulomb's law; with "sap" a body that slides floats on a gap of about mu (dt + relaxation time) speed.
    Raises ModelError naming the body whose inertia is not physical.
    """
    plant, scene_graph = MultibodyPlant(dt), SceneGraph()
    if dt > 0:
        set_approximation(plant, approximation)
    plant.set_adjacent_bodies_collision_filters(False)  # MuJoCo's own filter rules are applied below
    plant.RegisterAsSourceForSceneGraph(scene_graph)
    plant.set_stiction_tolerance(STICTION_TOLERANCE)
    gravity = np.zeros(3) if disabled(m, mujoco.mjtDisableBit.mjDSBL_GRAVITY) else m.opt.gravity
    plant.mutable_gravity_field().set_gravity_vector(np.array(gravity))
    out = Built(plant, scene_graph, bodies=[plant.world_body()], joints=[None] * m.njnt)
    for b in range(1, m.nbody):
        _add_body(m, out, b)
    for j in range(m.njnt):
        _finish_joint(m, out, j, has_limits(m, limits) and dt > 0)
    if dt > 0:
        _add_equalities(m, out)
    allowed = add_collision_geometry(m, plant, out.bodies, out.geoms) if has_contact(m, contact) else set()
    with quiet():
        plant.Finalize()
    if out.geoms:
        filter_collisions(scene_graph, list(out.geoms), allowed)
    out.diagram = connect(plant, scene_graph)
    return out


def _inertia(m: mujoco.MjModel, b: int) -> tree.SpatialInertia:
    if m.body_mass[b] == 0.0:
        if np.any(m.body_inertia[b] != 0.0):
            name = name_of(m, mujoco.mjtObj.mjOBJ_BODY, b, "body")
            raise ModelError(f"body {name!r} has inertia {m.body_inertia[b]} but no mass; Drake needs a positive mass")
        return tree.SpatialInertia.Zero()
    R = RotationMatrix(Quaternion(m.body_iquat[b] / np.linalg.norm(m.body_iquat[b]))).matrix()
    I_cm = R @ np.diag(m.body_inertia[b]) @ R.T
    try:
        central = tree.RotationalInertia(*np.diag(I_cm), I_cm[0, 1], I_cm[0, 2], I_cm[1, 2])
        return tree.SpatialInertia.MakeFromCentralInertia(m.body_mass[b], np.array(m.body_ipos[b]), central)
    except RuntimeError as error:
        name = name_of(m, mujoco.mjtObj.mjOBJ_BODY, b, "body")
        raise ModelError(
            f"body {name!r}: mass {m.body_mass[b]} kg with principal inertias {m.body_inertia[b]} kg m^2 is not "
            f"physical (each must be positive and at most the sum of the other two); correct its <inertial>"
        ) from error


def _add_body(m: mujoco.MjModel, out: Built, b: int) -> None:
    """Body b with its joints; all but the last joint move massless bodies in between."""
    plant, name = out.plant, name_of(m, mujoco.mjtObj.mjOBJ_BODY, b, "body")
    body = plant.AddRigidBody(name, _inertia(m, b))
    out.bodies.append(body)
    parent = out.bodies[m.body_parentid[b]].body_frame()
    X_PB = pose(m.body_pos[b], m.body_quat[b])
    first, count = m.body_jntadr[b], m.body_jntnum[b]
    if count == 0:
        plant.WeldFrames(parent, body.body_frame(), X_PB)
    for j in range(first, first + count):
        if j == first + count - 1:
            child = body.body_frame()
        else:
            between = f"{name}/before_{name_of(m, mujoco.mjtObj.mjOBJ_JOINT, j + 1, 'joint')}"
            child = plant.AddRigidBody(between, tree.SpatialInertia.Zero()).body_frame()
        out.joints[j] = _add_joint(m, plant, j, parent, child, X_PB)
        parent, X_PB = child, RigidTransform()


def _add_joint(m: mujoco.MjModel, plant: MultibodyPlant, j: int, parent, child, X_PB: RigidTransform):
    """Joint j between frames fixed to its anchor; the parent's is turned back by qpos0 so that q_drake = qpos."""
    name = name_of(m, mujoco.mjtObj.mjOBJ_JOINT, j, "joint")
    kind, axis, dof = int(m.jnt_type[j]), np.array(m.jnt_axis[j]), m.jnt_dofadr[j]
    damping = m.dof_damping[dof] + _reflected(m, j, m.actuator_damping)
    damping = 0.0 if disabled(m, mujoco.mjtDisableBit.mjDSBL_DAMPER) else max(0.0, float(damping))  # negative: refused
    if kind == FREE:
        return plant.AddJoint(tree.QuaternionFloatingJoint(name, plant.world_frame(), child, damping, damping))
    anchor, q0 = RigidTransform(np.array(m.jnt_pos[j])), m.qpos0[m.jnt_qposadr[j]]
    back = {
        HINGE: RigidTransform(Quaternion(np.r_[np.cos(q0 / 2), -np.sin(q0 / 2) * axis]), np.zeros(3)),
        SLIDE: RigidTransform(-q0 * axis),
        BALL: RigidTransform(),
    }[kind]
    F = plant.AddFrame(tree.FixedOffsetFrame(f"{name}/parent", parent, X_PB @ anchor @ back))
    M = plant.AddFrame(tree.FixedOffsetFrame(f"{name}/child", child, anchor))
    if kind == HINGE:
        return plant.AddJoint(tree.RevoluteJoint(name, F, M, axis, damping))
    if kind == SLIDE:
        return plant.AddJoint(tree.PrismaticJoint(name, F, M, axis, damping=damping))
    return plant.AddJoint(tree.BallRpyJoint(name, F, M))


def _finish_joint(m: mujoco.MjModel, out: Built, j: int, limits: bool) -> None:
    """Limits, spring and rotor inertia of a 1-dof joint."""
    if int(m.jnt_type[j]) not in (HINGE, SLIDE):
        return
    plant, joint = out.plant, out.joints[j]
    if limits and m.jnt_limited[j]:
        joint.set_position_limits([m.jnt_range[j, 0]], [m.jnt_range[j, 1]])
    if m.jnt_stiffness[j] > 0 and not disabled(m, mujoco.mjtDisableBit.mjDSBL_SPRING):
        spring = tree.RevoluteSpring if int(m.jnt_type[j]) == HINGE else tree.PrismaticSpring
        plant.AddForceElement(spring(joint, float(m.qpos_spring[m.jnt_qposadr[j]]), float(m.jnt_stiffness[j])))
    actuator = plant.AddJointActuator(joint.name(), joint, _effort_limit(m, j))
    actuator.set_default_gear_ratio(1.0)
    armature = m.dof_armature[m.jnt_dofadr[j]] + _reflected(m, j, m.actuator_armature)
    actuator.set_default_rotor_inertia(float(armature))


def on_joint(m: mujoco.MjModel, j: int) -> list[int]:
    """The actuators that act on joint j directly."""
    kinds = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))
    return [i for i in range(m.nactuator) if int(m.actuator_trntype[i]) in kinds and m.actuator_trnid[i, 0] == j]


def _reflected(m: mujoco.MjModel, j: int, values: np.ndarray) -> float:
    """Armature or damping that the actuators bring to 1-dof joint j: gear^2 times their own."""
    return (
        sum(m.actuator_gear[i, 0] ** 2 * values[i] for i in on_joint(m, j))
        if int(m.jnt_type[j]) in (HINGE, SLIDE)
        else 0.0
    )


def _effort_limit(m: mujoco.MjModel, j: int) -> float:
    """The largest effort MuJoCo's actuators bring to joint j, for who drives `plant` through its actuation port."""
    limit = 0.0
    for i in on_joint(m, j):
        bounds, c = [np.inf], m.actuator_ctrladr[i]
        if m.actuator_forcelimited[i]:
            bounds.append(np.abs(m.actuator_forcerange[i]).max())
        if m.actuator_ctrllimited[c] and int(m.actuator_biastype[i]) == int(mujoco.mjtBias.mjBIAS_NONE):
            bounds.append(abs(m.actuator_gainprm[i, 0]) * np.abs(m.actuator_ctrlrange[c]).max())
        limit += abs(m.actuator_gear[i, 0]) * min(bounds)
    if m.jnt_actfrclimited[j]:
        limit = min(limit, np.abs(m.jnt_actfrcrange[j]).max())
    return float(limit) if limit > 0 else np.inf


def _add_equalities(m: mujoco.MjModel, out: Built) -> None:
    bit, eq = mujoco.mjtDisableBit, mujoco.mjtEq
    if disabled(m, bit.mjDSBL_EQUALITY) or disabled(m, bit.mjDSBL_CONSTRAINT):
        return
    for i in range(m.neq):
        if not (m.eq_active0[i] and carries_equality(m, i)):
            continue
        kind, a, b, data = int(m.eq_type[i]), m.eq_obj1id[i], m.eq_obj2id[i], np.array(m.eq_data[i])
        if kind != int(eq.mjEQ_JOINT):
            A, B = (out.bodies[k] if k else _ground(out.plant) for k in (a, b))
        if kind == int(eq.mjEQ_JOINT):
            qa, qb = m.qpos0[m.jnt_qposadr[a]], m.qpos0[m.jnt_qposadr[b]]
            out.plant.AddCouplerConstraint(out.joints[a], out.joints[b], data[1], qa + data[0] - data[1] * qb)
        elif kind == int(eq.mjEQ_CONNECT):
            out.plant.AddBallConstraint(A, data[:3], B, data[3:6])
        else:
            X_AB = pose(data[3:6], data[6:10])
            anchor = RigidTransform(data[:3])
            out.plant.AddWeldConstraint(A, X_AB @ anchor, B, anchor)


def _ground(plant: MultibodyPlant):
    """A massless body welded to the world, for constraints: with the world itself Drake (1.51, 1.58) crashes."""
    name = "equality/ground"
    if not plant.HasBodyNamed(name):
        ground = plant.AddRigidBody(name, tree.SpatialInertia.Zero())
        plant.WeldFrames(plant.world_frame(), ground.body_frame())
    return plant.GetBodyByName(name)
