"""`swingup regress`: golden runs, and the first step and signal that changed."""

import argparse
from pathlib import Path

from robotics.cli import output
from robotics.cli.output import BACKENDS, DONE, FAILED, emit
from robotics.text import table


def add(commands, common) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("regress", parents=[common], help="compare every task with its golden run")
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="default: every task")
    parser.add_argument("--sim", choices=BACKENDS, action="append", help="only this engine (repeatable); default: all")
    parser.add_argument("--golden", default="tests/golden", metavar="DIR", help="default tests/golden")
    parser.add_argument("--update", action="store_true", help="write the golden runs instead of comparing")
    parser.set_defaults(command_function=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare, or write, golden runs."""
    from robotics import regress
    from robotics.registry import make, names

    directory = Path(arguments.golden)
    if not arguments.update and not directory.is_dir():
        raise ValueError(f"no folder {directory} with golden runs: go to the project's folder, or give --golden DIR")
    tasks = [make(name) for name in arguments.tasks or names()]
    jobs = [(t, b) for t in tasks for b in t.simulators if arguments.sim is None or b in arguments.sim]
    if not jobs:
        raise ValueError(f"no task of {[t.name for t in tasks]} runs in {arguments.sim}")
    checks = []
    with output.progress(arguments, "golden runs") as bar:
        for i, (task, backend) in enumerate(jobs):
            if arguments.update:
                path = regress.update(task, backend, directory)
                checks.append(regress.Check(task.name, backend, True, f"wrote {path}"))
            else:
                checks.append(regress.check(task, backend, directory))
            if bar is not None:
                bar(i + 1, len(jobs))
    bad = [c for c in checks if not c.ok]
    rows = [(c.task, c.backend, "ok" if c.ok else "CHANGED", c.message) for c in checks]
    verdict = f"{len(checks) - len(bad)} of {len(checks)} golden runs {'written' if arguments.update else 'agree'}"
    data = {"ok": not bad, "checks": [c.to_dict() for c in checks]}
    emit(arguments, data, table(("task", "sim", "", "what"), rows) + "\n" + verdict)
    return FAILED if bad else DONE
