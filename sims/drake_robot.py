"""What DrakeSimulator drives: a plant, its layout, actuators and names, from a MuJoCo model or Drake's own parser."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydrake.geometry import SceneGraph
from pydrake.multibody.parsing import Parser
from pydrake.multibody.plant import MultibodyPlant
from pydrake.multibody.tree import BodyIndex

from sims.drake_diagram import connect, quiet, set_approximation
from sims.drake_layout import Block, Layout
from sims.errors import ModelError


@dataclass(frozen=True)
class Robot:
    """bodies: Drake's, in the order of body_names; smooth: no contact, limit or constraint can act in a step;
    damping (nv,) [N m s/rad, N s/m]: joint damping in Drake's order; text: what load() makes the same robot from."""

    plant: Any
    diagram: Any
    layout: Layout
    actuators: Any
    bodies: tuple
    body_names: tuple[str, ...]
    joint_names: tuple[str, ...]
    x_names: tuple[str, ...]
    u_names: tuple[str, ...]
    u_min: np.ndarray
    u_max: np.ndarray
    smooth: bool
    damping: np.ndarray
    omissions: tuple[str, ...]
    dt: float
    text: str


def load(
    model, *, dt: float | None, discrete: bool, contact: bool, limits: bool, allow: tuple[str, ...], approximation: str
) -> Robot:
    """A robot from anything load_model takes (through the compiled MuJoCo model), or an .sdf or .urdf file or text."""
    drakes = _drake_text(model)
    if drakes is not None:
        return _parse(
            *drakes, dt=dt or 1e-3, discrete=discrete, contact=contact, limits=limits, approximation=approximation
        )
    return _compile(
        model, dt=dt, discrete=discrete, contact=contact, limits=limits, allow=allow, approximation=approximation
    )


def _compile(model, *, dt, discrete, contact, limits, allow, approximation) -> Robot:
    from sims import drake_build, drake_check, mujoco_layout
    from sims.drake_actuators import Actuators
    from sims.mujoco_model import load_model, model_text

    m = load_model(model, dt=dt, contact=contact, limits=limits)
    dt = float(m.opt.timestep)
    omissions = drake_check.check(m, contact=contact, limits=limits, discrete=discrete, allow=allow)
    built = drake_build.build(
        m, dt=dt if discrete else 0.0, contact=contact, limits=limits, approximation=approximation
    )
    plant = built.plant
    kinds = {drake_build.FREE: ("free", 7, 6), drake_build.BALL: ("ball", 3, 3)}
    blocks, names = [], mujoco_layout.joint_names(m)
    for j, joint in enumerate(built.joints):
        kind, nq, nv = kinds.get(int(m.jnt_type[j]), ("plain", 1, 1))
        at = int(m.jnt_qposadr[j]), int(m.jnt_dofadr[j]), joint.position_start(), joint.velocity_start()
        blocks.append(Block(kind, *at, nq, nv, names[j]))
    layout = Layout(blocks)
    clamped = m.actuator_ctrllimited.astype(bool)
    if drake_check.disabled(m, drake_check.mujoco.mjtDisableBit.mjDSBL_CLAMPCTRL):
        clamped[:] = False
    limited = drake_check.has_limits(m, limits) and discrete and bool(m.jnt_limited.any())
    return Robot(
        plant=plant,
        diagram=built.diagram,
        layout=layout,
        actuators=Actuators(m, built, layout),
        bodies=tuple(built.bodies[1:]),
        body_names=mujoco_layout.body_names(m)[1:],
        joint_names=names,
        x_names=mujoco_layout.state_names(m)[: m.nq + m.nv],
        u_names=mujoco_layout.input_names(m),
        u_min=np.where(clamped, m.actuator_ctrlrange[:, 0], -np.inf),
        u_max=np.where(clamped, m.actuator_ctrlrange[:, 1], np.inf),
        smooth=not (built.geoms or limited or plant.num_constraints()),
        damping=_damping(plant),
        omissions=omissions,
        dt=dt,
        text=_text(model, m, model_text),
    )


def _text(model, m, model_text) -> str:
    return model_text(model) if isinstance(model, (str, Path)) else model_text(m)


def _damping(plant) -> np.ndarray:
    out = np.zeros(plant.num_velocities())
    for index in plant.GetJointIndices():
        joint = plant.get_joint(index)
        if joint.num_velocities():
            start = joint.velocity_start()
            out[start : start + joint.num_velocities()] = joint.default_damping_vector()
    return out


def _drake_text(model) -> tuple[str, str, str] | None:
    """(contents, file type, path or "") of a model that Drake itself parses; None for all others."""
    if not isinstance(model, (str, Path)):
        return None
    if isinstance(model, str) and model.lstrip("\ufeff \t\r\n").startswith("<"):
        text = model.lstrip("\ufeff \t\r\n")
        kind = {"sdf": "sdf", "robot": "urdf"}.get(_root(text))
        return None if kind is None else (text, kind, "")
    path = Path(model).expanduser()
    if path.suffix.lower() not in (".sdf", ".urdf"):
        return None
    if not path.is_file():
        raise ModelError(
            f"no model file {str(path)!r} (looked in {str(Path.cwd())!r}); give the path of an .sdf or .urdf file"
        )
    return path.read_text(), path.suffix.lower()[1:], str(path.absolute())


def _root(text: str) -> str:
    """The name of the root element of an XML text; "" if it has none."""
    match = re.match(r"(?:\s|<\?.*?\?>|<!--.*?-->|<![^-][^>]*>)*<([\w:.-]+)", text, re.DOTALL)
    return match[1] if match else ""


def _parse(contents, kind, path, *, dt, discrete, contact, limits, approximation) -> Robot:
    """An SDF or URDF as Drake's parser reads it. Gravity is Drake's default or the world's in the file."""
    plant, scene_graph = MultibodyPlant(dt if discrete else 0.0), SceneGraph()
    if discrete:
        set_approximation(plant, approximation)
    if contact:
        plant.RegisterAsSourceForSceneGraph(scene_graph)
    source = path or f"{kind.upper()} text"
    try:
        with quiet():
            parser = Parser(plant)
            models = parser.AddModels(path) if path else parser.AddModelsFromString(contents, kind)
            if not limits or not discrete:
                dropped = _drop_limits(plant)
            plant.Finalize()
    except RuntimeError as error:
        raise ModelError(f"{source}: Drake cannot parse this: {' '.join(str(error).split())}") from None
    if not models:
        raise ModelError(f"{source}: there is no model in this file")
    if limits and not discrete and dropped:
        raise ModelError(
            f"{source}: Drake's continuous plant ignores position limits, here of {', '.join(dropped)}; use "
            f"integrator='discrete' or limits=False"
        )
    return _parsed(plant, scene_graph, contact, discrete, dt, path or contents)


def _drop_limits(plant) -> list[str]:
    dropped = []
    for index in plant.GetJointIndices():
        joint = plant.get_mutable_joint(index)
        low, high = joint.position_lower_limits(), joint.position_upper_limits()
        if np.isfinite(low).any() or np.isfinite(high).any():
            dropped.append(joint.name())
            joint.set_position_limits(np.full(len(low), -np.inf), np.full(len(high), np.inf))
    return dropped


class _PortActuators:
    """tau = B u with the plant's own actuators, in the suite's layout."""

    constant = pure = differentiable = True

    def __init__(self, plant, layout: Layout):
        E = layout.E([np.eye(3)] * len(layout.rotations))
        self.B = E.T @ plant.MakeActuationMatrix()

    def tau(self, x, u, R, context) -> np.ndarray:
        return self.B @ u

    def derivatives(self, x, u, R) -> np.ndarray:
        nv = len(self.B)
        return np.hstack([np.zeros((nv, 2 * nv)), self.B])


def _parsed(plant, scene_graph, contact, discrete, dt, text) -> Robot:
    joints = [plant.get_joint(i) for i in plant.GetJointIndices()]
    joints = sorted((j for j in joints if j.num_velocities()), key=lambda j: j.velocity_start())
    free = [j.type_name() == "quaternion_floating" for j in joints]
    several = len({j.model_instance() for j in joints}) > 1
    name_of = lambda e: f"{plant.GetModelInstanceName(e.model_instance())}.{e.name()}" if several else e.name()  # noqa: E731
    names = [name_of(j) for j in joints]
    blocks, q_names, v_names, q, v = [], [], [], 0, 0
    for joint, is_free, name in zip(joints, free, names, strict=True):
        nq, nv = joint.num_positions(), joint.num_velocities()
        kind = "free" if is_free else "plain"
        blocks.append(Block(kind, q, v, joint.position_start(), joint.velocity_start(), nq, nv, name))
        q_names += _component_names(name, joint, is_free)[0]
        v_names += _component_names(name, joint, is_free)[1]
        q, v = q + nq, v + nv
    layout = Layout(blocks)
    geometry = plant.num_collision_geometries() > 0
    bodies = [plant.get_body(BodyIndex(i)) for i in range(1, plant.num_bodies())]
    actuators = [plant.get_joint_actuator(i) for i in plant.GetJointActuatorIndices()]
    limits = np.array([a.effort_limit() for a in actuators])
    bounded = np.isfinite(plant.GetPositionLowerLimits()).any() or np.isfinite(plant.GetPositionUpperLimits()).any()
    return Robot(
        plant=plant,
        diagram=connect(plant, scene_graph) if contact else plant,
        layout=layout,
        actuators=_PortActuators(plant, layout),
        bodies=tuple(bodies),
        body_names=tuple(name_of(b) for b in bodies),
        joint_names=tuple(names),
        x_names=(*q_names, *v_names),
        u_names=tuple(name_of(a) for a in actuators),
        u_min=-limits,
        u_max=limits,
        smooth=not (geometry or bounded or plant.num_constraints()),
        damping=_damping(plant),
        omissions=("what Drake's parser leaves out of this file is not listed",),
        dt=dt,
        text=text,
    )


def _component_names(name: str, joint, is_free: bool) -> tuple[list[str], list[str]]:
    if is_free:
        parts = ("x", "y", "z", "qw", "qx", "qy", "qz"), ("vx", "vy", "vz", "wx", "wy", "wz")
        return [f"{name}.{p}" for p in parts[0]], [f"{name}.{p}" for p in parts[1]]
    if joint.num_velocities() == 1:
        return [name], [f"{name}_dot"]
    q = [f"{name}.{joint.position_suffix(i)}" for i in range(joint.num_positions())]
    return q, [f"{name}.{joint.velocity_suffix(i)}" for i in range(joint.num_velocities())]
