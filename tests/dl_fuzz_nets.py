"""What random programs of dl are made of: products, layers and losses, with their twins."""

import numpy as np
import scipy.special as sp
from dl_fuzz_ops import Op, few, keep, one, pick

import dl
from dl import functional as F

OPS: dict[str, Op] = {}

# Products


def propose_matmul(draw):
    i = draw.pick("f" if draw.chance(0.9) else "i", 1, 4)
    a = draw.array(i)
    kind = a.dtype.kind
    n, k = (1 + draw.below(6) for _ in range(2))
    if draw.chance(0.3):
        return (i, draw.new((a.shape[-1],), kind)), {}
    if draw.chance(0.3) and a.ndim > 1:
        return (draw.new((n, a.shape[-2]), kind), i), {}
    lead = a.shape[:-2] if draw.chance(0.3) else draw.choice(((), (), (2, *(1 for _ in a.shape[:-2]))))
    return (i, draw.new((*lead, a.shape[-1], k), kind)), {}


OPS["matmul"] = Op(dl.matmul, np.matmul, propose_matmul, 4)
OPS["times_own_T"] = Op(lambda x: x @ x.mT, lambda x: x @ np.swapaxes(x, -2, -1), pick("f", 2, 3), 1)


def propose_linear(draw):
    i = draw.pick("f", 1, 3)
    n = int(draw.choice((1, 3, 5, 8, 17, 32)))
    weight = draw.new((n, draw.array(i).shape[-1]))
    return ((i, weight, draw.new((n,))) if draw.chance(0.7) else (i, weight)), {}


ACTS = {"none": lambda x: x, "tanh": dl.tanh, "relu": dl.relu, "gelu": F.gelu, "silu": F.silu, "sigmoid": dl.sigmoid}
TWINS = {
    "none": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: (np.maximum(x, -99) * sp.ndtr(x)).astype(x.dtype),
    "silu": lambda x: np.maximum(x, -999) * sp.expit(x),
    "sigmoid": sp.expit,
}
act = lambda draw: {"act": draw.choice(tuple(ACTS))}  # noqa: E731
OPS["linear"] = Op(
    lambda x, w, *b, act: ACTS[act](F.linear(x, w, *b)), lambda x, w, *b, act: TWINS[act](sum(b, np.matmul(x, w.T))),
    lambda draw: (propose_linear(draw)[0], act(draw)), 4,
)  # fmt: skip
EINSUM = {"ij,kj->ik": (2, 2), "ij,j->i": (2, 1), "bij,bkj->bik": (3, 3), "ij,ij->": (2, 2), "ij,kj->jik": (2, 2)}


def propose_einsum(draw):
    equation = draw.choice(tuple(EINSUM))
    i = draw.pick("f", EINSUM[equation][0], EINSUM[equation][0])
    first, second = equation.split("->")[0].split(",")
    sizes = dict(zip(first, draw.array(i).shape, strict=True))
    return (i, draw.new([sizes.get(c, 2 + draw.below(4)) for c in second])), {"equation": equation}


OPS["einsum"] = Op(
    lambda x, y, equation: dl.einsum(equation, x, y), lambda x, y, equation: np.asarray(np.einsum(equation, x, y)),
    propose_einsum, 1.5,
)  # fmt: skip
OPS["outer"] = Op(dl.outer, np.outer, lambda draw: ((draw.pick("f", 1, 1), draw.pick("f", 1, 1, few)), {}), 0.6)

# Layers


def promoted(twin):
    """All arguments in their common dtype before anything is computed."""

    def inner(x, *weights, **attrs):
        dtype = np.result_type(x, *weights)
        return twin(*[a.astype(dtype) for a in (x, *weights)], **attrs)

    return inner


def normalised(x, axes, eps):
    m = x.mean(axes, keepdims=True)
    return (x - m) / np.sqrt(((x - m) ** 2).mean(axes, keepdims=True) + x.dtype.type(eps))


def beside(x, w):
    """Channels (C,) next to x (N, C, ...)."""
    return w.reshape(-1, *(1,) * (x.ndim - 2))


def grouped(x, w, b, groups):
    y = normalised(x.reshape(x.shape[0], groups, -1), 2, 1e-5).reshape(x.shape)
    return y * beside(x, w) + beside(x, b)


def propose_group_norm(draw):
    groups, c = draw.choice(((1, 3), (2, 4), (2, 8), (4, 4)))
    x = draw.new((1 + draw.below(3), c, *(1 + draw.below(5) for _ in range(draw.below(3)))))
    return (x, draw.new((c,)), draw.new((c,))), {"groups": groups}


def propose_row_norm(draw):
    i = draw.pick("f", 1, 4, lambda a: 1 < a.shape[-1] < 100)
    n = draw.array(i).shape[-1:]
    return (i, draw.new(n), draw.new(n)), {}


OPS["layer_norm"] = Op(
    lambda x, w, b: F.layer_norm(x, w.shape, w, b),
    promoted(lambda x, w, b: normalised(x, -1, 1e-5) * w + b),
    propose_row_norm,
    1.5,
)
OPS["rms_norm"] = Op(
    lambda x, w: F.rms_norm(x, w.shape, w, 1e-6),
    promoted(lambda x, w: x / np.sqrt((x * x).mean(-1, keepdims=True) + x.dtype.type(1e-6)) * w),
    lambda draw: (propose_row_norm(draw)[0][:2], {}),
)
OPS["group_norm"] = Op(
    lambda x, w, b, groups: F.group_norm(x, groups, w, b), promoted(grouped), propose_group_norm, 1.2
)
softer = pick("f", 1, ok=lambda a: np.isfinite(a).all(), d=one)
OPS["softmax"] = Op(lambda x, d: F.softmax(x, d), lambda x, d: sp.softmax(x, d) if x.size else x.copy(), softer, 1.5)
OPS["log_softmax"] = Op(
    lambda x, d: F.log_softmax(x, d), lambda x, d: sp.log_softmax(x, d) if x.size else x.copy(), softer, 1
)
OPS["logsumexp"] = Op(
    lambda x, d, k: dl.logsumexp(x, d, k), lambda x, d, k: np.asarray(sp.logsumexp(x, d, keepdims=k)).astype(x.dtype),
    pick("f", 1, ok=lambda a: a.size and np.isfinite(a).all(), d=one, k=keep), 1,
)  # fmt: skip


def windows(x, kernel, stride, padding, dilation=(1, 1), fill=0.0):
    """(N, C, H', W', kh, kw)."""
    h, w = padding
    x = np.pad(x, ((0, 0), (0, 0), (h, h), (w, w)), constant_values=fill)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    seen = np.lib.stride_tricks.sliding_window_view(x, spans, (2, 3))
    return seen[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def convolved(x, w, b, s, p, d, g):
    seen, o, c = windows(x, w.shape[2:], s, p, d), w.shape[0] // g, w.shape[1]
    parts = [np.einsum("nchwij,ocij->nohw", seen[:, k * c : (k + 1) * c], w[k * o : (k + 1) * o]) for k in range(g)]
    return np.concatenate(parts, 1) + beside(x, b)


def convolved_1d(x, w, b, s, p, d, g):
    return convolved(x[:, :, None], w[:, :, None], b, (1, s), (0, p), (1, d), g)[:, :, 0]


def spread(x, w, b, s, p):
    """The transposed convolution, one element of the input after the other."""
    (n, _, h, v), (_, o, kh, kw) = x.shape, w.shape
    out = np.zeros((n, o, (h - 1) * s + kh, (v - 1) * s + kw), np.result_type(x, w))
    for i, j in np.ndindex(h, v):
        out[:, :, i * s : i * s + kh, j * s : j * s + kw] += np.einsum("nc,cokl->nokl", x[:, :, i, j], w)
    return out[:, :, p : out.shape[2] - p, p : out.shape[3] - p] + beside(x, b)


def image(draw, c: int, space: int = 2, fill: str | None = None) -> int:
    n = draw.choice((1, 2, 3))
    return draw.new((n, c, *(int(draw.choice((3, 4, 5, 8))) for _ in range(space))), fill=fill)


def propose_conv(draw):
    g = draw.choice((1, 1, 1, 2))
    c, o = draw.choice((1, 2, 3, 8)) * g, draw.choice((1, 2, 4, 16)) * g
    both = lambda *values: tuple(draw.choice(values) for _ in range(2))  # noqa: E731
    attrs = {"s": both(1, 1, 2), "p": both(0, 1, 2), "d": both(1, 1, 2), "g": g}
    return (image(draw, c), draw.new((o, c // g, *both(1, 2, 3))), draw.new((o,))), attrs


def propose_conv_1d(draw):
    g = draw.choice((1, 1, 2))
    c, o = draw.choice((1, 2, 8)) * g, draw.choice((1, 3, 16)) * g
    attrs = {"s": draw.choice((1, 2)), "p": draw.choice((0, 1, 2)), "d": draw.choice((1, 1, 2)), "g": g}
    return (image(draw, c, 1), draw.new((o, c // g, draw.choice((1, 3, 5)))), draw.new((o,))), attrs


def propose_transposed(draw):
    c, o = draw.choice((1, 2, 4)), draw.choice((1, 2, 3))
    x, w = image(draw, c, fill="normal"), draw.new((c, o, draw.choice((2, 3)), draw.choice((2, 3))), fill="normal")
    return (x, w, draw.new((o,))), {"s": draw.choice((1, 2)), "p": draw.choice((0, 1))}


def propose_pool(draw):
    k = draw.choice((2, 3))
    return (image(draw, draw.choice((1, 2, 4))),), {"k": k, "s": draw.choice((1, 2)), "p": draw.choice((0, 1))}


OPS["conv2d"] = Op(lambda x, w, b, s, p, d, g: F.conv2d(x, w, b, s, p, d, g), convolved, propose_conv, 1.5)
OPS["conv1d"] = Op(lambda x, w, b, s, p, d, g: F.conv1d(x, w, b, s, p, d, g), convolved_1d, propose_conv_1d, 1.5)
OPS["conv_transpose2d"] = Op(lambda x, w, b, s, p: F.conv_transpose2d(x, w, b, s, p), spread, propose_transposed)
OPS["max_pool2d"] = Op(
    lambda x, k, s, p: F.max_pool2d(x, k, s, p),
    lambda x, k, s, p: windows(x, (k, k), (s, s), (p, p), fill=-np.inf).max((-2, -1)), propose_pool,
)  # fmt: skip
OPS["avg_pool2d"] = Op(
    lambda x, k, s, p: F.avg_pool2d(x, k, s, p),
    lambda x, k, s, p: windows(x, (k, k), (s, s), (p, p)).mean((-2, -1)), propose_pool,
)  # fmt: skip


def attended(q, k, v, causal):
    s = q @ np.swapaxes(k, -2, -1) / q.dtype.type(np.sqrt(q.shape[-1]))
    if causal:
        s = np.where(np.tri(*s.shape[-2:], dtype=bool), s, s.dtype.type(-np.inf))
    return sp.softmax(s, -1) @ v


def propose_attention(draw):
    lead = draw.choice(((), (2,), (2, 3)))
    n, m, e, w = draw.choice((1, 4, 7)), draw.choice((1, 4, 9)), draw.choice((1, 4, 16)), draw.choice((1, 8, 5))
    sizes = ((n, e), (m, e), (m, w))
    return tuple(draw.new((*lead, *s), fill="normal") for s in sizes), {"causal": draw.chance(0.4)}


OPS["attention"] = Op(
    lambda q, k, v, causal: F.scaled_dot_product_attention(q, k, v, is_causal=causal), attended, propose_attention, 1.5
)

# Losses


def crossed(x, target):
    return -np.mean(np.take_along_axis(sp.log_softmax(x, 1), target[:, None], 1)).astype(x.dtype)


def huber(x, y):
    e = np.abs(x - y)
    return np.mean(np.where(e < 1, e * e / 2, e - x.dtype.type(0.5)))


def propose_classes(draw):
    i = draw.pick("f", 2, 2, lambda a: a.size and np.isfinite(a).all())
    n, c = draw.array(i).shape
    return (i, draw.new((n,), "i", c)), {}


OPS["cross_entropy"] = Op(F.cross_entropy, crossed, propose_classes, 1)
full = lambda a: a.size > 0  # noqa: E731
OPS["mse_loss"] = Op(
    F.mse_loss, lambda x, y: np.mean((x - y) ** 2), lambda draw: ((i := draw.pick("f", ok=full), draw.alike(i)), {})
)
OPS["huber_loss"] = Op(F.huber_loss, huber, lambda draw: ((i := draw.pick("f", ok=full), draw.alike(i)), {}), 0.6)
