"""What the files that use Drake's solvers share."""

import logging
from contextlib import contextmanager

from sims.errors import MissingDependency


def needs_drake(who: str) -> None:
    """Raise MissingDependency, beginning with `who`, unless Drake can be imported."""
    try:
        import pydrake  # noqa: F401
    except ImportError as error:
        raise MissingDependency(f"{who} uses Drake: pip install drake") from error


@contextmanager
def quiet():
    """Keep Drake's progress notes off the user's screen; its warnings stay."""
    log = logging.getLogger("drake")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)
