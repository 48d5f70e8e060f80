"""C99 for single instructions: loops over strides, expressions of elementwise operations."""

import numpy as np

from dl.recorder.memory import Operand

TYPES = {"float32": "float", "float64": "double", "int64": "long long", "bool": "unsigned char"}

# {f} is the suffix of math.h functions and of constants for float; {0} {1} {2} the operands
EXPRESSIONS = {
    "neg": "-{0}", "abs": "fabs{f}({0})", "square": "{0} * {0}", "sqrt": "sqrt{f}({0})",
    "rsqrt": "1.0{f} / sqrt{f}({0})",
    "reciprocal": "1.0{f} / {0}", "sign": "({0} > 0) - ({0} < 0)", "relu": "{0} < 0 ? 0 : {0}",
    "sigmoid": "1.0{f} / (1.0{f} + exp{f}(-{0}))", "floor": "floor{f}({0})", "ceil": "ceil{f}({0})",
    "trunc": "trunc{f}({0})", "round": "rint{f}({0})",
    "softplus": "({0} > 0 ? {0} : 0) + log1p{f}(exp{f}(-fabs{f}({0})))",
    "silu": "{0} / (1.0{f} + exp{f}(-{0}))", "gelu": "0.5{f} * {0} * (1.0{f} + erf{f}({0} * 0.70710678118654752{f}))",
    "gelu_tanh": "0.5{f} * {0} * (1.0{f} + tanh{f}(0.79788456080286536{f} * ({0} + 0.044715{f} * {0} * {0} * {0})))",
    "mish": "{0} * tanh{f}(({0} > 0 ? {0} : 0) + log1p{f}(exp{f}(-fabs{f}({0}))))",
    "logical_not": "!{0}", "isfinite": "isfinite({0}) != 0", "isnan": "isnan({0}) != 0",
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}", "pow": "pow{f}({0}, {1})",
    "maximum": "({0} > {1} || {0} != {0}) ? {0} : {1}", "minimum": "({0} < {1} || {0} != {0}) ? {0} : {1}",
    "atan2": "atan2{f}({0}, {1})", "hypot": "hypot{f}({0}, {1})", "fmod": "fmod{f}({0}, {1})",
    "copysign": "copysign{f}({0}, {1})", "tanh_backward": "{0} * (1 - {1} * {1})",
    "sigmoid_backward": "{0} * ({1} * (1 - {1}))", "relu_backward": "{1} > 0 ? {0} : 0",
    "remainder": "{0} - {1} * floor{f}({0} / {1})",
    "floor_divide": "floor{f}({0} / {1})",
    "eq": "{0} == {1}", "ne": "{0} != {1}", "lt": "{0} < {1}", "le": "{0} <= {1}", "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "logical_and": "{0} && {1}", "logical_or": "{0} || {1}", "logical_xor": "!{0} != !{1}",
    "where": "{0} ? {1} : {2}", "clip": "{0} < {1} ? {1} : ({0} > {2} ? {2} : {0})",
    "to_f32": "(float){0}", "to_f64": "(double){0}", "to_i64": "(long long){0}", "to_bool": "{0} != 0",
}  # fmt: skip
PLAIN = (
    "exp", "expm1", "exp2", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "asin", "acos",
    "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc",
)  # fmt: skip
EXPRESSIONS |= {name: f"{name}{{f}}({{0}})" for name in PLAIN}


def expression(name: str, dtype: np.dtype, operands: list[str]) -> str:
    """The C expression of a micro-operation on operands of a dtype."""
    suffix = "f" if dtype == np.float32 else ""
    return EXPRESSIONS[name].format(*operands, f=suffix)


def number(value, dtype: np.dtype) -> str:
    """A C literal that reads back as the same number."""
    if dtype.kind != "f":
        return str(int(value))
    if not np.isfinite(value):
        return "NAN" if np.isnan(value) else ("INFINITY" if value > 0 else "-INFINITY")
    text = np.format_float_scientific(value, unique=True)
    return text + ("f" if dtype == np.float32 else "")


def collapsed(shape: tuple[int, ...], strides: list[tuple[int, ...]]):
    """Neighbouring axes that all operands walk through as one become one; axes of size 1 go."""
    dims = [(n, [s[i] for s in strides]) for i, n in enumerate(shape) if n != 1]
    made: list = []
    for n, steps in dims:
        if made and all(outer == step * n for outer, step in zip(made[-1][1], steps, strict=True)):
            made[-1] = (made[-1][0] * n, steps)
        else:
            made.append((n, steps))
    return [n for n, _ in made], [[steps[k] for _, steps in made] for k in range(len(strides))]


def address(offset: int, strides: list[int], first: int = 0) -> str:
    """offset + i0 s0 + i1 s1 ..."""
    terms = [f"i{first + k}" + (f" * {s}" if s != 1 else "") for k, s in enumerate(strides) if s]
    return " + ".join([*([str(offset)] if offset or not terms else []), *terms])


def loops(sizes: list[int], body: list[str], first: int = 0) -> list[str]:
    """body inside nested loops over i0, i1 ..."""
    head = [
        "  " * k + f"for (int i{first + k} = 0; i{first + k} < {n}; i{first + k}++) {{" for k, n in enumerate(sizes)
    ]
    tail = ["  " * k + "}" for k in reversed(range(len(sizes)))]
    return [*head, *("  " * len(sizes) + line for line in body), *tail]


def start(operand: Operand) -> int:
    """Elements from the root's begin to the operand's."""
    return operand.offset // operand.dtype.itemsize
