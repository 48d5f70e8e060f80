"""Convolutions and pooling as modules."""

from math import prod

from dl import functional as F
from dl.nn.init import fan_in_uniform
from dl.nn.module import Module
from dl.ops.conv import ints
from dl.random import Generator
from dl.tensor import Tensor, float32


def build(self, n: int, channels: tuple, kernel_size, groups: int, bias: bool, dtype, generator, transposed: bool):
    """weight and bias of a convolution, uniform in +-1 / sqrt(fan_in)."""
    name, (into, out) = type(self).__name__, channels
    kernel = ints(kernel_size, n, f"{name}: kernel_size", 1)
    if groups < 1 or into % groups or out % groups:
        raise ValueError(f"{name}: {into} and {out} channels are not {groups} equal groups")
    shape = (into, out // groups, *kernel) if transposed else (out, into // groups, *kernel)
    fan_in = shape[1] * prod(kernel)
    self.in_channels, self.out_channels, self.kernel_size, self.groups = into, out, kernel, groups
    self.weight = fan_in_uniform(shape, fan_in, generator, dtype, name)
    self.bias = fan_in_uniform((out,), fan_in, generator, dtype, name) if bias else None


def described(self) -> str:
    return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"


class Conv1d(Module):
    """F.conv1d with a weight (out_channels, in_channels / groups, k) and bias (out_channels,); x (N, C, L).

    padding: an int, "same" or "valid". Both start uniform in +-1 / sqrt(in_channels / groups k).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        bias: bool = True,
        dtype=float32,
        *,
        generator: Generator,
    ):
        build(self, 1, (in_channels, out_channels), kernel_size, groups, bias, dtype, generator, False)
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def forward(self, x) -> Tensor:
        return F.conv1d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return described(self)


class Conv2d(Module):
    """F.conv2d with a weight (out_channels, in_channels / groups, kh, kw) and bias (out_channels,); x (N, C, H, W)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        bias: bool = True,
        dtype=float32,
        *,
        generator: Generator,
    ):
        build(self, 2, (in_channels, out_channels), kernel_size, groups, bias, dtype, generator, False)
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def forward(self, x) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return described(self)


class ConvTranspose1d(Module):
    """F.conv_transpose1d with a weight (in_channels, out_channels / groups, k) and bias; x (N, C, L)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups: int = 1,
        bias: bool = True,
        dilation=1,
        dtype=float32,
        *,
        generator: Generator,
    ):
        build(self, 1, (in_channels, out_channels), kernel_size, groups, bias, dtype, generator, True)
        self.stride, self.padding, self.output_padding, self.dilation = stride, padding, output_padding, dilation

    def forward(self, x) -> Tensor:
        how = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return F.conv_transpose1d(x, self.weight, self.bias, *how)

    def extra_repr(self) -> str:
        return described(self)


class ConvTranspose2d(Module):
    """F.conv_transpose2d with a weight (in_channels, out_channels / groups, kh, kw) and bias; x (N, C, H, W)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups: int = 1,
        bias: bool = True,
        dilation=1,
        dtype=float32,
        *,
        generator: Generator,
    ):
        build(self, 2, (in_channels, out_channels), kernel_size, groups, bias, dtype, generator, True)
        self.stride, self.padding, self.output_padding, self.dilation = stride, padding, output_padding, dilation

    def forward(self, x) -> Tensor:
        how = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return F.conv_transpose2d(x, self.weight, self.bias, *how)

    def extra_repr(self) -> str:
        return described(self)
