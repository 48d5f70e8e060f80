"""dl.jit: a function is recorded once for each signature and then replayed in C."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dl.kernel import _kernels
from dl.ops.base import standard
from dl.recorder.arguments import LEAF, flatten, unflatten
from dl.recorder.build import Built, build
from dl.recorder.replay import replay_in_numpy
from dl.tape import changed, clock, latest, set_grad, state
from dl.tensor import CONSTANT, Tensor
from dl.trace import Trace, recording

MOST_RECORDINGS = 64
REPORTING = ("take", "index_add", "gather", "scatter_add")  # their second result says whether an index was wrong


@dataclass(eq=False)
class Recording:
    """One signature's program and the state outside the function that it was recorded for."""

    run: Callable  # a Choice among programs, or the replay in NumPy
    candidates: list[Built]  # the programs; none without the C extension
    tree: object  # of the outputs
    statics: list  # outputs that are not tensors, by position
    outside: list[tuple[Tensor, np.ndarray]]
    before: list[tuple[Tensor, Tensor | None]]  # gradients that must be there at the start
    after: list[tuple[Tensor, Tensor | None]]  # gradients that are there at the end
    mutated: list[Tensor]  # tensors from outside that it writes into
    modes: list  # modules that ran, and whether they were training
    statuses: list[tuple[np.ndarray, str]]  # what index kernels report
    hastened: bool = False

    @property
    def built(self) -> Built | None:
        """The program in use; None without the C extension."""
        return next((b for b in self.candidates if b.program is self.run.program), None)

    @property
    def plain(self) -> bool:
        """It returns one tensor or a tuple of several, and nothing in it calls Python."""
        kind = self.tree if self.tree is LEAF else self.tree[0]
        flat = kind is LEAF or (kind is tuple and len(self.statics) > 1 and self.tree[1] == (LEAF,) * len(self.statics))
        if not self.candidates or self.statuses:
            return False
        return flat and all(m.kind != "python" for m in self.candidates[0].instructions)

    def valid(self) -> bool:
        """Modules, parameters and gradients are as they were: the mode, the arrays, there or absent."""
        if any(module.training is not mode for module, mode in self.modes):
            return False
        return all(t.array is a for t, a in self.outside) and all(t._grad is g for t, g in self.before)

    def check_indices(self):
        """IndexError where an index kernel says that it met an index out of range."""
        for status, name in self.statuses:
            if status:
                raise IndexError(
                    f"{name}: in a function recorded by dl.jit, index number {int(status) - 1} (counted through the "
                    "flat index tensor) is out of range"
                )


class Jit:
    """The callable that dl.jit returns."""

    def __init__(self, fn: Callable):
        self.fn = fn
        self.recordings: dict = {}
        self.name = getattr(fn, "__name__", type(fn).__name__)
        self.fast = None if _kernels is None else _kernels.Jitted(self)  # the same for plain NumPy arguments, in C

    def __call__(self, *args, **kwargs):
        leaves, tree = flatten((args, kwargs))
        if state.traces or (state.grad and any(isinstance(v, Tensor) and v.requires_grad for v in leaves)):
            return self.fn(*args, **kwargs)  # part of something larger, which records or differentiates it
        arrays = [leaf.array if isinstance(leaf, Tensor) else leaf for leaf in leaves if is_array(leaf)]
        key = (tree, state.grad, tuple([signature(leaf) for leaf in leaves]))
        as_numpy = bool(arrays) and not any(isinstance(leaf, Tensor) for leaf in leaves)
        for made in self.recordings.get(key, ()):
            if made.valid():
                out = self.replay(made, arrays, as_numpy)
                if as_numpy and not kwargs and made.plain and len(arrays) == len(args) and made.valid():
                    self.hasten(made)
                return out
        return self.record(leaves, tree, key, as_numpy)

    def replay(self, recording: Recording, arrays, as_numpy: bool):
        values = recording.run(*arrays)
        values = (values,) if isinstance(values, np.ndarray) else values or ()
        recording.check_indices()
        for leaf, g in recording.after:
            if leaf._grad is not g:
                set_grad(leaf, g, False)
        if not recording.candidates:  # else the Choice says so
            for t in recording.mutated:
                changed(t)
        return rebuild(recording, values, as_numpy)

    def hasten(self, recording: Recording):
        """From now on the C side runs this recording without asking, until something outside changes (the epoch)."""
        if self.fast is not None:
            recording.run.epoch = _kernels.epoch()
            if not recording.hastened:
                self.fast.add(recording.run)
                recording.hastened = True

    def record(self, leaves, tree, key, as_numpy: bool):
        """Run the function once as it is, listening; the program is for the next calls."""
        count = sum(map(len, self.recordings.values()))
        if count >= MOST_RECORDINGS:
            raise RuntimeError(
                f"dl.jit({self.name}): recorded {count} times; shapes, Python arguments or parameters change on "
                "every call: pass numbers that change as arrays, or call the function without jit"
            )
        own = [Tensor(private(leaf)) if is_array(leaf) else leaf for leaf in leaves]
        trace = Trace(tuple(t for t, leaf in zip(own, leaves, strict=True) if is_array(leaf)))
        with recording(trace):
            args, kwargs = unflatten(tree, own)
            result = self.fn(*args, **kwargs)
        outs, out_tree = flatten(result)
        made = self.compile(trace, outs, out_tree)
        self.recordings.setdefault(key, []).append(made)
        values = [t.array.copy() for t in outs if isinstance(t, Tensor)]
        return rebuild(made, values, as_numpy)

    def compile(self, trace: Trace, outs, out_tree) -> Recording:
        arrays = [t.array for t in outs if isinstance(t, Tensor)]
        statics = [None if isinstance(t, Tensor) else (t,) for t in outs]
        after = [(leaf, leaf._grad) for leaf in trace.touched.values()]
        statuses = [(o[1].array, p.name) for p, _, _, o in trace.steps if p.name in REPORTING]
        persistent = [g.array for _, g in after if g is not None] + [a for a, _ in statuses]
        produced, outside, mutated = trace.produced, {}, {}
        for p, inputs, _, _ in trace.steps:
            mutated |= {id(inputs[i]): inputs[i] for i in p.mutates}
            for t in inputs:
                if t is not None and id(t.array) not in produced and t._changed is not CONSTANT:
                    outside[id(t)] = (t, t.array)
        before, seen, written = trace.expected, list(outside.values()), list(mutated.values())
        modes = list({id(m): (m, mode) for m, mode in trace.modes}.values())
        if _kernels is None:
            run, built = replay_in_numpy(trace, arrays), []
        else:
            built = build(trace, arrays, persistent, _kernels.num_threads())
            run = _kernels.Choice(tuple(b.program for b in built), clock, latest, tuple(written))
        return Recording(run, built, out_tree, statics, seen, before, after, written, modes, statuses)


def rebuild(recording: Recording, values, as_numpy: bool):
    values = iter(values)
    leaves = [
        static[0] if static else (next(values) if as_numpy else Tensor(next(values))) for static in recording.statics
    ]
    return unflatten(recording.tree, leaves)


def is_array(leaf) -> bool:
    return isinstance(leaf, (Tensor, np.ndarray))


def signature(leaf):
    """What a recording depends on: shape and dtype of arrays, the value of everything else."""
    if is_array(leaf):
        return (leaf.shape, leaf.dtype)
    return (type(leaf), leaf)


def private(leaf) -> np.ndarray:
    """A copy in memory of the program's own."""
    array = leaf.array if isinstance(leaf, Tensor) else leaf
    return np.array(array, standard(array.dtype, "jit"), order="C")


def jit(fn: Callable) -> Callable:
    """Record fn on its first call with each signature and replay it in C afterwards: forward, backward, optimiser.

    The result of f(*args, **kwargs) is what fn returns: Tensors, or NumPy arrays where all array arguments are NumPy
    arrays; gradients end at a recorded function's results. Array arguments may sit in nested tuples, lists and dicts;
    everything else is part of the signature. Parameters, optimiser state and other tensors from outside are read and
    changed in place, .grad is set as in eager mode. Branching on a tensor's value raises TypeError, since the other
    branch is not recorded. Python side effects other than these happen only while recording.
    """
    made = Jit(fn)
    made.fast = made if made.fast is None else made.fast
    made.fast.recordings, made.fast.__doc__ = made.recordings, fn.__doc__
    return made.fast
