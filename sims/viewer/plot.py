"""A run as curves: states, inputs, cost, phase portrait; one PNG and the same numbers as CSV."""

from pathlib import Path

import numpy as np

from sims.errors import MissingDependency
from sims.simulator import Simulator
from sims.trajectory import Trajectory, write_atomically
from sims.viewer.scene import check_run

_MOST_CURVES = 16  # of a panel; more are left out of the picture, not of the CSV


def plot_run(sim: Simulator, trajectory: Trajectory, path_stem: str | Path, cost=None) -> tuple[Path, Path]:
    """Write PATH_STEM.png and PATH_STEM.csv of one run, x (T+1, nx), and return their paths.

    Panels: positions, velocities, inputs with their limits, cost and phase portrait. cost: anything with stage(x, u)
    (T,) [1/s] and terminal(x); stage cost and its integral are drawn. Both files are written whole
    or not at all. Raises ValueError for a batch or another simulator's run, MissingDependency without matplotlib.
    """
    check_run(sim, trajectory, "plot_run")
    stem = Path(path_stem)
    png, csv = stem.with_name(stem.name + ".png"), stem.with_name(stem.name + ".csv")
    write_atomically(png, _draw(sim, trajectory, cost))
    return png, trajectory.to_csv(csv, sim.x_names, sim.u_names)


def _draw(sim: Simulator, run: Trajectory, cost) -> bytes:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency("plots need matplotlib: pip install matplotlib") from error
    import io

    nq = position_count(sim)
    title = "positions" if nq < sim.nx else "states"
    panels = [lambda axes: _curves(axes, run.t, run.x[:, :nq], sim.x_names[:nq], title)]
    if nq < sim.nx:
        panels.append(lambda axes: _curves(axes, run.t, run.x[:, nq:], sim.x_names[nq:], "velocities"))
    if sim.nu:
        panels.append(lambda axes: _inputs(axes, sim, run))
    pairs = _phase_pairs(sim, nq)
    if pairs:
        panels.append(lambda axes: _phase(axes, sim, run, pairs))
    if cost is not None:
        panels.append(lambda axes: _costs(axes, run, cost))
    columns = min(len(panels), 2 if len(panels) <= 4 else 3)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.5 * columns, 3.75 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for draw, axes in zip(panels, places, strict=False):
        draw(axes)
    for axes in places[len(panels) :]:
        axes.remove()
    status = "" if run.status == "ok" else f", {run.status}"
    figure.suptitle(f"{sim.backend}, dt = {sim.dt:g} s, {run.t[-1] - run.t[0]:g} s{status}")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": ""})
    return out.getvalue()


def position_count(sim: Simulator) -> int:
    """How many of the states are positions; all where a plant is not second-order."""
    if sim.backend == "ode":
        return sim.system.nq or sim.nx
    nv = sim.ndx // 2
    return sim.nx - nv - (sim.ndx - 2 * nv)


def _curves(axes, t: np.ndarray, values: np.ndarray, names, title: str) -> None:
    shown = values.shape[-1] if values.shape[-1] <= _MOST_CURVES else _MOST_CURVES
    for i in range(shown):
        axes.plot(t[: len(values)], values[:, i], label=names[i], linewidth=1.2)
    left_out = values.shape[-1] - shown
    more = f" (first {shown}, {left_out} more in the CSV)" if left_out else ""
    axes.set(title=title + more, xlabel="t [s]")
    axes.grid(alpha=0.3)
    if shown:
        axes.legend(fontsize="x-small", ncols=1 + shown // 6, framealpha=0.7)


def _inputs(axes, sim: Simulator, run: Trajectory) -> None:
    """Inputs as held; limits as dotted lines where the inputs come near them."""
    held = np.concatenate([run.u, run.u[-1:]]) if len(run) else np.zeros((1, sim.nu))
    largest = float(np.abs(held).max())
    for i in range(min(sim.nu, _MOST_CURVES)):
        (line,) = axes.step(run.t, held[:, i], where="post", label=sim.u_names[i], linewidth=1.2)
        for limit in (sim.u_min[i], sim.u_max[i]):
            if abs(limit) <= 1.5 * largest:
                axes.axhline(limit, color=line.get_color(), linestyle=":", linewidth=0.8)
    left_out = sim.nu - _MOST_CURVES
    more = f" (first {_MOST_CURVES}, {left_out} more in the CSV)" if left_out > 0 else ""
    axes.set(title="inputs" + more, xlabel="t [s]")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small", ncols=1 + min(sim.nu, _MOST_CURVES) // 6, framealpha=0.7)


def _phase_pairs(sim: Simulator, nq: int) -> list[tuple[int, int]]:
    """Velocity over position of up to four joints; the first two states of a plant that is not second-order."""
    if sim.nx == 2 * nq:
        return [(i, nq + i) for i in range(min(nq, 4))]
    return [(0, 1)] if nq == sim.nx > 1 else []


def _phase(axes, sim: Simulator, run: Trajectory, pairs: list[tuple[int, int]]) -> None:
    for i, j in pairs:
        (line,) = axes.plot(run.x[:, i], run.x[:, j], label=f"{sim.x_names[j]} over {sim.x_names[i]}", linewidth=1.0)
        axes.plot(run.x[0, i], run.x[0, j], "o", color=line.get_color(), markersize=5)
        axes.plot(run.x[-1, i], run.x[-1, j], "s", color=line.get_color(), markersize=5)
    axes.set(title="phase portrait (from dot to square)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small", framealpha=0.7)


def _costs(axes, run: Trajectory, cost) -> None:
    stage = np.asarray(cost.stage(run.x[:-1], run.u), float) if len(run) else np.zeros(0)
    total = np.concatenate([[0.0], np.cumsum(stage * np.diff(run.t))])
    end = total[-1] + float(np.asarray(cost.terminal(run.x[-1]), float))
    axes.plot(run.t[:-1], stage, label="stage cost", linewidth=1.0, alpha=0.7)
    axes.plot(run.t, total, label="its integral over time", linewidth=1.4)
    axes.plot(run.t[-1], end, "s", label=f"with the terminal cost: {end:.6g}", markersize=5)
    axes.set(title="cost", xlabel="t [s]")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small", framealpha=0.7)
