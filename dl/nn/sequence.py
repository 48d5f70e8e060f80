"""What RNN, LSTM and GRU share: their parameters, and the loop over time, layers and directions."""

from collections.abc import Callable

import numpy as np

from dl import functional as F
from dl.nn.init import fan_in_uniform
from dl.ops.base import as_tensor, floating
from dl.ops.dropout import check_probability
from dl.ops.join import cat, stack
from dl.ops.pieces import slices
from dl.random import Generator
from dl.tensor import Tensor


def build(
    self,
    gates: int,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    bias: bool,
    batch_first: bool,
    dropout: float,
    bidirectional: bool,
    dtype,
    generator: Generator,
) -> None:
    """Parameters weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, ..., with _reverse for the way back."""
    name, rows = type(self).__name__, gates * hidden_size
    if num_layers < 1:
        raise ValueError(f"{name}: wanted at least one layer, got num_layers = {num_layers}")
    check_probability(dropout, name)
    self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
    self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
    self.generator = generator
    for layer in range(num_layers):
        into = input_size if layer == 0 else hidden_size * (1 + bidirectional)
        for suffix in suffixes(self, layer):
            shapes = {"weight_ih": (rows, into), "weight_hh": (rows, hidden_size)}
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
            for kind, shape in shapes.items():
                setattr(self, kind + suffix, fan_in_uniform(shape, hidden_size, generator, dtype, name))


def suffixes(self, layer: int) -> list[str]:
    return [f"_l{layer}", f"_l{layer}_reverse"][: 1 + self.bidirectional]


def run(self, step: Callable, x, state, parts: int):
    """The output and the last states, of the shapes the caller uses; state: a tuple of `parts` tensors, or None."""
    x = floating(x)
    if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
        wanted = "(N, T, " if self.batch_first else "(T, N, "
        raise ValueError(
            f"{type(self).__name__}: wanted x {wanted}{self.input_size}) or (T, {self.input_size}), got {list(x.shape)}"
        )
    alone = x.ndim == 2
    if alone:
        x = x.unsqueeze(1)
    elif self.batch_first:
        x = x.transpose(0, 1)
    states = first_states(self, x, state, parts, alone)
    if not x.shape[0]:
        raise ValueError(f"{type(self).__name__}: the sequence is empty: x {list(x.shape)} (time first)")
    last: list[list[Tensor]] = [[] for _ in range(parts)]
    for layer in range(self.num_layers):
        if layer and self.dropout:
            x = F.dropout(x, self.dropout, self.training, generator=self.generator)
        ways = []
        for way, suffix in enumerate(suffixes(self, layer)):
            out, final = sweep(self, step, x, states[layer * (1 + self.bidirectional) + way], suffix, way == 1)
            ways.append(out)
            for found, t in zip(last, final, strict=True):
                found.append(t)
        x = ways[0] if len(ways) == 1 else cat(ways, 2)
    ends = tuple([stack(found).squeeze(1) if alone else stack(found) for found in last])
    return (x.squeeze(1) if alone else x.transpose(0, 1) if self.batch_first else x), ends


def sweep(self, step: Callable, x: Tensor, state: tuple, suffix: str, backwards: bool):
    """One layer in one direction: all inputs go through W_ih at once, then the steps."""
    w, b = self.__dict__["weight_hh" + suffix], self.__dict__.get("bias_hh" + suffix)
    gates = slices(F.linear(x, self.__dict__["weight_ih" + suffix], self.__dict__.get("bias_ih" + suffix)))
    outs = []
    for g in reversed(gates) if backwards else gates:
        state = step(g, state, w, b)
        outs.append(state[0])
    return stack(outs[::-1] if backwards else outs), state


def first_states(self, x: Tensor, state, parts: int, alone: bool) -> list[tuple]:
    """For each layer and direction a tuple of states (N, hidden_size)."""
    rows, n = self.num_layers * (1 + self.bidirectional), x.shape[1]
    if state is None:
        zero = Tensor(np.zeros((n, self.hidden_size), x.dtype))
        return [(zero,) * parts] * rows
    wanted = (rows, self.hidden_size) if alone else (rows, n, self.hidden_size)
    state = tuple([as_tensor(s, x.dtype) for s in state])
    if len(state) != parts or any(s.shape != wanted for s in state):
        raise ValueError(
            f"{type(self).__name__}: wanted {parts} first state(s) {list(wanted)} for x {list(x.shape)} (time first), "
            f"got {', '.join(str(list(s.shape)) for s in state)}"
        )
    columns = [slices(s.unsqueeze(1) if alone else s) for s in state]
    return list(zip(*columns, strict=True))
