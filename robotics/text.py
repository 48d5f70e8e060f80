"""Tables as plain text."""

import sys
from collections.abc import Sequence


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows as aligned text; None is "-", booleans are yes and no, floats have four digits."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawing = Table(box=None, pad_edge=False)
    for i, column in enumerate(columns):
        drawing.add_column(Text(column), no_wrap=i == 0, overflow="fold")
    for row in rows:
        drawing.add_row(*(Text(_cell(value)) for value in row))
    console = Console(width=None if sys.stdout and sys.stdout.isatty() else 140, color_system=None)
    with console.capture() as capture:
        console.print(drawing)
    return "\n".join(line.rstrip() for line in capture.get().rstrip().split("\n"))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
