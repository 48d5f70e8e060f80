"""Closed-form plants as shapes: the suite's model where it has the plant's dimensions, else drawn from parameters."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from sims import models
from sims.lie import quat_from_rpy, quat_to_matrix
from sims.system import System
from sims.viewer.geometry import align_z, pose, poses_of, rotation
from sims.viewer.scene import Scene, Shape

BLUE, ORANGE = (0.16, 0.42, 0.74, 1.0), (0.93, 0.49, 0.13, 1.0)
DARK, STEEL = (0.2, 0.22, 0.26, 1.0), (0.62, 0.65, 0.7, 1.0)
FLOOR = (0.86, 0.88, 0.9, 1.0)


def plant_scene(plant: System) -> Scene:
    """The scene of a closed-form plant.

    With MuJoCo installed, the geoms of the model with the same states (sims.models.PLANT_MODEL), as long as the plant's
    lengths are that model's, which are the defaults; otherwise a sketch from the plant's own lengths. Raises ValueError
    for a plant that has neither.
    """
    name = type(plant).__name__
    if name in models.PLANT_MODEL and find_spec("mujoco") and _has_default_lengths(plant):
        from sims.mujoco_sim import MujocoSimulator
        from sims.viewer.mujoco_scene import model_scene

        sim = MujocoSimulator(models.MODELS[models.PLANT_MODEL[name]])
        if sim.nx == plant.nx:
            return model_scene(sim.model, sim.body_names, sim.body_poses)
    if name not in SKETCHES:
        raise ValueError(
            f"no picture of the plant {name}: there is neither a model of it in sims.models.PLANT_MODEL nor a sketch; "
            f"sketches exist for {', '.join(sorted(SKETCHES))}; plot its run with plot_run"
        )
    return SKETCHES[name](plant)


_LENGTHS = ("l", "l1", "l2", "r", "n", "L")  # what the plants with a model call the dimensions one sees


def _has_default_lengths(plant: System) -> bool:
    try:
        usual = vars(type(plant)())
    except TypeError:  # a plant that cannot be made without arguments has no defaults
        return False
    return all(np.array_equal(value, usual[key]) for key, value in vars(plant).items() if key in _LENGTHS)


def _link(name: str, length: float, rgba, width: float) -> Shape:
    """A rod hanging from the origin of the body `name` down to z = -length."""
    return Shape(name, name, "capsule", (width, length / 2), pose((0, 0, -length / 2)), rgba)


def _ball(name: str, body: str, p, radius: float, rgba) -> Shape:
    return Shape(name, body, "sphere", (radius,), pose(p), rgba)


def _box(name: str, body: str, p, half, rgba) -> Shape:
    return Shape(name, body, "box", tuple(half), pose(p), rgba)


def _rail(half: float) -> Shape:
    X = pose((0, 0.08, -0.12), align_z((1, 0, 0)))
    return Shape("rail", "world", "cylinder", (0.015, half), X, STEEL)


def _chain(lengths: list[float], first_angle: int, cart: bool = False) -> Scene:
    """Rods hanging from a pivot or a cart on a rail, in the x-z plane, angles counter-clockwise seen from -y."""
    width = 0.045 * max(lengths)
    links = tuple(f"link{i + 1}" for i in range(len(lengths)))
    shapes = []
    for i, (name, l) in enumerate(zip(links, lengths, strict=True)):
        shapes.append(_link(name, l, BLUE if i % 2 == 0 else ORANGE, width))
        shapes.append(_ball(f"mass{i + 1}", name, (0, 0, -l), 1.9 * width, DARK))
    if cart:
        shapes += [_box("cart", "cart", (0, 0.08, -0.04), (0.18, 0.08, 0.07), DARK), _rail(max(3.0, 2 * sum(lengths)))]
    else:
        shapes.append(_ball("pivot", "world", (0, 0, 0), 1.4 * width, STEEL))

    def poses(x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, float)
        angles = np.cumsum(x[..., first_angle : first_angle + len(lengths)], axis=-1)  # each is relative to the last
        base = np.zeros((*x.shape[:-1], 3))
        if cart:
            base[..., 0] = x[..., 0]
        X = [poses_of(base, np.eye(3))] if cart else []
        for i, l in enumerate(lengths):
            R = rotation("y", -angles[..., i])
            X.append(poses_of(base, R))
            base = base - l * R[..., :, 2]
        return np.stack(X, axis=-3)

    return Scene((("cart",) if cart else ()) + links, tuple(shapes), poses)


def _double_integrator(plant) -> Scene:
    shapes = (_box("block", "block", (0, 0, 0), (0.15, 0.1, 0.1), BLUE), _rail(3.0))
    return Scene(("block",), shapes, lambda x: _one_body(_placed(x[..., :1], "x"), np.eye(3)))


def _npole(plant) -> Scene:
    lengths = np.atleast_1d(np.asarray(plant.l, float))
    return _chain(np.broadcast_to(lengths, (plant.nq - 1,)).tolist(), 1, cart=True)


def _flyer(arm: float, planar: bool) -> tuple[Shape, ...]:
    """The body "frame" of a rotorcraft: arms of length arm [m] along x (and y) with a disc at every end."""
    ends = [(arm, 0), (-arm, 0)] + ([] if planar else [(0, arm), (0, -arm)])
    shapes = [_box("hull", "frame", (0, 0, 0), (0.3 * arm, 0.3 * arm, 0.13 * arm), BLUE)]
    for i, (x, y) in enumerate(ends):
        along, above = pose((x / 2, y / 2, 0), align_z((x, y, 0))), pose((x, y, 0.15 * arm))
        shapes.append(Shape(f"arm{i}", "frame", "capsule", (0.05 * arm, arm / 2), along, DARK))
        color = ORANGE if i == 0 else STEEL
        shapes.append(Shape(f"disc{i}", "frame", "cylinder", (0.55 * arm, 0.02 * arm), above, color))
    return tuple(shapes)


def _planar_quadrotor(plant) -> Scene:
    def poses(x):
        return _one_body(_placed(x[..., :2], "xz"), rotation("y", -x[..., 2]))

    return Scene(("frame",), _flyer(plant.r, planar=True), poses)


def _quadrotor(plant) -> Scene:
    def poses(x):
        return _one_body(x[..., :3], quat_to_matrix(x[..., 3:7]))

    return Scene(("frame",), _flyer(plant.L, planar=False), poses)


def _quadrotor_rpy(plant) -> Scene:
    def poses(x):
        return _one_body(x[..., :3], quat_to_matrix(quat_from_rpy(x[..., 3:6])))

    return Scene(("frame",), _flyer(plant.L, planar=False), poses)


def _van_der_pol(plant) -> Scene:
    """The point (q, qdot) on its phase plane, drawn in the x-z plane."""
    axes = (
        Shape("q", "world", "cylinder", (0.012, 3.0), pose(R=align_z((1, 0, 0))), STEEL),
        Shape("qdot", "world", "cylinder", (0.012, 3.0), pose(), STEEL),
    )
    point = _ball("point", "point", (0, 0, 0), 0.12, ORANGE)
    return Scene(("point",), (point, *axes), lambda x: _one_body(_placed(x[..., :2], "xz"), np.eye(3)))


def _dubins(plant) -> Scene:
    wedge = np.array([[0.3, 0, 0], [-0.2, 0.15, 0], [-0.2, -0.15, 0], [-0.2, 0, 0.14]])
    faces = np.array([[0, 1, 3], [0, 3, 2], [1, 2, 3], [0, 2, 1]])
    triangles = wedge[faces].reshape(-1, 3), np.arange(12).reshape(4, 3)
    car = Shape("car", "car", "mesh", (), pose((0, 0, 0.01)), ORANGE, triangles)
    floor = Shape("floor", "world", "plane", (0.0, 0.0), pose(), FLOOR)
    return Scene(("car",), (car, floor), lambda x: _one_body(_placed(x[..., :2], "xy"), rotation("z", x[..., 2])))


def _ballbot(plant) -> Scene:
    """The ball rolls, so that its dots turn by x / r; the bot stands on its centre and leans towards +x."""
    r, l = plant.r, max(4 * plant.l, 3 * plant.r)
    shapes = [
        _ball("ball", "ball", (0, 0, 0), r, BLUE),
        *(_ball(f"dot{i}", "ball", 0.93 * r * rotation("y", i * np.pi / 2)[:, 2], 0.15 * r, ORANGE) for i in range(4)),
        Shape("mast", "bot", "cylinder", (0.25 * r, 0.4 * l), pose((0, 0, 1.05 * r + 0.4 * l)), DARK),
        Shape("deck", "bot", "cylinder", (0.9 * r, 0.12 * r), pose((0, 0, 1.2 * r)), STEEL),
        _ball("head", "bot", (0, 0, 1.05 * r + 0.8 * l), 0.4 * r, ORANGE),
        Shape("floor", "world", "plane", (0.0, 0.0), pose((0, 0, -r)), FLOOR),
    ]

    def poses(x):
        p = _placed(x[..., :1], "x")
        return np.stack([poses_of(p, rotation("y", x[..., 0] / r)), poses_of(p, rotation("y", x[..., 1]))], axis=-3)

    return Scene(("ball", "bot"), tuple(shapes), poses)


def _glider(plant) -> Scene:
    """Flat plates of the plant's areas: the wing, and the elevator behind its hinge; nose towards +x."""
    span, tail = np.sqrt(plant.Sw * 4.0), np.sqrt(plant.Se * 3.0)
    chord, thin = plant.Sw / span, 0.006
    shapes = [
        _box("wing", "glider", (-plant.lw, 0, 0), (chord / 2, span / 2, thin), BLUE),
        _box("fuselage", "glider", ((chord - plant.lh) / 2, 0, 0), ((chord + plant.lh) / 2, 2 * thin, 2 * thin), DARK),
        _box("fin", "glider", (-plant.lh, 0, 0.06), (0.03, thin / 2, 0.06), STEEL),
        _box("elevator", "elevator", (-plant.le, 0, 0), (plant.Se / tail / 2, tail / 2, thin), ORANGE),
    ]

    def poses(x):
        p, R = _placed(x[..., :2], "xz"), rotation("y", x[..., 2])
        hinge = p - plant.lh * R[..., :, 0]
        return np.stack([poses_of(p, R), poses_of(hinge, rotation("y", x[..., 2] + x[..., 3]))], axis=-3)

    return Scene(("glider", "elevator"), tuple(shapes), poses)


def _one_body(p, R) -> np.ndarray:
    return poses_of(p, R)[..., None, :, :]


def _placed(values, axes: str) -> np.ndarray:
    """p (..., 3) with the columns of values (..., n) on the named axes and zeros elsewhere."""
    p = np.zeros((*values.shape[:-1], 3))
    for i, axis in enumerate(axes):
        p[..., "xyz".index(axis)] = values[..., i]
    return p


SKETCHES: dict[str, Callable] = {
    "Acrobot": lambda plant: _chain([plant.l1, plant.l2], 0),
    "Ballbot": _ballbot,
    "CartPole": lambda plant: _chain([plant.l], 1, cart=True),
    "DoubleIntegrator": _double_integrator,
    "DoublePendulum": lambda plant: _chain([plant.l1, plant.l2], 0),
    "DubinsCar": _dubins,
    "Glider": _glider,
    "NPole": _npole,
    "Pendubot": lambda plant: _chain([plant.l1, plant.l2], 0),
    "Pendulum": lambda plant: _chain([plant.l], 0),
    "PlanarQuadrotor": _planar_quadrotor,
    "Quadrotor": _quadrotor,
    "QuadrotorRPY": _quadrotor_rpy,
    "VanDerPol": _van_der_pol,
}
