"""`swingup run`: one run of a task, kept in a folder that says how to make it again."""

import argparse
import contextlib
import json
import sys
from pathlib import Path

from robotics.cli import output
from robotics.cli.output import BACKENDS, DONE, FAILED, emit


def add(commands, common) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "run",
        parents=[common],
        help="run a task once and keep what came out",
        description="Run a task once; config.json, trajectory.npz, summary.json (and failure.json) go to a run folder.",
    )
    parser.add_argument("task", nargs="?", metavar="TASK", help="see `swingup list`; not with --config")
    parser.add_argument("--config", metavar="FILE", help="make the run of a config.json (or run folder) again")
    parser.add_argument("--controller", metavar="C", help="default: the task's first")
    parser.add_argument("--sim", choices=BACKENDS, help="default: the task's first, closed form where there is one")
    parser.add_argument("--dt", type=output.positive, metavar="S", help="time step [s]; default: the task's")
    parser.add_argument("--duration", type=output.positive, metavar="S", help="how long [s]; default: the task's")
    parser.add_argument("--seed", type=output.seed, help="of the start; default 0")
    parser.add_argument(
        "--start",
        action="append",
        type=_assignment,
        metavar="NAME=VALUE",
        help="set one state of the start, e.g. theta=0.5",
    )
    parser.add_argument("--out", metavar="FOLDER", help="run folder; default ./runs/<task>-<time>")
    parser.add_argument("--html", metavar="F", help="write a film to play in a browser, offline")
    parser.add_argument("--video", metavar="F", help="write an .mp4 or .gif (needs GL and a MuJoCo model)")
    parser.add_argument("--plot", action="store_true", help="write plots and CSV into the run folder")
    parser.add_argument(
        "--live", action="store_true", help="then play it in real time in meshcat, with pause and reset"
    )
    parser.add_argument("--require-success", action="store_true", help="exit 1 unless the run succeeds")
    parser.set_defaults(command_function=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the run, keep it, show it."""
    from robotics import runs

    config = _config(arguments)
    if arguments.out is not None:
        runs.free_folder(arguments.out)  # before the run, which may be long
    if arguments.video and Path(arguments.video).suffix.lower() not in (".mp4", ".gif"):
        raise ValueError(f"--video writes .mp4 or .gif, got {arguments.video!r}; for a page use --html")
    with output.progress(arguments, f"{config.task} in {config.backend}") as bar:
        total = config.duration
        monitor = None if bar is None else lambda t, x, u: bar(round(1000 * t), round(1000 * total))
        made = runs.execute(config, monitor)
    folder = runs.write(made, arguments.out)
    data = {**made.summary, "task": config.task, "controller": config.controller, "backend": config.backend}
    data |= {"seed": config.seed, "folder": str(folder), "files": _show(arguments, made, folder)}
    lines = [_sentence(config, made.summary), f"run folder: {folder}", *(f"wrote {f}" for f in data["files"])]
    if arguments.config is not None:
        data["reproduced"], sentence = _compare(Path(arguments.config), made)
        lines.append(sentence)
    if made.trajectory.failure is not None:
        data["failure"] = str(folder / "failure.json")
        lines.append(f"replay the failing step: swingup replay {folder / 'failure.json'}")
    emit(arguments, data, "\n".join(lines))
    failed = made.trajectory.status != "ok" or data.get("reproduced") is False
    return FAILED if failed or (arguments.require_success and not made.summary["success"]) else DONE


def _config(arguments: argparse.Namespace):
    from robotics import runs

    settings = {"task": arguments.task, "controller": arguments.controller, "sim": arguments.sim, "dt": arguments.dt}
    settings |= {"duration": arguments.duration, "seed": arguments.seed, "start": arguments.start}
    given = [name for name, value in settings.items() if value is not None]
    if arguments.config is not None:
        if given:
            raise ValueError(f"--config has every setting in it: leave out {', '.join(given)}")
        return runs.load_config(arguments.config)
    if arguments.task is None:
        from robotics.registry import names

        raise ValueError(f"name a task, or give --config. Tasks: {', '.join(names())}")
    return runs.resolve(
        arguments.task,
        controller=arguments.controller,
        backend=arguments.sim,
        dt=arguments.dt,
        duration=arguments.duration,
        seed=arguments.seed or 0,
        where=dict(arguments.start or ()),
    )


def _show(arguments: argparse.Namespace, made, folder: Path) -> list[str]:
    """Write the film, video and plots that were asked for; returns the files."""
    files: list = []
    if not (arguments.html or arguments.video or arguments.plot or arguments.live):
        return files
    from robotics.registry import make
    from sims import viewer

    if arguments.html:
        files.append(viewer.record_html(made.sim, made.trajectory, arguments.html))
    if arguments.video:
        files.append(viewer.record_video(made.sim, made.trajectory, arguments.video))
    if arguments.plot:
        written = viewer.plot_run(made.sim, made.trajectory, folder / "plot", make(made.config.task).cost)
        files += written
    if arguments.live:
        policy = make(made.config.task).policy(made.sim, made.config.controller)
        with contextlib.redirect_stdout(sys.stderr if arguments.json else sys.stdout):
            viewer.run_live(made.sim, policy, made.trajectory.x[0], duration=made.config.duration)
    return [str(f) for f in files]


def _compare(path: Path, made) -> tuple[bool | None, str]:
    """Whether the run equals the trajectory beside the config bit by bit (None if there is none), and a sentence."""
    from robotics.regress import first_difference
    from sims.trajectory import Trajectory

    old = (path if path.is_dir() else path.parent) / "trajectory.npz"
    if not old.is_file():
        return None, f"nothing to compare with: {old} is not there"
    names = (*made.sim.x_names, *made.sim.u_names)
    difference = first_difference(Trajectory.load(old), made.trajectory, names)
    if difference:
        then = json.loads((old.parent / "config.json").read_text()).get("simulator")
        why = "compare their versions" if then == made.sim.describe() else "the task's simulator is another one now"
        return False, f"NOT reproduced, {difference} ({why})"
    return True, f"reproduced {old} bit by bit"


def _sentence(config, summary: dict) -> str:
    head = f"{config.task}/{config.controller} in {config.backend}, seed {config.seed}: "
    if summary["status"] != "ok":
        return head + summary["message"]
    reached = "" if summary["reached"] is None else f" at the goal from t = {summary['reached']:.2f} s on,"
    goal = "success," if summary["success"] else "no success,"
    return f"{head}{goal}{reached} cost {summary['cost']:.4g}, effort {summary['effort']:.4g}, {summary['steps']} steps"


def _assignment(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"want NAME=VALUE with a number, e.g. theta=0.5, got {text!r}")
