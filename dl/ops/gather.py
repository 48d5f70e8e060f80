"""Gathering and scattering along a dim, and filling by a mask."""

import numpy as np

from dl import index_kernels as kernels
from dl.ops.base import as_tensor, cast
from dl.ops.elementwise import where
from dl.ops.shape import dim_of, expand, movedim
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor, bool_, int64


def places(index: np.ndarray, dim: int) -> tuple:
    """An index along one dim as an index of all dims."""
    ranges = np.ogrid[tuple([slice(0, n) for n in index.shape])]
    return tuple([index if d == dim else r for d, r in enumerate(ranges)])


def scatter_forward(x, index, source, *, dim):
    """In the order of index whatever its strides (NumPy goes by memory): of several to one place, the last stays."""
    out = x.copy()
    at = places(np.asarray(index, order="C"), dim)
    out[at] = np.asarray(source[tuple([slice(0, n) for n in index.shape])], order="C")
    return out


def gather_rule(g, out, x, index, *, dim):
    return apply(SCATTER_ADD, (Tensor(np.zeros_like(x.array)), index, g[0]), {"dim": dim})[0]


def take_rule(g, out, x, index, *, dim):
    return apply(INDEX_ADD, (g[0], index), {"dim": dim, "size": x.array.shape[dim]})[0]


def index_add_rule(g, out, source, index, *, dim, size):
    return apply(TAKE, (g[0], index), {"dim": dim})[0]


def source_gradient(g: Tensor, index: Tensor, source: Tensor, dim: int, stays=None) -> Tensor:
    """What the elements that were taken from the source get; the others (beyond the index) get 0."""
    taken = apply(GATHER, (g, index), {"dim": dim})[0]
    if stays is not None:
        taken = where(stays, taken, 0.0)
    if source.shape == index.shape:
        return taken
    zeros = Tensor(np.zeros_like(source.array))
    corner = tuple([slice(0, n) for n in index.shape])
    from dl.ops.index import PUT

    return apply(PUT, (zeros, taken), {"index": corner})


def scatter_rule_x(g, out, x, index, source, *, dim):
    return apply(SCATTER, (g, index, Tensor(np.zeros(index.array.shape, g.array.dtype))), {"dim": dim})


def scatter_rule_source(g, out, x, index, source, *, dim):
    stays = apply(SCATTER_LAST, (index,), {"dim": dim, "size": x.array.shape[dim]})
    return source_gradient(g, index, source, dim, stays)


def last_scattered(index, *, dim, size):
    """Of several places that scatter to one element, the one whose value stays there."""
    shape = (*index.shape[:dim], size, *index.shape[dim + 1 :])
    who, mine = np.zeros(shape, np.int64), np.arange(index.size).reshape(index.shape)
    at = places(np.asarray(index, order="C"), dim)
    who[at] = mine
    return who[at] == mine


def take_batch(batched, x, index, *, dim):
    """Of one index for all examples, or one x; the rest one by one."""
    if not batched[1]:
        return apply(TAKE, (x, index), {"dim": dim + 1})
    if not batched[0]:
        out, status = apply(TAKE, (x, index), {"dim": dim})
        return movedim(out, dim, 0), status
    return one_by_one(TAKE, batched, (x, index), {"dim": dim})


def index_add_batch(batched, source, index, *, dim, size):
    if not batched[1]:
        return apply(INDEX_ADD, (source, index), {"dim": dim + 1, "size": size})
    return one_by_one(INDEX_ADD, batched, (source, index), {"dim": dim, "size": size})


def one_by_one(row: Primitive, batched, inputs, attrs):
    from dl.ops.join import stack

    size = next(t.shape[0] for t, b in zip(inputs, batched, strict=True) if b)
    made = [
        apply(row, tuple([t[i] if b else t for t, b in zip(inputs, batched, strict=True)]), attrs) for i in range(size)
    ]
    return stack([out for out, _ in made]), stack([status for _, status in made])


# Each of these has a second result, the status: 0, or 1 + the place of the first index that is out of range.
TAKE = Primitive("take", kernels.take, vjp=(take_rule, None), batch=take_batch, saves=(1,), linear=True)
INDEX_ADD = Primitive(
    "index_add", kernels.index_add, vjp=(index_add_rule, None), batch=index_add_batch, saves=(1,), linear=True
)
GATHER = Primitive("gather", kernels.gather, vjp=(gather_rule, None), saves=(1,), linear=True)
SCATTER_ADD = Primitive(
    "scatter_add",
    kernels.scatter_add,
    vjp=(
        lambda g, out, x, index, source, *, dim: g[0],
        None,
        lambda g, out, x, index, source, *, dim: source_gradient(g[0], index, source, dim),
    ),
    saves=(1,),
    linear=True,
)
SCATTER = Primitive(
    "scatter", scatter_forward, vjp=(scatter_rule_x, None, scatter_rule_source), saves=(1,), linear=True
)
SCATTER_LAST = Primitive("scatter_last", last_scattered, differentiable=False)
TABLE = {row.name: row for row in (TAKE, INDEX_ADD, GATHER, SCATTER_ADD, SCATTER, SCATTER_LAST)}


def checked(x, dim: int, index, name: str, *, smaller: bool) -> tuple[Tensor, int, Tensor]:
    """x, the dim from the front, and an int64 index of as many dims (no larger than x in the others)."""
    x, index = as_tensor(x), as_tensor(index)
    if index.dtype != int64:
        raise TypeError(f"{name}: wanted an int64 index, got {index.dtype}")
    d = dim_of(dim, x.ndim, name)
    others = [n <= m for i, (n, m) in enumerate(zip(index.shape, x.shape, strict=False)) if i != d]
    if index.ndim != x.ndim or (smaller and not all(others)):
        raise ValueError(
            f"{name}: the index must have the dims of the tensor and be no larger in any but {d}; got "
            f"{list(index.shape)} for {list(x.shape)}"
        )
    return x, d, index


def run(name: str, row: Primitive, inputs: tuple, d: int) -> Tensor:
    """The row's first result; IndexError where its status says that an index is out of range."""
    found = apply(row, inputs, {"dim": d})
    if type(found) is tuple:
        found, status = found
        if status.array:
            kernels.refuse_index(name, status.array, inputs[1].array, inputs[0].array.shape[d], d)
    return found


def take(x: Tensor, dim: int, index: Tensor, name: str = "getitem") -> Tensor:
    """x[:, :, index] for dim 2, and so on; the index has any shape."""
    return run(name, TAKE, (x, index), dim)


def gather(x, dim: int, index) -> Tensor:
    """out[i][j][k] = x[index[i][j][k]][j][k] for dim 0, and so on; out has the shape of the index."""
    x, d, index = checked(x, dim, index, "gather", smaller=True)
    return run("gather", GATHER, (x, index), d)


def take_along_dim(x, indices, dim: int | None = None) -> Tensor:
    """gather where x and the index broadcast against each other in the other dims; dim=None: from flat x."""
    x, indices = as_tensor(x), as_tensor(indices)
    if dim is None:
        return take_along_dim(x.reshape(-1), indices.reshape(-1), 0)
    x, d, indices = checked(x, dim, indices, "take_along_dim", smaller=False)
    try:
        shape = np.broadcast_shapes(*[(*t.shape[:d], 1, *t.shape[d + 1 :]) for t in (x, indices)])
    except ValueError:
        raise ValueError(
            f"take_along_dim: shapes {list(x.shape)} and {list(indices.shape)} do not broadcast beside dim {d}"
        ) from None
    x, indices = (expand(t, (*shape[:d], t.shape[d], *shape[d + 1 :])) for t in (x, indices))
    return run("take_along_dim", GATHER, (x, indices), d)


def source_for(x: Tensor, index: Tensor, source, name: str) -> Tensor:
    if not isinstance(source, Tensor):
        source = expand(as_tensor(source, x.dtype), index.shape) if np.ndim(source) == 0 else as_tensor(source, x.dtype)
    if source.ndim != index.ndim or any(n > m for n, m in zip(index.shape, source.shape, strict=True)):
        raise ValueError(f"{name}: index of shape {list(index.shape)} is larger than the source, {list(source.shape)}")
    return cast(source, x.dtype)


def scattered(x, dim: int, index, source, name: str, row: Primitive) -> Tensor:
    x, d, index = checked(x, dim, index, name, smaller=True)
    return run(name, row, (x, index, source_for(x, index, source, name)), d)


def scatter(x, dim: int, index, source) -> Tensor:
    """x with out[index[i][j]][j] = source[i][j] (for dim 0): the inverse of gather; the last of several stays."""
    try:
        return scattered(x, dim, index, source, "scatter", SCATTER)
    except IndexError as error:
        raise IndexError(f"scatter: {error}") from None


def scatter_add(x, dim: int, index, source) -> Tensor:
    """x with source[i][j] added to out[index[i][j]][j] (for dim 0)."""
    return scattered(x, dim, index, source, "scatter_add", SCATTER_ADD)


def index_add(x, dim: int, index, source) -> Tensor:
    """x with slice i of the source added to slice index[i] along a dim."""
    x, source, index = as_tensor(x), as_tensor(source), as_tensor(index)
    d = dim_of(dim, x.ndim, "index_add")
    index = index.reshape([-1 if i == d else 1 for i in range(x.ndim)])
    return scattered(x, d, expand(index, source.shape), source, "index_add", SCATTER_ADD)


def masked_fill(x, mask, value) -> Tensor:
    """x with the value (a number or a 0-d tensor) where the mask is true; both broadcast."""
    x = as_tensor(x)
    value = cast(value, x.dtype) if isinstance(value, Tensor) else value
    return where(as_tensor(mask, bool_), value, x)


def masked_select(x, mask) -> Tensor:
    """The elements of x where the mask is true, (n,); both broadcast. Not inside dl.jit."""
    x, mask = as_tensor(x), as_tensor(mask, bool_)
    shape = np.broadcast_shapes(x.shape, mask.shape)
    return expand(x, shape)[expand(mask, shape)]
