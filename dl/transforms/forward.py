"""Forward mode: products with the Jacobian, whole Jacobians and Hessians."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from dl.backward import check_unchanged, pull, pull_back, survey
from dl.tape import GradMode, Node, apply, clock, key, latest, settle, state
from dl.tensor import Tensor
from dl.transforms.recording import Recording, points
from dl.transforms.reverse import grad, vjp
from dl.transforms.vmap import vmap
from dl.tree import unflatten


def push(nodes: list[Node], tangents: dict) -> dict:
    """The tangents of everything that the nodes computed, by key, from those of where they start."""
    for node in nodes:
        settle(node)
        ts = tuple([None if t is None else tangents.get(key(t)) for t in node.inputs])
        if any(t is not None for t in ts):
            if node.seq < latest[0]:
                check_unchanged(node)
            moved = tangent(node, ts)
            for i, t in enumerate(moved if isinstance(moved, tuple) else (moved,)):
                if t is not None:
                    tangents[node, i] = t
    return tangents


def tangent(node: Node, ts: tuple) -> Any:
    """The tangent(s) of a node's output(s): by the rule of its primitive, or the transpose of the transposed rule."""
    p = node.primitive
    if p.linear:
        return apply(p, tuple(map(or_zero, ts, node.inputs)), node.attrs)
    if p.jvp is not None:
        outs: Any = [node.output(i) for i in range(len(node.outs))]
        return p.jvp(ts, tuple(outs) if len(outs) > 1 else outs[0], *node.inputs, **node.attrs)
    if p.composed is not None:
        return through(p.composed, ts, node)
    return transposed(node, ts)


def or_zero(t, x):
    """A missing tangent where the operation takes them all together; what is no number of the field stays."""
    if t is not None or x is None or x.array.dtype.kind != "f":
        return x if t is None else t
    return Tensor(np.zeros_like(x.array))


def through(composed: Callable, ts: tuple, node: Node):
    """The tangents of an operation that is defined by simpler ones."""
    on, start, args, seeds = state.grad, next(clock), list(node.inputs), {}
    for i, t in enumerate(ts):
        if t is not None:
            args[i] = points([node.inputs[i]])[0]
            seeds[key(args[i])] = t
    with GradMode(True):
        outs = composed(*args, **node.attrs)
    outs = outs if isinstance(outs, tuple) else (outs,)
    nodes, _ = survey(outs, set(seeds), start)
    with GradMode(on):
        found = push(nodes, seeds)
    return tuple(found.get(key(t)) for t in outs)


def transposed(node: Node, ts: tuple):
    """vjp is linear in g: <t, vjp(g)> = <jvp(t), g>, so its own gradient by g is the jvp."""
    on, start = state.grad, next(clock)
    slots = [Tensor(np.zeros_like(a)) for a in node.outs]
    for g in slots:
        g.requires_grad = g.array.dtype.kind == "f"
    with GradMode(True):
        pulled = pull(node, list(slots), tuple(t is not None for t in ts))
    pairs = [(g, t) for g, t in zip(pulled, ts, strict=True) if g is not None and t is not None and g.requires_grad]
    found = pull_back([g for g, _ in pairs], [t for _, t in pairs], create_graph=on, wanted=slots, since=start)
    return tuple(found[key(g)][1] if key(g) in found else None for g in slots)


def linearize(f: Callable, *primals):
    """f at the primals and its derivative there as a function: (out, pushforward), pushforward(*tangents) = df/dx t.

    One run of f; pushforward can be called any number of times and under vmap.
    """
    call = Recording(f, primals, {}, None, "jvp")

    def pushforward(*tangents):
        leaves = call.checked(tangents, call.in_spec, call.inputs, "tangent")
        return unflatten(call.out_spec, pushed(call, leaves))

    return call.result(), pushforward


def pushed(call: Recording, leaves: list[Tensor]) -> list[Tensor]:
    wants = call.on and state.grad and (call.outer or any(t.requires_grad for t in leaves))
    with GradMode(wants):
        found = push(call.nodes, {key(p): t for p, t in zip(call.points, leaves, strict=True)})
        return [found[key(y)] if key(y) in found else Tensor(np.zeros_like(y.array)) for y in call.outputs]


def jvp(f: Callable, primals: tuple, tangents: tuple, has_aux: bool = False) -> tuple:
    """f at the primals and its directional derivative: (out, df/dx t), both of the structure of out.

    primals and tangents: tuples with one entry per argument (a tensor or nested tensors) of equal structure and shapes.
    With has_aux=True f returns (out, auxiliary) and jvp (out, tangent, auxiliary).
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise TypeError("jvp: primals and tangents are tuples with one entry per argument, as in jvp(f, (x,), (t,))")
    call = Recording(f, tuple(primals), {}, None, "jvp", has_aux)
    leaves = call.checked(tuple(tangents), call.in_spec, call.inputs, "tangent")
    moved = unflatten(call.out_spec, pushed(call, leaves))
    return (call.result(), moved, call.auxiliary()) if has_aux else (call.result(), moved)


def jacobian(
    f: Callable, argnums: int | tuple[int, ...] = 0, mode: str = "reverse", *, chunk_size: int | None = None
) -> Callable:
    """The function (x, ...) -> df/dx, shape (*out.shape, *x.shape).

    mode: "reverse" (best for few outputs) or "forward" (best for few inputs); both run f once and are batched through
    vmap, chunk_size rows at a time (None: all). With nested outputs or arguments, or a tuple argnums, the result is
    nested likewise, outputs outside. Raises ValueError for another mode.
    """
    if mode not in ("reverse", "forward"):
        raise ValueError(f"jacobian: mode {mode!r}; there are 'reverse' and 'forward'")

    @wraps(f)
    def matrix(*args, **kwargs):
        call = Recording(f, args, kwargs, argnums, "jacobian")
        blocks = (by_rows if mode == "reverse" else by_columns)(call, chunk_size)
        rows = [unflatten(call.in_spec, row) for row in blocks]
        if not isinstance(argnums, (tuple, list)):
            rows = [row[0] for row in rows]
        return unflatten(call.out_spec, rows)

    return matrix


def basis(x: Tensor) -> Tensor:
    """All unit tensors of x's shape, (x.size, *x.shape)."""
    return Tensor(np.eye(x.array.size, dtype=x.dtype).reshape(-1, *x.shape))


def by_rows(call: Recording, chunk_size) -> list[list[Tensor]]:
    blocks = []
    for k, y in enumerate(call.outputs):
        zeros = [Tensor(np.zeros_like(o.array)) for o in call.outputs]

        def row(g, k=k, zeros=zeros):
            return call.pull([*zeros[:k], g, *zeros[k + 1 :]])

        if y.array.size and y.array.dtype.kind == "f":
            parts = vmap(row, chunk_size=chunk_size)(basis(y))
            blocks.append([part.reshape(*y.shape, *x.shape) for part, x in zip(parts, call.inputs, strict=True)])
        else:
            blocks.append([Tensor(np.zeros((*y.shape, *x.shape), x.dtype)) for x in call.inputs])
    return blocks


def by_columns(call: Recording, chunk_size) -> list[list[Tensor]]:
    blocks = [[] for _ in call.outputs]
    for i, x in enumerate(call.inputs):
        zeros = [Tensor(np.zeros_like(p.array)) for p in call.inputs]

        def column(t, i=i, zeros=zeros):
            return pushed(call, [*zeros[:i], t, *zeros[i + 1 :]])

        if x.array.size:
            parts = vmap(column, out_dims=-1, chunk_size=chunk_size)(basis(x))
        else:
            parts = [Tensor(np.zeros((*y.shape, 0), y.dtype)) for y in call.outputs]
        for block, part, y in zip(blocks, parts, call.outputs, strict=True):
            block.append(part.reshape(*y.shape, *x.shape))
    return blocks


def hessian(f: Callable, argnums: int | tuple[int, ...] = 0, *, chunk_size: int | None = None) -> Callable:
    """The function (x, ...) -> d2f/dx2, shape (*x.shape, *x.shape), for f with one number as result.

    Forward mode over reverse mode; arguments as jacobian's.
    """
    return jacobian(grad(f, argnums), argnums, "forward", chunk_size=chunk_size)


def hvp(f: Callable, primals: tuple, tangents: tuple):
    """The Hessian of f at the primals times the tangents, without the Hessian: H t, of the structure of primals.

    Forward over reverse: the cost is that of a few gradients.
    """
    primals = tuple(primals)
    return jvp(grad(f, tuple(range(len(primals)))), primals, tuple(tangents))[1]


__all__ = ["hessian", "hvp", "jacobian", "jvp", "linearize", "push", "vjp"]
