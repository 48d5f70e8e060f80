"""Shapes: reshape, permute, expand and other views of the same numbers."""

import numpy as np

from dl.ops.base import as_tensor, sum_to
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor


def reshaped(x: np.ndarray, *, shape: tuple[int, ...]) -> np.ndarray:
    """A view where the strides allow it, else an array that owns its memory."""
    out = x.reshape(shape)
    copied = out.base
    if x.flags.c_contiguous or copied is None or copied is x or copied is x.base:
        return out
    del out
    copied.resize(shape, refcheck=False)
    return copied


def expanded(x: np.ndarray, *, shape: tuple[int, ...]) -> np.ndarray:
    """np.broadcast_to, in half the time where x is contiguous."""
    if not x.flags.c_contiguous or not x.size:
        return np.broadcast_to(x, shape)
    old = x.shape
    strides = (0,) * (len(shape) - len(old)) + tuple([0 if n == 1 else s for n, s in zip(old, x.strides, strict=True)])
    out = np.ndarray(shape, x.dtype, x, 0, strides)
    out.setflags(write=False)
    return out


def inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    order = [0] * len(dims)
    for i, d in enumerate(dims):
        order[d] = i
    return tuple(order)


RESHAPE = Primitive(
    "reshape",
    reshaped,
    vjp=(lambda g, out, x, *, shape: apply(RESHAPE, (g,), {"shape": x.array.shape}),),
    saves=(),
    linear=True,
    view=True,
)
PERMUTE = Primitive(
    "permute",
    lambda x, *, dims: x.transpose(dims),
    vjp=(lambda g, out, x, *, dims: apply(PERMUTE, (g,), {"dims": inverse(dims)}),),
    saves=(),
    linear=True,
    view=True,
)
EXPAND = Primitive(
    "expand",
    expanded,
    vjp=(lambda g, out, x, *, shape: sum_to(g, x.array.shape),),
    saves=(),
    linear=True,
    view=True,
)
DIAGONAL = Primitive(
    "diagonal",
    lambda x, *, offset, dim1, dim2: x.diagonal(offset, dim1, dim2),
    vjp=(lambda g, out, x, **attrs: apply(DIAGONAL_GRAD, (g,), {"shape": x.array.shape, **attrs}),),
    saves=(),
    linear=True,
    view=True,
)


def on_diagonal(g, *, shape, offset, dim1, dim2):
    out = np.zeros(shape, g.dtype)
    diagonal = out.diagonal(offset, dim1, dim2)
    diagonal.flags.writeable = True
    diagonal[...] = g
    return out


DIAGONAL_GRAD = Primitive(
    "diagonal_grad",
    on_diagonal,
    vjp=(lambda g, out, x, *, shape, **attrs: apply(DIAGONAL, (g,), attrs),),
    saves=(),
    linear=True,
)
CLONE = Primitive("clone", lambda x: x.copy(), vjp=(lambda g, out, x: g,), saves=(), linear=True, batch="ew")
TABLE = {row.name: row for row in (RESHAPE, PERMUTE, EXPAND, DIAGONAL, DIAGONAL_GRAD, CLONE)}


def sizes(first: tuple) -> tuple[int, ...]:
    """The shape from f(2, 3), f((2, 3)) or f([2, 3])."""
    if len(first) == 1 and isinstance(first[0], (tuple, list)):
        first = tuple(first[0])
    return tuple([n if type(n) is int else int(n) for n in first])


def known(x: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    """shape with its -1 filled in."""
    size, rest, free = x.array.size, 1, -1
    for i, n in enumerate(shape):
        if n >= 0:
            rest *= n
        elif free < 0 and n == -1:
            free = i
        else:
            raise ValueError(f"reshape: one size may be -1, got {list(shape)}")
    if free >= 0 and rest and size % rest == 0:
        return (*shape[:free], size // rest, *shape[free + 1 :])
    if free >= 0 or rest != size:
        raise ValueError(f"reshape: {size} elements of shape {list(x.shape)} do not fit the shape {list(shape)}")
    return shape


def reshape(x, *shape) -> Tensor:
    """x with another shape (one size may be -1), a view where the strides allow it.

    Raises ValueError where the number of elements differs.
    """
    x = x if type(x) is Tensor else as_tensor(x)
    shape = shape[0] if len(shape) == 1 and type(shape[0]) is tuple else sizes(shape)
    shape = known(x, shape)
    return x if shape == x.array.shape else apply(RESHAPE, (x,), {"shape": shape})


def dim_of(d, ndim: int, name: str) -> int:
    """d counted from the front; raises IndexError with the valid range."""
    n = max(ndim, 1)
    d = d if type(d) is int else int(d)
    if not -n <= d < n:
        raise IndexError(f"{name}: dim must be in [{-n}, {n - 1}] for {ndim} dimensions, got {d}")
    return d + n if d < 0 else d


def dims_of(dims, ndim: int, name: str) -> tuple[int, ...]:
    """An int, a tuple or None (all) as a tuple of dims counted from the front, each once."""
    if dims is None:
        return tuple(range(ndim))
    if type(dims) is int:
        return (dim_of(dims, ndim, name),) if ndim or dims not in (0, -1) else ()
    if isinstance(dims, (tuple, list)):
        found = tuple([dim_of(d, ndim, name) for d in dims])
        if len(set(found)) != len(found):
            raise ValueError(f"{name}: each dim may appear once, got {list(dims)}")
        return found if ndim else ()
    return dims_of(int(dims), ndim, name)


def permute(x, *dims) -> Tensor:
    """The dims of x in another order; a view."""
    x = as_tensor(x)
    order = dims_of(sizes(dims), x.ndim, "permute")
    if len(order) != x.ndim:
        raise ValueError(f"permute: wanted {x.ndim} dims for shape {list(x.shape)}, got {list(order)}")
    return apply(PERMUTE, (x,), {"dims": order})


def transpose(x, dim0: int, dim1: int) -> Tensor:
    """x with two dims swapped; a view."""
    x = x if type(x) is Tensor else as_tensor(x)
    ndim = x.array.ndim
    a, b = dim_of(dim0, ndim, "transpose"), dim_of(dim1, ndim, "transpose")
    order = list(range(ndim))
    if ndim:
        order[a], order[b] = order[b], order[a]
    return apply(PERMUTE, (x,), {"dims": tuple(order)})


def reverse_dims(x) -> Tensor:
    """x with its dims in reverse order; a view."""
    x = x if type(x) is Tensor else as_tensor(x)
    return apply(PERMUTE, (x,), REVERSED[x.array.ndim])


REVERSED = tuple([{"dims": tuple(range(n))[::-1]} for n in range(65)])


def movedim(x, source, destination) -> Tensor:
    """x with the dims source at the places destination (ints or tuples), the others in order; a view."""
    x = as_tensor(x)
    here = dims_of(source, x.ndim, "movedim")
    there = dims_of(destination, x.ndim, "movedim")
    if len(here) != len(there):
        raise ValueError(f"movedim: {len(here)} source dims and {len(there)} destinations")
    order = [d for d in range(x.ndim) if d not in here]
    for d, s in sorted(zip(there, here, strict=True)):
        order.insert(d, s)
    return permute(x, *order)


def expand(x, *shape) -> Tensor:
    """x broadcast to a shape without a copy (the result is read-only); -1 keeps a size."""
    x = x if type(x) is Tensor else as_tensor(x)
    shape = shape[0] if len(shape) == 1 and type(shape[0]) is tuple else sizes(shape)
    old = x.array.shape
    if shape == old:
        return x
    lead = len(shape) - len(old)
    if -1 in shape:
        shape = tuple([old[i - lead] if n == -1 and i >= lead >= 0 else n for i, n in enumerate(shape)])
    for m, n in zip(old, shape[lead:] if lead >= 0 else (), strict=False):
        if m not in (1, n):
            lead = -1
    if lead < 0 or min(shape, default=0) < 0:
        raise ValueError(f"expand: shape {list(old)} does not broadcast to {list(shape)}")
    return apply(EXPAND, (x,), {"shape": shape}) if shape != old else x


def broadcast_to(x, shape) -> Tensor:
    """x broadcast to a shape without a copy."""
    return expand(x, tuple(shape) if isinstance(shape, (tuple, list)) else (shape,))


def broadcast_tensors(*tensors) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape; ValueError where there is none."""
    found = tuple([as_tensor(t) for t in tensors])
    try:
        shape = np.broadcast_shapes(*[t.shape for t in found])
    except ValueError:
        shapes = ", ".join(str(list(t.shape)) for t in found)
        raise ValueError(f"broadcast_tensors: shapes {shapes} do not broadcast") from None
    return tuple([expand(t, shape) for t in found])


def expand_as(x, other: Tensor) -> Tensor:
    """x broadcast to the shape of other."""
    return expand(x, other.shape)


def squeeze(x, dim=None) -> Tensor:
    """x without its dims of size 1: all of them, or those in dim (an int or a tuple)."""
    x = as_tensor(x)
    gone = dims_of(dim, x.ndim, "squeeze")
    return reshape(x, tuple([n for i, n in enumerate(x.shape) if n != 1 or i not in gone]))


def unsqueeze(x, dim: int) -> Tensor:
    """x with a new dim of size 1 at place dim."""
    x = as_tensor(x)
    d = dim_of(dim, x.ndim + 1, "unsqueeze")
    return reshape(x, (*x.shape[:d], 1, *x.shape[d:]))


def flatten(x, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dims from start_dim to end_dim (included) as one."""
    x = as_tensor(x)
    a, b = dim_of(start_dim, x.ndim, "flatten"), dim_of(end_dim, x.ndim, "flatten")
    if a > b:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} for shape {list(x.shape)}")
    middle = 1
    for n in x.shape[a : b + 1]:
        middle *= n
    return reshape(x, (*x.shape[:a], middle, *x.shape[b + 1 :]))


def unflatten(x, dim: int, shape) -> Tensor:
    """One dim as several, of sizes shape (one may be -1)."""
    x = as_tensor(x)
    d = dim_of(dim, x.ndim, "unflatten")
    inside = known(Tensor(np.empty(x.shape[d], bool)), sizes((shape,)))
    return reshape(x, (*x.shape[:d], *inside, *x.shape[d + 1 :]))


def diagonal(x, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The elements x[..., i, i + offset] of the matrices in dim1, dim2, as a new last dim; a read-only view."""
    x = as_tensor(x)
    a, b = dim_of(dim1, x.ndim, "diagonal"), dim_of(dim2, x.ndim, "diagonal")
    if x.ndim < 2 or a == b:
        raise ValueError(f"diagonal: wanted two different dims, got {dim1} and {dim2} for shape {list(x.shape)}")
    return apply(DIAGONAL, (x,), {"offset": offset, "dim1": a, "dim2": b})


def diag_embed(x, offset: int = 0) -> Tensor:
    """Square matrices (..., n, n) with x (..., n - |offset|) on a diagonal and 0 elsewhere."""
    x = as_tensor(x)
    n = x.shape[-1] + abs(offset)
    attrs = {"shape": (*x.shape[:-1], n, n), "offset": offset, "dim1": x.ndim - 1, "dim2": x.ndim}
    return apply(DIAGONAL_GRAD, (x,), attrs)


def diag(x, diagonal_: int = 0) -> Tensor:
    """The matrix with x (n,) on a diagonal, or that diagonal of a matrix x (m, n)."""
    x = as_tensor(x)
    if x.ndim not in (1, 2):
        raise ValueError(f"diag: wanted a vector or a matrix, got shape {list(x.shape)}; see diagonal and diag_embed")
    return diag_embed(x, diagonal_) if x.ndim == 1 else diagonal(x, diagonal_)


def clone(x) -> Tensor:
    """A copy with its own memory (contiguous), through which gradients flow."""
    return apply(CLONE, (as_tensor(x),))


def contiguous(x) -> Tensor:
    """x itself where it is contiguous in C order, else a copy that is."""
    x = as_tensor(x)
    return x if x.array.flags.c_contiguous else clone(x)
