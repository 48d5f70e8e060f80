"""Softmax, cross-entropy, norms and attention in C: against their NumPy twins, SciPy, and finite differences."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import scipy.special
from dl_kernel_cases import LAYOUTS, channels_last

from dl import kernel
from dl import nn_kernels as nn

K = kernel._kernels
pytestmark = pytest.mark.skipif(K is None, reason="the C extension was not built")
DTYPES = (np.float32, np.float64)
EPS = 1e-5


@dataclass(frozen=True)
class Case:
    """A forward kernel, the shapes of its inputs, and its backward kernel by how it is called.

    backward(g, inputs, outputs) -> gradients of the first inputs; bound: in ulps of the largest element of a result.
    """

    kernel: kernel.Kernel
    shapes: tuple
    attrs: dict = field(default_factory=dict)
    backward: object = None
    bound: float = 16

    def inputs(self, dtype, seed=0):
        rng = np.random.default_rng(seed)
        return [None if s is None else np.asarray(2 * rng.normal(size=s) + 0.5, dtype) for s in self.shapes]

    def __str__(self):
        return f"{self.kernel.name} {self.shapes} {self.attrs}"


def softmax(shape, dim):
    back = lambda g, x, out: nn.softmax_backward(g, out[0], dim=dim)  # noqa: E731
    return Case(nn.softmax, (shape,), {"dim": dim}, back)


def log_softmax(shape, dim):
    back = lambda g, x, out: nn.log_softmax_backward(g, out[0], dim=dim)  # noqa: E731
    return Case(nn.log_softmax, (shape,), {"dim": dim}, back)


def layer(shape, weight=True, bias=True):
    d = shape[-1:]
    back = lambda g, x, out: nn.layer_norm_backward(g, x[0], out[1], out[2], x[1])  # noqa: E731
    shapes = (shape, d if weight else None, d if bias else None)
    return Case(nn.layer_norm, shapes, {"eps": EPS}, back, bound=32)


def rms(shape, weight=True):
    back = lambda g, x, out: nn.rms_norm_backward(g, x[0], out[1], x[1])  # noqa: E731
    return Case(nn.rms_norm, (shape, shape[-1:] if weight else None), {"eps": EPS}, back, bound=32)


def group(shape, groups, weight=True):
    c = shape[1:2] if weight else None
    back = lambda g, x, out: nn.group_norm_backward(g, x[0], out[1], out[2], x[1], groups=groups)  # noqa: E731
    return Case(nn.group_norm, (shape, c, c), {"groups": groups, "eps": EPS}, back, bound=64)


def attention(b, h, t, s, e, ev, causal, mask=None):
    attrs = {"scale": 0.4, "causal": causal}
    back = lambda g, x, out: nn.attention_backward(g, *x, *out, **attrs)  # noqa: E731
    return Case(nn.attention, ((b, h, t, e), (b, h, s, e), (b, h, s, ev), mask), attrs, back, bound=64)


SOFTMAX = [((), 0), ((7,), 0), ((3, 5), 0), ((3, 5), 1), ((2, 3, 33), 1), ((2, 4100), 1), ((19, 16), 1)]
LOG_SOFTMAX = [((1,), 0), ((3, 17), 1), ((5, 3, 2), 0), ((33, 8), 1)]
LAYER = [(1,), (2, 1), (3, 17), (2, 5, 64), (37, 5), (1, 4099)]
GROUP = [((2, 6, 5), 3), ((1, 4), 2), ((3, 70, 4, 5), 7), ((2, 8, 3, 1, 2), 1), ((3, 128, 16), 8), ((2, 5, 300), 5)]
HEADS = [(1, 1, 1, 1, 1, 1), (2, 3, 5, 7, 4, 6), (1, 2, 64, 64, 32, 32), (1, 1, 70, 130, 20, 17), (1, 1, 130, 70, 3, 8)]
SMALL = [
    *(softmax(*a) for a in SOFTMAX),
    *(log_softmax(*a) for a in LOG_SOFTMAX),
    *(Case(nn.logsumexp, (s,), {"dim": d}) for s, d in [((), 0), ((4,), 0), ((3, 37), 1), ((6, 2, 3), 1)]),
    *(layer(s) for s in LAYER),
    layer((4, 9), weight=False, bias=False),
    layer((4, 9), bias=False),
    *(rms(s) for s in [(5,), (3, 17), (2, 3, 130)]),
    rms((4, 9), weight=False),
    *(group(*a) for a in GROUP),
    group((2, 6, 4), 2, weight=False),
    *(attention(*a, causal) for causal in (False, True) for a in HEADS),
    attention(2, 2, 9, 13, 5, 5, False, (9, 13)),
    attention(2, 2, 70, 13, 5, 5, True, (2, 1, 70, 13)),
    attention(1, 2, 5, 80, 5, 5, False, (1, 2, 1, 80)),
]
EMPTY = [
    *(softmax(*a) for a in [((0, 3), 1), ((3, 0), 1), ((3, 0), 0)]),
    log_softmax((0,), 0),
    layer((0, 4)),
    rms((0, 4)),
    *(group(*a) for a in [((0, 4, 3), 2), ((2, 4, 0), 2)]),
    *(attention(*a, True) for a in [(0, 2, 3, 3, 4, 4), (1, 2, 0, 3, 4, 4), (1, 2, 3, 0, 4, 4)]),
    *(attention(*a, False) for a in [(1, 1, 3, 0, 2, 2), (1, 1, 3, 3, 2, 0)]),
]
LARGE = [
    softmax((3000, 150), 1),
    softmax((20, 150, 100), 1),
    log_softmax((3000, 150), 1),
    Case(nn.logsumexp, ((5000, 100),), {"dim": 1}),
    layer((5001, 96)),
    rms((5001, 96)),
    group((67, 64, 96), 8),
    attention(3, 1, 700, 700, 32, 32, True),
    attention(1, 1, 1000, 900, 48, 40, False),
]


def results(out):
    return out if isinstance(out, tuple) else (out,)


def assert_near(got, wanted, bound, what):
    """Within `bound` ulps of the largest finite element of all results; NaN and infinities in the same places."""
    scale = max(np.abs(a[np.isfinite(a)]).max(initial=np.finfo(a.dtype).tiny) for a in wanted)
    for a, b in zip(got, wanted, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype, what
        np.testing.assert_allclose(a, b, rtol=0, atol=bound * np.finfo(a.dtype).eps * scale, err_msg=str(what))


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_kernels_equal_their_twins_in_every_layout(isa, case):
    for dtype in DTYPES:
        inputs = case.inputs(dtype)
        wanted = results(case.kernel.twin(*inputs, **case.attrs))
        for name, layout in LAYOUTS.items():
            laid = [None if x is None else layout(x) for x in inputs]
            assert_near(results(case.kernel(*laid, **case.attrs)), wanted, case.bound, (name, dtype))


@pytest.mark.parametrize("case", [c for c in SMALL if c.backward], ids=str)
def test_backward_kernels_equal_their_twins_in_every_layout(isa, case, monkeypatch):
    for dtype in DTYPES:
        inputs = case.inputs(dtype)
        out = results(case.kernel.twin(*inputs, **case.attrs))
        g = np.asarray(np.random.default_rng(1).normal(size=out[0].shape), dtype)
        with monkeypatch.context() as no_c:
            no_c.setattr(kernel, "_kernels", None)
            wanted = results(case.backward(g, inputs, out))
        for name, layout in LAYOUTS.items():
            laid = [None if x is None else layout(x) for x in inputs]
            got = results(case.backward(layout(g), laid, [layout(x) for x in out]))
            assert_near(got, wanted, 2 * case.bound, (name, dtype))


@pytest.mark.parametrize("case", [c for c in SMALL if c.backward], ids=str)
def test_backward_kernels_are_derivatives(isa, case):
    """<g, (f(x + h d) - f(x - h d)) / 2h> = <dx, d> in float64, for each input that has a gradient."""
    inputs, rng, h = case.inputs(np.float64), np.random.default_rng(2), 1e-5
    out = results(case.kernel(*inputs, **case.attrs))
    g = np.asarray(rng.normal(size=out[0].shape))
    gradients = results(case.backward(g, inputs, out))
    for i, gradient in enumerate(gradients):
        if i >= len(inputs) or inputs[i] is None:
            continue
        d = np.asarray(rng.normal(size=inputs[i].shape))
        moved = [[np.asarray(x + s * h * d) if j == i else x for j, x in enumerate(inputs)] for s in (1, -1)]
        up, down = (results(case.kernel(*m, **case.attrs))[0] for m in moved)
        slope = (g * (up - down)).sum() / (2 * h)
        atol = 1e-7 * (1 + np.abs(g).sum())
        np.testing.assert_allclose((gradient * d).sum(), slope, rtol=1e-6, atol=atol, err_msg=f"input {i}")


@pytest.mark.parametrize("case", [c for c in SMALL if c.backward], ids=str)
def test_a_gradient_may_be_broadcast_from_one_number(isa, case):
    inputs = case.inputs(np.float64)
    out = results(case.kernel(*inputs, **case.attrs))
    g = np.broadcast_to(np.array(0.5), out[0].shape)
    wanted = results(case.backward(g.copy(), inputs, out))
    assert_near((*results(case.backward(g, inputs, out)), g), (*wanted, g), case.bound, "broadcast")


@pytest.mark.parametrize("case", EMPTY, ids=str)
def test_empty_arrays(isa, case):
    for dtype in DTYPES:
        inputs = case.inputs(dtype)
        out = results(case.kernel(*inputs, **case.attrs))
        g = np.ones(out[0].shape, dtype)
        for got, x in zip(results(case.backward(g, inputs, out)), inputs, strict=False):
            assert x is None or got.shape == x.shape
            assert not got.size or not got.any()
        assert not out[0].size or not out[0].any()


@pytest.mark.parametrize("case", LARGE, ids=str)
def test_bits_do_not_depend_on_the_number_of_threads(isa, case):
    inputs, before = case.inputs(np.float32), K.num_threads()

    def run(threads):
        K.set_num_threads(threads)
        out = results(case.kernel(*inputs, **case.attrs))
        g = np.cos(np.arange(out[0].size, dtype=np.float32)).reshape(out[0].shape)
        return [a.tobytes() for a in (*out, *(results(case.backward(g, inputs, out)) if case.backward else ()))]

    try:
        assert run(1) == run(2) == run(3)
    finally:
        K.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_against_scipy(isa, dtype):
    x = (30 * np.random.default_rng(0).normal(size=(5, 50, 7))).astype(dtype)
    eps = np.finfo(dtype).eps
    wide = x.astype(np.float64)
    for dim in (0, 1, 2, -1):
        np.testing.assert_allclose(nn.softmax(x, dim=dim), scipy.special.softmax(wide, dim), 100 * eps, 4 * eps)
        np.testing.assert_allclose(nn.log_softmax(x, dim=dim), scipy.special.log_softmax(wide, dim), 8 * eps, 8 * eps)
        np.testing.assert_allclose(nn.logsumexp(x, dim=dim), scipy.special.logsumexp(wide, dim), 8 * eps, 8 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_infinities_and_nan(isa, dtype):
    inf = np.inf
    x = np.array([[-inf, -inf, -inf], [-inf, 0, -inf], [inf, 0, 1], [np.nan, 0, 1], [1e30, -1e30, 0]], dtype)
    y = nn.softmax(x, dim=1)
    assert np.isnan(y[[0, 2, 3]]).any(1).all()
    np.testing.assert_array_equal(y[[1, 4]], [[0, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(nn.logsumexp(x, dim=1), np.array([-inf, 0, inf, np.nan, 1e30], dtype))
    np.testing.assert_array_equal(nn.log_softmax(x[1:2], dim=1), [[-inf, 0, -inf]])
    assert nn.logsumexp(np.zeros((2, 0), dtype), dim=1).tolist() == [-inf, -inf]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 1), (7, 10), (40, 33), (0, 3)])
def test_cross_entropy_against_scipy(isa, dtype, layout, shape):
    rng, (n, classes) = np.random.default_rng(0), shape
    x, g = (3 * rng.normal(size=shape)).astype(dtype), rng.normal(size=n).astype(dtype)
    target, tolerance = rng.integers(0, classes, n), 16 * np.finfo(dtype).eps
    losses, p = nn.cross_entropy(LAYOUTS[layout](x), LAYOUTS[layout](target))
    logp = scipy.special.log_softmax(x.astype(np.float64), 1)
    np.testing.assert_allclose(losses, -logp[np.arange(n), target], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(p, np.exp(logp), rtol=2 * tolerance)
    dx = nn.cross_entropy_backward(LAYOUTS[layout](g), LAYOUTS[layout](p), LAYOUTS[layout](target))
    wanted = g[:, None] * (np.exp(logp) - np.eye(classes)[target])
    np.testing.assert_allclose(dx, wanted, rtol=tolerance, atol=4 * tolerance)


def test_a_class_that_does_not_exist_gives_nan_and_reads_nothing(isa):
    x, target = np.zeros((3, 4), np.float32), np.array([-1, 2, 4])
    losses, p = nn.cross_entropy(x, target)
    assert np.isnan(losses).tolist() == [True, False, True]
    dx = nn.cross_entropy_backward(np.ones(3, np.float32), p, target)
    assert np.isnan(dx).all(1).tolist() == [True, False, True]
    for got, wanted in zip((losses, p), nn.cross_entropy.twin(x, target), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_norms_standardise(isa, dtype):
    """With a mean far from zero, where E[x^2] - E[x]^2 would have lost the variance."""
    rng, eps = np.random.default_rng(0), 0.0
    x = (300 + rng.normal(size=(6, 8, 40))).astype(dtype)
    for y, axes in (
        (nn.layer_norm(x, None, None, eps=eps)[0], -1),
        (nn.group_norm(x, None, None, groups=8, eps=eps)[0], -1),
        (nn.group_norm(channels_last(x), None, None, groups=8, eps=eps)[0], -1),
    ):
        wide = y.astype(np.float64)
        assert np.abs(wide.mean(axes)).max() < 4 * 300 * np.finfo(dtype).eps  # four ulps of the mean of x
        assert np.abs(wide.var(axes) - 1).max() < 300 * np.finfo(dtype).eps


def test_group_norm_keeps_the_layout_of_x(isa):
    x = channels_last(np.ones((2, 8, 5), np.float32))
    y, mean, rstd = nn.group_norm(x, None, None, groups=2, eps=EPS)
    assert y.strides == x.strides
    assert nn.group_norm_backward(y, x, mean, rstd, None, groups=2)[0].strides == x.strides


@pytest.mark.parametrize("kind", ["bool", "float"])
def test_a_query_that_sees_no_key_gets_zeros_and_gives_none(isa, kind):
    case = attention(1, 2, 6, 5, 4, 4, False)
    q, k, v = case.inputs(np.float64)[:3]
    seen = np.random.default_rng(0).random((6, 5)) < 0.5
    seen[:, 0], seen[2] = True, False
    mask = seen if kind == "bool" else np.where(seen, 0, -np.inf)
    out, lse = nn.attention(q, k, v, mask, **case.attrs)
    assert not out[:, :, 2].any() and np.isneginf(lse[:, :, 2]).all()
    scores = np.where(seen, 0.4 * np.matmul(q, np.swapaxes(k, -1, -2)), -np.inf)
    keep = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(out[:, :, keep], scipy.special.softmax(scores[:, :, keep], -1) @ v, rtol=1e-12)
    dq, dk, dv = nn.attention_backward(np.ones_like(out), q, k, v, mask, out, lse, **case.attrs)
    assert not dq[:, :, 2].any() and np.isfinite(dk).all() and np.isfinite(dv).all()


def test_attention_on_views_of_one_fused_projection(isa):
    b, t, h, e = 3, 20, 4, 8
    qkv = np.random.default_rng(0).normal(size=(b, t, 3, h, e)).astype(np.float32)
    views = [qkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3)]
    out, _ = nn.attention(*views, None, scale=0.3, causal=True)
    copied, _ = nn.attention(*[a.copy() for a in views], None, scale=0.3, causal=True)
    np.testing.assert_array_equal(out, copied)
    assert out.transpose(0, 2, 1, 3).flags.c_contiguous  # joins the heads without a copy


def test_bad_calls_are_refused():
    x = np.zeros((2, 4, 3), np.float32)
    for name, outs, ins, ints, floats in [
        ("softmax", (x,), (x,), (3,), ()),
        ("softmax", (x,), (x.astype(np.float64),), (0,), ()),
        ("logsumexp", (x,), (x,), (0,), ()),
        ("cross_entropy", (x[0, 0], x[0]), (x[0], np.zeros(4, np.float32)), (), ()),
        ("layer_norm", (x, x[..., 0], x[..., 0]), (x, np.zeros(4, np.float32), None), (), (EPS,)),
        ("rms_norm_backward", (x, x[0, 0]), (x, x, None, None), (), ()),
        ("group_norm", (x, x[:, 0], x[:, 0]), (x, None, None), (3,), (EPS,)),
        ("group_norm", (x, x[:, 0], x[:, 0]), (x, None, None), (0,), (EPS,)),
        ("attention", (x, x), (x, x, x, None), (0,), (1.0,)),
        ("attention", (x[None], x), (x[None], x[None], x[None], np.zeros((4, 4), np.float32)), (0,), (1.0,)),
        ("attention_backward", (x[None],), (), (0,), (1.0,)),
    ]:
        with pytest.raises(ValueError, match=rf"dl\.{name}: "):
            K.call(name, outs, ins, ints, floats)
