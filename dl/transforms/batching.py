"""How each operation takes a batch axis in front of some of its inputs."""

from dl.ops.join import stack
from dl.ops.rules import batch_size, expanded
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor
from dl.transforms.batching_index import index, index_add_at, index_put, last_writer


def batched_step(p: Primitive, flags: tuple[bool, ...], inputs: tuple, attrs: dict):
    """p on inputs of which those flagged have a batch axis in front; so has every result.

    In this order: the row's own rule, the table below, the composed formula, a loop over the examples.
    """
    if p.batch == "ew":
        return apply(p, aligned(flags, inputs), attrs)
    if callable(p.batch):
        return p.batch(flags, *inputs, **attrs)
    rule = RULES.get(p.name)
    if rule is not None:
        return rule(p, flags, inputs, attrs)
    composed = p.composed
    if composed is not None:
        from dl.transforms.vmap import vmap

        dims = tuple(0 if b else None for b in flags)
        return vmap(lambda *args: composed(*args, **attrs), dims)(*inputs)
    return looped(p, flags, inputs, attrs, batch_size(flags, inputs))


def aligned(flags, inputs) -> tuple:
    """Batched tensors with axes of size 1 behind the batch, so that all broadcast as one example does."""
    rank = max([t.ndim - b for t, b in zip(inputs, flags, strict=True) if t is not None])
    return tuple([filled(t, rank) if b else t for t, b in zip(inputs, flags, strict=True)])


def filled(t: Tensor, rank: int) -> Tensor:
    missing = rank + 1 - t.ndim
    return t.reshape(t.shape[0], *(1,) * missing, *t.shape[1:]) if missing else t


def everywhere(flags, inputs) -> tuple:
    """All inputs with a batch axis, those without one along stride 0."""
    size = batch_size(flags, inputs)
    return tuple([expanded(t, b, size) for t, b in zip(inputs, flags, strict=True)])


def looped(p: Primitive, flags, inputs, attrs, size: int):
    """One example after the other."""
    made = [apply(p, tuple([t[i] if b else t for t, b in zip(inputs, flags, strict=True)]), attrs) for i in range(size)]
    if isinstance(made[0], tuple):
        return tuple([stack(list(parts)) for parts in zip(*made, strict=True)])
    return stack(made)


def further(*names: str):
    """The attributes of these names are dims, counted from the front: they are one further."""

    def rule(p, flags, inputs, attrs):
        moved = {name: attrs[name] + 1 if type(attrs[name]) is int else next_dims(attrs[name]) for name in names}
        return apply(p, everywhere(flags, inputs), attrs | moved)

    return rule


def next_dims(dims: tuple) -> tuple:
    return tuple([d + 1 for d in dims])


def as_it_is(p, flags, inputs, attrs):
    """Operations on the last axes, whatever is in front of them."""
    return apply(p, inputs, attrs)


def one_by_one(p, flags, inputs, attrs):
    return apply(p, aligned(flags, inputs), attrs)


def reshape(p, flags, inputs, attrs):
    (x,) = inputs
    return apply(p, inputs, {"shape": (x.shape[0], *attrs["shape"])})


def expand(p, flags, inputs, attrs):
    (x,), shape = inputs, attrs["shape"]
    return apply(p, (filled(x, len(shape)),), {"shape": (x.shape[0], *shape)})


def permute(p, flags, inputs, attrs):
    return apply(p, inputs, {"dims": (0, *next_dims(attrs["dims"]))})


def diagonal_grad(p, flags, inputs, attrs):
    shape = (inputs[0].shape[0], *attrs["shape"])
    return apply(p, inputs, attrs | {"shape": shape, "dim1": attrs["dim1"] + 1, "dim2": attrs["dim2"] + 1})


def pad(p, flags, inputs, attrs):
    return apply(p, inputs, attrs | {"widths": ((0, 0), *attrs["widths"])})


def getitem(p, flags, inputs, attrs):
    return apply(p, inputs, {"index": (slice(None), *attrs["index"])})


def unslice(p, flags, inputs, attrs):
    shape = (inputs[0].shape[0], *attrs["shape"])
    return apply(p, inputs, {"index": (slice(None), *attrs["index"]), "shape": shape})


def unknown_size(p, flags, inputs, attrs):
    raise TypeError(
        f"{p.name} inside dl.vmap: how many elements it finds differs from example to example, so the results do not "
        "stack; use dl.where with a value for the elements that are not meant"
    )


DIM = further("dim")
RULES = {
    "reshape": reshape,
    "permute": permute,
    "expand": expand,
    "diagonal": further("dim1", "dim2"),
    "diagonal_grad": diagonal_grad,
    "cat": DIM,
    "stack": DIM,
    "pad": pad,
    "flip": further("dims"),
    "sum": DIM,
    "amax": DIM,
    "amin": DIM,
    "any": DIM,
    "all": DIM,
    "argmax": DIM,
    "argmin": DIM,
    "cumsum": DIM,
    "cumprod": DIM,
    "prod": as_it_is,
    "getitem": getitem,
    "unslice": unslice,
    "index": index,
    "index_add_at": index_add_at,
    "index_put": index_put,
    "index_put_": index_put,
    "last_writer": last_writer,
    "nonzero": unknown_size,
    "one_hot": as_it_is,
    "gather": DIM,
    "scatter_add": DIM,
    "scatter": DIM,
    "scatter_last": DIM,
    "argsort": DIM,
    "topk_indices": DIM,
    "copy_": one_by_one,
}
