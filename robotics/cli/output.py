"""What commands print: text or one JSON object on stdout, errors and progress on stderr."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
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


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> str:
    """Rows as aligned text, drawn by rich where it is installed."""
    cells = [[_cell(value) for value in row] for row in rows]
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        widths = [max(len(r[i]) for r in [list(columns), *cells]) for i in range(len(columns))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in [list(columns), *cells]]
        return "\n".join([title, *lines] if title else lines)
    drawing = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        drawing.add_column(column, no_wrap=i == 0, overflow="fold")
    for row in cells:
        drawing.add_row(*(Text(cell) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 140, color_system=None)
    with console.capture() as capture:
        console.print(drawing)
    return "\n".join(line.rstrip() for line in capture.get().rstrip().split("\n"))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@contextmanager
def progress(arguments: argparse.Namespace, what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A function (done, total) that moves a bar on stderr, or None where nobody looks (--json, or not a terminal)."""
    if arguments.json or not sys.stderr.isatty():
        yield None
        return
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        yield None
        return
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
