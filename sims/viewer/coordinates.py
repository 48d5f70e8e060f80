"""The coordinates of a robot that a person can turn: one slider each, quaternions as roll, pitch, yaw."""

from dataclasses import dataclass

import numpy as np

from sims.lie import quat_from_rpy, quat_to_rpy
from sims.simulator import Simulator
from sims.viewer.scene import Scene

_SPAN = {"hinge": np.pi, "slide": 1.0}  # of a joint without limits [rad, m]


@dataclass(frozen=True)
class Coordinate:
    """One number of a pose, between low and high [rad or m].

    index: of the number in x; part: None, or 0, 1, 2 for roll, pitch, yaw of the quaternion (wxyz) that starts there.
    typical: how far [rad or m] it usually moves to either side; the camera is placed by it.
    """

    name: str
    low: float
    high: float
    index: int
    part: int | None = None
    typical: float = np.inf

    def value(self, x: np.ndarray) -> float:
        """The coordinate at x (nx,)."""
        if self.part is None:
            return float(x[self.index])
        return float(quat_to_rpy(x[self.index : self.index + 4])[self.part])

    def set(self, x: np.ndarray, value: float) -> None:
        """Change x (nx,) in place so that the coordinate is value."""
        if self.part is None:
            x[self.index] = value
            return
        rpy = quat_to_rpy(x[self.index : self.index + 4])
        rpy[self.part] = value
        x[self.index : self.index + 4] = quat_from_rpy(rpy)


def coordinates(sim: Simulator, scene: Scene) -> list[Coordinate]:
    """The coordinates of a simulator, drawn as scene: its joints, or all its states where there are no joints."""
    if sim.backend == "ode":
        plant = sim.system
        if (plant.nq, plant.nv) == (7, 6):
            return _free("frame", 0, typical=0.5)
        return [_named(name, i) for i, name in enumerate(sim.x_names[: plant.nq or sim.nx])]
    if scene.model is not None:
        return _model_coordinates(scene.model)
    return _drake_coordinates(sim)


def default_state(sim: Simulator, scene: Scene) -> np.ndarray:
    """A state (nx,) at rest: MuJoCo's qpos0 where there is a MuJoCo model, else zeros and unit quaternions."""
    x = np.zeros(sim.nx)
    if sim.backend == "ode":
        if (sim.system.nq, sim.system.nv) == (7, 6):
            x[3] = 1.0
    elif scene.model is not None:
        x[: scene.model.nq] = scene.model.qpos0
    else:
        x[[i for i, name in enumerate(sim.x_names) if name.endswith(".qw")]] = 1.0
    return x


def typical_states(sim: Simulator, scene: Scene, n: int = 64) -> np.ndarray:
    """States (n, nx) that show how far the robot reaches; always the same ones."""
    rng = np.random.default_rng(0)
    x = np.tile(default_state(sim, scene), (n, 1))
    for coordinate in coordinates(sim, scene):
        middle = coordinate.value(x[0])
        low, high = max(coordinate.low, middle - coordinate.typical), min(coordinate.high, middle + coordinate.typical)
        for row, value in zip(x[1:], rng.uniform(min(low, high), max(low, high), n - 1), strict=True):
            coordinate.set(row, value)
    return x


def _named(name: str, i: int) -> Coordinate:
    angle = any(word in name for word in ("theta", "roll", "pitch", "yaw", "phi", "psi", "alpha", "heading", "angle"))
    return Coordinate(name, -np.pi, np.pi, i) if angle else Coordinate(name, -3.0, 3.0, i, typical=1.0)


def _free(name: str, index: int, typical: float = 0.2, center=(0.0, 0.0, 0.0)) -> list[Coordinate]:
    middle = [float(c) for c in center]
    places = [
        Coordinate(f"{name} {a}", middle[i] - 2.0, middle[i] + 2.0, index + i, typical=typical)
        for i, a in enumerate("xyz")
    ]
    return places + _ball(name, index + 3)


def _ball(name: str, index: int) -> list[Coordinate]:
    limits = (np.pi, np.pi / 2, np.pi)
    return [
        Coordinate(f"{name} {a}", -limit, limit, index, part, typical=0.3)
        for part, (a, limit) in enumerate(zip(("roll", "pitch", "yaw"), limits, strict=True))
    ]


def _model_coordinates(model) -> list[Coordinate]:
    import mujoco

    kinds = mujoco.mjtJoint
    out: list[Coordinate] = []
    for j in range(model.njnt):
        name, kind, index = model.joint(j).name or f"joint{j}", int(model.jnt_type[j]), int(model.jnt_qposadr[j])
        if kind == kinds.mjJNT_FREE.value:
            out += _free(name, index, center=model.qpos0[index : index + 3])
        elif kind == kinds.mjJNT_BALL.value:
            out += _ball(name, index)
        else:
            span = _SPAN["hinge" if kind == kinds.mjJNT_HINGE.value else "slide"]
            low, high = (model.jnt_range[j] if model.jnt_limited[j] else (-span, span)) + model.qpos0[index] * (
                not model.jnt_limited[j]
            )
            out.append(Coordinate(name, float(low), float(high), index))
    return out


def _drake_coordinates(sim) -> list[Coordinate]:
    """The joints of a plant from Drake's own parser, by the names of its states (free joints: NAME.x ... NAME.qz)."""
    limits = {}
    for index in sim.plant.GetJointIndices():
        joint = sim.plant.get_joint(index)
        if joint.num_positions() == 1:
            limits[joint.name()] = joint.type_name(), joint.position_lower_limit(), joint.position_upper_limit()
    out: list[Coordinate] = []
    for i, name in enumerate(sim.x_names[: sim.plant.num_positions()]):
        stem, _, part = name.rpartition(".")
        kind, low, high = limits.get(name, limits.get(part, ("revolute", -np.inf, np.inf)))
        if part == "x" and name not in limits:
            out += _free(stem, i)
        elif part not in ("y", "z", "qw", "qx", "qy", "qz") or name in limits:
            span = _SPAN["slide" if kind == "prismatic" else "hinge"]
            out.append(Coordinate(name, max(low, -span), min(high, span), i))
    return out
