"""Activations as modules: functions of dl.functional with their arguments."""

import numpy as np

from dl import functional as F
from dl.nn.init import constant_
from dl.nn.module import Module, Parameter
from dl.tensor import Tensor, float32


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x) -> Tensor:
        return F.relu(x)


class ReLU6(Module):
    """min(max(x, 0), 6)."""

    def forward(self, x) -> Tensor:
        return F.relu6(x)


class LeakyReLU(Module):
    """x where x > 0, else slope x."""

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = negative_slope

    def forward(self, x) -> Tensor:
        return F.leaky_relu(x, self.negative_slope)


class PReLU(Module):
    """leaky_relu with a learned slope, or one for each of num_parameters channels of x (N, C, ...)."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype=float32):
        self.weight = constant_(Parameter(np.empty(num_parameters, dtype)), init)

    def forward(self, x) -> Tensor:
        return F.prelu(x, self.weight)


class ELU(Module):
    """x where x > 0, else alpha (e^x - 1)."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def forward(self, x) -> Tensor:
        return F.elu(x, self.alpha)


class CELU(Module):
    """x where x > 0, else alpha (e^(x / alpha) - 1)."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def forward(self, x) -> Tensor:
        return F.celu(x, self.alpha)


class SELU(Module):
    """elu with the constants that keep mean 0 and variance 1."""

    def forward(self, x) -> Tensor:
        return F.selu(x)


class GELU(Module):
    """x Phi(x); approximate="tanh" for its approximation."""

    def __init__(self, approximate: str = "none"):
        self.approximate = approximate

    def forward(self, x) -> Tensor:
        return F.gelu(x, self.approximate)


class SiLU(Module):
    """x sigmoid(x)."""

    def forward(self, x) -> Tensor:
        return F.silu(x)


class Mish(Module):
    """x tanh(softplus(x))."""

    def forward(self, x) -> Tensor:
        return F.mish(x)


class Softplus(Module):
    """log(1 + e^(beta x)) / beta."""

    def __init__(self, beta: float = 1.0):
        self.beta = beta

    def forward(self, x) -> Tensor:
        return F.softplus(x, self.beta)


class Tanh(Module):
    """tanh(x)."""

    def forward(self, x) -> Tensor:
        return F.tanh(x)


class Sigmoid(Module):
    """1 / (1 + e^-x)."""

    def forward(self, x) -> Tensor:
        return F.sigmoid(x)


class LogSigmoid(Module):
    """log sigmoid(x)."""

    def forward(self, x) -> Tensor:
        return F.logsigmoid(x)


class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, x) -> Tensor:
        return F.softsign(x)


class Tanhshrink(Module):
    """x - tanh(x)."""

    def forward(self, x) -> Tensor:
        return F.tanhshrink(x)


class Hardtanh(Module):
    """x between the bounds, else the nearer one."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0):
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x) -> Tensor:
        return F.hardtanh(x, self.min_val, self.max_val)


class Hardsigmoid(Module):
    """x / 6 + 1 / 2 between 0 and 1."""

    def forward(self, x) -> Tensor:
        return F.hardsigmoid(x)


class Hardswish(Module):
    """x hardsigmoid(x)."""

    def forward(self, x) -> Tensor:
        return F.hardswish(x)


class GLU(Module):
    """a sigmoid(b) with a and b the halves of x along dim."""

    def __init__(self, dim: int = -1):
        self.dim = dim

    def forward(self, x) -> Tensor:
        return F.glu(x, self.dim)


class Softmax(Module):
    """e^x_i / sum_j e^x_j along dim."""

    def __init__(self, dim: int):
        self.dim = dim

    def forward(self, x) -> Tensor:
        return F.softmax(x, self.dim)


class LogSoftmax(Module):
    """x_i - log sum_j e^x_j along dim."""

    def __init__(self, dim: int):
        self.dim = dim

    def forward(self, x) -> Tensor:
        return F.log_softmax(x, self.dim)
