"""`swingup list`: tasks, their controllers and engines, and models."""

import argparse

from robotics.cli.output import DONE, emit
from robotics.text import table


def add(commands, common) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("list", parents=[common], help="the tasks, controllers and models there are")
    parser.add_argument("what", nargs="?", choices=("tasks", "models"), help="only these (default: both)")
    parser.set_defaults(command_function=run)


def run(arguments: argparse.Namespace) -> int:
    """List tasks and models."""
    data: dict = {}
    parts = []
    if arguments.what in (None, "tasks"):
        from robotics.registry import make, names

        tasks = [make(name) for name in names()]
        data["tasks"] = [
            {
                "name": t.name,
                "description": t.description,
                "controllers": list(t.controllers),
                "backends": list(t.simulators),
                "dt": t.dt,
                "duration": t.duration,
            }
            for t in tasks
        ]
        rows = [(t.name, ", ".join(t.simulators), ", ".join(t.controllers), t.description) for t in tasks]
        parts.append(table(("task", "sim", "controllers (first: default)", "what"), rows))
    if arguments.what in (None, "models"):
        from sims import models

        data["models"] = {name: str(path) for name, path in models.MODELS.items()}
        parts.append("models: " + ", ".join(models.MODELS))
    emit(arguments, data, "\n\n".join(parts))
    return DONE
