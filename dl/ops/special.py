"""Exponentials, trigonometry, error functions and the activations of networks."""

import math

import numpy as np

from dl.kernel import in_c
from dl.ops.base import as_tensor, binary, floating, floats, unary
from dl.ops.elementwise import abs, rsqrt, square, where
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor

LN2, LN10 = math.log(2.0), math.log(10.0)
TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)
SQRT_2_OVER_PI, CUBIC = math.sqrt(2.0 / math.pi), 0.044715  # gelu, tanh form


def gelu_curvature(x: Tensor) -> Tensor:
    """gelu'' = phi(x) (2 - x^2), phi the normal density."""
    return exp(square(x) * -0.5) * (2.0 - square(x)) * (1.0 / math.sqrt(2.0 * math.pi))


def gelu_tanh_curvature(x: Tensor) -> Tensor:
    """Second derivative of x (1 + t)/2 with t = tanh(c (x + a x^3)): t' + x t''/2."""
    t = tanh(SQRT_2_OVER_PI * (x + CUBIC * x * square(x)))
    slope = SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * square(x))
    rest = 1.0 - square(t)
    return rest * (slope + x * (3.0 * SQRT_2_OVER_PI * CUBIC * x - t * square(slope)))


def silu_curvature(x: Tensor) -> Tensor:
    """silu'' = s (1 - s) (2 + x (1 - 2 s)), s = sigmoid(x)."""
    s = sigmoid(x)
    return s * (1.0 - s) * (2.0 + x * (1.0 - 2.0 * s))


def mish_curvature(x: Tensor) -> Tensor:
    """mish'' = s (1 - t^2) (2 + x (1 - s - 2 t s)), s = sigmoid(x), t = tanh(softplus(x))."""
    s, t = sigmoid(x), tanh(softplus(x))
    return s * (1.0 - square(t)) * (2.0 + x * (1.0 - s - 2.0 * t * s))


EXP = unary("exp", lambda g, out, x: g * out, saves=("out",))
EXP2 = unary("exp2", lambda g, out, x: g * (out * LN2), saves=("out",))
EXPM1 = unary("expm1", lambda g, out, x: g * (out + 1.0), saves=("out",))
LOG = unary("log", lambda g, out, x: g / x, saves=(0,))
LOG2 = unary("log2", lambda g, out, x: g / (x * LN2), saves=(0,))
LOG10 = unary("log10", lambda g, out, x: g / (x * LN10), saves=(0,))
LOG1P = unary("log1p", lambda g, out, x: g / (x + 1.0), saves=(0,))
SIN = unary("sin", lambda g, out, x: g * cos(x), saves=(0,))
COS = unary("cos", lambda g, out, x: -(g * sin(x)), saves=(0,))
TAN = unary("tan", lambda g, out, x: g * (1.0 + square(out)), saves=("out",))
ASIN = unary("asin", lambda g, out, x: g * rsqrt((1.0 - x) * (1.0 + x)), saves=(0,))
ACOS = unary("acos", lambda g, out, x: -(g * rsqrt((1.0 - x) * (1.0 + x))), saves=(0,))
ATAN = unary("atan", lambda g, out, x: g / (1.0 + square(x)), saves=(0,))
SINH = unary("sinh", lambda g, out, x: g * cosh(x), saves=(0,))
COSH = unary("cosh", lambda g, out, x: g * sinh(x), saves=(0,))
TANH = unary("tanh", lambda g, out, x: apply(TANH_BACKWARD, (g, out)), saves=("out",), quiet=in_c("tanh_backward"))
ASINH = unary("asinh", lambda g, out, x: g * rsqrt(1.0 + square(x)), saves=(0,))
ACOSH = unary("acosh", lambda g, out, x: g * rsqrt((x - 1.0) * (x + 1.0)), saves=(0,))
ATANH = unary("atanh", lambda g, out, x: g / ((1.0 - x) * (1.0 + x)), saves=(0,))
ERF = unary("erf", lambda g, out, x: g * (exp(-square(x)) * TWO_OVER_SQRT_PI), saves=(0,))
ERFC = unary("erfc", lambda g, out, x: g * (exp(-square(x)) * -TWO_OVER_SQRT_PI), saves=(0,))
SIGMOID = unary(
    "sigmoid",
    lambda g, out, x: apply(SIGMOID_BACKWARD, (g, out)),
    saves=("out",),
    quiet=in_c("sigmoid_backward"),
)
SOFTPLUS = unary("softplus", lambda g, out, x: g * sigmoid(x), saves=(0,))
GELU = unary("gelu", lambda g, out, x: g * apply(GELU_GRAD, (x,)), saves=(0,))
GELU_TANH = unary("gelu_tanh", lambda g, out, x: g * apply(GELU_TANH_GRAD, (x,)), saves=(0,))
SILU = unary("silu", lambda g, out, x: g * apply(SILU_GRAD, (x,)), saves=(0,))
MISH = unary("mish", lambda g, out, x: g * apply(MISH_GRAD, (x,)), saves=(0,))
GELU_GRAD = unary("gelu_grad", lambda g, out, x: g * gelu_curvature(x), saves=(0,))
GELU_TANH_GRAD = unary("gelu_tanh_grad", lambda g, out, x: g * gelu_tanh_curvature(x), saves=(0,))
SILU_GRAD = unary("silu_grad", lambda g, out, x: g * silu_curvature(x), saves=(0,))
MISH_GRAD = unary("mish_grad", lambda g, out, x: g * mish_curvature(x), saves=(0,))
TANH_BACKWARD = binary(  # g (1 - y^2)
    "tanh_backward",
    lambda t, out, g, y: apply(TANH_BACKWARD, (t, y)),
    lambda t, out, g, y: t * (g * y) * -2.0,
    saves=(0, 1),
)
SIGMOID_BACKWARD = binary(  # g y (1 - y)
    "sigmoid_backward",
    lambda t, out, g, y: apply(SIGMOID_BACKWARD, (t, y)),
    lambda t, out, g, y: t * (g * (1.0 - (y + y))),
    saves=(0, 1),
)
ATAN2 = binary(
    "atan2",
    lambda g, out, y, x: g * (x / (square(x) + square(y))),
    lambda g, out, y, x: -(g * (y / (square(x) + square(y)))),
    saves=(0, 1),
)
HYPOT = binary(
    "hypot",
    lambda g, out, x, y: g * (x / where(out == 0, 1.0, out)),
    lambda g, out, x, y: g * (y / where(out == 0, 1.0, out)),
    saves=(0, 1, "out"),
)
LOGADDEXP = binary(
    "logaddexp",
    lambda g, out, x, y: g * sigmoid(x - y),
    lambda g, out, x, y: g * sigmoid(y - x),
    saves=(0, 1),
    forward=np.logaddexp,
)


def scipy_function(name: str):
    """A function of scipy.special, imported at the first call, in the dtype of its argument."""

    def forward(x):
        import scipy.special

        return np.asarray(getattr(scipy.special, name)(x), x.dtype)

    return forward


def polygamma_forward(x, *, n):
    import scipy.special

    return np.asarray(scipy.special.polygamma(n, x), x.dtype)


def smooth(name: str, rule, saves) -> Primitive:
    forward = scipy_function({"lgamma": "gammaln"}.get(name, name))
    return Primitive(name, forward, vjp=(rule,), jvp=lambda ts, out, x: rule(ts[0], out, x), saves=saves, batch="ew")


LGAMMA = smooth("lgamma", lambda g, out, x: g * digamma(x), (0,))
DIGAMMA = smooth("digamma", lambda g, out, x: g * polygamma(1, x), (0,))
ERFINV = smooth("erfinv", lambda g, out, x: g * (exp(square(out)) * (1.0 / TWO_OVER_SQRT_PI)), ("out",))
POLYGAMMA = Primitive(
    "polygamma",
    polygamma_forward,
    vjp=(lambda g, out, x, *, n: g * polygamma(n + 1, x),),
    jvp=lambda ts, out, x, *, n: ts[0] * polygamma(n + 1, x),
    saves=(0,),
    batch="ew",
)
TABLE = {
    row.name: row
    for row in (
        EXP, EXP2, EXPM1, LOG, LOG2, LOG10, LOG1P, SIN, COS, TAN, ASIN, ACOS, ATAN, SINH, COSH, TANH, ASINH, ACOSH,
        ATANH, ERF, ERFC, SIGMOID, SOFTPLUS, GELU, GELU_TANH, SILU, MISH, GELU_GRAD, GELU_TANH_GRAD, SILU_GRAD,
        MISH_GRAD, TANH_BACKWARD, SIGMOID_BACKWARD, ATAN2, HYPOT, LOGADDEXP, LGAMMA, DIGAMMA, ERFINV,
        POLYGAMMA,
    )
}  # fmt: skip


def real(row: Primitive, doc: str):
    """The function of a row of real numbers; integers become float64."""

    def function(x) -> Tensor:
        return apply(row, (x if type(x) is Tensor and x.array.dtype.kind == "f" else floating(x),))

    function.__name__, function.__doc__ = row.name, doc
    return function


exp = real(EXP, "e^x.")
exp2 = real(EXP2, "2^x.")
expm1 = real(EXPM1, "e^x - 1, accurate near 0.")
log = real(LOG, "Natural logarithm; -inf at 0, NaN below.")
log2 = real(LOG2, "Logarithm to base 2.")
log10 = real(LOG10, "Logarithm to base 10.")
log1p = real(LOG1P, "log(1 + x), accurate near 0.")
sin = real(SIN, "Sine of x [rad].")
cos = real(COS, "Cosine of x [rad].")
tan = real(TAN, "Tangent of x [rad].")
asin = real(ASIN, "Inverse sine in [-pi/2, pi/2].")
acos = real(ACOS, "Inverse cosine in [0, pi].")
atan = real(ATAN, "Inverse tangent in [-pi/2, pi/2].")
sinh = real(SINH, "Hyperbolic sine.")
cosh = real(COSH, "Hyperbolic cosine.")
tanh = real(TANH, "Hyperbolic tangent.")
asinh = real(ASINH, "Inverse hyperbolic sine.")
acosh = real(ACOSH, "Inverse hyperbolic cosine, x >= 1.")
atanh = real(ATANH, "Inverse hyperbolic tangent, |x| <= 1.")
erf = real(ERF, "Error function 2/sqrt(pi) int_0^x exp(-t^2) dt.")
erfc = real(ERFC, "1 - erf(x), accurate for large x.")
erfinv = real(ERFINV, "The inverse of erf on (-1, 1); runs in SciPy.")
lgamma = real(LGAMMA, "log |gamma(x)|; runs in SciPy.")
digamma = real(DIGAMMA, "d/dx log gamma(x); runs in SciPy.")
sigmoid = real(SIGMOID, "1 / (1 + exp(-x)).")
silu = real(SILU, "x sigmoid(x). Source: Hendrycks and Gimpel, 2016.")
mish = real(MISH, "x tanh(softplus(x)). Source: Misra, Mish, 2019.")


def polygamma(n: int, x) -> Tensor:
    """The n-th derivative of digamma, n >= 0; runs in SciPy."""
    return apply(POLYGAMMA, (floating(x),), {"n": n})


def softplus(x, beta: float = 1.0) -> Tensor:
    """log(1 + exp(beta x)) / beta, without overflow."""
    x = floating(x)
    return apply(SOFTPLUS, (x,)) if beta == 1.0 else apply(SOFTPLUS, (x * beta,)) / beta


def gelu(x, approximate: str = "none") -> Tensor:
    """x Phi(x) with the normal distribution function Phi; approximate="tanh": x (1 + tanh(c (x + 0.044715 x^3))) / 2.

    c = sqrt(2/pi). Source: Hendrycks and Gimpel, Gaussian error linear units, 2016.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate={approximate!r}; there are 'none' and 'tanh'")
    return apply(GELU_TANH if approximate == "tanh" else GELU, (floating(x),))


def log_sigmoid(x) -> Tensor:
    """log(sigmoid(x)) = -softplus(-x)."""
    return -softplus(-floating(x))


def leaky_relu(x, negative_slope: float = 0.01) -> Tensor:
    """x for x > 0, else negative_slope x."""
    x = floating(x)
    return where(x > 0, x, x * negative_slope)


def elu(x, alpha: float = 1.0) -> Tensor:
    """x for x > 0, else alpha (exp(x) - 1)."""
    x = floating(x)
    return where(x > 0, x, alpha * expm1(where(x > 0, 0.0, x)))


def softsign(x) -> Tensor:
    """x / (1 + |x|)."""
    x = floating(x)
    return x / (1.0 + abs(x))


def atan2(y, x) -> Tensor:
    """The angle of (x, y) in [-pi, pi] [rad]; the gradient at the origin is NaN."""
    return apply(ATAN2, floats(y, x))


def hypot(x, y) -> Tensor:
    """sqrt(x^2 + y^2) without overflow; the gradient at the origin is 0."""
    return apply(HYPOT, floats(x, y))


def logaddexp(x, y) -> Tensor:
    """log(exp(x) + exp(y)) without overflow."""
    return apply(LOGADDEXP, floats(x, y))


def xlogy(x, y) -> Tensor:
    """x log(y), 0 where x = 0 (unless y is NaN)."""
    x, y = floats(x, y)
    zero = (x == 0) & ((y <= 0) | (y == float("inf")))  # elsewhere x log(y) is right by itself, and so is its gradient
    return where(zero, 0.0, x * log(where(zero, 1.0, y)))


def sinc(x) -> Tensor:
    """sin(pi x) / (pi x), 1 at 0; near 0 its Taylor series, so that the derivatives are right there too."""
    x = floating(x) * math.pi
    small = abs(x) < 0.01
    safe, x2 = where(small, 1.0, x), square(x)
    series = 1.0 - x2 * (1 / 6) * (1.0 - x2 * (1 / 20) * (1.0 - x2 * (1 / 42)))
    return where(small, series, sin(safe) / safe)


def nan_to_num(x, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """x with NaN and the infinities replaced (by the largest numbers of the dtype where None); no gradient there."""
    x = as_tensor(x)
    if x.dtype.kind != "f":
        return x
    largest = float(np.finfo(x.dtype).max)
    x = where(x == math.inf, largest if posinf is None else posinf, x)
    x = where(x == -math.inf, -largest if neginf is None else neginf, x)
    return where(x != x, nan, x)
