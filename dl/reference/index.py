"""NumPy twins of taking, gathering and adding by index along one dim.

Negative indices count from the end. The second result, status (0-d int64), is 0, or 1 + the flat position of the first
index that is out of range; what such an index asks for is 0, what it would add to is left alone.
"""

import numpy as np


def take(x, index, *, dim):
    """x's slices along dim that index (any shape) names: index's axes stand in the place of dim."""
    at, known, status = _checked(index, x.shape[dim])
    if not x.shape[dim]:
        return np.zeros((*x.shape[:dim], *index.shape, *x.shape[dim + 1 :]), x.dtype), status
    out = np.asarray(np.take(x, at, axis=dim))
    out[(slice(None),) * dim + (~known,)] = 0
    return out, status


def index_add(g, index, *, dim, size):
    """The transpose of take: zeros with g's slices added where index says; size: of dim."""
    at, known, status = _checked(index, size)
    out = np.zeros((*g.shape[:dim], size, *g.shape[dim + index.ndim :]), g.dtype)
    np.add.at(out, (slice(None),) * dim + (at[known],), g[(slice(None),) * dim + (known,)])
    return out, status


def gather(x, index, *, dim):
    """out[i, j] = x[index[i, j], j] for dim 0, and so on; out has index's shape."""
    at, known, status = _checked(index, x.shape[dim])
    if not x.shape[dim]:
        return np.zeros(index.shape, x.dtype), status
    return np.where(known, x[_places(at, dim)], 0).astype(x.dtype, copy=False), status


def scatter_add(x, index, src, *, dim):
    """x with src[i, j] added at [index[i, j], j] for dim 0, and so on."""
    at, known, status = _checked(index, x.shape[dim])
    out = x.copy()
    corner = src[tuple(slice(0, n) for n in index.shape)]
    places = tuple(np.broadcast_to(p, index.shape)[known] for p in _places(at, dim))
    np.add.at(out, places, corner[known])
    return out, status


def _checked(index, size: int):
    """The indices from the front (0 for those out of range), which are in range, and the status."""
    at = np.where(index < 0, index + size, index)
    known = (at >= 0) & (at < size)
    status = 0 if known.all() else 1 + int(np.argmin(known))
    return np.where(known, at, 0), known, np.asarray(status, np.int64)


def _places(index, dim: int):
    ranges = np.ogrid[tuple(slice(0, n) for n in index.shape)]
    return tuple(index if d == dim else r for d, r in enumerate(ranges))
