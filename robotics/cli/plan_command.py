"""`swingup plan`: plan a task, keep what came out, and play the plan with feedback in every engine."""

import argparse
from pathlib import Path

from robotics.cli import output
from robotics.cli.output import DONE, FAILED, emit


def add(commands, common) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "plan",
        parents=[common],
        help="plan a motion, picture its iterations, track it in every engine",
        description="Plan a motion; trajectory.npz, plan.json and plan.png go to a folder, and the plan is played by "
        "time-varying LQR in every engine the task has. Exit code 0 only if the plan converged.",
    )
    parser.add_argument("task", nargs="?", metavar="TASK", help="left out: the planning problems there are")
    parser.add_argument("--planner", metavar="NAME", help="default: the problem's first")
    parser.add_argument("--seed", type=output.seed, default=0, help="of the guess, default 0")
    parser.add_argument("--out", metavar="FOLDER", help="default ./runs/plan-<task>-<time>")
    parser.add_argument("--html", metavar="F", help="write a film of the plan to play in a browser, offline")
    parser.set_defaults(command_function=run)


def run(arguments: argparse.Namespace) -> int:
    """Plan, keep, show, track."""
    from robotics import runs
    from robotics.planning import registry

    if arguments.task is None:
        return _list(arguments)
    problem = registry.make(arguments.task)
    name = arguments.planner or problem.default_planner
    folder = runs.free_folder(arguments.out or runs.default_folder(f"plan-{problem.name}"))
    plan = problem.solve(name, arguments.seed)
    tracked = [_track(problem, plan, backend) for backend in problem.simulators] if plan.ok else []
    data = {"task": problem.name, "planner": name, "seed": arguments.seed, **_summary(plan), "tracked": tracked}
    files = _write(folder, data, plan)
    if arguments.html:
        files.append(_film(problem, plan, arguments.html))
    data |= {"folder": str(folder), "files": files}
    emit(arguments, data, "\n".join(_lines(data)))
    return DONE if plan.ok else FAILED


def _list(arguments: argparse.Namespace) -> int:
    from robotics.planning import registry
    from robotics.text import table

    problems = [registry.make(name) for name in registry.names()]
    rows = [(p.name, ", ".join(p.planners), ", ".join(p.simulators), p.description) for p in problems]
    data = [
        {"name": p.name, "planners": list(p.planners), "backends": list(p.simulators), "description": p.description}
        for p in problems
    ]
    emit(arguments, {"problems": data}, table(("task", "planners (first: default)", "sim", "what"), rows))
    return DONE


def _summary(plan) -> dict:
    """What is printed and kept of a Plan, in JSON types."""
    return {
        "status": plan.status,
        "message": plan.message,
        "cost": _number(plan.cost),
        "iterations": len(plan.log),
        "seconds": plan.seconds,
        "defect": _number(plan.log[-1].defect) if plan.log else None,
        "duration": float(plan.trajectory.t[-1]),
        "violations": [str(violation) for violation in plan.violations],
    }


def _track(problem, plan, backend: str) -> dict:
    """The final error in one engine, or why there is none."""
    from robotics.planning.problem import track
    from sims.errors import MissingDependency

    try:
        played = track(problem, plan, backend)
    except MissingDependency as missing:
        return {"backend": backend, "reached": None, "error": None, "message": str(missing)}
    error = {name: float(e) for name, e in zip(problem.system.x_names, played.error, strict=True)}
    return {"backend": backend, "reached": played.reached, "error": error, "message": played.run.message}


def _write(folder: Path, data: dict, plan) -> list[str]:
    import json

    from robotics.planning.picture import plot_log
    from sims.trajectory import write_atomically

    title = f"{data['task']}, {data['planner']}, seed {data['seed']}: {plan.status}"
    files = [
        plan.trajectory.save(folder / "trajectory.npz"),
        write_atomically(folder / "plan.json", (json.dumps(data, indent=1) + "\n").encode()),
        plot_log(plan, folder / "plan.png", title),
    ]
    return [str(file) for file in files]


def _film(problem, plan, path: str) -> str:
    from sims import viewer

    backend = next(iter(problem.simulators))
    return str(viewer.record_html(problem.simulator(backend), plan.trajectory, path, title=f"plan: {problem.name}"))


def _lines(data: dict) -> list[str]:
    said = data["message"] if data["message"].startswith(data["status"]) else f"{data['status']}; {data['message']}"
    head = f"{data['task']} by {data['planner']}, seed {data['seed']}: {said}"
    numbers = f"cost {_text(data['cost'])}, {data['iterations']} iterations, {data['seconds']:.2f} s, defect "
    lines = [head, f"{numbers}{_text(data['defect'])}, motion of {data['duration']:.3g} s", *data["violations"]]
    for played in data["tracked"]:
        lines.append(f"tracked in {played['backend']}: {_outcome(played)}")
    return [*lines, *(f"wrote {file}" for file in data["files"])]


def _outcome(played: dict) -> str:
    if played["error"] is None:
        return f"left out: {played['message']}"
    errors = ", ".join(f"{name} {error:.2g}" for name, error in played["error"].items())
    reached = "at the goal" if played["reached"] else "NOT at the goal"
    return f"{reached}, final error {errors}{played['message'] and '; '}{played['message']}"


def _number(value: float) -> float | None:
    return float(value) if abs(value) < float("inf") else None


def _text(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.6g}"
