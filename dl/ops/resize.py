"""interpolate: more or fewer samples along the axes of space, nearest or linear."""

import numpy as np

from dl.ops.base import floating
from dl.ops.linear import matmul
from dl.tensor import Tensor

MODES = {"nearest": (1, 2), "linear": (1,), "bilinear": (2,)}


def interpolate(x, size=None, scale_factor=None, mode: str = "nearest", align_corners: bool = False) -> Tensor:
    """x (N, C, L) or (N, C, H, W) with other sizes of space: size, or sizes times scale_factor, an int or one per axis.

    mode "nearest" (sample floor(i n / m)), "linear" for (N, C, L) or "bilinear" for (N, C, H, W): between the two
    neighbours of (i + 1/2) n / m - 1/2, or of i (n - 1) / (m - 1) with align_corners. Raises ValueError for others.
    """
    x = floating(x)
    axes = x.ndim - 2
    if mode not in MODES or axes not in MODES[mode]:
        raise ValueError(
            f"interpolate: mode {mode!r} for x {list(x.shape)}; wanted nearest for (N, C, L) and (N, C, H, W), linear "
            "for (N, C, L) or bilinear for (N, C, H, W)"
        )
    sizes = wanted_sizes(x, axes, size, scale_factor)
    for axis, m in zip(range(2, x.ndim), sizes, strict=True):
        x = resized(x, axis, m, mode == "nearest", align_corners)
    return x


def wanted_sizes(x: Tensor, axes: int, size, scale_factor) -> tuple[int, ...]:
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give size or scale_factor, one of them")
    given = size if scale_factor is None else scale_factor
    given = tuple(given) if isinstance(given, (tuple, list)) else (given,) * axes
    if len(given) != axes:
        raise ValueError(f"interpolate: wanted {axes} sizes for x {list(x.shape)}, got {list(given)}")
    found = given if scale_factor is None else [n * s for n, s in zip(x.shape[2:], given, strict=True)]
    sizes = tuple([int(n) for n in found])
    if min(sizes) < 1:
        raise ValueError(f"interpolate: sizes must be at least 1, got {list(sizes)} for x {list(x.shape)}")
    return sizes


def resized(x: Tensor, axis: int, m: int, nearest: bool, align_corners: bool) -> Tensor:
    """One axis with m samples."""
    n = x.shape[axis]
    if m == n:
        return x
    if nearest and m % n == 0:  # each sample m / n times
        y = x.unsqueeze(axis + 1).expand(*x.shape[: axis + 1], m // n, *x.shape[axis + 1 :])
        return y.reshape(*x.shape[:axis], m, *x.shape[axis + 1 :])
    weights = Tensor(sampling(n, m, nearest, align_corners, x.dtype))
    if axis == x.ndim - 1:
        return matmul(x, weights.mT)
    return matmul(weights, x)


def sampling(n: int, m: int, nearest: bool, align_corners: bool, dtype) -> np.ndarray:
    """The matrix (m, n) that takes the samples to the new ones."""
    i, rows = np.arange(m), np.arange(m)
    matrix = np.zeros((m, n), dtype)
    if nearest:
        matrix[rows, i * n // m] = 1
        return matrix
    place = i * ((n - 1) / max(m - 1, 1)) if align_corners else np.clip((i + 0.5) * n / m - 0.5, 0, n - 1)
    low = np.minimum(place.astype(int), n - 1)
    high = np.minimum(low + 1, n - 1)
    np.add.at(matrix, (rows, low), 1 - (place - low))
    np.add.at(matrix, (rows, high), place - low)
    return matrix
