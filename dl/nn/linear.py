"""Layers of matrices: Linear, MLP, Embedding; and Identity and Flatten."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from dl import functional as F
from dl.nn.activations import Tanh
from dl.nn.containers import Sequential
from dl.nn.init import fan_in_uniform, normal_
from dl.nn.module import Module, Parameter
from dl.random import Generator, require
from dl.tensor import Tensor, float32


class Linear(Module):
    """y = x W^T + b, x (..., in_features) -> (..., out_features).

    weight (out_features, in_features) and bias (out_features,) start uniform in +-1 / sqrt(in_features).
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype=float32, *, generator: Generator):
        self.in_features, self.out_features = in_features, out_features
        self.weight = fan_in_uniform((out_features, in_features), in_features, generator, dtype, "Linear")
        self.bias = fan_in_uniform((out_features,), in_features, generator, dtype, "Linear") if bias else None

    def forward(self, x) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")


class MLP(Module):
    """Linear layers with an activation between them: sizes (in, hidden, ..., out).

    activation, output_activation: makers of modules, as nn.ReLU; the last layer has none where output_activation is
    None. layers holds them in a row.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable[[], Module] = Tanh,
        output_activation: Callable[[], Module] | None = None,
        bias: bool = True,
        dtype=float32,
        *,
        generator: Generator,
    ):
        if len(sizes) < 2:
            raise ValueError(f"MLP: wanted sizes (in, hidden, ..., out), got {list(sizes)}")
        modules: list[Module] = []
        for m, n in pairwise(sizes):
            modules += [Linear(m, n, bias, dtype, generator=generator), activation()]
        modules.pop()
        self.layers = Sequential(*modules, *([] if output_activation is None else [output_activation()]))

    def forward(self, x) -> Tensor:
        return self.layers(x)


class Embedding(Module):
    """Row i of a table for each integer i: indices (...) -> (..., embedding_dim); rows start Gaussian.

    padding_idx: a row that starts at 0 and gets no gradient.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype=float32,
        *,
        generator: Generator,
    ):
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else range(num_embeddings)[padding_idx]
        require(generator, "Embedding")
        table = np.empty((num_embeddings, embedding_dim), dtype)
        self.weight = normal_(Parameter(table), generator=generator)
        if self.padding_idx is not None:
            self.weight.array[self.padding_idx] = 0

    def forward(self, indices) -> Tensor:
        return F.embedding(indices, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


class Identity(Module):
    """x."""

    def forward(self, x) -> Tensor:
        return x


class Flatten(Module):
    """The axes start_dim to end_dim as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x) -> Tensor:
        return x.flatten(self.start_dim, self.end_dim)


class Unflatten(Module):
    """One axis as several."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]):
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x) -> Tensor:
        return x.unflatten(self.dim, self.unflattened_size)
