"""The deletion filter: labels that can be left out of a conflict are, until each one is needed."""

from itertools import combinations
from typing import Any

from controllers.explain.elastic import Elastic

SUBSETS = {False: 400, True: 8}  # fits spent on a search for smaller conflicts, by `local`


class Oracle:
    """Can a set of labels be met together? A set is answered by a point that keeps it, never by what a solver says.

    Every point that is seen proves all the sets it keeps; a set beside which no fit found such a point is refuted, and
    with it all larger ones. fits: how many sets were fitted.
    """

    def __init__(self, elastic: Elastic):
        self.elastic, self.fits = elastic, 0
        self._proved: list[tuple[frozenset[str], Any]] = []
        self._refuted: dict[frozenset[str], frozenset[str]] = {}

    def known(self, labels: frozenset[str]) -> bool | None:
        """The answer if no fit is needed for it, else None."""
        if any(labels <= kept for kept, _ in self._proved):
            return True
        return False if any(wrong <= labels for wrong in self._refuted) else None

    def feasible(self, labels: frozenset[str]) -> bool:
        """True if a point was found that keeps the labels."""
        known = self.known(labels)
        if known is not None:
            return known
        self.fits += 1
        core, least = labels, float("inf")
        for z in self.elastic.fit(labels):
            if self.see(z, labels):
                return True
            total = self._total(z, labels)
            if total < least:
                core, least = self.elastic.touches(z) & labels, total
        self._refuted[labels] = core
        return False

    def see(self, z, labels: frozenset[str]) -> bool:
        """Take note of what a point keeps, which no refutation survives; True if the labels are among it."""
        kept = self.elastic.keeps(z)
        if kept is None:
            return False
        self._proved.append((kept, z))
        self._refuted = {wrong: core for wrong, core in self._refuted.items() if not wrong <= kept}
        return labels <= kept

    def points(self, labels: frozenset[str]) -> list[Any]:
        """The points seen that keep the labels; none if they are infeasible."""
        return [z for kept, z in self._proved if labels <= kept] if self.feasible(labels) else []

    def core(self, labels: frozenset[str]) -> frozenset[str]:
        """Of a refuted set, the labels that its best fit is outside or at the edge of."""
        return self._refuted.get(labels, labels)

    def _total(self, z, labels: frozenset[str]) -> float:
        limits = self.elastic.limits
        rows = limits.rows(labels)
        outside = (limits.outside(self.elastic.values(z)) / limits.scale[limits.which])[rows]
        return float(outside[outside > 0.0].sum()) + self.elastic.stray(z)


def find_conflict(oracle: Oracle) -> frozenset[str] | None:
    """A set of labels that cannot be met together though each smaller part of it can; None if all can be met.

    First the labels that the best fit of all of them does not touch are left out, then one label after the other;
    then all smaller sets are tried, as many as there is time for. For a convex problem the answer is exact.
    Source: Chinneck, Feasibility and Infeasibility in Optimization, 2008, chapter 6 (deletion and elastic filters).
    """
    found = frozenset(oracle.elastic.limits.labels)
    if oracle.feasible(found):
        return None
    while (core := oracle.core(found)) < found and not oracle.feasible(core):
        found = core
    found = _shrunk(oracle, found)
    return _shrunk(oracle, _smaller(oracle, found))


def _shrunk(oracle: Oracle, found: frozenset[str]) -> frozenset[str]:
    """A refuted set without the labels that it does not need."""
    for label in oracle.elastic.limits.labels:
        if label in found and not oracle.feasible(found - {label}):
            found = found - {label}
            core = oracle.core(found)
            if core < found and not oracle.feasible(core):
                found = core
    return found


def _smaller(oracle: Oracle, found: frozenset[str]) -> frozenset[str]:
    """The first refuted set with fewer labels, or found."""
    last = oracle.fits + SUBSETS[oracle.elastic.local]
    for size in range(1, len(found)):
        for chosen in combinations(oracle.elastic.limits.labels, size):
            subset = frozenset(chosen)
            known = oracle.known(subset)
            if known is None and oracle.fits < last:
                known = oracle.feasible(subset)
            if known is False:
                return subset
    return found
