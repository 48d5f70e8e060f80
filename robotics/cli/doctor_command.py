"""`swingup doctor`: versions, and which optional things work here."""

import argparse
import os
import shutil
import subprocess
import sys

from robotics.cli.output import DONE, MISSING, emit
from robotics.text import table

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
NEEDED = ("numpy", "scipy", "mujoco", "drake", "meshcat", "gymnasium", "matplotlib")
_RENDER = """import mujoco
r = mujoco.Renderer(mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>"), 32, 32)
d = mujoco.MjData(r.model)
r.update_scene(d)
assert r.render().shape == (32, 32, 3)"""
_CHECKS = {
    "MuJoCo steps": """import mujoco
m = mujoco.MjModel.from_xml_string('<mujoco/>')
mujoco.mj_step(m, mujoco.MjData(m))""",
    "Drake steps": """from pydrake.systems.analysis import Simulator
from pydrake.systems.primitives import ConstantVectorSource
Simulator(ConstantVectorSource([0.0])).AdvanceTo(0.1)""",
    "GL egl": _RENDER,
    "GL osmesa": _RENDER,
}
_FIX = {
    "MuJoCo steps": "pip install mujoco",
    "Drake steps": "pip install drake",
    "GL egl": "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri",
    "GL osmesa": "apt-get install libosmesa6",
    "chromium": "apt-get install chromium",
    "dl kernels in C": "install a C compiler, then pip install --force-reinstall --no-deps swingup",
}


def add(commands, common) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("doctor", parents=[common], help="versions, and what works on this machine")
    parser.set_defaults(command_function=run)


def run(arguments: argparse.Namespace) -> int:
    """Print versions and checks; exit 3 if a package that swingup depends on is missing."""
    from robotics.runs import versions

    found = versions()
    checks = [_run(name, code) for name, code in _CHECKS.items()]
    browser = next((path for path in map(shutil.which, CHROMIUM) if path), None)
    checks.append(_check("chromium", browser is not None, browser or "not found"))
    checks.append(_backend())
    missing = [name for name in NEEDED if found.get(name) is None]
    rows = [(name, "ok" if version else "MISSING", version or f"pip install {name}") for name, version in found.items()]
    rows += [
        (c["name"], "ok" if c["ok"] else "no", c["detail"] + ("" if c["ok"] else f"; fix: {c['fix']}")) for c in checks
    ]
    data = {"ok": not missing, "python": sys.executable, "versions": found, "checks": checks, "missing": missing}
    emit(arguments, data, table(("what", "", "detail"), rows))
    return MISSING if missing else DONE


def _check(name: str, ok: bool, detail: str) -> dict:
    return {"name": name, "ok": ok, "detail": detail, "fix": None if ok else _FIX[name]}


def _run(name: str, code: str) -> dict:
    """Try it in a process of its own: a broken GL driver may end the process, and MUJOCO_GL is read once."""
    environment = dict(os.environ)
    if name.startswith("GL "):
        environment["MUJOCO_GL"] = name.removeprefix("GL ")
    try:
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return _check(name, False, "no answer in 60 s")
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return _check(name, done.returncode == 0, "works" if done.returncode == 0 else last)


def _backend() -> dict:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import dl

            backend = dl.backend()
    except Exception as error:  # a doctor reports whatever is broken
        return _check("dl kernels in C", False, repr(error))
    return _check("dl kernels in C", backend != "numpy", backend)
