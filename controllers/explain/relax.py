"""The smallest change of one label's bounds that makes a problem solvable, and the solve that checks it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import ceil, floor, log10
from typing import Any

import numpy as np

from controllers.explain.conflict import Oracle
from controllers.explain.elastic import Elastic
from controllers.explain.report import Relaxation

# At the smallest change there is hardly one point left, which a solver may not find: a little more, and more again
MARGINS = (1.01, 1.04, 1.1, 1.3)
EQUALITY = 10.0  # the weight of giving up a goal, unless the user has another


def stretched(oracle: Oracle, label: str, held: frozenset[str]) -> tuple[float, Any]:
    """The smallest largest violation of a label where those `held` hold, and its point; inf, None if none is found."""
    elastic, others = oracle.elastic, held - {label}
    limits, place = elastic.limits, elastic.limits.labels.index(label)

    def violation(z) -> float:
        return float(limits.worst(elastic.values(z))[place])

    known = oracle.points(others)
    if not known:
        return np.inf, None
    at = min(known, key=violation)
    least = violation(at)
    for z in elastic.stretch(label, others, at):
        amount = violation(z)
        if oracle.see(z, others) and amount < least:
            least, at = amount, z
    return least, at


def relaxation(elastic: Elastic, label: str, amount: float, z, weights: Mapping[str, float]) -> Relaxation:
    """The change of a label that admits z, rounded up to two digits, checked by a solve of the original problem."""
    limits, rows = elastic.limits, elastic.limits.rows([label])
    e, lower, upper = elastic.values(z)[rows], limits.lower[rows], limits.upper[rows]
    below, above = bool((lower - e > elastic.tolerance).any()), bool((e - upper > elastic.tolerance).any())
    if (lower == -upper).all() and (lower < upper).any():
        below = above = True
    i = limits.labels.index(label)
    change = Relaxation(
        label=label,
        amount=amount,
        below=below,
        above=above,
        lower=_distinct(lower),
        upper=_distinct(upper),
        unit=limits.units[i],
        move=elastic.moves(label) and bool((lower == upper).all()) and below != above,
    )
    equality = not change.move and bool((lower == upper).all())
    price, first = weights.get(label, EQUALITY if equality else 1.0), None
    for margin in MARGINS:
        rounded = round_up(margin * amount)
        cost = price * rounded / float(limits.scale[i])
        solved, answer = elastic.solved(replace(change, amount=rounded), z)
        tried = replace(change, amount=rounded, cost=cost, verified=solved, answer=answer)
        first = first or tried
        if solved:
            return tried
    assert first is not None
    return first


def round_up(amount: float, digits: int = 2) -> float:
    """amount > 0 with so many significant digits, not smaller."""
    unit = 10.0 ** (floor(log10(amount)) - digits + 1)
    return float(f"{ceil(amount / unit - 1e-9) * unit:.12g}")


def in_order(relaxations: Iterable[Relaxation]) -> tuple[Relaxation, ...]:
    """Verified before not verified, then by cost."""
    return tuple(sorted(relaxations, key=lambda r: (not r.verified, r.cost)))


def _distinct(bounds: np.ndarray) -> tuple[float, ...]:
    return tuple(float(b) for b in np.unique(bounds))
