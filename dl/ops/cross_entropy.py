"""Cross-entropy of classes: one row for logits and int64 targets, and what PyTorch's arguments add to it."""

import numpy as np

from dl import nn_kernels as kernels
from dl.ops.base import as_tensor, cast, floating
from dl.ops.elementwise import where
from dl.ops.join import cat
from dl.ops.linear import matmul
from dl.ops.losses import matched, reduced, unit
from dl.ops.rules import batch_into_first_axis, constant_zero, traced
from dl.ops.softmax import log_softmax, softmax_backward
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor, int64


def cross_entropy_rule(needs, g, out, logits, target):
    dx = apply(CROSS_ENTROPY_BACKWARD, (g[0], out[1], target))
    return dx if constant_zero(g[1]) else dx + softmax_backward(g[1], out[1], dim=1), None


def chosen_composed(logits, target):
    y = log_softmax(logits, 1)
    return -y.gather(1, target.unsqueeze(1)).squeeze(1), y.exp()


def backward_composed(g, probabilities, target):
    """g (softmax - one at the target)."""
    classes = Tensor(np.arange(probabilities.shape[1]))
    return g.unsqueeze(1) * (probabilities - cast(classes == target.unsqueeze(1), probabilities.dtype))


CROSS_ENTROPY = Primitive(
    "cross_entropy",
    kernels.cross_entropy,
    vjp=cross_entropy_rule,
    composed=chosen_composed,
    batch=batch_into_first_axis(lambda: CROSS_ENTROPY, 2),
    saves=(1, "out"),
)
CROSS_ENTROPY_BACKWARD = Primitive(
    "cross_entropy_backward",
    kernels.cross_entropy_backward,
    composed=backward_composed,
    batch=batch_into_first_axis(lambda: CROSS_ENTROPY_BACKWARD),
)


def rows_of(x: Tensor) -> Tensor:
    """(N, C, d1, ...) -> (N d1 ..., C); (C,) -> (1, C)."""
    if x.ndim == 2:
        return x
    if x.ndim == 1:
        return x.reshape(1, -1)
    last = x.permute(0, *range(2, x.ndim), 1)
    return last.reshape(x.array.size // max(x.shape[1], 1), x.shape[1])


def cross_entropy(
    input, target, weight=None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
) -> Tensor:
    """-sum_c q_c log softmax(x)_c, where q is the target.

    input (N, C), (C,) or (N, C, d1, ...) logits; target: int64 classes (N,), () or (N, d1, ...), where ignore_index
    counts for nothing, or probabilities of input's shape. weight (C,) multiplies each class, and "mean" divides by the
    weights of the targets. label_smoothing e: q <- (1 - e) q + e / C. Raises ValueError for shapes that do not fit and
    for classes outside 0 ... C - 1 (inside dl.jit those give NaN).
    """
    x, target = floating(input), as_tensor(target)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be in [0, 1], got {label_smoothing}")
    weight = None if weight is None else class_weights("cross_entropy", x, weight)
    if target.dtype.kind == "f":
        return soft_cross_entropy(x, target, weight, reduction, label_smoothing)
    shape, target, kept = classes_of("cross_entropy", x, target, ignore_index)
    logits = rows_of(x)
    if label_smoothing:
        logp = log_softmax(logits, 1)
        losses = smoothed(logp, target, weight, label_smoothing)
    else:
        losses = apply(CROSS_ENTROPY, (logits, target))[0]
        losses = losses if weight is None else losses * weight[target]
    return finished("cross_entropy", losses, target, weight, kept, reduction, shape)


def smoothed(logp: Tensor, target: Tensor, weight: Tensor | None, e: float) -> Tensor:
    """(1 - e) times the loss of the target plus e / C times that of every class."""
    own = -logp.gather(1, target.unsqueeze(1)).squeeze(1)
    own = own if weight is None else own * weight[target]
    every = -(logp if weight is None else logp * weight).sum(1)
    return own * (1 - e) + every * (e / logp.shape[1])


def class_weights(name: str, x: Tensor, weight) -> Tensor:
    weight = as_tensor(weight, x.dtype)
    c = x.shape[0 if x.ndim == 1 else 1]
    if weight.shape != (c,):
        raise ValueError(
            f"{name}: wanted weight ({c},), one per class of input {list(x.shape)}, got {list(weight.shape)}"
        )
    return weight


def classes_of(name: str, x: Tensor, target: Tensor, ignore_index: int):
    """The target's shape, which targets count, and the classes, 0 for the others; both (N,)."""
    wanted = () if x.ndim == 1 else (x.shape[0], *x.shape[2:]) if x.ndim else None
    if target.shape != wanted or target.dtype != int64:
        told = None if wanted is None else list(wanted)
        raise ValueError(
            f"{name}: for input {list(x.shape)} wanted target int64 {told} (classes), got {target.dtype} "
            f"{list(target.shape)}"
        )
    classes, flat = x.shape[0 if x.ndim == 1 else 1], target.reshape(-1)
    if not traced(flat):
        check_classes(name, x, flat.array, classes, ignore_index)
    kept = flat != ignore_index
    return wanted, where(kept, flat, 0), kept


def check_classes(name: str, x: Tensor, values: np.ndarray, classes: int, ignore_index: int):
    outside = ((values < 0) | (values >= classes)) & (values != ignore_index)
    if outside.any():
        i = int(np.argmax(outside))
        raise ValueError(
            f"{name}: target {values[i]} at {i} is no class of input {list(x.shape)}: wanted 0 ... {classes - 1}, or "
            f"ignore_index = {ignore_index}"
        )


def finished(name: str, losses, target, weight, kept, reduction: str, shape) -> Tensor:
    """Ignored targets are zero; the mean is over the weights of the targets that count."""
    losses = where(kept, losses, 0.0)
    if reduction == "mean":
        share = cast(kept, losses.dtype) if weight is None else where(kept, weight[target], 0.0)
        return losses.sum() / share.sum()
    return reduced(losses, reduction, name) if reduction != "none" else losses.reshape(shape)


def soft_cross_entropy(x: Tensor, target: Tensor, weight, reduction: str, e: float) -> Tensor:
    x, q = matched(x, target, "cross_entropy")
    axis = 0 if x.ndim == 1 else 1
    q = q * (1 - e) + e / x.shape[axis] if e else q
    logp = log_softmax(x, axis)
    if weight is not None:
        logp = logp * weight.reshape(-1, *(1,) * (x.ndim - axis - 1))
    losses = -(q * logp).sum(axis)
    if reduction == "mean":
        return losses.sum() / max(losses.array.size, 1)
    return reduced(losses, reduction, "cross_entropy")


def nll_loss(input, target, weight=None, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """-w_y x_y of log-probabilities x (N, C), (C,) or (N, C, d1, ...); arguments as cross_entropy's."""
    x, target = floating(input), as_tensor(target)
    weight = None if weight is None else class_weights("nll_loss", x, weight)
    shape, target, kept = classes_of("nll_loss", x, target, ignore_index)
    losses = -rows_of(x).gather(1, target.unsqueeze(1)).squeeze(1)
    losses = losses if weight is None else losses * weight[target]
    return finished("nll_loss", losses, target, weight, kept, reduction, shape)


def info_nce_loss(query, positive, negatives=None, temperature: float = 0.1, reduction: str = "mean") -> Tensor:
    """-log e^(<q, p> / t) / sum_j e^(<q, k_j> / t), with all vectors scaled to length 1.

    query, positive (N, D). The keys k_j are the positives of the whole batch (those of other rows are the negatives),
    or, where negatives (M, D) or (N, M, D) are given, the own positive and these. Raises ValueError for sizes that do
    not fit. Source: van den Oord, Li and Vinyals, Representation learning with contrastive predictive coding, 2018,
    equation 4.
    """
    q, p = matched(query, positive, "info_nce_loss")
    if q.ndim != 2:
        raise ValueError(f"info_nce_loss: wanted query and positive (N, D), got {list(q.shape)}")
    q, p = unit(q), unit(p)
    if negatives is None:
        return cross_entropy(matmul(q, p.mT) * (1 / temperature), np.arange(q.shape[0]), reduction=reduction)
    k = unit(as_tensor(negatives, q.dtype))
    if k.ndim not in (2, 3) or k.shape[-1] != q.shape[1] or (k.ndim == 3 and k.shape[0] != q.shape[0]):
        raise ValueError(
            f"info_nce_loss: wanted negatives (M, D) or (N, M, D) for {list(q.shape)}, got {list(k.shape)}"
        )
    others = matmul(q, k.mT) if k.ndim == 2 else matmul(k, q.unsqueeze(-1)).squeeze(-1)
    own = (q * p).sum(1, keepdim=True)
    logits = cat([own, others], 1) * (1 / temperature)
    return cross_entropy(logits, np.zeros(q.shape[0], np.int64), reduction=reduction)


TABLE = {row.name: row for row in (CROSS_ENTROPY, CROSS_ENTROPY_BACKWARD)}
