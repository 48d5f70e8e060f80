"""One kernel: a C function and its NumPy twin behind one call, NumPy arrays in, NumPy arrays out."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

try:
    from dl import _kernels
except ImportError:
    _kernels = None
    warnings.warn(
        "dl: the C kernels were not built (no C compiler when swingup was installed?); using NumPy instead, same "
        "results, slower. Install a C compiler and run: pip install --force-reinstall --no-deps .",
        RuntimeWarning,
        stacklevel=2,
    )


def backend() -> str:
    """Which kernels run: "c-avx512", "c-avx2", "c-neon", "c-base", or "numpy" where the C extension is not there."""
    return "numpy" if _kernels is None else f"c-{_kernels.isa()}"


def in_c(name: str, *first) -> Callable | None:
    """A function of the C extension (after its first arguments), or None where there is no extension."""
    function = getattr(_kernels, name, None)
    return partial(function, *first) if first and function is not None else function


def no_numbers(*arrays, **attrs) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """For kernels without attributes: no integers, no floats."""
    return (), ()


@dataclass(frozen=True, eq=False)
class Kernel:
    """A C kernel by its name in the table, with its twin.

    outputs(*arrays, **attrs) -> ((shape, dtype), ...) of what the kernel writes (or example arrays: np.empty_like keeps
    their memory layout); numbers(*arrays, **attrs) -> (ints, floats) for C; twin(*arrays, **attrs) -> array or tuple.
    An absent optional input is None. A kernel with mutates=(i, ...) writes into those inputs and has no outputs;
    the C kernel gets them among its inputs, in order. views(*arrays) -> what C gets for them, views of the same memory
    (the transpose of a weight, say). Calling a Kernel runs C where it was built, else the twin. direct: the same in C
    with its own allocation (see in_c), or None.
    """

    name: str
    outputs: Callable
    twin: Callable
    numbers: Callable = no_numbers
    mutates: tuple[int, ...] = ()
    views: Callable | None = None
    direct: Callable | None = None

    @property
    def run(self) -> Callable:
        """What an eager operation calls."""
        return self if self.direct is None else self.direct

    def __call__(self, *arrays, **attrs):
        if _kernels is None:
            return self.twin(*arrays, **attrs)
        outs = tuple([allocate(spec) for spec in self.outputs(*arrays, **attrs)])
        ints, floats = self.numbers(*arrays, **attrs)
        _kernels.call(self.name, outs, arrays if self.views is None else self.views(*arrays), ints, floats)
        return outs[0] if len(outs) == 1 else outs


def allocate(spec) -> np.ndarray:
    """An uninitialised array from (shape, dtype), or like an example array with its memory layout."""
    return np.empty_like(spec) if isinstance(spec, np.ndarray) else np.empty(*spec)


class MicroOp:
    """One elementwise operation with broadcasting, which dl.jit fuses with its neighbours.

    name is that of the micro-operation in C (dl/csrc/elementwise.c); twin is a NumPy ufunc or a function like one.
    The C side takes float32 and float64 for all, int64 and bool where the operation is exact there; the result's dtype
    is that of the operands (equal by then), bool for comparisons and logic.
    """

    __slots__ = ("code", "name", "run", "twin")

    def __init__(self, name: str, twin: Callable):
        self.name, self.twin = name, twin
        self.code = -1 if _kernels is None else _kernels.micro_op(name)
        self.run = self.quiet if _kernels is None else partial(_kernels.elementwise, self.code)

    def __call__(self, *arrays):
        return self.run(*arrays)

    def quiet(self, *arrays):
        """The twin, without NumPy's warnings: infinities and NaN are results."""
        with np.errstate(all="ignore"):
            try:
                return self.twin(*arrays)
            except ValueError:
                shapes, dtypes = [a.shape for a in arrays], [a.dtype.name for a in arrays]
                try:
                    np.broadcast_shapes(*shapes)
                except ValueError:
                    raise ValueError(
                        f"dl.{self.name}: the shapes cannot be broadcast together; got shapes {shapes}, dtypes {dtypes}"
                    ) from None
                raise
