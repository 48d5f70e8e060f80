"""Dropout: each value is zero with probability p, and the others are scaled up."""

from dl.ops.base import cast, floating
from dl.random import require
from dl.tensor import Tensor


def check_probability(p: float, where: str):
    if not 0 <= p <= 1:
        raise ValueError(f"{where}: wanted a probability in [0, 1], got {p}")


def dropout(x, p: float = 0.5, training: bool = True, *, generator=None) -> Tensor:
    """x m / (1 - p) with m = 0 with probability p, else 1; x itself where not training.

    generator: a dl.Generator. Raises ValueError for p outside [0, 1]. Source: Srivastava et al., Dropout, 2014.
    """
    return masked(x, floating(x).shape, p, training, generator, "dropout")


def dropout1d(x, p: float = 0.5, training: bool = True, *, generator=None) -> Tensor:
    """dropout of whole channels: x (N, C, L)."""
    return masked(x, (*floating(x).shape[:2], 1), p, training, generator, "dropout1d")


def dropout2d(x, p: float = 0.5, training: bool = True, *, generator=None) -> Tensor:
    """dropout of whole channels: x (N, C, H, W)."""
    return masked(x, (*floating(x).shape[:2], 1, 1), p, training, generator, "dropout2d")


def masked(x, shape: tuple[int, ...], p: float, training: bool, generator, where: str) -> Tensor:
    x = floating(x)
    check_probability(p, where)
    if not training or not p:
        return x
    keep = cast(require(generator, where).uniform(shape, dtype=x.dtype) >= p, x.dtype)
    return x * (keep * (1 / (1 - p)) if p < 1 else keep)
