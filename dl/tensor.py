"""The tensor: a NumPy array that knows where it came from."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

float32, float64, int64 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)
bool_ = np.dtype(np.bool_)
DTYPES = (float32, float64, int64, bool_)
# The change box of numbers written in a program (x + 2.0): nobody can change them, dl.jit bakes them in.
CONSTANT = [-1]


class Tensor:
    """An array with an optional gradient; made by dl.tensor, dl.from_numpy, dl.zeros ...

    array is the NumPy array that holds the values (float32, float64, int64 or bool; its strides are the tensor's);
    requires_grad says whether operations on it are recorded; grad is the accumulated gradient of a leaf.
    Methods are PyTorch's, in the table of dl.methods.
    """

    __slots__ = (
        "__weakref__", "_changed", "_grad", "_hooks", "_index", "_node", "_parameter", "_past", "array",
        "requires_grad",
    )  # fmt: skip
    array: np.ndarray
    requires_grad: bool
    _changed: list  # when its memory was last changed; shared with views
    _grad: "Tensor | None"
    _node: Any  # the operation that made it; None for leaves
    _index: int  # which of that operation's outputs it is
    _hooks: dict | None
    _past: list | None  # [(when, the tensor until then), ...] where it was changed in place with a gradient
    _parameter: bool  # made by nn.Parameter: modules count it among theirs
    __hash__ = object.__hash__

    if TYPE_CHECKING:  # what dl.methods attaches
        __add__: Callable[[Any], "Tensor"]
        __radd__: Callable[[Any], "Tensor"]
        __iadd__: Callable[[Any], "Tensor"]
        __sub__: Callable[[Any], "Tensor"]
        __rsub__: Callable[[Any], "Tensor"]
        __isub__: Callable[[Any], "Tensor"]
        __mul__: Callable[[Any], "Tensor"]
        __rmul__: Callable[[Any], "Tensor"]
        __imul__: Callable[[Any], "Tensor"]
        __truediv__: Callable[[Any], "Tensor"]
        __rtruediv__: Callable[[Any], "Tensor"]
        __itruediv__: Callable[[Any], "Tensor"]
        __pow__: Callable[[Any], "Tensor"]
        __rpow__: Callable[[Any], "Tensor"]
        __ipow__: Callable[[Any], "Tensor"]
        __mod__: Callable[[Any], "Tensor"]
        __rmod__: Callable[[Any], "Tensor"]
        __floordiv__: Callable[[Any], "Tensor"]
        __rfloordiv__: Callable[[Any], "Tensor"]
        __matmul__: Callable[[Any], "Tensor"]
        __rmatmul__: Callable[[Any], "Tensor"]
        __and__: Callable[[Any], "Tensor"]
        __rand__: Callable[[Any], "Tensor"]
        __or__: Callable[[Any], "Tensor"]
        __ror__: Callable[[Any], "Tensor"]
        __xor__: Callable[[Any], "Tensor"]
        __rxor__: Callable[[Any], "Tensor"]
        __lt__: Callable[[Any], "Tensor"]
        __le__: Callable[[Any], "Tensor"]
        __gt__: Callable[[Any], "Tensor"]
        __ge__: Callable[[Any], "Tensor"]
        __getitem__: Callable[[Any], "Tensor"]
        __setitem__: Callable[[Any, Any], None]
        __neg__: Callable[[], "Tensor"]
        __abs__: Callable[[], "Tensor"]
        __invert__: Callable[[], "Tensor"]
        __contains__: Callable[[Any], bool]
        __bool__: Callable[[], bool]
        __float__: Callable[[], float]
        __int__: Callable[[], int]
        __index__: Callable[[], int]
        __array__: Callable[..., np.ndarray]

        def __eq__(self, other: Any) -> "Tensor": ...
        def __ne__(self, other: Any) -> "Tensor": ...
        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, array: np.ndarray, changed: list | None = None):
        self.array = array
        self._changed = [0] if changed is None else changed
        self.requires_grad = self._parameter = False
        self._grad = self._node = self._hooks = self._past = None
        self._index = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def is_leaf(self) -> bool:
        return self._node is None

    @property
    def grad(self) -> "Tensor | None":
        return self._grad

    @grad.setter
    def grad(self, value: "Tensor | None"):
        if value is not None and (value.shape != self.shape or value.dtype != self.dtype):
            raise ValueError(
                f"grad: wanted shape {list(self.shape)} and {self.dtype}, got {list(value.shape)} and {value.dtype}"
            )
        from dl.tape import set_grad

        set_grad(self, value, False)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a tensor with no dimensions")
        return self.shape[0]

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a tensor with no dimensions")
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        text = np.array2string(self.array, separator=", ", prefix="tensor(", precision=4)
        kind = "" if self.dtype in (float32, int64, bool_) else f", dtype={self.dtype}"
        tail = ", requires_grad=True" if self.requires_grad and self.is_leaf else ""
        tail = f", from {self._node.primitive.name}" if self._node is not None else tail
        return f"tensor({text}{kind}{tail})"
