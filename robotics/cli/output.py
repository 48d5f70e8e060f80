"""What commands print: text or one JSON object on stdout, errors and progress on stderr."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DONE, FAILED, USAGE, MISSING = 0, 1, 2, 3
BACKENDS = ("ode", "mujoco", "drake")


def emit(arguments: argparse.Namespace, data: dict, text: str) -> None:
    """data as JSON if --json was given, else text."""
    print(json.dumps(data, indent=1) if arguments.json else text)


def fail(arguments: argparse.Namespace, error: Exception, code: int) -> int:
    """Say what was wrong (JSON on stdout with --json, one paragraph on stderr without) and return the exit code."""
    if arguments.json:
        print(json.dumps({"error": str(error), "kind": type(error).__name__, "exit_code": code}, indent=1))
    else:
        print(f"swingup {arguments.command}: error: {error}", file=sys.stderr)
    return code


@contextmanager
def progress(arguments: argparse.Namespace, what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A function (done, total) that moves a bar on stderr, or None where nobody looks (--json, or not a terminal)."""
    if arguments.json or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        job = bar.add_task(what)
        yield lambda done, total: bar.update(job, completed=done, total=total)


def positive(text: str) -> float:
    """argparse type: a positive finite number."""
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text}")
    return value


def count(text: str) -> int:
    """argparse type: an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def seed(text: str) -> int:
    """argparse type: an integer of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, got {text}")
    return value
