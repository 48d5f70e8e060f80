"""Tensors, autodiff and kernels in C; needs NumPy and SciPy only. Names and meanings are PyTorch's."""
# ruff: noqa: F401, I001  (a door: everything here is for others)
# fmt: off

import importlib

from dl import methods
from dl.creation import (
    arange, asarray, empty, empty_like, eye, from_numpy, full, full_like, linspace, ones, ones_like, tensor, zeros,
    zeros_like,
)
from dl.kernel import backend
from dl.ops.compare import (
    allclose, bitwise_and, bitwise_not, bitwise_or, bitwise_xor, ceil, eq, equal, floor, floor_divide, frac, ge, gt,
    isclose, isfinite, isinf, isnan, le, logical_and, logical_not, logical_or, logical_xor, lt, ne, round, sign, trunc,
)
from dl.ops.einsum import einsum
from dl.ops.elementwise import (
    abs, add, clamp, maximum, minimum, mul, neg, pow, reciprocal, relu, remainder, rsqrt, sqrt, square, sub, where,
)
from dl.ops.gather import gather, index_add, masked_fill, masked_select, scatter, scatter_add, take_along_dim
from dl.ops.index import index_select, nonzero, one_hot
from dl.ops.join import (
    cat, chunk, flip, hstack, meshgrid, repeat_interleave, roll, split, stack, tile, tril, triu, unbind, vstack,
)
from dl.ops.linear import addmm, bmm, dot, matmul, mm, mv, outer
from dl.ops.reduce import (
    all, amax, amin, any, argmax, argmin, count_nonzero, max, mean, min, norm, prod, std, sum, var,
)
from dl.ops.scan_ops import cumprod, cumsum, diff
from dl.ops.shape import (
    broadcast_tensors, broadcast_to, clone, diag, diag_embed, diagonal, expand, flatten, movedim, permute, reshape,
    squeeze, transpose, unflatten, unsqueeze,
)
from dl.ops.softmax import log_softmax, logsumexp, softmax
from dl.ops.sorting import argsort, median, sort, topk
from dl.ops.special import (
    acos, acosh, asin, asinh, atan, atan2, atanh, cos, cosh, digamma, erf, erfc, erfinv, exp, exp2, expm1, hypot,
    lgamma, log, log10, log1p, log2, logaddexp, nan_to_num, polygamma, sigmoid, sin, sinc, sinh, tan, tanh, xlogy,
)
from dl.tape import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from dl.tensor import Tensor, float32, float64, int64
from dl.trace import detect_anomaly
from dl.ops.compare import divide as div
from dl.ops.elementwise import clamp as clip
from dl.tensor import bool_ as bool
# fmt: on

LAZY = {
    "Function": "dl.function",
    "Generator": "dl.random",
    "grad": "dl.transforms",
    "gradcheck": "dl.check",
    "gradgradcheck": "dl.check",
    "hessian": "dl.transforms",
    "hvp": "dl.transforms",
    "jacobian": "dl.transforms",
    "jit": "dl.recorder.jit",
    "jvp": "dl.transforms",
    "linearize": "dl.transforms",
    "load": "dl.state",
    "save": "dl.state",
    "scan": "dl.checkpoint",
    "value_and_grad": "dl.transforms",
    "vjp": "dl.transforms",
    "vmap": "dl.transforms",
}
MODULES = (
    "autograd",
    "checkpoint",
    "data",
    "distributions",
    "export",
    "functional",
    "linalg",
    "nn",
    "optim",
    "random",
    "transforms",
)


def __getattr__(name: str):
    if name in LAZY:
        value = getattr(importlib.import_module(LAZY[name]), name)
        globals()[name] = value
        return value
    if name in MODULES:
        return importlib.import_module(f"dl.{name}")
    raise AttributeError(f"module 'dl' has no attribute {name!r}")
