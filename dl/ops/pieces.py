"""A tensor in pieces as one operation, so that its gradient is put together once instead of piece by piece."""

from dl.ops.join import cat, stack
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor


def pieces_of(x, *, dim, sizes):
    found, at = [], 0
    for n in sizes:
        found.append(x[(slice(None),) * dim + (slice(at, at + n),)])
        at += n
    return tuple(found)


def slices_of(x, *, dim):
    index = (slice(None),) * dim
    return tuple([x[(*index, i, ...)] for i in range(x.shape[dim])])


def several(g) -> tuple:
    """The gradients of all pieces; of one alone it comes without a tuple."""
    return g if isinstance(g, tuple) else (g,)


PIECES = Primitive(
    "pieces",
    pieces_of,
    vjp=lambda needs, g, out, x, *, dim, sizes: (cat(several(g), dim),),
    batch=lambda batched, x, *, dim, sizes: apply(PIECES, (x,), {"dim": dim + 1, "sizes": sizes}),
    saves=(),
    linear=True,
    view=True,
)
SLICES = Primitive(
    "slices",
    slices_of,
    vjp=lambda needs, g, out, x, *, dim: (stack(several(g), dim),),
    batch=lambda batched, x, *, dim: apply(SLICES, (x,), {"dim": dim + 1}),
    saves=(),
    linear=True,
    view=True,
)


def equal_pieces(x: Tensor, n: int) -> tuple[Tensor, ...]:
    """x in n equal pieces along the last dim; views that must not be changed in place."""
    return apply(PIECES, (x,), {"dim": x.ndim - 1, "sizes": (x.shape[-1] // n,) * n})


def slices(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices of x along a dim, without it; views that must not be changed in place."""
    return apply(SLICES, (x,), {"dim": dim}) if x.array.size else tuple([x[i] for i in range(x.shape[dim])])


TABLE = {row.name: row for row in (PIECES, SLICES)}
