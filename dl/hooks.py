"""What happens to the gradient of one tensor when it arrives: hooks, and results that keep it."""

from collections.abc import Callable
from itertools import count
from weakref import ref

from dl.tensor import Tensor

numbers = count()


class Handle:
    """A registered hook; remove() takes it away."""

    def __init__(self, hooks: dict, number: int):
        self._hooks, self._number = hooks, number

    def remove(self):
        self._hooks.pop(self._number, None)


def register_hook(t: Tensor, hook: Callable) -> Handle:
    """Call hook(gradient) when the whole gradient of t is known in a backward pass; what it returns replaces it.

    Hooks run in the order in which they were registered; None as result keeps the gradient. Raises RuntimeError for a
    tensor that requires no gradient.
    """
    if not t.requires_grad:
        raise RuntimeError(f"register_hook: the tensor (shape {list(t.shape)}) requires no gradient")
    node = t._node
    if node is None:
        hooks = t._hooks = {} if t._hooks is None else t._hooks
    else:
        node.hooks = {} if node.hooks is None else node.hooks
        hooks = node.hooks.setdefault(t._index, {})
    number = next(numbers)
    hooks[number] = hook
    return Handle(hooks, number)


def retain_grad(t: Tensor):
    """Fill t.grad in backward() although t is the result of an operation."""
    if not t.requires_grad:
        raise RuntimeError(f"retain_grad: the tensor (shape {list(t.shape)}) requires no gradient")
    node = t._node
    if node is not None:
        node.retained = {} if node.retained is None else node.retained
        node.retained[t._index] = ref(t)
