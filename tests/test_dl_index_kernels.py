"""take, index_add, gather and scatter_add in C: against their twins, plain indexing, and each other's transposes."""

import numpy as np
import pytest
from dl_kernel_cases import LAYOUTS

from dl import index_kernels as by
from dl import kernel

K = kernel._kernels
pytestmark = pytest.mark.skipif(K is None, reason="the C extension was not built")
DTYPES = (np.float32, np.float64, np.int64, np.bool_)
TAKES = [
    *[((5,), (3,), 0), ((5,), (), 0), ((5, 4), (2, 3), 0), ((5, 4), (7,), 1), ((2, 6, 3), (4,), 1)],
    *[((4, 1, 70), (9,), 0), ((0, 3), (0,), 0), ((3, 0), (2,), 0), ((2, 3), (0, 4), 1), ((2, 3, 4, 5), (2, 2), 2)],
]
GATHERS = [
    *[((5,), (3,), 0), ((5, 4), (2, 4), 0), ((5, 4), (5, 9), 1), ((5, 4), (3, 2), 1), ((3, 4, 6), (2, 4, 5), 1)],
    *[((3, 0), (3, 0), 0), ((3, 4), (0, 4), 0), ((1000, 6), (1000, 1), 1)],
]
LONG = [((40, 4000), (300,), 0), ((50, 300, 8), (700,), 1), ((9,), (300_000,), 0)]


def values(rng, shape, dtype):
    x = rng.integers(-50, 50, shape)
    return np.asarray(x if dtype is np.int64 else x % 2 == 0 if dtype is np.bool_ else x / 7, dtype)


def indices(rng, shape, size):
    return np.asarray(rng.integers(-size, size, shape) if size else np.zeros(shape), np.int64)


def equal(got, wanted):
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape, index, dim", TAKES)
def test_take_and_its_transpose(isa, shape, index, dim, layout):
    for dtype in DTYPES:
        rng, lay = np.random.default_rng(0), LAYOUTS[layout]
        x, i = values(rng, shape, dtype), indices(rng, index, shape[dim])
        got = by.take(lay(x), lay(i), dim=dim)
        equal(got, by.take.twin(x, i, dim=dim))
        equal(got, (np.take(x, i, dim), np.array(0)))
        if dtype is not np.bool_:
            g = values(rng, got[0].shape, dtype)
            how = {"dim": dim, "size": shape[dim]}
            equal(by.index_add(lay(g), lay(i), **how), by.index_add.twin(g, i, **how))
            if dtype is np.int64:  # exact, hence <take(x), g> = <x, index_add(g)>
                assert (got[0] * g).sum() == (x * by.index_add(g, i, **how)[0]).sum()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape, index, dim", GATHERS)
def test_gather_and_its_transpose(isa, shape, index, dim, layout):
    for dtype in DTYPES:
        rng, lay = np.random.default_rng(0), LAYOUTS[layout]
        x, i = values(rng, shape, dtype), indices(rng, index, shape[dim])
        got = by.gather(lay(x), lay(i), dim=dim)
        equal(got, by.gather.twin(x, i, dim=dim))
        seen = x[tuple(slice(0, n) if d != dim else slice(None) for d, n in enumerate(index))]
        equal(got[:1], [np.take_along_axis(seen, i, dim)])
        if dtype is np.bool_:
            continue
        src = values(rng, [n + 1 for n in index], dtype)  # larger than the index: the rest is not used
        equal(by.scatter_add(lay(x), lay(i), lay(src), dim=dim), by.scatter_add.twin(x, i, src, dim=dim))
        if dtype is np.int64:
            corner = src[tuple(slice(0, n) for n in index)]
            added = by.scatter_add(np.zeros_like(x), i, src, dim=dim)[0]
            assert (got[0] * corner).sum() == (x * added).sum()


@pytest.mark.parametrize("shape, index, dim", LONG)
def test_bits_do_not_depend_on_the_number_of_threads(isa, shape, index, dim):
    def run(threads):
        K.set_num_threads(threads)
        y, _ = by.take(x, i, dim=dim)
        added, _ = by.index_add(y, i, dim=dim, size=shape[dim])
        wide = np.broadcast_to(i[(slice(None), *(None,) * (x.ndim - dim - 1))], y.shape)
        scattered, _ = by.scatter_add(x, wide, y, dim=dim)
        return [a.tobytes() for a in (y, added, scattered, by.gather(x, wide, dim=dim)[0])]

    rng, before = np.random.default_rng(0), K.num_threads()
    x, i = rng.normal(size=shape).astype(np.float32), indices(rng, index, shape[dim])
    try:
        assert run(1) == run(2) == run(3)
    finally:
        K.set_num_threads(before)


@pytest.mark.parametrize("bad", [5, -6, 2**62, -(2**62), np.iinfo(np.int64).min, np.iinfo(np.int64).max])
def test_an_index_out_of_range_is_told_and_touches_nothing(isa, bad):
    x, i = np.arange(1.0, 16.0).reshape(5, 3), np.array([4, -5, bad, bad, 0])
    y, status = by.take(x, i, dim=0)
    np.testing.assert_array_equal(y, [x[4], x[0], 0 * x[0], 0 * x[0], x[0]])
    equal((y, status), by.take.twin(x, i, dim=0))
    told = rf"take: index {bad} at \[2\] is out of range for dim 0 of size 5: wanted -5 \.\.\. 4"
    with pytest.raises(IndexError, match=told):
        by.refuse_index("take", status, i, 5, 0)
    equal(by.index_add(y, i, dim=0, size=5), by.index_add.twin(y, i, dim=0, size=5))
    wide = np.stack([i, i, i], 1)
    equal(by.gather(x, wide, dim=0), by.gather.twin(x, wide, dim=0))
    equal(by.scatter_add(x, wide, x, dim=0), by.scatter_add.twin(x, wide, x, dim=0))


def test_no_index_fits_an_empty_dim(isa):
    x, at = np.zeros((0, 2)), np.array([[0, -1]])
    y, status = by.gather(x, at, dim=0)
    assert not y.any() and y.shape == (1, 2)
    with pytest.raises(IndexError, match=r"gather: index 0 at \[0, 0\] is out of range: dim 0 is empty"):
        by.refuse_index("gather", status, at, 0, 0)
    equal((y, status), by.gather.twin(x, at, dim=0))
    equal(by.take(x, at, dim=0), by.take.twin(x, at, dim=0))


def test_bad_calls_are_refused():
    x, i, status = np.zeros((4, 3), np.float32), np.zeros((2, 3), np.int64), np.zeros((), np.int64)
    for name, outs, ins, dim in [
        ("take", (np.zeros((2, 3, 3)), status), (x, i), 0),
        ("take", (np.zeros((2, 3), np.float32), status), (x, i), 0),
        ("take", (np.zeros((2, 3, 3), np.float32), status), (x, i.astype(np.float32)), 0),
        ("take", (np.zeros((2, 3, 3), np.float32), status), (x, i), 2),
        ("index_add", (x.astype(bool), status), (np.zeros((2, 3, 3), bool), i), 0),
        ("gather", (np.zeros((2, 4), np.float32), status), (x, np.zeros((2, 4), np.int64)), 0),
        ("scatter_add", (x, status), (x, i, x[:1]), 0),
        ("scatter_add", (x, status), (x.astype(np.float64), i, x), 0),
    ]:
        with pytest.raises(ValueError, match=rf"dl\.{name}: "):
            K.call(name, outs, ins, (dim,), ())
