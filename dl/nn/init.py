"""First values for parameters, in place; each function returns its tensor. Random ones take a dl.Generator.

fan_in and fan_out of a weight (out, in, *kernel) are in and out times the size of the kernel.
"""

from math import erf, prod, sqrt

import numpy as np

from dl.nn.state import write
from dl.random import Generator, require
from dl.tensor import Tensor

GAINS = {"linear": 1.0, "conv": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": sqrt(2), "selu": 0.75}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity; param: the slope of "leaky_relu" (0.01).

    Raises ValueError for others than linear, conv, sigmoid, tanh, relu, selu and leaky_relu.
    """
    if nonlinearity == "leaky_relu":
        return sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in GAINS:
        raise ValueError(f"calculate_gain: {nonlinearity!r}; there are {', '.join([*GAINS, 'leaky_relu'])}")
    return GAINS[nonlinearity]


def fans(tensor: Tensor, name: str) -> tuple[int, int]:
    """fan_in and fan_out; ValueError below two dimensions."""
    if tensor.ndim < 2:
        raise ValueError(f"{name}: wanted a weight (out, in, ...), got shape {list(tensor.shape)}")
    kernel = prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def constant_(tensor: Tensor, val: float) -> Tensor:
    """All values val."""
    write(tensor, val)
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """All values 0."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """All values 1."""
    return constant_(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """1 on the diagonal of a matrix, else 0."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: wanted a matrix, got shape {list(tensor.shape)}")
    write(tensor, np.eye(*tensor.shape))
    return tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator) -> Tensor:
    """Uniform in [a, b)."""
    u = require(generator, "uniform_").numpy.random(tensor.shape)
    write(tensor, a + (b - a) * u)
    return tensor


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator) -> Tensor:
    """Gaussian."""
    write(tensor, mean + std * require(generator, "normal_").numpy.standard_normal(tensor.shape))
    return tensor


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, *, generator: Generator
) -> Tensor:
    """Gaussian, drawn again where it is outside [a, b]: by the inverse of the distribution function."""
    from scipy.special import erfinv

    low, high = (erf((bound - mean) / (std * sqrt(2))) for bound in (a, b))
    u = low + (high - low) * require(generator, "trunc_normal_").numpy.random(tensor.shape)
    write(tensor, np.clip(mean + std * sqrt(2) * erfinv(u), a, b))
    return tensor


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, *, generator: Generator) -> Tensor:
    """Uniform with variance gain^2 2 / (fan_in + fan_out). Source: Glorot and Bengio, 2010, equation 16."""
    bound = gain * sqrt(6 / sum(fans(tensor, "xavier_uniform_")))
    return uniform_(tensor, -bound, bound, generator=generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, *, generator: Generator) -> Tensor:
    """Gaussian with variance gain^2 2 / (fan_in + fan_out). Source: Glorot and Bengio, 2010."""
    std = gain * sqrt(2 / sum(fans(tensor, "xavier_normal_")))
    return normal_(tensor, 0.0, std, generator=generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str, name: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode must be fan_in or fan_out, got {mode!r}")
    return calculate_gain(nonlinearity, a) / sqrt(max(fans(tensor, name)[mode == "fan_out"], 1))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", *, generator: Generator
) -> Tensor:
    """Uniform with variance gain^2 / fan; a: the slope of leaky_relu. Source: He et al., 2015, equations 10 and 14."""
    bound = sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return uniform_(tensor, -bound, bound, generator=generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", *, generator: Generator
) -> Tensor:
    """Gaussian with variance gain^2 / fan; a: the slope of leaky_relu. Source: He et al., 2015."""
    std = _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_normal_")
    return normal_(tensor, 0.0, std, generator=generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, *, generator: Generator) -> Tensor:
    """gain times a random matrix (out, in ...) with orthonormal rows or columns, whichever are fewer.

    Source: Saxe, McClelland and Ganguli, 2013; the signs of R make the distribution uniform (Mezzadri, 2007).
    """
    fans(tensor, "orthogonal_")
    rows, columns = tensor.shape[0], prod(tensor.shape[1:])
    z = require(generator, "orthogonal_").numpy.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(z)
    q = q * np.sign(np.diagonal(r))
    write(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))
    return tensor


def fan_in_uniform(shape: tuple[int, ...], fan_in: int, generator: Generator, dtype, where: str) -> Tensor:
    """A new parameter, uniform in +-1 / sqrt(fan_in): what PyTorch's layers start from."""
    from dl.nn.module import Parameter

    require(generator, where)
    bound = 1 / sqrt(max(fan_in, 1))
    return uniform_(Parameter(np.empty(shape, dtype)), -bound, bound, generator=generator)
