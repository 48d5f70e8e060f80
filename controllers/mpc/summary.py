"""How the solves of an MPC ended."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Solve(NamedTuple):
    """One solve: t [s]; outcome "ok", "fallback" or "failed"; reason, empty if ok; seconds of wall time; the plan's
    cost and status, nan and empty where there is no plan that may be played; late: it took longer than the budget."""

    t: float
    outcome: str
    reason: str
    seconds: float
    cost: float
    status: str
    late: bool


@dataclass(frozen=True)
class Summary:
    """Counts of a run: solves = ok + fallback + failed.

    late: solves beyond the budget; reasons: what went wrong, up to the first colon -> how often; safe: commands for
    which the safe input was played; saturated: commands that were clipped; median_seconds, worst_seconds of a solve;
    first: the whole text of the first reason.
    """

    solves: int
    ok: int
    fallback: int
    failed: int
    late: int
    safe: int
    saturated: int
    reasons: Mapping[str, int]
    median_seconds: float
    worst_seconds: float
    first: str

    def __str__(self) -> str:
        lines = (
            f"{self.solves} solves: {self.ok} ok, {self.fallback} fallback, {self.failed} failed ({self.late} late); "
            f"{1e3 * self.median_seconds:.3g} ms each, {1e3 * self.worst_seconds:.3g} at worst; "
            f"{self.safe} safe inputs, {self.saturated} clipped"
        )
        why = ", ".join(f"{count} x {reason}" for reason, count in self.reasons.items())
        return f"{lines}; {why}; first: {self.first}" if why else lines


def summarise(log: Sequence[Solve], saturated: int, safe: int) -> Summary:
    """The Summary of a log."""
    outcomes = Counter(solve.outcome for solve in log)
    wrong = [solve.reason for solve in log if solve.outcome != "ok"]
    seconds = np.array([solve.seconds for solve in log]) if log else np.full(1, np.nan)
    return Summary(
        solves=len(log),
        ok=outcomes["ok"],
        fallback=outcomes["fallback"],
        failed=outcomes["failed"],
        late=sum(solve.late for solve in log),
        safe=safe,
        saturated=saturated,
        reasons=dict(Counter(reason.split(":")[0] for reason in wrong).most_common()),
        median_seconds=float(np.median(seconds)),
        worst_seconds=float(seconds.max()),
        first=wrong[0] if wrong else "",
    )
