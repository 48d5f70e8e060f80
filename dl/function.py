"""Your own operation: a forward computation with its own derivatives."""

import copy
from collections.abc import Callable

from dl.primitive import Primitive
from dl.tape import GradMode, alias, changed_since, clock, detach, record, state
from dl.tensor import Tensor
from dl.trace import Trace


class Context:
    """What forward leaves for the derivatives: saved tensors, and any attribute that is set on it.

    needs_input_grad: a bool per input of forward. saved_tensors: what save_for_backward got; saved inputs and outputs
    keep their place on the tape, so that a vjp written in dl operations can be differentiated again.
    """

    def __init__(self, inputs: tuple, kwargs: dict, needs: tuple[bool, ...]):
        self.needs_input_grad = needs
        self._inputs = tuple(None if isinstance(x, Tensor) else x for x in inputs)
        self._places = tuple(i for i, x in enumerate(inputs) if isinstance(x, Tensor))
        self._kwargs, self._saved, self._silent, self._outs, self._sealed = kwargs, (), (), (), 0

    def save_for_backward(self, *tensors: Tensor | None):
        """Keep tensors for vjp and jvp; a saved tensor that is changed in place before they run is an error."""
        self._saved = tensors

    def mark_non_differentiable(self, *outputs: Tensor):
        """No gradient flows into these outputs."""
        self._silent = outputs

    @property
    def saved_tensors(self) -> tuple:
        found = []
        for t in self._saved:
            if isinstance(t, int):
                t = self._outs[t]
            if t is not None and self._sealed and changed_since(t, self._sealed):
                raise RuntimeError(
                    f"saved_tensors: a saved tensor of shape {list(t.shape)} was changed in place after it was saved, "
                    "so the gradient would be wrong; use the out-of-place operation or save a .clone()"
                )
            found.append(t)
        return tuple(found)

    def _seal(self, outs: tuple):
        """Outputs are kept by number: a reference to them would be a cycle."""
        numbers = {id(t): i for i, t in enumerate(outs)}
        self._saved = tuple(t if t is None else numbers.get(id(t), t) for t in self._saved)
        self._silent = tuple(numbers[id(t)] for t in self._silent)
        self._sealed = next(clock)

    def _bound(self, outs: tuple) -> "Context":
        """This context in a rule, where the outputs are known again."""
        bound = copy.copy(self)
        bound._outs = outs
        return bound

    def _call(self, tensors) -> tuple:
        """The arguments of forward with these tensors in their places."""
        args = list(self._inputs)
        for i, t in zip(self._places, tensors, strict=True):
            args[i] = t
        return tuple(args)


class Function:
    """An operation with derivatives of its own. Subclass it, and call Subclass.apply(*inputs, **options).

    Static methods, ctx a Context: forward(ctx, *inputs, **options) -> tensor or tuple; it is not recorded. vjp(ctx,
    *grads) (or backward, the same) -> the gradient of each input (None: none), a tuple if there are several; jvp(ctx,
    *tangents) -> the tangent of each output, tangents None where an input has none (without it vjp is transposed).
    Written in dl operations, they can be differentiated again.
    """

    vjp: Callable | None = None
    backward: Callable | None = None
    jvp: Callable | None = None
    _row: Primitive

    @staticmethod
    def forward(ctx: Context, *inputs, **options):
        raise NotImplementedError("Function: forward is missing")

    def __init_subclass__(cls):
        pull = cls.vjp or cls.backward
        cls._row = Primitive(
            cls.__name__, cls.forward, vjp=pull and vjp_rule(cls, pull), jvp=cls.jvp and jvp_rule(cls, cls.jvp),
            batch=batch_rule(cls), saves=(),
        )  # fmt: skip

    @classmethod
    def apply(cls, *inputs, **options):
        """Run forward on the inputs (tensors and anything else), recorded with the derivatives of the class."""
        tensors = tuple(x for x in inputs if isinstance(x, Tensor))
        needs = tuple(state.grad and isinstance(x, Tensor) and x.requires_grad for x in inputs)
        ctx = Context(inputs, options, needs)
        batchers = [t for t in state.traces if isinstance(t, Trace) and t.name == "vmap"]
        before = state.traces
        state.traces = tuple(t for t in before if t not in batchers)  # a batch is one step of this kind, see batch_rule
        try:
            with GradMode(False):
                out = cls.forward(ctx, *inputs, **options)
                outs = checked_outputs(cls, out if isinstance(out, tuple) else (out,), tensors)
        finally:
            state.traces = before
        ctx._seal(outs)
        if any(needs):
            record(cls._row, tensors, {"ctx": ctx}, outs)
            for i in ctx._silent:
                outs[i].requires_grad, outs[i]._node = False, None
        for trace in batchers:
            trace.add(cls._row, tensors, {"ctx": ctx}, outs)
        return outs if isinstance(out, tuple) else outs[0]


def checked_outputs(cls, outs: tuple, tensors: tuple) -> tuple:
    """The outputs as tensors of their own: an input that forward handed through becomes another point of the tape."""
    for t in outs:
        if not isinstance(t, Tensor):
            raise TypeError(f"{cls.__name__}.forward: wanted tensors as result, got {type(t).__name__}")
    return tuple([detach(t) if t.requires_grad or any(t is x for x in tensors) else t for t in outs])


def vjp_rule(cls, pull: Callable) -> Callable:
    def rule(needs, g, out, *tensors, ctx: Context):
        outs = out if isinstance(out, tuple) else (out,)
        given = pull(ctx._bound(outs), *(g if isinstance(g, tuple) else (g,)))
        given = given if isinstance(given, tuple) else (given,)
        if len(given) != len(ctx._inputs):
            raise ValueError(
                f"{cls.__name__}.vjp: wanted {len(ctx._inputs)} gradients, one for each input of forward (None for "
                f"what is no tensor), got {len(given)}"
            )
        found = [given[i] for i in ctx._places]
        for i, (d, x) in enumerate(zip(found, tensors, strict=True)):
            if d is not None and (d.shape != x.shape or d.dtype != x.dtype):
                raise ValueError(
                    f"{cls.__name__}.vjp: the gradient of tensor {i} must be {list(x.shape)}, {x.dtype} like it, got "
                    f"{list(d.shape)}, {d.dtype}"
                )
        known = {id(t.array) for t in (*tensors, *ctx._saved, *outs) if isinstance(t, Tensor)}
        return tuple(
            alias(d) if d is not None and id(d.array) in known else d for d in found
        )  # copied where it is kept

    return rule


def jvp_rule(cls, push: Callable) -> Callable:
    def rule(tangents, out, *tensors, ctx: Context):
        bound = ctx._bound(out if isinstance(out, tuple) else (out,))
        ts: list = [None] * len(ctx._inputs)
        for i, t in zip(ctx._places, tangents, strict=True):
            ts[i] = t
        return push(bound, *ts)

    return rule


def batch_rule(cls) -> Callable:
    """One example after the other: what forward does is not known."""

    def batch(flags, *tensors, ctx: Context):
        from dl.ops.join import stack

        size = next(t.shape[0] for t, b in zip(tensors, flags, strict=True) if b)
        made = [
            cls.apply(*ctx._call([t[i] if b else t for t, b in zip(tensors, flags, strict=True)]), **ctx._kwargs)
            for i in range(size)
        ]
        if isinstance(made[0], tuple):
            return tuple(stack(list(parts)) for parts in zip(*made, strict=True))
        return stack(made)

    return batch
