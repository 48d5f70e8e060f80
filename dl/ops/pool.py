"""Pooling over space: maxima and means of windows."""

import numpy as np

from dl import conv_kernels as kernels
from dl.ops.base import as_tensor, floating
from dl.ops.conv import ints, output_size
from dl.ops.elementwise import where
from dl.ops.linear import matmul
from dl.ops.rules import batch_into_first_axis
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor


def picked(x: Tensor, index: Tensor) -> Tensor:
    """The values of x (N, C, H, W) at flat positions of the plane, index (N, C, H', W'); 0 at -1 (all padding)."""
    plane = x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])
    flat = index.reshape(*index.shape[:2], index.shape[2] * index.shape[3])
    return where(index < 0, 0.0, plane.gather(2, flat.maximum(0)).reshape(index.shape))


def max_rule(needs, g, out, x, **how):
    return (apply(MAX_BACKWARD, (g[0], out[1]), {"shape": x.shape}),)


MAX_POOL2D = Primitive(
    "max_pool2d",
    kernels.max_pool2d,
    vjp=max_rule,
    jvp=lambda ts, out, x, **how: (picked(ts[0], out[1]), None),
    batch=batch_into_first_axis(lambda: MAX_POOL2D, 2),
    saves=("out",),
)
MAX_BACKWARD = Primitive(
    "max_pool2d_backward",
    kernels.max_pool2d_backward,
    vjp=(lambda h, out, g, index, *, shape: picked(h, index), None),
    jvp=lambda ts, out, g, index, *, shape: apply(MAX_BACKWARD, (ts[0], index), {"shape": shape}),
    batch=batch_into_first_axis(lambda: MAX_BACKWARD),
    saves=(1,),
)
AVG_POOL2D = Primitive(
    "avg_pool2d",
    kernels.avg_pool2d,
    vjp=(lambda g, out, x, **how: apply(AVG_BACKWARD, (g,), {"shape": x.shape, **how}),),
    batch=batch_into_first_axis(lambda: AVG_POOL2D),
    saves=(),
    linear=True,
)
AVG_BACKWARD = Primitive(
    "avg_pool2d_backward",
    kernels.avg_pool2d_backward,
    vjp=(lambda h, out, g, *, shape, **how: apply(AVG_POOL2D, (h,), how),),
    batch=batch_into_first_axis(lambda: AVG_BACKWARD),
    saves=(),
    linear=True,
)


def prepared(name: str, n: int, x) -> tuple[Tensor, tuple[int, ...]]:
    """x as (N, C, H, W) and the shape in front of its axes of space."""
    x = floating(x)
    if x.ndim not in (n + 1, n + 2):
        axes = "L" if n == 1 else "H, W"
        raise ValueError(f"{name}: wanted x (N, C, {axes}) or (C, {axes}), got {list(x.shape)}")
    lead = x.shape[:-n]
    return x.reshape(*(1,) * (2 - len(lead)), *lead, *(1,) * (2 - n), *x.shape[-n:]), lead


def windows(name: str, n: int, x: Tensor, kernel, stride, padding, dilation=1) -> dict:
    """The attributes of the rows, checked; the stride is the kernel where it is None."""
    kernel = ints(kernel, n, f"{name}: kernel_size", 1)
    stride = kernel if stride is None else ints(stride, n, f"{name}: stride", 1)
    padding, dilation = ints(padding, n, f"{name}: padding"), ints(dilation, n, f"{name}: dilation", 1)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(f"{name}: padding {list(padding)} is more than half of the kernel {list(kernel)}")
    output_size(name, x, kernel, stride, padding, dilation)
    if n == 1:
        kernel, stride, padding, dilation = (1, *kernel), (1, *stride), (0, *padding), (1, *dilation)
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


def max_pool(name: str, n: int, x, kernel, stride, padding, dilation, return_indices: bool):
    x, lead = prepared(name, n, x)
    y, index = apply(MAX_POOL2D, (x,), windows(name, n, x, kernel, stride, padding, dilation))
    shape = (*lead, *y.shape[4 - n :])
    return (y.reshape(shape), index.reshape(shape)) if return_indices else y.reshape(shape)


def max_pool1d(x, kernel_size, stride=None, padding=0, dilation=1, *, return_indices: bool = False):
    """The largest of each window of x (N, C, L) -> (N, C, L'), and its position where return_indices is set.

    Padding counts as -inf; stride None: the kernel's size. Of equal values the first is taken (it gets the gradient).
    """
    return max_pool("max_pool1d", 1, x, kernel_size, stride, padding, dilation, return_indices)


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, *, return_indices: bool = False):
    """The largest of each window of x (N, C, H, W) -> (N, C, H', W'), and its place h W + w with return_indices."""
    return max_pool("max_pool2d", 2, x, kernel_size, stride, padding, dilation, return_indices)


def avg_pool(name: str, n: int, x, kernel, stride, padding, count_include_pad: bool) -> Tensor:
    x, lead = prepared(name, n, x)
    how = windows(name, n, x, kernel, stride, padding)
    del how["dilation"]
    y = apply(AVG_POOL2D, (x,), how)
    if not count_include_pad and any(how["padding"]):
        y = y / apply(AVG_POOL2D, (as_tensor(np.ones((1, 1, *x.shape[2:]), x.dtype)),), how)
    return y.reshape(*lead, *y.shape[4 - n :])


def avg_pool1d(x, kernel_size, stride=None, padding=0, *, count_include_pad: bool = True) -> Tensor:
    """The mean of each window of x (N, C, L) -> (N, C, L'); zeros of the padding count, unless told otherwise."""
    return avg_pool("avg_pool1d", 1, x, kernel_size, stride, padding, count_include_pad)


def avg_pool2d(x, kernel_size, stride=None, padding=0, *, count_include_pad: bool = True) -> Tensor:
    """The mean of each window of x (N, C, H, W) -> (N, C, H', W'); zeros of the padding count unless told otherwise."""
    return avg_pool("avg_pool2d", 2, x, kernel_size, stride, padding, count_include_pad)


def averages(n: int, parts: int, dtype) -> Tensor:
    """The matrix (parts, n) whose row i is the mean over [floor(i n / parts), ceil((i + 1) n / parts))."""
    matrix = np.zeros((parts, n), dtype)
    for i in range(parts):
        begin, end = i * n // parts, -(-(i + 1) * n // parts)
        matrix[i, begin:end] = 1 / (end - begin)
    return Tensor(matrix)


def adaptive_avg_pool(name: str, n: int, x, output_size) -> Tensor:
    sizes = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * n
    x4, lead = prepared(name, n, x)
    space = x4.shape[4 - n :]
    sizes = ints(
        tuple([m if k is None else k for k, m in zip(sizes, space, strict=True)]), n, f"{name}: output_size", 1
    )
    if all(k == 1 for k in sizes):
        return x4.mean((2, 3)).reshape(*lead, *sizes)
    if all(m % k == 0 for k, m in zip(sizes, space, strict=True)):
        return avg_pool(name, n, x, tuple([m // k for k, m in zip(sizes, space, strict=True)]), None, 0, True)
    y = matmul(x4, averages(space[-1], sizes[-1], x4.dtype).mT)
    y = matmul(averages(space[0], sizes[0], x4.dtype), y) if n == 2 else y
    return y.reshape(*lead, *sizes)


def adaptive_avg_pool1d(x, output_size) -> Tensor:
    """Means of windows of x (N, C, L) that cover it evenly -> (N, C, output_size)."""
    return adaptive_avg_pool("adaptive_avg_pool1d", 1, x, output_size)


def adaptive_avg_pool2d(x, output_size) -> Tensor:
    """Means of windows of x (N, C, H, W) that cover it evenly -> (N, C, *output_size); None keeps a size."""
    return adaptive_avg_pool("adaptive_avg_pool2d", 2, x, output_size)


TABLE = {row.name: row for row in (MAX_POOL2D, MAX_BACKWARD, AVG_POOL2D, AVG_BACKWARD)}
