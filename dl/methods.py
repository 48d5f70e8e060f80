"""The methods of Tensor, in one table."""

import builtins

import numpy as np

from dl import backward as sweep
from dl.hooks import register_hook, retain_grad
from dl.ops import compare, gather, index, inplace, join, linear, reduce, scan_ops, shape, softmax, sorting, special
from dl.ops import elementwise as ew
from dl.ops.base import as_tensor, cast, standard
from dl.tape import detach
from dl.tensor import Tensor, bool_, float32, float64, int64
from dl.trace import guard


def backward(x: Tensor, gradient=None, retain_graph: builtins.bool | None = None, create_graph: builtins.bool = False):
    """Add d<x, gradient>/d(leaf) to the .grad of every leaf that requires it.

    gradient: of the shape and dtype of x; may be left out for a single number (1 then). retain_graph is accepted and
    has no effect: the graph lives as long as its tensors. create_graph: gradients are differentiable themselves.
    Raises RuntimeError where nothing requires a gradient, or where a value that is needed was changed in place.
    """
    if gradient is not None and not isinstance(gradient, Tensor):
        gradient = as_tensor(gradient, x.dtype)
    sweep.backward(x, gradient, create_graph=create_graph)


def requires_grad_(x: Tensor, requires_grad: builtins.bool = True) -> Tensor:
    """Set requires_grad of a leaf; TypeError for integers and bools, RuntimeError for results of operations."""
    if requires_grad and x.dtype.kind != "f":
        raise TypeError(f"requires_grad_: only float32 and float64 have gradients, got {x.dtype}")
    if x._node is not None and not requires_grad:
        raise RuntimeError("requires_grad_: this is the result of an operation, not a leaf; use .detach()")
    x.requires_grad = requires_grad
    return x


def numpy(x: Tensor) -> np.ndarray:
    """The array, sharing memory; RuntimeError where x requires a gradient (use .detach().numpy())."""
    guard(x, "numpy()")
    if x.requires_grad:
        raise RuntimeError("numpy(): the tensor requires a gradient, which would be lost; use .detach().numpy()")
    return x.array


def __array__(x: Tensor, dtype=None, copy=None) -> np.ndarray:
    array = numpy(x)
    if copy:
        return array.astype(dtype or array.dtype, copy=True)
    return array if dtype is None or array.dtype == dtype else array.astype(dtype)


def __array_ufunc__(x: Tensor, *args, **kwargs):
    from dl import numpy_protocol  # puts its own in this place

    return numpy_protocol.__array_ufunc__(x, *args, **kwargs)


def __array_function__(x: Tensor, *args, **kwargs):
    from dl import numpy_protocol

    return numpy_protocol.__array_function__(x, *args, **kwargs)


def item(x: Tensor):
    """The number in a tensor with one element; ValueError for more."""
    guard(x, "item()")
    if x.array.size != 1:
        raise ValueError(f"item: wanted a tensor with one element, got shape {list(x.shape)}")
    return x.array.item()


def tolist(x: Tensor):
    """Nested lists of Python numbers."""
    guard(x, "tolist()")
    return x.array.tolist()


def number(kind):
    """float(x), int(x), bool(x) of a tensor with one element."""

    def convert(x: Tensor):
        guard(x, f"{kind.__name__}()")
        if x.array.size != 1:
            hint = "; use .any() or .all()" if kind is builtins.bool else ""
            raise ValueError(f"{kind.__name__}: wanted a tensor with one element, got shape {list(x.shape)}{hint}")
        return kind(x.array.item())

    return convert


def __index__(x: Tensor) -> int:
    if x.dtype != int64 or x.array.size != 1:
        raise TypeError(f"only int64 tensors with one element can be an index, got {x.dtype}, shape {list(x.shape)}")
    return item(x)


def __format__(x: Tensor, spec: str) -> str:
    return format(item(x), spec) if spec and x.array.size == 1 else format(repr(x), spec)


def __contains__(x: Tensor, value) -> builtins.bool:
    return builtins.bool(reduce.any(compare.eq(x, value)))


def __deepcopy__(x: Tensor, memo: dict) -> Tensor:
    if x._node is not None:
        raise RuntimeError("deepcopy: only leaves can be copied with their past; use .detach().clone()")
    made = memo[id(x)] = Tensor(x.array.copy())
    made.requires_grad, made._parameter = x.requires_grad, x._parameter
    made._grad = None if x._grad is None else x._grad.detach().clone()
    return made


def to(x: Tensor, dtype) -> Tensor:
    """x in another dtype (or in that of a tensor); x itself where it has it."""
    if isinstance(dtype, str) and dtype == "cpu":
        return x
    return cast(x, standard(dtype.dtype if isinstance(dtype, Tensor) else dtype, "to"))


def size(x: Tensor, dim: int | None = None):
    """The shape, or one of its sizes."""
    return x.array.shape if dim is None else x.array.shape[shape.dim_of(dim, x.ndim, "size")]


def reflected(function):
    """The operator with its operands the other way round."""
    return lambda x, other: function(other, x)


DUNDERS = {
    "__add__": ew.add, "__radd__": reflected(ew.add), "__iadd__": inplace.add_,
    "__sub__": ew.sub, "__rsub__": reflected(ew.sub), "__isub__": inplace.sub_,
    "__mul__": ew.mul, "__rmul__": reflected(ew.mul), "__imul__": inplace.mul_,
    "__truediv__": ew.div, "__rtruediv__": reflected(ew.div), "__itruediv__": inplace.div_,
    "__pow__": ew.pow, "__rpow__": reflected(ew.pow), "__ipow__": inplace.pow_,
    "__mod__": ew.remainder, "__rmod__": reflected(ew.remainder),
    "__floordiv__": compare.floor_divide, "__rfloordiv__": reflected(compare.floor_divide),
    "__matmul__": linear.matmul, "__rmatmul__": reflected(linear.matmul),
    "__neg__": ew.neg, "__pos__": lambda x: x, "__abs__": ew.abs, "__invert__": compare.bitwise_not,
    "__eq__": compare.eq, "__ne__": compare.ne, "__lt__": compare.lt, "__le__": compare.le,
    "__gt__": compare.gt, "__ge__": compare.ge,
    "__and__": compare.bitwise_and, "__rand__": reflected(compare.bitwise_and),
    "__or__": compare.bitwise_or, "__ror__": reflected(compare.bitwise_or),
    "__xor__": compare.bitwise_xor, "__rxor__": reflected(compare.bitwise_xor),
    "__getitem__": index.getitem, "__setitem__": index.setitem, "__contains__": __contains__,
    "__bool__": number(builtins.bool), "__float__": number(builtins.float), "__int__": number(int),
    "__index__": __index__, "__format__": __format__, "__array__": __array__,
    "__array_ufunc__": __array_ufunc__, "__array_function__": __array_function__, "__deepcopy__": __deepcopy__,
}  # fmt: skip

METHODS = {
    "backward": backward, "detach": detach, "requires_grad_": requires_grad_, "retain_grad": retain_grad,
    "register_hook": register_hook, "numpy": numpy, "item": item, "tolist": tolist, "to": to, "type": to, "astype": to,
    "float": lambda x: cast(x, float32), "double": lambda x: cast(x, float64), "long": lambda x: cast(x, int64),
    "bool": lambda x: cast(x, bool_), "type_as": lambda x, other: cast(x, other.dtype), "size": size,
    "dim": lambda x: x.array.ndim, "numel": lambda x: x.array.size, "element_size": lambda x: x.array.itemsize,
    "is_contiguous": lambda x: x.array.flags.c_contiguous, "is_floating_point": lambda x: x.array.dtype.kind == "f",
    # arithmetic
    "add": ew.add, "sub": ew.sub, "mul": ew.mul, "div": compare.divide, "neg": ew.neg, "pow": ew.pow,
    "square": ew.square, "abs": ew.abs, "sqrt": ew.sqrt, "rsqrt": ew.rsqrt, "reciprocal": ew.reciprocal,
    "remainder": ew.remainder, "floor_divide": compare.floor_divide, "maximum": ew.maximum, "minimum": ew.minimum,
    "clamp": ew.clamp, "clip": ew.clamp, "where": lambda x, condition, other: ew.where(condition, x, other),
    "sign": compare.sign, "floor": compare.floor, "ceil": compare.ceil, "trunc": compare.trunc, "round": compare.round,
    "frac": compare.frac,
    # comparison and logic
    "eq": compare.eq, "ne": compare.ne, "lt": compare.lt, "le": compare.le, "gt": compare.gt, "ge": compare.ge,
    "logical_and": compare.logical_and, "logical_or": compare.logical_or, "logical_xor": compare.logical_xor,
    "logical_not": compare.logical_not, "isnan": compare.isnan, "isinf": compare.isinf, "isfinite": compare.isfinite,
    "isclose": compare.isclose, "allclose": compare.allclose, "equal": compare.equal,
    # functions
    "exp": special.exp, "exp2": special.exp2, "expm1": special.expm1, "log": special.log, "log2": special.log2,
    "log10": special.log10, "log1p": special.log1p, "sin": special.sin, "cos": special.cos, "tan": special.tan,
    "asin": special.asin, "acos": special.acos, "atan": special.atan, "atan2": special.atan2, "sinh": special.sinh,
    "cosh": special.cosh, "tanh": special.tanh, "asinh": special.asinh, "acosh": special.acosh, "atanh": special.atanh,
    "erf": special.erf, "erfc": special.erfc, "erfinv": special.erfinv, "sigmoid": special.sigmoid, "relu": ew.relu,
    "lgamma": special.lgamma, "digamma": special.digamma, "hypot": special.hypot, "logaddexp": special.logaddexp,
    "xlogy": special.xlogy, "nan_to_num": special.nan_to_num, "sinc": special.sinc, "softmax": softmax.softmax,
    "log_softmax": softmax.log_softmax,
    # reductions
    "sum": reduce.sum, "mean": reduce.mean, "var": reduce.var, "std": reduce.std, "prod": reduce.prod,
    "max": reduce.max, "min": reduce.min, "amax": reduce.amax, "amin": reduce.amin, "argmax": reduce.argmax,
    "argmin": reduce.argmin, "any": reduce.any, "all": reduce.all, "norm": reduce.norm,
    "count_nonzero": reduce.count_nonzero, "logsumexp": softmax.logsumexp, "cumsum": scan_ops.cumsum,
    "cumprod": scan_ops.cumprod, "diff": scan_ops.diff, "sort": sorting.sort, "argsort": sorting.argsort,
    "topk": sorting.topk, "median": sorting.median,
    # shapes
    "reshape": shape.reshape, "view": shape.reshape, "permute": shape.permute, "transpose": shape.transpose,
    "swapaxes": shape.transpose, "movedim": shape.movedim, "expand": shape.expand, "expand_as": shape.expand_as,
    "broadcast_to": shape.broadcast_to, "squeeze": shape.squeeze, "unsqueeze": shape.unsqueeze,
    "flatten": shape.flatten, "unflatten": shape.unflatten, "diagonal": shape.diagonal, "diag": shape.diag,
    "diag_embed": shape.diag_embed, "clone": shape.clone, "contiguous": shape.contiguous, "split": join.split,
    "chunk": join.chunk, "unbind": join.unbind, "flip": join.flip, "roll": join.roll, "repeat": join.repeat,
    "tile": join.tile, "repeat_interleave": join.repeat_interleave, "tril": join.tril, "triu": join.triu,
    # indexing
    "gather": gather.gather, "scatter": gather.scatter, "scatter_add": gather.scatter_add,
    "index_add": gather.index_add, "index_select": index.index_select, "take_along_dim": gather.take_along_dim,
    "masked_fill": gather.masked_fill, "masked_select": gather.masked_select, "nonzero": index.nonzero,
    # products
    "matmul": linear.matmul, "mm": linear.mm, "mv": linear.mv, "bmm": linear.bmm, "dot": linear.dot,
    "outer": linear.outer,
    # in place
    "copy_": inplace.copy_, "add_": inplace.add_, "sub_": inplace.sub_, "mul_": inplace.mul_, "div_": inplace.div_,
    "pow_": inplace.pow_, "clamp_": inplace.clamp_, "relu_": inplace.relu_, "masked_fill_": inplace.masked_fill_,
    "fill_": inplace.fill_, "zero_": inplace.zero_,
}  # fmt: skip

PROPERTIES = {
    "T": shape.reverse_dims,
    "mT": lambda x: shape.transpose(x, -1, -2),
    "data": detach,
    "nbytes": lambda x: x.array.nbytes,
}

for _name, _method in (DUNDERS | METHODS).items():
    setattr(Tensor, _name, _method)
for _name, _getter in PROPERTIES.items():
    setattr(Tensor, _name, property(_getter))
