"""What explain() answers: the conflict, where it shows, and what would repair it, in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from controllers.planner import Violation


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """One label's bounds moved outwards by `amount` [unit]: the lower ones if `below`, the upper ones if `above`.

    lower, upper: the label's distinct bounds as they were; move: both bounds go together (a fixed duration becomes a
    longer one). cost: amount over the size of the bounds (times the label's weight); verified: the original problem
    was solved again with this change alone; answer: what that solve returned.
    """

    label: str
    amount: float
    below: bool
    above: bool
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    unit: str = ""
    move: bool = False
    cost: float = np.nan
    verified: bool = False
    answer: Any = field(default=None, repr=False, compare=False)

    def widened(self, lower, upper) -> tuple[np.ndarray, np.ndarray]:
        """Bounds (m,) of this label after the change."""
        down, up = self.amount * self.below, self.amount * self.above
        if self.move:
            return np.asarray(lower, float) - down + up, np.asarray(upper, float) - down + up
        return np.asarray(lower, float) - down, np.asarray(upper, float) + up

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        low, high = min(self.lower), max(self.upper)
        one = len(self.lower) == 1 and len(self.upper) == 1
        if self.lower == self.upper and not self.move:
            return f"{self.label}: within {self.amount:.6g}{unit} of {f'{low:.6g}' if one else 'its values'}"
        if not one:
            return f"{self.label}: bounds wider by {self.amount:.6g}{unit}"
        new_low, new_high = (float(b) for b in self.widened(low, high))
        if self.move:
            return f"{self.label}: {new_low:.6g}{unit} instead of {low:.6g}"
        if low == -high < 0 and self.below and self.above:
            return f"{self.label}: +-{new_high:.6g}{unit} instead of +-{high:.6g}"
        if self.below and self.above:
            return f"{self.label}: {new_low:.6g} to {new_high:.6g}{unit} instead of {low:.6g} to {high:.6g}"
        if self.above:
            return f"{self.label}: at most {new_high:.6g}{unit} instead of {high:.6g}"
        return f"{self.label}: at least {new_low:.6g}{unit} instead of {low:.6g}"


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a problem cannot be solved.

    feasible: True if all labelled constraints can be met together after all; conflict: labels that cannot, without one
    that could be left out; minimal: "minimal" (proved, and no smaller conflict was found) or "locally minimal" (a
    minimum among its neighbours is all that a solve of this problem finds); violations: of each label in the conflict
    if it alone gives way; relaxations: single changes that make the problem solvable, the cheapest first, those that
    were verified before the others; guess: of a feasible problem, what to plan from; message: all, for the user.
    """

    feasible: bool
    conflict: tuple[str, ...] = ()
    minimal: str = "minimal"
    violations: tuple[Violation, ...] = ()
    relaxations: tuple[Relaxation, ...] = ()
    guess: Any = field(default=None, repr=False, compare=False)
    message: str = ""

    def __str__(self) -> str:
        return self.message

    @property
    def cheapest(self) -> Relaxation | None:
        """The cheapest verified relaxation; None if there is none."""
        return next((r for r in self.relaxations if r.verified), None)


def sentences(conflict: Sequence[str], elastic, violations: Sequence[Violation], changes: Sequence[Relaxation]) -> str:
    """The message of an Explanation that found a conflict in an Elastic."""
    words, given, limits = [f"'{label}'" for label in conflict], elastic.given, elastic.limits
    if not words:
        return f"No labelled constraint is to blame: {given} cannot be met even without them all."
    if len(words) > 1:
        named = f"{', '.join(words[:-1])} and {words[-1]}"
        lines = [f"{named} cannot all be met with {given}; without any one of them the others can."]
    elif (limits.lower > limits.upper)[limits.rows(conflict)].any():
        lines = [f"{words[0]} contradicts itself: its lower bound is above its upper bound."]
    else:
        lines = [f"{words[0]} cannot be met with {given}, whatever the other constraints are."]
    if elastic.local:
        lines.append("Found by local search: the conflict is minimal locally, which is no proof.")
    lines += [f"If it alone gives way, {violation}." for violation in violations]
    good = [change for change in changes if change.verified]
    if good:
        lines.append(f"Cheapest single repair, checked by solving again: {good[0]}.")
        lines += [f"Or {change}." for change in good[1:]]
    elif not changes:
        lines.append("No single repair was found: there may be another conflict; repair this one and ask again.")
    rest = [change for change in changes if not change.verified]
    lines += [f"Enough for the constraints, but the planner found no plan with it: {change}." for change in rest]
    return "\n".join(lines)
