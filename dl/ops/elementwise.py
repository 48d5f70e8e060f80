"""Arithmetic and choice: rows of the table, and the functions that users call."""

import math
from typing import Any

import numpy as np

from dl.kernel import in_c
from dl.ops.base import NUMBERS, as_tensor, binary, cast, floating, floats, micro, numeric, pair, spread, sum_to, unary
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import CONSTANT, Tensor, bool_


def winner(wins, g: Tensor, tie: Tensor) -> Tensor:
    """The rule of maximum and minimum for one operand: all of g where it wins, half where both are equal."""
    return where(wins, g, where(tie, g * 0.5, 0.0))


def power_rule(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """g y x^(y - 1), 0 for y = 0."""
    if y._changed is CONSTANT:
        exponent = y.array.item()
        return g * (pow(x, exponent - 1) * exponent) if exponent else zero_like(x)
    return g * where(y == 0, 0.0, y * pow(x, where(y == 0, 1.0, y - 1)))


ADD = binary("add", lambda g, out, x, y: g, lambda g, out, x, y: g, saves=())
SUB = binary("sub", lambda g, out, x, y: g, lambda g, out, x, y: neg(g), saves=())
MUL = binary("mul", lambda g, out, x, y: mul(g, y), lambda g, out, x, y: mul(g, x), saves=(0, 1))
DIV = binary("div", lambda g, out, x, y: div(g, y), lambda g, out, x, y: neg(div(mul(g, out), y)), saves=(1, "out"))
NEG = unary("neg", lambda g, out, x: neg(g), saves=())
SQUARE = unary("square", lambda g, out, x: g * (x + x), saves=(0,))
ABS = unary("abs", lambda g, out, x: g * x.sign(), saves=(0,))
SQRT = unary("sqrt", lambda g, out, x: g * 0.5 / out, saves=("out",))
RSQRT = unary("rsqrt", lambda g, out, x: g * -0.5 * (out * square(out)), saves=("out",))
RECIPROCAL = unary("reciprocal", lambda g, out, x: neg(g * square(out)), saves=("out",))
RELU = unary("relu", lambda g, out, x: apply(RELU_BACKWARD, (g, out)), saves=("out",), quiet=in_c("relu_backward"))
RELU_BACKWARD = Primitive(  # g where y > 0, else 0
    "relu_backward",
    micro("relu_backward"),
    vjp=(lambda t, out, g, y: sum_to(apply(RELU_BACKWARD, (t, y)), g.array.shape), None),
    jvp=lambda ts, out, g, y: zero_like(out) if ts[0] is None else spread(apply(RELU_BACKWARD, (ts[0], y)), out.shape),
    saves=(1,),
    batch="ew",
)
MAXIMUM = binary(
    "maximum",
    lambda g, out, x, y: winner(x > y, g, x == y),
    lambda g, out, x, y: winner(y > x, g, x == y),
    saves=(0, 1),
)
MINIMUM = binary(
    "minimum",
    lambda g, out, x, y: winner(x < y, g, x == y),
    lambda g, out, x, y: winner(y < x, g, x == y),
    saves=(0, 1),
)
REMAINDER = binary("remainder", lambda g, out, x, y: g, lambda g, out, x, y: neg(g * (x / y).floor()), saves=(0, 1))
POW = binary(
    "pow",
    lambda g, out, x, y: power_rule(g, x, y),
    lambda g, out, x, y: g * where((x == 0) & (y >= 0), 0.0, out * x.log()),
    saves=(0, 1, "out"),
)
WHERE = Primitive(
    "where",
    micro("where"),
    vjp=(
        None,
        lambda g, out, c, x, y: sum_to(where(c, g, 0.0), x.array.shape),
        lambda g, out, c, x, y: sum_to(where(c, 0.0, g), y.array.shape),
    ),
    jvp=lambda ts, out, c, x, y: spread(where(c, *[0.0 if t is None else t for t in ts[1:]]), out.shape),
    saves=(0,),
    batch="ew",
)
CLIP = Primitive(
    "clip",
    micro("clip"),
    vjp=(
        lambda g, out, x, low, high: sum_to(where((x >= low) & (x <= high), g, 0.0), x.array.shape),
        lambda g, out, x, low, high: sum_to(where((x < low) & (low <= high), g, 0.0), low.array.shape),
        lambda g, out, x, low, high: sum_to(where((x > high) | (low > high), g, 0.0), high.array.shape),
    ),
    saves=(0, 1, 2),
    batch="ew",
)
TABLE = {
    row.name: row
    for row in (
        ADD, SUB, MUL, DIV, NEG, SQUARE, ABS, SQRT, RSQRT, RECIPROCAL, RELU, MAXIMUM, MINIMUM, REMAINDER, POW, WHERE,
        CLIP, RELU_BACKWARD,
    )
}  # fmt: skip


def zero_like(x: Tensor) -> Tensor:
    return Tensor(np.zeros_like(x.array))


def add(x, y) -> Tensor:
    """x + y with broadcasting; of bools, whether one is true."""
    x, y = pair(x, y)
    return apply(ADD, (x, y)) if x.array.dtype is not bool_ else x.logical_or(y)


def sub(x, y) -> Tensor:
    """x - y with broadcasting."""
    x, y = pair(x, y)
    return apply(SUB, (numeric(x, "sub"), y))


def mul(x, y) -> Tensor:
    """x y with broadcasting; of bools, whether both are true."""
    x, y = pair(x, y)
    return apply(MUL, (x, y)) if x.array.dtype is not bool_ else x.logical_and(y)


def div(x, y) -> Tensor:
    """x / y with broadcasting; integers give float64."""
    return apply(DIV, floats(x, y))


def remainder(x, y) -> Tensor:
    """x - y floor(x / y), with the sign of y."""
    return apply(REMAINDER, pair(x, y))


def neg(x) -> Tensor:
    """-x."""
    return apply(NEG, (numeric(x, "neg"),))


def square(x) -> Tensor:
    """x^2."""
    return apply(SQUARE, (numeric(x, "square"),))


def abs(x) -> Tensor:
    """|x|; the derivative at 0 is 0."""
    return apply(ABS, (numeric(x, "abs"),))


def sqrt(x) -> Tensor:
    """The square root; NaN for negative x, the derivative at 0 is infinite."""
    return apply(SQRT, (floating(x),))


def rsqrt(x) -> Tensor:
    """1 / sqrt(x)."""
    return apply(RSQRT, (floating(x),))


def reciprocal(x) -> Tensor:
    """1 / x."""
    return apply(RECIPROCAL, (floating(x),))


def relu(x) -> Tensor:
    """max(x, 0); the derivative at 0 is 0."""
    x = x if type(x) is Tensor else as_tensor(x)
    return apply(RELU, (x,)) if x.array.dtype.kind == "f" else maximum(x, 0)


def maximum(x, y) -> Tensor:
    """The larger of x and y; where they are equal each gets half of the gradient; NaN wins."""
    return apply(MAXIMUM, pair(x, y))


def minimum(x, y) -> Tensor:
    """The smaller of x and y; where they are equal each gets half of the gradient; NaN wins."""
    return apply(MINIMUM, pair(x, y))


def clamp(x, min=None, max=None) -> Tensor:
    """x where min <= x <= max, else the nearer bound; bounds are numbers, tensors or None.

    The gradient goes to x inside and on the bounds. Raises ValueError where both bounds are None.
    """
    if min is None and max is None:
        raise ValueError("clamp: at least one of min and max must be given")
    x = as_tensor(x)
    x, low = pair(x, lowest(x) if min is None else min)
    x, high = pair(x, highest(x) if max is None else max)
    return apply(CLIP, (numeric(x, "clamp"), cast(low, x.array.dtype), high))


def lowest(x: Tensor):
    return -math.inf if x.array.dtype.kind == "f" else -(2**63)


def highest(x: Tensor):
    return math.inf if x.array.dtype.kind == "f" else 2**63 - 1


def pow(x, y) -> Tensor:
    """x^y with broadcasting; the derivative by x at y = 0 is 0, that by y at x = 0 is 0 for y >= 0."""
    if type(y) in NUMBERS and type(x) is Tensor:
        real = x.array.dtype.kind == "f"
        if y in POWERS and (real or y == 2):
            return POWERS[y](x)
        if not real and type(y) is int and y < 0:
            raise ValueError(f"pow: integers to the power {y} are no integers; use x.double() ** {y}")
    return apply(POW, pair(x, y))


POWERS = {2: square, 0.5: sqrt, -0.5: rsqrt, -1: reciprocal, 1: lambda x: x.clone()}


def where(condition, x=None, y=None) -> Any:
    """x where the condition holds, else y; all three broadcast. where(condition) is nonzero(as_tuple=True).

    No gradient flows to what was not chosen, but a NaN in its derivative does come through: choose its input too.
    """
    if x is None or y is None:
        from dl.ops.index import nonzero

        return nonzero(condition, as_tuple=True)
    c = condition if type(condition) is Tensor and condition.array.dtype is bool_ else as_tensor(condition, bool_)
    return apply(WHERE, (c, *pair(x, y)))
