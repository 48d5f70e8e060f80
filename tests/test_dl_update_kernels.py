"""Optimiser steps, averages and gradient norms in C, in place over many tensors: equal bits with their NumPy twins."""

from functools import partial

import numpy as np
import pytest
from dl_kernel_cases import every_other

from dl import kernel
from dl import update_kernels as update

K = kernel._kernels
pytestmark = pytest.mark.skipif(K is None, reason="the C extension was not built")
DTYPES = (np.float32, np.float64)
SHAPES = ((17, 9), (64,), (3, 4, 5), (), (0, 3), (33, 1), (1,))


def rule(kernel, group, **attrs):
    return pytest.param(kernel, group, attrs, id=f"{kernel.name} {attrs}")


ADAM = {"betas": (0.9, 0.999), "eps": 1e-8}
SGD = {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
RMSPROP = {"alpha": 0.9, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False}
RULES = [
    rule(update.adam, 4, **ADAM, weight_decay=0.0, decoupled=False),
    rule(update.adam, 4, **ADAM, weight_decay=0.1, decoupled=False),
    rule(update.adam, 4, **ADAM, weight_decay=0.1, decoupled=True),
    rule(update.sgd, 2, **SGD),
    rule(update.sgd, 2, **SGD | {"weight_decay": 0.1}),
    rule(update.sgd, 3, **SGD | {"momentum": 0.9, "dampening": 0.2}),
    rule(update.sgd, 3, **SGD | {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    rule(update.rmsprop, 3, **RMSPROP),
    rule(update.rmsprop, 4, **RMSPROP | {"centered": True, "weight_decay": 0.1}),
    rule(update.rmsprop, 4, **RMSPROP | {"momentum": 0.9}),
    rule(update.rmsprop, 5, **RMSPROP | {"momentum": 0.9, "centered": True}),
]


LAYOUTS = {
    "contiguous": lambda a, i: a.copy(),
    "fortran": lambda a, i: a.copy(order="F"),
    "gradient fortran": lambda a, i: a.copy(order="F" if i == 1 else "C"),
    "every other": lambda a, i: every_other(a),
    "state every other": lambda a, i: every_other(a) if i > 1 else a.copy(),
}


def tensors(rng, shapes, dtype, group):
    """p, g, state of each parameter; states as they start, zero."""
    for shape in shapes:
        yield from (np.asarray(rng.normal(size=shape) if i < 2 else np.zeros(shape), dtype) for i in range(group))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kernel, group, attrs", RULES)
def test_optimisers_equal_their_twins_bit_for_bit(isa, kernel, group, attrs, layout):
    for dtype in DTYPES:
        rng = np.random.default_rng(0)
        mine = [np.array(0), np.array(1e-2), *tensors(rng, SHAPES, dtype, group)]
        ours = [*mine[:2], *(LAYOUTS[layout](a, i % group) for i, a in enumerate(mine[2:]))]
        mine[:2] = [a.copy() for a in mine[:2]]
        for _ in range(4):
            for i in range(3, len(mine), group):
                g = np.asarray(rng.normal(size=mine[i].shape), dtype)
                mine[i][...], ours[i][...] = g, g
            kernel.twin(*mine, **attrs)
            kernel(*ours, **attrs)
            mine[1][...] = ours[1][...] = mine[1] * 0.9  # a schedule
        assert ours[0] == 4
        for a, b in zip(ours, mine, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kernel, group, attrs", RULES)
def test_bits_do_not_depend_on_the_number_of_threads(isa, kernel, group, attrs):
    def run(threads):
        K.set_num_threads(threads)
        arrays = [np.array(3), np.array(1e-2), *tensors(np.random.default_rng(0), shapes, np.float32, group)]
        kernel(*arrays, **attrs)
        return [a.tobytes() for a in arrays]

    shapes, before = [(300, 200), (7,), (130_001,), (64, 1000)], K.num_threads()
    try:
        assert run(1) == run(2) == run(3)
    finally:
        K.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_steps_in_closed_form(isa, dtype):
    """Adam's first step is lr sign(g); AdamW also shrinks p by lr weight_decay; SGD's is lr g whatever the momentum."""
    g, near = np.array([3.0, -0.2, 1e-3], dtype), partial(np.testing.assert_allclose, rtol=1e-4)

    def step(kernel, states, **attrs):
        p = np.array([1.0, -2.0, 3.0], dtype)
        kernel(np.array(0), np.array(0.1), p, g, *[np.zeros(3, dtype) for _ in range(states)], **attrs)
        return p

    start = np.array([1.0, -2.0, 3.0])
    near(step(update.adam, 2, **ADAM, weight_decay=0.0, decoupled=False), start - 0.1 * np.sign(g))
    near(step(update.adam, 2, **ADAM, weight_decay=0.5, decoupled=True), start * 0.95 - 0.1 * np.sign(g))
    near(step(update.sgd, 1, **SGD | {"momentum": 0.9, "dampening": 0.5}), start - 0.1 * g)
    near(step(update.rmsprop, 1, **RMSPROP), start - 0.1 * np.sign(g) / np.sqrt(0.1))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parameters_of_both_dtypes_in_one_call(isa, layout):
    rng = np.random.default_rng(0)
    mine = [a for dtype in DTYPES for a in tensors(rng, SHAPES, dtype, 2)]
    ours = [LAYOUTS[layout](a, i % 2) for i, a in enumerate(mine)]
    before = [a.copy() for a in mine]
    update.ema.twin(np.array(0.99), *mine)
    update.ema(np.array(0.99), *ours)
    for i, (a, b, old) in enumerate(zip(ours, mine, before, strict=True)):
        np.testing.assert_array_equal(a, b)
        if i % 2 == 0:
            np.testing.assert_allclose(a, 0.99 * old + 0.01 * before[i + 1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_scaled_to_a_norm(isa, layout, dtype):
    rng = np.random.default_rng(0)
    grads = [LAYOUTS[layout](np.asarray(rng.normal(size=s), dtype), 1) for s in (*SHAPES, (200, 100))]
    flat = np.concatenate([g.ravel() for g in grads]).astype(np.float64)
    norm = update.grad_norm(*grads)
    assert norm.shape == () and norm.dtype == np.float64
    np.testing.assert_allclose(norm, np.sqrt(flat @ flat), rtol=1e-13)
    twins = [g.copy() for g in grads]
    update.scale_inplace(norm, *grads, max_norm=2.0)
    update.scale_inplace.twin(norm, *twins, max_norm=2.0)
    for a, b in zip(grads, twins, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(update.grad_norm(*grads), 2.0, rtol=1e-5)
    update.scale_inplace(update.grad_norm(*grads), *grads, max_norm=3.0)
    for a, b in zip(grads, twins, strict=True):
        np.testing.assert_array_equal(a, b)  # below the limit nothing changes


def test_norms_that_are_not_finite_and_of_nothing(isa):
    g = [np.array([1.0, np.inf], np.float32), np.ones(3)]
    assert np.isposinf(update.grad_norm(*g))
    assert np.isnan(update.grad_norm(np.array([np.nan]), *g))
    assert update.grad_norm() == 0.0
    update.scale_inplace(np.array(np.nan), *g, max_norm=1.0)
    assert all(np.isnan(a).all() for a in g)
    big = np.full(10, 1e30, np.float32)  # its squares overflow float32
    np.testing.assert_allclose(update.grad_norm(big), np.sqrt(10) * 1e30, rtol=1e-6)


def test_the_norm_does_not_depend_on_the_number_of_threads(isa):
    rng, before = np.random.default_rng(0), K.num_threads()
    grads = [rng.normal(size=n).astype(np.float32) for n in (300_000, 5, 8192, 100_001)]
    found = set()
    try:
        for threads in (1, 2, 3):
            K.set_num_threads(threads)
            found.add(update.grad_norm(*grads).tobytes())
    finally:
        K.set_num_threads(before)
    assert len(found) == 1


def test_which_inputs_change():
    assert update.writes(10, first=2, group=4) == (0, 2, 4, 5, 6, 8, 9)
    assert update.writes(6, first=2, group=2) == (0, 2, 4)
    assert update.writes(5, first=1, group=2) == (1, 3)
    assert update.writes(3, first=1, group=1) == (1, 2)


def test_bad_calls_are_refused():
    p, step, lr = np.zeros((2, 3), np.float32), np.array(0), np.array(0.1)
    adam = {**ADAM, "weight_decay": 0.0, "decoupled": False}
    frozen = p.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match=r"adam: input 4, shape \(2, 3\), is read-only"):
        update.adam(step, lr, p, frozen, frozen, p, **adam)
    for arrays in (
        (step, lr, p, p, p),
        (step, lr, p, p.T, p, p),
        (step, lr, p, p.astype(np.float64), p, p),
        (lr, lr, p, p, p, p),
        (step, step, p, p, p, p),
        (step, np.ones(1), p, p, p, p),
    ):
        with pytest.raises(ValueError, match=r"dl\.adam: "):
            update.adam(*arrays, **adam)
    with pytest.raises(ValueError, match=r"dl\.sgd: "):
        update.sgd(step, lr, p, p, p, **SGD)
    with pytest.raises(ValueError, match=r"dl\.grad_norm: "):
        update.grad_norm(np.zeros(3, np.int64))
    assert step == 0 and not p.any()
