"""A picture of how a planner got there: cost, defect and step over its iterations."""

import io
from pathlib import Path

import numpy as np

from controllers.planner import Plan
from sims.trajectory import write_atomically

TINY = 1e-17  # where a logarithmic axis shows zero


def plot_log(plan: Plan, path: str | Path, title: str = "") -> Path:
    """Write cost, defect and step of every iteration of a Plan as PNG, three panels over one axis; returns the path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout="constrained")
    cost, defect, step = figure.subplots(3, 1, sharex=True)
    n = np.arange(1, len(plan.log) + 1)
    cost.plot(n, [row.cost for row in plan.log], ".-")
    defect.semilogy(n, [max(row.defect, TINY) for row in plan.log], ".-", label="defect")
    if any(row.violation for row in plan.log):
        defect.semilogy(n, [max(row.violation, TINY) for row in plan.log], ".-", label="constraint violation")
    step.plot(n, [row.step for row in plan.log], ".-")
    cost.set(ylabel="cost", title=title)
    defect.set(ylabel="defect")
    step.set(ylabel="step length", xlabel="iteration", ylim=(-0.05, 1.05))
    defect.legend(fontsize=8)
    for axis in (cost, defect, step):
        axis.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return write_atomically(path, buffer.getvalue())
