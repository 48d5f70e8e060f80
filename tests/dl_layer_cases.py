"""Rows of the table behind layers and losses, with inputs to check them on: (row, inputs, attributes)."""

import numpy as np

from dl.ops.attention import ATTENTION, ATTENTION_BACKWARD
from dl.ops.conv import CONV2D, GRAD_BIAS, GRAD_INPUT, GRAD_WEIGHT
from dl.ops.cross_entropy import CROSS_ENTROPY, CROSS_ENTROPY_BACKWARD
from dl.ops.linear import LINEAR, LINEAR_WEIGHT, MATMUL
from dl.ops.norm import (
    GROUP_NORM,
    GROUP_NORM_BACKWARD,
    LAYER_NORM,
    LAYER_NORM_BACKWARD,
    RMS_NORM,
    RMS_NORM_BACKWARD,
)
from dl.ops.pieces import PIECES, SLICES
from dl.ops.pool import AVG_BACKWARD, AVG_POOL2D, MAX_BACKWARD, MAX_POOL2D
from dl.ops.softmax import LOG_SOFTMAX, LOG_SOFTMAX_BACKWARD, LOGSUMEXP, SOFTMAX, SOFTMAX_BACKWARD

rng = np.random.default_rng(7)


def n(*shape):
    return rng.standard_normal(shape)


def p(*shape):
    return rng.random(shape) + 0.5


HOW = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}
WINDOW = {"kernel": (2, 3), "stride": (2, 1), "padding": (1, 0)}
CLASSES = np.array([0, 3, 1])
SEEN = np.array([[[[True, False, True], [True, True, True]]]])
Q, K, V = n(1, 2, 2, 3), n(1, 2, 3, 3), n(1, 2, 3, 2)
HEADS = {"scale": 0.7, "causal": False}
MASK = np.broadcast_to(SEEN, (1, 2, 2, 3))
INDEX = np.array([[[[0, 5, 1], [3, 0, 8]]]])

CASES = [
    (MATMUL, (n(2, 3), n(3, 2)), {}),
    (MATMUL, (n(2, 2, 3), n(3, 2)), {}),
    (MATMUL, (n(2, 3), n(2, 3, 1)), {}),
    (MATMUL, (n(2, 1, 1, 3), n(2, 3, 2)), {}),
    (LINEAR, (n(2, 3), n(2, 3), n(2)), {}),
    (LINEAR_WEIGHT, (n(3, 2), n(3, 4)), {}),
    (LINEAR, (n(2, 2, 3), n(2, 3), None), {}),
    (CONV2D, (n(1, 2, 3, 5), n(4, 1, 2, 2), n(4)), HOW),
    (CONV2D, (n(1, 2, 3, 5), n(4, 1, 2, 2), None), HOW),
    (GRAD_BIAS, (n(2, 3, 1, 2),), {}),
    (GRAD_INPUT, (n(1, 4, 2, 3), n(4, 1, 2, 2), n(2)), {"shape": (1, 2, 3, 5), **HOW}),
    (GRAD_INPUT, (n(1, 4, 2, 3), n(4, 1, 2, 2), None), {"shape": (1, 2, 3, 5), **HOW}),
    (GRAD_WEIGHT, (n(1, 4, 2, 3), n(1, 2, 3, 5)), {"shape": (4, 1, 2, 2), **HOW}),
    (MAX_POOL2D, (n(1, 2, 3, 4),), {**WINDOW, "dilation": (1, 1)}),
    (MAX_BACKWARD, (n(1, 1, 2, 3), INDEX), {"shape": (1, 1, 3, 3)}),
    (AVG_POOL2D, (n(1, 2, 3, 4),), WINDOW),
    (AVG_BACKWARD, (n(1, 2, 2, 2),), {"shape": (1, 2, 3, 4), **WINDOW}),
    (SOFTMAX, (n(2, 3, 2),), {"dim": 1}),
    (SOFTMAX, (n(4),), {"dim": 0}),
    (SOFTMAX_BACKWARD, (n(2, 3), n(2, 3)), {"dim": 1}),
    (LOG_SOFTMAX, (n(2, 3, 2),), {"dim": 1}),
    (LOG_SOFTMAX_BACKWARD, (n(2, 3), n(2, 3)), {"dim": 1}),
    (LOGSUMEXP, (n(2, 3, 2),), {"dim": 1}),
    (LAYER_NORM, (n(2, 4), p(4), n(4)), {"eps": 1e-3}),
    (LAYER_NORM, (n(2, 1, 4), None, None), {"eps": 1e-3}),
    (LAYER_NORM_BACKWARD, (n(2, 3), n(2, 3), n(2), p(2), p(3)), {}),
    (LAYER_NORM_BACKWARD, (n(2, 3), n(2, 3), n(2), p(2), None), {}),
    (RMS_NORM, (n(2, 4), p(4)), {"eps": 1e-3}),
    (RMS_NORM, (n(2, 4), None), {"eps": 1e-3}),
    (RMS_NORM_BACKWARD, (n(2, 3), n(2, 3), p(2), p(3)), {}),
    (GROUP_NORM, (n(2, 4, 2), p(4), n(4)), {"groups": 2, "eps": 1e-3}),
    (GROUP_NORM, (n(1, 4, 1, 2), None, None), {"groups": 1, "eps": 1e-3}),
    (GROUP_NORM_BACKWARD, (n(1, 4, 2), n(1, 4, 2), n(1, 2), p(1, 2), p(4)), {"groups": 2}),
    (ATTENTION, (Q, K, V, None), HEADS),
    (ATTENTION, (Q, K, V, None), {"scale": 0.7, "causal": True}),
    (ATTENTION, (Q, K, V, MASK), HEADS),
    (ATTENTION, (Q, K, V, n(1, 2, 2, 3)), HEADS),
    (ATTENTION_BACKWARD, (n(1, 2, 2, 2), Q, K, V, MASK, n(1, 2, 2, 2), n(1, 2, 2)), HEADS),
    (ATTENTION_BACKWARD, (n(1, 2, 2, 2), Q, K, V, None, n(1, 2, 2, 2), n(1, 2, 2)), HEADS),
    (CROSS_ENTROPY, (n(3, 4), CLASSES), {}),
    (CROSS_ENTROPY_BACKWARD, (n(3), p(3, 4), CLASSES), {}),
    (PIECES, (n(2, 3),), {"dim": 1, "sizes": (1, 2)}),
    (SLICES, (n(3, 2),), {"dim": 0}),
    (SLICES, (n(1, 2),), {"dim": 0}),
]
