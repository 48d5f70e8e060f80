"""A problem whose labelled limits can be held, stretched or left out: what explain() asks questions of."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np

from controllers.explain.limits import Limits
from controllers.explain.report import Relaxation


class Elastic(ABC):
    """Find z with lower <= e(z) <= upper for the labelled limits, on a background that always holds (the dynamics).

    limits: the table of the labels; tolerance: a violation up to this, in its own unit, is none; local: a fit is a
    minimum among its neighbours only, so that "infeasible" is not proved; given: what the background is, in words.
    """

    limits: Limits
    tolerance: float
    local: bool
    given: str

    @abstractmethod
    def values(self, z) -> np.ndarray:
        """e(z) (m,)."""

    @abstractmethod
    def stray(self, z) -> float:
        """How far z is from the background, in its own unit: 0 where the dynamics hold."""

    @abstractmethod
    def fit(self, loose: frozenset[str]) -> Iterable[Any]:
        """Points z that minimise the sum of the scaled violations of the labels `loose`, all others left out.

        One point if the problem is convex, several from different starts if not, the most promising first.
        """

    @abstractmethod
    def stretch(self, label: str, held: frozenset[str], near: Any) -> Iterable[Any]:
        """Points z that minimise the largest violation of one label and keep the labels `held`, all others left out.

        near: a point that keeps them, to start from.
        """

    @abstractmethod
    def solved(self, change: Relaxation, z) -> tuple[bool, Any]:
        """Whether the original problem, asked again with one label changed, is solved, and its answer; z: a start."""

    @abstractmethod
    def as_guess(self, z) -> Any:
        """z as a guess for the planner."""

    def longer(self, conflict: frozenset[str]) -> Relaxation | None:
        """A longer horizon with which it can be solved, where the table has no label for that; else None."""
        return None

    def moves(self, label: str) -> bool:
        """True if an equality under this label is repaired by another value rather than by a tolerance."""
        return False

    def keeps(self, z) -> frozenset[str] | None:
        """The labels that hold at z; None if the background does not."""
        if not self.stray(z) <= self.tolerance:
            return None
        return self.limits.labels_where(self.limits.worst(self.values(z)) <= self.tolerance)

    def touches(self, z) -> frozenset[str]:
        """The labels that z is outside of or at the edge of: at a best fit, those that push."""
        limits = self.limits
        return limits.labels_where(limits.worst(self.values(z)) >= -1e-3 * limits.scale)
