"""Multi-head attention as a module."""

from math import sqrt

import numpy as np

from dl import functional as F
from dl.nn.init import xavier_uniform_, zeros_
from dl.nn.linear import Linear
from dl.nn.module import Module, Parameter
from dl.ops.attention import scores, weights
from dl.ops.base import as_tensor, cast, floating
from dl.ops.dropout import check_probability
from dl.ops.elementwise import where
from dl.ops.linear import matmul
from dl.ops.pieces import equal_pieces
from dl.random import Generator, require
from dl.tensor import Tensor, bool_, float32


def attention_mask(name: str, key_padding_mask, attn_mask, shape: tuple[int, int, int, int], dtype) -> Tensor | None:
    """Both masks of MultiheadAttention (True: ignored) as one for attention (True: seen), or added numbers.

    shape: (N, heads, L, S); key_padding_mask (N, S), attn_mask (L, S), (N heads, L, S) or (N, heads, L, S).
    """
    n, heads, length, size = shape
    masks = []
    for told, mask, places in (
        ("key_padding_mask", key_padding_mask, {(n, size): (n, 1, 1, size)}),
        (
            "attn_mask",
            attn_mask,
            {(length, size): (1, 1, length, size), (n * heads, length, size): shape, shape: shape},
        ),
    ):
        if mask is not None:
            mask = as_tensor(mask)
            if mask.shape not in places:
                wanted = ", ".join(str(list(p)) for p in places)
                raise ValueError(f"{name}: wanted {told} {wanted}, got {list(mask.shape)}")
            masks.append(mask.reshape(places[mask.shape]))
    if not masks:
        return None
    if all(m.dtype == bool_ for m in masks):
        seen = [~m for m in masks]
        return seen[0] if len(seen) == 1 else seen[0] & seen[1]
    added = [where(m, -np.inf, as_tensor(0.0, dtype)) if m.dtype == bool_ else cast(m, dtype) for m in masks]
    return added[0] if len(added) == 1 else added[0] + added[1]


class MultiheadAttention(Module):
    """softmax(q k^T / sqrt(E / heads)) v per head on projections of query, key and value, then one more projection.

    query (L, N, E), key (S, N, kdim), value (S, N, vdim), with batch_first (N, L, E) and so on; without a batch (L, E).
    forward returns (output like query, weights). The masks are PyTorch's: True (or -inf) means ignored;
    key_padding_mask (N, S), attn_mask (L, S) or (N heads, L, S); is_causal hides the keys after each query. The weights
    (N, L, S) are averaged over the heads, (N, heads, L, S) without average_attn_weights, and None where need_weights is
    False, which is faster. Source: Vaswani et al., Attention is all you need, 2017, section 3.2.2.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        dtype=float32,
        *,
        generator: Generator,
    ):
        if num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: embed_dim {embed_dim} is not a multiple of num_heads {num_heads}")
        check_probability(dropout, "MultiheadAttention")
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        self.generator = require(generator, "MultiheadAttention")
        if self.kdim == self.vdim == embed_dim:
            self.in_proj_weight = self._projection(3 * embed_dim, embed_dim, dtype)
        else:
            self.q_proj_weight = self._projection(embed_dim, embed_dim, dtype)
            self.k_proj_weight = self._projection(embed_dim, self.kdim, dtype)
            self.v_proj_weight = self._projection(embed_dim, self.vdim, dtype)
        self.in_proj_bias = zeros_(Parameter(np.empty(3 * embed_dim, dtype))) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype, generator=generator)
        if self.out_proj.bias is not None:
            zeros_(self.out_proj.bias)

    def _projection(self, rows: int, columns: int, dtype) -> Tensor:
        return xavier_uniform_(Parameter(np.empty((rows, columns), dtype)), generator=self.generator)

    def forward(
        self,
        query,
        key,
        value,
        key_padding_mask=None,
        need_weights: bool = True,
        attn_mask=None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        alone = floating(query).ndim == 2
        q, k, v = self._projected(query, key, value, alone)
        if key_padding_mask is not None and alone:
            key_padding_mask = as_tensor(key_padding_mask).unsqueeze(0)
        shape = (q.shape[0], q.shape[1], q.shape[2], k.shape[2])
        mask = attention_mask("MultiheadAttention", key_padding_mask, attn_mask, shape, q.dtype)
        p = None
        drop = self.dropout if self.training else 0.0
        if need_weights:
            p, _ = weights(scores(q, k, mask, scale=1 / sqrt(q.shape[-1]), causal=is_causal))
            p = F.dropout(p, drop, generator=self.generator)
            y = matmul(p, v)
        else:
            y = F.scaled_dot_product_attention(q, k, v, mask, drop, is_causal, generator=self.generator)
        y = y.transpose(1, 2).reshape(shape[0], shape[2], self.embed_dim)  # (N, L, E)
        y = self.out_proj(y if self.batch_first or alone else y.transpose(0, 1))
        if p is not None and average_attn_weights:
            p = p.mean(1)
        return (y.squeeze(0), None if p is None else p.squeeze(0)) if alone else (y, p)

    def _projected(self, query, key, value, alone: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Projections (N, heads, L, E / heads); one product where query, key and value are the same tensor."""
        given = [floating(t) for t in (query, key, value)]
        for t, size, name in zip(given, (self.embed_dim, self.kdim, self.vdim), ("query", "key", "value"), strict=True):
            if t.ndim != (2 if alone else 3) or t.shape[-1] != size:
                raise ValueError(
                    f"MultiheadAttention: wanted {name} (..., {size}) with as many axes as query, got {list(t.shape)}"
                )
        bias = self.in_proj_bias
        if "in_proj_weight" not in self.__dict__:
            bs = equal_pieces(bias, 3) if bias is not None else (None,) * 3
            ws = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
            parts = [F.linear(t, w, b) for t, w, b in zip(given, ws, bs, strict=True)]
        elif query is key and key is value:
            parts = equal_pieces(F.linear(given[0], self.in_proj_weight, bias), 3)
        else:
            bs = equal_pieces(bias, 3) if bias is not None else (None,) * 3
            ws = self.in_proj_weight.chunk(3, 0)
            parts = [F.linear(t, w, b) for t, w, b in zip(given, ws, bs, strict=True)]
        return tuple(self._heads(t.unsqueeze(0) if alone else t, alone) for t in parts)  # type: ignore[return-value]

    def _heads(self, t: Tensor, alone: bool) -> Tensor:
        t = t.reshape(t.shape[0], t.shape[1], self.num_heads, self.embed_dim // self.num_heads)
        return t.permute(0, 2, 1, 3) if self.batch_first or alone else t.permute(1, 2, 0, 3)

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, {self.num_heads}"
