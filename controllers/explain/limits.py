"""All labelled limits of a problem as one table of numbers, and how far a point is outside of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from controllers.planner import Violation


class Limit(NamedTuple):
    """lower <= e <= upper for one number e of a problem, under the user's label, at a knot."""

    label: str
    knot: int
    lower: float
    upper: float
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Limits:
    """lower <= e <= upper, (m,): row i belongs to labels[which[i]] and acts at knot[i].

    scale (L,): the size of a label's bounds, by which its violations are compared with those of others: the largest
    finite bound that is not 0, and 1 where there is none.
    """

    labels: tuple[str, ...]
    units: tuple[str, ...]
    which: np.ndarray
    knot: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    scale: np.ndarray

    @staticmethod
    def of(rows: Iterable[Limit]) -> "Limits":
        """The table of the rows, labels in the order of their first row."""
        rows = list(rows)
        units: dict[str, str] = {}
        for row in rows:
            units.setdefault(row.label, row.unit)
        labels = tuple(units)
        place = {label: i for i, label in enumerate(labels)}
        which, knot = np.array([place[row.label] for row in rows], int), np.array([row.knot for row in rows], int)
        lower, upper = np.array([row.lower for row in rows], float), np.array([row.upper for row in rows], float)
        scale = np.zeros(len(labels))
        for bound in (lower, upper):
            np.maximum.at(scale, which, np.where(np.isfinite(bound), np.abs(bound), 0.0))
        return Limits(labels, tuple(units.values()), which, knot, lower, upper, np.where(scale > 0.0, scale, 1.0))

    def rows(self, labels: Iterable[str]) -> np.ndarray:
        """(m,): True for the rows of these labels."""
        chosen = set(labels)
        return np.array([label in chosen for label in self.labels], bool)[self.which]

    def outside(self, e: np.ndarray) -> np.ndarray:
        """max(lower - e, e - upper), (m,): negative inside, infinite where e is NaN."""
        return np.where(np.isnan(e), np.inf, np.maximum(self.lower - e, e - self.upper))

    def worst(self, e: np.ndarray) -> np.ndarray:
        """The largest of `outside` of each label (L,)."""
        out = np.full(len(self.labels), -np.inf)
        np.maximum.at(out, self.which, self.outside(e))
        return out

    def labels_where(self, chosen: np.ndarray) -> frozenset[str]:
        """The labels of chosen (L,) booleans."""
        return frozenset(label for label, there in zip(self.labels, chosen, strict=True) if there)

    def violation(self, label: str, e: np.ndarray, tolerance: float) -> Violation | None:
        """How far e is outside of one label, and at which knots; None within the tolerance."""
        outside = np.where(self.rows([label]), self.outside(e), -np.inf)
        if not outside.max() > tolerance:
            return None
        knots = tuple(sorted({int(k) for k in self.knot[outside > tolerance]}))
        return Violation(label, knots, float(outside.max()), self.units[self.labels.index(label)])
