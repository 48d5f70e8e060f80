"""One row of the table of operations: what it computes and how it is differentiated and batched."""

from collections.abc import Callable
from dataclasses import dataclass, field

from dl.kernel import Kernel, MicroOp


@dataclass(frozen=True, eq=False, slots=True)
class Primitive:
    """An operation that the tape, the transforms and the recorder know.

    forward(*arrays, **attrs) -> array or tuple of arrays: a dl.kernel.Kernel, a MicroOp, or plain NumPy.

    The rules work on Tensors with operations from the table, so that every derivative can be differentiated again:

    - vjp, either a tuple with one rule(g, out, *inputs, **attrs) -> Tensor per input (None: no gradient flows there),
      of which only the needed ones run; or one rule(needs, g, out, *inputs, **attrs) -> tuple with a Tensor or None per
      input, where needs is a tuple of bools. With several outputs, g and out are tuples and no g is None.
    - jvp, rule(tangents, out, *inputs, **attrs) -> Tensor (or tuple), tangents with None where it is zero; None: the
      transpose of vjp is used. linear=True: the jvp is the operation itself, on the only input that is not None
      (operations linear in one input), or on all tangents together (cat, stack).
    - composed(*inputs, **attrs) -> Tensor(s): the same from simpler operations; where vjp is None the rules come from
      it.
    - batch(dims_are_leading: tuple[bool], *inputs, **attrs) -> Tensor(s) with the batch leading, for vmap; None: "ew"
      (see transforms/vmap) or a loop.

    saves says which inputs' values (by index) and whether the output's value ("out") the vjp reads; None: all. Changing
    a saved value in place before backward raises. view=True: the result may share memory with input 0.
    mutates: inputs that forward writes into. differentiable=False: integer or boolean results; no gradient.
    stateful=True: another result on each call (random numbers); never folded into a constant.
    quiet: the vjp in C on arrays, quiet(needs, g, out, *inputs) -> gradients or NotImplemented, needs an int with a bit
    per input: the same operations in the same order, for backward passes that nothing records (dl/csrc/quiet.c).
    """

    name: str
    forward: Callable
    vjp: tuple[Callable | None, ...] | Callable | None = None
    jvp: Callable | None = None
    composed: Callable | None = None
    batch: Callable | str | None = None
    saves: tuple | None = None
    linear: bool = False
    view: bool = False
    mutates: tuple[int, ...] = ()
    differentiable: bool = True
    stateful: bool = False
    quiet: Callable | None = None
    run: Callable = field(init=False, repr=False)  # forward, without the detour through Python where C does it all
    traits: int = field(init=False, repr=False)  # view, differentiable, stateful, mutates: one bit each, for C

    def __post_init__(self):
        run = self.forward.run if isinstance(self.forward, (MicroOp, Kernel)) else self.forward
        object.__setattr__(self, "run", run)
        traits = self.view + 2 * self.differentiable + 4 * self.stateful + 8 * bool(self.mutates)
        object.__setattr__(self, "traits", traits)
