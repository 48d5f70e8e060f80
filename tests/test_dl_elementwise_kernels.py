"""The elementwise micro-operations in C: against their twins and long double, lane by lane, and fused into programs."""

import re
from pathlib import Path

import numpy as np
import pytest
from dl_elementwise_oracles import EDGES, FUNCTIONS, PAIRS, points, ulps
from dl_kernel_cases import LAYOUTS

from dl import kernel
from dl.reference.elementwise import BINARY, TERNARY, TWINS, UNARY

K = kernel._kernels
pytestmark = pytest.mark.skipif(K is None, reason="the C extension was not built")
TABLE = K.micro_ops() if K else {}
DTYPES = (np.float32, np.float64, np.int64, np.bool_)
FLOATS = (np.float32, np.float64)
CODES = {np.dtype(t): i for i, t in enumerate(DTYPES)}
LONG_IS_LONGER = np.finfo(np.longdouble).eps < 1e-18
HEADER = Path(__file__).parents[1] / "dl" / "csrc" / "vecmath.h"
STATED = {name: (float(a), float(b)) for name, a, b in re.findall(r"(\w+) +(\d\.\d) +(\d\.\d)", HEADER.read_text())}
POSITIVE = ("log", "log2", "log10", "log1p", "sqrt", "rsqrt", "acosh")
OF_TWINS = 12  # ulp: the twins are NumPy's formulas in the same precision


def accepts(name, dtype):
    return TABLE[name][2][CODES[np.dtype(dtype)]] >= 0


def run(name, *arrays):
    return K.elementwise(TABLE[name][0], *arrays)


def twin(name, *arrays):
    with np.errstate(all="ignore"):
        return np.asarray(TWINS[name](*arrays))


def values(rng, name, shape, dtype):
    if dtype is np.bool_:
        return np.asarray(rng.random(shape) < 0.5)
    if dtype is np.int64:
        return np.asarray(rng.integers(-7, 8, shape))
    x = rng.uniform(-4, 4, shape)
    x = x / 4 if name in ("asin", "acos", "atanh") else abs(x) + (name == "acosh") if name in POSITIVE else x
    return np.asarray(x, dtype)


def operands(rng, name, shapes, dtype):
    arity = TABLE[name][1]
    arrays = [values(rng, name, shapes[i % len(shapes)], dtype) for i in range(arity)]
    if name == "where":
        arrays[0] = np.asarray(rng.random(arrays[0].shape) < 0.5)
    if name == "pow" and dtype in FLOATS:
        arrays[0] = np.asarray(np.abs(arrays[0]))
    return arrays


def agree(name, got, wanted, dtype):
    assert got.dtype == wanted.dtype and got.shape == wanted.shape, name
    if name not in STATED or dtype not in FLOATS:
        np.testing.assert_array_equal(got, wanted, err_msg=name)
        return
    bound = STATED[name][dtype is np.float64] + OF_TWINS
    scale = np.maximum(np.abs(wanted), 0.5 if name.endswith("_grad") else 0)
    np.testing.assert_array_less(np.abs(got - wanted), bound * np.finfo(dtype).eps * scale + 1e-300, err_msg=name)


def test_the_table_in_c_and_the_twins_have_the_same_operations():
    assert set(TABLE) == set(TWINS)
    for arity, twins in enumerate((UNARY, BINARY, TERNARY), 1):
        assert all(TABLE[name][1] == arity for name in twins)
    assert all(name in STATED for name in (*FUNCTIONS, *PAIRS))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_operation_dtype_and_layout_against_its_twin(isa, layout):
    rng = np.random.default_rng(0)
    for name in TABLE:
        for dtype in DTYPES:
            if not accepts(name, dtype):
                continue
            for shape in ((), (0,), (1,), (7,), (67,), (3, 0, 2), (5, 33), (4, 3, 17), (1025,)):
                arrays = [LAYOUTS[layout](a) for a in operands(rng, name, [shape], dtype)]
                agree(name, run(name, *arrays), twin(name, *arrays), dtype)


BROADCAST = [((3, 1), (1, 70)), ((6,), (50, 6), ()), ((), (9,)), ((4, 1, 130), (5, 1)), ((0, 3), (1, 3)), ((600,), ())]


@pytest.mark.parametrize("shapes", BROADCAST)
def test_operands_are_broadcast(isa, shapes):
    rng = np.random.default_rng(1)
    for name in (*BINARY, *TERNARY):
        for dtype in DTYPES:
            if accepts(name, dtype):
                arrays = operands(rng, name, shapes, dtype)
                agree(name, run(name, *arrays), twin(name, *arrays), dtype)


@pytest.mark.skipif(not LONG_IS_LONGER, reason="long double is double here")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_stated_error_of_functions(isa, name, dtype):
    x = points(np.random.default_rng(2), name, dtype, 4000)
    y = run(name, x)
    with np.errstate(all="ignore"):
        exact = np.asarray(FUNCTIONS[name](x.astype(np.longdouble)))
    error = ulps(y, exact, dtype)
    if name.endswith("_grad"):
        finite = np.isfinite(exact)
        error[finite] = np.abs(y[finite] - exact[finite]) / (np.finfo(dtype).eps / 2)
    worst = int(np.argmax(error))
    assert error[worst] <= STATED[name][dtype is np.float64], (x[worst], y[worst], exact[worst])


@pytest.mark.skipif(not LONG_IS_LONGER, reason="long double is double here")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", PAIRS)
def test_stated_error_of_functions_of_two(isa, name, dtype):
    rng = np.random.default_rng(3)
    x, y = (rng.permutation(points(rng, name, dtype, 4000)) for _ in range(2))
    edges = np.array(EDGES, dtype)
    x = np.concatenate([x, np.repeat(edges, len(edges)), rng.uniform(0, 3, 4000).astype(dtype)])
    y = np.concatenate([y, np.tile(edges, len(edges)), rng.uniform(-20, 20, 4000).astype(dtype)])
    got = run(name, x, y)
    with np.errstate(all="ignore"):
        exact = PAIRS[name](x.astype(np.longdouble), y.astype(np.longdouble))
    error = ulps(got, exact, dtype)
    worst = int(np.argmax(error))
    assert error[worst] <= STATED[name][dtype is np.float64], (x[worst], y[worst], got[worst], exact[worst])
    known = ~np.isnan(exact)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(exact[known]))


@pytest.mark.parametrize("dtype", FLOATS)
def test_exact_operations_on_edges_equal_numpy(isa, dtype):
    info = np.finfo(dtype)
    small = np.array([*EDGES, info.max, -info.max, info.tiny, -info.smallest_subnormal, 1.5, -2.5, 3.7, 1e30], dtype)
    rng = np.random.default_rng(4)
    x = np.concatenate(
        [np.repeat(small, len(small)), rng.normal(0, 100, 500), points(rng, "", dtype, 300)], dtype=dtype
    )
    y = np.concatenate([np.tile(small, len(small)), rng.normal(0, 1, 500), points(rng, "", dtype, 300)], dtype=dtype)
    for name in (*UNARY, *BINARY):
        if name in STATED or not accepts(name, dtype):
            continue
        arrays = (x, y)[: TABLE[name][1]]
        got, wanted = run(name, *arrays), twin(name, *arrays)
        np.testing.assert_array_equal(got, wanted, err_msg=name)
        if got.dtype == dtype and name not in ("maximum", "minimum", "relu"):  # which zero they give is open
            known = ~np.isnan(wanted)
            np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(wanted[known]), err_msg=name)
    np.testing.assert_array_equal(run("clip", x, y, y), twin("clip", x, y, y))


def test_integers_wrap_as_numpy_s_do(isa):
    info = np.iinfo(np.int64)
    small = np.array([0, 1, -1, 2, -2, 3, -7, 63, 64, info.max, info.min, info.min + 1, 2**53 + 1])
    x, y = np.repeat(small, len(small)), np.tile(small, len(small))
    for name in TABLE:
        if accepts(name, np.int64) and TABLE[name][1] < 3:
            arrays = (x, y)[: TABLE[name][1]]
            np.testing.assert_array_equal(run(name, *arrays), twin(name, *arrays), err_msg=name)


@pytest.mark.parametrize("dtype", FLOATS)
def test_large_arguments_of_sin_cos_and_tan(isa, dtype):
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(size=50), 10 ** rng.uniform(6, 30, 50), [np.inf, np.nan]]).astype(dtype)
    for name, f in (("sin", np.sin), ("cos", np.cos), ("tan", np.tan)):
        with np.errstate(invalid="ignore"):
            exact = f(x.astype(np.float64)).astype(dtype)
        np.testing.assert_allclose(run(name, x), exact, rtol=8 * np.finfo(dtype).eps)
        np.testing.assert_array_equal(run(name, x[:50]), run(name, x)[:50])  # a large neighbour changes nothing


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_lane_s_result_does_not_depend_on_where_it_lies(isa, dtype):
    for name in TABLE:
        if not accepts(name, dtype):
            continue
        rng = np.random.default_rng(6)
        arrays = [points(rng, name, dtype, 30)[:181] for _ in range(TABLE[name][1])]
        if name == "where":
            arrays[0] = arrays[0] > 0
        shortest = min(len(a) for a in arrays)
        arrays = [a[:shortest] for a in arrays]
        whole = run(name, *arrays)
        single = np.array([run(name, *[a[i] for a in map(np.atleast_2d, [b.reshape(-1, 1) for b in arrays])])[0]
                           for i in range(shortest)])  # fmt: skip
        known = ~np.isnan(whole)
        assert np.array_equal(known, ~np.isnan(single)), name
        assert whole[known].tobytes() == single[known].tobytes(), name
        shifted = run(name, *[a[3:] for a in arrays])
        assert whole[3:][known[3:]].tobytes() == shifted[known[3:]].tobytes(), name


def test_threads_do_not_change_a_bit(isa):
    rng, before = np.random.default_rng(7), K.num_threads()
    try:
        for name in TABLE:
            for dtype in (np.float32, np.int64):
                if not accepts(name, dtype):
                    continue
                arrays = operands(rng, name, [(300, 333)], dtype)
                results = []
                for threads in (1, 2, 3):
                    K.set_num_threads(threads)
                    results.append(run(name, *arrays))
                assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes(), name
    finally:
        K.set_num_threads(before)


def test_dtypes_that_do_not_exist_are_refused(isa):
    with pytest.raises(ValueError, match="no such operation"):
        run("exp", np.arange(3))
    with pytest.raises(ValueError, match="one dtype"):
        run("add", np.zeros(3), np.zeros(3, np.float32))
