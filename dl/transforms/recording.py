"""A function run on fresh points of the tape, and the operations between them and its results."""

from collections.abc import Callable, Sequence

import numpy as np

from dl.backward import own, pull_back, survey
from dl.tape import ALIAS, GradMode, apply, clock, detach, key, state
from dl.tensor import Tensor
from dl.tree import flatten, matching, unflatten


def points(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Each tensor as a new point to differentiate by: linked to its own past where that is recorded, else a leaf."""
    made = []
    for x in tensors:
        point = apply(ALIAS, (x,))
        point.requires_grad = True
        made.append(point)
    return made


class Recording:
    """f(*args, **kwargs) recorded from the arguments argnums (None: all).

    outer says whether somebody outside may differentiate the result: an argument or something that f closes over
    requires a gradient, and the tape was on. Where nobody does, nothing of the record is left in the results.
    """

    def __init__(self, f: Callable, args: tuple, kwargs: dict, argnums, name: str, has_aux: bool = False):
        self.name, self.on = name, state.grad
        self.which = chosen(argnums, len(args), name)
        self.start = next(clock)
        self.inputs, self.in_spec = flatten(tuple(args[i] for i in self.which), name)
        check_floating(self.inputs, name)
        self.points = points(self.inputs)
        full = list(args)
        for i, arg in zip(self.which, unflatten(self.in_spec, self.points), strict=True):
            full[i] = arg
        with GradMode(True):
            out = f(*full, **kwargs)
        self.aux = None
        if has_aux:
            out, self.aux = two(out, name)
        self.outputs, self.out_spec = flatten(out, name)
        self.nodes, foreign = survey(self.outputs, {key(p) for p in self.points}, self.start)
        self.outer = self.on and (foreign or any(x.requires_grad for x in self.inputs))

    def released(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Results for the caller: without the record, where nobody outside needs it."""
        return [detach(t) if t.requires_grad and not self.outer else t for t in tensors]

    def result(self):
        """What f returned."""
        return unflatten(self.out_spec, self.released(self.outputs))

    def auxiliary(self):
        leaves, spec = flatten(self.aux, self.name)
        return unflatten(spec, self.released(leaves))

    def pull(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Gradients of the inputs, zeros where nothing depends on them; every one has its own memory."""
        wants = self.on and state.grad and (self.outer or any(g.requires_grad for g in gradients))
        found = pull_back(self.outputs, gradients, create_graph=wants, wanted=self.points, useful=self.nodes)
        given = {id(g.array) for g in gradients}
        with GradMode(wants):
            return [
                own(found[key(p)][1], given) if key(p) in found else Tensor(np.zeros_like(p.array)) for p in self.points
            ]

    def checked(self, tangents, spec, like: Sequence[Tensor], what: str) -> list[Tensor]:
        """The leaves of tangents, which must match in structure, shape and dtype."""
        leaves = matching(tangents, spec, self.name)
        for i, (t, x) in enumerate(zip(leaves, like, strict=True)):
            if t.shape != x.shape or (t.dtype != x.dtype and x.dtype.kind == "f"):
                raise ValueError(
                    f"{self.name}: {what} {i}: wanted shape {list(x.shape)}, {x.dtype}, got {list(t.shape)}, {t.dtype}"
                )
        return leaves


def chosen(argnums, n: int, name: str) -> tuple[int, ...]:
    """argnums as a tuple of positions from the front."""
    if argnums is None:
        return tuple(range(n))
    numbers = argnums if isinstance(argnums, (tuple, list)) else (argnums,)
    if any(not -n <= i < n for i in numbers):
        raise ValueError(f"{name}: argnums {argnums} with {n} positional arguments; count from 0")
    found = tuple(i % n for i in numbers)
    if len(set(found)) != len(found):
        raise ValueError(f"{name}: argnums {argnums} names an argument twice")
    return found


def check_floating(tensors: Sequence[Tensor], name: str):
    for i, x in enumerate(tensors):
        if x.array.dtype.kind != "f":
            raise TypeError(
                f"{name}: input {i} is {x.dtype}, shape {list(x.shape)}; only float32 and float64 can be "
                "differentiated by: convert it with .double() or leave it out of argnums"
            )


def two(out, name: str):
    if not isinstance(out, tuple) or len(out) != 2:
        got = f"a tuple of {len(out)}" if isinstance(out, tuple) else type(out).__name__
        raise TypeError(f"{name}: with has_aux=True the function returns (output, auxiliary), got {got}")
    return out
