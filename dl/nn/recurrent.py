"""Recurrent networks: RNN, LSTM and GRU, as one step (Cell) and over a sequence.

Gates are stacked in the rows of the weights in PyTorch's order: LSTM i, f, g, o; GRU r, z, n.
"""

from collections.abc import Callable

from dl import functional as F
from dl.nn.init import fan_in_uniform
from dl.nn.module import Module
from dl.nn.sequence import build, run
from dl.ops.pieces import equal_pieces
from dl.random import Generator
from dl.tensor import Tensor, float32

NONLINEARITIES: dict[str, Callable] = {"tanh": F.tanh, "relu": F.relu}


def nonlinearity_of(name: str, where: str) -> Callable:
    if name not in NONLINEARITIES:
        raise ValueError(f"{where}: nonlinearity must be tanh or relu, got {name!r}")
    return NONLINEARITIES[name]


def rnn_step(act: Callable) -> Callable:
    """h' = act(W_ih x + b_ih + W_hh h + b_hh)."""

    def step(gates, state, w, b):
        h = act(gates + F.linear(state[0], w, b))
        return (h,)

    return step


def lstm_step(gates, state, w, b):
    """c' = s(f) c + s(i) tanh(g), h' = s(o) tanh(c')."""
    h, c = state
    i, f, g, o = equal_pieces(gates + F.linear(h, w, b), 4)
    c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
    return F.sigmoid(o) * F.tanh(c), c


def gru_step(gates, state, w, b):
    """r, z = s(...), n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = n + z (h - n)."""
    (h,) = state
    xr, xz, xn = equal_pieces(gates, 3)
    hr, hz, hn = equal_pieces(F.linear(h, w, b), 3)
    n = F.tanh(xn + F.sigmoid(xr + hr) * hn)
    return (n + F.sigmoid(xz + hz) * (h - n),)


def build_cell(self, gates: int, input_size: int, hidden_size: int, bias: bool, dtype, generator: Generator) -> None:
    """weight_ih, weight_hh, bias_ih, bias_hh, uniform in +-1 / sqrt(hidden_size)."""
    self.input_size, self.hidden_size = input_size, hidden_size
    rows, name = gates * hidden_size, type(self).__name__
    self.weight_ih = fan_in_uniform((rows, input_size), hidden_size, generator, dtype, name)
    self.weight_hh = fan_in_uniform((rows, hidden_size), hidden_size, generator, dtype, name)
    self.bias_ih = fan_in_uniform((rows,), hidden_size, generator, dtype, name) if bias else None
    self.bias_hh = fan_in_uniform((rows,), hidden_size, generator, dtype, name) if bias else None


def cell_step(self, step: Callable, x, state: tuple | None, parts: int) -> tuple:
    """One step from a state, zeros where it is None; x (N, input_size) or (input_size,)."""
    gates = F.linear(x, self.weight_ih, self.bias_ih)
    if state is None:
        zero = gates[..., : self.hidden_size].detach() * 0.0
        state = (zero,) * parts
    return step(gates, state, self.weight_hh, self.bias_hh)


class RNNCell(Module):
    """h' = act(W_ih x + b_ih + W_hh h + b_hh): x (N, input_size), h (N, hidden_size), 0 where not given."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype=float32,
        *,
        generator: Generator,
    ):
        self.nonlinearity = nonlinearity
        nonlinearity_of(nonlinearity, "RNNCell")
        build_cell(self, 1, input_size, hidden_size, bias, dtype, generator)

    def forward(self, x, h=None) -> Tensor:
        step = rnn_step(NONLINEARITIES[self.nonlinearity])
        return cell_step(self, step, x, None if h is None else (h,), 1)[0]


class LSTMCell(Module):
    """One step of an LSTM, (x, (h, c)) -> (h', c'); the state is 0 where not given.

    Source: Hochreiter and Schmidhuber, Long short-term memory, 1997, with the forget gate of Gers et al., 2000.
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype=float32, *, generator: Generator):
        build_cell(self, 4, input_size, hidden_size, bias, dtype, generator)

    def forward(self, x, state=None) -> tuple[Tensor, Tensor]:
        h, c = cell_step(self, lstm_step, x, state, 2)
        return h, c


class GRUCell(Module):
    """One step of a gated recurrent unit, (x, h) -> h'; h is 0 where not given. Source: Cho et al., 2014."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype=float32, *, generator: Generator):
        build_cell(self, 3, input_size, hidden_size, bias, dtype, generator)

    def forward(self, x, h=None) -> Tensor:
        return cell_step(self, gru_step, x, None if h is None else (h,), 1)[0]


class RNN(Module):
    """RNNCell over x (T, N, input_size): (output (T, N, D hidden_size), h_n (D num_layers, N, hidden_size)).

    batch_first: x and output are (N, T, ...); x (T, input_size) without a batch works too. D is 2 with bidirectional,
    else 1. dropout: between layers in training. hx: the first state, shaped as h_n; 0 where None. Parameters start
    uniform in +-1 / sqrt(hidden_size).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype=float32,
        *,
        generator: Generator,
    ):
        self.nonlinearity = nonlinearity
        nonlinearity_of(nonlinearity, "RNN")
        how = (bias, batch_first, dropout, bidirectional, dtype, generator)
        build(self, 1, input_size, hidden_size, num_layers, *how)

    def forward(self, x, hx=None) -> tuple[Tensor, Tensor]:
        step = rnn_step(NONLINEARITIES[self.nonlinearity])
        out, (h,) = run(self, step, x, None if hx is None else (hx,), 1)
        return out, h


class LSTM(Module):
    """LSTMCell over x (T, N, input_size): (output, (h_n, c_n)); shapes and arguments as RNN's.

    hx: (h_0, c_0).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype=float32,
        *,
        generator: Generator,
    ):
        how = (bias, batch_first, dropout, bidirectional, dtype, generator)
        build(self, 4, input_size, hidden_size, num_layers, *how)

    def forward(self, x, hx=None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        out, (h, c) = run(self, lstm_step, x, hx, 2)
        return out, (h, c)


class GRU(Module):
    """GRUCell over x (T, N, input_size): (output, h_n); shapes and arguments as RNN's."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype=float32,
        *,
        generator: Generator,
    ):
        how = (bias, batch_first, dropout, bidirectional, dtype, generator)
        build(self, 3, input_size, hidden_size, num_layers, *how)

    def forward(self, x, hx=None) -> tuple[Tensor, Tensor]:
        out, (h,) = run(self, gru_step, x, None if hx is None else (hx,), 1)
        return out, h
