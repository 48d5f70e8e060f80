"""NumPy twins of the convolution and pooling kernels."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def windows(x, kernel, stride, padding, dilation, fill=0):
    """View (B, C, OH, OW, KH, KW) of x (B, C, H, W) padded with fill: x[oh s + kh d - p, ow s + kw d - p]."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel, stride, padding, dilation
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill)
    return sliding_window_view(x, (dh * (kh - 1) + 1, dw * (kw - 1) + 1), (2, 3))[:, :, ::sh, ::sw, ::dh, ::dw]


def by_groups(a, groups: int, axis: int):
    """Splits the axis of channels in (groups, channels of a group)."""
    return a.reshape(*a.shape[:axis], groups, a.shape[axis] // groups, *a.shape[axis + 1 :])


def finish(y, b, act):
    y = y if b is None else y + b[:, None, None]
    return y if act is None else np.maximum(y, 0)


def conv2d(x, w, b=None, *, stride, padding, dilation, groups, act=None):
    v = by_groups(windows(x, w.shape[2:], stride, padding, dilation), groups, 1)
    y = np.einsum("ngchwij,gocij->ngohw", v, by_groups(w, groups, 0), optimize=True)
    return finish(y.reshape(y.shape[0], w.shape[0], *y.shape[3:]), b, act)


def scattered(parts, shape, dtype, stride, padding, dilation):
    """sum over ((kh, kw), a) in parts of a (B, C, OH, OW) at the places that tap (kh, kw) of a window reads."""
    (ph, pw), (sh, sw), (dh, dw) = padding, stride, dilation
    full = None
    for (i, j), a in parts:
        oh, ow = a.shape[2:]
        if full is None:
            reach = [sh * oh + dh * i, sw * ow + dw * j]
            full = np.zeros(
                (*shape[:2], *(s + 2 * p + r for s, p, r in zip(shape[2:], padding, reach, strict=True))), dtype
            )
        full[:, :, i * dh : i * dh + oh * sh : sh, j * dw : j * dw + ow * sw : sw] += a
    return np.zeros(shape, dtype) if full is None else full[:, :, ph : ph + shape[2], pw : pw + shape[3]]


def taps(kernel):
    """Every (kh, kw), the last first, since its reach is the longest."""
    return [(i, j) for i in reversed(range(kernel[0])) for j in reversed(range(kernel[1]))]


def conv2d_grad_input(g, w, b=None, *, shape, stride, padding, dilation, groups, act=None):
    gg, wg = by_groups(g, groups, 1), by_groups(w, groups, 0)
    like = (g.shape[0], shape[1], *g.shape[2:])
    parts = (
        ((i, j), np.einsum("ngohw,goc->ngchw", gg, wg[..., i, j], optimize=True).reshape(like))
        for i, j in taps(w.shape[2:])
    )
    return finish(scattered(parts, shape, g.dtype, stride, padding, dilation), b, act)


def conv2d_grad_weight(g, x, *, shape, stride, padding, dilation, groups):
    v = windows(x, shape[2:], stride, padding, dilation)[:, :, : g.shape[2], : g.shape[3]]
    gg = by_groups(g, groups, 1)
    return np.einsum("ngchwij,ngohw->gocij", by_groups(v, groups, 1), gg, optimize=True).reshape(shape)


def conv2d_grad_bias(g):
    return g.sum((0, 2, 3))


def max_pool2d(x, *, kernel, stride, padding, dilation):
    how = (kernel, stride, padding, dilation)
    places = np.arange(x.shape[2] * x.shape[3]).reshape(1, 1, *x.shape[2:])
    v, at = windows(x, *how, -np.inf), windows(places, *how, -1)
    flat = (*v.shape[:4], kernel[0] * kernel[1])
    v, at = v.reshape(flat), np.broadcast_to(at, v.shape).reshape(flat)
    best = v.argmax(-1)[..., None]
    best = np.where(np.take_along_axis(at, best, -1) >= 0, best, (at >= 0).argmax(-1)[..., None])
    return np.take_along_axis(v, best, -1)[..., 0], np.take_along_axis(at, best, -1)[..., 0]


def max_pool2d_backward(g, index, *, shape):
    out = np.zeros((shape[0] * shape[1], shape[2] * shape[3]), g.dtype)
    row, index = np.arange(out.shape[0])[:, None], index.reshape(out.shape[0], index.shape[2] * index.shape[3])
    np.add.at(out, (row, np.maximum(index, 0)), np.where(index >= 0, g.reshape(index.shape), 0))
    return out.reshape(shape)


def avg_pool2d(x, *, kernel, stride, padding):
    return windows(x, kernel, stride, padding, (1, 1)).mean((-1, -2), dtype=x.dtype)


def avg_pool2d_backward(g, *, shape, kernel, stride, padding):
    share = g / g.dtype.type(kernel[0] * kernel[1])
    return scattered((((i, j), share) for i, j in taps(kernel)), shape, g.dtype, stride, padding, (1, 1))
