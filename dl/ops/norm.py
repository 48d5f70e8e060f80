"""Layer, RMS and group norm as rows with their backward rows; batch and instance norm written with simpler ones."""

from math import prod

import numpy as np

from dl import nn_kernels as kernels
from dl.ops.rules import batch_size, expanded, first_output_rule, folded, together
from dl.primitive import Primitive
from dl.tape import apply, no_grad
from dl.tensor import Tensor


def affine(y, w, b):
    y = y if w is None else y * w
    return y if b is None else y + b


def layer_composed(x, w, b, *, eps):
    mean = x.mean(-1, keepdim=True)
    rstd = ((x - mean).square().mean(-1, keepdim=True) + eps).rsqrt()
    return affine((x - mean) * rstd, w, b), mean.squeeze(-1), rstd.squeeze(-1)


def layer_backward_composed(g, x, mean, rstd, w):
    mean, rstd = mean.unsqueeze(-1), rstd.unsqueeze(-1)
    z = (x - mean) * rstd
    gw = g if w is None else g * w
    dx = rstd * (gw - gw.mean(-1, keepdim=True) - z * (gw * z).mean(-1, keepdim=True))
    lead = tuple(range(x.ndim - 1))
    return dx, (g * z).sum(lead), g.sum(lead)


def layer_rule(needs, g, out, x, w, b, *, eps):
    dx, dw, db = apply(LAYER_NORM_BACKWARD, (g, x, out[1], out[2], w))
    return dx, dw if needs[1] else None, db if needs[2] else None


def layer_batch(batched, x, w, b, *, eps):
    """The last axis is the one that counts; only a w or b for each sample is left to elementwise operations."""
    if not any(batched[1:]):
        return apply(LAYER_NORM, (x, w, b), {"eps": eps})
    size = batch_size(batched, (x, w, b))
    x = expanded(x, batched[0], size)
    y, mean, rstd = apply(LAYER_NORM, (x, None, None), {"eps": eps})
    shape = (size, *(1,) * (x.ndim - 2), x.shape[-1])
    w, b = (
        None if t is None else expanded(t, has, size).reshape(shape) for t, has in zip((w, b), batched[1:], strict=True)
    )
    return affine(y, w, b), mean, rstd


LAYER_NORM = Primitive(
    "layer_norm",
    kernels.layer_norm,
    vjp=first_output_rule(layer_rule, layer_composed),
    composed=layer_composed,
    batch=layer_batch,
    saves=(0, 1, "out"),
)
LAYER_NORM_BACKWARD = Primitive("layer_norm_backward", kernels.layer_norm_backward, composed=layer_backward_composed)


def layer_norm(x, normalized_shape, weight=None, bias=None, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) * w + b with the mean and the (biased) variance over the last axes.

    normalized_shape: an int or the sizes of those axes; weight and bias have that shape. Raises ValueError for sizes
    that do not fit. Source: Ba, Kiros and Hinton, Layer normalization, 2016.
    """
    x, weight, bias, shape = last_axes("layer_norm", x, normalized_shape, weight, bias)
    y = apply(LAYER_NORM, (x, weight, bias), {"eps": eps})[0]
    return y if y.shape == shape else y.reshape(shape)


def last_axes(name: str, x, sizes, weight, bias):
    """x with the normalised axes as its last one, the parameters flat, and the shape to return to."""
    x, weight, bias = together(x, weight, bias)
    sizes = (int(sizes),) if not isinstance(sizes, (tuple, list)) else tuple(sizes)
    shape, n = x.shape, len(sizes)
    if not n or shape[-n:] != sizes or any(t is not None and t.shape != sizes for t in (weight, bias)):
        given = ", ".join(f"{k} {list(t.shape)}" for k, t in (("weight", weight), ("bias", bias)) if t is not None)
        raise ValueError(
            f"{name}: wanted x (..., {', '.join(map(str, sizes))}) and parameters of those last sizes, got x "
            f"{list(shape)}{given and ', ' + given}"
        )
    if n > 1:
        x = x.reshape(*shape[:-n], prod(sizes))
        weight, bias = (None if t is None else t.reshape(-1) for t in (weight, bias))
    return x, weight, bias, shape


def rms_composed(x, w, *, eps):
    rstd = (x.square().mean(-1, keepdim=True) + eps).rsqrt()
    return affine(x * rstd, w, None), rstd.squeeze(-1)


def rms_backward_composed(g, x, rstd, w):
    rstd = rstd.unsqueeze(-1)
    gw = g if w is None else g * w
    z = x * rstd
    return rstd * (gw - z * (gw * z).mean(-1, keepdim=True)), (g * z).sum(tuple(range(x.ndim - 1)))


def rms_rule(needs, g, out, x, w, *, eps):
    dx, dw = apply(RMS_NORM_BACKWARD, (g, x, out[1], w))
    return dx, dw if needs[1] else None


def rms_batch(batched, x, w, *, eps):
    if w is None or not batched[1]:
        return apply(RMS_NORM, (x, w), {"eps": eps})
    x = expanded(x, batched[0], w.shape[0])
    y, rstd = apply(RMS_NORM, (x, None), {"eps": eps})
    return y * w.reshape(w.shape[0], *(1,) * (x.ndim - 2), w.shape[1]), rstd


RMS_NORM = Primitive(
    "rms_norm",
    kernels.rms_norm,
    vjp=first_output_rule(rms_rule, rms_composed),
    composed=rms_composed,
    batch=rms_batch,
    saves=(0, 1, "out"),
)
RMS_NORM_BACKWARD = Primitive("rms_norm_backward", kernels.rms_norm_backward, composed=rms_backward_composed)


def rms_norm(x, normalized_shape, weight=None, eps: float | None = None) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * w over the last axes; arguments as layer_norm's; eps None: that of the dtype.

    Source: Zhang and Sennrich, Root mean square layer normalization, 2019.
    """
    x, weight, _, shape = last_axes("rms_norm", x, normalized_shape, weight, None)
    y = apply(RMS_NORM, (x, weight), {"eps": float(np.finfo(x.dtype).eps) if eps is None else eps})[0]
    return y if y.shape == shape else y.reshape(shape)


def channels(t: Tensor, ndim: int) -> Tensor:
    """(C,) -> (C, 1, ...), so that it broadcasts against (N, C, ...)."""
    return t.reshape(-1, *(1,) * (ndim - 2))


def grouped(x: Tensor, groups: int) -> tuple[int, int, int]:
    return x.shape[0], groups, prod(x.shape[1:]) // groups


def group_composed(x, w, b, *, groups, eps):
    y = x.reshape(grouped(x, groups))
    mean = y.mean(-1, keepdim=True)
    rstd = ((y - mean).square().mean(-1, keepdim=True) + eps).rsqrt()
    w, b = (None if t is None else channels(t, x.ndim) for t in (w, b))
    return affine(((y - mean) * rstd).reshape(x.shape), w, b), mean.squeeze(-1), rstd.squeeze(-1)


def group_backward_composed(g, x, mean, rstd, w, *, groups):
    mean, rstd = mean.unsqueeze(-1), rstd.unsqueeze(-1)
    z = (x.reshape(grouped(x, groups)) - mean) * rstd
    gw = (g if w is None else g * channels(w, x.ndim)).reshape(z.shape)
    dx = rstd * (gw - gw.mean(-1, keepdim=True) - z * (gw * z).mean(-1, keepdim=True))
    rest = (0, *range(2, x.ndim))
    return dx.reshape(x.shape), (g * z.reshape(x.shape)).sum(rest), g.sum(rest)


def group_rule(needs, g, out, x, w, b, *, groups, eps):
    dx, dw, db = apply(GROUP_NORM_BACKWARD, (g, x, out[1], out[2], w), {"groups": groups})
    return dx, dw if needs[1] else None, db if needs[2] else None


def group_batch(batched, x, w, b, **how):
    """The batch joins N; a w or b for each sample is left to elementwise operations."""
    size = batch_size(batched, (x, w, b))
    x = expanded(x, batched[0], size)
    own = any(batched[1:])
    y, mean, rstd = apply(GROUP_NORM, (folded(x), None if own else w, None if own else b), how)
    y, mean, rstd = (t.reshape(*x.shape[:2], *t.shape[1:]) for t in (y, mean, rstd))
    if own:
        shape = (size, 1, x.shape[2], *(1,) * (x.ndim - 3))
        pairs = zip((w, b), batched[1:], strict=True)
        y = affine(y, *(None if t is None else expanded(t, has, size).reshape(shape) for t, has in pairs))
    return y, mean, rstd


GROUP_NORM = Primitive(
    "group_norm",
    kernels.group_norm,
    vjp=first_output_rule(group_rule, group_composed),
    composed=group_composed,
    batch=group_batch,
    saves=(0, 1, "out"),
)
GROUP_NORM_BACKWARD = Primitive("group_norm_backward", kernels.group_norm_backward, composed=group_backward_composed)


def group_norm(x, num_groups: int, weight=None, bias=None, eps: float = 1e-5) -> Tensor:
    """Each group of C / num_groups channels of each sample to mean 0 and variance 1, then * w + b by channel.

    x (N, C, ...), weight and bias (C,). Raises ValueError for sizes that do not fit. Source: Wu and He, Group
    normalization, 2018.
    """
    x, weight, bias = together(x, weight, bias)
    check_channels("group_norm", x, weight, bias)
    if num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(f"group_norm: {x.shape[1]} channels of x {list(x.shape)} are not {num_groups} equal groups")
    return apply(GROUP_NORM, (x, weight, bias), {"groups": num_groups, "eps": eps})[0]


def check_channels(name: str, x: Tensor, *parameters):
    """ValueError where the parameters do not have one value per channel."""
    if x.ndim < 2:
        raise ValueError(f"{name}: wanted x (N, C, ...), got {list(x.shape)}")
    for t in parameters:
        if t is not None and t.shape != (x.shape[1],):
            raise ValueError(f"{name}: wanted parameters ({x.shape[1]},) for x {list(x.shape)}, got {list(t.shape)}")


def instance_norm(x, weight=None, bias=None, eps: float = 1e-5) -> Tensor:
    """Each channel of each sample to mean 0 and variance 1, then * w + b: group norm with a group per channel."""
    x, weight, bias = together(x, weight, bias)
    check_channels("instance_norm", x, weight, bias)
    return group_norm(x, x.shape[1], weight, bias, eps)


def batch_norm(
    x,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * w + b by channel, x (N, C, ...).

    training: mean and (biased) variance of this batch, and running <- (1 - momentum) running + momentum batch in
    place where running tensors (C,) are given (with the unbiased variance); else the running ones. Raises ValueError
    for sizes that do not fit and for a batch of one value per channel in training. Source: Ioffe and Szegedy, Batch
    normalization, 2015.
    """
    x, weight, bias = together(x, weight, bias)
    check_channels("batch_norm", x, weight, bias, running_mean, running_var)
    if training or running_mean is None or running_var is None:
        mean, var = batch_moments(x, training)
        if training and running_mean is not None and running_var is not None:
            n = x.array.size // max(x.shape[1], 1)
            follow(running_mean, mean, momentum)
            follow(running_var, var * (n / (n - 1)), momentum)
    else:
        mean, var = channels(running_mean, x.ndim), channels(running_var, x.ndim)
    scale = (var + eps).rsqrt()
    scale = scale if weight is None else scale * channels(weight, x.ndim)
    y = (x - mean) * scale
    return y if bias is None else y + channels(bias, x.ndim)


def batch_moments(x: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    rest = (0, *range(2, x.ndim))
    if training and x.array.size == x.shape[1]:
        raise ValueError(
            f"batch_norm: in training each channel needs more than one value, got x {list(x.shape)}; use a larger "
            "batch, or .eval()"
        )
    mean = x.mean(rest, keepdim=True)
    return mean, (x - mean).square().mean(rest, keepdim=True)


def follow(running: Tensor, batch: Tensor, momentum: float):
    with no_grad():
        running.copy_(running * (1 - momentum) + batch.detach().reshape(-1) * momentum)


TABLE = {
    row.name: row
    for row in (LAYER_NORM, LAYER_NORM_BACKWARD, RMS_NORM, RMS_NORM_BACKWARD, GROUP_NORM, GROUP_NORM_BACKWARD)
}
