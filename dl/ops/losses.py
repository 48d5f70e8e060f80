"""Losses: how far predictions are from targets, as one number (or one per element)."""

from collections.abc import Callable

import numpy as np

from dl.kernel import Kernel, in_c
from dl.ops.base import as_tensor, floating, pair
from dl.ops.elementwise import DIV, SQUARE, SUB, where
from dl.ops.reduce import SUM
from dl.ops.special import softplus
from dl.primitive import Primitive
from dl.tape import apply, state
from dl.tensor import Tensor

REDUCTIONS = ("mean", "sum", "none")


def reduced(losses: Tensor, reduction: str, name: str) -> Tensor:
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction == "none":
        return losses
    raise ValueError(f"{name}: reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")


def both_alike(x, y) -> bool:
    """Whether both are tensors of one floating dtype and one shape."""
    if type(x) is not Tensor or type(y) is not Tensor:
        return False
    a, b = x.array, y.array
    return a.dtype is b.dtype and a.dtype.kind == "f" and a.shape == b.shape


alike: Callable = both_alike if in_c("Tape") is None else apply.alike


def matched(input, target, name: str) -> tuple[Tensor, Tensor]:
    """Both as floating tensors of one dtype and, as a broadcast is mostly a mistake here, of one shape."""
    x, y = pair(floating(input), target)
    if x.array.shape != y.array.shape:
        raise ValueError(
            f"{name}: input {list(x.shape)} and target {list(y.shape)} have different shapes; reshape or expand "
            "one of them"
        )
    return x, y


def mse_loss(input, target, reduction: str = "mean") -> Tensor:
    """(x - y)^2, averaged over all elements (or "sum", or "none": elementwise); ValueError for unequal shapes."""
    x, y = (input, target) if alike(input, target) else matched(input, target, "mse_loss")
    if reduction == "mean" and not state.traces:  # listeners hear the parts, which they can fuse
        return apply(MSE, (x, y))
    return reduced((x - y).square(), reduction, "mse_loss")


def mse_in_parts(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square().mean()


def mse_twin(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    total = SUM.run(SQUARE.run(SUB.run(x, y)), dim=tuple(range(x.ndim)))
    return DIV.run(total, np.asarray(float(x.size), x.dtype))


MSE = Primitive(
    "mse_loss",
    Kernel("mse_loss", outputs=lambda x, y: (((), x.dtype),), twin=mse_twin, direct=in_c("mse")),
    composed=mse_in_parts,
    saves=(0, 1),
    quiet=in_c("mse_backward"),
)
TABLE = {"mse_loss": MSE}


def l1_loss(input, target, reduction: str = "mean") -> Tensor:
    """|x - y|; arguments as mse_loss's."""
    x, y = matched(input, target, "l1_loss")
    return reduced((x - y).abs(), reduction, "l1_loss")


def huber_loss(input, target, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), d = x - y. Source: Huber, 1964."""
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    x, y = matched(input, target, "huber_loss")
    d = (x - y).abs()
    near = d.clip(max=delta)
    return reduced(near * (d - near * 0.5), reduction, "huber_loss")


def smooth_l1_loss(input, target, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """huber_loss / beta with delta = beta: slope 1 far away; beta 0 is l1_loss."""
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    return huber_loss(input, target, reduction, beta) * (1 / beta)


def quantile_loss(input, target, q, reduction: str = "mean") -> Tensor:
    """The pinball loss max(q d, (q - 1) d), d = y - x, least where x is the q-quantile of y.

    q: a number in (0, 1), or a tensor of them that broadcasts. Source: Koenker and Bassett, Regression quantiles, 1978.
    """
    x, y = matched(input, target, "quantile_loss")
    if not isinstance(q, Tensor) and not (np.all(np.asarray(q) > 0) and np.all(np.asarray(q) < 1)):
        raise ValueError(f"quantile_loss: wanted q in (0, 1), got {q}")
    d = y - x
    return reduced((d * q).maximum(d * (q - 1)), reduction, "quantile_loss")


def binary_cross_entropy_with_logits(input, target, weight=None, reduction: str = "mean", pos_weight=None) -> Tensor:
    """-(w y log s(x) + (1 - y) log(1 - s(x))), s the sigmoid, without overflow; y in [0, 1], any shape.

    weight multiplies each loss; pos_weight (w) that of the positives; both broadcast.
    """
    x, y = matched(input, target, "binary_cross_entropy_with_logits")
    if pos_weight is None:
        losses = softplus(x) - x * y
    else:
        losses = (1 - y) * x + (1 + (as_tensor(pos_weight, x.dtype) - 1) * y) * softplus(-x)
    losses = losses if weight is None else losses * as_tensor(weight, x.dtype)
    return reduced(losses, reduction, "binary_cross_entropy_with_logits")


def binary_cross_entropy(input, target, weight=None, reduction: str = "mean") -> Tensor:
    """-(y log p + (1 - y) log(1 - p)) with the logarithms bounded by -100; p from logits is better done with logits."""
    p, y = matched(input, target, "binary_cross_entropy")
    losses = -(y * p.log().clip(min=-100.0) + (1 - y) * (1 - p).log().clip(min=-100.0))
    losses = losses if weight is None else losses * as_tensor(weight, p.dtype)
    return reduced(losses, reduction, "binary_cross_entropy")


def kl_div(input, target, reduction: str = "mean", *, log_target: bool = False) -> Tensor:
    """y (log y - x): x are log-probabilities, y probabilities (their logarithms with log_target).

    reduction: also "batchmean", the sum over the size of the first axis, which is the mathematical divergence.
    """
    x, y = matched(input, target, "kl_div")
    if log_target:
        losses = y.exp() * (y - x)
    else:
        losses = where(y > 0, y * where(y > 0, y, 1.0).log(), 0.0) - y * x
    if reduction == "batchmean":
        return losses.sum() / max(x.shape[0] if x.ndim else 1, 1)
    return reduced(losses, reduction, "kl_div")


def gaussian_nll_loss(input, target, var, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> Tensor:
    """(log v + (x - y)^2 / v) / 2 with v = max(var, eps), + log(2 pi) / 2 if full; var broadcasts to x."""
    x, y = matched(input, target, "gaussian_nll_loss")
    v = as_tensor(var, x.dtype)
    v = v + (v.clip(min=eps) - v).detach()  # the bound takes no gradient away
    losses = (v.log() + (x - y).square() / v) * 0.5
    return reduced(losses + 0.5 * float(np.log(2 * np.pi)) if full else losses, reduction, "gaussian_nll_loss")


def unit(x: Tensor) -> Tensor:
    """Vectors of length 1 along the last axis (nearly so below a length of 1e-12)."""
    return x / (x.square().sum(-1, keepdim=True).sqrt().clip(min=1e-12))
