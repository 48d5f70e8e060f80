"""Comparison, logic, rounding and tests of single numbers: operations without a gradient."""

import math

import numpy as np

from dl.ops.base import as_tensor, binary, numeric, pair, unary
from dl.ops.elementwise import div
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor, bool_

EQ, NE, LT, LE, GT, GE = (binary(name) for name in ("eq", "ne", "lt", "le", "gt", "ge"))
AND, OR, XOR = (binary(name) for name in ("logical_and", "logical_or", "logical_xor"))
NOT, ISNAN, ISFINITE = (unary(name) for name in ("logical_not", "isnan", "isfinite"))
FLOOR_DIVIDE = binary("floor_divide")
SIGN, FLOOR, CEIL, TRUNC, ROUND = (unary(name) for name in ("sign", "floor", "ceil", "trunc", "round"))
BITWISE_AND, BITWISE_OR, BITWISE_XOR = (
    binary(function.__name__, forward=function) for function in (np.bitwise_and, np.bitwise_or, np.bitwise_xor)
)
BITWISE_NOT = Primitive("bitwise_not", np.invert, batch="ew", differentiable=False)
TABLE = {
    row.name: row
    for row in (
        EQ, NE, LT, LE, GT, GE, AND, OR, XOR, NOT, ISNAN, ISFINITE, SIGN, FLOOR, CEIL, TRUNC, ROUND,
        FLOOR_DIVIDE, BITWISE_AND, BITWISE_OR, BITWISE_XOR, BITWISE_NOT,
    )
}  # fmt: skip


def eq(x, y) -> Tensor:
    """x == y, bool."""
    return apply(EQ, pair(x, y))


def ne(x, y) -> Tensor:
    """x != y, bool."""
    return apply(NE, pair(x, y))


def lt(x, y) -> Tensor:
    """x < y, bool."""
    return apply(LT, pair(x, y))


def le(x, y) -> Tensor:
    """x <= y, bool."""
    return apply(LE, pair(x, y))


def gt(x, y) -> Tensor:
    """x > y, bool."""
    return apply(GT, pair(x, y))


def ge(x, y) -> Tensor:
    """x >= y, bool."""
    return apply(GE, pair(x, y))


def logical_and(x, y) -> Tensor:
    """Whether both are not zero."""
    return apply(AND, (as_tensor(x, bool_), as_tensor(y, bool_)))


def logical_or(x, y) -> Tensor:
    """Whether one of the two is not zero."""
    return apply(OR, (as_tensor(x, bool_), as_tensor(y, bool_)))


def logical_xor(x, y) -> Tensor:
    """Whether exactly one of the two is not zero."""
    return apply(XOR, (as_tensor(x, bool_), as_tensor(y, bool_)))


def logical_not(x) -> Tensor:
    """Whether x is zero."""
    return apply(NOT, (as_tensor(x, bool_),))


def bits(name: str, logic: Primitive, row: Primitive):
    """An operator of bools and integers."""

    def operate(x, y) -> Tensor:
        x, y = pair(x, y)
        if x.dtype.kind == "f":
            raise TypeError(f"{name}: wanted bool or int64, got {x.dtype}; compare first, as in (x > 0) {name} (y > 0)")
        return apply(logic if x.dtype == bool_ else row, (x, y))

    operate.__doc__ = f"x {name} y for bools, and bit by bit for integers."
    return operate


bitwise_and, bitwise_or, bitwise_xor = (
    bits("&", AND, BITWISE_AND),
    bits("|", OR, BITWISE_OR),
    bits("^", XOR, BITWISE_XOR),
)


def bitwise_not(x) -> Tensor:
    """~x: not for bools, and bit by bit for integers."""
    x = as_tensor(x)
    if x.dtype.kind == "f":
        raise TypeError(f"~: wanted bool or int64, got {x.dtype}; compare first, as in ~(x > 0)")
    return apply(NOT if x.dtype == bool_ else BITWISE_NOT, (x,))


def of_floats(row: Primitive, other, doc: str):
    """A function that is only interesting for floats: other(x) answers for integers and bools."""

    def ask(x) -> Tensor:
        x = as_tensor(x)
        return apply(row, (x,)) if x.array.dtype.kind == "f" else other(x)

    ask.__name__, ask.__doc__ = row.name, doc
    return ask


def never(x: Tensor) -> Tensor:
    return apply(NE, (x, x))


def always(x: Tensor) -> Tensor:
    return apply(EQ, (x, x))


def same(x: Tensor) -> Tensor:
    return numeric(x, "rounding")


isnan = of_floats(ISNAN, never, "Where x is NaN.")
isfinite = of_floats(ISFINITE, always, "Where x is neither infinite nor NaN.")
floor = of_floats(FLOOR, same, "The largest integer not above x; no gradient.")
ceil = of_floats(CEIL, same, "The smallest integer not below x; no gradient.")
trunc = of_floats(TRUNC, same, "x without its fraction; no gradient.")
rint = of_floats(ROUND, same, "The nearest integer, the even one of two; no gradient.")


def isinf(x) -> Tensor:
    """Where x is infinite."""
    x = as_tensor(x)
    return eq(x.abs(), math.inf) if x.array.dtype.kind == "f" else never(x)


def round(x, decimals: int = 0) -> Tensor:
    """The nearest multiple of 10^-decimals, ties to even; no gradient."""
    return rint(x) if decimals == 0 else rint(as_tensor(x) * 10.0**decimals) / 10.0**decimals


def frac(x) -> Tensor:
    """x - trunc(x), with the sign of x; the gradient is that of x."""
    x = as_tensor(x)
    return x - trunc(x)


def sign(x) -> Tensor:
    """-1, 0 or 1; no gradient."""
    return apply(SIGN, (numeric(x, "sign"),))


def floor_divide(x, y) -> Tensor:
    """The largest integer not above x / y, in the dtype of the operands; no gradient."""
    return apply(FLOOR_DIVIDE, pair(x, y))


def divide(x, y, *, rounding_mode: str | None = None) -> Tensor:
    """x / y with broadcasting; rounding_mode is None, "floor" (floor_divide) or "trunc" (towards 0)."""
    if rounding_mode not in (None, "floor", "trunc"):
        raise ValueError(f"div: rounding_mode {rounding_mode!r}; there are None, 'floor' and 'trunc'")
    if rounding_mode == "floor":
        return floor_divide(x, y)
    return div(x, y) if rounding_mode is None else trunc(div(x, y))


def isclose(x, y, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """|x - y| <= atol + rtol |y|, elementwise; infinities are close when equal."""
    x, y = pair(x, y)
    if x.dtype == bool_:
        return eq(x, y)
    near = le((x - y).abs(), atol + rtol * y.abs()) & isfinite(y)
    near = near | eq(x, y)
    return near | (isnan(x) & isnan(y)) if equal_nan else near


def allclose(x, y, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether isclose holds everywhere, as a bool."""
    return bool(isclose(x, y, rtol, atol, equal_nan).all())


def equal(x, y) -> bool:
    """Whether two tensors have one shape and equal values, as a bool."""
    x, y = as_tensor(x), as_tensor(y)
    return x.shape == y.shape and bool(eq(x, y).all())
