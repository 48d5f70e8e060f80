"""Functions of networks, under PyTorch's names: from dl import functional as F.

Layers, activations, norms, pooling, attention, dropout and losses without state; the modules of dl.nn call them.
"""

from dl.ops.activations import (
    celu,
    cosine_similarity,
    embedding,
    glu,
    hardsigmoid,
    hardswish,
    hardtanh,
    normalize,
    pairwise_distance,
    prelu,
    relu6,
    selu,
    tanhshrink,
    threshold,
)
from dl.ops.attention import scaled_dot_product_attention
from dl.ops.conv import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from dl.ops.cross_entropy import cross_entropy, info_nce_loss, nll_loss
from dl.ops.dropout import dropout, dropout1d, dropout2d
from dl.ops.elementwise import relu
from dl.ops.index import one_hot
from dl.ops.join import pad
from dl.ops.linear import linear
from dl.ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    gaussian_nll_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    quantile_loss,
    smooth_l1_loss,
)
from dl.ops.norm import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from dl.ops.pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from dl.ops.resize import interpolate
from dl.ops.softmax import log_softmax, logsumexp, softmax, softmin
from dl.ops.special import elu, gelu, leaky_relu, mish, sigmoid, silu, softplus, softsign, tanh
from dl.ops.special import log_sigmoid as logsigmoid

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "elu",
    "embedding",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "group_norm",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "huber_loss",
    "info_nce_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "logsumexp",
    "max_pool1d",
    "max_pool2d",
    "mish",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "prelu",
    "quantile_loss",
    "relu",
    "relu6",
    "rms_norm",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softmin",
    "softplus",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
]
