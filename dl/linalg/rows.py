"""What the rows of linear algebra share: checks, transposes, and batches (LAPACK through NumPy and SciPy)."""

import numpy as np

from dl.ops.base import floating
from dl.ops.rules import batch_size, expanded
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor


class LinAlgError(ValueError):
    """A matrix for which the result does not exist: singular, not positive definite, not stabilisable."""


def matrix(x, name: str, square: bool = True) -> Tensor:
    """x as a floating tensor (..., m, n). Raises ValueError where it is none, or not square where it must be."""
    x = floating(x)
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        kind = "square matrices (..., n, n)" if square else "matrices (..., m, n)"
        raise ValueError(f"linalg.{name}: wanted {kind}, got shape {list(x.shape)}")
    return x


def T(x: Tensor) -> Tensor:
    return x.transpose(-1, -2)


def symmetric(x: Tensor) -> Tensor:
    return (x + T(x)) * 0.5


def eye_like(x: Tensor) -> Tensor:
    return Tensor(np.eye(x.shape[-1], dtype=x.dtype))


def column(v: Tensor) -> Tensor:
    return v.unsqueeze(-1)


def first_bad(arrays: np.ndarray) -> str:
    """Which matrix of a batch has a non-finite entry, for a message."""
    bad = ~np.isfinite(arrays).all(axis=(-2, -1))
    return "" if arrays.ndim == 2 else f" (batch index {tuple(int(i) for i in np.argwhere(bad)[0])})"


def finite(x: np.ndarray, name: str) -> np.ndarray:
    """x, if it is finite. Raises ValueError naming the function: LAPACK hangs or returns nonsense on NaN."""
    if not np.isfinite(x).all():
        where = first_bad(x) if x.ndim >= 2 else ""
        raise ValueError(f"linalg.{name}: the matrix{where} has a non-finite entry")
    return x


def each(function, *arrays: np.ndarray) -> np.ndarray:
    """function on every matrix of batches of one leading shape, for routines that take one at a time."""
    lead = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
    full = [np.broadcast_to(a, (*lead, *a.shape[-2:])).reshape(-1, *a.shape[-2:]) for a in arrays]
    results = [np.asarray(function(*parts)) for parts in zip(*full, strict=True)]
    if not results:
        return np.empty((*lead, *arrays[-1].shape[-2:]), arrays[0].dtype)
    return np.stack(results).reshape(*lead, *results[0].shape).astype(arrays[0].dtype, copy=False)


def same_batch(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Matrices expanded to one leading shape."""
    lead = np.broadcast_shapes(*(t.shape[:-2] for t in tensors))
    return tuple(t if t.shape[:-2] == lead else t.expand((*lead, *t.shape[-2:])) for t in tensors)


def row(name: str, forward, *, vjp, saves=None) -> Primitive:
    """A row of the table whose operation is batched over leading axes as it is."""

    def batch(batched, *inputs, **attrs):
        size = batch_size(batched, inputs)
        return apply(made, tuple([expanded(t, b, size) for t, b in zip(inputs, batched, strict=True)]), attrs)

    made = Primitive(name, forward, vjp=vjp, saves=saves, batch=batch)
    return made
