"""einsum: sums of products of tensors named by their axes, one pair of operands after the other."""

from functools import lru_cache
from itertools import combinations
from math import prod

import numpy as np

from dl.ops.base import as_tensor, cast
from dl.ops.linear import matmul
from dl.tensor import Tensor, bool_, int64


def einsum(equation: str, *operands) -> Tensor:
    """Sum over the products of operands, as in "bij,bjk->bik".

    Each operand has one letter per axis; letters that are missing after "->" are summed, a letter twice in one operand
    takes its diagonal, "..." stands for axes in front that broadcast. Without "->" the letters that occur once remain,
    in alphabetical order. Pairs are contracted in a good order (all orders are tried up to four operands) by matmul.
    Raises ValueError for an equation that cannot be read or sizes that differ.
    """
    tensors = [as_tensor(t) for t in operands]
    dtype = np.result_type(*[t.dtype for t in tensors]) if tensors else None
    terms, out, path = plan(equation.replace(" ", ""), tuple(t.shape for t in tensors))
    work = []
    for i, (t, term) in enumerate(zip(tensors, terms, strict=True)):
        work.append(simple(cast(t, dtype), term, others(terms, i, out)))
    for i, j in path:
        b, a = work.pop(max(i, j)), work.pop(min(i, j))
        keep = set(out).union(*[term for _, term in work])
        work.append(contract(a, b, keep))
    t, term = work[0]
    t, term = dropped(t, term, set(out))
    return ordered(t, term, out)


@lru_cache(maxsize=512)
def plan(equation: str, shapes: tuple) -> tuple[list[str], str, list[tuple[int, int]]]:
    """The letters of each operand, of the result, and the pairs to contract."""
    terms, out = parse(equation, shapes)
    sizes: dict = {}
    for term, shape in zip(terms, shapes, strict=True):
        own: dict = {}
        for letter, n in zip(term, shape, strict=True):
            if sizes.setdefault(letter, n) == 1:
                sizes[letter] = n
            if n not in (1, sizes[letter]) or own.setdefault(letter, n) != n:
                raise ValueError(
                    f"einsum: {equation!r}: the axis {letter!r} has sizes {own.get(letter, sizes[letter])} and {n} in "
                    f"the operands {', '.join(str(list(s)) for s in shapes)}"
                )
    return terms, out, order([set(term) for term in terms], set(out), sizes)


def order(terms: list[set], out: set, sizes: dict) -> list[tuple[int, int]]:
    """Which pairs to contract: the cheapest of all orders up to four operands, else the cheapest pair each time."""

    def cost(pair: tuple[int, int], terms: list[set]) -> float:
        return prod(sizes[c] for c in terms[pair[0]] | terms[pair[1]])

    def after(pair: tuple[int, int], terms: list[set]) -> list[set]:
        rest = [t for k, t in enumerate(terms) if k not in pair]
        return [*rest, (terms[pair[0]] | terms[pair[1]]) & out.union(*rest)]

    def best(terms: list[set]) -> tuple[float, list]:
        if len(terms) < 2:
            return 0, []
        options = []
        for pair in combinations(range(len(terms)), 2):
            rest, path = best(after(pair, terms))
            options.append((cost(pair, terms) + rest, [pair, *path]))
        return min(options, key=lambda option: option[0])

    path: list = []
    while len(terms) > 4:
        pair = min(combinations(range(len(terms)), 2), key=lambda p: cost(p, terms))
        path.append(pair)
        terms = after(pair, terms)
    return path + best(terms)[1]


def parse(equation: str, shapes: tuple) -> tuple[list[str], str]:
    """Explicit letters for all axes; those of "..." are upper-case Greek, counted from the last axis."""

    def bad(why: str):
        return ValueError(f"einsum: {equation!r} with operands {', '.join(str(list(s)) for s in shapes)}: {why}")

    left, arrow, out = equation.partition("->")
    terms = left.split(",")
    if not shapes or len(terms) != len(shapes):
        raise bad(f"wanted {len(terms)} operand(s), got {len(shapes)}")
    full, longest = [], 0
    for term, shape in zip(terms, shapes, strict=True):
        letters = term.replace("...", "", 1)
        if letters and not (letters.isascii() and letters.isalpha()):
            raise bad(f"{term!r} may hold letters and one '...'")
        extra = len(shape) - len(letters)
        if extra < 0 or (extra and "..." not in term):
            raise bad(f"{term!r} names {len(letters)} axes of {len(shape)}")
        longest = max(longest, extra)
        full.append(term.replace("...", dots(extra)))
    every = left.replace("...", "").replace(",", "")
    if not arrow:
        out = "..." + "".join(sorted(c for c in set(every) if every.count(c) == 1))
    letters = out.replace("...", "", 1)
    if len(set(letters)) < len(letters) or not set(letters) <= set(every):
        raise bad(f"each letter of the result {out!r} must occur once there, and in an operand")
    return full, out.replace("...", dots(longest))


def dots(n: int) -> str:
    return "".join(chr(0x391 + i) for i in reversed(range(n)))


def others(terms: list[str], i: int, out: str) -> set[str]:
    """The letters that operand i must keep: those of the result and of the other operands."""
    return set(out).union(*terms[:i], *terms[i + 1 :])


def simple(t: Tensor, term: str, keep: set[str]) -> tuple[Tensor, str]:
    """Diagonals for repeated letters, sums over letters that nobody else has."""
    for letter in sorted(set(term)):
        while term.count(letter) > 1:
            i = term.index(letter)
            j = term.index(letter, i + 1)
            t = t.diagonal(0, i, j)
            term = term[:i] + term[i + 1 : j] + term[j + 1 :] + letter
    return dropped(t, term, keep)


def dropped(t: Tensor, term: str, keep: set[str]) -> tuple[Tensor, str]:
    dims = tuple(i for i, letter in enumerate(term) if letter not in keep)
    if not dims:
        return t, term
    t = cast(t, int64).sum(dims) > 0 if t.dtype == bool_ else t.sum(dims)
    return t, "".join(letter for letter in term if letter in keep)


def ordered(t: Tensor, term: str, out: str) -> Tensor:
    return t if term == out else t.permute(*[term.index(letter) for letter in out])


def contract(a, b, keep: set[str]) -> tuple[Tensor, str]:
    """The product of two operands, summed over the letters both have and nobody keeps: one batched matmul."""
    (x, xs), (y, ys) = squeezed(*a, b), squeezed(*b, a)
    common = [c for c in xs if c in ys]
    batch, inner = [c for c in common if c in keep], [c for c in common if c not in keep]
    rows, columns = [c for c in xs if c not in ys], [c for c in ys if c not in xs]
    if not inner:
        return spread_product(x, xs, y, ys, batch + rows + columns)
    n, m = [x.shape[xs.index(c)] for c in rows], [y.shape[ys.index(c)] for c in columns]
    lead = [x.shape[xs.index(c)] for c in batch]
    k = prod(x.shape[xs.index(c)] for c in inner)
    p = ordered(x, xs, "".join(batch + rows + inner)).reshape(*lead, prod(n), k)
    q = ordered(y, ys, "".join(batch + inner + columns)).reshape(*lead, k, prod(m))
    return matmul(p, q).reshape(*lead, *n, *m), "".join(batch + rows + columns)


def squeezed(t: Tensor, term: str, other) -> tuple[Tensor, str]:
    """Without the axes of size 1 that broadcast to the other operand's."""
    u, letters = other
    dims = [i for i, c in enumerate(term) if c in letters and t.shape[i] == 1 != u.shape[letters.index(c)]]
    if not dims:
        return t, term
    left = [i for i in range(t.ndim) if i not in dims]
    return t.reshape([t.shape[i] for i in left]), "".join(term[i] for i in left)


def spread_product(x: Tensor, xs: str, y: Tensor, ys: str, letters: list[str]) -> tuple[Tensor, str]:
    """The product without any sum: elementwise, with axes of size 1 where an operand lacks a letter."""
    term = "".join(letters)

    def aligned(t, names):
        own = "".join(c for c in term if c in names)
        return ordered(t, names, own).reshape([t.shape[names.index(c)] if c in names else 1 for c in term])

    return aligned(x, xs) * aligned(y, ys), term
