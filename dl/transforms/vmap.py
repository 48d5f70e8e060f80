"""One example's function on a batch of them: recorded once, replayed with a batch axis in front."""

from collections.abc import Callable
from functools import wraps

from dl.ops.join import cat
from dl.tensor import Tensor
from dl.transforms.replay import replayed
from dl.tree import LEAF, NONE, flatten, unflatten

RANDOMNESS = ("error", "different", "same")


def vmap(f: Callable, in_dims=0, out_dims=0, randomness: str = "error", *, chunk_size: int | None = None) -> Callable:
    """f for each example of a batch: vmap(f)(x)[i] = f(x[i]), computed for all examples at once.

    in_dims: the axis of the examples, an int for all arguments, a tuple with one entry per argument, or nested like
    them; None: the same for all examples. out_dims: where the axis goes in the results, likewise (None: the result is
    the same for all). chunk_size examples are computed at a time (None: all). randomness says what draws inside give:
    "error", "different" numbers per example, or the "same" for all. Keyword arguments are not batched. f runs once, on
    the first example: Python that branches on values raises TypeError. Raises ValueError where batch sizes differ
    or are 0.
    """
    if randomness not in RANDOMNESS:
        raise ValueError(f"vmap: randomness {randomness!r}; there are {', '.join(RANDOMNESS)}")

    @wraps(f)
    def batched(*args, **kwargs):
        dims = in_dims if isinstance(in_dims, tuple) else (in_dims,) * len(args)
        if len(dims) != len(args):
            raise ValueError(f"vmap: {len(args)} positional arguments, but in_dims has {len(dims)} entries: {in_dims}")
        leaves, axes, rebuild = batched_leaves(args, dims)
        size = batch_size(leaves, axes)
        leaves = [x if d is None else in_front(x, d) for x, d in zip(leaves, axes, strict=True)]
        step = size if chunk_size is None else chunk_size
        if step < 1:
            raise ValueError(f"vmap: chunk_size is at least 1, got {chunk_size}")
        parts = []
        for start in range(0, size, step):
            part = leaves
            if step < size:
                part = [x if d is None else x[start : start + step] for x, d in zip(leaves, axes, strict=True)]
            parts.append(replayed(f, part, axes, rebuild, kwargs, randomness, min(step, size - start)))
        return joined(parts, out_dims)

    return batched


def batched_leaves(args: tuple, dims: tuple):
    """The tensors of all arguments, the batch axis of each (None: not batched), and how to put them back."""
    leaves, axes, specs = [], [], []
    for arg, dim in zip(args, dims, strict=True):
        if dim is None:
            specs.append((None, arg))
            continue
        found, spec = flatten(arg, "vmap")
        leaves += found
        axes += spread(dim, spec)
        specs.append((spec, len(found)))

    def rebuild(tensors: list) -> list:
        made, at = [], 0
        for spec, rest in specs:
            if spec is None:
                made.append(rest)
            else:
                made.append(unflatten(spec, tensors[at : at + rest]))
                at += rest
        return made

    return leaves, axes, rebuild


def spread(dim, spec) -> list:
    """An axis for each leaf: dim is an int or None for all below it, or nested like them."""
    if spec == NONE:
        return []
    if dim is None or isinstance(dim, int):
        return [dim] if spec == LEAF else [d for child in spec[2] for d in spread(dim, child)]
    if spec != LEAF:
        _, keys, children = spec
        if keys is not None and isinstance(dim, dict) and set(dim) == set(keys):
            return [d for k, child in zip(keys, children, strict=True) for d in spread(dim[k], child)]
        if keys is None and isinstance(dim, (tuple, list)) and len(dim) == len(children):
            return [d for part, child in zip(dim, children, strict=True) for d in spread(part, child)]
    raise ValueError(f"vmap: dims {dim!r} do not fit the structure of the argument or result")


def batch_size(leaves, axes) -> int:
    sizes = {}
    for x, d in zip(leaves, axes, strict=True):
        if d is not None:
            if not -x.ndim <= d < x.ndim:
                raise ValueError(f"vmap: in_dims {d} for an argument of shape {list(x.shape)}")
            sizes.setdefault(x.shape[d], (list(x.shape), d))
    if not sizes:
        raise ValueError("vmap: no argument is batched (every in_dims is None); at least one must be")
    if len(sizes) > 1:
        told = "; ".join(f"{n} (axis {d} of {shape})" for n, (shape, d) in sizes.items())
        raise ValueError(f"vmap: batch sizes differ: {told}")
    (size,) = sizes
    if size == 0:
        raise ValueError(
            f"vmap: the batch is empty (shape {sizes[0][0]}); f runs on a first example, so there must be one"
        )
    return size


def in_front(x: Tensor, d: int) -> Tensor:
    d %= x.ndim
    return x if d == 0 else x.permute(d, *[i for i in range(x.ndim) if i != d])


def joined(parts: list, out_dims):
    """The results of all chunks behind one another, the batch axis where out_dims wants it."""
    spec, (outputs, flags, sizes) = parts[0][0], zip(*[part[1:] for part in parts], strict=True)
    made = []
    for i, d in enumerate(spread(out_dims, spec)):
        pieces = [chunk[i] for chunk in outputs]
        if d is None:
            if flags[0][i]:
                raise ValueError(f"vmap: out_dims is None for output {i}, but it differs from example to example")
            made.append(pieces[0])
            continue
        if not flags[0][i]:
            pieces = [x.expand(n, *x.shape) for x, n in zip(pieces, sizes, strict=True)]
        made.append(behind(pieces[0] if len(pieces) == 1 else cat(pieces, 0), d))
    return unflatten(spec, made)


def behind(x: Tensor, d: int) -> Tensor:
    """The first axis moved to place d."""
    if not -x.ndim <= d < x.ndim:
        raise ValueError(f"vmap: out_dims {d} for a result of shape {list(x.shape)}")
    order = list(range(1, x.ndim))
    order.insert(d % x.ndim, 0)
    return x if order[0] == 0 else x.permute(*order)
