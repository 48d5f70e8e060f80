"""NumPy twins of attention and its gradient; they store the matrix of weights."""

import numpy as np


def attention(q, k, v, mask, *, scale, causal):
    """softmax(scale q k^T + mask) v, and log sum e^(scores) (B, H, T); a query that sees no key gets 0 and -inf."""
    scores = _scores(q, k, mask, scale, causal)
    high = scores.max(-1, keepdims=True, initial=-np.inf)
    high = np.where(np.isneginf(high), 0, high)
    e = np.exp(scores - high)
    total = e.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        lse = (np.log(total) + high)[..., 0].astype(q.dtype)
    return ((e / np.where(total == 0, 1, total)) @ v).astype(q.dtype), lse


def attention_backward(g, q, k, v, mask, out, lse, *, scale, causal):
    """P = e^(scores - lse), dS = scale P (g v^T - rowsum(g out)); dq = dS k, dk = dS^T q, dv = P^T g."""
    scores = _scores(q, k, mask, scale, causal)
    p = np.exp(scores - np.where(np.isneginf(lse), 0, lse)[..., None])
    delta = (g * out).sum(-1, keepdims=True, dtype=np.float64)
    ds = scale * p * (g.astype(np.float64) @ np.swapaxes(v, -1, -2) - delta)
    grads = ds @ k, np.swapaxes(ds, -1, -2) @ q, np.swapaxes(p, -1, -2) @ g
    return tuple(d.astype(q.dtype) for d in grads)


def _scores(q, k, mask, scale, causal):
    """scale q k^T + mask in float64, -inf where a bool mask or causality forbids."""
    s = (q.astype(np.float64) * scale) @ np.swapaxes(k, -1, -2)
    if mask is not None:
        s = np.where(mask, s, -np.inf) if mask.dtype == np.bool_ else s + mask
    return np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf) if causal else s
