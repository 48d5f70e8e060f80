"""A compiled MuJoCo model from whatever the user has, with errors that say which file, which element and what to do."""

import base64
import copy
import os
import re
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sims import urdf
from sims.errors import ModelError, unknown
from sims.models import find
from sims.mujoco_engine import mujoco

INTEGRATORS: dict[str, int] = {
    name.removeprefix("mjINT_").lower(): int(value) for name, value in mujoco.mjtIntegrator.__members__.items()
}
_MJB = "data:model/vnd.mujoco.mjb;base64,"


def load_model(
    model,
    *,
    dt: float | None = None,
    integrator: str | None = None,
    contact: bool = True,
    limits: bool = True,
) -> mujoco.MjModel:
    """The compiled model, a new one in every case: the caller's MjSpec or MjModel is not touched.

    model: a name in sims.models.MODELS; a path to .xml, .urdf or .mjb; MJCF or URDF text; an MjSpec; an MjModel; or a
    string from `model_text`. dt [s] and integrator ("euler", "implicitfast", "implicit", "rk4", "discrete") replace the
    model's; contact=False and limits=False switch contacts and joint and tendon limits off (input limits stay).
    MuJoCo's automatic reset is off: a NaN stays visible. Paths inside an MJCF are resolved by MuJoCo; a URDF has a
    fixed base, keeps its visual shapes, and finds `package://` meshes in the folders above it.
    Raises ModelError for anything that cannot be loaded or is not physical, ValueError for a bad option.
    """
    if integrator is not None and integrator not in INTEGRATORS:
        raise unknown("MuJoCo integrator", integrator, INTEGRATORS)
    if dt is not None and not (np.isfinite(dt) and dt > 0):
        raise ValueError(f"dt must be a positive number of seconds, got {dt!r}")
    compiled, source = _compile(model)
    _check_physical(compiled, source)
    flags = mujoco.mjtDisableBit.mjDSBL_AUTORESET
    if not contact:
        flags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
    if not limits:
        flags |= mujoco.mjtDisableBit.mjDSBL_LIMIT
    compiled.opt.disableflags |= int(flags)
    if dt is not None:
        compiled.opt.timestep = dt
    if integrator is not None:
        compiled.opt.integrator = INTEGRATORS[integrator]
    return compiled


def model_text(model) -> str:
    """A string from which load_model makes the same model again; model as for load_model, but for MjSpec.

    The text of an MJCF or URDF that stands alone; the absolute path of one that names other files; for an MjModel its
    binary form, compressed (MuJoCo's XML writer keeps six digits), which needs the same version of MuJoCo.
    """
    if isinstance(model, mujoco.MjModel):
        return _MJB + base64.b64encode(zlib.compress(model_bytes(model), 9)).decode()
    if str(model).startswith(_MJB):
        return str(model)
    text, path = _read(model)
    if path is None:
        return text
    alone = path.suffix != ".mjb" and not re.search(r"\b(file\w*|filename|content_type)\s*=|<include\b", text)
    return text if alone else str(path.absolute())


def model_bytes(model: mujoco.MjModel) -> bytes:
    """The model in MuJoCo's binary form (MJB)."""
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


def _compile(model) -> tuple[mujoco.MjModel, str]:
    """A new compiled model, and what errors call it."""
    if isinstance(model, mujoco.MjModel):
        return copy.copy(model), "MjModel"
    if isinstance(model, mujoco.MjSpec):
        source = f"MjSpec {model.modelname!r}"
        return _explaining(source, "", lambda: model.copy().compile()), source
    if not isinstance(model, (str, os.PathLike)):
        raise ModelError(
            f"a model is a path, a name, MJCF or URDF text, an MjSpec or an MjModel; got {type(model).__name__}"
        )
    if str(model).startswith(_MJB):
        source = "compiled model in a string"
        return _binary(lambda: zlib.decompress(base64.b64decode(str(model).removeprefix(_MJB))), source), source
    text, path = _read(model)
    source = "model text" if path is None else str(path)
    if path is not None and path.suffix == ".mjb":
        return _binary(path.read_bytes, source), source
    if _root(text) == "robot":
        text, omissions = urdf.prepare(text, (path.parent if path else Path()).absolute(), source)
        for omission in omissions:
            warnings.warn(omission, stacklevel=3)
    elif path is not None:  # by path, so that MuJoCo finds what the file names
        return _explaining(source, text, lambda: mujoco.MjModel.from_xml_path(str(path))), source
    return _explaining(source, text, lambda: mujoco.MjModel.from_xml_string(text)), source


def _explaining(source: str, text: str, compile_: Callable[[], mujoco.MjModel]) -> mujoco.MjModel:
    try:
        return compile_()
    except ValueError as error:
        raise _explained(error, source, text) from None


def _binary(read: Callable[[], bytes], source: str) -> mujoco.MjModel:
    try:
        return mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": read()})
    except (ValueError, zlib.error, mujoco.FatalError) as error:
        raise ModelError(
            f"{source}: not a compiled model of MuJoCo {mujoco.__version__}: {' '.join(str(error).split())}; "
            "load the MJCF it was made from"
        ) from None


def _read(model: str | os.PathLike[str]) -> tuple[str, Path | None]:
    """The text of a model and the file it is in, None for text given as such."""
    if isinstance(model, str) and model.lstrip("\ufeff \t\r\n").startswith("<"):
        return model.lstrip("\ufeff \t\r\n"), None
    path = find(model)
    if path.suffix == ".mjb":
        return "", path
    try:
        return path.read_text(encoding="utf-8-sig"), path
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read as text: {error}; a model is an MJCF or URDF file") from None


def _root(text: str) -> str:
    """The name of the root element, past declaration, doctype and comments; "" if there is none."""
    match = re.match(r"(?:\s|<\?.*?\?>|<!--.*?-->|<![^-][^>]*>)*<([\w:.-]+)", text, re.DOTALL)
    return match[1] if match else ""


_NO_MASS = "give the body a geom or an inertial with mass and inertia above zero, or remove its joint"
_NO_INERTIA = (
    "no rigid body has these principal inertias, the largest may not exceed the sum of the other two: correct them, or "
    'let MuJoCo do it with <compiler balanceinertia="true"/>'
)
_ADVICE = {
    r"mass and inertia of moving bodies": _NO_MASS,
    r"A \+ B >= C|positive eigenvalues": _NO_INERTIA,
    r"rror opening file|resource not found": "add the file or correct its path; MuJoCo looks in the folder of the "
    "model, joined with <compiler meshdir> or texturedir",
    r"_decoder|STL|OBJ": "export the mesh again, as binary STL or OBJ",
    r"XML parse error": "close every element and quote every attribute at that line",
    r"Schema violation": "see the MJCF reference, https://mujoco.readthedocs.io/en/stable/XMLreference.html",
    r"Unrecognized XML model type": "the root element must be <mujoco> or <robot>",
    r"repeated name": "names must be unique among elements of one kind",
}


def _explained(error: Exception, source: str, text: str) -> ModelError:
    """MuJoCo's message on one line, with the model it is about, what the text says about it, and what to do."""
    message = " ".join(str(error).split()).replace("Error: Error", "Error")
    for name in re.findall(r"opening file '([^']+)'", message):
        users = re.findall(
            rf"<\w+[^<>]*\bfile(?:name)?\s*=\s*[\"'][^\"']*{re.escape(Path(name).name)}[\"'][^<>]*>", text
        )
        message += f", named by {users[0]}" if users else ""
    if re.search(r"unknown|not found", message):
        for kind in ("joint", "mesh", "body", "site", "tendon", "material"):
            names = re.findall(rf"<(?:free)?{kind}\b[^<>]*\bname\s*=\s*[\"']([^\"']*)", text)
            if names and re.search(kind + ("|transmission" if kind == "joint" else ""), message):
                message += f"; {kind} names in this file: {', '.join(names)}"
    advice = "; ".join(what for pattern, what in _ADVICE.items() if re.search(pattern, message))
    return ModelError(f"{source}: {message}{'; ' if advice else ''}{advice}")


def _check_physical(model: mujoco.MjModel, source: str) -> None:
    """ModelError for numbers no simulation survives: the compiler only warns of NaN and does not see later edits."""
    for field, kind in _FINITE.items():
        values = getattr(model, field)
        for i, *_ in np.argwhere(~np.isfinite(values)):
            element = model.dof_jntid[i] if field.startswith("dof") else i
            name = getattr(model, kind)(int(element)).name
            raise ModelError(f"{source}: {kind} {name!r}: {field} is {values[i]}; it must be finite")
    smallest, middle, largest = np.sort(model.body_inertia, axis=1).T
    impossible = (model.body_mass < 0) | (smallest < 0) | (smallest + middle < largest * (1 - 1e-6))
    massless = (model.body_dofnum > 0) & (model.body_subtreemass < mujoco.mjMINVAL)
    for i in np.flatnonzero(impossible | massless):
        raise ModelError(
            f"{source}: body {model.body(i).name!r}: mass {model.body_mass[i]:.6g} kg, principal inertias "
            f"{model.body_inertia[i]} kg m^2: {_NO_MASS if massless[i] else _NO_INERTIA}"
        )


_FINITE = {
    "body_mass": "body",
    "body_inertia": "body",
    "body_pos": "body",
    "body_quat": "body",
    "body_ipos": "body",
    "jnt_pos": "joint",
    "jnt_axis": "joint",
    "jnt_stiffness": "joint",
    "dof_damping": "joint",
    "dof_armature": "joint",
    "dof_frictionloss": "joint",
    "geom_pos": "geom",
    "geom_size": "geom",
    "geom_friction": "geom",
    "actuator_gainprm": "actuator",
    "actuator_biasprm": "actuator",
    "actuator_gear": "actuator",
}
