"""The matrix product in C: sizes, strides, batches and epilogues against NumPy, on every instruction set."""

import itertools

import numpy as np
import pytest

from dl import kernel
from dl.matmul_kernels import gemm
from dl.reference.matmul import gemm as twin

K = kernel._kernels
ISAS = () if K is None else K.isas()
FLOATS = (np.float32, np.float64)
SIZES = (0, 1, 2, 5, 6, 7, 8, 13, 16, 17, 31, 33, 64, 65, 100, 257)
pytestmark = pytest.mark.skipif(not ISAS, reason="the C extension was not built")


def normal(rng, shape, dtype):
    if np.issubdtype(dtype, np.integer):
        return rng.integers(-(2**62), 2**62, size=shape)
    return rng.normal(size=shape).astype(dtype)


# how a matrix may lie in memory: a function from (rng, shape, dtype) to an array of that shape
LAYOUTS = {
    "rows": normal,
    "columns": lambda rng, s, dtype: normal(rng, (*s[:-2], s[-1], s[-2]), dtype).swapaxes(-1, -2),
    "sliced": lambda rng, s, dtype: normal(rng, (*s[:-2], s[-2] + 3, 2 * s[-1] + 5), dtype)[
        ..., 2 : 2 + s[-2], 3 : 3 + 2 * s[-1] : 2
    ],
    "backwards": lambda rng, s, dtype: normal(rng, s, dtype)[..., ::-1, ::-1],
    "wide rows": lambda rng, s, dtype: normal(rng, (*s[:-2], s[-2], 1100), dtype)[..., 5 : 5 + s[-1]],
    "wide columns": lambda rng, s, dtype: normal(rng, (*s[:-2], s[-1], 1100), dtype).swapaxes(-1, -2)[
        ..., 5 : 5 + s[-2], :
    ],
    "one row": lambda rng, s, dtype: np.broadcast_to(normal(rng, (*s[:-2], 1, s[-1]), dtype), s),
    "one column": lambda rng, s, dtype: np.broadcast_to(normal(rng, (*s[:-2], s[-2], 1), dtype), s),
}


def assert_right(c, a, b, bias=None):
    """|c - a b - bias| <= 2 (k + 2) eps (|a| |b| + |bias|): sums in any order, twice where NumPy's is no more exact."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    offset = np.zeros(1) if bias is None else bias.astype(np.float64)
    bound = 2 * (a.shape[-1] + 2) * np.finfo(c.dtype).eps * (np.abs(a) @ np.abs(b) + np.abs(offset))
    wanted = a @ b + offset
    assert c.shape == wanted.shape
    assert np.all(np.abs(c - wanted) <= bound)


def run_into(c, a, b, bias=None, act=0):
    """The kernel on an output of any layout."""
    K.call("gemm", (c,), (a, b, bias), (act,), ())
    return c


def on_threads(a, b):
    """a b on one thread and on teams, however small: equal bits."""
    one = gemm(a, b)

    def operand(i, x):
        return i, 0, 0 if x.dtype == np.float32 else 1 if x.dtype == np.float64 else 2, x.shape, strides(x)

    def strides(x):
        return tuple(s // x.itemsize for s in x.strides)

    for threads in (2, 3):
        c = np.full_like(one, 7)
        call = ("gemm", (operand(0, c),), (operand(1, a), operand(2, b), None), (0,), (), True, 0)
        K.Program([c, a, b], [call], [], [], threads)()
        np.testing.assert_array_equal(c, one)
    return one


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("m", SIZES)
def test_products_of_all_sizes(isa, dtype, m):
    rng = np.random.default_rng(m)
    for n, k, (at, bt) in zip(
        np.tile(SIZES, 12), rng.permutation(np.tile(SIZES, 12)), itertools.cycle(itertools.product((0, 1), repeat=2))
    ):
        a = normal(rng, (k, m) if at else (m, k), dtype)
        b = normal(rng, (n, k) if bt else (k, n), dtype)
        a, b = a.T if at else a, b.T if bt else b
        assert_right(on_threads(a, b), a, b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("b_layout", LAYOUTS)
@pytest.mark.parametrize("a_layout", LAYOUTS)
def test_products_of_all_layouts(isa, dtype, a_layout, b_layout):
    rng = np.random.default_rng(0)
    for m, n, k in [(1, 33, 40), (9, 1, 18), (37, 6, 100), (30, 17, 20), (70, 50, 33), (400, 3, 4), (5, 260, 9)]:
        a, b = LAYOUTS[a_layout](rng, (m, k), dtype), LAYOUTS[b_layout](rng, (k, n), dtype)
        assert_right(gemm(a, b), a, b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(400, 300, 1040), (1100, 270, 520), (30, 40, 1600), (33, 17, 1100), (520, 7, 530)])
def test_products_in_several_blocks_of_k(isa, dtype, shape):
    rng = np.random.default_rng(0)
    m, n, k = shape
    for at, bt in itertools.product((0, 1), repeat=2):
        a = normal(rng, (k, 1100), dtype)[:, :m].T if at else normal(rng, (m, k), dtype)
        b = normal(rng, (n, k), dtype).T if bt else normal(rng, (k, 1100), dtype)[:, :n]
        assert_right(on_threads(a, b), a, b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", ["rows", "columns", "sliced", "backwards"])
def test_results_of_all_layouts_touch_nothing_else(isa, dtype, layout):
    rng = np.random.default_rng(0)
    for (m, n, k), act, at in itertools.product(
        [(1, 40, 33), (19, 33, 8), (70, 6, 96), (64, 17, 20), (5, 129, 17), (40, 1, 70)], (0, 1, 2), (0, 1)
    ):
        a, b, bias = normal(rng, (m, k), dtype), normal(rng, (k, n), dtype), normal(rng, (n,), dtype)
        a = a if at else np.asfortranarray(a)
        for bb in (b, np.asfortranarray(b)):
            memory = np.full((m + 8, 2 * n + 16), 7.0, dtype)
            c = {
                "rows": memory[4 : 4 + m, 5 : 5 + n],
                "columns": memory.reshape(2 * n + 16, m + 8)[4 : 4 + n, 3 : 3 + m].T,
                "sliced": memory[4 : 4 + m, 5 : 5 + 2 * n : 2],
                "backwards": memory[4 : 4 + m, 5 : 5 + n][::-1, ::-1],
            }[layout]
            np.testing.assert_array_equal(
                run_into(c, a, bb, bias, act), gemm(a, bb, bias, act=("none", "relu", "tanh")[act])
            )
            c[...] = 7
            assert np.all(memory == 7)


@pytest.mark.parametrize("dtype", [*FLOATS, np.int64])
def test_batches_broadcast(isa, dtype):
    rng = np.random.default_rng(0)
    for left, right in [
        ((), (3,)), ((5,), ()), ((2, 3), (3,)), ((4, 1), (1, 5)), ((2, 1, 3), (2, 4, 1)), ((0, 2), (2,)), ((7,), (7,)),
        ((1, 2, 1, 2, 1, 2), (2, 1, 2, 1, 2, 1)), ((16,), (16,)), ((1,), (6,)),
    ]:  # fmt: skip
        for m, n, k in [(1, 20, 16), (7, 9, 5), (33, 1, 17), (3, 0, 2), (2, 3, 0)]:
            a, b = normal(rng, (*left, m, k), dtype), LAYOUTS["columns"](rng, (*right, k, n), dtype)
            for x in (a, a.swapaxes(0, -3) if a.ndim > 3 and a.shape[0] == a.shape[-3] else a):
                y = on_threads(x, b)
                if dtype is np.int64:
                    np.testing.assert_array_equal(y, x @ b)
                else:
                    assert_right(y, x, b)


@pytest.mark.parametrize("dtype", FLOATS)
def test_rows_do_not_depend_on_their_company(isa, dtype):
    """Equal bits for any rows together, from two on, and for a row alone in a batch of any size."""
    rng = np.random.default_rng(0)
    for n, k in itertools.product((1, 2, 6, 10, 12, 13, 17, 64, 130), (7, 17, 64, 200, 600)):
        for a, b in itertools.product(
            (normal(rng, (70, k), dtype), normal(rng, (k, 70), dtype).T),
            (normal(rng, (k, n), dtype), normal(rng, (n, k), dtype).T),
        ):
            c = gemm(a, b)
            for begin, end in [(0, 2), (3, 8), (5, 38), (40, 70)]:
                np.testing.assert_array_equal(gemm(a[begin:end], b), c[begin:end])
            alone = gemm(a[:, None], b)
            np.testing.assert_array_equal(gemm(a[9:10], b), alone[9])


@pytest.mark.parametrize("dtype", FLOATS)
def test_bias_and_activation_are_those_of_separate_steps(isa, dtype):
    """act(a b + bias) has the bits of its three steps; NaN stays NaN and relu(-0) is 0."""
    rng = np.random.default_rng(0)
    for m, n, k in [
        (1, 64, 17),
        (1, 6, 64),
        (64, 6, 128),
        (64, 17, 64),
        (37, 100, 65),
        (5, 1, 33),
        (3, 2, 0),
        (9, 33, 600),
    ]:
        a, wide = normal(rng, (m, k), dtype), normal(rng, (n, 3), dtype)
        a[m // 2] = np.nan
        for b in (normal(rng, (k, n), dtype), normal(rng, (n, k), dtype).T, np.zeros((k, n), dtype)):
            for bias in (wide[:, 0].copy(), wide[:, 1], np.zeros(n, dtype), np.full(n, -0.0, dtype)):
                sums = gemm(a, b) + bias
                np.testing.assert_array_equal(gemm(a, b, bias), sums)
                rectified = gemm(a, b, bias, act="relu")
                np.testing.assert_array_equal(rectified, np.maximum(sums, 0))
                assert not np.any(np.signbit(rectified[~np.isnan(rectified)]))
                tanh = K.elementwise(K.micro_op("tanh"), sums)
                np.testing.assert_array_equal(gemm(a, b, bias, act="tanh"), tanh)


def test_infinities_and_nans_spread_as_in_numpy(isa):
    a = np.array([[np.inf, 1.0, 0.0], [np.nan, 0.0, 1.0]])
    b = np.array([[0.0, 1.0], [1.0, np.nan], [2.0, 3.0]])
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(gemm(a, b), a @ b)


def test_the_twin_agrees():
    rng = np.random.default_rng(0)
    a, b, bias = (normal(rng, s, np.float64) for s in [(3, 1, 9, 5), (4, 5, 7), (7,)])
    for act in ("none", "relu", "tanh"):
        np.testing.assert_allclose(gemm(a, b, bias, act=act), twin(a, b, bias, act=act), rtol=1e-13, atol=1e-13)


def test_bad_input_is_refused():
    x = np.zeros((3, 4))
    for arrays, text in [
        ((x, x), r"sizes do not fit.*\(3, 4\), \(3, 4\), \(3, 4\)"),
        ((x, np.zeros((4, 2), np.float32)), "one dtype"),
        ((x > 0, x.T > 0), "one dtype"),
        ((x, x.T, np.zeros(4)), r"bias of shape \(n,\)"),
        ((np.zeros((2, 3, 4)), np.zeros((3, 4, 2))), r"\[2, 3, 4\] and \[3, 4, 2\] do not broadcast"),
    ]:
        with pytest.raises(ValueError, match=text):
            gemm(*arrays)
    for c in (np.zeros((2, 3, 3)), np.zeros(3)):
        with pytest.raises(ValueError, match=r"dl\.gemm"):
            run_into(c, np.zeros((3, 3, 4)), x.T)
    with pytest.raises(ValueError, match="activation"):
        run_into(np.zeros((3, 3), int), np.zeros((3, 4), int), np.zeros((4, 3), int), None, 2)
    with pytest.raises(KeyError):
        gemm(x, x.T, act="gelu")
