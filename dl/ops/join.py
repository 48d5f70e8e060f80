"""Joining, splitting, repeating, reordering and padding along dims."""

import numpy as np

from dl.ops.base import as_array, as_tensor, cast
from dl.ops.elementwise import where
from dl.ops.shape import clone, dim_of, dims_of, expand, permute, reshape, sizes, unsqueeze
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor


def part(t: Tensor, dim: int, start: int, stop: int) -> Tensor:
    """t[start:stop] along a dim."""
    return t[(slice(None),) * dim + (slice(start, stop),)]


def cat_rule(needs, g, out, *tensors, dim):
    found, at = [], 0
    for t, need in zip(tensors, needs, strict=True):
        n = t.array.shape[dim]
        found.append(part(g, dim, at, at + n) if need else None)
        at += n
    return tuple(found)


def stack_rule(needs, g, out, *tensors, dim):
    index = (slice(None),) * dim
    return tuple([g[(*index, i)] if need else None for i, need in enumerate(needs)])


def stacked(*arrays, dim):
    first = arrays[0]
    out = np.empty((*first.shape[:dim], len(arrays), *first.shape[dim:]), first.dtype)
    before = (slice(None),) * dim
    for i, a in enumerate(arrays):
        out[(*before, i)] = a
    return out


def pad_rule(g, out, x, *, widths, value):
    return g[tuple([slice(low, low + n) for (low, _), n in zip(widths, x.array.shape, strict=True)])]


CAT = Primitive("cat", lambda *arrays, dim: np.concatenate(arrays, dim), vjp=cat_rule, saves=(), linear=True)
STACK = Primitive("stack", stacked, vjp=stack_rule, saves=(), linear=True)
PAD = Primitive(
    "pad",
    lambda x, *, widths, value: np.pad(x, widths, constant_values=value),
    vjp=(pad_rule,),
    jvp=lambda ts, out, x, *, widths, value: apply(PAD, (ts[0],), {"widths": widths, "value": 0}),
    saves=(),
)
FLIP = Primitive(
    "flip",
    lambda x, *, dims: np.flip(x, dims),
    vjp=(lambda g, out, x, *, dims: apply(FLIP, (g,), {"dims": dims}),),
    saves=(),
    linear=True,
    view=True,
)
TABLE = {row.name: row for row in (CAT, STACK, PAD, FLIP)}


def same_dtype(tensors, name: str) -> list[Tensor]:
    """The tensors in their common dtype; ValueError for none."""
    if isinstance(tensors, Tensor):
        tensors = list(tensors)
    found = [t if type(t) is Tensor else as_tensor(t) for t in tensors]
    if not found:
        raise ValueError(f"{name}: wanted at least one tensor")
    first = found[0].array.dtype
    if all(t.array.dtype is first for t in found):
        return found
    dtype = np.result_type(*[t.array.dtype for t in found])
    return [cast(t, dtype) for t in found]


def differing(name: str, tensors: list[Tensor], rule: str) -> ValueError:
    shapes = ", ".join(str(list(t.shape)) for t in tensors[:8]) + (", ..." if len(tensors) > 8 else "")
    return ValueError(f"{name}: {rule}; got {shapes}")


def cat(tensors, dim: int = 0) -> Tensor:
    """The tensors one after the other along a dim; their other sizes are equal."""
    found = same_dtype(tensors, "cat")
    d = dim_of(dim, found[0].ndim, "cat")
    try:
        return apply(CAT, tuple(found), {"dim": d})
    except ValueError:
        raise differing("cat", found, f"shapes must agree in all dims but {d}, and none may be 0-d") from None


def stack(tensors, dim: int = 0) -> Tensor:
    """The tensors, all of one shape, along a new dim."""
    found = same_dtype(tensors, "stack")
    d = dim_of(dim, found[0].ndim + 1, "stack")
    shape = found[0].array.shape
    for t in found:
        if t.array.shape != shape:
            raise differing("stack", found, "all shapes must be equal")
    return apply(STACK, tuple(found), {"dim": d})


def nested(values, dtype=None) -> Tensor:
    """The tensor of a nested list that may hold tensors."""
    if not isinstance(values, (list, tuple)):
        return as_tensor(values, dtype)
    if not has_tensor(values):
        return Tensor(as_array(values, dtype))
    return stack([nested(v, dtype) for v in values])


def has_tensor(values) -> bool:
    if isinstance(values, (list, tuple)):
        return any(has_tensor(v) for v in values)
    return isinstance(values, Tensor)


def hstack(tensors) -> Tensor:
    """cat along dim 1, or 0 for vectors."""
    found = [reshape(t, -1) if t.ndim == 0 else t for t in same_dtype(tensors, "hstack")]
    return cat(found, 0 if found[0].ndim == 1 else 1)


def vstack(tensors) -> Tensor:
    """cat along dim 0; vectors are rows."""
    return cat([reshape(t, 1, -1) if t.ndim < 2 else t for t in same_dtype(tensors, "vstack")], 0)


def split(x, size, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of x along a dim, each of `size` (the last may be smaller), or of the sizes in a list."""
    x = as_tensor(x)
    d = dim_of(dim, x.ndim, "split")
    n = x.shape[d]
    if isinstance(size, (list, tuple)):
        parts = [int(s) for s in size]
        if sum(parts) != n or min(parts, default=0) < 0:
            raise ValueError(f"split: sizes {parts} must add up to {n}, that of dim {d} of shape {list(x.shape)}")
    else:
        if size < 1:
            raise ValueError(f"split: size must be positive, got {size}")
        parts = [min(size, n - at) for at in range(0, n, size)] or [0]
    ends = np.cumsum(parts).tolist()
    return tuple([part(x, d, end - m, end) for m, end in zip(parts, ends, strict=True)])


def chunk(x, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """x in at most `chunks` views of equal size along a dim (the last may be smaller)."""
    if chunks < 1:
        raise ValueError(f"chunk: chunks must be positive, got {chunks}")
    x = as_tensor(x)
    n = x.shape[dim_of(dim, x.ndim, "chunk")]
    return split(x, max(1, -(-n // chunks)), dim)


def unbind(x, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices of x along a dim, without that dim."""
    x = as_tensor(x)
    d = dim_of(dim, x.ndim, "unbind")
    return tuple([x[(slice(None),) * d + (i,)] for i in range(x.shape[d])])


def flip(x, dims=None) -> Tensor:
    """x backwards along dims (an int, a tuple, or None for all); a view with negative strides."""
    x = as_tensor(x)
    return apply(FLIP, (x,), {"dims": dims_of(dims, x.ndim, "flip")})


def roll(x, shifts, dims=None) -> Tensor:
    """x moved by shifts along dims, what leaves at the end comes in at the front; dims=None: as if it were flat."""
    x = as_tensor(x)
    if dims is None:
        return reshape(roll(reshape(x, -1), shifts, 0), x.shape)
    shifts, moved = (shifts,) if isinstance(shifts, (int, np.integer)) else tuple(shifts), False
    for shift, d in zip(shifts, dims_of(dims, x.ndim, "roll"), strict=True):
        n = x.shape[d]
        k = int(shift) % n if n else 0
        x = cat([part(x, d, n - k, n), part(x, d, 0, n - k)], d) if k else x
        moved = moved or bool(k)
    return x if moved else clone(x)


def pad(x, pad, mode: str = "constant", value: float = 0.0) -> Tensor:
    """x with pad = (left, right, top, bottom, ...) more elements, the last dim first; negative numbers cut off.

    mode: "constant" (value), "reflect" (without the edge), "replicate" (the edge), "circular".
    """
    x, n = as_tensor(x), len(pad)
    if n % 2 or n > 2 * x.ndim:
        raise ValueError(f"pad: wanted two numbers per dim, at most {2 * x.ndim} for shape {list(x.shape)}, got {n}")
    widths = [(0, 0)] * (x.ndim - n // 2) + [(int(pad[i]), int(pad[i + 1])) for i in range(n - 2, -1, -2)]
    return pad_dims(x, widths, mode, value)


PAD_MODES = {"constant": None, "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad_dims(x: Tensor, widths, mode: str = "constant", value: float = 0.0) -> Tensor:
    """x with (before, after) more elements in each dim."""
    if mode not in PAD_MODES:
        raise ValueError(f"pad: mode {mode!r}; there are {', '.join(PAD_MODES)}")
    if any(low < 0 or high < 0 for low, high in widths):
        inside = [slice(max(0, -low), n - max(0, -high)) for (low, high), n in zip(widths, x.shape, strict=True)]
        x, widths = x[tuple(inside)], [(max(0, low), max(0, high)) for low, high in widths]
    if mode == "constant":
        attrs = {"widths": tuple(map(tuple, widths)), "value": value}
        return apply(PAD, (x,), attrs) if any(map(any, widths)) else clone(x)
    from dl.ops.index import index_select

    for d, (low, high) in enumerate(widths):
        if low or high:
            n = x.shape[d]
            if not n or (mode == "reflect" and max(low, high) >= n):
                raise ValueError(f"pad: mode {mode!r} cannot pad dim {d} of size {n} by {low} and {high}")
            x = index_select(x, d, Tensor(np.pad(np.arange(n), (low, high), PAD_MODES[mode])))
    return x if any(map(any, widths)) else clone(x)


def repeat(x, *counts) -> Tensor:
    """x repeated counts[i] times along dim i; more counts than dims add dims in front."""
    x, counts = as_tensor(x), sizes(counts)
    lead = len(counts) - x.ndim
    if lead < 0:
        raise ValueError(f"repeat: wanted at least {x.ndim} counts for shape {list(x.shape)}, got {list(counts)}")
    shape = (1,) * lead + x.shape
    apart = [k for n in shape for k in (1, n)]
    whole = [k for c, n in zip(counts, shape, strict=True) for k in (c, n)]
    return copied(reshape(expand(reshape(x, apart), whole), [c * n for c, n in zip(counts, shape, strict=True)]), x)


def copied(t: Tensor, x: Tensor) -> Tensor:
    """t, with memory of its own where it is x or a view of it: what repeats and pads may be changed in place."""
    return clone(t) if t is x or t.array.base is not None else t


def tile(x, *counts) -> Tensor:
    """repeat, where missing counts in front are 1."""
    x, counts = as_tensor(x), sizes(counts)
    return repeat(x, (1,) * (x.ndim - len(counts)) + counts)


def repeat_interleave(x, repeats, dim: int | None = None) -> Tensor:
    """Each element along a dim `repeats` times in a row (an int, or one int per element); dim=None: of flat x."""
    x = as_tensor(x)
    if dim is None:
        x, dim = reshape(x, -1), 0
    d = dim_of(dim, x.ndim, "repeat_interleave")
    if isinstance(repeats, (int, np.integer)):
        shape = (*x.shape[: d + 1], int(repeats), *x.shape[d + 1 :])
        wide = expand(unsqueeze(x, d + 1), shape)
        return copied(reshape(wide, (*shape[:d], shape[d] * shape[d + 1], *shape[d + 2 :])), x)
    from dl.ops.index import index_select

    counts = np.broadcast_to(np.asarray(repeats), x.shape[d])
    return index_select(x, d, Tensor(np.repeat(np.arange(x.shape[d]), counts)))


def tril(x, diagonal: int = 0) -> Tensor:
    """The matrices (..., m, n) with 0 above a diagonal."""
    x = as_tensor(x)
    return where(Tensor(np.tri(*x.shape[-2:], diagonal, dtype=bool)), x, 0)


def triu(x, diagonal: int = 0) -> Tensor:
    """The matrices (..., m, n) with 0 below a diagonal."""
    x = as_tensor(x)
    return where(Tensor(np.tri(*x.shape[-2:], diagonal - 1, dtype=bool)), 0, x)


def meshgrid(*tensors, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Vectors as coordinates of a grid, each expanded to the grid's shape; indexing="xy" swaps the first two dims."""
    if indexing not in ("ij", "xy"):
        raise ValueError(f"meshgrid: indexing={indexing!r}; there are 'ij' and 'xy'")
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    vectors = [reshape(t, -1) for t in tensors]
    shape, n = [t.shape[0] for t in vectors], len(vectors)
    grids = [expand(reshape(t, [-1 if i == k else 1 for k in range(n)]), shape) for i, t in enumerate(vectors)]
    if indexing == "xy" and n > 1:
        grids = [permute(t, 1, 0, *range(2, n)) for t in grids]
    return tuple(grids)
