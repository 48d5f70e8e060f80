"""What goes in and out of an exported function: names, units, normalisation, limits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dl.tensor import Tensor


@dataclass(frozen=True)
class Port:
    """One vector of signals on the last axis.

    As input, what the function sees is clip((x - offset) / scale, low, high); as output, what leaves is
    clip(y scale + offset, low, high). names and units label the entries, for the reader of the exported file.
    """

    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    offset: tuple[float, ...] | float | None = None
    scale: tuple[float, ...] | float | None = None
    low: tuple[float, ...] | float | None = None
    high: tuple[float, ...] | float | None = None

    def check(self, n: int, where: str):
        """ValueError where the lists do not have n entries, a scale is zero, or the limits are the wrong way round."""
        for field in ("names", "units", "offset", "scale", "low", "high"):
            value = getattr(self, field)
            if np.size(value) not in (0, n) and not (np.ndim(value) == 0):
                raise ValueError(f"export: {where}.{field} has {len(value)} entries, the signal has {n}")
        if self.scale is not None and not np.all(np.asarray(self.scale, float) != 0):
            raise ValueError(f"export: {where}.scale has a zero: that signal never varied; leave it out or use 1")
        if self.low is not None and self.high is not None and np.any(np.asarray(self.low) > np.asarray(self.high)):
            raise ValueError(f"export: {where} has low > high")

    def enter(self, x: Tensor) -> Tensor:
        """From the world to the function."""
        if self.offset is not None:
            x = x - constant(self.offset, x)
        if self.scale is not None:
            x = x / constant(self.scale, x)
        return self.limited(x)

    def leave(self, y: Tensor) -> Tensor:
        """From the function to the world."""
        if self.scale is not None:
            y = y * constant(self.scale, y)
        if self.offset is not None:
            y = y + constant(self.offset, y)
        return self.limited(y)

    def limited(self, x: Tensor) -> Tensor:
        if self.low is not None:
            x = x.maximum(constant(self.low, x))
        if self.high is not None:
            x = x.minimum(constant(self.high, x))
        return x


def constant(value, x: Tensor) -> Tensor:
    return Tensor(np.asarray(value, x.dtype))


def through(fn: Callable, inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> Callable:
    """The function with its ports around it, always returning a tuple."""

    def ported(*args):
        out = fn(*(port.enter(x) for port, x in zip(inputs, args, strict=True)))
        out = out if isinstance(out, tuple) else (out,)
        return tuple(port.leave(y) for port, y in zip(outputs, out, strict=True))

    return ported
