"""NumPy twins of the elementwise micro-operations in dl/csrc/micro_table.h, by name: same dtypes and edge cases."""

from functools import wraps

import numpy as np

SMALLEST = np.iinfo(np.int64).min


def widened(f):
    """f in float64 on float32 operands too: where a formula loses digits, its result in float32 shall not show it."""

    @wraps(f)
    def twin(x):
        return f(x.astype(np.float64)).astype(np.float32) if x.dtype == np.float32 else f(x)

    return twin


def erf(x):
    import scipy.special

    return scipy.special.erf(x)


def erfc(x):
    import scipy.special

    return scipy.special.erfc(x)


@widened
def sigmoid(x):
    """1 / (1 + e^-x)."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


@widened
def softplus(x):
    """log(1 + e^x)."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


@widened
def silu(x):
    """x sigmoid(x); 0 at minus infinity."""
    return np.maximum(x, -1000.0) * sigmoid(x)


@widened
def silu_grad(x):
    x = np.clip(x, -1000.0, 1000.0)
    return sigmoid(x) * (1.0 + x * sigmoid(-x))


def _tanh_softplus(x):
    """tanh(log(1 + e^x)) and its derivative."""
    w = np.exp(np.minimum(x, 40.0))
    n = w * (w + 2.0)
    return n / (n + 2.0), 4.0 * w / (n + 2.0) * ((1.0 + w) / (n + 2.0))


@widened
def mish(x):
    """x tanh(log(1 + e^x)) (Misra, 2019); 0 at minus infinity."""
    return np.maximum(x, -1000.0) * _tanh_softplus(x)[0]


@widened
def mish_grad(x):
    t, slope = _tanh_softplus(x)
    return t + np.clip(x, -1000.0, 40.0) * slope


def _normal(x):
    """The distribution function and the density of the standard normal distribution."""
    return 0.5 * erfc(-x * np.sqrt(0.5)), np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)


@widened
def gelu(x):
    """x Phi(x) (Hendrycks and Gimpel, 2016); 0 at minus infinity."""
    return np.maximum(x, -1000.0) * _normal(x)[0]


@widened
def gelu_grad(x):
    x = np.clip(x, -1000.0, 1000.0)
    distribution, density = _normal(x)
    return distribution + x * density


def _gelu_tanh_slope(x):
    """v and v', where gelu_tanh(x) = x sigmoid(v)."""
    c = np.sqrt(8.0 / np.pi)
    return c * (x + 0.044715 * x * x * x), c * (1.0 + 3.0 * 0.044715 * x * x)


@widened
def gelu_tanh(x):
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""
    x = np.maximum(x, -1000.0)
    return x * sigmoid(_gelu_tanh_slope(x)[0])


@widened
def gelu_tanh_grad(x):
    x = np.clip(x, -1000.0, 1000.0)
    v, slope = _gelu_tanh_slope(x)
    return sigmoid(v) * (1.0 + x * sigmoid(-v) * slope)


def power(x, y):
    """x^y; an integer to a negative power is its value rounded toward zero (0 for base 0)."""
    if x.dtype.kind != "i":
        return np.power(x, y)
    inverse = np.where(x == 1, 1, np.where(x == -1, 1 - 2 * (y & 1), 0))
    return np.where(y < 0, inverse, np.power(x, np.maximum(y, 0)))


def to_i64(x):
    """Toward zero; NaN and what int64 does not hold become its smallest number."""
    if x.dtype.kind != "f":
        return x.astype(np.int64)
    inside = (x >= -(2.0**63)) & (x < 2.0**63)
    return np.where(inside, np.where(inside, x, 0.0).astype(np.int64), SMALLEST)


def _cast(dtype):
    return lambda x: x.astype(dtype)


UNARY = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "square": np.square,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": np.reciprocal,
    "exp": np.exp,
    "expm1": np.expm1,
    "exp2": np.exp2,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "sigmoid": sigmoid,
    "erf": erf,
    "erfc": erfc,
    "relu": lambda x: np.maximum(x, 0),
    "softplus": softplus,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "mish": mish,
    "gelu_grad": gelu_grad,
    "gelu_tanh_grad": gelu_tanh_grad,
    "silu_grad": silu_grad,
    "mish_grad": mish_grad,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
    "logical_not": np.logical_not,
    "isfinite": np.isfinite,
    "isnan": np.isnan,
    "to_f32": _cast(np.float32),
    "to_f64": _cast(np.float64),
    "to_i64": to_i64,
    "to_bool": _cast(np.bool_),
}

BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
    "fmod": np.fmod,
    "pow": power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "atan2": np.arctan2,
    "hypot": np.hypot,
    "copysign": np.copysign,
    "tanh_backward": lambda g, y: g * (1 - y * y),
    "sigmoid_backward": lambda g, y: g * (y * (1 - y)),
    "relu_backward": lambda g, y: np.where(y > 0, g, g.dtype.type(0)),
    "squared_difference": lambda x, y: (x - y) * (x - y),
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}

TERNARY = {
    "where": np.where,
    "clip": lambda x, lo, hi: np.minimum(np.maximum(x, lo), hi),
    "mse_backward": lambda g, x, y: g * ((x - y) + (x - y)),
}

TWINS = UNARY | BINARY | TERNARY
