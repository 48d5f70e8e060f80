"""How rows of the table are made: operands become tensors of one dtype, gradients go back to their shapes."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from dl.kernel import MicroOp
from dl.primitive import Primitive
from dl.reference import elementwise as twins
from dl.tape import apply
from dl.tensor import CONSTANT, DTYPES, Tensor, float32, float64, int64

NUMBERS = (float, int, bool)


def as_tensor(value, dtype=None) -> Tensor:
    """A Tensor as it is; NumPy arrays without a copy; numbers and nested lists as NumPy makes them."""
    if isinstance(value, Tensor):
        return value if dtype is None or value.dtype == dtype else cast(value, dtype)
    if isinstance(value, (list, tuple)) and any(isinstance(v, (Tensor, list, tuple)) for v in value):
        from dl.ops.join import nested

        return nested(value, dtype)
    return Tensor(as_array(value, dtype))


def as_array(value, dtype=None, where: str = "tensor") -> np.ndarray:
    """value as an array that kernels can read, the value itself where it is one already."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    wanted = standard(array.dtype if dtype is None else dtype, where)
    if array.dtype is not wanted:
        array = array.astype(wanted, copy=False)
    if not array.flags.aligned or (array.base is not None and any(s % array.itemsize for s in array.strides)):
        array = array.copy()
    return array


def standard(dtype, where: str) -> np.dtype:
    """The dtype among float32, float64, int64, bool that holds values of this one; TypeError where there is none."""
    dtype = np.dtype(dtype)
    for known in DTYPES:
        if dtype == known:
            return known
    if dtype.kind == "f" and dtype.newbyteorder("=") in (float32, float64):
        return dtype.newbyteorder("=")
    if dtype.kind in "iu" and dtype.itemsize < 8:
        return int64
    raise TypeError(f"{where}: dtype {dtype} is not supported; there are float32, float64, int64 and bool")


def constant(value, dtype: np.dtype) -> Tensor:
    """A number that is written in the program, for operands of this dtype; equal ones are one tensor."""
    return kept_constant(value, dtype) if value else kept_constant(value, dtype, str(value))  # -0.0 is not 0.0


@lru_cache(4096, typed=True)
def kept_constant(value, dtype: np.dtype, text: str = "") -> Tensor:
    if not (dtype.kind == "f" or type(value) is bool or (type(value) is int and dtype is int64)):
        dtype = np.result_type(dtype, value)
    return Tensor(np.asarray(value, dtype), CONSTANT)


def pair(x, y) -> tuple[Tensor, Tensor]:
    """Both operands as tensors of one dtype, promoted as NumPy does; Python numbers (and lists) do not promote."""
    if type(x) is Tensor:
        if type(y) is Tensor:
            if x.array.dtype is y.array.dtype:
                return x, y
        elif type(y) in NUMBERS:
            y = constant(y, x.array.dtype)
            if y.array.dtype is x.array.dtype:
                return x, y
    elif type(x) in NUMBERS:
        x = constant(x, y.array.dtype if type(y) is Tensor else float32)
        y = constant(y, float32) if type(y) in NUMBERS else y
    elif type(x) in (list, tuple) and type(y) is Tensor:
        x = as_tensor(x, np.result_type(y.array.dtype, leaf(x)))
    if type(y) in (list, tuple) and type(x) is Tensor:
        y = as_tensor(y, np.result_type(x.array.dtype, leaf(y)))
    x, y = as_tensor(x), as_tensor(y)
    if x.array.dtype != y.array.dtype:
        dtype = np.result_type(x.array.dtype, y.array.dtype)
        x, y = cast(x, dtype), cast(y, dtype)
    return x, y


def leaf(values):
    """A number of the kind that a nested list holds, for promotion."""
    while isinstance(values, (list, tuple)):
        values = values[0] if len(values) else 0
    return values.dtype if isinstance(values, Tensor) else values


def floating(x) -> Tensor:
    """Integers and bools become float64, as NumPy does where an operation needs real numbers."""
    x = x if type(x) is Tensor else as_tensor(x)
    return x if x.array.dtype.kind == "f" else cast(x, float64)


def floats(x, y) -> tuple[Tensor, Tensor]:
    """pair, as real numbers."""
    x, y = pair(x, y)
    return (x, y) if x.array.dtype.kind == "f" else (cast(x, float64), cast(y, float64))


def numeric(x, name: str) -> Tensor:
    """x as a tensor of numbers; TypeError for bools, with which one does not reckon."""
    x = x if type(x) is Tensor else as_tensor(x)
    if x.array.dtype.kind == "b":
        raise TypeError(f"{name}: wanted numbers, got bool of shape {list(x.shape)}; use .to(dl.int64), or ~ & | ^")
    return x


def cast(x: Tensor, dtype) -> Tensor:
    """The same values in another dtype; gradients come back in the dtype of x."""
    if x.array.dtype is dtype:
        return x
    dtype = standard(dtype, "to")
    return x if x.array.dtype == dtype else apply(CASTS[dtype], (x,))


def sum_to(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum over the axes along which something of this shape was broadcast to the shape of g."""
    whole = g.array.shape
    if whole == shape:
        return g
    from dl.ops.reduce import sum as total

    lead = len(whole) - len(shape)
    dims = tuple(range(lead)) + tuple([lead + i for i, n in enumerate(shape) if n == 1 and whole[lead + i] != 1])
    if not dims:
        return g.reshape(shape)
    return total(g, dims, True).reshape(shape) if lead else total(g, dims, True)


def micro(name: str) -> MicroOp:
    """The micro-operation of this name with its twin."""
    return MicroOp(name, twins.TWINS[name])


def unary(name: str, rule: Callable | None = None, *, saves=None, quiet: Callable | None = None) -> Primitive:
    """A row for f(x): rule(g, out, x) = g f'(x) is both the vjp and the jvp, since the Jacobian is diagonal."""
    if rule is None:
        return Primitive(name, micro(name), batch="ew", differentiable=False)
    return Primitive(
        name,
        micro(name),
        vjp=(rule,),
        jvp=lambda ts, out, x: rule(ts[0], out, x),
        saves=saves,
        batch="ew",
        quiet=quiet,
    )


def binary(name: str, rule_x=None, rule_y=None, *, saves=None, forward: Callable | None = None) -> Primitive:
    """A row for f(x, y) with broadcasting: rule_x(g, out, x, y) = g df/dx, and the same for y."""
    forward = micro(name) if forward is None else forward
    if rule_x is None or rule_y is None:
        return Primitive(name, forward, batch="ew", differentiable=False)

    def jvp(ts, out, x, y):
        parts = [r(t, out, x, y) for r, t in zip((rule_x, rule_y), ts, strict=True) if t is not None]
        return spread(parts[0] if len(parts) == 1 else parts[0] + parts[1], out.shape)

    vjp = (
        lambda g, out, x, y: sum_to(rule_x(g, out, x, y), x.array.shape),
        lambda g, out, x, y: sum_to(rule_y(g, out, x, y), y.array.shape),
    )
    return Primitive(name, forward, vjp=vjp, jvp=jvp, saves=saves, batch="ew")


def spread(t: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A tangent of something that was broadcast, in the shape of the result."""
    return t if t.shape == shape else t.expand(shape)


def cast_row(name: str, dtype: np.dtype) -> Primitive:
    real = dtype.kind == "f"

    def rule(g, out, x):
        return cast(g, x.dtype) if x.dtype.kind == "f" else None

    return Primitive(
        name,
        micro(name),
        vjp=(rule,) if real else None,
        jvp=(lambda ts, out, x: cast(ts[0], out.dtype)) if real else None,
        saves=(),
        batch="ew",
        differentiable=real,
    )


CASTS = {
    dtype: cast_row(name, dtype) for dtype, name in zip(DTYPES, ("to_f32", "to_f64", "to_i64", "to_bool"), strict=True)
}
TABLE = {row.name: row for row in CASTS.values()}
