"""In-place operations: the new value is computed as usual, written into the tensor's memory, and the tensor moves on.

On the tape an in-place operation is the operation itself; afterwards the tensor stands at its result. Memory is
shared by views, which know nothing of this, so what they would make wrong is refused: a view cannot be changed with a
gradient, and one that was taken before such a change cannot be used after it (dl.tape refuses).
"""

from dl.ops.base import cast
from dl.ops.elementwise import add, clamp, div, mul, pow, relu, sub
from dl.primitive import Primitive
from dl.tape import GradMode, alias, apply, clock, rewritten, settle, state
from dl.tensor import CONSTANT, Tensor


def write(x, value):
    x[...] = value
    return ()


COPY_ = Primitive("copy_", write, mutates=(0,), differentiable=False)
TABLE = {"copy_": COPY_}


def writable(x: Tensor, name: str):
    if not x.array.flags.writeable or x._changed is CONSTANT:
        raise RuntimeError(
            f"{name}: the memory of this tensor, shape {list(x.shape)}, is read-only (an expanded or broadcast view, "
            "or a read-only NumPy array); change a .clone()"
        )
    if len(x._changed) > 1:
        raise RuntimeError(f"{name}: this view is out of date; its tensor was changed in place: take the view again")


def unrecorded(x: Tensor, value: Tensor):
    with GradMode(False):
        apply(COPY_, (x, value))


def copy_(x: Tensor, value) -> Tensor:
    """The value, broadcast and in the dtype of x, written into x."""
    from dl.ops.index import value_for

    value = value_for(x, value, x.shape, "copy_")
    if state.grad and (x.requires_grad or value.requires_grad):
        return change(x, lambda old: value.expand(x.shape), "copy_")
    writable(x, "copy_")
    apply(COPY_, (x, value))
    return x


def change(x: Tensor, function, name: str, keep: bool = False) -> Tensor:
    """x := function(x) in the memory of x. keep: the derivative of function needs the old x.

    Raises RuntimeError for a leaf that requires a gradient, and for views where a gradient is wanted.
    """
    if state.grad and x.requires_grad and x._node is None:
        raise RuntimeError(
            f"{name}: a leaf that requires a gradient (shape {list(x.shape)}) cannot be changed in place; do it inside "
            "dl.no_grad(), or use the out-of-place operation"
        )
    writable(x, name)
    start = next(clock)
    new = function(x.clone() if keep and state.grad else x)
    if new.shape != x.shape:
        raise ValueError(f"{name}: the result has shape {list(new.shape)}, but the tensor has {list(x.shape)}")
    if new.dtype.kind == "f" and x.dtype.kind != "f":
        raise TypeError(
            f"{name}: the result is {new.dtype}, but the tensor is {x.dtype}; use the out-of-place operation"
        )
    new = cast(new, x.dtype)
    if not (state.grad and (x.requires_grad or new.requires_grad)):
        apply(COPY_, (x, new))
        return x
    if x.array.base is not None:
        raise RuntimeError(
            f"{name}: this tensor, shape {list(x.shape)}, is a view, and changing it in place would change the "
            "tensor it shows without its gradient; change that tensor itself (as in x[...] = value), or a .clone()"
        )
    move(x, new, start)
    return x


def move(x: Tensor, new: Tensor, start: int):
    """Write new into x and put x where new is on the tape; what was recorded before saw the old x."""
    if new.requires_grad and (new._node is None or new._node.seq < start):
        new = alias(new)
    old = Tensor(x.array, x._changed)
    old.requires_grad, old._node, old._index = x.requires_grad, x._node, x._index
    since = max(x._changed[0], 0 if x._node is None else x._node.seq) or start
    x._past = [*(x._past or ()), (next(clock), old)]
    rewritten.append(True)
    forget(new._node, since)
    unrecorded(x, new)
    x._changed.append(True)  # whoever shares this memory now is out of date
    x._changed = [x._changed[0]]
    x._node, x._index, x.requires_grad = new._node, new._index, new.requires_grad


def forget(node, since: int):
    """Settle the nodes after `since` that lead to this one, so that x, which will hang on it, is no input of theirs.

    Gradients need no more than dl.tape.settle; this is for memory, which such a cycle would keep until it is collected.
    """
    stack, seen = [node], set()
    while stack:
        node = stack.pop()
        if node is not None and node not in seen and node.seq >= since:
            seen.add(node)
            settle(node)
            stack += [t._node for t in node.inputs if t is not None]


def add_(x: Tensor, y, *, alpha: float = 1.0) -> Tensor:
    """x += alpha y."""
    return change(x, lambda old: add(old, y if alpha == 1.0 else mul(y, alpha)), "add_")


def sub_(x: Tensor, y) -> Tensor:
    """x -= y."""
    return change(x, lambda old: sub(old, y), "sub_")


def mul_(x: Tensor, y) -> Tensor:
    """x *= y."""
    return change(x, lambda old: mul(old, y), "mul_", keep=True)


def div_(x: Tensor, y) -> Tensor:
    """x /= y."""
    return change(x, lambda old: div(old, y), "div_")


def pow_(x: Tensor, y) -> Tensor:
    """x **= y."""
    return change(x, lambda old: pow(old, y), "pow_", keep=True)


def clamp_(x: Tensor, min=None, max=None) -> Tensor:
    """x = clamp(x, min, max)."""
    return change(x, lambda old: clamp(old, min, max), "clamp_", keep=True)


def relu_(x: Tensor) -> Tensor:
    """x = max(x, 0)."""
    return change(x, relu, "relu_")


def masked_fill_(x: Tensor, mask, value) -> Tensor:
    """x = value where the mask is true."""
    return change(x, lambda old: old.masked_fill(mask, value), "masked_fill_")


def fill_(x: Tensor, value) -> Tensor:
    """Every element = value."""
    return copy_(x, value)


def zero_(x: Tensor) -> Tensor:
    """Every element = 0."""
    return copy_(x, 0)
