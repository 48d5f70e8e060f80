"""Layers that robot policies are made of: FiLM and SpatialSoftmax."""

import numpy as np

from dl import functional as F
from dl.nn.init import constant_
from dl.nn.linear import Linear
from dl.nn.module import Module, Parameter
from dl.ops.base import floating
from dl.ops.linear import matmul
from dl.ops.pieces import equal_pieces
from dl.random import Generator
from dl.tensor import Tensor, float32


class FiLM(Module):
    """x (1 + a(c)) + b(c) by channel, with a and b linear in the condition: x (N, C, ...), c (N, cond_dim).

    Raises ValueError for sizes that do not fit. Source: Perez et al., FiLM: visual reasoning with a general
    conditioning layer, 2018, equation 2.
    """

    def __init__(self, cond_dim: int, channels: int, dtype=float32, *, generator: Generator):
        self.channels = channels
        self.linear = Linear(cond_dim, 2 * channels, dtype=dtype, generator=generator)

    def forward(self, x, cond) -> Tensor:
        x = floating(x)
        if x.ndim < 2 or x.shape[1] != self.channels:
            raise ValueError(f"FiLM: wanted x (N, {self.channels}, ...), got {list(x.shape)}")
        scale, shift = equal_pieces(self.linear(cond), 2)
        shape = (*scale.shape, *(1,) * (x.ndim - 2))
        return x * (scale.reshape(shape) + 1.0) + shift.reshape(shape)


class SpatialSoftmax(Module):
    """Where each channel of x (N, C, H, W) is: the mean of (u, v) under softmax(x / temperature) -> (N, C, 2).

    u (along W) and v (along H) go from -1 to 1. temperature: a number, learned where learnable_temperature is set.
    Source: Levine et al., End-to-end training of deep visuomotor policies, 2016, section 5.1.
    """

    def __init__(self, temperature: float = 1.0, learnable_temperature: bool = False, dtype=float32):
        if temperature <= 0:
            raise ValueError(f"SpatialSoftmax: the temperature must be positive, got {temperature}")
        value = constant_(Parameter(np.empty((), dtype)), temperature)
        if learnable_temperature:
            self.temperature = value
        else:
            self.register_buffer("temperature", value.detach())

    def forward(self, x) -> Tensor:
        x = floating(x)
        if x.ndim != 4:
            raise ValueError(f"SpatialSoftmax: wanted x (N, C, H, W), got {list(x.shape)}")
        n, c, h, w = x.shape
        p = F.softmax(x.reshape(n, c, h * w) / self.temperature, -1)
        u, v = np.meshgrid(np.linspace(-1, 1, w), np.linspace(-1, 1, h))
        places = np.stack([u.ravel(), v.ravel()], 1).astype(x.dtype)
        return matmul(p, Tensor(places))
