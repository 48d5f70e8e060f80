"""Transformer layers and stacks of them. Source: Vaswani et al., Attention is all you need, 2017, section 3.

norm_first puts the norm before each sublayer instead of after the sum (Xiong et al., On layer normalization in the
transformer architecture, 2020). Masks as in MultiheadAttention: True means ignored.
"""

import copy
from collections.abc import Callable

import numpy as np

from dl import functional as F
from dl.nn.attention import MultiheadAttention
from dl.nn.containers import ModuleList
from dl.nn.linear import Linear
from dl.nn.module import Module
from dl.nn.norm import Dropout, LayerNorm
from dl.random import Generator
from dl.tensor import Tensor, float32

ACTIVATIONS: dict[str, Callable] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu, "mish": F.mish, "tanh": F.tanh}


def activation_of(activation) -> Callable:
    if callable(activation):
        return activation
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"transformer: no activation {activation!r}; there are {', '.join(ACTIVATIONS)}, or a function"
        )
    return ACTIVATIONS[activation]


def causal_mask(n: int) -> Tensor:
    """The attn_mask (n, n) that hides later keys: True above the diagonal."""
    return Tensor(~np.tri(n, dtype=np.bool_))


def build(
    self, d_model: int, dim_feedforward: int, dropout: float, activation, eps, norms: int, bias, dtype, g
) -> None:
    """What both layers have besides attention: two linear layers, norms, dropouts and the activation."""
    self.activation = activation_of(activation)
    self.linear1 = Linear(d_model, dim_feedforward, bias, dtype, generator=g)
    self.linear2 = Linear(dim_feedforward, d_model, bias, dtype, generator=g)
    self.dropout = Dropout(dropout, generator=g)
    for i in range(1, norms + 1):
        setattr(self, f"norm{i}", LayerNorm(d_model, eps, bias=bias, dtype=dtype))
        setattr(self, f"dropout{i}", Dropout(dropout, generator=g))


def sublayer(x: Tensor, norm: Module, dropout: Module, f: Callable, norm_first: bool) -> Tensor:
    """x + dropout(f(norm(x))), or norm(x + dropout(f(x)))."""
    if norm_first:
        return x + dropout(f(norm(x)))
    return norm(x + dropout(f(x)))


def feed_forward(self, x: Tensor) -> Tensor:
    return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(Module):
    """Self-attention and two linear layers, each with residual, dropout and layer norm: x (T, N, d_model) -> the same.

    With batch_first x is (N, T, d_model). activation: a name (relu, gelu, silu, mish, tanh) or a function. The
    generator serves the initial values and then dropout.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation="relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype=float32,
        *,
        generator: Generator,
    ):
        self.norm_first = norm_first
        how = {"batch_first": batch_first, "dtype": dtype, "generator": generator}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, **how)
        build(self, d_model, dim_feedforward, dropout, activation, layer_norm_eps, 2, bias, dtype, generator)

    def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal: bool = False) -> Tensor:
        def attend(x):
            return self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)[0]

        x = sublayer(src, self.norm1, self.dropout1, attend, self.norm_first)
        return sublayer(x, self.norm2, self.dropout2, lambda x: feed_forward(self, x), self.norm_first)


class TransformerDecoderLayer(Module):
    """As TransformerEncoderLayer, with attention to an encoder's output (S, N, d_model) after the self-attention."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation="relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype=float32,
        *,
        generator: Generator,
    ):
        self.norm_first = norm_first
        how = {"batch_first": batch_first, "dtype": dtype, "generator": generator}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, **how)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, **how)
        build(self, d_model, dim_feedforward, dropout, activation, layer_norm_eps, 3, bias, dtype, generator)

    def forward(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        def attend(x):
            return self.self_attn(x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal)[0]

        def look(x):
            masks = (memory_key_padding_mask, False, memory_mask)
            return self.multihead_attn(x, memory, memory, *masks, is_causal=memory_is_causal)[0]

        x = sublayer(tgt, self.norm1, self.dropout1, attend, self.norm_first)
        x = sublayer(x, self.norm2, self.dropout2, look, self.norm_first)
        return sublayer(x, self.norm3, self.dropout3, lambda x: feed_forward(self, x), self.norm_first)


def copies(layer, n: int) -> ModuleList:
    """n layers: made by a function, each with values of its own, or copies of one layer."""
    if not isinstance(layer, Module):
        return ModuleList([layer() for _ in range(n)])
    generators = {id(g): g for m in layer.modules() for g in vars(m).values() if isinstance(g, Generator)}
    return ModuleList([copy.deepcopy(layer, dict(generators)) for _ in range(n)])


class TransformerEncoder(Module):
    """num_layers encoder layers in a row, and a last norm if given.

    encoder_layer: a function that makes a layer, so that each starts from other values, or one layer, of which all are
    copies with equal values (as in PyTorch).
    """

    def __init__(
        self,
        encoder_layer: TransformerEncoderLayer | Callable[[], TransformerEncoderLayer],
        num_layers: int,
        norm: Module | None = None,
    ):
        self.layers = copies(encoder_layer, num_layers)
        self.norm = norm

    def forward(self, src, mask=None, src_key_padding_mask=None, is_causal: bool = False) -> Tensor:
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, is_causal)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """num_layers decoder layers in a row, and a last norm if given; decoder_layer as in TransformerEncoder."""

    def __init__(
        self,
        decoder_layer: TransformerDecoderLayer | Callable[[], TransformerDecoderLayer],
        num_layers: int,
        norm: Module | None = None,
    ):
        self.layers = copies(decoder_layer, num_layers)
        self.norm = norm

    def forward(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks, tgt_is_causal, memory_is_causal)
        return tgt if self.norm is None else self.norm(tgt)
