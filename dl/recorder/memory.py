"""Where the arrays of a trace live: each is a view (offset, shape, strides) of a root, the array that owns it."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes [lo, hi) that an operand touches; of columns of a matrix only `width` of each `period` bytes."""

    lo: int
    hi: int
    period: int = 0
    width: int = 0

    def moved(self, offset: int) -> "Span":
        return replace(self, lo=self.lo + offset, hi=self.hi + offset)

    def meets(self, other: "Span") -> bool:
        """Whether the two have bytes in common, or might have."""
        if self.lo >= other.hi or other.lo >= self.hi:
            return False
        if not self.period or self.period != other.period:
            return True
        apart = (other.lo - self.lo) % self.period
        return apart < self.width or apart + other.width > self.period


@dataclass(frozen=True, slots=True)
class Operand:
    """A view of a root: offset in bytes, strides in elements."""

    root: int
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        n = 1
        for m in self.shape:
            n *= m
        return n

    def extent(self) -> tuple[int, int]:
        """The bytes [lo, hi) of the root that the operand touches."""
        lo = hi = self.offset
        for n, s in zip(self.shape, self.strides, strict=True):
            if not n:
                return self.offset, self.offset
            reach = s * (n - 1) * self.dtype.itemsize
            lo, hi = lo + min(reach, 0), hi + max(reach, 0)
        return lo, hi + self.dtype.itemsize

    def span(self) -> Span:
        """What the operand touches of its root."""
        lo, hi = self.extent()
        if len(self.shape) == 2 and self.shape[0] > 1 and self.strides[1] == 1 and self.strides[0] > self.shape[1]:
            return Span(lo, hi, self.strides[0] * self.dtype.itemsize, self.shape[1] * self.dtype.itemsize)
        return Span(lo, hi)

    def rows(self, dim: int, begin: int, end: int) -> "Operand":
        """The part [begin, end) along a dimension."""
        shape = (*self.shape[:dim], end - begin, *self.shape[dim + 1 :])
        return replace(self, offset=self.offset + begin * self.strides[dim] * self.dtype.itemsize, shape=shape)

    def broadcast(self, shape: tuple[int, ...]) -> "Operand":
        """The same memory seen in a larger shape, with stride 0 where it repeats."""
        if self.shape == shape:
            return self
        lead = len(shape) - len(self.shape)
        strides = tuple(
            0 if i < lead or (self.shape[i - lead] == 1 and n != 1) else self.strides[i - lead]
            for i, n in enumerate(shape)
        )
        return replace(self, shape=shape, strides=strides)


@dataclass(slots=True)
class Root:
    """Memory: array is what eager mode allocated; kind is "input", "outside" (parameters, closures), or "temporary"."""

    array: np.ndarray
    kind: str
    literal: bool = False  # a number written in the program: nobody can change it


def owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory this is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


class Memory:
    """The roots of one trace; the arrays are kept alive, so an id is never used twice."""

    def __init__(self):
        self.roots: list[Root] = []
        self.index: dict[int, int] = {}
        self.starts: list[int] = []

    def root(self, array: np.ndarray, kind: str, literal: bool = False) -> int:
        """The index of the root that owns the array's memory, entered as `kind` if it is new."""
        base = owner(array)
        found = self.index.get(id(base))
        if found is None:
            found = self.index[id(base)] = len(self.roots)
            self.roots.append(Root(base, kind, literal))
            self.starts.append(address(base))
        return found

    def knows(self, array: np.ndarray) -> bool:
        return id(owner(array)) in self.index

    def operand(self, array: np.ndarray, kind: str = "outside", literal: bool = False) -> Operand:
        root = self.root(array, kind, literal)
        size = array.itemsize
        strides = tuple([s // size for s in array.strides])
        offset = address(array) - self.starts[root] if array.size else 0  # a view of nothing may begin anywhere
        return Operand(root, offset, array.dtype, array.shape, strides)

    def temporary(self, like: Operand) -> Operand:
        """New memory for values like these."""
        return self.operand(np.empty(like.shape, like.dtype), "temporary")

    def view(self, operand: Operand, array: np.ndarray | None = None) -> np.ndarray:
        """The NumPy view that an operand describes, on its root's array or on another buffer of the same bytes."""
        base = self.roots[operand.root].array if array is None else array
        strides = tuple(s * operand.dtype.itemsize for s in operand.strides)
        if not operand.size:
            return np.empty(operand.shape, operand.dtype)
        raw = np.frombuffer(base, np.uint8) if base.flags.c_contiguous else base.T.view(np.uint8)
        return np.ndarray(operand.shape, operand.dtype, raw, operand.offset, strides)
