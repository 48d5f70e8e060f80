"""Elementary functions and activations in long double, written from their definitions: the oracles of the C kernels."""

import numpy as np

LONG = np.longdouble
PI = LONG("3.14159265358979323846264338327950288")
HALF, ONE, TWO = LONG("0.5"), LONG(1), LONG(2)


def gauss(x):
    """e^(-x^2), where the rounding of the square would show: x = a + b, x^2 = a^2 + b (x + a), a^2 exact."""
    a = x.astype(np.float32).astype(LONG)
    return np.exp(-a * a) * np.exp(-(x - a) * (x + a))


def erf_series(x):
    """2 / sqrt(pi) e^(-x^2) sum of 2^n x^(2n + 1) / (1 3 5 ... (2n + 1)); all terms of one sign."""
    total = term = x
    for n in range(1, 60):
        term = term * (2 * x * x / (2 * n + 1))
        total = total + term
    return 2 / np.sqrt(PI) * gauss(x) * total


def erfcx_fraction(x):
    """erfc(x) e^(x^2) for x >= 2: Laplace's continued fraction 1 / (x + 1/2 / (x + 1 / (x + 3/2 / ...))) / sqrt(pi)."""
    f = x
    for n in range(160, 0, -1):
        f = x + (n * HALF) / f
    return 1 / (np.sqrt(PI) * f)


def erf(x):
    a = np.clip(np.abs(x), 0, 30)
    small = erf_series(np.minimum(a, TWO))
    return np.copysign(np.where(a < 2, small, 1 - gauss(a) * erfcx_fraction(np.maximum(a, TWO))), x)


def upper(a, e):
    """erfc(a) for a >= 0, given e = e^(-a^2)."""
    return np.where(a < 2, 1 - erf_series(np.minimum(a, TWO)), e * erfcx_fraction(np.maximum(a, TWO)))


def erfc(x):
    a = np.clip(np.abs(x), 0, 120)
    tail = upper(a, gauss(a))
    return np.where(x < 0, 2 - tail, tail)


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, ONE) / (1 + e)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def half_gauss(x):
    """e^(-x^2 / 2)."""
    a = x.astype(np.float32).astype(LONG)
    return np.exp(-a * a / 2) * np.exp(-(x - a) * (x + a) / 2)


def normal(x):
    """The standard normal distribution function."""
    a = np.clip(np.abs(x), 0, 150)
    tail = upper(a / np.sqrt(TWO), half_gauss(a)) / 2
    return np.where(x < 0, tail, 1 - tail)


def held(f, low=-np.inf, high=np.inf):
    """f with its limit beyond low and high."""
    return lambda x: f(np.clip(x, LONG(low), LONG(high)))


def tanh_softplus(x):
    w = np.exp(np.minimum(x, LONG(60)))
    return w * (w + 2) / (w * (w + 2) + 2)


def mish_slope(x):
    w = np.exp(x)
    d = w * (w + 2) + 2
    return tanh_softplus(x) + 4 * x * w * (1 + w) / d / d


def cubic(x):
    return np.sqrt(8 / PI) * (x + LONG("0.044715") * x * x * x)


def cubic_slope(x):
    return np.sqrt(8 / PI) * (1 + 3 * LONG("0.044715") * x * x)


FUNCTIONS = {
    **{f: getattr(np, f) for f in ("exp", "expm1", "exp2", "log", "log1p", "log2", "log10", "sin", "cos", "tan")},
    **{f: getattr(np, f) for f in ("sinh", "cosh", "tanh")},
    **{"a" + f: getattr(np, "arc" + f) for f in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "erf": erf,
    "erfc": erfc,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "silu": held(lambda x: x * sigmoid(x), low=-12000),
    "silu_grad": held(lambda x: sigmoid(x) * (1 + x * sigmoid(-x)), -12000, 12000),
    "mish": held(lambda x: x * tanh_softplus(x), low=-12000),
    "mish_grad": held(mish_slope, -12000, 60),
    "gelu": held(lambda x: x * normal(x), low=-150),
    "gelu_grad": held(lambda x: normal(x) + x * half_gauss(x) / np.sqrt(2 * PI), -150, 150),
    "gelu_tanh": held(lambda x: x * sigmoid(cubic(x)), low=-50),
    "gelu_tanh_grad": held(lambda x: sigmoid(cubic(x)) * (1 + x * sigmoid(-cubic(x)) * cubic_slope(x)), -50, 50),
}
PAIRS = {"atan2": np.arctan2, "pow": np.power, "hypot": np.hypot}
DOMAINS = {
    **{name: (0, np.inf) for name in ("log", "log2", "log10")},
    "log1p": (-1, np.inf),
    "acosh": (1, np.inf),
    **{name: (-1, 1) for name in ("asin", "acos", "atanh")},
    **{name: (-1.5e6, 1.5e6) for name in ("sin", "cos", "tan")},
}
EDGES = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 8.0, 10.0, 1000.0, np.inf, -np.inf, np.nan)


def points(rng, name, dtype, n):
    """Arguments of all magnitudes, around 1, evenly over where the function is neither 0 nor infinite, and edges."""
    info = np.finfo(dtype)
    low, high = DOMAINS.get(name, (-np.inf, np.inf))
    size = np.exp(rng.uniform(np.log(float(info.smallest_subnormal)), np.log(float(info.max)), n))
    span = 110 if dtype == np.float32 else 760
    x = np.concatenate([size * rng.choice([-1, 1], n), rng.normal(size=n), rng.uniform(-span, span, n),
                        rng.uniform(-6, 6, n), rng.uniform(max(low, -1e9), min(high, 1e9), n)])  # fmt: skip
    edges = [*EDGES, info.max, -info.max, info.tiny, info.smallest_subnormal, -info.smallest_subnormal]
    x = np.concatenate([x[(x >= low) & (x <= high)], [e for e in edges if not abs(e) > 1.6e6 or high > 2e6]])
    return x.astype(dtype)


def ulps(y, exact, dtype):
    """|y - exact| in units of the last place of exact; infinite where one is not finite and the other another thing."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype)
        finite = np.isfinite(rounded)
        _, exponent = np.frexp(np.where(finite, exact, 1))
        last = np.maximum(exponent - (24 if dtype == np.float32 else 53), -149 if dtype == np.float32 else -1074)
        error = np.abs(y.astype(exact.dtype) - exact) / np.ldexp(exact.dtype.type(1), last)
    same = (y == rounded) | (np.isnan(y) & np.isnan(rounded))
    return np.where(finite, np.where(np.isnan(error), np.inf, error), np.where(same, 0.0, np.inf))
