"""The temporal U-Net of diffusion and flow policies: convolutions over time, conditioned on a time and on a vector."""

from collections.abc import Sequence
from itertools import pairwise

from dl import functional as F
from dl.nn.activations import Mish
from dl.nn.containers import ModuleList, Sequential
from dl.nn.conv import Conv1d, ConvTranspose1d
from dl.nn.linear import Identity, Linear
from dl.nn.module import Module
from dl.nn.norm import GroupNorm
from dl.nn.positional import SinusoidalEmbedding
from dl.nn.robot import FiLM
from dl.ops.base import floating
from dl.ops.join import cat
from dl.random import Generator
from dl.tensor import Tensor, float32


def block(into: int, out: int, kernel_size: int, groups: int, dtype, generator: Generator) -> Sequential:
    """Convolution, group norm, Mish."""
    conv = Conv1d(into, out, kernel_size, padding=kernel_size // 2, dtype=dtype, generator=generator)
    return Sequential(conv, GroupNorm(groups, out, dtype=dtype), Mish())


class TemporalResidualBlock(Module):
    """Two blocks (convolution, group norm, Mish) with FiLM between them and a residual: x (N, in, T) -> (N, out, T)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cond_dim: int,
        kernel_size: int = 5,
        groups: int = 8,
        dtype=float32,
        *,
        generator: Generator,
    ):
        g = generator
        self.first = block(in_channels, out_channels, kernel_size, groups, dtype, g)
        self.film = FiLM(cond_dim, out_channels, dtype, generator=g)
        self.second = block(out_channels, out_channels, kernel_size, groups, dtype, g)
        same = in_channels == out_channels
        self.skip = Identity() if same else Conv1d(in_channels, out_channels, 1, dtype=dtype, generator=g)

    def forward(self, x, cond) -> Tensor:
        return self.second(self.film(self.first(x), F.mish(cond))) + self.skip(x)


class TemporalUNet(Module):
    """A function of a trajectory x (N, channels, T), a time t (N,) and a condition (N, cond_dim), of x's shape.

    widths: channels at each resolution; time is halved between them, so T must be a multiple of 2^(len(widths) - 1).
    cond_dim 0: without a condition. Each width must be a multiple of groups. Raises ValueError for sizes that do not
    fit. Source: Janner et al., Planning with diffusion, 2022; Chi et al., Diffusion policy, 2023, section 3.
    """

    def __init__(
        self,
        channels: int,
        cond_dim: int = 0,
        widths: Sequence[int] = (64, 128, 256),
        kernel_size: int = 5,
        groups: int = 8,
        time_dim: int = 64,
        dtype=float32,
        *,
        generator: Generator,
    ):
        if not widths or kernel_size % 2 == 0:
            raise ValueError(f"TemporalUNet: wanted widths and an odd kernel, got {list(widths)} and {kernel_size}")
        g, how = generator, {"kernel_size": kernel_size, "groups": groups, "dtype": dtype, "generator": generator}
        self.channels, self.cond_dim, self.steps = channels, cond_dim, 2 ** (len(widths) - 1)
        self.time = Sequential(
            SinusoidalEmbedding(time_dim, dtype=dtype),
            Linear(time_dim, 4 * time_dim, dtype=dtype, generator=g),
            Mish(),
            Linear(4 * time_dim, time_dim, dtype=dtype, generator=g),
        )
        c = time_dim + cond_dim
        self.down, self.up = ModuleList(), ModuleList()
        self.shrink, self.grow = ModuleList(), ModuleList()
        for m, n in zip((channels, *widths[:-1]), widths, strict=True):
            self.down.append(_pair(m, n, c, how))
        for m, n in pairwise(widths):
            self.shrink.append(Conv1d(m, m, 3, 2, 1, dtype=dtype, generator=g))
            self.grow.append(ConvTranspose1d(n, n, 4, 2, 1, dtype=dtype, generator=g))
            self.up.append(_pair(m + n, m, c, how))
        self.middle = _pair(widths[-1], widths[-1], c, how)
        self.last = block(widths[0], widths[0], kernel_size, groups, dtype, g)
        self.out = Conv1d(widths[0], channels, 1, dtype=dtype, generator=g)

    def forward(self, x, t, cond=None) -> Tensor:
        x = floating(x)
        self._check(x, cond)
        c = self.time(t)
        c = c if cond is None else cat([c, floating(cond)], 1)
        skips = []
        for i, pair in enumerate(self.down):
            x = _through(pair, x, c)
            if i < len(self.shrink):
                skips.append(x)
                x = self.shrink[i](x)
        x = _through(self.middle, x, c)
        for i in reversed(range(len(self.up))):
            x = _through(self.up[i], cat([self.grow[i](x), skips[i]], 1), c)
        return self.out(self.last(x))

    def _check(self, x: Tensor, cond) -> None:
        fits = x.ndim == 3 and x.shape[1] == self.channels and x.shape[2] % self.steps == 0
        shape = None if cond is None else tuple(cond.shape)
        if not fits or shape != ((x.shape[0], self.cond_dim) if self.cond_dim else None):
            wanted = f"cond (N, {self.cond_dim})" if self.cond_dim else "no cond"
            raise ValueError(
                f"TemporalUNet: wanted x (N, {self.channels}, T) with T a multiple of {self.steps}, t (N,) and {wanted}"
                f", got x {list(x.shape)} and cond {None if shape is None else list(shape)}"
            )


def _pair(into: int, out: int, cond_dim: int, how: dict) -> ModuleList:
    return ModuleList([TemporalResidualBlock(m, out, cond_dim, **how) for m in (into, out)])


def _through(pair, x: Tensor, cond: Tensor) -> Tensor:
    for layer in pair:
        x = layer(x, cond)
    return x
