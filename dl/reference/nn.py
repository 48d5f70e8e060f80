"""NumPy twins of softmax, cross-entropy and the norms. Sums are taken in float64 and rounded once."""

from math import prod

import numpy as np


def softmax(x, *, dim):
    """e^(x - max) / sum of the same, along dim."""
    if not x.size:
        return x.copy()
    e = np.exp(_less(x, x.max(dim, keepdims=True)))
    return _cast(e / e.sum(dim, keepdims=True, dtype=np.float64), x)


def log_softmax(x, *, dim):
    """x - logsumexp(x), along dim."""
    if not x.size:
        return x.copy()
    y = _less(x, x.max(dim, keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        return _cast(y - np.log(np.exp(y).sum(dim, keepdims=True, dtype=np.float64)), x)


def logsumexp(x, *, dim):
    """log sum e^x along dim, which goes; -inf where there is nothing to sum."""
    high = x.max(dim, keepdims=True, initial=-np.inf) if x.ndim else x
    high = np.where(np.isfinite(high), high, 0)
    e = np.exp(np.subtract(x, high, dtype=np.float64))
    with np.errstate(divide="ignore"):
        total = np.log(e.sum(dim, dtype=np.float64) if x.ndim else e)
    return _cast(total + (high.squeeze(dim) if x.ndim else high), x)


def softmax_backward(g, y, *, dim):
    """dx = y (g - sum(g y))."""
    return _cast(y * (g - (g * y).sum(dim, keepdims=True, dtype=np.float64)), y)


def log_softmax_backward(g, y, *, dim):
    """dx = g - e^y sum(g)."""
    return _cast(g - np.exp(y) * g.sum(dim, keepdims=True, dtype=np.float64), y)


def cross_entropy(x, target):
    """-log softmax(x)[target] of each row (N,), and the softmax (N, C); NaN for a class that does not exist."""
    known, at = _classes(x, target)
    losses = -log_softmax(x, dim=1)[np.arange(len(x)), at] if x.size else np.empty(len(x), x.dtype)
    return np.where(known, losses, np.nan).astype(x.dtype, copy=False), softmax(x, dim=1)


def cross_entropy_backward(g, p, target):
    """dx = g (p - e_target)."""
    known, at = _classes(p, target)
    d = p.copy()
    if p.size:
        d[np.arange(len(p)), at] -= 1
    return d * np.where(known, g, np.nan).astype(p.dtype, copy=False)[:, None]


def layer_norm(x, weight, bias, *, eps):
    """xhat weight + bias over the last axis, xhat = (x - mean) rstd; then mean and rstd (...)."""
    mean = _cast(_mean(x)[..., 0], x)
    y, rstd = _normalised(x, x - mean[..., None], eps)
    return _affine(y, weight, bias), mean, rstd


def layer_norm_backward(g, x, mean, rstd, weight):
    """dx = rstd (g w - mean(g w) - xhat mean(g w xhat)), dweight = sum g xhat, dbias = sum g."""
    xhat = (x - mean[..., None]) * rstd[..., None]
    gw = g if weight is None else g * weight
    dx = _cast(rstd[..., None] * (gw - _mean(gw) - xhat * _mean(gw * xhat)), x)
    return dx, _sum(g * xhat, x), _sum(g, x)


def rms_norm(x, weight, *, eps):
    """x rstd weight over the last axis, rstd = 1 / sqrt(mean(x^2) + eps); then rstd (...)."""
    y, rstd = _normalised(x, x, eps)
    return _affine(y, weight, None), rstd


def rms_norm_backward(g, x, rstd, weight):
    """dx = rstd (g w - xhat mean(g w xhat)), dweight = sum g xhat."""
    xhat = x * rstd[..., None]
    gw = g if weight is None else g * weight
    return _cast(rstd[..., None] * (gw - xhat * _mean(gw * xhat)), x), _sum(g * xhat, x)


def group_norm(x, weight, bias, *, groups, eps):
    """layer_norm over each group of channels of (B, C, ...), weight and bias by channel; mean and rstd (B, groups)."""
    y, mean, rstd = layer_norm(_grouped(x, groups), None, None, eps=eps)
    return _affine(y.reshape(x.shape), _by_channel(weight, x), _by_channel(bias, x)), mean, rstd


def group_norm_backward(g, x, mean, rstd, weight, *, groups):
    """As layer_norm_backward over each group, with sums over all but the channels."""
    flat = _grouped(x, groups)
    gw = g if weight is None else g * _by_channel(weight, x)
    dx = layer_norm_backward(_grouped(gw, groups), flat, mean, rstd, None)[0].reshape(x.shape)
    xhat = ((flat - mean[..., None]) * rstd[..., None]).reshape(x.shape)
    return dx, _sum(np.moveaxis(g * xhat, 1, -1), x), _sum(np.moveaxis(g, 1, -1), x)


def _cast(a, like):
    return np.asarray(a, like.dtype)


def _less(x, high):
    with np.errstate(invalid="ignore"):  # infinity minus itself
        return x - high


def _classes(x, target):
    """Which targets are classes, and the targets with 0 for the others."""
    known = (target >= 0) & (target < x.shape[1])
    return known, np.where(known, target, 0)


def _normalised(x, centred, eps):
    with np.errstate(divide="ignore"):
        rstd = _cast(1 / np.sqrt(_mean(np.square(centred))[..., 0] + eps), x)
    return centred * rstd[..., None], rstd


def _affine(y, weight, bias):
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _mean(a):
    """Over the last axis, in float64; of nothing: 0."""
    return a.sum(-1, keepdims=True, dtype=np.float64) / max(a.shape[-1], 1)


def _sum(a, like):
    """Over all axes but the last."""
    return _cast(a.sum(tuple(range(a.ndim - 1)), dtype=np.float64), like)


def _grouped(x, groups):
    return x.reshape(x.shape[0], groups, prod(x.shape[1:]) // groups)


def _by_channel(a, x):
    return None if a is None else a.reshape(-1, *(1,) * (x.ndim - 2))
