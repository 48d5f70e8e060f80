"""`swingup demo`: acrobot and cart-pole swing up and balance in three engines."""

import argparse

from robotics.cli import output
from robotics.cli.output import BACKENDS, DONE, FAILED, emit


def add(commands, common) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "demo",
        parents=[common],
        help="acrobot and cart-pole swing up in closed form, MuJoCo and Drake; one HTML, one PNG",
    )
    parser.add_argument("--out", default="runs/demo", metavar="FOLDER", help="default runs/demo; files are replaced")
    parser.add_argument("--sim", choices=BACKENDS, action="append", help="only this engine (repeatable); default: all")
    parser.add_argument("--workers", type=output.count, default=2, help="processes, default 2")
    parser.set_defaults(command_function=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; exit 1 unless every engine brought every plant upright."""
    from robotics.demo import demo

    with output.progress(arguments, "swing up") as bar:
        result = demo(arguments.out, backends=arguments.sim or BACKENDS, workers=arguments.workers, progress=bar)
    emit(arguments, result.to_dict(), result.text())
    return DONE if result.ok else FAILED
