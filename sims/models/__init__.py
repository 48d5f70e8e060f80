"""The suite's robots as MJCF files: `models.acrobot` is one's path, `MODELS` has all. Parameters: docs/models.md."""

import os
from pathlib import Path

from sims.errors import ModelError, unknown

_HERE = Path(__file__).parent
_NAMES = (
    "double_integrator",
    "pendulum",
    "cartpole",
    "double_cartpole",
    "acrobot",
    "pendubot",
    "double_pendulum",
    "planar_quadrotor",
    "quadrotor",
    "ballbot",
    "planar_arm",
    "iiwa14",
    "iiwa14_gripper",
    "ur5e",
    "gripper",
    "quadruped",
    "humanoid",
    "block",
    "block_push",
)
MODELS: dict[str, Path] = {name: _HERE / f"{name}.xml" for name in _NAMES}

# Closed-form class (sims.plants) -> the model with the same state layout and the same default parameters.
PLANT_MODEL: dict[str, str] = {
    "DoubleIntegrator": "double_integrator",
    "Pendulum": "pendulum",
    "CartPole": "cartpole",
    "NPole": "double_cartpole",
    "Acrobot": "acrobot",
    "Pendubot": "pendubot",
    "DoublePendulum": "double_pendulum",
    "PlanarQuadrotor": "planar_quadrotor",
    "Quadrotor": "quadrotor",
}


def __getattr__(name: str) -> Path:
    if name in MODELS:
        return MODELS[name]
    raise AttributeError(str(unknown("model", name, MODELS)))


def __dir__() -> list[str]:
    return sorted([*globals(), *MODELS])


def find(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a model, from its name in MODELS ("acrobot") or from the path of any MJCF, URDF or SDF file.

    Raises ModelError, listing what exists, if there is neither such a model nor such a file.
    """
    name = os.fspath(name_or_path)
    if name in MODELS:
        return MODELS[name]
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.suffix or len(path.parts) > 1:
        raise ModelError(_no_file("model file", path))
    raise ModelError(f"{unknown('model', name, MODELS)} A path to an MJCF, URDF or SDF file works too.")


def menagerie(relative_path: str | os.PathLike[str]) -> Path:
    """A file of a local MuJoCo Menagerie, e.g. menagerie("unitree_go1/scene.xml").

    The environment variable MENAGERIE_ROOT says where the checkout of github.com/google-deepmind/mujoco_menagerie is;
    nothing is downloaded. Raises ModelError if it is not set, if the file is not there, or lies outside that folder.
    """
    root = os.environ.get("MENAGERIE_ROOT")
    if not root:
        raise ModelError(
            "menagerie: the environment variable MENAGERIE_ROOT is not set; clone "
            "https://github.com/google-deepmind/mujoco_menagerie and set MENAGERIE_ROOT to that folder"
        )
    folder = Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise ModelError(f"menagerie: MENAGERIE_ROOT={root!r} is not a folder")
    path = (folder / relative_path).resolve()
    if not path.is_relative_to(folder):
        raise ModelError(
            f"menagerie: {os.fspath(relative_path)!r} lies outside MENAGERIE_ROOT={root!r}; use a path inside it"
        )
    if not path.is_file():
        raise ModelError(_no_file("Menagerie file", path))
    return path


def _no_file(kind: str, path: Path) -> str:
    """What is missing and what the nearest existing folder has to offer."""
    folder = next((p for p in path.absolute().parents if p.is_dir()), Path.cwd())
    there = sorted(
        p.name + "/" * p.is_dir() for p in folder.iterdir() if p.is_dir() or p.suffix in (".xml", ".urdf", ".sdf")
    )
    shown = ", ".join(there[:20]) + (", ..." if len(there) > 20 else "")
    what = "is a folder, not a file" if path.is_dir() else "does not exist"
    return f"{kind} {os.fspath(path)!r} {what}; in {os.fspath(folder)!r} there are: {shown or '(no models)'}"
