"""One case per way to call a row of dl's table: the function on tensors, its oracle on arrays, and its inputs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.special as sp

import dl
from dl.ops import TABLE, special
from dl.ops.base import floats
from dl.tape import alias, apply
from dl.tensor import Tensor

FLOATS = (np.float32, np.float64)


@dataclass(frozen=True)
class Case:
    """f(*tensors) and oracle(*arrays) on inputs of these shapes, drawn from (low, high).

    row: the row of the table that f must run. kinds: per input "f" (float), "i" (int64), "b" (bool), or a fixed array.
    order: derivatives to check, 0 to 2. tol: relative tolerance in units of the dtype's eps.
    """

    row: str
    f: Callable
    oracle: Callable
    shapes: tuple
    low: float = -2.0
    high: float = 2.0
    kinds: tuple | str = "f"
    order: int = 2
    tol: float = 16.0

    def arrays(self, rng, dtype) -> list[np.ndarray]:
        kinds = self.kinds if isinstance(self.kinds, tuple) else (self.kinds,) * len(self.shapes)
        return [self.draw(rng, kind, shape, dtype) for kind, shape in zip(kinds, self.shapes, strict=True)]

    def draw(self, rng, kind, shape, dtype) -> np.ndarray:
        if isinstance(kind, np.ndarray):
            return kind
        if kind == "i":
            return rng.integers(-4, 5, shape)
        if kind == "b":
            return rng.random(shape) < 0.5
        return np.asarray(rng.uniform(self.low, self.high, shape)).astype(dtype)


def row(name: str, **attrs) -> Callable:
    """The row itself as a function of tensors."""
    return lambda *inputs: apply(TABLE[name], inputs, attrs)


def paired(name: str) -> Callable:
    """The row of a function of two tensors, which are promoted to one dtype first."""
    return lambda x, y: apply(TABLE[name], floats(x, y))


def normal_density(x):
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def gelu_tanh(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_tanh_grad(x):
    c = np.sqrt(2 / np.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))
    return (1 + t) / 2 + x / 2 * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)


def mish_grad(x):
    t, s = np.tanh(np.log1p(np.exp(x))), sp.expit(x)
    return t + x * s * (1 - t * t)


UNARY_SHAPES = ((), (5,), (0,), (3, 1, 7), (2, 0, 3))
UNARY = [  # row, function, oracle, domain, order
    ("neg", dl.neg, np.negative, -2, 2, 2),
    ("square", dl.square, np.square, -2, 2, 2),
    ("abs", dl.abs, np.abs, -2, 2, 2),
    ("sqrt", dl.sqrt, np.sqrt, 0.1, 3, 2),
    ("rsqrt", dl.rsqrt, lambda x: x**-0.5, 0.1, 3, 2),
    ("reciprocal", dl.reciprocal, lambda x: 1 / x, 0.2, 3, 2),
    ("relu", dl.relu, lambda x: np.maximum(x, 0), -2, 2, 2),
    ("sign", dl.sign, np.sign, -2, 2, 0),
    ("floor", dl.floor, np.floor, -9, 9, 0),
    ("ceil", dl.ceil, np.ceil, -9, 9, 0),
    ("trunc", dl.trunc, np.trunc, -9, 9, 0),
    ("round", dl.round, np.round, -9, 9, 0),
    ("exp", dl.exp, np.exp, -5, 5, 2),
    ("exp2", dl.exp2, np.exp2, -5, 5, 2),
    ("expm1", dl.expm1, np.expm1, -3, 3, 2),
    ("log", dl.log, np.log, 0.1, 9, 2),
    ("log2", dl.log2, np.log2, 0.1, 9, 2),
    ("log10", dl.log10, np.log10, 0.1, 9, 2),
    ("log1p", dl.log1p, np.log1p, -0.8, 5, 2),
    ("sin", dl.sin, np.sin, -9, 9, 2),
    ("cos", dl.cos, np.cos, -9, 9, 2),
    ("tan", dl.tan, np.tan, -1.3, 1.3, 2),
    ("asin", dl.asin, np.arcsin, -0.9, 0.9, 2),
    ("acos", dl.acos, np.arccos, -0.9, 0.9, 2),
    ("atan", dl.atan, np.arctan, -5, 5, 2),
    ("sinh", dl.sinh, np.sinh, -3, 3, 2),
    ("cosh", dl.cosh, np.cosh, -3, 3, 2),
    ("tanh", dl.tanh, np.tanh, -3, 3, 2),
    ("asinh", dl.asinh, np.arcsinh, -5, 5, 2),
    ("acosh", dl.acosh, np.arccosh, 1.1, 5, 2),
    ("atanh", dl.atanh, np.arctanh, -0.9, 0.9, 2),
    ("erf", dl.erf, sp.erf, -3, 3, 2),
    ("erfc", dl.erfc, sp.erfc, -3, 3, 2),
    ("erfinv", dl.erfinv, sp.erfinv, -0.9, 0.9, 2),
    ("lgamma", dl.lgamma, sp.gammaln, 0.3, 6, 2),
    ("digamma", dl.digamma, sp.digamma, 0.3, 6, 2),
    ("polygamma", lambda x: dl.polygamma(2, x), lambda x: sp.polygamma(2, x), 0.5, 6, 2),
    ("sigmoid", dl.sigmoid, sp.expit, -9, 9, 2),
    ("softplus", special.softplus, lambda x: np.logaddexp(0, x), -9, 9, 2),
    ("gelu", special.gelu, lambda x: x * sp.ndtr(x), -4, 4, 2),
    ("gelu_grad", row("gelu_grad"), lambda x: sp.ndtr(x) + x * normal_density(x), -4, 4, 2),
    ("gelu_tanh", lambda x: special.gelu(x, "tanh"), gelu_tanh, -4, 4, 2),
    ("gelu_tanh_grad", row("gelu_tanh_grad"), gelu_tanh_grad, -4, 4, 2),
    ("silu", special.silu, lambda x: x * sp.expit(x), -6, 6, 2),
    ("silu_grad", row("silu_grad"), lambda x: sp.expit(x) * (1 + x * sp.expit(-x)), -6, 6, 2),
    ("mish", special.mish, lambda x: x * np.tanh(np.logaddexp(0, x)), -6, 6, 2),
    ("mish_grad", row("mish_grad"), mish_grad, -6, 6, 2),
    ("isnan", dl.isnan, np.isnan, -2, 2, 0),
    ("eq", dl.isinf, np.isinf, -2, 2, 0),
    ("isfinite", dl.isfinite, np.isfinite, -2, 2, 0),
    ("logical_not", dl.logical_not, np.logical_not, -2, 2, 0),
    ("clone", dl.clone, np.copy, -2, 2, 2),
    ("alias", alias, np.copy, -2, 2, 2),
    ("detach", lambda x: x.detach(), np.copy, -2, 2, 0),
    ("to_f32", lambda x: x.float(), lambda x: x.astype(np.float32), -2, 2, 0),
    ("to_f64", lambda x: x.float().double(), lambda x: x.astype(np.float32).astype(np.float64), -2, 2, 0),
    ("to_i64", lambda x: x.long(), lambda x: x.astype(np.int64), -9, 9, 0),
    ("to_bool", lambda x: x.bool(), lambda x: x.astype(bool), -2, 2, 0),
    # composed of other rows
    ("softplus", lambda x: special.softplus(x, 2.0), lambda x: np.logaddexp(0, 2 * x) / 2, -9, 9, 2),
    ("softplus", special.log_sigmoid, sp.log_expit, -9, 9, 2),
    ("where", special.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x), -2, 2, 2),
    ("where", special.elu, lambda x: np.where(x > 0, x, np.expm1(x)), -2, 2, 2),
    ("div", special.softsign, lambda x: x / (1 + np.abs(x)), -2, 2, 2),
    ("where", dl.sinc, np.sinc, -2, 2, 2),
    ("clip", lambda x: dl.clamp(x, -1, 0.5), lambda x: np.clip(x, -1, 0.5), -2, 2, 2),
    ("clip", lambda x: dl.clamp(x, max=0.5), lambda x: np.minimum(x, 0.5), -2, 2, 2),
    ("pow", lambda x: x**3, lambda x: x**3, -2, 2, 2),
    ("pow", lambda x: x**2.5, lambda x: x**2.5, 0.1, 2, 2),
    ("pow", lambda x: 2.5**x, lambda x: 2.5**x, -2, 2, 2),
    ("where", dl.nan_to_num, np.nan_to_num, -2, 2, 2),
    ("trunc", dl.frac, lambda x: x - np.trunc(x), -9, 9, 1),
]  # fmt: skip

PAIRS = (((3, 4), (3, 4)), ((3, 1), (4,)), ((), (2, 3)), ((5,), ()), ((0, 3), (1, 3)), ((2, 1, 3), (4, 1)))
BINARY = [  # row, function, oracle, domain of both, order
    ("add", dl.add, np.add, -2, 2, 2),
    ("sub", dl.sub, np.subtract, -2, 2, 2),
    ("mul", dl.mul, np.multiply, -2, 2, 2),
    ("div", dl.div, np.divide, 0.3, 2, 2),
    ("pow", dl.pow, np.power, 0.3, 2, 2),
    ("maximum", dl.maximum, np.maximum, -2, 2, 2),
    ("minimum", dl.minimum, np.minimum, -2, 2, 2),
    ("remainder", dl.remainder, np.remainder, 0.3, 5, 2),
    ("floor_divide", dl.floor_divide, np.floor_divide, 0.3, 5, 0),
    ("atan2", dl.atan2, np.arctan2, -2, 2, 2),
    ("hypot", dl.hypot, np.hypot, -2, 2, 2),
    ("logaddexp", dl.logaddexp, np.logaddexp, -2, 2, 2),
    ("tanh_backward", paired("tanh_backward"), lambda g, y: g * (1 - y * y), -2, 2, 2),
    ("sigmoid_backward", paired("sigmoid_backward"), lambda g, y: g * y * (1 - y), -2, 2, 2),
    ("relu_backward", paired("relu_backward"), lambda g, y: np.where(y > 0, g, 0), -2, 2, 2),
    ("eq", dl.eq, np.equal, -2, 2, 0),
    ("ne", dl.ne, np.not_equal, -2, 2, 0),
    ("lt", dl.lt, np.less, -2, 2, 0),
    ("le", dl.le, np.less_equal, -2, 2, 0),
    ("gt", dl.gt, np.greater, -2, 2, 0),
    ("ge", dl.ge, np.greater_equal, -2, 2, 0),
    ("logical_and", dl.logical_and, np.logical_and, -2, 2, 0),
    ("logical_or", dl.logical_or, np.logical_or, -2, 2, 0),
    ("logical_xor", dl.logical_xor, np.logical_xor, -2, 2, 0),
    ("where", dl.xlogy, sp.xlogy, 0.1, 2, 2),
    ("le", dl.isclose, np.isclose, -2, 2, 0),
]
INTEGERS = [
    ("add", dl.add, np.add), ("sub", dl.sub, np.subtract), ("mul", dl.mul, np.multiply), ("div", dl.div, np.divide),
    ("maximum", dl.maximum, np.maximum), ("minimum", dl.minimum, np.minimum), ("eq", dl.eq, np.equal),
    ("lt", dl.lt, np.less), ("bitwise_and", dl.bitwise_and, np.bitwise_and), ("ge", dl.ge, np.greater_equal),
    ("bitwise_or", dl.bitwise_or, np.bitwise_or), ("bitwise_xor", dl.bitwise_xor, np.bitwise_xor),
]  # fmt: skip
INTEGER_UNARY = [
    ("neg", dl.neg, np.negative), ("abs", dl.abs, np.abs), ("sign", dl.sign, np.sign), ("square", dl.square, np.square),
    ("bitwise_not", dl.bitwise_not, np.invert), ("maximum", dl.relu, lambda x: np.maximum(x, 0)),
    ("to_f32", lambda x: x.float(), lambda x: x.astype(np.float32)), ("exp", dl.exp, np.exp),
]  # fmt: skip


def elementwise_cases() -> list[Case]:
    cases = [Case(r, f, o, (s,), a, b, order=k) for r, f, o, a, b, k in UNARY for s in UNARY_SHAPES]
    cases += [Case(r, f, o, pair, a, b, order=k) for r, f, o, a, b, k in BINARY for pair in PAIRS]
    cases += [Case(r, f, o, pair, kinds="i", order=0) for r, f, o in INTEGERS for pair in PAIRS[:3]]
    cases += [Case(r, f, o, (s,), kinds="i", order=0) for r, f, o in INTEGER_UNARY for s in UNARY_SHAPES]
    choices = (((3, 1), (3, 4), (3, 4)), ((2, 1), (), (2, 3)), ((4,), (1,), ()), ((0, 3), (3,), (0, 3)))
    cases += [Case("where", dl.where, np.where, three, kinds=("b", "f", "f")) for three in choices]
    cases += [Case("clip", dl.clamp, np.clip, three) for three in choices]
    return cases


def tensors(arrays) -> list[Tensor]:
    return [dl.from_numpy(a) for a in arrays]
