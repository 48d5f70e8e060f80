"""The kernels of softmax, cross-entropy, the norms and attention. Formulas: their twins in dl/reference."""

from dl.kernel import Kernel
from dl.reference import attention as attention_twins
from dl.reference import nn as twins


def _like_first(*arrays, **attrs):
    return (arrays[0],)


def _like_second(*arrays, **attrs):
    return (arrays[1],)


def _along(x, *rest, dim):
    return (dim % x.ndim if x.ndim else 0,), ()


def _eps(*arrays, eps):
    return (), (eps,)


def _without_dim(x, *, dim):
    dim = dim % x.ndim if x.ndim else 0
    return ((x.shape[:dim] + x.shape[dim + 1 :], x.dtype),)


softmax = Kernel("softmax", outputs=_like_first, twin=twins.softmax, numbers=_along)
log_softmax = Kernel("log_softmax", outputs=_like_first, twin=twins.log_softmax, numbers=_along)
logsumexp = Kernel("logsumexp", outputs=_without_dim, twin=twins.logsumexp, numbers=_along)
softmax_backward = Kernel("softmax_backward", outputs=_like_second, twin=twins.softmax_backward, numbers=_along)
log_softmax_backward = Kernel(
    "log_softmax_backward", outputs=_like_second, twin=twins.log_softmax_backward, numbers=_along
)
cross_entropy = Kernel("cross_entropy", outputs=lambda x, target: ((x.shape[:1], x.dtype), x), twin=twins.cross_entropy)
cross_entropy_backward = Kernel("cross_entropy_backward", outputs=_like_second, twin=twins.cross_entropy_backward)


def _layer(x, weight, bias, *, eps):
    line = (x.shape[:-1], x.dtype)
    return x, line, line


def _layer_backward(g, x, mean, rstd, weight):
    vector = (x.shape[-1:], x.dtype)
    return x, vector, vector


layer_norm = Kernel("layer_norm", outputs=_layer, twin=twins.layer_norm, numbers=_eps)
layer_norm_backward = Kernel("layer_norm_backward", outputs=_layer_backward, twin=twins.layer_norm_backward)
rms_norm = Kernel(
    "rms_norm", outputs=lambda x, weight, *, eps: (x, (x.shape[:-1], x.dtype)), twin=twins.rms_norm, numbers=_eps
)
rms_norm_backward = Kernel(
    "rms_norm_backward",
    outputs=lambda g, x, rstd, weight: (x, (x.shape[-1:], x.dtype)),
    twin=twins.rms_norm_backward,
)


def _group(x, weight, bias, *, groups, eps):
    stats = ((x.shape[0], groups), x.dtype)
    return x, stats, stats


def _group_backward(g, x, mean, rstd, weight, *, groups):
    vector = (x.shape[1:2], x.dtype)
    return x, vector, vector


group_norm = Kernel(
    "group_norm",
    outputs=_group,
    twin=twins.group_norm,
    numbers=lambda x, weight, bias, *, groups, eps: ((groups,), (eps,)),
)
group_norm_backward = Kernel(
    "group_norm_backward",
    outputs=_group_backward,
    twin=twins.group_norm_backward,
    numbers=lambda g, x, mean, rstd, weight, *, groups: ((groups,), ()),
)


def _attention(q, k, v, mask, *, scale, causal):
    out = q if q.shape[-1] == v.shape[-1] else ((*q.shape[:-1], v.shape[-1]), q.dtype)
    return out, (q.shape[:-1], q.dtype)


def _causal_scale(*arrays, scale, causal):
    return (int(causal),), (scale,)


attention = Kernel("attention", outputs=_attention, twin=attention_twins.attention, numbers=_causal_scale)
attention_backward = Kernel(
    "attention_backward",
    outputs=lambda g, q, k, v, mask, out, lse, *, scale, causal: (q, k, v),
    twin=attention_twins.attention_backward,
    numbers=_causal_scale,
)
KERNELS = (
    softmax,
    log_softmax,
    logsumexp,
    softmax_backward,
    log_softmax_backward,
    cross_entropy,
    cross_entropy_backward,
    layer_norm,
    layer_norm_backward,
    rms_norm,
    rms_norm_backward,
    group_norm,
    group_norm_backward,
    attention,
    attention_backward,
)
