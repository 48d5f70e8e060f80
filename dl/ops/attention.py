"""Scaled dot-product attention, masks and causality included, as one row that never stores the matrix of weights."""

from math import sqrt

import numpy as np

from dl import nn_kernels as kernels
from dl.ops.base import as_tensor, cast
from dl.ops.elementwise import where
from dl.ops.linear import matmul
from dl.ops.rules import batch_into_first_axis, constant_zero, together
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor, bool_


def causal_mask(n: int, m: int) -> Tensor:
    """True where query i may see key j: j <= i."""
    return Tensor(np.tri(n, m, dtype=np.bool_))


def scores(q, k, mask, *, scale: float, causal: bool) -> Tensor:
    """scale q k^T, -inf where the mask forbids."""
    s = matmul(q * scale, k.mT)
    if mask is not None:
        s = where(mask, s, -np.inf) if mask.dtype == bool_ else s + mask
    return where(causal_mask(*s.shape[-2:]), s, -np.inf) if causal else s


def weights(s: Tensor) -> tuple[Tensor, Tensor]:
    """softmax(s) over keys and log sum e^s; a query that sees no key has weights 0 and -inf."""
    if not s.shape[-1]:
        return s, s.sum(-1) - np.inf
    top = s.detach().amax(-1, keepdim=True)
    top = where(top == -np.inf, 0.0, top)
    e = (s - top).exp()
    total = e.sum(-1, keepdim=True)
    blind = total == 0
    total = where(blind, 1.0, total)
    return e / total, where(blind, -np.inf, total.log() + top).squeeze(-1)


def attention_composed(q, k, v, mask, *, scale, causal):
    p, lse = weights(scores(q, k, mask, scale=scale, causal=causal))
    return matmul(p, v), lse


def backward_composed(g, q, k, v, mask, out, lse, *, scale, causal):
    """P = e^(s - lse), dS = P (g v^T - <g, out>); dq = scale dS k, dk = scale dS^T q, dv = P^T g."""
    lse = lse.unsqueeze(-1)
    p = (scores(q, k, mask, scale=scale, causal=causal) - where(lse == -np.inf, 0.0, lse)).exp()
    ds = p * (matmul(g, v.mT) - (g * out).sum(-1, keepdim=True)) * scale
    return matmul(ds, k), matmul(ds.mT, q), matmul(p.mT, g)


def attention_rule(needs, g, out, q, k, v, mask, **how):
    """The kernel gives dq, dk, dv; a mask that learns, or a gradient of lse, takes the long way."""
    if needs[3] or not constant_zero(g[1]):
        from dl.transforms.reverse import rule_from

        return rule_from(attention_composed)(needs, g, out, q, k, v, mask, **how)
    return (*apply(ATTENTION_BACKWARD, (g[0], q, k, v, mask, *out), how), None)


ATTENTION = Primitive(
    "attention",
    kernels.attention,
    vjp=attention_rule,
    composed=attention_composed,
    batch=batch_into_first_axis(lambda: ATTENTION, 2),
)
ATTENTION_BACKWARD = Primitive(
    "attention_backward",
    kernels.attention_backward,
    composed=backward_composed,
    batch=batch_into_first_axis(lambda: ATTENTION_BACKWARD, 3),
)


def scaled_dot_product_attention(
    query,
    key,
    value,
    attn_mask=None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    *,
    generator=None,
) -> Tensor:
    """softmax(scale q k^T + mask) v over the keys.

    query (..., L, E), key (..., S, E), value (..., S, V) -> (..., L, V); axes in front broadcast. attn_mask broadcasts
    to (..., L, S): bool (True: may be seen) or floating (added). is_causal: query i sees keys 0 ... i. scale:
    1 / sqrt(E) where None. A query that may see nothing gets 0. dropout_p: weights are dropped with this probability,
    drawn from generator. Raises ValueError for sizes that do not fit. Source: Vaswani et al., Attention is all you
    need, 2017, equation 1; Dao et al., FlashAttention, 2022.
    """
    q, k, v = together(query, key, value)
    mask = None if attn_mask is None else as_tensor(attn_mask)
    lead = checked(q, k, v, mask)
    scale = 1 / sqrt(max(q.shape[-1], 1)) if scale is None else float(scale)
    if mask is not None and mask.dtype != bool_:
        mask = cast(mask, q.dtype)
    if dropout_p:
        from dl.ops.dropout import dropout

        p, _ = weights(scores(q, k, mask, scale=scale, causal=is_causal))
        return matmul(dropout(p, dropout_p, generator=generator), v)
    q, k, v = (four(t.expand(*lead, *t.shape[-2:])) for t in (q, k, v))
    if mask is not None:
        mask = four(mask.expand(*lead, q.shape[-2], k.shape[-2]))
    y = apply(ATTENTION, (q, k, v, mask), {"scale": scale, "causal": bool(is_causal)})[0]
    return y.reshape(*lead, *y.shape[-2:])


def four(t: Tensor) -> Tensor:
    """(..., H, L, E) -> (N, H, L, E)."""
    if t.ndim == 4:
        return t
    if t.ndim < 4:
        return t.reshape(*(1,) * (4 - t.ndim), *t.shape)
    n = 1
    for size in t.shape[:-3]:
        n *= size
    return t.reshape(n, *t.shape[-3:])


def checked(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[int, ...]:
    """The axes in front, broadcast; ValueError where something does not fit."""
    try:
        assert min(q.ndim, k.ndim, v.ndim) >= 2
        assert q.shape[-1] == k.shape[-1] and k.shape[-2] == v.shape[-2]
        lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
        full = (*lead, q.shape[-2], k.shape[-2])
        assert mask is None or np.broadcast_shapes(mask.shape, full) == full
    except (AssertionError, ValueError):
        raise ValueError(
            "scaled_dot_product_attention: wanted query (..., L, E), key (..., S, E), value (..., S, V) and a mask "
            f"that broadcasts to (..., L, S), got {list(q.shape)}, {list(k.shape)}, {list(v.shape)} and "
            f"{None if mask is None else list(mask.shape)}"
        ) from None
    return lead


TABLE = {row.name: row for row in (ATTENTION, ATTENTION_BACKWARD)}
