"""The operations of one example run again with batched tensors in their places."""

from collections import ChainMap

from dl.ops.inplace import COPY_, copy_
from dl.tape import GradMode, apply, state
from dl.tensor import Tensor
from dl.trace import Trace, recording
from dl.transforms.batching import aligned, batched_step, looped
from dl.tree import flatten


def replayed(f, leaves, axes, rebuild, kwargs, randomness: str, size: int):
    """f on a batch: (structure of the results, tensors, whether each is batched, size).

    f runs on the first example, unheard by recorders outside, which then hear the replay and what it keeps.
    """
    examples = [x if d is None else x[0].clone() for x, d in zip(leaves, axes, strict=True)]
    draws = Draws(randomness)
    given = tuple(e for e, d in zip(examples, axes, strict=True) if d is not None)
    trace = Trace(given, "vmap", on_draw=draws.hear, constants=True)
    before = state.traces
    outside = [t for t in before if isinstance(t, Trace)]
    trace.produced = ChainMap(trace.produced, *[t.produced for t in outside])
    state.traces = tuple(t for t in before if not isinstance(t, Trace))
    try:
        with recording(trace):
            outputs, spec = flatten(f(*rebuild(examples), **kwargs), "vmap")
    finally:
        state.traces = before
    draws.rewind()
    batch = {id(e.array): x for e, x, d in zip(examples, leaves, axes, strict=True) if d is not None}
    Replay(live_steps(trace.steps, outputs), batch, randomness, size, outside).run()
    flags = [id(t.array) in batch for t in outputs]
    return spec, [batch.get(id(t.array), t) for t in outputs], flags, size


WITH_STATUS = frozenset(("take", "index_add", "gather", "scatter_add"))  # their last result: not 0 for a bad index


class Draws:
    """The generators that the example advanced, to put them back before the whole batch draws."""

    def __init__(self, randomness: str):
        self.randomness, self.states = randomness, {}

    def hear(self, generator):
        if self.randomness == "error":
            raise RuntimeError(
                "vmap: random numbers are drawn inside; say randomness='different' (other numbers for each example) or "
                "'same', or draw outside and pass them in"
            )
        if id(generator) not in self.states:
            self.states[id(generator)] = (generator, generator.state())

    def rewind(self):
        if self.randomness == "different":
            for generator, before in self.states.values():
                generator.set_state(before)


def live_steps(steps: list, outputs: list[Tensor]) -> list:
    """The steps that the outputs depend on, and those that write into something."""
    wanted, live = {id(t.array) for t in outputs}, []
    for step in reversed(steps):
        p, inputs, _, outs = step
        if p.mutates or any(id(t.array) in wanted for t in outs):
            wanted.update([id(t.array) for t in inputs if t is not None])
            live.append(step)
    return live[::-1]


class Replay:
    """Runs the steps with batched tensors; those that meet none stay as they were recorded."""

    def __init__(self, steps, batch: dict, randomness: str, size: int, outside: list):
        self.steps, self.batch, self.randomness, self.size, self.outside = steps, batch, randomness, size, outside
        self.written = {id(inputs[i]._changed): at for at, (p, inputs, _, _) in enumerate(steps) for i in p.mutates}
        self.copied = set()  # memory that the example viewed and the batch had to copy

    def run(self):
        for at, step in enumerate(self.steps):
            p, inputs, attrs, outs = step
            flags = tuple([t is not None and id(t.array) in self.batch for t in inputs])
            if p.stateful and self.randomness == "different":
                made = redraw(p, attrs, self.size)
            elif any(flags):
                if self.written:
                    self.check_writes(at, p, inputs, flags)
                made = self.step(p, inputs, flags, attrs, outs)
            else:
                for trace in self.outside:
                    trace.add(*step)
                continue
            for t, b in zip(outs, made if isinstance(made, tuple) else (made,), strict=True):
                self.batch[id(t.array)] = b

    def step(self, p, inputs, flags, attrs, outs):
        ins = tuple([self.batch[id(t.array)] if b else t for t, b in zip(inputs, flags, strict=True)])
        if p is COPY_ and (inputs[1].requires_grad or inputs[0]._past):
            copy_(ins[0], aligned(flags, ins)[1])  # the tape recorded it for the example, so it must for the batch
            return ()
        # an example that was not recorded although it could have been: f said no_grad
        silent = any(t is not None and t.requires_grad for t in inputs) and not any(t.requires_grad for t in outs)
        with GradMode(state.grad and not silent):
            made = batched_step(p, flags, ins, attrs)
        if p.name in WITH_STATUS and isinstance(made, tuple) and made[-1].array.any():
            shapes = " and ".join(str(list(t.shape)) for t in inputs[:2])
            raise IndexError(f"{p.name} inside dl.vmap: an index is out of range in some example, shapes {shapes}")
        if self.written and p.view and flags[0]:
            first = made[0] if isinstance(made, tuple) else made
            if first._changed is not ins[0]._changed:
                self.copied.add(id(outs[0]._changed))
        return made

    def check_writes(self, at: int, p, inputs, flags):
        for i, (t, b) in enumerate(zip(inputs, flags, strict=True)):
            if t is None:
                continue
            if i in p.mutates and (not b or id(t._changed) in self.copied):
                why = "is a view that the batch had to copy" if b else "is the same for all examples"
                raise RuntimeError(
                    f"vmap: {p.name} changes a tensor of shape {list(t.shape)} in place that {why}; use the "
                    "out-of-place operation"
                )
            if not b and self.written.get(id(t._changed), -1) > at:
                raise RuntimeError(
                    f"vmap: a tensor of shape {list(t.shape)} without a batch is read by {p.name} and then changed in "
                    "place; use the out-of-place operation"
                )


def redraw(p, attrs: dict, size: int):
    """Random numbers for each example."""
    if "shape" in attrs:
        return apply(p, (), attrs | {"shape": (size, *attrs["shape"])})
    return looped(p, (), (), attrs, size)
