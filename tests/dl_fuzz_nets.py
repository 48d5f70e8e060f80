"""What random programs of dl are made of: indexing, products, layers, losses and in-place changes, with their twins."""

import numpy as np
import scipy.special as sp
from dl_fuzz_ops import OPS, Op, Rejected, few, keep, number, one, pick, positive

import dl
from dl import functional as F

# Indexing


def basic(draw, a) -> tuple:
    """Ints, slices with any step, None and ..."""
    index = []
    for n in a.shape[: draw.below(a.ndim + 1)]:
        if n and draw.chance(0.3):
            index.append(draw.below(n) - (n if draw.chance(0.3) else 0))
        else:
            ends = [None if draw.chance(0.4) else draw.below(n + 2) - (n if draw.chance(0.3) else 0) for _ in range(2)]
            index.append(slice(*ends, draw.choice((None, 1, 2, -1, -2))))
    if draw.chance(0.3):
        index.insert(draw.below(len(index) + 1), None)
    if draw.chance(0.3):
        index.append(...)
    return tuple(index)


def fancy(draw, a) -> tuple:
    """Basic parts with one or two lists of integers or a mask among them."""
    if not a.ndim or 0 in a.shape:
        raise Rejected
    index = list(basic(draw, a))
    index = [i for i in index if i is not None and i is not Ellipsis]
    index += [slice(None)] * (1 - len(index))
    length = draw.below(5)
    for at in draw.rng.permutation(len(index))[: 1 + draw.chance(0.4)]:
        n = a.shape[at]
        index[at] = [draw.below(2 * n) - n for _ in range(length)]
    if draw.chance(0.2):
        index[0] = [draw.chance(0.5) for _ in range(a.shape[0])]
        index[1:] = [i for i in index[1:] if not isinstance(i, list)]
    return tuple(index)


def at(index) -> tuple:
    """Empty lists as NumPy wants them."""
    return tuple(np.array(i, np.int64) if isinstance(i, list) and not i else i for i in index)


OPS["getitem"] = Op(lambda x, at: x[at], lambda x, at: x[(*at, ...)] if ... not in at else x[at], pick("fib", at=basic), 4, True)
OPS["fancy"] = Op(lambda x, i: x[at(i)], lambda x, i: x[at(i)], pick("fib", 1, i=fancy), 2)


def propose_index(draw):
    """A value, indices into one of its dims, and the dim."""
    i = draw.pick("fi", 1, 4, lambda a: 0 not in a.shape)
    d = draw.dim(draw.array(i))
    return (i, draw.new((draw.below(5),), "i", draw.array(i).shape[d])), {"d": d}


def propose_gather(draw, source: bool = False):
    """An index that is no larger than the value in the other dims (and a source of its shape)."""
    i = draw.pick("f", 1, 3, lambda a: 0 not in a.shape)
    a = draw.array(i)
    d = draw.dim(a)
    shape = [1 + draw.below(n) for n in a.shape]
    shape[d] = draw.below(6)
    j = draw.new(shape, "i", a.shape[d])
    return ((i, j, draw.new(shape)) if source else (i, j)), {"d": d}


def scattered(x, index, v, d, add):
    out, grid = x.copy(), list(np.indices(index.shape))
    grid[d] = index
    if add:
        np.add.at(out, tuple(grid), v.astype(x.dtype))
    else:
        for k in np.ndindex(index.shape):
            out[tuple(g[k] for g in grid)] = v[k]
    return out


def gathered(x, index, d):
    grid = list(np.indices(index.shape))
    grid[d] = index
    return x[tuple(grid)]


def propose_index_add(draw):
    (i, j), attrs = propose_index(draw)
    if draw.array(i).dtype.kind != "f":
        raise Rejected
    shape = list(draw.array(i).shape)
    shape[attrs["d"]] = draw.array(j).size
    return (i, j, draw.new(shape)), attrs


def added_rows(x, index, v, d):
    out = x.copy()
    np.add.at(np.moveaxis(out, d, 0), index, np.moveaxis(v, d, 0).astype(x.dtype))
    return out


OPS["index_select"] = Op(lambda x, i, d: dl.index_select(x, d, i), lambda x, i, d: np.take(x, i, d), propose_index, 1.5)
OPS["gather"] = Op(lambda x, i, d: dl.gather(x, d, i), gathered, propose_gather, 1.5)
OPS["scatter_add"] = Op(
    lambda x, i, v, d: dl.scatter_add(x, d, i, v), lambda x, i, v, d: scattered(x, i, v, d, True),
    lambda draw: propose_gather(draw, True), 1.5,
)  # fmt: skip
OPS["scatter"] = Op(
    lambda x, i, v, d: dl.scatter(x, d, i, v), lambda x, i, v, d: scattered(x, i, v, d, False),
    lambda draw: propose_gather(draw, True),
)  # fmt: skip
OPS["index_add"] = Op(lambda x, i, v, d: dl.index_add(x, d, i, v), added_rows, propose_index_add)
OPS["one_hot"] = Op(
    lambda i, n: dl.one_hot(i, n), lambda i, n: np.eye(n, dtype=np.int64)[i],
    lambda draw: ((draw.new(draw.shape(0, 2), "i", 4),), {"n": 4 + draw.below(2)}), 0.6,
)  # fmt: skip
OPS["embedding"] = Op(
    F.embedding, lambda i, w: w[i],
    lambda draw: ((draw.new(draw.shape(0, 2), "i", 5), draw.new((5, 1 + draw.below(4)))), {}), 0.7,
)  # fmt: skip

# In place: what a program may write into is its own


def written(x, v, i):
    """x[i] = v on a copy."""
    y = x.clone() if isinstance(x, dl.Tensor) else x.copy()
    y[at(i)] = v
    return y


def propose_written(draw):
    i = draw.pick("fi", 1, 4, lambda a: 0 not in a.shape)
    a = draw.array(i)
    index = draw.choice((basic, fancy))(draw, a)
    target = a[at(index)]
    kind = a.dtype.kind
    return (i, draw.new(target.shape[draw.below(target.ndim + 1) :], kind)), {"i": index}


OPS["setitem"] = Op(written, written, propose_written, 2)


def target(draw, kinds: str = "f") -> int:
    i = draw.pick(kinds)
    if not draw.owned(i):
        raise Rejected
    return i


def changed(name: str, twin, **attrs):
    """An in-place method with a second operand."""

    def propose(draw):
        i = target(draw)
        return (i, draw.inside(i)), {k: v(draw, None) for k, v in attrs.items()}

    def on_array(x, y, **attrs):
        x[...] = twin(x, y.astype(x.dtype), **attrs)
        return x

    OPS[name] = Op(lambda x, y, **a: getattr(x, name)(y, **a), on_array, propose, 0.8, view=True, changes=True)


def put(x, v, i):
    x[i] = v
    return x


def propose_put(draw):
    i = target(draw, "fi")
    index = basic(draw, draw.array(i))
    inner = draw.array(i)[(*index, ...) if ... not in index else index]
    return (i, draw.new(inner.shape[draw.below(inner.ndim + 1) :], draw.array(i).dtype.kind)), {"i": index}


changed("add_", lambda x, y, alpha: x + alpha * y, alpha=positive)
changed("sub_", np.subtract)
changed("mul_", np.multiply)
changed("copy_", lambda x, y: y)
OPS["relu_"] = Op(
    lambda x: x.relu_(), lambda x: np.maximum(x, 0, out=x), lambda draw: ((target(draw),), {}), 0.5, True, True
)
OPS["clamp_"] = Op(
    lambda x, lo, hi: x.clamp_(lo, hi), lambda x, lo, hi: np.clip(x, lo, hi, out=x),
    lambda draw: ((target(draw),), {"lo": -1.0, "hi": positive(draw, None)}), 0.5, True, True,
)  # fmt: skip
OPS["fill_"] = Op(
    lambda x, s: x.fill_(s), lambda x, s: put(x, s, ...), lambda draw: ((target(draw),), {"s": number(draw, None)}),
    0.3, True, True,
)  # fmt: skip
OPS["put"] = Op(put, put, propose_put, 1.5, view=True, changes=True)

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
    "none": lambda x: x, "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0), "gelu": lambda x: (np.maximum(x, -99) * sp.ndtr(x)).astype(x.dtype),
    "silu": lambda x: np.maximum(x, -999) * sp.expit(x), "sigmoid": sp.expit,
}  # fmt: skip
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
    lambda x, w, b: F.layer_norm(x, w.shape, w, b), promoted(lambda x, w, b: normalised(x, -1, 1e-5) * w + b),
    propose_row_norm, 1.5,
)
OPS["rms_norm"] = Op(
    lambda x, w: F.rms_norm(x, w.shape, w, 1e-6),
    promoted(lambda x, w: x / np.sqrt((x * x).mean(-1, keepdims=True) + x.dtype.type(1e-6)) * w),
    lambda draw: (propose_row_norm(draw)[0][:2], {}),
)
OPS["group_norm"] = Op(lambda x, w, b, groups: F.group_norm(x, groups, w, b), promoted(grouped), propose_group_norm, 1.2)
softer = pick("f", 1, ok=lambda a: np.isfinite(a).all(), d=one)
OPS["softmax"] = Op(lambda x, d: F.softmax(x, d), lambda x, d: sp.softmax(x, d) if x.size else x.copy(), softer, 1.5)
OPS["log_softmax"] = Op(lambda x, d: F.log_softmax(x, d), lambda x, d: sp.log_softmax(x, d) if x.size else x.copy(), softer, 1)
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
    parts = [
        np.einsum("nchwij,ocij->nohw", seen[:, k * c : (k + 1) * c], w[k * o : (k + 1) * o]) for k in range(g)
    ]
    return np.concatenate(parts, 1) + beside(x, b)


def convolved_1d(x, w, b, s, p, d, g):
    return convolved(x[:, :, None], w[:, :, None], b, (1, s), (0, p), (1, d), g)[:, :, 0]


def spread(x, w, b, s, p):
    """The transposed convolution, one element of the input after the other."""
    (n, c, h, v), (_, o, kh, kw) = x.shape, w.shape
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


OPS["conv2d"] = Op(
    lambda x, w, b, s, p, d, g: F.conv2d(x, w, b, s, p, d, g), convolved, propose_conv, 1.5
)
OPS["conv1d"] = Op(
    lambda x, w, b, s, p, d, g: F.conv1d(x, w, b, s, p, d, g), convolved_1d, propose_conv_1d, 1.5
)
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


OPS["cross_entropy"] = Op(
    F.cross_entropy, crossed,
    lambda draw: (
        (i := draw.pick("f", 2, 2, lambda a: a.size and np.isfinite(a).all()), draw.new(draw.array(i).shape[:1], "i", draw.array(i).shape[1])), {}
    ), 1,
)  # fmt: skip
full = lambda a: a.size > 0  # noqa: E731
OPS["mse_loss"] = Op(F.mse_loss, lambda x, y: np.mean((x - y) ** 2), lambda draw: ((i := draw.pick("f", ok=full), draw.alike(i)), {}))
OPS["huber_loss"] = Op(F.huber_loss, huber, lambda draw: ((i := draw.pick("f", ok=full), draw.alike(i)), {}), 0.6)
