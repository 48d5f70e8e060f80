"""The main job: acrobot and cart-pole swing up from hanging and balance, in three engines with one controller."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from robotics.registry import make
from robotics.runs import summarise
from robotics.text import table
from sims.errors import MissingDependency
from sims.simulator import simulate
from sims.trajectory import Trajectory

SYSTEMS = ("acrobot", "cartpole")
LABELS = {"ode": "closed form", "mujoco": "MuJoCo", "drake": "Drake"}
ANGLES = {"acrobot": (0, 1), "cartpole": (1,)}
DT = 1e-3  # [s]
DURATION = 15.0  # [s], of the runs and of the comparison between engines
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    reached [s]: from when on the plant stays upright (None: never); difference: largest |x - x of the first engine| of
    any state within the run (None for the first engine); seconds: wall time.
    """

    system: str
    backend: str
    upright: bool
    reached: float | None
    cost: float | None
    effort: float | None
    difference: float | None
    seconds: float
    message: str = ""


@dataclass(frozen=True)
class Demo:
    """What the demo did: rows of the table, files written, total wall time [s]."""

    rows: tuple[Row, ...]
    files: tuple[str, ...]
    seconds: float
    skipped: tuple[str, ...] = ()
    trajectories: dict[tuple[str, str], Trajectory] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Every plant upright in every engine that is installed."""
        return bool(self.rows) and all(row.upright for row in self.rows)

    def to_dict(self) -> dict:
        """JSON types only."""
        return {
            "ok": self.ok,
            "duration": DURATION,
            "dt": DT,
            "rows": [asdict(row) for row in self.rows],
            "files": list(self.files),
            "skipped": list(self.skipped),
            "seconds": self.seconds,
        }

    def text(self) -> str:
        """The table, what was left out, and what was written."""
        rows = [
            (r.system, LABELS[r.backend], r.upright, r.reached, r.cost, r.effort, _small(r.difference), r.seconds)
            for r in self.rows
        ]
        columns = ("system", "engine", "upright", "from t [s]", "cost", "effort", "max |dx|", "wall [s]")
        lines = [table(columns, rows)]
        lines += [f"{r.system} in {LABELS[r.backend]}: {r.message}" for r in self.rows if r.message]
        lines += list(self.skipped)
        lines += [
            f"effort: integral of u^2; max |dx|: of any state, from the first engine, over all {DURATION:g} s",
            f"{self.seconds:.1f} s in all; wrote {', '.join(self.files)}",
        ]
        return "\n".join(lines)


def demo(
    out: str | Path = "runs/demo",
    *,
    backends: Sequence[str] = ("ode", "mujoco", "drake"),
    workers: int = 2,
    progress: Progress | None = None,
) -> Demo:
    """Run both systems in each engine and write demo.html and demo.png into `out`.

    workers: processes. An engine that is not installed is left out and said so; MissingDependency if none is left.
    """
    begin = time.perf_counter()
    jobs = [(system, backend) for backend in reversed(list(backends)) for system in SYSTEMS]  # the slowest engine first
    results: dict[tuple[str, str], tuple] = {}
    for job, result in zip(jobs, _map(jobs, workers), strict=True):
        results[job] = result
        if progress is not None:
            progress(len(results), len(jobs) + 2)
    skipped = tuple(dict.fromkeys(r[1] for r in results.values() if r[0] is None))
    runs = {(s, b): results[s, b] for s in SYSTEMS for b in backends if results[s, b][0] is not None}
    if not runs:
        raise MissingDependency("; ".join(skipped))
    rows = tuple(_row(system, backend, runs) for system, backend in runs)
    trajectories = {key: run for key, (run, _, _) in runs.items()}
    files = [str(_film(trajectories, Path(out) / "demo.html"))]
    if progress is not None:
        progress(len(jobs) + 1, len(jobs) + 2)
    files.append(str(_picture(trajectories, Path(out) / "demo.png")))
    return Demo(rows, tuple(files), time.perf_counter() - begin, skipped, trajectories)


def _map(jobs: list[tuple[str, str]], workers: int):
    if workers == 1:
        yield from map(_job, jobs)
        return
    from robotics.workers import in_processes

    yield from in_processes(_job, jobs, workers)


def _job(job: tuple[str, str]) -> tuple:
    """(trajectory, summary, wall seconds), or (None, why, 0) where the engine is not installed."""
    system, backend = job
    task = make(system)
    begin = time.perf_counter()
    try:
        sim = task.simulator(backend, DT)
    except MissingDependency as missing:
        return None, f"{LABELS[backend]} left out: {missing}", 0.0
    run = simulate(sim, task.policy(sim), np.zeros(sim.nx), DURATION)
    return run, summarise(task, run), time.perf_counter() - begin


def _row(system: str, backend: str, runs: dict) -> Row:
    run, summary, seconds = runs[system, backend]
    reference = next(b for s, b in runs if s == system)
    difference = None
    if backend != reference:
        other = runs[system, reference][0]
        n = min(len(run.x), len(other.x))
        difference = float(np.abs(run.x[:n] - other.x[:n]).max())
    picked = {k: summary[k] for k in ("reached", "cost", "effort", "message")}
    return Row(system, backend, summary["success"], difference=difference, seconds=seconds, **picked)


def _film(trajectories: dict, path: Path) -> Path:
    """All runs side by side: a column an engine, the cart-poles in front of the acrobots."""
    from sims.viewer.film import Film

    film = Film(title="swing up and balance: one controller, three engines")
    engines = list(dict.fromkeys(backend for _, backend in trajectories))
    for (system, backend), run in trajectories.items():
        sim = make(system).simulator(backend)
        shift = (
            5.0 * engines.index(backend),
            -7.0 * SYSTEMS.index(system),
            -0.02 * SYSTEMS.index(system),
        )  # one floor above
        film.add(sim, run, label=LABELS[backend] if system == SYSTEMS[0] else "", offset=shift)
    return film.save(path)


def _picture(trajectories: dict, path: Path) -> Path:
    """Angles, inputs and the difference between engines over time, as PNG."""
    import io

    from matplotlib.figure import Figure

    from sims.trajectory import write_atomically

    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(3, len(SYSTEMS), sharex="col", squeeze=False)
    for column, system in enumerate(SYSTEMS):
        runs = {backend: run for (s, backend), run in trajectories.items() if s == system}
        names = make(system).simulator(next(iter(runs))).x_names
        reference = next(iter(runs.values()))
        angle, force, gap = axes[:, column]
        for (backend, run), width in zip(runs.items(), (4.0, 2.2, 1.0), strict=False):
            for n, i in enumerate(ANGLES[system]):
                label = f"{names[i]}, {LABELS[backend]}"
                angle.plot(run.t, run.x[:, i], lw=width, color=f"C{3 * n + len(angle.lines) % 3}", label=label)
            force.plot(run.t[:-1], run.u[:, 0], lw=width, label=LABELS[backend])
            if run is not reference:
                n = min(len(run.x), len(reference.x))
                error = np.abs(run.x[:n] - reference.x[:n]).max(axis=1)
                gap.semilogy(run.t[:n], np.maximum(error, 1e-17), color=f"C{len(gap.lines) + 1}", label=LABELS[backend])
        angle.set(title=system, ylabel="angle [rad]")
        force.set(ylabel="torque [N m]" if system == "acrobot" else "force [N]")
        gap.set(ylabel="max |x - x closed form|", xlabel="t [s]")
        for axis in (angle, force, gap):
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8, loc="best") if axis.lines else None
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return write_atomically(path, buffer.getvalue())


def _small(value: float | None) -> str | None:
    return None if value is None else f"{value:.1e}"
