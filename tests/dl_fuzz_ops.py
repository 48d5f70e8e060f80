"""What random programs of dl are made of: elementwise operations, shapes, joins and reductions, each with its twin.

An operation is a function of tensors, the same in NumPy or SciPy on arrays, and a proposal: which values of the program
so far it takes, and with which attributes (literals, so that a program's repr is code).
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special as sp
from dl_table_cases import BINARY, UNARY

import dl
from dl.ops import join
from dl.tape import alias


class Rejected(Exception):
    """This operation cannot go on from here; another one is tried."""


@dataclass(frozen=True, eq=False)
class Op:
    """f(*tensors, **attrs) and twin(*arrays, **attrs); propose(draw) -> (indices of values, attrs).

    view: the twin shares memory where NumPy does. changes: the first argument, in place, which is also the result.
    """

    f: Callable
    twin: Callable
    propose: Callable
    weight: float = 1.0
    view: bool = False
    changes: bool = False


OPS: dict[str, Op] = {}


def anything(a: np.ndarray) -> bool:
    return True


def pick(kinds: str = "f", least: int = 0, most: int = 9, ok: Callable = anything, **attrs) -> Callable:
    """The proposal of one value; attributes may be functions of (draw, array)."""

    def propose(draw):
        i = draw.pick(kinds, least, most, ok)
        return (i,), {k: v(draw, draw.array(i)) if callable(v) else v for k, v in attrs.items()}

    return propose


def two(kinds: str = "f", other: str | None = None, ok: Callable = anything, **attrs) -> Callable:
    """The proposal of two values that broadcast."""

    def propose(draw):
        i = draw.pick(kinds, ok=ok)
        j = draw.fitting(i, other or kinds)
        if not ok(draw.array(j)):
            raise Rejected
        return (i, j), {k: v(draw, None) if callable(v) else v for k, v in attrs.items()}

    return propose


def gelu_tanh(x):
    """x s(2 u), the same as x (1 + tanh u) / 2 without its cancellation."""
    return x * sp.expit(2 * ROOT * (x + 0.044715 * x**3))


def gelu_tanh_grad(x):
    u = 2 * ROOT * (x + 0.044715 * x**3)
    return sp.expit(u) * (1 + x * sp.expit(-u) * 2 * ROOT * (1 + 3 * 0.044715 * x * x))


def nonzero(a: np.ndarray) -> bool:
    return bool((a != 0).all())


ROOT = float(np.sqrt(2 / np.pi))
TWINS = {"gelu_tanh": gelu_tanh, "gelu_tanh_grad": gelu_tanh_grad, "rsqrt": lambda x: 1 / np.sqrt(x)}
DOMAINS = {
    "pow": lambda a: np.isfinite(a).all(),  # NumPy's own float32 of (-inf)^0.5 depends on where it is in the array
    "atan2": nonzero,  # the sign of a zero decides between pi and -pi
    **dict.fromkeys(("div", "reciprocal", "rsqrt", "lgamma", "digamma", "polygamma"), nonzero),  # that of an infinity
}


def elementwise():
    """The rows of the law over the table; what their oracles give in float64 is rounded to the dtype."""
    shared = {"alias", "detach", "clone"}
    for row, f, oracle, *_ in UNARY:
        if row not in shared and not row.startswith("to_"):
            name = f"{row}_{sum(n.startswith(row + '_') for n in OPS)}"
            oracle = TWINS.get(row, oracle)
            calm = row.split("_")[0] in ("gelu", "silu", "mish")  # at infinity x * 0 is NaN, the limit is not
            ok = (lambda a: not np.isinf(a).any()) if calm else DOMAINS.get(row, anything)
            OPS[name] = Op(f, rounded(oracle), pick("f", ok=ok), 0.35)
    for row, f, oracle, *_ in BINARY:
        name = f"two_{row}_{sum(n.startswith('two_' + row + '_') for n in OPS)}"
        OPS[name] = Op(f, rounded(oracle), two("f", ok=DOMAINS.get(row, anything)), 0.5)


def rounded(oracle: Callable) -> Callable:
    def twin(*arrays):
        out = np.asarray(oracle(*arrays))
        return out.astype(np.result_type(*arrays)) if out.dtype.kind == "f" else out

    return twin


elementwise()
number = lambda draw, _: draw.choice((-2.0, -0.5, 0.0, 0.25, 1.0, 1.5, 3.0))  # noqa: E731
whole = lambda draw, _: draw.choice((-3, -1, 0, 1, 2, 5))  # noqa: E731
positive = lambda draw, _: draw.choice((0.5, 1.0, 2.0, 3.0))  # noqa: E731
SYMBOLS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}
COMPARED = {"eq": operator.eq, "lt": operator.lt, "ge": operator.ge}
INT_OPS = {
    "maximum": (dl.maximum, np.maximum), "minimum": (dl.minimum, np.minimum), "eq": (dl.eq, np.equal),
    "lt": (dl.lt, np.less), "and": (dl.bitwise_and, np.bitwise_and), "or": (dl.bitwise_or, np.bitwise_or),
    "xor": (dl.bitwise_xor, np.bitwise_xor), "div": (dl.div, np.divide),
}  # fmt: skip
LOGIC = {
    "land": (dl.logical_and, np.logical_and), "lor": (dl.logical_or, np.logical_or),
    "lxor": (dl.logical_xor, np.logical_xor), "ne": (dl.ne, np.not_equal),
}  # fmt: skip
CASTS = {
    "float": (lambda x: x.float(), np.float32, "fib"), "double": (lambda x: x.double(), np.float64, "fib"),
    "long": (lambda x: x.long(), np.int64, "fib"), "bool": (lambda x: x.bool(), np.bool_, "fib"),
}  # fmt: skip
for n, f in SYMBOLS.items():
    OPS[f"{n}_mixed"] = Op(f, f, two("fi", "fib"), 2)
    OPS[f"{n}_number"] = Op(lambda x, s, f=f: f(x, s), lambda x, s, f=f: f(x, s), pick("f", s=number))
    OPS[f"number_{n}"] = Op(lambda x, s, f=f: f(s, x), lambda x, s, f=f: f(s, x), pick("f", s=number))
    OPS[f"{n}_whole"] = Op(lambda x, s, f=f: f(x, s), lambda x, s, f=f: f(x, s), pick("i", s=whole))
for n, f in COMPARED.items():
    OPS[f"{n}_number"] = Op(lambda x, s, f=f: f(x, s), lambda x, s, f=f: f(x, s), pick("fi", s=whole), 0.5)
for n, (f, twin) in INT_OPS.items():
    OPS[f"int_{n}"] = Op(f, twin, two("i"), 0.4)
for n, (f, twin) in LOGIC.items():
    OPS[f"bool_{n}"] = Op(f, twin, two("b", "bif"), 0.4)
for n, (f, dtype, kinds) in CASTS.items():
    finite = lambda a: np.isfinite(a).all()  # noqa: E731 - what an int64 of NaN is, nobody knows
    OPS[n] = Op(f, lambda x, t=dtype: x.astype(t, copy=False), pick(kinds, ok=finite), 0.6, view=True)
for n, f, twin in (
    ("int_neg", dl.neg, np.negative), ("int_abs", dl.abs, np.abs), ("int_square", dl.square, np.square),
    ("int_sign", dl.sign, np.sign), ("int_not", dl.bitwise_not, np.invert), ("int_exp", dl.exp, np.exp),
    ("int_relu", dl.relu, lambda x: np.maximum(x, 0)),
):  # fmt: skip
    OPS[n] = Op(f, twin, pick("i"), 0.3)
OPS["div_number"] = Op(lambda x, s: x / s, lambda x, s: x / s, pick("f", s=positive))
OPS["number_div"] = Op(lambda x, s: s / x, lambda x, s: s / x, pick("f", ok=nonzero, s=positive))
OPS["pow_number"] = Op(
    lambda x, s: x**s, lambda x, s: x**s, pick("f", ok=nonzero, s=lambda d, _: d.choice((2, 3, 0.5, -1, 1.5)))
)
OPS["clip_numbers"] = Op(
    lambda x, lo, hi: dl.clamp(x, lo, hi), lambda x, lo, hi: np.clip(x, lo, hi),
    pick("fi", lo=lambda d, _: d.choice((-1, 0)), hi=lambda d, _: d.choice((1, 2))),
)  # fmt: skip
OPS["not"] = Op(dl.logical_not, np.logical_not, pick("bif"), 0.4)


def propose_where(draw):
    i = draw.pick("b")
    j = draw.fitting(i, "f")
    return (i, j, draw.fitting(j, "f", also=i)), {}


OPS["where"] = Op(dl.where, np.where, propose_where, 2)
OPS["where_number"] = Op(
    lambda c, x, s: dl.where(c, x, s), lambda c, x, s: np.where(c, x, x.dtype.type(s)),
    lambda draw: ((i := draw.pick("b"), draw.fitting(i, "f")), {"s": number(draw, None)}),
)  # fmt: skip
OPS["masked_fill"] = Op(
    lambda x, m, s: x.masked_fill(m, s),
    lambda x, m, s: np.where(m, x.dtype.type(s), x),
    lambda draw: ((i := draw.pick("f"), draw.inside(i, "b")), {"s": number(draw, None)}),
)

# Shapes

dim = lambda draw, a: draw.dim(a)  # noqa: E731


def other_shape(draw, a) -> tuple[int, ...]:
    """Another shape of as many elements, sometimes with a -1 in it."""
    if not a.size:
        return draw.choice(((0,), (0, 3), (2, 0), a.shape))
    sizes, left = [], a.size
    for p in (2, 3, 5, 7, 2, 3):
        if left % p == 0 and draw.chance(0.6):
            sizes.append(p)
            left //= p
    sizes = [left, *sizes] if left > 1 or draw.chance(0.3) else sizes
    draw.rng.shuffle(sizes)
    if sizes and draw.chance(0.3):
        sizes[draw.below(len(sizes))] = -1
    return tuple(int(n) for n in sizes[:4]) if len(sizes) < 5 else (-1,)


def dims(draw, a) -> tuple[int, ...] | int | None:
    """None, one dim, or several, counted from either end."""
    if not a.ndim or draw.chance(0.2):
        return None
    if draw.chance(0.6):
        return draw.dim(a)
    some = draw.rng.permutation(a.ndim)[: 1 + draw.below(a.ndim)]
    return tuple(int(d) - (a.ndim if draw.chance(0.3) else 0) for d in some)


def wider(draw, a) -> tuple[int, ...]:
    lead = tuple(1 + draw.below(3) for _ in range(draw.below(2)))
    return (*lead, *[1 + draw.below(4) if n == 1 else n for n in a.shape])


def order(draw, a) -> tuple[int, ...]:
    return tuple(int(d) for d in draw.rng.permutation(a.ndim))


def counts(draw, a) -> tuple[int, ...]:
    return tuple(1 + draw.below(3) for _ in range(a.ndim + draw.below(2)))


def axes(t) -> Any:
    return tuple(t) if isinstance(t, (list, tuple)) else t


few = lambda a: a.size <= 500  # noqa: E731
SHAPES = {
    "reshape": (lambda x, s: x.reshape(s), lambda x, s: x.reshape(s), pick("fib", s=other_shape), 3),
    "permute": (lambda x, d: x.permute(d), lambda x, d: x.transpose(d), pick("fib", 1, d=order), 3),
    "T": (lambda x: x.T, lambda x: x.T, pick("fib"), 1),
    "expand": (lambda x, s: x.expand(s), lambda x, s: np.broadcast_to(x, s), pick("fib", ok=few, s=wider), 2),
    "unsqueeze": (
        lambda x, d: x.unsqueeze(d), lambda x, d: np.expand_dims(x, d),
        pick("fib", most=4, d=lambda r, a: r.below(a.ndim + 1)), 1,
    ),
    "squeeze": (lambda x: x.squeeze(), lambda x: x.squeeze() if 1 in x.shape else x[...], pick("fib"), 1),
    "flatten": (lambda x: x.flatten(), lambda x: x.reshape(-1), pick("fib"), 1),
    "flip": (lambda x, d: x.flip(d), lambda x, d: np.flip(x, d), pick("fib", d=dims), 2),
    "alias": (alias, lambda x: x.view(), pick("fib"), 0.5),
    "detach": (lambda x: x.detach(), lambda x: x.view(), pick("f"), 0.2),
    "diagonal": (
        lambda x, o: dl.diagonal(x, o, -2, -1), lambda x, o: np.diagonal(x, o, -2, -1),
        pick("fi", 2, o=lambda r, a: r.below(3) - 1), 1,
    ),
    "movedim": (
        lambda x, a, b: dl.movedim(x, a, b), lambda x, a, b: np.moveaxis(x, a, b),
        pick("fib", 1, a=dim, b=dim), 1,
    ),
}  # fmt: skip
for n, (f, twin, propose, weight) in SHAPES.items():
    OPS[n] = Op(f, twin, propose, weight, view=True)


def widths(draw, a) -> tuple[int, ...]:
    return tuple(draw.below(3) for _ in range(2 * (1 + draw.below(a.ndim))))


def padded(x, p, v=0.0, mode="constant"):
    sides = [(0, 0)] * (x.ndim - len(p) // 2) + [(p[i], p[i + 1]) for i in range(len(p) - 2, -1, -2)]
    return np.pad(x, sides, **({"constant_values": v} if mode == "constant" else {"mode": mode}))


def embedded(x, o):
    n = x.shape[-1] + abs(o)
    out = np.zeros((*x.shape[:-1], n, n), x.dtype)
    i = np.arange(x.shape[-1])
    out[..., i + max(-o, 0), i + max(o, 0)] = x
    return out


bounded = lambda a: a.size <= 500 and all(a.shape)  # noqa: E731
COPIES = {
    "clone": (lambda x: x.clone(), np.copy, pick("fib"), 1),
    "roll": (lambda x, s, d: dl.roll(x, s, d), lambda x, s, d: np.roll(x, s, d), pick("fib", 1, s=whole, d=dim), 1),
    "tile": (lambda x, c: x.tile(c), lambda x, c: np.tile(x, c), pick("fib", most=3, ok=few, c=counts), 1),
    "repeat_interleave": (
        lambda x, n, d: x.repeat_interleave(n, d), lambda x, n, d: np.repeat(x, n, d),
        pick("fib", 1, ok=few, n=lambda r, a: 1 + r.below(3), d=dim), 1,
    ),
    "pad": (lambda x, p, v: join.pad(x, p, value=v), padded, pick("f", 1, 4, few, p=widths, v=number), 2),
    "pad_circular": (
        lambda x, p: join.pad(x, p, "circular"), lambda x, p: padded(x, p, mode="wrap"),
        pick("fi", 1, 3, bounded, p=widths), 0.5,
    ),
    "pad_replicate": (
        lambda x, p: join.pad(x, p, "replicate"), lambda x, p: padded(x, p, mode="edge"),
        pick("f", 1, 3, bounded, p=widths), 0.5,
    ),
    "tril": (lambda x, k: dl.tril(x, k), np.tril, pick("fi", 2, k=lambda r, a: r.below(3) - 1), 0.7),
    "triu": (lambda x, k: dl.triu(x, k), np.triu, pick("fi", 2, k=lambda r, a: r.below(3) - 1), 0.7),
    "diag_embed": (lambda x, o: dl.diag_embed(x, o), embedded, pick("f", 1, 3, few, o=lambda r, a: r.below(3) - 1), 1),
}  # fmt: skip
for n, (f, twin, propose, weight) in COPIES.items():
    OPS[n] = Op(f, twin, propose, weight)


def propose_joined(draw):
    i = draw.pick("fib", 1, 4)
    return (i, *(draw.alike(i) for _ in range(draw.below(3)))), {"d": draw.dim(draw.array(i))}


OPS["cat"] = Op(lambda *x, d: dl.cat(x, d), lambda *x, d: np.concatenate(x, d), propose_joined, 3)
OPS["stack"] = Op(lambda *x, d: dl.stack(x, d), lambda *x, d: np.stack(x, d), propose_joined, 2)


def propose_part(draw, kinds: str = "fib"):
    i = draw.pick(kinds, 1, ok=lambda a: 0 not in a.shape)
    d = draw.dim(draw.array(i))
    size = 1 + draw.below(draw.array(i).shape[d])
    return (i,), {"size": size, "d": d, "k": draw.below(-(-draw.array(i).shape[d] // size))}


def part_of(x, size, d, k):
    at = [slice(None)] * x.ndim
    at[d] = slice(k * size, (k + 1) * size)
    return x[tuple(at)]


OPS["split"] = Op(lambda x, size, d, k: dl.split(x, size, d)[k], part_of, propose_part, 1, view=True)
OPS["unbind"] = Op(
    lambda x, size, d, k: dl.unbind(x, d)[k], lambda x, size, d, k: np.moveaxis(x, d, 0)[k, ...], propose_part, 1,
    view=True,
)  # fmt: skip

# Reductions

full = lambda a: 0 not in a.shape  # noqa: E731 - where the extremum of nothing is an error
keep = lambda draw, _: draw.chance(0.4)  # noqa: E731
small = lambda a: a.size <= 64  # noqa: E731 - products of more leave the range
REDUCED = {
    "sum": (dl.sum, np.sum, "fib", None, 3), "mean": (dl.mean, np.mean, "fi", full, 2),
    "prod": (dl.prod, np.prod, "fi", small, 1), "amax": (dl.amax, np.max, "fi", full, 2),
    "amin": (dl.amin, np.min, "fi", full, 1), "any": (dl.any, np.any, "bif", None, 0.5),
    "all": (dl.all, np.all, "bif", None, 0.5), "var": (dl.var, lambda x, **k: np.var(x, ddof=1, **k), "f", full, 1),
    "std": (dl.std, lambda x, **k: np.std(x, ddof=1, **k), "f", full, 0.5),
    "norm": (dl.norm, lambda x, **k: np.sqrt(np.sum(x * x, **k)), "f", None, 1),
}  # fmt: skip
for n, (f, twin, kinds, ok, weight) in REDUCED.items():
    OPS[n] = Op(
        lambda x, d, k, f=f: f(x, dim=d, keepdim=k), lambda x, d, k, f=twin: f(x, axis=axes(d), keepdims=k),
        pick(kinds, ok=ok or anything, d=dims, k=keep), weight,
    )  # fmt: skip
one = lambda draw, a: draw.dim(a)  # noqa: E731


def kth(x, k, d, largest):
    """The k first in order along d: stable, NaN the largest; from a sort of (value, place) pairs in Python."""
    rows = np.moveaxis(x, d, -1)
    out = np.empty((*rows.shape[:-1], k), np.int64)
    for at in np.ndindex(rows.shape[:-1]):
        rank = [(np.isnan(v), 0 if np.isnan(v) else v) for v in rows[at].tolist()]
        order = sorted(range(len(rank)), key=lambda i, r=rank: r[i], reverse=largest)
        out[at] = order[:k]
    return np.moveaxis(out, -1, d)


def propose_topk(draw):
    i = draw.pick("fi", 1, 3, lambda a: a.size <= 2000)
    d = draw.dim(draw.array(i))
    return (i,), {"k": draw.below(draw.array(i).shape[d] + 1), "d": d, "largest": draw.chance(0.5)}


def picked(x, index, d):
    return np.take_along_axis(x, index, d)


ALONG = {
    "argmax": (lambda x, d: dl.argmax(x, d), lambda x, d: np.argmax(x, d), "fi", full, 1),
    "argmin": (lambda x, d: dl.argmin(x, d), lambda x, d: np.argmin(x, d), "fi", full, 1),
    "max_values": (lambda x, d: dl.max(x, d).values, lambda x, d: np.max(x, d), "fi", full, 1),
    "cumsum": (lambda x, d: dl.cumsum(x, d), lambda x, d: np.cumsum(x, d), "fi", None, 1),
    "cumprod": (lambda x, d: dl.cumprod(x, d), lambda x, d: np.cumprod(x, d), "f", small, 0.7),
    "diff": (lambda x, d: dl.diff(x, 1, d), lambda x, d: np.diff(x, 1, d), "f", full, 0.7),
    "sort": (lambda x, d: dl.sort(x, d).values, lambda x, d: np.sort(x, d), "fi", None, 1),
    "argsort": (lambda x, d: dl.argsort(x, d), lambda x, d: np.argsort(x, d, kind="stable"), "fi", None, 0.7),
    "median": (
        lambda x, d: dl.median(x, d).values, lambda x, d: np.sort(x, d).take((x.shape[d] - 1) // 2, d),
        "fi", full, 0.5,
    ),
}  # fmt: skip
for n, (f, twin, kinds, ok, weight) in ALONG.items():
    OPS[n] = Op(f, twin, pick(kinds, 1, ok=ok or anything, d=one), weight)
OPS["topk"] = Op(
    lambda x, k, d, largest: dl.topk(x, k, d, largest).values,
    lambda x, k, d, largest: picked(x, kth(x, k, d, largest), d), propose_topk, 0.7,
)  # fmt: skip
OPS["topk_indices"] = Op(lambda x, k, d, largest: dl.topk(x, k, d, largest).indices, kth, propose_topk, 0.5)
OPS["count_nonzero"] = Op(
    lambda x, d: dl.count_nonzero(x, d), lambda x, d: np.count_nonzero(x, axis=axes(d)), pick("fib", d=dims), 0.5
)
