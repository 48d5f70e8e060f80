"""Where and when: encodings of positions in a sequence and of times."""

import numpy as np

from dl.nn.init import normal_
from dl.nn.module import Module, Parameter
from dl.ops.base import as_tensor, floating
from dl.ops.join import cat
from dl.ops.pieces import equal_pieces
from dl.ops.special import cos, sin
from dl.random import Generator, require
from dl.tensor import Tensor, float32, float64


def frequencies(dim: int, base: float, where: str) -> np.ndarray:
    """base^(-2 i / dim) for i = 0 ... dim / 2 - 1."""
    if dim % 2 or dim < 2:
        raise ValueError(f"{where}: wanted an even dimension of at least 2, got {dim}")
    return base ** (-np.arange(0, dim, 2) / dim)


def sequence_axes(x: Tensor, batch_first: bool, d_model: int, limit: int | None, where: str) -> tuple[int, tuple]:
    """The length T of x and the shape in which (T, d_model) broadcasts to x."""
    if x.ndim not in (2, 3) or x.shape[-1] != d_model:
        raise ValueError(f"{where}: wanted x (T, N, {d_model}), batch_first (N, T, {d_model}), got {list(x.shape)}")
    t = x.shape[1 if batch_first and x.ndim == 3 else 0]
    if limit is not None and t > limit:
        raise ValueError(f"{where}: a sequence of {t} is longer than max_len = {limit}")
    return t, (t, d_model) if x.ndim == 2 or batch_first else (t, 1, d_model)


class SinusoidalPositionalEncoding(Module):
    """x + e with e_t,2i = sin(t w_i), e_t,2i+1 = cos(t w_i), w_i = base^(-2 i / d_model): x (T, N, d_model).

    With batch_first x is (N, T, d_model). Raises ValueError for sequences longer than max_len. Source: Vaswani et al.,
    Attention is all you need, 2017, section 3.5.
    """

    def __init__(
        self, d_model: int, max_len: int = 5000, base: float = 10000.0, batch_first: bool = False, dtype=float32
    ):
        angles = np.arange(max_len)[:, None] * frequencies(d_model, base, "SinusoidalPositionalEncoding")
        table = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(max_len, d_model)
        self.d_model, self.max_len, self.batch_first = d_model, max_len, batch_first
        self.register_buffer("table", Tensor(table.astype(dtype)), persistent=False)

    def forward(self, x) -> Tensor:
        x = floating(x)
        t, shape = sequence_axes(x, self.batch_first, self.d_model, self.max_len, type(self).__name__)
        return x + self.table[:t].reshape(shape)


class LearnedPositionalEncoding(Module):
    """x + a learned vector for each position: x (T, N, d_model), with batch_first (N, T, d_model).

    weight (max_len, d_model) starts Gaussian with standard deviation 0.02. Raises ValueError for longer sequences.
    """

    def __init__(self, d_model: int, max_len: int, batch_first: bool = False, dtype=float32, *, generator: Generator):
        require(generator, "LearnedPositionalEncoding")
        self.d_model, self.max_len, self.batch_first = d_model, max_len, batch_first
        self.weight = normal_(Parameter(np.empty((max_len, d_model), dtype)), 0.0, 0.02, generator=generator)

    def forward(self, x) -> Tensor:
        x = floating(x)
        t, shape = sequence_axes(x, self.batch_first, self.d_model, self.max_len, type(self).__name__)
        return x + self.weight[:t].reshape(shape)


class SinusoidalEmbedding(Module):
    """[sin(t w), cos(t w)] of numbers t (...) -> (..., dim), w_i = base^(-2 i / dim): the time of a diffusion."""

    def __init__(self, dim: int, base: float = 10000.0, dtype=float32):
        self.dim = dim
        w = frequencies(dim, base, "SinusoidalEmbedding").astype(dtype)
        self.register_buffer("frequencies", Tensor(w), persistent=False)

    def forward(self, t) -> Tensor:
        angles = as_tensor(t, self.frequencies.dtype).unsqueeze(-1) * self.frequencies
        return cat([sin(angles), cos(angles)], -1)


class RotaryEmbedding(Module):
    """Queries or keys x (..., T, dim), each pair (x_i, x_i+dim/2) turned by t base^(-2 i / dim) at position t.

    Products of turned queries and keys depend on the difference of their positions only. offset: the position of the
    first row, for a sequence that continues. Source: Su et al., RoFormer, 2021, equation 34 (with halves as pairs).
    """

    def __init__(self, dim: int, base: float = 10000.0):
        self.dim = dim
        self.frequencies = frequencies(dim, base, "RotaryEmbedding").astype(float64)

    def forward(self, x, offset: int = 0) -> Tensor:
        x = floating(x)
        if x.ndim < 2 or x.shape[-1] != self.dim:
            raise ValueError(f"RotaryEmbedding: wanted x (..., T, {self.dim}), got {list(x.shape)}")
        angles = (offset + np.arange(x.shape[-2]))[:, None] * self.frequencies
        c, s = Tensor(np.cos(angles).astype(x.dtype)), Tensor(np.sin(angles).astype(x.dtype))
        a, b = equal_pieces(x, 2)
        return cat([a * c - b * s, a * s + b * c], -1)
