"""Run folders: everything one run was made from, and what came out, written whole or not at all."""

import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import metadata
from pathlib import Path

import numpy as np

from robotics.cost import effort, total_cost
from robotics.evaluate import start
from robotics.registry import make
from robotics.task import Reached, Task
from sims.errors import unknown
from sims.simulator import Monitor, Simulator, simulate
from sims.trajectory import Failure, Trajectory, write_atomically

PACKAGES = ("swingup", "numpy", "scipy", "mujoco", "drake", "meshcat", "gymnasium", "matplotlib")


@dataclass(frozen=True)
class RunConfig:
    """One run, fully resolved: dt, duration [s]; x0 (nx,) as a tuple, so that a start by hand is kept too."""

    task: str
    controller: str
    backend: str
    dt: float
    duration: float
    seed: int
    x0: tuple[float, ...]


@dataclass(frozen=True)
class Run:
    """A run that was made: its config, the simulator, the trajectory and the summary (JSON types)."""

    config: RunConfig
    sim: Simulator
    trajectory: Trajectory
    summary: dict


def resolve(
    task: str,
    *,
    controller: str | None = None,
    backend: str | None = None,
    dt: float | None = None,
    duration: float | None = None,
    seed: int = 0,
    where: Mapping[str, float] | None = None,
) -> RunConfig:
    """Fill in what was left out; where: state components by name that replace those the seed gives.

    Raises ValueError for an unknown task, controller, backend or state name, listing what exists.
    """
    data = make(task)
    sim = data.simulator(backend, dt)
    name = data.default_controller if controller is None else controller
    if name not in data.controllers:
        raise unknown(f"controller of task {data.name!r}", name, data.controllers)
    x0 = start(data, seed)
    for joint, value in (where or {}).items():
        if joint not in sim.x_names:
            raise unknown(f"state of task {data.name!r}", joint, sim.x_names)
        x0[sim.x_names.index(joint)] = value
    duration = data.duration if duration is None else float(duration)
    return RunConfig(
        data.name, name, sim.backend, float(sim.dt), duration, int(seed), tuple(sim.check_state(x0).tolist())
    )


def execute(config: RunConfig, monitor: Monitor | None = None) -> Run:
    """Make the run; the same config gives the same bytes on the same versions and machine."""
    task = make(config.task)
    sim = task.simulator(config.backend, config.dt)
    policy = task.policy(sim, config.controller)
    with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges says so in its status
        trajectory = simulate(sim, policy, np.array(config.x0), config.duration, monitor=monitor)
    if trajectory.failure is not None:
        trajectory = replace(trajectory, failure=replace(trajectory.failure, seed=config.seed))
    return Run(config, sim, trajectory, summarise(task, trajectory))


def summarise(task: Task, run: Trajectory) -> dict:
    """status, success, reached [s] (None if it never stays), cost, effort, final state: JSON types."""
    cost, success, reached = float(total_cost(task.cost, run)), bool(task.success(run)), float("nan")
    if success and isinstance(task.success, Reached):
        reached = task.success.first_time(run)
    return {
        "status": run.status,
        "message": run.message,
        "success": success,
        "reached": reached if np.isfinite(reached) else None,
        "cost": cost if np.isfinite(cost) else None,
        "effort": float(effort(run)),
        "steps": len(run),
        "final_time": float(run.t[-1]),
        "final_state": run.x[-1].tolist(),
    }


def versions() -> dict[str, str | None]:
    """Installed versions of what a run depends on (None where a package is not installed), Python and platform."""
    found: dict[str, str | None] = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def write(run: Run, folder: str | Path | None = None) -> Path:
    """Write config.json (settings, simulator, versions), summary.json, trajectory.npz; failure.json if it diverged.

    folder: ./runs/<task>-<time> if None. All files are written into a hidden neighbour that is renamed at the end.
    Raises FileExistsError if the folder exists and is not empty.
    """
    target = free_folder(default_folder(run.config.task) if folder is None else folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        config = {**asdict(run.config), "simulator": run.sim.describe(), "versions": versions()}
        _write_json(temporary / "config.json", config)
        _write_json(temporary / "summary.json", run.summary)
        run.trajectory.save(temporary / "trajectory.npz")
        if run.trajectory.failure is not None:
            run.trajectory.failure.save(temporary / "failure.json")
        os.chmod(temporary, 0o755)
        os.replace(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def free_folder(folder: str | Path) -> Path:
    """The folder, if nothing is in it yet; FileExistsError otherwise."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"run folder {folder} exists and is not empty: choose another with --out")
    return folder


def load_config(path: str | Path) -> RunConfig:
    """The RunConfig in a config.json (or in a run folder); ValueError names the key that is missing or unknown."""
    path = Path(path)
    path = path / "config.json" if path.is_dir() else path
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: give a run folder, or the config.json in one") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path}: want a JSON object as in a run folder's config.json, got {type(data).__name__}")
    known = {f.name for f in fields(RunConfig)}
    if missing := sorted(known - data.keys()):
        raise ValueError(f"{path}: the key {missing[0]!r} is missing; a run config has: {', '.join(sorted(known))}")
    if extra := sorted(data.keys() - known - {"simulator", "versions"}):
        raise ValueError(f"{path}: {unknown('key', extra[0], known)}")
    return RunConfig(**{**{k: data[k] for k in known}, "x0": tuple(float(v) for v in data["x0"])})


def default_folder(task: str) -> Path:
    """./runs/<task>-<local time>, with a number behind it if that is taken."""
    stem = Path("runs") / f"{task}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, i = stem, 1
    while folder.exists():
        i += 1
        folder = stem.with_name(f"{stem.name}-{i}")
    return folder


@dataclass(frozen=True)
class Replay:
    """One failing step made again: where it was said to fail, where it does now ("" if it does not), and x_next."""

    failure: Failure
    where: str
    x_next: np.ndarray

    @property
    def reproduced(self) -> bool:
        """The same component stops being finite."""
        return self.where == self.failure.where.split(" (batch row")[0]


def replay(path: str | Path) -> Replay:
    """Load a failure.json, build its simulator and make the one step; ValueError if the file is not one."""
    from sims.build import build
    from sims.errors import SimulationDiverged

    path = Path(path)
    path = path / "failure.json" if path.is_dir() else path
    failure = Failure.load(path)
    sim = build(failure.simulator)
    if not np.isfinite(failure.u).all():
        return Replay(failure, sim.u_names[int(np.flatnonzero(~np.isfinite(failure.u))[0])], np.full(sim.nx, np.nan))
    sim.u_min, sim.u_max = np.minimum(sim.u_min, failure.u), np.maximum(sim.u_max, failure.u)
    try:
        return Replay(failure, "", sim.step(failure.x, failure.u))
    except SimulationDiverged as diverged:
        return Replay(failure, diverged.failure.where, np.full(sim.nx, np.nan))


def _write_json(path: Path, data: dict) -> None:
    write_atomically(path, (json.dumps(data, indent=1) + "\n").encode())
