"""Reductions: sum, mean, var, max, norm and their like over one dim, several, or all (dim=None)."""

import builtins
import math
from typing import NamedTuple

from dl import reduce_kernels as kernels
from dl.ops.base import as_tensor, floating, numeric
from dl.ops.elementwise import abs, div, sqrt, square, where
from dl.ops.shape import dim_of, dims_of, expand, permute, reshape
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor, bool_


def kept(shape: tuple[int, ...], dim: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a reduction with keepdim=True."""
    return tuple([1 if i in dim else n for i, n in enumerate(shape)])


def beside(t: Tensor, x: Tensor, dim: tuple[int, ...]) -> Tensor:
    """Something of the shape of a reduction of x, with its dims back (of size 1)."""
    return reshape(t, kept(x.array.shape, dim))


def sum_rule(g, out, x, *, dim):
    return expand(g if len(dim) == x.array.ndim else beside(g, x, dim), x.array.shape)


def share_of_ties(g, out, x, *, dim):
    """The gradient goes in equal parts to all elements that equal the extremum."""
    mask = x == beside(out, x, dim)
    return where(mask, beside(g / sum(mask, dim).to(g.dtype), x, dim), 0.0)


def extremum_jvp(ts, out, x, *, dim):
    mask = x == beside(out, x, dim)
    return sum(where(mask, ts[0], 0.0), dim) / sum(mask, dim).to(out.dtype)


SUM = Primitive("sum", kernels.sum, vjp=(sum_rule,), saves=(), linear=True)
AMAX = Primitive("amax", kernels.max, vjp=(share_of_ties,), jvp=extremum_jvp, saves=(0, "out"))
AMIN = Primitive("amin", kernels.min, vjp=(share_of_ties,), jvp=extremum_jvp, saves=(0, "out"))
ANY = Primitive("any", kernels.any, differentiable=False)
ALL = Primitive("all", kernels.all, differentiable=False)
ARGMAX = Primitive("argmax", kernels.argmax, differentiable=False)
ARGMIN = Primitive("argmin", kernels.argmin, differentiable=False)
TABLE = {p.name: p for p in (SUM, AMAX, AMIN, ANY, ALL, ARGMAX, ARGMIN)}


class Extremum(NamedTuple):
    """What max(x, dim) and its like return: the values and where they are along the dim."""

    values: Tensor
    indices: Tensor


def reduced(p: Primitive, x: Tensor, dim, keepdim: bool) -> Tensor:
    """p over dim; the kernels leave the reduced dims out, and keepdim puts them back."""
    dims = dims_of(dim, x.array.ndim, p.name)
    out = apply(p, (x,), {"dim": dims})
    return reshape(out, kept(x.array.shape, dims)) if keepdim else out


def sum(x, dim=None, keepdim: bool = False) -> Tensor:
    """The sum over dim (an int, a tuple, or None for all); bool gives int64."""
    return reduced(SUM, x if type(x) is Tensor else as_tensor(x), dim, keepdim)


def count(x: Tensor, dim) -> int:
    """How many elements a reduction takes together."""
    return math.prod([x.array.shape[d] for d in dims_of(dim, x.array.ndim, "mean")])


def mean(x, dim=None, keepdim: bool = False) -> Tensor:
    """The mean over dim; of no elements it is NaN."""
    x = floating(x)
    return div(sum(x, dim, keepdim), float(count(x, dim)))


def var(x, dim=None, correction: float = 1, keepdim: bool = False) -> Tensor:
    """sum (x - mean)^2 / (n - correction), the sample variance by default; NaN where n <= correction."""
    x = floating(x)
    n = float(count(x, dim) - correction)
    return div(sum(square(x - mean(x, dim, True)), dim, keepdim), builtins.max(n, 0.0))


def std(x, dim=None, correction: float = 1, keepdim: bool = False) -> Tensor:
    """The square root of var; its gradient at 0 is not finite."""
    return sqrt(var(x, dim, correction, keepdim))


def extreme(p: Primitive, x, dim, keepdim: bool) -> Tensor:
    x = as_tensor(x)
    dims = dims_of(dim, x.ndim, p.name)
    if not count(x, dims):
        raise ValueError(f"{p.name}: the reduction over dim {dims} of shape {list(x.shape)} has no elements")
    return reduced(p, x, dims, keepdim)


def amax(x, dim=None, keepdim: bool = False) -> Tensor:
    """The largest element over dim; elements that tie share the gradient. Raises ValueError for no elements."""
    return extreme(AMAX, x, dim, keepdim)


def amin(x, dim=None, keepdim: bool = False) -> Tensor:
    """The smallest element over dim; elements that tie share the gradient. Raises ValueError for no elements."""
    return extreme(AMIN, x, dim, keepdim)


def index_of(p: Primitive, x, dim, keepdim: bool) -> Tensor:
    x = as_tensor(x)
    if dim is None:
        found = index_of(p, reshape(x, -1), 0, False)
        return reshape(found, (1,) * x.ndim) if keepdim else found
    if x.ndim == 0:
        x = reshape(x, 1)
        return reshape(index_of(p, x, dim_of(dim, 0, p.name), False), ())
    d = dim_of(dim, x.ndim, p.name)
    if not x.shape[d]:
        raise ValueError(f"{p.name}: dim {d} of shape {list(x.shape)} has no elements")
    out = apply(p, (x,), {"dim": (d,)})
    return reshape(out, kept(x.shape, (d,))) if keepdim else out


def argmax(x, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest element is along dim (of flat x for None), int64; the first of several."""
    return index_of(ARGMAX, x, dim, keepdim)


def argmin(x, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest element is along dim (of flat x for None), int64; the first of several."""
    return index_of(ARGMIN, x, dim, keepdim)


def extremum(p: Primitive, x, dim, keepdim: bool) -> Extremum:
    """Values by index, so that one element gets the whole gradient."""
    from dl.ops.gather import take_along_dim

    x = as_tensor(x)
    if x.ndim == 0:
        return Extremum(x.clone(), index_of(p, x, dim, False))
    d = dim_of(dim, x.ndim, p.name)
    indices = index_of(p, x, d, True)
    values = take_along_dim(x, indices, d)
    if keepdim:
        return Extremum(values, indices)
    shape = x.shape[:d] + x.shape[d + 1 :]
    return Extremum(reshape(values, shape), reshape(indices, shape))


def max(x, dim=None, keepdim: bool = False):
    """The largest element of all, or (values, indices) along a dim; max(x, y) for a tensor y is maximum(x, y)."""
    if isinstance(dim, Tensor):
        return as_tensor(x).maximum(dim)
    return amax(x) if dim is None else extremum(ARGMAX, x, dim, keepdim)


def min(x, dim=None, keepdim: bool = False):
    """The smallest element of all, or (values, indices) along a dim; min(x, y) for a tensor y is minimum(x, y)."""
    if isinstance(dim, Tensor):
        return as_tensor(x).minimum(dim)
    return amin(x) if dim is None else extremum(ARGMIN, x, dim, keepdim)


def any(x, dim=None, keepdim: bool = False) -> Tensor:
    """Whether one element over dim is not zero."""
    return reduced(ANY, as_tensor(x), dim, keepdim)


def all(x, dim=None, keepdim: bool = False) -> Tensor:
    """Whether all elements over dim are not zero."""
    return reduced(ALL, as_tensor(x), dim, keepdim)


def count_nonzero(x, dim=None) -> Tensor:
    """How many elements over dim are not zero, int64."""
    x = as_tensor(x)
    return sum(x if x.dtype == bool_ else x != 0, dim)


def prod(x, dim=None, keepdim: bool = False) -> Tensor:
    """The product over dim; the gradient is right where elements are 0 too."""
    from dl.ops.scan_ops import product

    x = numeric(x, "prod")
    dims = dims_of(dim, x.ndim, "prod")
    rest = [d for d in range(x.ndim) if d not in dims]
    flat = reshape(permute(x, *rest, *dims), (*[x.shape[d] for d in rest], count(x, dims)))
    return reshape(product(flat), kept(x.shape, dims) if keepdim else tuple([x.shape[d] for d in rest]))


def norm(x, p: float = 2, dim=None, keepdim: bool = False) -> Tensor:
    """(sum |x|^p)^(1/p) over dim (all elements by default); p may be 0, inf, -inf. The gradient at 0 is 0 for p = 2."""
    x = floating(x)
    if p == 2 or p == "fro":
        squares = sum(square(x), dim, keepdim)
        zero = squares == 0
        return where(zero, 0.0, sqrt(where(zero, 1.0, squares)))
    if p == 1:
        return sum(abs(x), dim, keepdim)
    if p in (math.inf, -math.inf):
        return (amax if p > 0 else amin)(abs(x), dim, keepdim)
    if p == 0:
        return sum((x != 0).to(x.dtype), dim, keepdim)
    return sum(abs(x) ** p, dim, keepdim) ** (1.0 / p)
