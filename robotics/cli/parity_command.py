"""`swingup parity`: does a model mean the same in MuJoCo, Drake and closed form."""

import argparse

from robotics.cli import output
from robotics.cli.output import DONE, FAILED, emit


def add(commands, common) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("parity", parents=[common], help="compare a model between the engines, term by term")
    parser.add_argument("model", metavar="MODEL", help="name of a model (`swingup list models`) or a file")
    parser.add_argument("-n", type=output.count, default=20, help="random states (default 20)")
    parser.add_argument("--seed", type=output.seed, default=0, help="of the states (default 0)")
    parser.add_argument(
        "--rollout", type=output.positive, default=0.0, metavar="S", help="also compare a passive run of S seconds"
    )
    parser.set_defaults(command_function=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the report; exit 1 if a term disagrees."""
    from sims import models
    from sims.parity import parity

    report = parity(models.find(arguments.model), n=arguments.n, seed=arguments.seed, rollout=arguments.rollout)
    emit(arguments, report.to_dict(), report.table())
    return DONE if report.ok else FAILED
