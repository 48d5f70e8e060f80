"""The law of vmap over dl's table: every row on a batch is the loop over its examples, and so are its derivatives."""

import itertools

import numpy as np
import pytest
from dl_layer_cases import CASES as LAYERS
from dl_table_cases import elementwise_cases
from dl_table_shapes import INDEXING, REDUCTIONS, SHAPES

import dl
from dl.ops import TABLE
from dl.tape import apply
from dl.tensor import Tensor
from dl.transforms import jvp, vjp, vmap

B = 3


def rows():
    """(name, f, a function that draws the inputs, whether f can be differentiated)."""
    for c in [*elementwise_cases(), *SHAPES, *INDEXING, *REDUCTIONS]:
        if c.shapes and not any(0 in s for s in c.shapes):
            yield c.row, c.f, lambda rng, c=c: c.arrays(rng, np.float64), c.order > 0
    for p, inputs, attrs in LAYERS:
        there = [i for i, x in enumerate(inputs) if x is not None]

        def f(*tensors, p=p, attrs=attrs, inputs=inputs, there=there):
            full = [None] * len(inputs)
            for i, t in zip(there, tensors, strict=True):
                full[i] = t
            return apply(p, tuple(full), attrs)

        yield p.name, f, lambda rng, i=inputs: [vary(rng, x) for x in i if x is not None], True


def vary(rng, x: np.ndarray) -> np.ndarray:
    """Other numbers of the same kind: positive stay positive, indices and masks are shuffled."""
    if x.dtype.kind != "f":
        return rng.permutation(x.reshape(-1)).reshape(x.shape)
    return x * rng.uniform(0.8, 1.2, x.shape)


def put_at(*index):
    return lambda x, v, *arrays: apply(TABLE["index_put"], (x, v, *arrays), {"index": index})


def added_at(shape, *index):
    return lambda g, *arrays: apply(TABLE["index_add_at"], (g, *arrays), {"index": index, "shape": shape})


def last_at(shape, *index):
    return lambda *arrays: apply(TABLE["last_writer"], arrays, {"index": index, "shape": shape})


A, EVERY, LATE = "array", slice(None), slice(1, None)
PICKED = [  # (function of tensors and indices below 3, shapes of the tensors, shapes of the indices)
    (lambda x, i: x[i], [(3, 2)], [(4,)]),
    (lambda x, i: x[:, i], [(2, 3)], [(2, 2)]),
    (lambda x, i: x[1:, None, i], [(3, 3, 2)], [(4,)]),
    (lambda x, i: x[..., i, :], [(2, 3, 2)], [()]),
    (lambda x, i: x[0, :, i], [(3, 2, 4)], [(2,)]),
    (lambda x, i: x[:, i, 1], [(2, 3, 4)], [(2,)]),
    (lambda x, i, j: x[i, :, j], [(3, 2, 3)], [(2, 1), (2,)]),
    (lambda x, i, j: x[None, i, j, ::-1], [(3, 3, 2)], [(3,), ()]),
    (put_at(A), [(3, 2), (4, 2)], [(4,)]),
    (put_at(EVERY, A), [(2, 3), (4,)], [(4,)]),
    (put_at(LATE, A), [(2, 4, 2), ()], [(2, 2)]),
    (put_at(A, EVERY, A), [(3, 2, 3), (4, 2)], [(4,), (4,)]),
    (put_at(LATE, 1), [(3, 3), (2,)], []),
    (added_at((3, 2), A), [(4, 2)], [(4,)]),
    (added_at((2, 3, 2), EVERY, A), [(2, 2, 2, 2)], [(2, 2)]),
    (added_at((3, 2, 3), A, EVERY, A), [(4, 2)], [(4,), (1,)]),
    (last_at((3,), A), [], [(5,)]),
    (last_at((2, 3), EVERY, A), [], [(5,)]),
    (last_at((3, 2, 3), A, EVERY, A), [], [(5,), (5,)]),
    (lambda x, i: dl.gather(x, 1, i), [(3, 3)], [(2, 3)]),
    (lambda x, v, i: dl.scatter_add(x, 0, i, v), [(3, 3), (4, 3)], [(4, 2)]),
    (lambda x, v, i: dl.scatter(x, 0, i, v), [(3, 3), (4, 3)], [(4, 2)]),
    (lambda x, i: dl.index_select(x, 1, i), [(2, 3)], [(4,)]),
    (lambda x, i: x.softmax(0)[i, i], [(3, 3)], [()]),
]


def picked_rows():
    for f, shapes, indices in PICKED:

        def draw(rng, shapes=shapes, indices=indices):
            numbers = [rng.normal(size=s) for s in shapes]
            return numbers + [np.asarray(rng.integers(0, 3, s)) for s in indices]

        yield "picked", f, draw, bool(shapes)


ROWS = [*rows(), *picked_rows()]
IDS = [f"{i}-{name}" for i, (name, *_) in enumerate(ROWS)]
UNKNOWN_SIZE = {"nonzero"}
IN_PLACE = {"index_put_", "copy_"}  # into something that has no batch: refused, see test_dl_transforms_vmap


def outputs(out) -> list:
    return list(out) if isinstance(out, tuple) else [out]


def batches(rng, draw):
    """For each choice of batched inputs (each alone, and all): in_dims, and the inputs."""
    examples = [draw(rng) for _ in range(B)]
    n = len(examples[0])
    choices = {tuple(i == k for i in range(n)) for k in range(n)} | {(True,) * n}
    for flags in sorted(choices):
        inputs = [
            np.stack([vary(rng, e[i]) if e[i].dtype.kind == "i" else e[i] for e in examples]) if b else examples[0][i]
            for i, b in enumerate(flags)
        ]
        yield tuple(0 if b else None for b in flags), [Tensor(x) for x in inputs]


def example(inputs, dims, k: int) -> list[Tensor]:
    return [x if d is None else Tensor(np.asarray(x.array[k])) for x, d in zip(inputs, dims, strict=True)]


def agree(found, wanted):
    for a, b in zip(outputs(found), zip(*wanted, strict=True), strict=True):
        b = np.stack([t.array for t in b])
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a.array, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("name", "f", "draw", "smooth"), ROWS, ids=IDS)
def test_vmap_is_the_loop(rng, name, f, draw, smooth):
    for dims, inputs in batches(rng, draw):
        if name in UNKNOWN_SIZE:
            with pytest.raises(TypeError, match=r"inside dl.vmap"):
                vmap(f, dims)(*inputs)
            continue
        if name in IN_PLACE and dims[0] is None:
            continue
        found = vmap(f, dims)(*inputs)
        agree(found, [outputs(f(*example(inputs, dims, k))) for k in range(B)])


def derivative(f, inputs, floating, forward: bool):
    """The vjp or jvp of f by its floating inputs, at fixed directions, as a function of all inputs."""

    def of(*args):
        def g(*xs):
            full = list(args)
            for i, x in zip(floating, xs, strict=True):
                full[i] = x
            return tuple(y for y in outputs(f(*full)) if y.dtype.kind == "f")

        xs = tuple(args[i] for i in floating)
        if forward:
            return jvp(g, xs, tuple(wave(x) for x in xs))[1]
        out, pullback = vjp(g, *xs)
        return pullback(tuple(wave(y) for y in out))

    return of


def wave(x: Tensor) -> Tensor:
    return Tensor(np.cos(np.arange(x.array.size)).reshape(x.shape))


SMOOTH = [(row, name) for row, name in zip(ROWS, IDS, strict=True) if row[3]]


@pytest.mark.parametrize("forward", [False, True], ids=["vjp", "jvp"])
@pytest.mark.parametrize(("name", "f", "draw", "smooth"), [r for r, _ in SMOOTH], ids=[n for _, n in SMOOTH])
def test_vmap_of_a_derivative_is_the_loop_of_derivatives(rng, name, f, draw, smooth, forward):
    for dims, inputs in itertools.islice(batches(rng, draw), 4):
        if name in IN_PLACE:
            continue
        floating = [i for i, x in enumerate(inputs) if x.dtype.kind == "f"]
        of = derivative(f, inputs, floating, forward)
        agree(vmap(of, dims)(*inputs), [of(*example(inputs, dims, k)) for k in range(B)])
