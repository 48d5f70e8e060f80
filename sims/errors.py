"""The suite's errors: what, where, wanted and got, what to do, what exists."""

import difflib
from collections.abc import Iterable


class ModelError(ValueError):
    """A robot model cannot be loaded, or says something a simulator cannot carry."""


class MissingDependency(ImportError):
    """An optional package is not installed; the message holds the one line that installs it."""


class SimulationDiverged(ArithmeticError):
    """A simulation step gave a non-finite value; `.failure` is a `sims.trajectory.Failure` that replays it."""

    def __init__(self, failure):
        super().__init__(failure.message)
        self.failure = failure


def unknown(kind: str, name: object, available: Iterable[str]) -> ValueError:
    """A ValueError that names what was asked for, the nearest match and everything that exists."""
    known = sorted(available)
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return ValueError(f"unknown {kind} {name!r}.{hint} Available: {', '.join(known) or '(none)'}")
