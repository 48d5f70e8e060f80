"""Memory for time: keep the inputs of a computation, and run it again when its derivative is wanted."""

from collections import deque
from collections.abc import Callable
from math import isqrt

from dl.backward import pull_back, survey
from dl.ops.join import cat, stack
from dl.ops.pieces import slices
from dl.primitive import Primitive
from dl.tape import ALIAS, GradMode, clock, detach, key, record, state
from dl.tensor import Tensor
from dl.trace import Listener, Trace, recording
from dl.transforms.forward import push
from dl.transforms.recording import points
from dl.tree import Spec, flatten, matching, unflatten


class Sources(Listener):
    """Hears which tensors from outside, that require a gradient, a function reads; and what it draws."""

    def __init__(self):
        self.start, self.found, self.inner, self.drawn = next(clock), {}, {}, []

    def add(self, p, inputs, attrs, outputs):
        if p is ALIAS:  # a transform inside may make it a leaf to differentiate by; nobody outside knows it
            self.inner[id(outputs[0])] = outputs[0]
        if p.stateful:
            self.drawn.append(outputs[0])
        for t in inputs:
            if t is not None and t.requires_grad and id(t) not in self.inner and older(t, self.start):
                self.found[key(t)] = t

    def note_draw(self, drawn: Tensor):
        self.drawn.append(drawn)


def older(t: Tensor, seq: int) -> bool:
    return t._node is None or t._node.seq < seq


class Redraw(Listener):
    """Gives the random numbers of the first run again."""

    def __init__(self, drawn: list[Tensor]):
        self.left = deque(drawn)

    def add(self, p, inputs, attrs, outputs):
        pass

    def instead_of_draw(self, generator) -> Tensor:
        if not self.left:
            raise RuntimeError(
                "checkpoint: the function drew more random numbers when it ran again; it must do the same each time"
            )
        return self.left.popleft()


class Call:
    """One checkpointed call: what to run again, with the tensors among its arguments put back in their places."""

    def __init__(self, fn: Callable, spec: Spec, n: int, drawn: list[Tensor]):
        self.fn, self.spec, self.n, self.drawn = fn, spec, n, drawn

    def again(self, inputs, wanted) -> tuple[list[Tensor], list[Tensor | None]]:
        """The outputs, recorded, and the tensor that stands for each input that is wanted."""
        made = points([t for t, want in zip(inputs[: self.n], wanted, strict=False) if want])
        fresh = iter(made)
        args = [next(fresh) if want else t for t, want in zip(inputs[: self.n], wanted, strict=False)]
        with GradMode(True), recording(Redraw(self.drawn)):
            positional, named = unflatten(self.spec, args)
            outs, _ = flatten(self.fn(*positional, **named), "checkpoint")
        stands = [t if want else None for t, want in zip([*args, *inputs[self.n :]], wanted, strict=True)]
        return outs, stands


def vjp_rule(needs, g, out, *inputs, call: Call):
    on, start = state.grad, next(clock)
    outs, stands = call.again(inputs, needs)
    gs = g if isinstance(g, tuple) else (g,)
    found = pull_back(outs, gs, create_graph=on, wanted=[t for t in stands if t is not None], since=start)
    return tuple(found[key(t)][1] if t is not None and key(t) in found else None for t in stands)


def jvp_rule(tangents, out, *inputs, call: Call):
    on, start = state.grad, next(clock)
    outs, stands = call.again(inputs, tuple(t is not None for t in tangents))
    seeds = {key(x): t for x, t in zip(stands, tangents, strict=True) if x is not None}
    nodes, _ = survey(outs, set(seeds), start)
    with GradMode(on):
        found = push(nodes, seeds)
    return tuple(found.get(key(t)) for t in outs)


CHECKPOINT = Primitive("checkpoint", lambda *arrays, call: None, vjp=vjp_rule, jvp=jvp_rule)


def checkpoint(fn: Callable, *args, **kwargs):
    """fn(*args, **kwargs), of which only the inputs are kept; the derivative runs fn again.

    Tensors that fn closes over (parameters) get their gradients too, and the result can be differentiated any number of
    times. fn must compute the same on each run; random numbers it draws are kept and given again. Inside vmap it is a
    plain call (use vmap inside checkpoint instead). Source: Griewank and Walther, Algorithm 799: revolve, 2000.
    """
    batching = any(isinstance(t, Trace) and t.name == "vmap" for t in state.traces)
    if not state.grad or batching:
        return fn(*args, **kwargs)
    leaves, in_spec = flatten((args, kwargs), "checkpoint", strict=False)
    sources = Sources()
    with GradMode(False), recording(sources):
        out = fn(*args, **kwargs)
        outs, spec = flatten(out, "checkpoint")
        known = {id(t) for t in leaves}
        outs = [detach(t) if t.requires_grad or id(t) in known else t for t in outs]
    for t in leaves:
        sources.found.pop(key(t), None)
    inputs = (*leaves, *sources.found.values())
    if outs and any(t.requires_grad for t in inputs):
        record(CHECKPOINT, inputs, {"call": Call(fn, in_spec, len(leaves), sources.drawn)}, tuple(outs))
    return unflatten(spec, outs)


def scan(f: Callable, carry, xs=None, length: int | None = None, *, checkpoint: int | str | None = None):
    """carry, y_t = f(carry, x_t) for t = 0 ... T - 1: (the last carry, all y_t stacked).

    xs: a tensor or nested tensors with time as first axis; None: f gets None, length times. carry keeps its structure
    and shapes. checkpoint: None keeps everything for the derivative (memory O(T)); an int k keeps the carry every k
    steps and runs each k steps again; "sqrt" takes k = sqrt(T), memory O(sqrt(T)). Raises ValueError for lengths that
    differ and for a carry that changes its shape.
    """
    leaves, spec = flatten(xs, "scan")
    total = scan_length(leaves, length)
    if checkpoint is None:
        return steps(f, carry, leaves, spec, 0, total)
    size = isqrt(max(total - 1, 0)) + 1 if checkpoint == "sqrt" else checkpoint
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"scan: checkpoint is None, a number of steps from 1, or 'sqrt', got {checkpoint!r}")
    parts = []
    for start in range(0, total, size):
        carry, part = segment(f, carry, leaves, spec, start, min(size, total - start))
        parts.append(part)
    return carry, together(parts)


def segment(f, carry, leaves, spec, start: int, n: int):
    def run(carry, *slices):
        return steps(f, carry, slices, spec, 0, n)

    return checkpoint(run, carry, *[x[start : start + n] for x in leaves])


def scan_length(leaves, length: int | None) -> int:
    sizes = {x.shape[0] if x.ndim else None for x in leaves}
    if length is not None:
        sizes.add(length)
    if len(sizes) != 1 or None in sizes:
        shapes = ", ".join(str(list(x.shape)) for x in leaves)
        raise ValueError(
            f"scan: xs must have one length along the first axis{'' if length is None else f', length={length}'}; got "
            f"shapes {shapes or '(no tensors: give length)'}"
        )
    return sizes.pop()  # type: ignore[return-value]


def steps(f: Callable, carry, leaves, spec: Spec, start: int, end: int):
    """The loop from start to end: (carry, stacked outputs)."""
    before, carry_spec = flatten(carry, "scan")
    rows, made, out_spec = [slices(x) for x in leaves], [], flatten(None)[1]
    for t in range(start, end):
        out = f(carry, unflatten(spec, [row[t] for row in rows]))
        if not isinstance(out, tuple) or len(out) != 2:
            raise TypeError(f"scan: the function returns (carry, y), got {type(out).__name__} at step {t}")
        carry, y = out
        after = matching(carry, carry_spec, "scan: carry")
        for a, b in zip(before, after, strict=True):
            if a.shape != b.shape or a.dtype != b.dtype:
                raise ValueError(
                    f"scan: the carry was {list(a.shape)}, {a.dtype} and is {list(b.shape)}, {b.dtype} after step {t}; "
                    "it must keep its shape and dtype"
                )
        ys, out_spec = flatten(y, "scan")
        made.append(ys)
    return carry, unflatten(out_spec, [stack(list(column)) for column in zip(*made, strict=True)])


def together(parts: list):
    """The outputs of all segments behind one another."""
    if not parts:
        return None
    flat = [flatten(part, "scan") for part in parts]
    return unflatten(flat[0][1], [cat(list(pieces), 0) for pieces in zip(*[x for x, _ in flat], strict=True)])
