"""Who hears the operations as they run: recorders (dl.jit, dl.vmap), and the search for values that are not finite."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, MutableMapping

import numpy as np

from dl.tape import new_epoch, state
from dl.tensor import Tensor


class Listener(ABC):
    """Hears every operation of its thread while it is active (see recording)."""

    name = ""
    produced: MutableMapping = {}

    @abstractmethod
    def add(self, p, inputs, attrs, outputs):
        """Operation p ran on these tensors (None: an absent input) and gave the tuple outputs."""

    def instead_of_draw(self, generator) -> Tensor | None:
        """A random operation is about to advance this generator: numbers to use instead, or None."""
        return None

    def note_draw(self, drawn: Tensor):  # noqa: B027
        """Another listener gave these numbers instead of a draw."""

    def grad_written(self, leaf: Tensor, read: bool):  # noqa: B027
        """The .grad of a leaf is about to change; read: the new one depends on the old."""

    def called(self, module):  # noqa: B027
        """A module is about to compute, in the mode that its `training` says."""

    def whence(self, node) -> str:
        """Where in the user's program the node was recorded, for a message."""
        return ""


class Trace(Listener):
    """The operations that ran while this trace was active.

    steps: (primitive, inputs, attrs, outputs); produced: {id(t.array): t} of the traced inputs and of everything that
    came from an operation. Arrays identify values, not tensors: derivative rules wrap the array of a result in another
    Tensor. The trace keeps the tensors alive, so an id is never used twice; a primitive's result is always a new array.
    on_draw hears of random numbers before they are drawn. constants: what depends on no input is the same in a replay.
    """

    def __init__(
        self,
        inputs: tuple[Tensor, ...] = (),
        name: str = "jit",
        *,
        on_draw: Callable | None = None,
        constants: bool = False,
    ):
        self.name, self.on_draw, self.constants = name, on_draw, constants
        self.inputs = inputs
        self.steps: list = []
        self.produced: MutableMapping = {id(t.array): t for t in inputs}
        self.touched: dict[int, Tensor] = {}  # leaves whose .grad was written
        self.modes: list = []  # (module, whether it was training) of the modules that ran
        self.expected: list[tuple[Tensor, Tensor | None]] = []  # the .grad that a leaf must have at the start

    def called(self, module):
        self.modes.append((module, module.training))

    def grad_written(self, leaf: Tensor, read: bool):
        if self.constants:
            raise RuntimeError(
                f"{self.name}: backward() inside would fill .grad from the first example alone; use dl.grad or "
                "dl.autograd.grad inside, or call backward() on the result"
            )
        if id(leaf) not in self.touched:
            self.touched[id(leaf)] = leaf
            if read:
                self.expected.append((leaf, leaf._grad))

    def instead_of_draw(self, generator) -> Tensor | None:
        return None if self.on_draw is None else self.on_draw(generator)

    def add(self, p, inputs, attrs, outputs):
        self.steps.append((p, inputs, attrs, outputs))
        if (
            self.constants
            and not p.stateful
            and not any(t is not None and id(t.array) in self.produced for t in inputs)
        ):
            return
        for t in outputs:
            self.produced[id(t.array)] = t
        for i in p.mutates:
            self.produced[id(inputs[i].array)] = inputs[i]


class Anomaly(Listener):
    """Raises at the first operation whose result is not finite, and remembers where each was called."""

    name = "detect_anomaly"

    def __init__(self):
        self.lines: dict = {}

    def add(self, p, inputs, attrs, outputs):
        for t in outputs:
            if t._node is not None:
                self.lines[t._node.seq] = user_line()
            if t.array.dtype.kind == "f" and not np.isfinite(t.array).all():
                shapes = ", ".join("None" if i is None else f"{i.dtype}{list(i.shape)}" for i in inputs)
                clean = all(i is None or np.isfinite(i.array).all() for i in inputs)
                raise FloatingPointError(
                    f"{p.name}{user_line()}: the first operation with a non-finite result; its inputs ({shapes}) are "
                    f"{'all finite' if clean else 'not all finite themselves: look at the data'}"
                )

    def whence(self, node) -> str:
        return self.lines.get(node.seq, "")


def user_line() -> str:
    """The innermost line outside this package, as " at file:line"."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "dl":
        frame = frame.f_back
    return "" if frame is None else f" at {frame.f_code.co_filename}:{frame.f_lineno}"


class recording:
    """Inside, the listener hears every operation of this thread."""

    def __init__(self, listener: Listener):
        self.listener = listener

    def __enter__(self):
        self.before, state.traces = state.traces, (*state.traces, self.listener)
        new_epoch()
        return self.listener

    def __exit__(self, *error):
        state.traces = self.before
        new_epoch()


def detect_anomaly() -> recording:
    """Inside, the first operation whose result is not finite, forward or backward, raises FloatingPointError (slow).

    The error names the operation, its input shapes, the line that called it, and in a backward pass also the forward
    operation whose derivative it was.
    """
    return recording(Anomaly())


def guard(t: Tensor, what: str):
    """Refuse to hand out a value that will be another one when the trace is replayed."""
    for trace in state.traces:
        if id(t.array) in trace.produced:
            raise TypeError(
                f"{what} inside dl.{trace.name}: the value of a tensor (shape {list(t.shape)}) is not known when the "
                "function is recorded, so Python cannot branch or compute on it; use dl.where or other dl operations, "
                "or take this part out of the recorded function"
            )
