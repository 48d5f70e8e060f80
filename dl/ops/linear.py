"""Products of matrices and vectors: matmul, linear and their kin."""

from collections.abc import Callable
from math import prod

import numpy as np

from dl.kernel import Kernel, in_c
from dl.matmul_kernels import gemm, linear_bias, linear_weight
from dl.ops.base import as_tensor, cast, floating, pair, sum_to
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor, int64


def flipped(x: Tensor) -> Tensor:
    """x^T of the last two axes, a view."""
    return x.transpose(-2, -1)


def tall(t: Tensor) -> Tensor:
    """(..., n, k) as one matrix; k may be 0, so that -1 would not say how many rows there are."""
    shape = t.array.shape
    return t.reshape(prod(shape[:-1]), shape[-1])


def product(a: Tensor, b: Tensor) -> Tensor:
    return apply(MATMUL, (a, b))


def matmul_rule(needs, g, out, a, b):
    """d<g, a b> = <g b^T, da> + <a^T g, db>; a common b of many a is one product of tall matrices."""
    da = db = None
    if needs[0]:
        da = sum_to(product(g, flipped(b)), a.shape)
    if needs[1]:
        if b.ndim == 2 and a.ndim > 2:
            a, g = tall(a), tall(g)
        db = sum_to(product(flipped(a), g), b.shape)
    return da, db


def matmul_jvp(tangents, out, a, b):
    da, db = tangents
    if da is None or db is None:
        return product(a, db) if da is None else product(da, b)
    return product(da, b) + product(a, db)


def spread(t: Tensor, batched: bool, rank: int) -> Tensor:
    """t with axes of size 1 after its batch axis, so that the rest has this rank; as it is where it has no batch."""
    missing = rank - (t.ndim - 1)
    return t.reshape(t.shape[0], *(1,) * missing, *t.shape[1:]) if batched and missing > 0 else t


def matmul_batch(batched, a, b):
    """A batch axis in front of both is one more batch of matmul, once the matrices have equally many axes."""
    rank = max(a.ndim - batched[0], b.ndim - batched[1])
    return product(spread(a, batched[0], rank), spread(b, batched[1], rank))


MATMUL = Primitive("matmul", gemm, vjp=matmul_rule, jvp=matmul_jvp, batch=matmul_batch, saves=(0, 1))
MATMUL_INT = Primitive("matmul_int", gemm, batch=matmul_batch, differentiable=False)


def matmul(x, y) -> Tensor:
    """x y, the product of matrices over the last two axes, (..., n, k) (..., k, m) -> (..., n, m).

    Axes in front broadcast. A vector is a row on the left and a column on the right, and its axis is gone from the
    result. Raises ValueError where the inner sizes differ or the batches do not broadcast.
    """
    x, y = pair(x, y)
    if not x.ndim or not y.ndim or x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise ValueError(
            f"matmul: wanted (..., n, k) and (..., k, m), got {list(x.shape)} and {list(y.shape)}; the last axis of "
            "the first must equal the last but one of the second (the only one of a vector)"
        )
    a = x if x.ndim > 1 else x.reshape(1, -1)
    b = y if y.ndim > 1 else y.reshape(-1, 1)
    if a.shape[:-2] != b.shape[:-2]:
        check_batches("matmul", a, b)
    if a.dtype.kind == "f":
        out = product(a, b)
    else:
        out = cast(apply(MATMUL_INT, (cast(a, int64), cast(b, int64))), a.dtype)
    if a is x and b is y:
        return out
    return out.reshape(out.shape[:-2] + a.shape[-2:-1] * (a is x) + b.shape[-1:] * (b is y))


def check_batches(name: str, a: Tensor, b: Tensor):
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(
            f"{name}: the batch axes {list(a.shape[:-2])} and {list(b.shape[:-2])} of {list(a.shape)} and "
            f"{list(b.shape)} do not broadcast; each pair must be equal or one of them 1"
        ) from None


def linear_twin(x, w, b):
    return gemm.twin(x, w.T, b)


def linear_rule(needs, g, out, x, w, b):
    dx = product(g, w) if needs[0] else None
    flat = g if g.ndim == 2 else tall(g)
    dw = apply(LINEAR_WEIGHT, (flat, x if x.ndim == 2 else tall(x))) if needs[1] else None
    return dx, dw, apply(LINEAR_BIAS, (flat,)) if needs[2] else None


def linear_jvp(tangents, out, x, w, b):
    dx, dw, db = tangents
    terms = [] if dx is None else [apply(LINEAR, (dx, w, None))]
    if dw is not None:
        terms.append(apply(LINEAR, (x, dw, db)))
    elif db is not None:
        terms.append(db.expand(out.shape) if not terms else db)
    return terms[0] if len(terms) == 1 else terms[0] + terms[1]


def linear_batch(batched, x, w, b):
    """One W for all: x has one more axis in front. A W for each: a batched product."""
    if not batched[1] and (b is None or not batched[2]):
        return apply(LINEAR, (x, w, b))
    rank = x.ndim - batched[0]
    y = product(x, spread(flipped(w), True, rank)) if batched[1] else apply(LINEAR, (x, w, None))
    return y if b is None else y + spread(b, batched[2], rank)


def weight_rule(needs, v, out, g, x):
    """<g^T x, v> = <g, x v^T>."""
    return apply(LINEAR, (x, v, None)) if needs[0] else None, product(g, v) if needs[1] else None


def weight_jvp(tangents, out, g, x):
    dg, dx = tangents
    if dg is None or dx is None:
        return apply(LINEAR_WEIGHT, (g, dx) if dg is None else (dg, x))
    return apply(LINEAR_WEIGHT, (dg, x)) + apply(LINEAR_WEIGHT, (g, dx))


LINEAR_WEIGHT = Primitive(
    "linear_weight",
    linear_weight,
    vjp=weight_rule,
    jvp=weight_jvp,
    batch=lambda batched, g, x: product(flipped(g), x),
    saves=(0, 1),
)
LINEAR_BIAS = Primitive(
    "linear_bias",
    linear_bias,
    vjp=(lambda t, out, g: t.expand(g.array.shape),),
    batch=lambda batched, g: g.sum(1),
    saves=(),
    linear=True,
)
LINEAR = Primitive(
    "linear",
    Kernel(
        "gemm",
        outputs=lambda x, w, b: (((*x.shape[:-1], w.shape[0]), x.dtype),),
        twin=linear_twin,
        numbers=gemm.numbers,
        views=lambda x, w, b: (x, w.T, b),
        direct=in_c("linear"),
    ),
    vjp=linear_rule,
    jvp=linear_jvp,
    batch=linear_batch,
    saves=(0, 1),
    quiet=in_c("linear_backward"),
)


def linear_fits(x, weight, bias) -> bool:
    """Whether these are tensors of one floating dtype that fit, x with two axes or more."""
    if type(x) is not Tensor or type(weight) is not Tensor or not (bias is None or type(bias) is Tensor):
        return False
    a, w = x.array, weight.array
    fits = a.ndim > 1 == w.ndim - 1 and a.shape[-1] == w.shape[1] and a.dtype is w.dtype and a.dtype.kind == "f"
    return fits and (bias is None or (bias.array.shape == w.shape[:1] and bias.array.dtype is a.dtype))


fits: Callable = linear_fits if in_c("Tape") is None else apply.linear_fits


def linear(x, weight, bias=None) -> Tensor:
    """x W^T + b, with x (..., in), W (out, in), b (out,) -> (..., out).

    Raises ValueError for sizes that do not fit.
    """
    return apply(LINEAR, (x, weight, bias)) if fits(x, weight, bias) else converted_linear(x, weight, bias)


def converted_linear(x, weight, bias) -> Tensor:
    """linear for what has yet to become tensors of one dtype, for vectors x, and for what does not fit."""
    x, weight = pair(floating(x), weight)
    if isinstance(bias, Tensor):
        x, bias = pair(x, bias)
        weight = cast(weight, x.dtype)
    elif bias is not None:
        bias = as_tensor(bias, x.dtype)
    shape = weight.shape
    fits = len(shape) == 2 and x.ndim > 0 and x.shape[-1] == shape[1] and (bias is None or bias.shape == shape[:1])
    if not fits:
        got = f"{list(x.shape)}, {list(shape)}" + ("" if bias is None else f" and {list(bias.shape)}")
        raise ValueError(f"linear: wanted x (..., in), weight (out, in), bias (out,) or None, got {got}")
    if x.ndim == 1:
        return apply(LINEAR, (x.reshape(1, -1), weight, bias)).reshape(-1)
    return apply(LINEAR, (x, weight, bias))


def _ranked(name: str, wanted: str, ranks: tuple[int, ...], *tensors: Tensor):
    if any(t.ndim != rank for t, rank in zip(tensors, ranks, strict=True)):
        got = ", ".join(str(list(t.shape)) for t in tensors)
        raise ValueError(f"{name}: wanted {wanted}, got {got}; matmul takes every number of axes")


def mm(x, y) -> Tensor:
    """The product of two matrices (n, k) (k, m)."""
    x, y = pair(x, y)
    _ranked("mm", "(n, k) and (k, m)", (2, 2), x, y)
    return matmul(x, y)


def mv(x, y) -> Tensor:
    """A matrix (n, k) times a vector (k,)."""
    x, y = pair(x, y)
    _ranked("mv", "(n, k) and (k,)", (2, 1), x, y)
    return matmul(x, y)


def bmm(x, y) -> Tensor:
    """Products of matrices in pairs: (b, n, k) (b, k, m) -> (b, n, m); the batches must be equal."""
    x, y = pair(x, y)
    _ranked("bmm", "(b, n, k) and (b, k, m)", (3, 3), x, y)
    if x.shape[0] != y.shape[0]:
        raise ValueError(f"bmm: the batches differ: {list(x.shape)} and {list(y.shape)}; matmul broadcasts them")
    return matmul(x, y)


def dot(x, y) -> Tensor:
    """sum_i x_i y_i of two vectors (n,)."""
    x, y = pair(x, y)
    _ranked("dot", "(n,) and (n,)", (1, 1), x, y)
    return matmul(x, y)


def outer(x, y) -> Tensor:
    """x_i y_j of two vectors (n,), (m,) -> (n, m)."""
    x, y = pair(x, y)
    _ranked("outer", "(n,) and (m,)", (1, 1), x, y)
    return x.reshape(-1, 1) * y


def addmm(bias, x, y, *, beta=1.0, alpha=1.0) -> Tensor:
    """beta b + alpha x y with matrices x (n, k), y (k, m); b broadcasts to (n, m)."""
    out = mm(x, y)
    out = out if alpha == 1 else out * alpha
    return out + (as_tensor(bias) if beta == 1 else as_tensor(bias) * beta)


TABLE = {row.name: row for row in (MATMUL, MATMUL_INT, LINEAR, LINEAR_WEIGHT, LINEAR_BIAS)}
