"""Scenes: every simulator has a picture, shapes keep their size, and the camera sees them."""

import numpy as np
import pytest
from viewer_cases import SDF, mujoco_sim

from sims import OdeSimulator, models, plants
from sims.viewer import (
    Shape,
    poses,
    scene_of,
)
from sims.viewer import geometry as g
from sims.viewer.coordinates import coordinates, default_state
from sims.viewer.view import view_of

DRAWN = ["acrobot", "iiwa14", "quadruped", "gripper"]


@pytest.mark.parametrize("name", sorted(plants.PLANTS))
def test_every_plant_has_a_picture(name, rng):
    plant = plants.load(name)()
    scene = scene_of(OdeSimulator(plant, dt=0.01))
    x = rng.normal(size=(3, 2, plant.nx))
    X = scene.poses(x)
    assert X.shape == (3, 2, len(scene.bodies), 4, 4)
    R = X[..., :3, :3]
    np.testing.assert_allclose(R @ np.swapaxes(R, -1, -2), np.broadcast_to(np.eye(3), R.shape), atol=1e-12)
    assert {s.body for s in scene.shapes} - {"world"} == set(scene.bodies)


CHAINS = {
    "pendulum": lambda: plants.Pendulum(),
    "acrobot": lambda: plants.Acrobot(),
    "cartpole": lambda: plants.CartPole(),
    "npole": lambda: plants.NPole(),
    "planar_quadrotor": lambda: plants.PlanarQuadrotor(),
    "quadrotor": lambda: plants.Quadrotor(),
}


@pytest.mark.parametrize("name", sorted(CHAINS))
def test_sketches_move_as_the_models_do(name, rng):
    """The sketch of a plant and MuJoCo's kinematics of its model: the same rotations, the same displacements."""
    pytest.importorskip("mujoco", reason="pip install mujoco")
    from sims.viewer.sketch import SKETCHES, plant_scene

    plant = CHAINS[name]()
    drawn, model = SKETCHES[type(plant).__name__](plant), plant_scene(plant)
    assert model.model is not None and len(drawn.bodies) == len(model.bodies)
    x = rng.normal(size=(5, plant.nx))
    sketched, exact = drawn.poses(x), model.poses(x)
    np.testing.assert_allclose(sketched[..., :3, :3], exact[..., :3, :3], atol=1e-12)
    offset = exact[0, 0, :3, 3] - sketched[0, 0, :3, 3]  # the model's pivot is above the floor
    np.testing.assert_allclose(sketched[..., :3, 3] + offset, exact[..., :3, 3], atol=1e-12)


def test_other_lengths_are_drawn_as_they_are():
    scene = scene_of(OdeSimulator(plants.Pendulum(l=0.8), dt=0.01))
    bob = next(s for s in scene.shapes if s.name == "mass1")
    tip = scene.poses(np.array([np.pi / 2, 0.0]))[0] @ bob.X_BG
    np.testing.assert_allclose(tip[:3, 3], [0.8, 0, 0], atol=1e-12)


@pytest.mark.parametrize("name", DRAWN)
def test_both_engines_draw_the_same_scene(name, rng):
    pytest.importorskip("pydrake", reason="pip install drake")
    from sims import DrakeSimulator

    sim = mujoco_sim(name)
    a, b = scene_of(sim), scene_of(DrakeSimulator(models.MODELS[name]))
    assert a.bodies == b.bodies and [(s.name, s.body, s.kind, s.size) for s in a.shapes] == [
        (s.name, s.body, s.kind, s.size) for s in b.shapes
    ]
    x = default_state(sim, a)
    for coordinate in coordinates(sim, a):
        coordinate.set(x, rng.uniform(coordinate.low, coordinate.high))
    np.testing.assert_allclose(a.poses(x), b.poses(x), atol=1e-9)
    np.testing.assert_allclose(poses(sim, x), a.poses(x), atol=0)


@pytest.mark.parametrize("contact", [True, False])
def test_an_sdf_is_drawn_from_drakes_scene_graph(contact):
    pytest.importorskip("pydrake", reason="pip install drake")
    from sims import DrakeSimulator

    sim = DrakeSimulator(SDF, contact=contact)
    scene = scene_of(sim)
    assert [(s.body, s.kind, s.size) for s in scene.shapes] == [
        ("base", "box", (0.1, 0.15, 0.2)),
        ("arm", "cylinder", (0.05, 0.2)),
    ]
    joint = next(c for c in coordinates(sim, scene) if c.name == "j")
    assert (joint.low, joint.high) == (-1.0, 2.0)
    x = default_state(sim, scene)
    joint.set(x, 0.5)
    X = scene.poses(x)
    np.testing.assert_allclose(X[0, :3, :3].T @ X[1, :3, :3], g.rotation("y", 0.5), atol=1e-12)


def test_meshes_of_an_sdf_keep_their_size(tmp_path):
    """A unit tetrahedron as OBJ, scaled by (1, 2, 3): its triangles if it is a file Drake reads, else its hull."""
    pytest.importorskip("pydrake", reason="pip install drake")
    from sims import DrakeSimulator

    corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"
    (tmp_path / "a.obj").write_text(corners + "f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n")
    shape = "<geometry><mesh>{}<uri>a.obj</uri><scale>1 2 3</scale></mesh></geometry>"
    convex = shape.format('<drake:declare_convex xmlns:drake="drake.mit.edu"/>')
    (tmp_path / "a.sdf").write_text(
        '<sdf version="1.9"><model name="m"><link name="l">'
        f'<visual name="v">{shape.format("")}</visual></link><link name="k"><collision name="c">{convex}</collision>'
        "</link></model></sdf>"
    )
    scene = scene_of(DrakeSimulator(str(tmp_path / "a.sdf")))
    assert [(s.body, s.kind) for s in scene.shapes] == [("l", "mesh"), ("k", "mesh")]
    for mesh in scene.shapes:
        vertices, faces = mesh.triangles()
        assert np.linalg.det(vertices[faces]).sum() / 6 == pytest.approx(1.0)


def test_meshes_and_height_fields_of_a_model_keep_their_size(tmp_path):
    """A box of 2 x 4 x 6 and a flat field of 2 x 2, drawn in the frames of the geoms."""
    mujoco = pytest.importorskip("mujoco", reason="pip install mujoco")
    from sims import MujocoSimulator

    vertices, faces = g.box((1.0, 2.0, 3.0))
    (tmp_path / "a.obj").write_text(
        "".join(f"v {x} {y} {z}\n" for x, y, z in vertices + 5.0)
        + "".join(f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in faces)
    )
    (tmp_path / "a.xml").write_text(
        '<mujoco><asset><mesh name="m" file="a.obj"/><hfield name="h" nrow="3" ncol="4" size="1 1 0.5 0.1"/></asset>'
        '<worldbody><geom type="hfield" hfield="h"/><body><freejoint/><geom type="mesh" mesh="m"/></body></worldbody>'
        "</mujoco>"
    )
    sim = MujocoSimulator(str(tmp_path / "a.xml"))
    field, solid = scene_of(sim).shapes
    v, f = solid.triangles()
    assert np.linalg.det(v[f]).sum() / 6 == pytest.approx(48.0, rel=1e-6)
    assert len(v) == 24  # crisp edges: three vertices at every corner
    X = scene_of(sim).poses(np.array([0, 0, 0, 1.0, 0, 0, 0, *np.zeros(6)]))[0] @ solid.X_BG
    placed = v @ X[:3, :3].T + X[:3, 3]
    np.testing.assert_allclose([placed.min(0), placed.max(0)], [[4, 3, 2], [6, 7, 8]], atol=1e-5)
    v, f = field.triangles()
    cross = np.cross(v[f][:, 1] - v[f][:, 0], v[f][:, 2] - v[f][:, 0])
    assert cross[:, 2].sum() / 2 == pytest.approx(4.0) and (cross[:, 2] > 0).all()
    assert mujoco.mjtGeom.mjGEOM_HFIELD.value == sim.model.geom_type[0]


def test_a_simulator_without_a_picture_says_so():
    from sims.system import System

    class Nameless(System):
        nx, nu, x_names, u_names = 1, 1, ("a",), ("b",)

        def f(self, x, u):
            return u

    with pytest.raises(ValueError, match=r"no picture of the plant Nameless.*sketches exist for Acrobot"):
        scene_of(OdeSimulator(Nameless(), dt=0.1))
    with pytest.raises(ValueError, match=r"unknown kind of shape 'cone'.*capsule"):
        Shape("a", "b", "cone", (), np.eye(4), (1, 1, 1, 1))


SOLIDS = {
    "sphere": ((0.3,), 4 / 3 * np.pi * 0.3**3),
    "box": ((0.1, 0.2, 0.3), 8 * 0.1 * 0.2 * 0.3),
    "capsule": ((0.1, 0.2), np.pi * 0.01 * 0.4 + 4 / 3 * np.pi * 0.001),
    "cylinder": ((0.1, 0.2), np.pi * 0.01 * 0.4),
    "ellipsoid": ((0.1, 0.2, 0.3), 4 / 3 * np.pi * 0.006),
}


@pytest.mark.parametrize("kind", sorted(SOLIDS))
def test_triangles_enclose_the_volume_of_the_solid(kind):
    """The divergence theorem: a closed surface with outward normals encloses sum det(a, b, c) / 6."""
    size, volume = SOLIDS[kind]
    shape = Shape("s", "world", kind, size, np.eye(4), (1, 1, 1, 1))
    vertices, faces = shape.triangles()
    assert np.linalg.det(vertices[faces]).sum() / 6 == pytest.approx(volume, rel=0.05)
    assert np.linalg.det(vertices[faces]).sum() / 6 <= volume * (1 + 1e-12)
    assert np.linalg.norm(vertices, axis=1).max() <= shape.radius * (1 + 1e-12)


def test_an_arrow_points_along_its_force():
    from sims.contact import Contact
    from sims.viewer.stage import ForceScale, arrows

    f, scale = np.array([3.0, -4.0, 12.0]), ForceScale(radius=3.0)
    contact = Contact("a", "b", np.array([1.0, 2.0, 3.0]), f)
    scale.see([contact])
    vertices, _ = arrows([contact], scale)
    along = (vertices - [1.0, 2.0, 3.0]) @ f / 13.0
    assert along.max() == pytest.approx(0.33 * 3.0) and along.min() == pytest.approx(0.0, abs=1e-12)
    assert arrows([], scale) is None
    double, impact = Contact("a", "b", f, 2 * f), Contact("a", "b", f, 1e3 * f)
    scale.see([contact])
    scale.see([impact])  # the median does not notice
    assert scale.length(double) == pytest.approx(2 * 0.33 * 3.0) and scale.length(impact) == pytest.approx(0.8 * 3.0)


@pytest.mark.parametrize("name", ["acrobot", "cartpole", "iiwa14", "quadruped"])
def test_the_camera_sees_all_that_moves(name):
    sim = mujoco_sim(name)
    scene = scene_of(sim)
    x = default_state(sim, scene)[None]
    X = scene.poses(x)
    view = view_of(scene, X, X)
    back = (view.eye - view.target) / np.linalg.norm(view.eye - view.target)
    for shape in (s for s in scene.shapes if s.body != "world"):
        p = (X[0, scene.index(shape.body)] @ shape.X_BG)[:3, 3] - view.eye
        depth = -p @ back
        sideways = np.linalg.norm(p + depth * back)
        assert depth > 0 and np.arctan2(sideways, depth) < np.arctan(5 / 3 * np.tan(np.deg2rad(20)))
