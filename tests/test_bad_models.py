"""Every model that cannot be used gives one ModelError: which file, which element, what is wrong, what to do."""

import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco", reason="MuJoCo is not installed")

from sims import MujocoSimulator  # noqa: E402
from sims.errors import ModelError  # noqa: E402
from sims.mujoco_model import load_model  # noqa: E402

LINK = "<mujoco><worldbody><body name='link'><joint name='j'/>{}</body></worldbody>{}</mujoco>"
BALL = "<geom size='0.1'/>"
INERTIAL = "<inertial pos='0 0 0' mass='{}' diaginertia='{}'/>"
MESH = (
    "<mujoco><asset><mesh name='hand' file='{}'/></asset><worldbody><body name='link'><joint/>"
    "<geom type='mesh' mesh='hand'/></body></worldbody></mujoco>"
)
BAD_TEXT = {
    "not well-formed": ("<mujoco><worldbody><body></worldbody></mujoco>", "XML parse error.*close every element"),
    "another root": ("<sdf version='1.7'/>", "'sdf'.*<mujoco> or <robot>"),
    "unknown attribute": (LINK.format("<geom sise='1'/>", ""), "sise.*'geom', line 1.*reference"),
    "unknown element": (LINK.format("<leg/>", ""), "'leg', line 1"),
    "missing mesh": (MESH.format("hand.stl"), "'hand.stl'.*<mesh name='hand' file='hand.stl'/>.*correct its path"),
    "unnamed mesh": (LINK.format("<geom type='mesh' mesh='hand'/>", ""), "'hand' not found"),
    "missing include": ("<mujoco><include file='legs.xml'/></mujoco>", "'legs.xml'.*<include.*correct its path"),
    "no mass": (LINK.format("", ""), "'link'.*mass and inertia above zero"),
    "mass 0": (LINK.format(INERTIAL.format(0, "1 1 1"), ""), "'link'.*mass and inertia above zero"),
    "negative mass": (LINK.format(INERTIAL.format(-1, "1 1 1"), ""), "'link'.*mass and inertia above zero"),
    "triangle inequality": (LINK.format(INERTIAL.format(1, "1 1 2.1"), ""), "'link'.*sum of the other two"),
    "indefinite inertia": (
        LINK.format("<inertial pos='0 0 0' mass='1' fullinertia='1 1 1 3 0 0'/>", ""),
        "'link'.*principal inertias",
    ),
    "NaN damping": (
        LINK.format(BALL, "").replace("<joint ", "<joint damping='nan' "),
        "joint 'j'.*dof_damping.*finite",
    ),
    "NaN position": (LINK.format(BALL, "").replace("'link'", "'link' pos='0 nan 0'"), "body 'link'.*body_pos.*finite"),
    "unknown joint": (LINK.format(BALL, "<actuator><motor name='m' joint='k'/></actuator>"), "'k'.*joint names.*: j"),
    "repeated name": (LINK.format(BALL + "<body name='link'>" + BALL + "</body>", ""), "'link'.*unique"),
}


@pytest.mark.parametrize("case", BAD_TEXT)
def test_bad_mjcf(case, tmp_path):
    text, words = BAD_TEXT[case]
    path = tmp_path / "robot.xml"
    path.write_text(text)
    with pytest.raises(ModelError, match="model text: .*" + words):
        load_model(text)
    for given in (path, str(path)):
        with pytest.raises(ModelError, match=words) as caught:
            MujocoSimulator(given)
        assert caught.value.__cause__ is None and "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


def test_bad_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "robot.xml").write_text(LINK.format(BALL, ""))
    (tmp_path / "empty.xml").write_text("")
    (tmp_path / "binary.xml").write_bytes(b"\x00\xff\xfe")
    (tmp_path / "old.mjb").write_bytes(b"\x00" * 400)
    (tmp_path / "hand.stl").write_text("solid hand")
    (tmp_path / "arm.xml").write_text(MESH.format("hand.stl"))
    cases = {
        "nowhere.xml": "nowhere.xml.*does not exist.*robot.xml",
        str(tmp_path): "is a folder",
        "acrobt": "acrobot",
        "empty.xml": "empty",
        "binary.xml": "binary.xml.*text",
        "data:model/vnd.mujoco.mjb;base64,AAAA": "in a string.*not a compiled model",
        "old.mjb": "old.mjb.*not a compiled model of MuJoCo",
        "arm.xml": "arm.xml.*hand.stl.*'hand'.*STL or OBJ",
    }
    for given, words in cases.items():
        with pytest.raises(ModelError, match=words):
            load_model(given)
    for wrong in (None, 3, np.zeros(3), b"<mujoco/>"):
        with pytest.raises(ModelError, match=f"a model is a path.*{type(wrong).__name__}"):
            load_model(wrong)


def test_edited_models_are_checked_too():
    def edited(field, index, value):
        model = load_model(LINK.format(BALL, ""))
        getattr(model, field)[index] = value
        return model

    cases = [
        (edited("body_mass", 1, np.nan), "body 'link'.*body_mass"),
        (edited("body_inertia", 1, [1, 1, 3]), "body 'link'.*sum of the other two"),
        (edited("body_mass", 1, -0.5), "body 'link'.*mass -0.5"),
        (edited("body_subtreemass", 1, 0.0), "body 'link'.*mass and inertia above zero"),
    ]
    for model, words in cases:
        with pytest.raises(ModelError, match=words):
            load_model(model)
    spec = mujoco.MjSpec()
    spec.worldbody.add_body(name="hull").add_freejoint()
    with pytest.raises(ModelError, match=r"MjSpec.*'hull'.*mass and inertia above zero"):
        load_model(spec)
    assert len(spec.bodies) == 2


def test_hidden_state_is_refused():
    cases = {
        LINK.format(BALL, "<actuator><motor joint='j' delay='0.01' nsample='5'/></actuator>"): "delay",
        LINK.format(BALL, "").replace("<joint ", "<joint stiffness='1' springyield='0.1' "): "plastic",
    }
    for text, words in cases.items():
        load_model(text)
        with pytest.raises(ModelError, match=f"{words}.*outside x"):
            MujocoSimulator(text)


def test_without_mujoco_there_is_one_line_that_says_what_to_do():
    program = (
        "import sys; sys.modules['mujoco'] = None\n"
        "import sims, sims.simulator, sims.ode, sims.models, sims.errors\n"
        "for use in (lambda: sims.MujocoSimulator, lambda: __import__('sims.mujoco_model')):\n"
        "    try:\n        use()\n    except sims.errors.MissingDependency as error:\n        print(error)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert run.stdout == "MuJoCo is not installed: pip install mujoco\n" * 2, run.stderr


URDF = """<robot name="r">{extension}<link name="base"/><link name="arm"><inertial><mass value="{mass}"/>
<inertia ixx="0.1" iyy="0.1" izz="{izz}" ixy="0" ixz="0" iyz="0"/></inertial>
<visual><geometry>{visual}</geometry></visual><collision><geometry>{collision}</geometry></collision></link>
<joint name="shoulder" type="revolute"><parent link="base"/><child link="arm"/><axis xyz="0 0 1"/>
<limit lower="-1" upper="1" effort="5" velocity="3"/></joint></robot>"""


def robot(visual="<sphere radius='0.1'/>", collision="<box size='1 1 1'/>", mass=1, izz=0.1, extension=""):
    def shape(text):
        return text if text.startswith("<") else f'<mesh filename="{text}"/>'

    return URDF.format(visual=shape(visual), collision=shape(collision), mass=mass, izz=izz, extension=extension)


def tetrahedron(path: Path) -> None:
    """A binary STL with four faces."""
    p = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    faces = [
        np.concatenate([np.zeros(3, np.float32), *p[list(f)]]) for f in ((0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0" * 80 + struct.pack("<I", 4) + b"".join(f.astype("<f4").tobytes() + b"\0\0" for f in faces))


def test_bad_urdf(tmp_path):
    path = tmp_path / "r.urdf"
    cases = {
        robot(mass=0): "'arm'.*mass and inertia above zero",
        robot(izz=0.5): "'arm'.*sum of the other two",
        robot(
            collision="meshes/arm.stl"
        ): "link 'arm', collision mesh 'meshes/arm.stl': no such file.*correct the path",
        robot(collision="package://my_robot/arm.stl"): "link 'arm'.*package 'my_robot'",
        robot(collision="arm.dae"): "link 'arm', collision mesh 'arm.dae'.*convert",
        robot(visual="arm.obj"): "link 'arm', visual mesh 'arm.obj': no such file",
        robot() + "<": "not well-formed XML",
        robot().replace('type="revolute"', 'type="bent"'): "bent|joint type",
    }
    for text, words in cases.items():
        path.write_text(text)
        with pytest.raises(ModelError, match="r.urdf: .*(" + words + ")"):
            load_model(path)


def test_urdf_keeps_shapes_and_finds_packages(tmp_path):
    folder = tmp_path / "my_robot"
    tetrahedron(folder / "meshes" / "visual" / "arm.stl")
    tetrahedron(folder / "meshes" / "collision" / "arm.stl")
    path = folder / "urdf" / "r.urdf"
    path.parent.mkdir()
    for visual, collision, extension in (
        ("package://my_robot/meshes/visual/arm.stl", "package://my_robot/meshes/collision/arm.stl", ""),
        ("../meshes/visual/arm.stl", "../meshes/collision/arm.stl", ""),
        (f"file://{folder}/meshes/visual/arm.stl", str(folder / "meshes/collision/arm.stl"), ""),
        ("any/where/arm.stl", "arm.stl", '<mujoco><compiler meshdir="../meshes/visual"/></mujoco>'),
    ):
        path.write_text(robot(visual, collision, extension=extension))
        model = load_model(path)
        assert model.ngeom == 2 and model.nmesh >= 1 and sorted(model.geom_contype) == [0, 1]
        assert model.body_mass.tolist() == [0, 1] and model.nv == 1  # a fixed base, and the given inertia
    path.write_text(robot("missing.dae", "arm.stl", extension='<mujoco><compiler discardvisual="true"/></mujoco>'))
    with pytest.raises(ModelError, match=r"'arm\.stl': no such file"):
        load_model(path)
    path.write_text(robot("package://x/arm.dae"))
    with pytest.warns(UserWarning, match=r"link 'arm', visual mesh 'package://x/arm.dae' is not shown"):
        assert load_model(path).ngeom == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_model(robot()).ngeom == 2
    sim = MujocoSimulator(robot())
    assert sim.x_names == ("shoulder", "shoulder_dot") and sim.nu == 0
    run = sim.rollout([0.1, 0.0], np.zeros((5, 0)))
    assert run.x[-1].tobytes() == sim.session([0.1, 0.0]).run(lambda x, t: [], 5).x[-1].tobytes()
