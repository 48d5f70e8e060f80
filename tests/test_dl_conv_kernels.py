"""Convolution and pooling in C against their NumPy twins, on every instruction set, in every layout."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest

from dl import conv_kernels as rows
from dl import kernel
from dl.reference import conv as twins

K = kernel._kernels
ISAS = () if K is None else K.isas()


@dataclass(frozen=True)
class Case:
    """x (B, C, H, W), the number of output channels O, the kernel (KH, KW) and how it moves."""

    x: tuple[int, int, int, int]
    out: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def how(self) -> dict:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def w(self) -> tuple[int, ...]:
        return (self.out, self.x[1] // self.groups, *self.kernel)

    @property
    def y(self) -> tuple[int, ...]:
        return (self.x[0], self.out, *rows.window_count(self.x, self.kernel, self.stride, self.padding, self.dilation))


CASES = [
    Case((2, 3, 9, 7), 5, padding=(1, 1)),
    Case((2, 3, 9, 7), 5, (3, 2), (2, 1), (1, 0), (1, 2)),
    Case((3, 64, 8, 8), 64, stride=(2, 2), padding=(1, 1)),
    Case((5, 17, 1, 16), 33, (1, 5), padding=(0, 2)),
    Case((1, 16, 24, 20), 48, (5, 5), padding=(2, 2)),
    Case((2, 40, 20, 20), 70, (1, 1)),
    Case((2, 20, 20, 20), 35, (1, 1), (2, 3)),
    Case((2, 3, 5, 5), 4, (2, 2), (3, 3)),
    Case((1, 4, 10, 11), 3, (2, 3), (4, 3), (1, 1)),
    Case((1, 4, 13, 11), 3, (2, 3), (3, 2), (5, 4), (2, 3)),
    Case((1, 2, 7, 9), 2, (3, 2), (1, 1), (6, 3), (2, 4)),
    Case((2, 8, 6, 5), 12, (3, 3), (1, 2), (2, 1), groups=4),
    Case((2, 37, 6, 5), 37, (3, 2), (2, 1), (1, 1), (1, 2), groups=37),
    Case((1, 1, 1, 1), 1, (1, 1), (5, 5)),
    Case((4, 32, 24, 16), 32, stride=(2, 1), padding=(1, 1)),
    Case((48, 48, 1, 16), 72, (1, 5), padding=(0, 2)),
    Case((8, 3, 32, 32), 16, stride=(2, 2), padding=(1, 1)),
    Case((8, 32, 16, 16), 32, padding=(1, 1), groups=32),
    Case((0, 3, 9, 7), 5),
    Case((2, 3, 4, 4), 0),
    Case((2, 0, 4, 4), 3),
]
POOLS = [
    Case((2, 5, 9, 7), 5, (3, 2), (2, 1), (1, 1)),
    Case((3, 16, 8, 8), 16, (2, 2), (2, 2)),
    Case((2, 33, 10, 11), 33, (3, 3), (2, 3), (1, 0), (2, 1)),
    Case((1, 3, 1, 12), 3, (1, 3), (1, 2), (0, 1)),
    Case((8, 64, 16, 16), 64, (3, 3), (1, 2), (1, 1)),
    Case((0, 3, 4, 4), 3, (2, 2), (2, 2)),
    Case((2, 0, 4, 4), 0, (2, 2), (2, 2)),
]


def named(cases):
    return [
        pytest.param(c, id=f"{c.x}-{c.out}-{c.kernel}-{c.stride}-{c.padding}-{c.dilation}-{c.groups}") for c in cases
    ]


def channels_last(a):
    out = rows.channels_last(a.shape, a.dtype)
    out[...] = a
    return out


def every_second(a):
    return np.repeat(a, 2, axis=3)[..., ::2]


def backwards(a):
    return np.ascontiguousarray(a.transpose(3, 2, 1, 0)[::-1]).transpose(3, 2, 1, 0)[..., ::-1]


LAYOUTS = [np.ascontiguousarray, channels_last, every_second, backwards]


@lru_cache(len(CASES))
def problem(case: Case):
    """(x, w, b, g) in float32, what every kernel makes of them in float64, and the same of their absolute values."""
    rng = np.random.default_rng(7)
    x, w, b, g = (rng.standard_normal(s).astype(np.float32) for s in (case.x, case.w, (case.out,), case.y))
    exact = expected(case, *(a.astype(np.float64) for a in (x, w, b, g)))
    return (x, w, b, g), exact, expected(case, *(abs(a.astype(np.float64)) for a in (x, w, b, g)))


def expected(case, x, w, b, g):
    return {
        "conv2d": twins.conv2d(x, w, b, **case.how),
        "grad_input": twins.conv2d_grad_input(g, w, shape=case.x, **case.how),
        "grad_weight": twins.conv2d_grad_weight(g, x, shape=case.w, **case.how),
        "grad_bias": twins.conv2d_grad_bias(g),
    }


def computed(case, x, w, b, g):
    return {
        "conv2d": rows.conv2d(x, w, b, **case.how),
        "grad_input": rows.conv2d_grad_input(g, w, shape=case.x, **case.how),
        "grad_weight": rows.conv2d_grad_weight(g, x, shape=case.w, **case.how),
        "grad_bias": rows.conv2d_grad_bias(g),
    }


def lengths(case) -> dict:
    """How many products each sum has."""
    taps, pixels = int(np.prod(case.kernel)), int(np.prod(case.y)) // max(case.out, 1)
    return {
        "conv2d": case.w[1] * taps + 1,
        "grad_input": case.out // case.groups * taps,
        "grad_weight": pixels,
        "grad_bias": pixels,
    }


@pytest.mark.parametrize("case", named(CASES))
def test_convolutions_equal_their_twins_within_the_bound_of_a_sum(isa, case):
    """|error| <= n eps sum |a| |b| for a sum of n products, whatever the order (Higham 2002, equation 3.4)."""
    given, exact, size = problem(case)
    for dtype in (np.float32, np.float64):
        eps = float(np.finfo(dtype).eps)
        x, w, b, g = (a.astype(dtype) for a in given)
        for layout in LAYOUTS:
            weight = backwards(w) if layout is every_second else w
            for name, y in computed(case, layout(x), weight, b, layout(g)).items():
                bound = (lengths(case)[name] + 2) * eps * size[name]
                assert y.dtype == dtype and y.shape == exact[name].shape, name
                assert np.all(abs(y - exact[name]) <= bound), (name, dtype, layout)


@pytest.mark.parametrize("case", named(CASES))
def test_gradients_are_adjoints(isa, case):
    """<conv(x, w), g> = <x, grad_input(g, w)> = <w, grad_weight(g, x)> in float64."""
    x, w, _, g = (a.astype(np.float64) for a in problem(case)[0])
    y = computed(case, channels_last(x), w, None, channels_last(g))
    inner = np.vdot(y["conv2d"], g)
    bound = 1e-13 * np.vdot(abs(y["conv2d"]), abs(g)) + 1e-13 * np.linalg.norm(x) * np.linalg.norm(w) * np.linalg.norm(
        g
    )
    assert abs(np.vdot(x, y["grad_input"]) - inner) <= bound
    assert abs(np.vdot(w, y["grad_weight"]) - inner) <= bound


@pytest.fixture
def threads():
    before = K.num_threads()
    yield K.set_num_threads
    K.set_num_threads(before)


@pytest.mark.parametrize("case", [c for c in CASES + POOLS if np.prod(c.x) >= 2**14], ids=lambda c: str(c.x))
def test_bits_do_not_depend_on_threads(isa, threads, case):
    x, w, b, g = problem(case)[0] if case in CASES else (np.random.default_rng(1).normal(size=case.x),) * 4
    seen = []
    for n in (1, 2, 3, 8):
        threads(n)
        if case in CASES:
            seen.append(computed(case, x, w, b, g) | {"last": rows.conv2d(channels_last(x), w, b, **case.how)})
        else:
            seen.append(pooled(case, channels_last(x)))
    for other in seen[1:]:
        assert all(np.array_equal(other[name], y) for name, y in seen[0].items())


@pytest.mark.parametrize(("stride", "dilation", "extra"), [((2, 3), (1, 1), (1, 2)), ((1, 2), (3, 4), (2, 3))])
def test_a_transposed_convolution_may_be_larger(isa, stride, dilation, extra):
    """output_padding: rows and columns behind the last that a convolution of the result would read."""
    rng = np.random.default_rng(5)
    g, w, b = rng.normal(size=(2, 6, 5, 7)), rng.normal(size=(6, 4, 3, 2)), rng.normal(size=4)
    size = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip((5, 7), stride, dilation, (3, 2), strict=True)]
    how = {"stride": stride, "padding": (1, 0), "dilation": dilation, "groups": 1}
    shape = (2, 4, size[0] - 2 + extra[0], size[1] + extra[1])
    y = rows.conv2d_grad_input(channels_last(g), w, b, shape=shape, **how)
    np.testing.assert_allclose(y, twins.conv2d_grad_input(g, w, b, shape=shape, **how), rtol=1e-12, atol=1e-12)


def pooled(case, x):
    how = {"kernel": case.kernel, "stride": case.stride, "padding": case.padding}
    y, index = rows.max_pool2d(x, dilation=case.dilation, **how)
    out = {"max": y, "index": index, "max_backward": rows.max_pool2d_backward(y, index, shape=x.shape)}
    if case.dilation == (1, 1):
        out["avg"] = rows.avg_pool2d(x, **how)
        out["avg_backward"] = rows.avg_pool2d_backward(out["avg"], shape=x.shape, **how)
    return out


@pytest.mark.parametrize("case", named(POOLS))
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pooling_equals_its_twin(isa, case, layout, dtype):
    x = np.random.default_rng(3).integers(-4, 5, case.x).astype(dtype)  # many equal values: the first counts
    if x.size:
        x.flat[:: max(x.size // 7, 1)] = np.nan
        x.flat[1 :: max(x.size // 5, 1)] = -np.inf
    y = pooled(case, layout(x))
    how = {"kernel": case.kernel, "stride": case.stride, "padding": case.padding}
    best, index = twins.max_pool2d(x, dilation=case.dilation, **how)
    np.testing.assert_array_equal(y["index"], index)
    np.testing.assert_array_equal(y["max"], best)
    np.testing.assert_array_equal(y["max_backward"], twins.max_pool2d_backward(best, index, shape=case.x))
    if "avg" in y:
        close = {"rtol": 20 * float(np.finfo(dtype).eps), "atol": 0.0}
        finite = np.random.default_rng(4).uniform(1, 2, case.x).astype(dtype)
        z = pooled(case, layout(finite))
        np.testing.assert_allclose(y["avg"], twins.avg_pool2d(x, **how), **close)
        np.testing.assert_allclose(z["avg"], twins.avg_pool2d(finite, **how), **close)
        np.testing.assert_allclose(z["avg_backward"], twins.avg_pool2d_backward(z["avg"], shape=case.x, **how), **close)


@pytest.mark.parametrize("bias", [True, False])
def test_bias_and_relu_are_fused(isa, bias):
    case = CASES[4]
    x, w, b, g = problem(case)[0]
    b = b if bias else None
    plain, zero = rows.conv2d(x, w, b, **case.how), np.float32(0)
    np.testing.assert_array_equal(rows.conv2d(x, w, b, act="relu", **case.how), np.maximum(plain, zero))
    up = rows.conv2d_grad_input(g, w, x[0, :, 0, 0] if bias else None, shape=case.x, **case.how)
    again = rows.conv2d_grad_input(g, w, x[0, :, 0, 0] if bias else None, shape=case.x, act="relu", **case.how)
    np.testing.assert_array_equal(again, np.maximum(up, zero))
    if bias:
        size = np.max(abs(up))
        plain = rows.conv2d_grad_input(g, w, shape=case.x, **case.how)
        np.testing.assert_allclose(up, plain + x[0, :, 0, 0][:, None, None], atol=1e-5 * size, rtol=0)


def test_nan_is_kept(isa):
    x = np.ones((1, 2, 4, 4), np.float32)
    x[0, 1, 1, 1] = np.nan
    y = rows.conv2d(x, np.ones((3, 2, 1, 1), np.float32), **CASES[5].how, act="relu")
    assert np.isnan(y[0, :, 1, 1]).all() and np.isnan(y).sum() == 3


def test_results_are_channels_last_and_pooling_keeps_the_layout(isa):
    case = CASES[2]
    x, w, b, g = problem(case)[0]
    for y in (rows.conv2d(x, w, b, **case.how), rows.conv2d_grad_input(g, w, shape=case.x, **case.how)):
        assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    how = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)}
    assert rows.avg_pool2d(x, **how).flags.c_contiguous
    assert rows.avg_pool2d(channels_last(x), **how).transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize(
    ("x", "w", "more", "message"),
    [
        ((2, 3, 8, 8), (4, 2, 3, 3), {}, r"channels do not match.*\(2, 3, 8, 8\)"),
        ((2, 3, 8, 8), (4, 3, 3, 3), {"stride": (0, 1)}, "stride"),
        ((2, 3, 8, 8), (4, 3, 3, 3), {"groups": 2}, "channels do not match"),
        ((2, 3, 8, 8), (4, 3, 3), {}, r"must be \(B, C, H, W\)"),
    ],
)
def test_what_does_not_fit_is_refused(isa, x, w, more, message):
    numbers = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1} | more
    ints, floats = rows.conv_numbers(**numbers)
    arrays = np.zeros(x, np.float32), np.zeros(w, np.float32), None
    with pytest.raises(ValueError, match=message):
        K.call("conv2d", (np.zeros((2, 4, 6, 6), np.float32),), arrays, ints, floats)
    with pytest.raises(ValueError, match="float32"):
        mixed = np.zeros((2, 3, 8, 8)), np.zeros((4, 3, 3, 3), np.float32), None
        K.call("conv2d", (np.zeros((2, 4, 6, 6), np.float32),), mixed, ints, floats)
