"""Running sums and products along a dim."""

import numpy as np

from dl import reduce_kernels as kernels
from dl.ops.base import as_tensor, numeric
from dl.ops.elementwise import where
from dl.ops.join import cat, flip, part
from dl.ops.shape import dim_of
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor


def cumsum_back(g: Tensor, dim: int) -> Tensor:
    """Running sums from the end."""
    return flip(cumsum(flip(g, dim), dim), dim)


def cumprod_rule(g, out, x, *, dim):
    """dx_i = sum_{j >= i} g_j prod_{k <= j, k != i} x_k.

    That is sum_{j >= i} g_j out_j / x_i where x_i is not 0. The first 0 in a line, z, needs the products without it,
    and after it every sum is 0 because every product contains x_z.
    """
    (dim,) = dim
    zero = x == 0
    first = zero & (cumsum(zero, dim) == 1)
    without = cumsum_back(g * cumprod(where(first, 1.0, x), dim), dim)
    return where(first, without, cumsum_back(g * out, dim) / where(zero, 1.0, x))


def product_rule(g, out, x):
    """dx_i = g times the product of all before i and all after it."""
    n = x.array.shape[-1]
    if n < 2:
        return g.unsqueeze(-1).expand(x.array.shape)
    one = Tensor(np.ones((*x.array.shape[:-1], 1), x.array.dtype))
    before = cat([one, cumprod(part(x, x.ndim - 1, 0, n - 1), -1)], -1)
    after = cat([flip(cumprod(flip(part(x, x.ndim - 1, 1, n), -1), -1), -1), one], -1)
    return g.unsqueeze(-1) * before * after


CUMSUM = Primitive(
    "cumsum",
    kernels.cumsum,
    vjp=(lambda g, out, x, *, dim: cumsum_back(g, *dim),),
    saves=(),
    linear=True,
)
CUMPROD = Primitive("cumprod", kernels.cumprod, vjp=(cumprod_rule,), saves=(0, "out"))
PROD = Primitive("prod", lambda x: x.prod(-1), vjp=(product_rule,), saves=(0,))
TABLE = {row.name: row for row in (CUMSUM, CUMPROD, PROD)}


def along(row: Primitive, x: Tensor, dim: int) -> Tensor:
    if x.array.ndim == 0:
        dim_of(dim, 0, row.name)
        return along(row, x.reshape(1), 0).reshape(())
    return apply(row, (x,), {"dim": (dim_of(dim, x.array.ndim, row.name),)})


def cumsum(x, dim: int) -> Tensor:
    """Running sums along a dim, sum_{j <= i} x_j; bool gives int64."""
    return along(CUMSUM, as_tensor(x), dim)


def cumprod(x, dim: int) -> Tensor:
    """Running products along a dim; the first derivative is right where elements are 0 too.

    The second one is so for at most one 0 per line.
    """
    return along(CUMPROD, numeric(x, "cumprod"), dim)


def product(x: Tensor) -> Tensor:
    """The product over the last dim."""
    return apply(PROD, (x,))


def diff(x, n: int = 1, dim: int = -1) -> Tensor:
    """x_{i+1} - x_i along a dim, n times over."""
    x = as_tensor(x)
    d = dim_of(dim, x.ndim, "diff")
    for _ in range(n):
        size = x.shape[d]
        x = part(x, d, 1, size) - part(x, d, 0, max(size - 1, 0))
    return x
