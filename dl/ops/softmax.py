"""softmax, log_softmax and logsumexp along one dim."""

from dl import nn_kernels as kernels
from dl.ops.base import floating
from dl.ops.rules import batch_beside_dim
from dl.ops.shape import dim_of, dims_of
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor


def softmax_backward(g, y, *, dim) -> Tensor:
    """The gradient of softmax in terms of its result: y (g - <g, y>); linear in g."""
    return apply(SOFTMAX_BACKWARD, (g, y), {"dim": dim})


def log_softmax_backward(g, y, *, dim) -> Tensor:
    """The gradient of log_softmax in terms of its result: g - e^y sum(g); linear in g."""
    return apply(LOG_SOFTMAX_BACKWARD, (g, y), {"dim": dim})


def inner(a, b, dim) -> Tensor:
    return (a * b).sum(dim, keepdim=True)


SOFTMAX = Primitive(
    "softmax",
    kernels.softmax,
    vjp=(lambda g, y, x, *, dim: softmax_backward(g, y, dim=dim),),
    jvp=lambda ts, y, x, *, dim: softmax_backward(ts[0], y, dim=dim),  # the Jacobian is symmetric
    batch=batch_beside_dim(lambda: SOFTMAX),
    saves=("out",),
)
SOFTMAX_BACKWARD = Primitive(
    "softmax_backward",
    kernels.softmax_backward,
    vjp=(
        lambda h, out, g, y, *, dim: softmax_backward(h, y, dim=dim),
        lambda h, out, g, y, *, dim: h * (g - inner(g, y, dim)) - g * inner(h, y, dim),
    ),
    composed=lambda g, y, *, dim: y * (g - inner(g, y, dim)),
    batch=batch_beside_dim(lambda: SOFTMAX_BACKWARD),
    saves=(0, 1),
)
LOG_SOFTMAX = Primitive(
    "log_softmax",
    kernels.log_softmax,
    vjp=(lambda g, y, x, *, dim: log_softmax_backward(g, y, dim=dim),),
    jvp=lambda ts, y, x, *, dim: ts[0] - inner(y.exp(), ts[0], dim),
    batch=batch_beside_dim(lambda: LOG_SOFTMAX),
    saves=("out",),
)
LOG_SOFTMAX_BACKWARD = Primitive(
    "log_softmax_backward",
    kernels.log_softmax_backward,
    vjp=(
        lambda h, out, g, y, *, dim: h - inner(h, y.exp(), dim),
        lambda h, out, g, y, *, dim: -(h * y.exp() * g.sum(dim, keepdim=True)),
    ),
    composed=lambda g, y, *, dim: g - y.exp() * g.sum(dim, keepdim=True),
    batch=batch_beside_dim(lambda: LOG_SOFTMAX_BACKWARD),
    saves=(0, 1),
)
LOGSUMEXP = Primitive(
    "logsumexp",
    kernels.logsumexp,
    vjp=(lambda g, out, x, *, dim: g.unsqueeze(dim) * (x - out.unsqueeze(dim)).exp(),),
    jvp=lambda ts, out, x, *, dim: ((x - out.unsqueeze(dim)).exp() * ts[0]).sum(dim),
    batch=batch_beside_dim(lambda: LOGSUMEXP),
)


def softmax(x, dim: int) -> Tensor:
    """e^x_i / sum_j e^x_j along dim, without overflow."""
    x = floating(x)
    return apply(SOFTMAX, (x,), {"dim": dim_of(dim, x.ndim, "softmax")}) if x.ndim else (x - x).exp()


def log_softmax(x, dim: int) -> Tensor:
    """x_i - log sum_j e^x_j along dim, without overflow."""
    x = floating(x)
    return apply(LOG_SOFTMAX, (x,), {"dim": dim_of(dim, x.ndim, "log_softmax")}) if x.ndim else x - x


def softmin(x, dim: int) -> Tensor:
    """softmax(-x, dim)."""
    return softmax(-floating(x), dim)


def logsumexp(x, dim=None, keepdim: bool = False) -> Tensor:
    """log sum e^x over dim (an int, a tuple, or None for all), without overflow; -inf where there is nothing to sum."""
    x = floating(x)
    dims = dims_of(dim, x.ndim, "logsumexp")
    if not x.ndim:
        return x
    flat, dim = x, dims[0]
    if len(dims) > 1:  # the summed axes become the last one
        rest = [i for i in range(x.ndim) if i not in dims]
        n = 1
        for i in dims:
            n *= x.shape[i]
        flat, dim = x.permute(*rest, *dims).reshape(*[x.shape[i] for i in rest], n), len(rest)
    out = apply(LOGSUMEXP, (flat,), {"dim": dim})
    return out.reshape([1 if i in dims else n for i, n in enumerate(x.shape)]) if keepdim else out


TABLE = {row.name: row for row in (SOFTMAX, SOFTMAX_BACKWARD, LOG_SOFTMAX, LOG_SOFTMAX_BACKWARD, LOGSUMEXP)}
