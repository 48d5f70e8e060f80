"""NumPy's two protocols: np.sin(tensor), array + tensor, np.stack([tensor, 0.0]) are the operations of the table.

What is not in these two tables raises TypeError instead of quietly losing gradients.
"""

from itertools import pairwise

import numpy as np

from dl import creation
from dl.ops import compare, gather, index, join, linear, reduce, scan_ops, shape, sorting, special
from dl.ops import elementwise as ew
from dl.ops.base import as_tensor, cast
from dl.ops.einsum import einsum
from dl.tensor import Tensor

UFUNCS = {
    np.add: ew.add, np.subtract: ew.sub, np.multiply: ew.mul, np.divide: ew.div, np.power: ew.pow,
    np.float_power: ew.pow, np.negative: ew.neg, np.positive: as_tensor, np.absolute: ew.abs, np.fabs: ew.abs,
    np.square: ew.square, np.sqrt: ew.sqrt, np.reciprocal: ew.reciprocal, np.remainder: ew.remainder,
    np.floor_divide: compare.floor_divide, np.maximum: ew.maximum, np.minimum: ew.minimum, np.sign: compare.sign,
    np.floor: compare.floor, np.ceil: compare.ceil, np.trunc: compare.trunc, np.rint: compare.round,
    np.exp: special.exp, np.exp2: special.exp2, np.expm1: special.expm1, np.log: special.log, np.log2: special.log2,
    np.log10: special.log10, np.log1p: special.log1p, np.sin: special.sin, np.cos: special.cos, np.tan: special.tan,
    np.arcsin: special.asin, np.arccos: special.acos, np.arctan: special.atan, np.arctan2: special.atan2,
    np.sinh: special.sinh, np.cosh: special.cosh, np.tanh: special.tanh, np.arcsinh: special.asinh,
    np.arccosh: special.acosh, np.arctanh: special.atanh, np.hypot: special.hypot, np.logaddexp: special.logaddexp,
    np.deg2rad: lambda x: as_tensor(x) * (np.pi / 180), np.radians: lambda x: as_tensor(x) * (np.pi / 180),
    np.rad2deg: lambda x: as_tensor(x) * (180 / np.pi), np.degrees: lambda x: as_tensor(x) * (180 / np.pi),
    np.equal: compare.eq, np.not_equal: compare.ne, np.less: compare.lt, np.less_equal: compare.le,
    np.greater: compare.gt, np.greater_equal: compare.ge, np.logical_and: compare.logical_and,
    np.logical_or: compare.logical_or, np.logical_xor: compare.logical_xor, np.logical_not: compare.logical_not,
    np.bitwise_and: compare.bitwise_and, np.bitwise_or: compare.bitwise_or, np.bitwise_xor: compare.bitwise_xor,
    np.invert: compare.bitwise_not, np.isnan: compare.isnan, np.isinf: compare.isinf, np.isfinite: compare.isfinite,
    np.matmul: linear.matmul,
}  # fmt: skip

REDUCE = {
    np.add: reduce.sum, np.multiply: reduce.prod, np.maximum: reduce.amax, np.minimum: reduce.amin,
    np.logical_and: reduce.all, np.logical_or: reduce.any,
}  # fmt: skip
ACCUMULATE = {np.add: scan_ops.cumsum, np.multiply: scan_ops.cumprod}


def __array_ufunc__(x: Tensor, ufunc, method: str, *inputs, out=None, dtype=None, **kwargs):
    """ufunc(*inputs) and its reduce and accumulate by operations of the table; no out=, no where=."""
    if out is not None:
        raise TypeError(
            f"np.{ufunc.__name__}: the result with a dl tensor is a tensor, which an array (out=, or an in-place "
            "operator) cannot take; write a = a + t, or use t.detach().numpy()"
        )
    if method == "__call__" and ufunc in UFUNCS and not kwargs:
        found = UFUNCS[ufunc](*inputs)
    elif method == "reduce" and ufunc in REDUCE and set(kwargs) <= {"axis", "keepdims"}:
        found = REDUCE[ufunc](inputs[0], kwargs.get("axis", 0), kwargs.get("keepdims", False))
    elif method == "accumulate" and ufunc in ACCUMULATE and set(kwargs) <= {"axis"}:
        found = ACCUMULATE[ufunc](inputs[0], kwargs.get("axis", 0))
    else:
        how = "" if method == "__call__" else f".{method}"
        extra = f" with {', '.join(kwargs)}" if kwargs else ""
        raise TypeError(f"np.{ufunc.__name__}{how}{extra} has no counterpart for dl tensors; use t.detach().numpy()")
    return found if dtype is None else cast(found, dtype)


def reduction(function):
    """axis and keepdims instead of dim and keepdim."""
    return lambda a, axis=None, *, keepdims=False: function(a, axis, bool(keepdims))


def moments(function):
    """NumPy divides by n - ddof with ddof = 0."""
    return lambda a, axis=None, *, ddof=0, keepdims=False: function(a, axis, ddof, bool(keepdims))


def along(function):
    """axis None: of the flat array."""

    def call(a, axis=None):
        return function(as_tensor(a).reshape(-1), 0) if axis is None else function(a, axis)

    return call


def sections(a, parts, axis=0):
    """np.split: a number of equal parts, or where to cut."""
    t = as_tensor(a)
    n = t.shape[shape.dim_of(axis, t.ndim, "split")]
    if not isinstance(parts, (int, np.integer)):
        cuts = [0, *[int(p) for p in parts], n]
        return list(join.split(t, [stop - start for start, stop in pairwise(cuts)], axis))
    if n % parts:
        raise ValueError(f"split: {n} elements do not divide into {parts} equal parts")
    return list(join.split(t, max(n // parts, 1), axis))


def expand_dims(a, axis):
    t = as_tensor(a)
    axes = axis if isinstance(axis, tuple) else (axis,)
    for d in sorted(shape.dims_of(axes, t.ndim + len(axes), "expand_dims")):
        t = shape.unsqueeze(t, d)
    return t


def transpose(a, axes=None):
    return shape.reverse_dims(a) if axes is None else shape.permute(a, *axes)


def repeat(a, repeats, axis=None):
    return join.repeat_interleave(a, repeats, axis)


def padded(array, pad_width, mode="constant", constant_values=0):
    """np.pad with a number, a pair, or one pair per dim."""
    t = as_tensor(array)
    widths = np.broadcast_to(np.asarray(pad_width), (t.ndim, 2)).tolist()
    modes = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
    return join.pad_dims(t, [tuple(w) for w in widths], modes.get(mode, mode), constant_values)


def array_equal(a1, a2):
    return compare.equal(a1, a2)


def take(a, indices, axis=None):
    t = as_tensor(a)
    t, axis = (t.reshape(-1), 0) if axis is None else (t, shape.dim_of(axis, t.ndim, "take"))
    return t[(slice(None),) * axis + (indices,)]


def like(function):
    return lambda a, *value, dtype=None: function(a, *value, dtype=dtype)


def copyto(dst, src):
    if not isinstance(dst, Tensor):
        raise TypeError("np.copyto: a dl tensor cannot be copied into an array; use t.detach().numpy()")
    dst.copy_(src)


FUNCTIONS = {
    np.stack: lambda arrays, axis=0: join.stack(list(arrays), axis),
    np.concatenate: lambda arrays, axis=0: join.cat(list(arrays), axis),
    np.hstack: lambda tup: join.hstack(tup), np.vstack: lambda tup: join.vstack(tup), np.split: sections,
    np.where: lambda condition, x=None, y=None: ew.where(condition, x, y),
    np.clip: lambda a, a_min=None, a_max=None, *, min=None, max=None: ew.clamp(
        a, a_min if min is None else min, a_max if max is None else max
    ),
    np.sum: reduction(reduce.sum), np.mean: reduction(reduce.mean), np.prod: reduction(reduce.prod),
    np.max: reduction(reduce.amax), np.amax: reduction(reduce.amax), np.min: reduction(reduce.amin),
    np.amin: reduction(reduce.amin), np.any: reduction(reduce.any), np.all: reduction(reduce.all),
    np.argmax: reduction(reduce.argmax), np.argmin: reduction(reduce.argmin), np.var: moments(reduce.var),
    np.std: moments(reduce.std), np.count_nonzero: lambda a, axis=None: reduce.count_nonzero(a, axis),
    np.cumsum: along(scan_ops.cumsum), np.cumprod: along(scan_ops.cumprod),
    np.diff: lambda a, n=1, axis=-1: scan_ops.diff(a, n, axis),
    np.sort: lambda a, axis=-1, *, kind=None, stable=None: sorting.sort(a, axis).values,
    np.argsort: lambda a, axis=-1, *, kind=None, stable=None: sorting.argsort(a, axis),
    np.einsum: lambda subscripts, *operands, optimize=None: einsum(subscripts, *operands),
    np.dot: lambda a, b: linear.matmul(a, b) if np.ndim(a) and np.ndim(b) else ew.mul(a, b),
    np.outer: lambda a, b: linear.outer(as_tensor(a).reshape(-1), as_tensor(b).reshape(-1)),
    np.trace: lambda a, offset=0: reduce.sum(shape.diagonal(a, offset), -1),
    np.diagonal: lambda a, offset=0, axis1=0, axis2=1: shape.diagonal(a, offset, axis1, axis2),
    np.diag: lambda v, k=0: shape.diag(v, k), np.tril: lambda m, k=0: join.tril(m, k),
    np.triu: lambda m, k=0: join.triu(m, k),
    np.reshape: lambda a, shape_=None, **kw: shape.reshape(a, kw.get("shape", shape_)),
    np.ravel: lambda a: shape.reshape(a, -1), np.transpose: transpose,
    np.swapaxes: lambda a, axis1, axis2: shape.transpose(a, axis1, axis2),
    np.moveaxis: lambda a, source, destination: shape.movedim(a, source, destination),
    np.squeeze: lambda a, axis=None: shape.squeeze(a, axis), np.expand_dims: expand_dims,
    np.broadcast_to: lambda array, shape_=None, **kw: shape.broadcast_to(array, kw.get("shape", shape_)),
    np.broadcast_arrays: lambda *args: shape.broadcast_tensors(*args),
    np.flip: lambda m, axis=None: join.flip(m, axis), np.roll: lambda a, shift, axis=None: join.roll(a, shift, axis),
    np.tile: lambda A, reps: join.tile(A, reps), np.repeat: repeat, np.pad: padded, np.take: take,
    np.take_along_axis: lambda arr, indices, axis=-1: gather.take_along_dim(arr, indices, axis),
    np.meshgrid: lambda *xi, indexing="xy": list(join.meshgrid(*xi, indexing=indexing)),
    np.zeros_like: like(creation.zeros_like), np.ones_like: like(creation.ones_like),
    np.full_like: like(creation.full_like), np.empty_like: like(creation.empty_like),
    np.copy: lambda a: shape.clone(a), np.copyto: copyto, np.array_equal: array_equal,
    np.allclose: lambda a, b, rtol=1e-5, atol=1e-8, equal_nan=False: compare.allclose(a, b, rtol, atol, equal_nan),
    np.isclose: lambda a, b, rtol=1e-5, atol=1e-8, equal_nan=False: compare.isclose(a, b, rtol, atol, equal_nan),
    np.nan_to_num: lambda x, *, nan=0.0, posinf=None, neginf=None: special.nan_to_num(x, nan, posinf, neginf),
    np.sinc: special.sinc, np.round: lambda a, decimals=0: compare.round(a, decimals),
    np.nonzero: lambda a: index.nonzero(a, as_tuple=True), np.argwhere: lambda a: index.nonzero(a),
    np.shape: lambda a: a.shape, np.ndim: lambda a: a.ndim, np.size: lambda a, axis=None: (
        a.array.size if axis is None else a.shape[axis]
    ),
    np.result_type: lambda *args: np.result_type(*[a.dtype if isinstance(a, Tensor) else a for a in args]),
    np.array_repr: lambda arr: repr(arr), np.array_str: lambda a: str(a),
}  # fmt: skip

LINALG = {
    np.linalg.solve: "solve", np.linalg.inv: "inv", np.linalg.det: "det", np.linalg.slogdet: "slogdet",
    np.linalg.cholesky: "cholesky", np.linalg.eigh: "eigh", np.linalg.qr: "qr", np.linalg.pinv: "pinv",
}  # fmt: skip


def vector_norm(x, ord=None, axis=None, keepdims=False):
    """np.linalg.norm of vectors, or the Frobenius norm of everything."""
    t = as_tensor(x)
    matrix = (t.ndim == 2 and axis is None) or (isinstance(axis, tuple) and len(axis) == 2)
    if matrix and ord not in (None, "fro"):
        raise TypeError(f"np.linalg.norm: ord={ord!r} of a matrix has no counterpart for dl tensors")
    return reduce.norm(t, 2 if ord is None else ord, axis, keepdims)


FUNCTIONS[np.linalg.norm] = vector_norm


def __array_function__(x: Tensor, func, types, args, kwargs):
    """func(*args, **kwargs) by operations of the table."""
    if func in LINALG:
        from dl import linalg

        return getattr(linalg, LINALG[func])(*args, **kwargs)
    if func not in FUNCTIONS:
        name = f"{func.__module__}.{func.__name__}".replace("numpy", "np", 1)
        raise TypeError(f"{name} has no counterpart for dl tensors; use t.detach().numpy(), or a function of dl")
    return FUNCTIONS[func](*args, **kwargs)


Tensor.__array_ufunc__ = __array_ufunc__
Tensor.__array_function__ = __array_function__
