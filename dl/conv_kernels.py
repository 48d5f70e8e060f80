"""Kernels of convolution and pooling over (B, C, H, W); a sequence (B, C, L) is an image of height 1.

Arrays come with any strides. Results of convolutions are (B, C, H, W) in shape and channels last in memory; inputs that
are so already are read without a copy where they need no padding. Pooling keeps the layout of its input.
"""

import numpy as np

from dl.kernel import Kernel
from dl.reference import conv as twins

ACTS = {None: 0, "relu": 1}


def channels_last(shape, dtype) -> np.ndarray:
    """An uninitialised array (B, C, H, W) whose channels are neighbours in memory."""
    b, c, h, w = shape
    return np.empty((b, h, w, c), dtype).transpose(0, 3, 1, 2)


def alike(x: np.ndarray, shape, dtype) -> np.ndarray:
    """An uninitialised array of this shape, channels last where x is."""
    return channels_last(shape, dtype) if x.strides[1] == x.itemsize and x.shape[1] > 1 else np.empty(shape, dtype)


def window_count(shape, kernel, stride, padding, dilation) -> tuple[int, int]:
    """floor((H + 2 p - d (k - 1) - 1) / s) + 1 for both axes of shape (B, C, H, W); at least 0."""
    rows, cols = [
        max((n + 2 * p - d * (k - 1) - 1) // s + 1, 0)
        for n, k, s, p, d in zip(shape[2:], kernel, stride, padding, dilation, strict=True)
    ]
    return rows, cols


def conv_numbers(*arrays, stride, padding, dilation, groups, act=None, shape=None):
    return (*stride, *padding, *dilation, groups, ACTS[act]), ()


def weight_numbers(*arrays, stride, padding, dilation, groups, shape):
    return (*stride, *padding, *dilation, groups), ()


def pool_numbers(*arrays, kernel, stride, padding, dilation=(), shape=None):
    return (*kernel, *stride, *padding, *dilation), ()


def conv_outputs(x, w, b=None, *, stride, padding, dilation, groups, act=None):
    count = window_count(x.shape, w.shape[2:], stride, padding, dilation)
    return (channels_last((x.shape[0], w.shape[0], *count), x.dtype),)


def max_outputs(x, *, kernel, stride, padding, dilation):
    shape = (*x.shape[:2], *window_count(x.shape, kernel, stride, padding, dilation))
    return alike(x, shape, x.dtype), alike(x, shape, np.int64)


def avg_outputs(x, *, kernel, stride, padding):
    return (alike(x, (*x.shape[:2], *window_count(x.shape, kernel, stride, padding, (1, 1))), x.dtype),)


def backward_outputs(g, *index, shape, **how):
    return (alike(g, shape, g.dtype),)


# y[b, o, h, w] = act(bias[o] + sum over c, i, j of w[o, c, i, j] x[b, c, h s + i d - p, w s + j d - p]):
# conv2d(x, w, b or None, *, stride, padding, dilation, groups, act=None or "relu"), pairs for (H, W)
conv2d = Kernel("conv2d", conv_outputs, twins.conv2d, conv_numbers)

# Its adjoint in x, that is, the transposed convolution of g, with bias and act as above:
# conv2d_grad_input(g, w, b=None, *, shape, stride, padding, dilation, groups, act=None), shape that of x
conv2d_grad_input = Kernel(
    "conv2d_grad_input",
    lambda g, w, b=None, *, shape, **how: (channels_last(shape, g.dtype),),
    twins.conv2d_grad_input,
    conv_numbers,
)

# Its adjoint in w: conv2d_grad_weight(g, x, *, shape, stride, padding, dilation, groups), shape that of w
conv2d_grad_weight = Kernel(
    "conv2d_grad_weight",
    lambda g, x, *, shape, **how: ((shape, g.dtype),),
    twins.conv2d_grad_weight,
    weight_numbers,
)

# sum over batch, rows and columns: conv2d_grad_bias(g) -> (C,)
conv2d_grad_bias = Kernel("conv2d_grad_bias", lambda g: ((g.shape[1:2], g.dtype),), twins.conv2d_grad_bias)

# max_pool2d(x, *, kernel, stride, padding, dilation) -> values, int64 places h W + w in the plane (-1: all padding);
# the first of equal values, or the first NaN
max_pool2d = Kernel("max_pool2d", max_outputs, twins.max_pool2d, pool_numbers)
max_pool2d_backward = Kernel("max_pool2d_backward", backward_outputs, twins.max_pool2d_backward)

# means of windows, zeros of the padding count: avg_pool2d(x, *, kernel, stride, padding)
avg_pool2d = Kernel("avg_pool2d", avg_outputs, twins.avg_pool2d, pool_numbers)
avg_pool2d_backward = Kernel("avg_pool2d_backward", backward_outputs, twins.avg_pool2d_backward, pool_numbers)
