"""`swingup replay`: the one step at which a simulation stopped being finite, again."""

import argparse

from robotics.cli.output import DONE, FAILED, emit


def add(commands, common) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("replay", parents=[common], help="make the failing step of a failure.json again")
    parser.add_argument("file", metavar="FILE", help="failure.json, or the run folder that holds it")
    parser.set_defaults(command_function=run)


def run(arguments: argparse.Namespace) -> int:
    """Replay; exit 0 if the same component stops being finite, 1 if not."""
    from robotics.runs import replay

    result = replay(arguments.file)
    failure = result.failure
    data = {
        "reproduced": result.reproduced,
        "where": result.where or None,
        "recorded": failure.where,
        "step": failure.step,
        "t": failure.t,
        "seed": failure.seed,
        "backend": failure.simulator.get("backend"),
        "x": failure.x.tolist(),
        "u": [v if abs(v) < float("inf") else None for v in failure.u.tolist()],
    }
    verdict = "the same component" if result.reproduced else f"NOT the same: {result.where or 'every state is finite'}"
    text = [
        failure.message.split("; use")[0],
        f"seed {failure.seed}, state before {failure.x.tolist()}, input {failure.u.tolist()}",
        f"replayed: first non-finite component {result.where or '(none)'!r}, {verdict}",
    ]
    emit(arguments, data, "\n".join(text))
    return DONE if result.reproduced else FAILED
