"""Samplers: search by drawing input splines, given nothing but their costs. They know no plant and no simulator."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np


class Search(NamedTuple):
    """Where a sampler looks: mean and std, both (P, nu), of the knots."""

    mean: np.ndarray
    std: np.ndarray


class Sampler(ABC):
    """Draw knots, be told their costs, draw better ones.

    samples: how many a round, the mean itself included. A sampler has no memory: what it knows is a Search.
    """

    samples: int

    @abstractmethod
    def start(self, knots: np.ndarray) -> Search:
        """The Search about a first guess (P, nu)."""

    def propose(self, search: Search, rng: np.random.Generator) -> np.ndarray:
        """Knots (samples, P, nu): the mean first, then normal draws about it."""
        drawn = np.empty((self.samples, *search.mean.shape))
        drawn[0] = search.mean
        rng.standard_normal(out=drawn[1:])
        drawn[1:] *= search.std
        drawn[1:] += search.mean
        return drawn

    @abstractmethod
    def update(self, search: Search, knots: np.ndarray, cost: np.ndarray) -> Search:
        """The next Search, from knots (samples, P, nu) as they were tried and their costs (samples,), inf if lost."""


@final
@dataclass(frozen=True)
class PredictiveSampling(Sampler):
    """The best draw is the next mean; std (scalar or (nu,)) [input unit] stays, times `shrink` a round.

    Source: Howell, Gileadi, Tunyasuvunakool, Zakka, Erez and Tassa, "Predictive sampling: real-time behaviour
    synthesis with MuJoCo", 2022.
    """

    samples: int = 64
    std: float | np.ndarray = 1.0
    shrink: float = 1.0

    def __post_init__(self):
        _check(self.samples, self.std)

    def start(self, knots):
        return Search(knots, np.broadcast_to(np.asarray(self.std, float), knots.shape))

    def update(self, search, knots, cost):
        return Search(knots[int(np.argmin(cost))], self.shrink * search.std)


@final
@dataclass(frozen=True)
class CEM(Sampler):
    """Cross-entropy method: mean and std of the `elites` best draws, not below std_min [input unit].

    smoothing: the share of the old mean and std that stays. Source: Rubinstein and Kroese, The Cross-Entropy Method,
    2004; Kobilarov, "Cross-entropy motion planning", IJRR, 2012.
    """

    samples: int = 64
    elites: int = 8
    std: float | np.ndarray = 1.0
    std_min: float = 1e-3
    smoothing: float = 0.0

    def __post_init__(self):
        _check(self.samples, self.std)
        if not (2 <= self.elites <= self.samples and 0 <= self.smoothing < 1 and self.std_min >= 0):
            raise ValueError(
                f"CEM: want 2 <= elites <= samples, 0 <= smoothing < 1, std_min >= 0, got elites = {self.elites} of "
                f"{self.samples}, smoothing = {self.smoothing}, std_min = {self.std_min}"
            )

    def start(self, knots):
        return Search(knots, np.broadcast_to(np.asarray(self.std, float), knots.shape))

    def update(self, search, knots, cost):
        best = np.argsort(cost, kind="stable")[: self.elites]
        best = best[np.isfinite(cost[best])]
        if len(best) < 2:
            return search
        chosen, keep = knots[best], self.smoothing
        mean = (1 - keep) * chosen.mean(axis=0) + keep * search.mean
        std = (1 - keep) * chosen.std(axis=0) + keep * search.std
        return Search(mean, np.maximum(std, self.std_min))


@final
@dataclass(frozen=True)
class MPPI(Sampler):
    """Path-integral control: the mean of the draws, weighted by exp(-(cost - least cost) / temperature).

    temperature [cost]: small takes the best draw, large the plain mean; std (scalar or (nu,)) [input unit] is
    multiplied by `shrink` each round. Source: Williams, Wagener, Goldfain, Drews, Rehg, Boots and Theodorou,
    "Information theoretic MPC for model-based reinforcement learning", ICRA, 2017, algorithm 2; the input's cost is
    that of the problem.
    """

    samples: int = 64
    std: float | np.ndarray = 1.0
    temperature: float = 1.0
    shrink: float = 1.0

    def __post_init__(self):
        _check(self.samples, self.std)
        if not (0 < self.temperature < np.inf and 0 < self.shrink <= 1):
            raise ValueError(
                f"MPPI: want temperature > 0 and 0 < shrink <= 1, got {self.temperature} and {self.shrink}"
            )

    def start(self, knots):
        return Search(knots, np.broadcast_to(np.asarray(self.std, float), knots.shape))

    def update(self, search, knots, cost):
        least = cost.min()
        if not np.isfinite(least):
            return search
        weight = np.exp((least - cost) / self.temperature)
        mean = np.tensordot(weight / weight.sum(), knots, axes=1)
        return Search(mean, self.shrink * search.std)


def _check(samples: int, std) -> None:
    if samples < 2:
        raise ValueError(f"a sampler needs at least 2 samples, the mean and a draw, got {samples}")
    if not (np.isfinite(std).all() and (np.asarray(std) > 0).all()):
        raise ValueError(f"a sampler's std must be positive and finite, scalar or (nu,), got {std!r}")
