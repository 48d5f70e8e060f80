"""Reductions, running sums and the strided copy in C: against NumPy, in bits where exact, whatever the team."""

import itertools

import numpy as np
import pytest
from dl_kernel_cases import LAYOUTS

from dl import kernel
from dl import reduce_kernels as by

K = kernel._kernels
pytestmark = pytest.mark.skipif(K is None, reason="the C extension was not built")
DTYPES = (np.float32, np.float64, np.int64, np.bool_)
SHAPES = [(), (1,), (7,), (64,), (1000,), (5000,), (5, 6), (64, 6), (300, 6), (130, 17), (3, 700), (65, 64), (4, 5, 6),
          (7, 33, 65), (32, 16, 9), (2, 3, 4, 5), (0,), (3, 0), (0, 4, 2)]  # fmt: skip
LONG = [((70_000,), (0,)), ((40_000, 7), (0,)), ((3_000, 70), (0,)), ((3, 90_000), (1,)), ((20, 50, 60, 3), (0, 2)),
        ((6, 40, 500), (0, 1, 2)), ((500, 4, 30), (0, 2))]  # fmt: skip
NAMES = ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin")


def values(rng, shape, dtype):
    if dtype is np.bool_:
        return np.asarray(rng.random(shape) < 0.7)
    return np.asarray(rng.integers(-4, 5, shape) if dtype is np.int64 else rng.normal(size=shape), dtype)


def agree(name, x, dim, got, wanted):
    assert got.dtype == wanted.dtype and got.shape == wanted.shape, (name, x.shape, dim)
    if name not in ("sum", "prod") or x.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted, err_msg=f"{name} {x.shape} {dim}")
        return
    wide, eps = x.astype(np.longdouble), np.finfo(x.dtype).eps
    if name == "sum":  # at most 64 additions one after another; errors of random signs
        exact, scale = wide.sum(dim), np.sqrt((wide * wide).sum(dim))
        assert np.all(np.abs(got - exact) <= eps * (np.abs(exact) + 8 * scale)), (x.shape, dim)
    else:
        count = int(np.prod([x.shape[i] for i in dim], dtype=np.int64))
        exact, tiny = wide.prod(dim), float(np.finfo(x.dtype).tiny)
        assert np.all(np.abs(got - exact) <= eps * (count + 1) * np.abs(exact) + count * tiny), (x.shape, dim)


def cases(x):
    return [dim for k in range(x.ndim + 1) for dim in itertools.combinations(range(x.ndim), k)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_reduction_against_its_twin(isa, dtype, layout):
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        x = LAYOUTS[layout](values(rng, shape, dtype))
        for dim, name in itertools.product(cases(x), NAMES):
            if name in ("max", "min", "argmax", "argmin") and any(x.shape[i] == 0 for i in dim):
                continue
            kernel = getattr(by, name)
            agree(name, x, dim, kernel(x, dim=dim), kernel.twin(x, dim=dim))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("shape, dim", LONG)
def test_long_reductions_and_threads(isa, shape, dim, dtype):
    x, before = values(np.random.default_rng(1), shape, dtype), K.num_threads()
    try:
        for name in NAMES:
            kernel, results = getattr(by, name), []
            for threads in (1, 2, 3):
                K.set_num_threads(threads)
                results.append(kernel(x, dim=dim))
            agree(name, x, dim, results[0], kernel.twin(x, dim=dim))
            assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes(), name
    finally:
        K.set_num_threads(before)


def test_all_instruction_sets_give_the_same_sum():
    rng, before = np.random.default_rng(2), K.isa()
    try:
        for (shape, dim), dtype in itertools.product([*LONG, ((64, 64), (0,)), ((64, 64), (1,))], DTYPES[:2]):
            x, results = values(rng, shape, dtype), []
            for isa in K.isas():
                K.use(isa)
                results.append(by.sum(x, dim=dim).tobytes())
            assert len(set(results)) == 1
    finally:
        K.use(before)


def test_float32_sums_of_equal_numbers_whose_errors_add_up(isa):
    x = np.full((10_000, 3), 0.1, np.float32)
    exact = 10_000 * float(np.float32(0.1))
    for array, dim in ((x, (0,)), (np.ascontiguousarray(x.T), (1,)), (x[:, 0], (0,))):
        assert np.all(np.abs(by.sum(array, dim=dim) - exact) <= 4 * np.spacing(np.float32(exact)))


def test_nan_wins_and_the_first_of_equals(isa):
    rng = np.random.default_rng(3)
    for dtype in (np.float32, np.float64):
        for shape in ((9,), (70,), (3000,), (50, 70), (2100, 6)):
            x = rng.integers(-3, 4, shape).astype(dtype)
            for share in (0.0, 0.002, 0.1):
                x[rng.random(shape) < share] = np.nan
                for name in ("max", "min", "argmax", "argmin"):
                    for dim in [(i,) for i in range(x.ndim)]:
                        np.testing.assert_array_equal(getattr(by, name)(x, dim=dim), getattr(np, name)(x, dim[0]))
    infinite = np.full((5, 40), -np.inf)
    np.testing.assert_array_equal(by.argmax(infinite, dim=(1,)), np.zeros(5))
    np.testing.assert_array_equal(by.max(infinite, dim=(0,)), np.full(40, -np.inf))


def test_sums_with_infinities_and_nan(isa):
    for special, wanted in (([np.inf], np.inf), ([-np.inf], -np.inf), ([np.inf, -np.inf], np.nan), ([np.nan], np.nan)):
        x = np.ones((200, 20))
        for i, value in enumerate(special):
            x[10 + 80 * i] = value
        np.testing.assert_array_equal(by.sum(x, dim=(0,)), np.full(20, wanted))
        np.testing.assert_array_equal(by.sum(np.ascontiguousarray(x.T), dim=(1,)), np.full(20, wanted))


def test_integer_sums_wrap(isa):
    x = np.full((50, 33), np.iinfo(np.int64).max)
    for dim in ((0,), (1,), (0, 1)):
        for name in ("sum", "prod"):
            np.testing.assert_array_equal(getattr(by, name)(x, dim=dim), getattr(by, name).twin(x, dim=dim))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_running_sums_and_products_equal_numpy_s(isa, dtype, layout):
    rng = np.random.default_rng(4)
    for shape in SHAPES:
        x = LAYOUTS[layout](values(rng, shape, dtype))
        for dim in range(x.ndim):
            np.testing.assert_array_equal(by.cumsum(x, dim=(dim,)), np.cumsum(x, dim))
            np.testing.assert_array_equal(by.cumprod(x, dim=(dim,)), np.cumprod(x, dim))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_copies_between_layouts_and_dtypes(isa, dtype, layout):
    rng = np.random.default_rng(5)
    for shape in [*SHAPES, (200, 130), (40, 3, 50)]:
        for x in (LAYOUTS[layout](values(rng, shape, dtype)), np.broadcast_to(values(rng, shape[1:], dtype), shape)):
            for to, order in itertools.product(DTYPES, LAYOUTS.values()):
                out = order(np.zeros(shape, to))
                K.call("copy", (out,), (x,), (), ())
                np.testing.assert_array_equal(out, x.astype(to))


def test_what_int64_does_not_hold_becomes_its_smallest_number(isa):
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 2.0**63, -(2.0**63), 1.9, -1.9])
    for array in (x, x.astype(np.float32)):
        np.testing.assert_array_equal(by.copy(array, dtype=np.int64), by.copy.twin(array, dtype=np.int64))


@pytest.mark.parametrize("dtype", DTYPES)
def test_fill(isa, dtype):
    for shape, layout in itertools.product(SHAPES, LAYOUTS.values()):
        out = layout(np.ones(shape, dtype))
        K.call("fill", (out,), (), (), (2.5,))
        np.testing.assert_array_equal(out, np.full(shape, 2.5).astype(dtype))
        K.call("fill", (out,), (), (2**60 + 1,), ())
        np.testing.assert_array_equal(out, np.full(shape, 2**60 + 1).astype(dtype))


def refused(name, out, x, *ints):
    with pytest.raises(ValueError, match=name):
        K.call(name, (out,), (x,), ints, ())


def test_unsound_calls_are_refused(isa):
    x = np.zeros((3, 4))
    for out, dims in ((np.zeros(3), (0,)), (np.zeros((3, 4)), (0,)), (np.zeros(4), (2,)), (np.zeros(4), (-2,)),
                      (np.zeros(()), (0, 0)), (np.zeros(4, np.float32), (0,))):  # fmt: skip
        refused("sum", out, x, *dims)
    refused("max", np.zeros(4), np.zeros((0, 4)), 0)
    refused("argmax", np.zeros(4), x, 0)
    refused("cumsum", np.zeros((3, 4)), x, 2)
    refused("cumsum", np.zeros((4, 3)), x, 0)
    refused("copy", np.zeros((4, 3)), x)
    refused("copy", np.lib.stride_tricks.as_strided(x, (3, 4), (0, 8)), x)
