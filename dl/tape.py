"""Operations run and are recorded: the tape (dl.backward reads it backwards)."""

import threading
from bisect import bisect_right
from collections.abc import Callable
from functools import wraps
from itertools import count
from operator import itemgetter
from typing import Any

from numpy import asarray, ndarray

from dl.kernel import _kernels
from dl.primitive import Primitive
from dl.tensor import Tensor

clock = count(1)  # orders nodes and in-place changes: whatever changed after a node was recorded has a later number
latest = [0]  # the clock at the last in-place change of anything
rewritten: list = []  # not empty once an in-place change was recorded: views from before it may be around
NO_ATTRS: dict = {}


class State(threading.local):
    """What the current thread is doing: grad says whether the tape records, traces are the listeners (dl.trace)."""

    grad: bool
    traces: tuple

    def __init__(self):
        self.grad, self.traces = True, ()


state = State()


class Node:
    """One recorded operation: what ran, on what, and what came out (arrays, so that no cycle keeps memory alive).

    hooks and retained, by output: {number: hook}, and a weak reference to the tensor that keeps its .grad.
    """

    __slots__ = ("attrs", "boxes", "hooks", "inputs", "outs", "primitive", "retained", "seq")

    def __init__(self, primitive, inputs, attrs, outs, boxes):
        self.primitive = primitive
        self.inputs = inputs
        self.attrs = attrs
        self.outs = outs
        self.boxes = boxes
        self.seq = next(clock)
        self.hooks = None
        self.retained = None

    def output(self, index: int) -> Tensor:
        """The index-th output as a Tensor that hangs on this node (for rules that read it)."""
        tensor = Tensor(self.outs[index], self.boxes[index])
        if state.grad and tensor.array.dtype.kind == "f":
            tensor.requires_grad, tensor._node, tensor._index = True, self, index
        return tensor


def apply_anything(p: Primitive, inputs: Any, attrs: dict = NO_ATTRS) -> Any:
    """Run p on Tensors (None: an absent optional input) and record it where somebody wants to know."""
    if p.stateful or p.mutates:
        drawn = before(p, inputs, attrs)
        if drawn is not None:
            return drawn
    if attrs or len(inputs) > 2:
        out = p.run(*[None if t is None else t.array for t in inputs], **attrs)
    elif len(inputs) == 1:
        out = p.run(inputs[0].array)
    else:
        x, y = inputs
        out = p.run(x.array, None if y is None else y.array)
    if type(out) is tuple:
        return several(p, inputs, attrs, out)
    if type(out) is not ndarray:
        out = asarray(out)
    result = Tensor(out, inputs[0]._changed if p.view and out.base is not None else None)
    if p.differentiable and state.grad:
        for t in inputs:
            if t is not None and t.requires_grad:
                if rewritten:
                    check_current(p, inputs)
                result._node = Node(p, inputs, attrs, (out,), (result._changed,))
                result.requires_grad = True
                break
        else:
            if rewritten:
                check_current(p, inputs)
    traces = state.traces
    if traces:
        for trace in traces:
            trace.add(p, inputs, attrs, (result,))
    return result


def several(p: Primitive, inputs: tuple, attrs: dict, arrays: tuple) -> tuple[Tensor, ...]:
    """The end of apply for an operation with several outputs, or none."""
    box = inputs[0]._changed if p.view else None
    outs = tuple([Tensor(asarray(a), box) for a in arrays])
    if p.differentiable and state.grad and any(t is not None and t.requires_grad for t in inputs):
        record(p, inputs, attrs, outs)
    for trace in state.traces:
        trace.add(p, inputs, attrs, outs)
    return outs


apply: Callable = apply_anything  # in C for everyday calls: no listeners, no random numbers, ...
wrap: Callable = Tensor
if _kernels is not None:
    apply = _kernels.Tape(Tensor, Node, Primitive, state, clock, latest, NO_ATTRS, apply_anything, several)
    wrap = apply.wrap


def record(p: Primitive, inputs: tuple, attrs: dict, outs: tuple):
    """Put a node on the tape; outputs that are not floating carry no gradient."""
    if rewritten:
        check_current(p, inputs)
    node = Node(p, inputs, attrs, tuple([t.array for t in outs]), tuple([t._changed for t in outs]))
    for index, t in enumerate(outs):
        if t.array.dtype.kind == "f":
            t.requires_grad, t._node, t._index = True, node, index


def check_current(p: Primitive, inputs: tuple):
    """A view taken before its tensor was changed in place, with a gradient, has another past than its values."""
    for i, t in enumerate(inputs):
        if t is not None and len(t._changed) > 1:
            raise RuntimeError(
                f"{p.name}: input {i}, shape {list(t.shape)}, shares memory with a tensor that was changed in place "
                "since, so its gradient would be wrong; take the view again, or use the out-of-place operation"
            )


def settle(node: Node):
    """Put what the node read in place of tensors that were changed in place since and stand elsewhere now."""
    if rewritten:
        node.inputs = tuple([t if t is None or t._past is None else as_of(t, node.seq) for t in node.inputs])


def as_of(t: Tensor, seq: int) -> Tensor:
    """The tensor as it was for a node with this number."""
    past = t._past or []
    i = bisect_right(past, seq, key=itemgetter(0))
    return t if i == len(past) else past[i][1]


def before(p: Primitive, inputs: tuple, attrs: dict) -> Tensor | None:
    """Inputs are about to be overwritten, or random numbers drawn (a listener may give those of an earlier run)."""
    if p.mutates:
        before_change(p, inputs)
    if p.stateful and state.traces:
        return before_draw(attrs["generator"], state.traces)
    return None


def before_change(p: Primitive, inputs: tuple):
    """Inputs are about to be overwritten, which the tape cannot differentiate."""
    if state.grad and any(t is not None and t.requires_grad for t in inputs):
        shapes = ", ".join(str(list(t.shape)) for t in inputs if t is not None)
        raise RuntimeError(
            f"{p.name}: an in-place change (shapes {shapes}) with a tensor that requires a gradient is not recorded, "
            "so the gradient would be wrong; use the out-of-place operation, or dl.no_grad() if no gradient is meant"
        )
    for i in p.mutates:
        changed(inputs[i])


def before_draw(generator, traces: tuple) -> Tensor | None:
    """Listeners hear that random numbers are drawn; one that repeats an earlier run gives those of then."""
    for trace in traces:
        drawn = trace.instead_of_draw(generator)
        if drawn is not None:
            for other in traces:
                other.note_draw(drawn)
            return drawn
    return None


def changed(t: Tensor):
    """The memory of t (and of its views) is another one from now on; rules that wanted the old values will refuse."""
    t._changed[0] = latest[0] = next(clock)


def changed_since(t: Tensor, seq: int) -> bool:
    """Whether the memory of t was changed in place after something with this number was recorded."""
    return t._changed[0] > seq


def new_epoch():
    """Recorded programs look again, before they run, whether the world outside is the one they were recorded in."""
    if _kernels is not None:
        _kernels.bump_epoch()


def set_grad(leaf: Tensor, value: Tensor | None, read: bool):
    """leaf.grad = value; read: the value depends on the gradient that was there (or on its absence)."""
    for listener in state.traces:
        listener.grad_written(leaf, read)
    leaf._grad = value
    new_epoch()


def forget_gradients(leaves: list[Tensor]):
    """leaf.grad = None for all of them."""
    if state.traces:
        for leaf in leaves:
            set_grad(leaf, None, False)
        return
    for leaf in leaves:
        leaf._grad = None
    new_epoch()


ALIAS = Primitive("alias", lambda a: a.view(), vjp=(lambda g, out, x: g,), saves=(), linear=True, view=True, batch="ew")
DETACH = Primitive("detach", lambda a: a.view(), view=True, batch="ew", differentiable=False)


def alias(x: Tensor) -> Tensor:
    """x itself as the result of an operation: another point of the tape, the same memory."""
    return apply(ALIAS, (x,))


def detach(x: Tensor) -> Tensor:
    """The same memory without a past: a constant for derivatives."""
    return apply(DETACH, (x,))


class GradMode:
    """Record (or do not) what happens inside: a context, or a decorator of functions."""

    def __init__(self, on: bool):
        self.on, self.before, self.entered = on, [], False

    def __enter__(self):
        if not self.entered:
            self.before.append(state.grad)
        self.entered = False
        state.grad = self.on

    def __exit__(self, *error):
        state.grad = self.before.pop()

    def __call__(self, function):
        @wraps(function)
        def inside(*args, **kwargs):
            with GradMode(self.on):
                return function(*args, **kwargs)

        return inside


def grad_mode(on: bool) -> GradMode:
    """Whether operations inside are recorded."""
    return GradMode(on)


def no_grad() -> GradMode:
    """Inside, nothing is recorded: results are constants for derivatives."""
    return GradMode(False)


def enable_grad() -> GradMode:
    """Inside, operations are recorded, within no_grad too."""
    return GradMode(True)


def set_grad_enabled(on: bool) -> GradMode:
    """Record from now on, or not; as a context, until its end."""
    mode = GradMode(on)
    mode.__enter__()
    mode.entered = True
    return mode


def is_grad_enabled() -> bool:
    """Whether operations are recorded now."""
    return state.grad


def key(t: Tensor):
    """What identifies a tensor on the tape: its node and output index, or itself where it is a leaf."""
    return (t._node, t._index) if t._node is not None else id(t)
