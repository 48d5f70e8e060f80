"""Gradients flow backwards over the tape: an explicit queue, no recursion."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import numpy as np

from dl.kernel import _kernels
from dl.primitive import Primitive
from dl.tape import Node, alias, apply, key, latest, rewritten, set_grad, settle, state
from dl.tensor import CONSTANT, Tensor


def check_unchanged(node: Node):
    """In-place changes of what a rule is going to read would give a wrong gradient."""
    saves = node.primitive.saves
    for i, t in enumerate(node.inputs):
        if t is not None and t._changed[0] > node.seq and (saves is None or i in saves):
            raise RuntimeError(
                f"backward: input {i} of {node.primitive.name}, shape {list(t.shape)}, was changed in place after it "
                "was used, so its gradient would be wrong; use the out-of-place operation or change a .clone()"
            )
    if saves is None or "out" in saves:
        for array, box in zip(node.outs, node.boxes, strict=True):
            if box[0] > node.seq:
                raise RuntimeError(
                    f"backward: the result of {node.primitive.name}, shape {list(array.shape)}, was changed in place, "
                    "but its gradient needs it; use the out-of-place operation or change a .clone()"
                )


def pull(node: Node, slots: list, needs: tuple) -> tuple | list:
    """The gradients of a node's inputs from those of its outputs."""
    if node.seq < latest[0]:
        check_unchanged(node)
    p = node.primitive
    if len(slots) == 1:
        g, out = slots[0], node.output(0)
    else:
        out = tuple([node.output(i) for i in range(len(slots))])
        g = tuple([Tensor(np.zeros_like(o.array)) if x is None else x for x, o in zip(slots, out, strict=True)])
    rule = p.vjp
    if type(rule) is tuple:
        inputs, attrs = node.inputs, node.attrs
        return [r(g, out, *inputs, **attrs) if need and r else None for r, need in zip(rule, needs, strict=True)]
    if rule is None:
        rule = composed_rule(p)
    return rule(needs, g, out, *node.inputs, **node.attrs)


def composed_rule(p: Primitive):
    if p.composed is None:
        raise NotImplementedError(f"{p.name} has no derivative rule")
    from dl.transforms.reverse import rule_from

    return rule_from(p.composed)


def survey(outputs, targets: set, since: int = 0) -> tuple[list[Node], bool]:
    """The nodes, in order, through which a target (a key) reaches an output, and whether anything else is behind them.

    Only nodes recorded after `since` are looked at; "anything else" is a tensor that requires a gradient and is older
    than that or another leaf: somebody outside may want to differentiate with respect to it.
    """
    seen, foreign = set(), False
    stack = []

    def look(tensors):
        nonlocal foreign
        for t in tensors:
            if t is not None and t.requires_grad:
                node = t._node
                if node is not None and node.seq > since:
                    if node not in seen:
                        seen.add(node)
                        stack.append(node)
                elif not foreign and key(t) not in targets:
                    foreign = True

    look(outputs)
    while stack:
        node = stack.pop()
        if rewritten:
            settle(node)
        look(node.inputs)
    useful = {}
    for node in sorted(seen, key=seq_of):
        for t in node.inputs:
            if t is not None and t.requires_grad and (t._node in useful or key(t) in targets):
                useful[node] = None
                break
    return list(useful), foreign


def seq_of(node: Node) -> int:
    return node.seq


class Sweep:
    """One pass backwards: gradients wait at their nodes until all that a node feeds is done; then it is pulled.

    An explicit queue ordered by recording time: no recursion, each node is visited once. useful and targets: where to
    go and what to keep; None: everywhere, and all leaves.
    """

    __slots__ = ("found", "pending", "queue", "targets", "useful")

    def __init__(self, useful: set | None = None, targets: set | None = None):
        self.useful, self.targets = useful, targets
        self.pending: dict = {}
        self.queue: list[int] = []
        self.found: dict = {}

    def needed(self, t) -> bool:
        if t is None or not t.requires_grad:
            return False
        if self.useful is None or self.targets is None:
            return True
        node = t._node
        return id(t) in self.targets if node is None else node in self.useful or (node, t._index) in self.targets

    def send(self, t: Tensor, g: Tensor):
        node = t._node
        if node is None:
            old = self.found.get(id(t))
            self.found[id(t)] = (t, g if old is None else old[1] + g)
            return
        order = -node.seq
        entry = self.pending.get(order)
        if entry is None:
            slots = [None] * len(node.outs)
            slots[t._index] = g
            self.pending[order] = (node, slots)
            heappush(self.queue, order)
            return
        slots, index = entry[1], t._index
        slots[index] = g if slots[index] is None else slots[index] + g

    def run(self):
        pending, queue, everywhere, node = self.pending, self.queue, self.useful is None, None
        try:
            while queue:
                node, slots = pending.pop(heappop(queue))
                if rewritten:
                    settle(node)
                if (node.hooks or node.retained or not everywhere) and not self.arrive(node, slots):
                    continue
                if len(slots) == 1 and type(node.primitive.vjp) is tuple:
                    self.one_by_one(node, slots[0], everywhere)
                    continue
                needs = tuple([self.needed(t) for t in node.inputs])
                for t, need, g in zip(node.inputs, needs, pull(node, slots, needs), strict=True):
                    if need and g is not None:
                        self.send(t, g)
        except FloatingPointError as error:
            where = "".join([trace.whence(node) for trace in state.traces])
            name = "" if node is None else node.primitive.name
            raise FloatingPointError(f"backward of {name}{where}: {error}") from None

    def one_by_one(self, node: Node, g: Tensor, everywhere: bool):
        """pull and send for a node with one output and a rule per input: the usual case, as fast as it goes."""
        if node.seq < latest[0]:
            check_unchanged(node)
        inputs, attrs = node.inputs, node.attrs
        out = node.output(0) if state.grad else Tensor(node.outs[0], node.boxes[0])
        for t, rule in zip(inputs, node.primitive.vjp, strict=False):
            if t is not None and t.requires_grad and rule and (everywhere or self.needed(t)):
                d = rule(g, out, *inputs, **attrs) if attrs else rule(g, out, *inputs)
                if d is not None:
                    self.send(t, d)

    def arrive(self, node: Node, slots: list) -> bool:
        """The gradients of a node's outputs are complete: hooks, retained gradients, targets. Whether to go on."""
        targets = self.targets
        for index, g in enumerate(slots):
            if g is None:
                continue
            if node.hooks and index in node.hooks:
                g = slots[index] = hooked(node.hooks[index], g)
            if targets is None:
                if node.retained and index in node.retained:
                    retain(node.retained[index](), g)
            elif (node, index) in targets:
                self.found[node, index] = (None, g)
        return self.useful is None or node in self.useful


def retain(t: Any, g: Any):
    """A result whose .grad was asked for, if it is still alive, gets it."""
    if t is not None:
        t._grad = g.clone() if t._grad is None else t._grad + g


def hooked(hooks: dict, g: Tensor) -> Tensor:
    """The gradient after a tensor's hooks, each of which may replace it."""
    for hook in tuple(hooks.values()):
        new = hook(g)
        if new is not None:
            if new.shape != g.shape:
                raise ValueError(f"hook: wanted a gradient of shape {list(g.shape)}, got {list(new.shape)}")
            g = alias(new)  # it may be a tensor that the hook keeps
    return g


def pull_back(outputs, gradients, *, create_graph: bool = False, wanted=None, useful=None, since: int = 0) -> dict:
    """Gradients of sum(<outputs, gradients>), as {key(t): (t, gradient)}: of the wanted tensors, else of all leaves.

    useful: the nodes between wanted and outputs, where survey() has found them already; since: none of them is older.
    """
    targets = None if wanted is None else {key(t) for t in wanted}
    if targets is not None:
        useful = set(survey(outputs, targets, since)[0] if useful is None else useful)
    sweep = Sweep(useful, targets)
    before, state.grad = state.grad, create_graph
    try:
        for t, g in zip(outputs, gradients, strict=True):
            if sweep.needed(t):
                sweep.send(t, g)
        sweep.run()
        for name, (t, g) in sweep.found.items():
            if t is not None and t._hooks:
                sweep.found[name] = (t, hooked(t._hooks, g).clone())  # a hook may keep what it was given
    finally:
        state.grad = before
    return sweep.found


def own(g: Tensor, given: set) -> Tensor:
    """g, or a copy where it shares its memory with a gradient that was given away before."""
    if g.array.base is not None or id(g.array) in given:
        g = g.clone()
    given.add(id(g.array))
    return g


def accumulate(leaf: Tensor, g: Tensor):
    """Add to a leaf's gradient in place, so that a recorded accumulation finds its array again."""
    set_grad(leaf, leaf._grad.add_(g), True)


def arrived(node: Node, slots: list):
    """Hooks and retained gradients of a node's outputs."""
    Sweep().arrive(node, slots)


in_c: Callable | None = None if _kernels is None else apply.backward
CASES = (settle, check_unchanged, arrived, pull, hooked, accumulate)  # what the pass in C asks Python for


def backward(output: Tensor, gradient: Tensor | None = None, *, create_graph: bool = False):
    """Add d<output, gradient>/d(leaf) to the .grad of every leaf that requires it; see Tensor.backward."""
    if in_c is None or create_graph or not in_c(output, gradient, CASES):
        backward_anything(output, gradient, create_graph)


def backward_anything(output: Tensor, gradient: Tensor | None, create_graph: bool):
    """backward with a graph, with listeners, after in-place changes, and where there is no C."""
    gradient = seed(output, gradient)
    found = pull_back((output,), (gradient,), create_graph=create_graph)
    given = {id(gradient.array)}
    before, state.grad = state.grad, create_graph
    try:
        for leaf, g in found.values():
            if leaf._grad is None:
                set_grad(leaf, own(g, given), True)
            elif create_graph:
                set_grad(leaf, leaf._grad + g, True)
            else:
                accumulate(leaf, g)
    finally:
        state.grad = before


def seed(output: Tensor, gradient: Tensor | None) -> Tensor:
    """The gradient to start from: that given, or 1 for a scalar."""
    if not output.requires_grad:
        raise RuntimeError(
            f"backward: the tensor (shape {list(output.shape)}) does not depend on anything that requires a gradient; "
            "set requires_grad=True on what you differentiate by, and compute outside dl.no_grad()"
        )
    if gradient is None:
        if output.array.size != 1:
            raise RuntimeError(
                f"backward: a tensor of shape {list(output.shape)} needs the gradient to start from; reduce it to a "
                "scalar (.sum(), .mean()) or pass a gradient of its shape"
            )
        return Tensor(np.ones(output.shape, output.dtype), CONSTANT)
    if gradient.shape != output.shape or gradient.dtype != output.dtype:
        raise ValueError(
            f"backward: wanted a gradient of shape {list(output.shape)}, {output.dtype}, got {list(gradient.shape)}, "
            f"{gradient.dtype}"
        )
    return gradient
