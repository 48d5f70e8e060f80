"""Tensors out of nothing, from numbers, and from NumPy arrays."""

import numpy as np

from dl.ops.base import as_array, as_tensor, cast, standard
from dl.ops.join import has_tensor
from dl.primitive import Primitive
from dl.tape import apply, state
from dl.tensor import Tensor, bool_, float32, int64

# Without an input, so that a recorder knows what was made inside a function (and may be changed there in place).
FULL = Primitive("full", lambda *, shape, value, dtype: np.full(shape, value, dtype), differentiable=False)
TABLE = {"full": FULL}


def wanting(out: Tensor, requires_grad: bool) -> Tensor:
    return out.requires_grad_() if requires_grad else out


def tensor(data, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """A new leaf with a copy of the data: numbers, nested lists, NumPy arrays, tensors.

    dtype None: that of arrays and tensors, float32 for Python floats, int64 for ints, bool for bools. Raises TypeError
    for other dtypes, ValueError for ragged lists.
    """
    if isinstance(data, Tensor) or has_tensor(data):
        made = as_tensor(data).detach()
        return wanting((made if dtype is None else cast(made, dtype)).clone(), requires_grad)
    array = as_array(data, dtype)
    if dtype is None and array.dtype.kind == "f" and python_numbers(data):
        dtype = float32
    return wanting(Tensor(np.array(array, dtype)), requires_grad)


def python_numbers(data) -> bool:
    """Whether data is a Python number or a nested list of such (and not NumPy's)."""
    while isinstance(data, (list, tuple)):
        if not len(data):
            return True
        data = data[0]
    return not isinstance(data, (np.ndarray, np.generic))


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the memory of a float32, float64, int64 or bool array; TypeError for anything else."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: wanted a NumPy array, got {type(array).__name__}; see dl.tensor")
    shared = as_array(array, None, "from_numpy")
    if shared is not array and not np.may_share_memory(shared, array) and array.size:
        raise TypeError(
            f"from_numpy: an array of dtype {array.dtype} (or one that is not aligned) cannot share its memory; "
            "make a copy with dl.tensor"
        )
    return Tensor(shared)


def asarray(data, dtype=None) -> Tensor:
    """data as a tensor: itself where it is one, without a copy where it is an array."""
    return as_tensor(data) if dtype is None else as_tensor(data, standard(dtype, "asarray"))


def shape_from(shape: tuple, name: str) -> tuple[int, ...]:
    """The sizes from f(2, 3), f((2, 3)) or f([2, 3])."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    try:
        found = tuple([n.__index__() for n in shape])
    except AttributeError:
        raise TypeError(f"{name}: sizes must be integers, got {shape}") from None
    if any(n < 0 for n in found):
        raise ValueError(f"{name}: sizes must not be negative, got {list(found)}")
    return found


def filled(shape: tuple[int, ...], value, dtype, requires_grad: bool, name: str) -> Tensor:
    dtype = standard(dtype, name)
    if state.traces:
        out = apply(FULL, (), {"shape": shape, "value": value, "dtype": dtype})
    else:
        out = Tensor(np.zeros(shape, dtype) if value == 0 else np.full(shape, value, dtype))
    return wanting(out, requires_grad)


def zeros(*shape, dtype=float32, requires_grad: bool = False) -> Tensor:
    """0 everywhere."""
    return filled(shape_from(shape, "zeros"), 0, dtype, requires_grad, "zeros")


def ones(*shape, dtype=float32, requires_grad: bool = False) -> Tensor:
    """1 everywhere."""
    return filled(shape_from(shape, "ones"), 1, dtype, requires_grad, "ones")


def full(shape, value, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """The value (a number) everywhere; dtype None: float32, int64 or bool, as the number is."""
    if dtype is None:
        dtype = bool_ if isinstance(value, bool) else int64 if isinstance(value, int) else float32
    return filled(shape_from((shape,), "full"), value, dtype, requires_grad, "full")


def empty(*shape, dtype=float32, requires_grad: bool = False) -> Tensor:
    """Memory to be filled: 0 everywhere, since values from nowhere help nobody."""
    return filled(shape_from(shape, "empty"), 0, dtype, requires_grad, "empty")


def like(x, dtype, value, requires_grad: bool, name: str) -> Tensor:
    x = as_tensor(x)
    return filled(x.shape, value, x.dtype if dtype is None else dtype, requires_grad, name)


def zeros_like(x, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """0 in the shape and dtype of x."""
    return like(x, dtype, 0, requires_grad, "zeros_like")


def ones_like(x, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """1 in the shape and dtype of x."""
    return like(x, dtype, 1, requires_grad, "ones_like")


def full_like(x, value, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """The value in the shape and dtype of x."""
    return like(x, dtype, value, requires_grad, "full_like")


def empty_like(x, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """0 in the shape and dtype of x: memory to be filled."""
    return like(x, dtype, 0, requires_grad, "empty_like")


def arange(start, end=None, step=1, *, dtype=None, requires_grad: bool = False) -> Tensor:
    """start, start + step, ... below end (arange(n): 0 ... n - 1); int64 for ints, float32 where one is a float."""
    start, end = (0, start) if end is None else (start, end)
    if step == 0:
        raise ValueError("arange: step must not be 0")
    if dtype is None:
        dtype = float32 if any(isinstance(v, float) for v in (start, end, step)) else int64
    return wanting(Tensor(np.arange(start, end, step).astype(standard(dtype, "arange"))), requires_grad)


def linspace(start: float, end: float, steps: int, *, dtype=float32, requires_grad: bool = False) -> Tensor:
    """steps numbers (steps,) from start to end, both included, equally far apart."""
    return wanting(Tensor(np.linspace(start, end, steps).astype(standard(dtype, "linspace"))), requires_grad)


def eye(n: int, m: int | None = None, *, dtype=float32, requires_grad: bool = False) -> Tensor:
    """The identity (n, n), or (n, m) with 1 on the diagonal."""
    return wanting(Tensor(np.eye(n, m, dtype=standard(dtype, "eye"))), requires_grad)
