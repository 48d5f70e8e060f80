"""Reverse mode: gradients and products with the transposed Jacobian."""

from collections.abc import Callable, Sequence
from functools import wraps

import numpy as np

from dl.backward import pull_back, seed
from dl.tape import GradMode, clock, key, state
from dl.tensor import CONSTANT, Tensor
from dl.transforms.recording import Recording, points
from dl.tree import unflatten


def value_and_grad(f: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """The function (x, ...) -> (f(x, ...), df/dx), with one run of f; see grad.

    With has_aux=True it returns ((value, auxiliary), gradient).
    """

    @wraps(f)
    def both(*args, **kwargs):
        call = Recording(f, args, kwargs, argnums, "grad", has_aux)
        if len(call.outputs) != 1 or call.outputs[0].array.size != 1:
            shapes = ", ".join(str(list(t.shape)) for t in call.outputs)
            raise ValueError(
                f"grad: the function must return one number, got tensors of shapes {shapes or 'none'}; reduce it "
                "(.sum(), .mean()), use vjp or jacobian, or has_aux=True for more results"
            )
        y = call.outputs[0]
        gradients = call.pull((Tensor(np.ones(y.shape, y.dtype), CONSTANT),))
        for p in call.points:
            if p._node is None:
                p.requires_grad = False  # nobody outside differentiates by it
        result = unflatten(call.in_spec, gradients)
        result = result if isinstance(argnums, (tuple, list)) else result[0]
        value = call.result()
        return ((value, call.auxiliary()) if has_aux else value), result

    return both


def grad(f: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """The gradient of a function with one number as result: (x, ...) -> df/dx.

    argnums says by which positional arguments (an int: the gradient has that argument's structure; a tuple: a tuple of
    them); an argument is a tensor or nested tuples, lists or dicts of tensors. With has_aux=True f returns (output,
    auxiliary) and the result is (gradient, auxiliary). The result can be differentiated again. Raises ValueError where
    f returns anything else than one number, TypeError for arguments that are not floating.
    """
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f)
    def gradient(*args, **kwargs):
        value, result = both(*args, **kwargs)
        return (result, value[1]) if has_aux else result

    return gradient


def vjp(f: Callable, *primals, has_aux: bool = False) -> tuple:
    """f at the primals and its transposed derivative there: (out, pullback), pullback(g) = (g^T df/dx, ...).

    g has the structure and shapes of out; pullback returns a tuple with one entry per primal, can be called any number
    of times and under vmap, and its result can be differentiated by g and by the primals. With has_aux=True f returns
    (out, auxiliary) and vjp (out, pullback, auxiliary).
    """
    call = Recording(f, primals, {}, None, "vjp", has_aux)

    def pullback(gradient):
        leaves = call.checked(gradient, call.out_spec, call.outputs, "gradient of output")
        return unflatten(call.in_spec, call.pull(leaves))

    if has_aux:
        return call.result(), pullback, call.auxiliary()
    return call.result(), pullback


def autograd_grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs=None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple:
    """The gradients of sum(<outputs, grad_outputs>) by the inputs, as a tuple; .grad of nothing is touched.

    inputs: tensors that the outputs were computed from, leaves or not; grad_outputs: one per output, None where an
    output is one number. create_graph=True records the computation, so that it can be differentiated again; graphs are
    kept as long as their tensors, so retain_graph is accepted and not needed. Raises RuntimeError for an input that the
    outputs do not depend on, unless allow_unused (then its gradient is None).
    """
    outputs, inputs = listed(outputs), listed(inputs)
    given = [None] * len(outputs) if grad_outputs is None else listed(grad_outputs)
    if len(given) != len(outputs):
        raise ValueError(f"autograd.grad: {len(outputs)} outputs, but {len(given)} grad_outputs; one each (or None)")
    seeds = [seed(y, g) for y, g in zip(outputs, given, strict=True)]
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            raise RuntimeError(f"autograd.grad: input {i} (shape {list(x.shape)}) does not require a gradient")
    found = pull_back(outputs, seeds, create_graph=create_graph, wanted=inputs)
    for i, x in enumerate(inputs):
        if key(x) not in found and not allow_unused:
            raise RuntimeError(
                f"autograd.grad: the outputs do not depend on input {i} (shape {list(x.shape)}); pass "
                "allow_unused=True to get None there"
            )
    return tuple(found[key(x)][1] if key(x) in found else None for x in inputs)


def listed(tensors) -> list:
    return list(tensors) if isinstance(tensors, (tuple, list)) else [tensors]


def rule_from(composed: Callable) -> Callable:
    """The vjp rule of an operation that is defined by simpler ones: run them on fresh points, and pull back."""

    def rule(needs, g, out, *inputs, **attrs):
        on, start = state.grad, next(clock)
        where = [i for i, need in enumerate(needs) if need]
        fresh = points([inputs[i] for i in where])
        args = list(inputs)
        for i, p in zip(where, fresh, strict=True):
            args[i] = p
        with GradMode(True):
            outs = composed(*args, **attrs)
        outs, gs = (outs, g) if isinstance(outs, tuple) else ((outs,), (g,))
        found = pull_back(outs, gs, create_graph=on, wanted=fresh, since=start)
        result: list[Tensor | None] = [None] * len(inputs)
        for i, p in zip(where, fresh, strict=True):
            if key(p) in found:
                result[i] = found[key(p)][1]
        return tuple(result)

    return rule
