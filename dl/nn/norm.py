"""Normalisation and dropout as modules."""

import numpy as np

from dl import functional as F
from dl.nn.init import ones_, zeros_
from dl.nn.module import Module, Parameter
from dl.ops.base import floating
from dl.ops.dropout import check_probability
from dl.random import Generator, require
from dl.tensor import Tensor, float32


def scale_and_shift(self, shape, affine: bool, bias: bool, dtype) -> None:
    """weight 1 and bias 0, or None."""
    self.weight = ones_(Parameter(np.empty(shape, dtype))) if affine else None
    self.bias = zeros_(Parameter(np.empty(shape, dtype))) if affine and bias else None


class LayerNorm(Module):
    """F.layer_norm over the last axes, of sizes normalized_shape, with a weight and a bias of that shape."""

    def __init__(
        self, normalized_shape, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True, dtype=float32
    ):
        sizes = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        self.normalized_shape, self.eps = tuple(sizes), eps
        scale_and_shift(self, self.normalized_shape, elementwise_affine, bias, dtype)

    def forward(self, x) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class RMSNorm(Module):
    """F.rms_norm over the last axes, of sizes normalized_shape, with a weight of that shape."""

    def __init__(self, normalized_shape, eps: float | None = None, elementwise_affine: bool = True, dtype=float32):
        sizes = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        self.normalized_shape, self.eps = tuple(sizes), eps
        scale_and_shift(self, self.normalized_shape, elementwise_affine, False, dtype)

    def forward(self, x) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class GroupNorm(Module):
    """F.group_norm of x (N, num_channels, ...) in num_groups groups, with a weight and a bias per channel."""

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, dtype=float32):
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_channels} channels are not {num_groups} equal groups")
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        scale_and_shift(self, (num_channels,), affine, True, dtype)

    def forward(self, x) -> Tensor:
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"


def running_statistics(self, n: int, eps: float, momentum, affine: bool, track: bool, dtype) -> None:
    self.num_features, self.eps, self.momentum = n, eps, momentum
    scale_and_shift(self, (n,), affine, True, dtype)
    self.register_buffer("running_mean", Tensor(np.zeros(n, dtype)) if track else None)
    self.register_buffer("running_var", Tensor(np.ones(n, dtype)) if track else None)


def normalized(self, x, ranks: tuple[int, ...]) -> Tensor:
    """batch_norm with the module's statistics; ValueError for another number of axes."""
    x = floating(x)
    if x.ndim not in ranks:
        raise ValueError(
            f"{type(self).__name__}: wanted x with {' or '.join(map(str, ranks))} axes (N, C, ...), got {list(x.shape)}"
        )
    statistics = (self.running_mean, self.running_var)
    return F.batch_norm(x, *statistics, self.weight, self.bias, self.training, self.momentum, self.eps)


class BatchNorm1d(Module):
    """F.batch_norm of x (N, C) or (N, C, L): this batch's statistics in training, running ones in eval().

    Buffers running_mean and running_var (num_features,) follow with the given momentum, and are left out where
    track_running_stats is False.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype=float32,
    ):
        running_statistics(self, num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x) -> Tensor:
        return normalized(self, x, (2, 3))

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm2d(Module):
    """F.batch_norm of x (N, C, H, W); see BatchNorm1d."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype=float32,
    ):
        running_statistics(self, num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x) -> Tensor:
        return normalized(self, x, (4,))

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


def instance_normalized(self, x, rank: int) -> Tensor:
    x = floating(x)
    if x.ndim != rank or x.shape[1] != self.num_features:
        axes = "L" if rank == 3 else "H, W"
        raise ValueError(f"{type(self).__name__}: wanted x (N, {self.num_features}, {axes}), got {list(x.shape)}")
    return F.instance_norm(x, self.weight, self.bias, self.eps)


class InstanceNorm1d(Module):
    """F.instance_norm of x (N, num_features, L), with a weight and a bias per channel where affine is set."""

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = False, dtype=float32):
        self.num_features, self.eps = num_features, eps
        scale_and_shift(self, (num_features,), affine, True, dtype)

    def forward(self, x) -> Tensor:
        return instance_normalized(self, x, 3)


class InstanceNorm2d(Module):
    """F.instance_norm of x (N, num_features, H, W); see InstanceNorm1d."""

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = False, dtype=float32):
        self.num_features, self.eps = num_features, eps
        scale_and_shift(self, (num_features,), affine, True, dtype)

    def forward(self, x) -> Tensor:
        return instance_normalized(self, x, 4)


class Dropout(Module):
    """F.dropout with probability p in training, from this generator; x itself in eval()."""

    def __init__(self, p: float = 0.5, *, generator: Generator):
        check_probability(p, "Dropout")
        self.p, self.generator = p, require(generator, "Dropout")

    def forward(self, x) -> Tensor:
        return F.dropout(x, self.p, self.training, generator=self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout1d(Module):
    """F.dropout1d: whole channels of x (N, C, L)."""

    def __init__(self, p: float = 0.5, *, generator: Generator):
        check_probability(p, "Dropout1d")
        self.p, self.generator = p, require(generator, "Dropout1d")

    def forward(self, x) -> Tensor:
        return F.dropout1d(x, self.p, self.training, generator=self.generator)


class Dropout2d(Module):
    """F.dropout2d: whole channels of x (N, C, H, W)."""

    def __init__(self, p: float = 0.5, *, generator: Generator):
        check_probability(p, "Dropout2d")
        self.p, self.generator = p, require(generator, "Dropout2d")

    def forward(self, x) -> Tensor:
        return F.dropout2d(x, self.p, self.training, generator=self.generator)
