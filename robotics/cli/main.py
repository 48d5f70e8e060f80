"""`swingup`: the parser, and how errors become exit codes."""

import argparse
import contextlib
import io
import os
import sys
from importlib import import_module

from robotics.cli.output import DONE, FAILED, MISSING, USAGE, fail

COMMANDS = ("demo", "list", "run", "plan", "eval", "parity", "regress", "doctor", "replay")
EXIT_CODES = """exit codes: 0 done and every check passed; 1 a check failed, a run diverged or did not reach its goal
where that was asked for; 2 wrong usage or input; 3 a package that is needed is not installed"""


def parser() -> argparse.ArgumentParser:
    """The parser of `swingup` with all its subcommands; nothing heavy is imported to build it."""
    top = argparse.ArgumentParser(
        prog="swingup",
        description="One plant in MuJoCo, Drake and closed form; one controller; a film of it and the evidence.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    for name in COMMANDS:
        import_module(f"robotics.cli.{name}_command").add(commands, common)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns 0 done, 1 a failed check or diverged run, 2 wrong usage or input, 3 missing package."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        arguments = _parse(argv)
        code = _run(arguments)
        if sys.stdout is not None:  # None where it was closed: `swingup list >&-`
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # `swingup list | head`: nobody reads on; Python must not try to flush when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return 130


def _parse(argv: list[str]) -> argparse.Namespace:
    """The arguments; with --json what argparse complains about is one JSON object on stdout too."""
    if "--json" not in argv:
        return parser().parse_args(argv)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return parser().parse_args(argv)
    except SystemExit as stop:
        if stop.code == USAGE:
            complaint = said.getvalue().partition("error: ")[2].strip()
            fail(argparse.Namespace(json=True), ValueError(complaint), USAGE)
        raise


def _run(arguments: argparse.Namespace) -> int:
    try:
        return arguments.command_function(arguments)
    except BrokenPipeError:
        raise
    except Exception as error:
        code = _code(error)
        if code is None or arguments.debug:
            raise
        return fail(arguments, error, code)


def _code(error: Exception) -> int | None:
    """The exit code of an error that is the user's to mend, None for one that is ours."""
    from sims.errors import MissingDependency, SimulationDiverged

    if isinstance(error, MissingDependency):
        return MISSING
    if isinstance(error, SimulationDiverged):
        return FAILED
    if isinstance(error, (ValueError, OSError)):
        return USAGE
    return None


if __name__ == "__main__":
    sys.exit(main())
