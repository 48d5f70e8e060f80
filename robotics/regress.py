"""Golden runs: what every task did when it was last looked at, and the first step at which it does something else."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from robotics.evaluate import Episode, play
from robotics.registry import as_task
from robotics.task import Task
from sims.simulator import Simulator
from sims.trajectory import Trajectory, write_atomically


@dataclass(frozen=True)
class Check:
    """One golden run compared: ok, or the first sample where a signal leaves its tolerance.

    t [s], signal: where; wanted, got: the golden and the new value; error, tolerance: absolute, in the signal's unit;
    largest_error: the worst |got - wanted| / scale over all signals, scale = max(1, largest |golden| of the signal).
    """

    task: str
    backend: str
    ok: bool
    message: str
    step: int | None = None
    t: float | None = None
    signal: str | None = None
    wanted: float | None = None
    got: float | None = None
    tolerance: float | None = None
    largest_error: float | None = None

    def to_dict(self) -> dict:
        """JSON types only."""
        return asdict(self)


def golden_path(directory: str | Path, task: str, backend: str) -> Path:
    """Where the golden run of a task in a backend is kept."""
    return Path(directory) / f"{task}.{backend}.json"


def record(task: Task | str, backend: str) -> dict:
    """Make the golden run of a task (its Golden settings) as JSON types: settings, names and samples of t, x, u."""
    task = as_task(task)
    sim, result = _play(task, backend)
    run = result.trajectory
    if run.status != "ok":
        raise ArithmeticError(f"regress: the run of {task.name!r} in {backend} is no golden run: {run.message}")
    index = np.unique(np.linspace(0, len(run) - 1, task.golden.samples).round().astype(int))
    settings = {"task": task.name, "backend": backend, **asdict(task.golden), "dt": sim.dt}
    names = {"x_names": list(sim.x_names), "u_names": list(sim.u_names)}
    samples = {"step": index.tolist(), "x": run.x[index].tolist(), "u": run.u[index].tolist()}
    return {**settings, **names, **samples}


def update(task: Task | str, backend: str, directory: str | Path) -> Path:
    """Record and write the golden run; returns the file."""
    data = record(task, backend)
    return write_atomically(golden_path(directory, data["task"], backend), _dump(data))


def check(task: Task | str, backend: str, directory: str | Path) -> Check:
    """Run again and compare with the golden file; a missing or unreadable file is a Check that is not ok."""
    task = as_task(task)
    path = golden_path(directory, task.name, backend)
    try:
        golden = json.loads(path.read_text())
        shapes = {k: np.asarray(golden[k], float) for k in ("step", "x", "u")}
    except FileNotFoundError:
        message = f"no golden run {path}: make it with `swingup regress {task.name} --sim {backend} --update`"
        return Check(task.name, backend, False, message)
    except (ValueError, KeyError, TypeError) as error:
        return Check(task.name, backend, False, f"{path} cannot be read ({error!r}): make it again with --update")
    sim, result = _play(task, backend)
    changed = _changed_settings(task, sim, golden)
    if changed:
        return Check(task.name, backend, False, f"{path} was made with other settings ({changed}): use --update")
    return compare(task, sim, shapes["step"].astype(int), shapes["x"], shapes["u"], result.trajectory)


def compare(task: Task, sim: Simulator, step: np.ndarray, x: np.ndarray, u: np.ndarray, run: Trajectory) -> Check:
    """Samples x (n, nx), u (n, nu) at `step` (n,) against a run: |got - wanted| <= tolerance max(1, max |wanted|)."""
    names = (*sim.x_names, *sim.u_names)
    wanted = np.concatenate([x, u], axis=1)
    alive = step < len(run)
    got = np.full_like(wanted, np.nan)
    got[alive] = np.concatenate([run.x[step[alive]], run.u[step[alive]]], axis=1)
    scale = np.maximum(1.0, np.abs(wanted).max(axis=0, initial=0.0))
    error = np.abs(got - wanted) / scale
    bad = ~(error <= task.golden.tolerance)
    worst = float(np.nanmax(error, initial=0.0))
    if not bad.any():
        message = f"largest relative error {worst:.1e}, tolerance {task.golden.tolerance:.0e}, {len(step)} samples"
        return Check(task.name, sim.backend, True, message, largest_error=worst)
    row = int(np.flatnonzero(bad.any(axis=1))[0])
    ratio = np.where(np.isnan(error[row]), np.inf, error[row])
    column, k = int(np.argmax(np.where(bad[row], ratio, -1.0))), int(step[row])
    want, have = float(wanted[row, column]), float(got[row, column])
    tolerance = float(task.golden.tolerance * scale[column])
    message = (
        f"first differs in {names[column]!r} at step {k} (t = {k * sim.dt:.6g} s): wanted {want:.12g}, "
        f"got {have:.12g}, tolerance {tolerance:.1e}"
    )
    known = have if np.isfinite(have) else None
    return Check(task.name, sim.backend, False, message, k, k * sim.dt, names[column], want, known, tolerance, worst)


def first_difference(a: Trajectory, b: Trajectory, names: Sequence[str]) -> str:
    """Empty if two runs are equal bit by bit, else a sentence naming the first step and signal that differ."""
    for label, p, q in (("t", a.t[:, None], b.t[:, None]), ("x", a.x, b.x), ("u", a.u, b.u)):
        if p.shape != q.shape:
            return f"{label} has shape {q.shape}, wanted {p.shape}"
    x_differs = (a.x != b.x).any(axis=-1)
    for k in range(len(a.t)):
        if x_differs[k]:
            i = int(np.flatnonzero(a.x[k] != b.x[k])[0])
            return f"state {names[i]!r} at step {k}: wanted {a.x[k, i]!r}, got {b.x[k, i]!r}"
        if k < len(a) and (a.u[k] != b.u[k]).any():
            i = int(np.flatnonzero(a.u[k] != b.u[k])[0])
            return f"input {names[a.x.shape[-1] + i]!r} at step {k}: wanted {a.u[k, i]!r}, got {b.u[k, i]!r}"
    return ""


def _play(task: Task, backend: str) -> tuple[Simulator, Episode]:
    sim = task.simulator(backend)
    golden = task.golden
    return sim, play(task, sim, task.policy(sim, golden.controller), golden.seed, duration=golden.duration)


def _changed_settings(task: Task, sim: Simulator, golden: dict) -> str:
    now = {**asdict(task.golden), "dt": sim.dt, "x_names": list(sim.x_names), "u_names": list(sim.u_names)}
    differing = [f"{k}: {golden.get(k)!r}, now {now[k]!r}" for k in now if k != "tolerance" and golden.get(k) != now[k]]
    return "; ".join(differing)


def _dump(data: dict) -> bytes:
    """One sample a line, so that a diff shows what changed."""
    lines = []
    for key, value in data.items():
        if key in ("x", "u"):
            rows = ",\n  ".join(json.dumps(row) for row in value)
            lines.append(f' "{key}": [\n  {rows}\n ]')
        else:
            lines.append(f' "{key}": {json.dumps(value)}')
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()
