"""Inverse kinematics for explain(): least squares for what conflicts, sequential programming for what repairs it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from controllers.explain.elastic import Elastic
from controllers.explain.limits import Limit, Limits
from controllers.explain.report import Relaxation
from controllers.ik import InverseKinematics, least
from sims.errors import unknown


class PostureElastic(Elastic):
    """The constraints of an InverseKinematics; z is q (nq,), and nothing is given."""

    local = True
    given = "any posture"

    def __init__(self, ik: InverseKinematics, q0=None, *, tolerance: float = 1e-5):
        self.ik, self.tolerance = ik, tolerance
        self._starts = ik.guesses(q0)
        self.limits = Limits.of(
            Limit(c.label, 0, float(low), float(high), c.unit)
            for c in ik.constraints
            for low, high in zip(c.lower, c.upper, strict=True)
        )
        self._weight = 1.0 / self.limits.scale[self.limits.which]

    def values(self, z) -> np.ndarray:
        return self.ik.values(z)

    def stray(self, z) -> float:
        return 0.0 if np.isfinite(z).all() else np.inf

    def fit(self, loose: frozenset[str]) -> Iterable[np.ndarray]:
        """minimise the sum of squared scaled violations, from every start."""
        rows = self.limits.rows(loose)
        starts = self._starts if rows.any() else self._starts[:1]
        return (self.ik.meet(start, rows, self._weight) for start in starts)

    def stretch(self, label: str, held: frozenset[str], near) -> Iterable[np.ndarray]:
        """minimise t subject to lower - t <= e <= upper + t on the label's rows, in [q, t]."""
        limits, n = self.limits, self.ik.nq
        shared, kept = (np.flatnonzero(limits.rows(labels)) for labels in ([label], held - {label}))
        rows, give = (
            np.concatenate([shared, shared, kept]),
            np.repeat([1.0, -1.0, 0.0], [len(shared)] * 2 + [len(kept)]),
        )
        far = np.full(len(shared), np.inf)
        lower = np.concatenate([limits.lower[shared], -far, limits.lower[kept], [0.0]])
        upper = np.concatenate([far, limits.upper[shared], limits.upper[kept], [np.inf]])

        def g(y):
            return np.append(self.ik.values(y[:n])[rows] + give * y[n], y[n])

        def slope(y):
            J = np.zeros((len(rows) + 1, n + 1))
            J[:-1, :n], J[:-1, n], J[-1, n] = self.ik.jacobian(y[:n])[rows], give, 1.0
            return J

        last = np.append(np.zeros(n), 1.0)
        for start in (near, *self.fit(held | {label})):
            t = max(float(limits.outside(self.values(start))[shared].max()), 0.0)
            yield least(lambda y: (float(y[n]), last), np.append(start, t), g, slope, lower, upper)[:n]

    def as_guess(self, z) -> np.ndarray:
        return z

    def solved(self, change: Relaxation, z) -> tuple[bool, Any]:
        posture = relaxed(self.ik, change).solve(z)
        return posture.ok, posture


def relaxed(ik: InverseKinematics, change: Relaxation) -> InverseKinematics:
    """The same problem with the bounds of one label changed."""
    if change.label not in {c.label for c in ik.constraints}:
        raise unknown("label of a constraint", change.label, {c.label for c in ik.constraints})
    constraints = []
    for c in ik.constraints:
        if c.label == change.label:
            lower, upper = change.widened(c.lower, c.upper)
            c = replace(c, lower=lower, upper=upper)
        constraints.append(c)
    return ik.with_constraints(constraints)
