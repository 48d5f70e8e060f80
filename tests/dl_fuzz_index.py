"""What random programs of dl are made of: indexing and in-place changes, with their twins."""

import numpy as np
from dl_fuzz_ops import Op, Rejected, number, order, pick, positive, propose_part

import dl
from dl import functional as F
from dl.ops import pieces

OPS: dict[str, Op] = {}

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


OPS["getitem"] = Op(
    lambda x, at: x[at], lambda x, at: x[(*at, ...)] if ... not in at else x[at], pick("fib", at=basic), 4, True
)
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

OPS["slices"] = Op(
    lambda x, size, d, k: pieces.slices(x, d % x.ndim)[k] + 0,
    lambda x, size, d, k: np.moveaxis(x, d, 0)[k] + x.dtype.type(0),
    lambda draw: propose_part(draw, "f"),
)
OPS["pieces"] = Op(
    lambda x, n: pieces.equal_pieces(x, n)[-1] * 2.0,
    lambda x, n: x[..., x.shape[-1] - x.shape[-1] // n :] * x.dtype.type(2),
    pick("f", 1, ok=lambda a: a.shape[-1] in (4, 8, 16), n=lambda draw, a: draw.choice((2, 4))),
)


def propose_turned(draw):
    i = draw.pick("fi", 2, 4, lambda a: 0 not in a.shape)
    turn = order(draw, draw.array(i))
    return (i,), {"turn": turn, "d": draw.below(len(turn))}


for name, f, twin in (("sum", dl.sum, np.sum), ("mean", dl.mean, np.mean), ("amax", dl.amax, np.max)):
    OPS[f"{name}_turned"] = Op(  # what lies together in memory is in another dim than usual
        lambda x, turn, d, f=f: f(x.permute(turn), d),
        lambda x, turn, d, f=twin: np.asarray(f(x.transpose(turn), axis=d)),
        propose_turned,
        1.5,
    )
OPS["full"] = Op(
    lambda x, s: x * dl.full(x.shape[-1:], s, dtype=x.dtype),
    lambda x, s: x * np.full(x.shape[-1:], s, x.dtype),
    pick("f", s=number),
)

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
