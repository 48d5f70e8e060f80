"""Activations that only functional has, and its functions of vectors and tables: normalize, one_hot, embedding."""

from dl.ops import special
from dl.ops.base import as_tensor, floating, pair
from dl.ops.elementwise import where
from dl.ops.rules import traced
from dl.ops.shape import dim_of
from dl.tensor import Tensor, int64

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def relu6(x) -> Tensor:
    """min(max(x, 0), 6)."""
    return hardtanh(x, 0.0, 6.0)


def prelu(x, weight) -> Tensor:
    """leaky_relu with learned slopes: one, or one per channel of x (N, C, ...)."""
    x, weight = pair(floating(x), weight)
    if weight.array.size != 1:
        if x.ndim < 2 or weight.shape != (x.shape[1],):
            raise ValueError(
                f"prelu: wanted one slope, or one per channel of x {list(x.shape)}, got {list(weight.shape)}"
            )
        weight = weight.reshape(-1, *(1,) * (x.ndim - 2))
    return where(x > 0, x, x * weight)


def celu(x, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (e^(x / alpha) - 1)."""
    x = floating(x)
    return where(x > 0, x, special.expm1(where(x > 0, 0.0, x) * (1 / alpha)) * alpha)


def selu(x) -> Tensor:
    """elu with the constants that keep mean 0 and variance 1. Source: Klambauer et al., 2017."""
    return special.elu(x, SELU_ALPHA) * SELU_SCALE


def hardtanh(x, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x between the bounds, else the nearer one; no gradient on the bounds."""
    x = floating(x)
    return where(x <= min_val, min_val, where(x >= max_val, max_val, x))


def hardsigmoid(x) -> Tensor:
    """x / 6 + 1 / 2 between 0 and 1."""
    return relu6(floating(x) + 3.0) * (1 / 6)


def hardswish(x) -> Tensor:
    """x hardsigmoid(x)."""
    return floating(x) * hardsigmoid(x)


def tanhshrink(x) -> Tensor:
    """x - tanh(x)."""
    x = floating(x)
    return x - special.tanh(x)


def threshold(x, threshold: float, value: float) -> Tensor:
    """x where x > threshold, else value."""
    x = floating(x)
    return where(x > threshold, x, value)


def glu(x, dim: int = -1) -> Tensor:
    """a sigmoid(b) with a and b the halves of x along dim. Source: Dauphin et al., 2016."""
    x = floating(x)
    d = dim_of(dim, x.ndim, "glu")
    if not x.ndim or x.shape[d] % 2:
        raise ValueError(f"glu: wanted an even size along dim {dim}, got {list(x.shape)}")
    a, b = x.chunk(2, d)
    return a * special.sigmoid(b)


def normalize(x, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x / max(|x|_p, eps) along dim."""
    x = floating(x)
    if p == 2:  # safe at 0, where the norm has no derivative
        square = x.square().sum(dim, keepdim=True)
        return x / where(square > eps * eps, square, eps * eps).sqrt()
    return x / (x.abs() ** p).sum(dim, keepdim=True).pow(1 / p).clamp(min=eps)


def cosine_similarity(x, y, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """<x, y> / (max(|x|, eps) max(|y|, eps)) along dim; x and y broadcast."""
    x, y = pair(floating(x), y)
    return (normalize(x, dim=dim, eps=eps) * normalize(y, dim=dim, eps=eps)).sum(dim)


def pairwise_distance(x, y, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """|x - y + eps|_p along the last dim."""
    x, y = pair(floating(x), y)
    d = x - y + eps
    total = d.square() if p == 2 else d.abs() ** p
    total = total.sum(-1, keepdim=keepdim)
    return total.sqrt() if p == 2 else total ** (1 / p)


def embedding(indices, weight, padding_idx: int | None = None) -> Tensor:
    """Rows of weight (n, D) at integers: (...) -> (..., D); the row padding_idx gets no gradient.

    Raises ValueError for a weight that is no matrix, TypeError for indices that are no integers, IndexError outside.
    """
    indices, weight = as_tensor(indices), as_tensor(weight)
    if weight.ndim != 2:
        raise ValueError(f"embedding: wanted weight (n, D), got {list(weight.shape)}")
    if indices.dtype != int64:
        raise TypeError(f"embedding: wanted int64 indices, got {indices.dtype}")
    values, n = indices.array, weight.shape[0]
    if not traced(indices) and values.size and not 0 <= values.min() <= values.max() < n:
        raise IndexError(f"embedding: indices from {values.min()} to {values.max()}, but weight has rows 0 ... {n - 1}")
    rows = weight.index_select(0, indices.reshape(-1)).reshape(*indices.shape, weight.shape[1])
    if padding_idx is None:
        return rows
    return where((indices == padding_idx % n).unsqueeze(-1), rows.detach(), rows)
