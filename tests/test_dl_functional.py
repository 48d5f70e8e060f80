"""dl.functional against closed forms and loops in NumPy: products, convolutions, pooling, norms, attention."""

from itertools import product

import numpy as np
import pytest

import dl
from dl import functional as F


def n(rng, *shape):
    return rng.standard_normal(shape)


def close(y, wanted, tol=1e-10):
    assert y.shape == np.shape(wanted)
    np.testing.assert_allclose(y.numpy(), wanted, rtol=tol, atol=tol)


SHAPES = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((4,), (4,)),
    ((4,), (2, 4, 3)),
    ((2, 3, 4), (4,)),
]


@pytest.mark.parametrize("a, b", SHAPES)
def test_matmul_is_numpys(rng, a, b):
    x, y = n(rng, *a), n(rng, *b)
    close(dl.matmul(dl.tensor(x), dl.tensor(y)), x @ y)
    i, j = rng.integers(-9, 9, a), rng.integers(-9, 9, b)
    np.testing.assert_array_equal(dl.matmul(dl.tensor(i), dl.tensor(j)).numpy(), i @ j)
    assert dl.gradcheck(dl.matmul, (dl.tensor(x), dl.tensor(y)))


def test_products_of_vectors_and_matrices(rng):
    x, y, a, b = n(rng, 4), n(rng, 4), n(rng, 3, 4), n(rng, 4, 2)
    t = dl.tensor
    close(dl.dot(t(x), t(y)), x @ y)
    close(dl.outer(t(x), t(y)), np.outer(x, y))
    close(dl.mv(t(a), t(x)), a @ x)
    close(dl.mm(t(a), t(b)), a @ b)
    close(dl.bmm(t(a[None]), t(b[None])), (a @ b)[None])
    close(dl.addmm(t(x[:2]), t(a), t(b), beta=0.5, alpha=2.0), 0.5 * x[:2] + 2 * a @ b)
    close(F.linear(t(x), t(a), t(y[:3])), a @ x + y[:3])


EQUATIONS = [
    ("ij,jk->ik", (3, 4), (4, 5)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("bij,bjk->bik", (1, 3, 4), (2, 4, 5)),
    ("ij->ji", (3, 4)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("ij->", (3, 4)),
    ("ij,kl->ijkl", (2, 3), (4, 5)),
    ("i,i->", (3,), (3,)),
    ("...ij,...jk->...ik", (2, 3, 4), (4, 5)),
    ("...ij,...jk", (2, 1, 3, 4), (2, 4, 5)),
    ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)),
    ("ab,bc,cd->ad", (2, 3), (3, 4), (4, 5)),
    ("ab,bc,cd,de,ef->af", (2, 3), (3, 4), (4, 5), (5, 2), (2, 2)),
    ("ij,jk", (3, 4), (4, 5)),
    ("ba,bc", (3, 4), (3, 5)),
    ("abc,abd->dc", (2, 3, 4), (2, 3, 5)),
    ("ij,j->ij", (3, 4), (4,)),
    ("abc,bad->cd", (2, 3, 4), (3, 2, 5)),
    ("iij->j", (2, 2, 3)),
    ("a,b,c,d,e->abcde", (2,), (2,), (2,), (2,), (2,)),
    ("i...,i...->...", (2, 3), (2, 3)),
    (" i j , j -> i ", (2, 3), (3,)),
]


@pytest.mark.parametrize("equation, shapes", [(e, s) for e, *s in EQUATIONS])
def test_einsum_is_numpys(rng, equation, shapes):
    arrays = [n(rng, *s) for s in shapes]
    tensors = [dl.tensor(a) for a in arrays]
    close(dl.einsum(equation, *tensors), np.einsum(equation, *arrays))
    assert dl.gradcheck(lambda *ts: dl.einsum(equation, *ts), tensors)


@pytest.mark.parametrize(
    "equation, shapes, words",
    [
        ("ij,jk->ik", [(3, 4), (5, 6)], "'j' has sizes 4 and 5"),
        ("ij,jk->ik", [(3, 4)], "wanted 2 operand"),
        ("ij->i", [(3, 4, 5)], "names 2 axes of 3"),
        ("i1->i", [(3, 4)], "letters"),
        ("ij->ik", [(3, 4)], "must occur once there"),
        ("ij->ii", [(3, 4)], "must occur once there"),
        ("ii->i", [(3, 4)], "'i' has sizes 3 and 4"),
    ],
)
def test_einsum_says_what_does_not_fit(equation, shapes, words):
    with pytest.raises(ValueError, match=words):
        dl.einsum(equation, *[dl.zeros(s) for s in shapes])


def conv_by_loops(x, w, b, stride, padding, dilation, groups):
    """The definition, one product at a time."""
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    (count, c, height, width), (out, _, kh, kw) = x.shape, w.shape
    size = (height - dh * (kh - 1) - 1) // sh + 1, (width - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((count, out, *size))
    for s, o, i, j in product(range(count), range(out), *map(range, size)):
        first = o // (out // groups) * (c // groups)
        for k, p, q in product(range(c // groups), range(kh), range(kw)):
            y[s, o, i, j] += w[o, k, p, q] * x[s, first + k, i * sh + p * dh, j * sw + q * dw]
    return y + b[:, None, None]


HOW = [(1, 0, 1, 1), (2, 1, 1, 1), ((1, 2), (0, 1), (2, 1), 1), (3, 2, 2, 2), (1, 1, 1, 4)]


@pytest.mark.parametrize("stride, padding, dilation, groups", HOW)
def test_convolutions_are_their_definition(rng, stride, padding, dilation, groups):
    def two(v):
        return v if isinstance(v, tuple) else (v, v)

    x, w, b = n(rng, 2, 4, 6, 7), n(rng, 8, 4 // groups, 3, 2), n(rng, 8)
    wanted = conv_by_loops(x, w, b, two(stride), two(padding), two(dilation), groups)
    y = F.conv2d(dl.tensor(x), dl.tensor(w), dl.tensor(b), stride, padding, dilation, groups)
    close(y, wanted)
    s, p, d = (two(v)[1] for v in (stride, padding, dilation))
    wanted = conv_by_loops(x[:, :, :1], w[:, :, :1], b, (1, s), (0, p), (1, d), groups)[:, :, 0]
    close(F.conv1d(dl.tensor(x[:, :, 0]), dl.tensor(w[:, :, 0]), dl.tensor(b), s, p, d, groups), wanted)
    close(F.conv1d(dl.tensor(x[0, :, 0]), dl.tensor(w[:, :, 0]), dl.tensor(b), s, p, d, groups), wanted[0])


@pytest.mark.parametrize("stride, padding, dilation, groups", HOW)
def test_transposed_convolutions_are_adjoint(rng, stride, padding, dilation, groups):
    """<conv(x), g> = <x, conv_transpose(g)> where output_padding fills what the stride left over."""
    x, w = n(rng, 2, 4, 6, 7), n(rng, 8, 4 // groups, 3, 2)
    y = F.conv2d(dl.tensor(x), dl.tensor(w), None, stride, padding, dilation, groups)
    g = n(rng, *y.shape)
    short = F.conv_transpose2d(dl.tensor(g), dl.tensor(w), None, stride, padding, 0, groups, dilation)
    extra = tuple(int(a - b) for a, b in zip((6, 7), short.shape[2:], strict=True))
    z = F.conv_transpose2d(dl.tensor(g), dl.tensor(w), None, stride, padding, extra, groups, dilation)
    assert z.shape == x.shape
    assert np.isclose((y.numpy() * g).sum(), (x * z.numpy()).sum())


def test_same_padding_keeps_the_size_and_valid_adds_nothing(rng):
    x, w = dl.tensor(n(rng, 1, 2, 9)), dl.tensor(n(rng, 3, 2, 4))
    assert F.conv1d(x, w, padding="same", dilation=2).shape == (1, 3, 9)
    close(F.conv1d(x, w, padding="valid"), F.conv1d(x, w).numpy())
    close(F.conv1d(x, w, padding="same")[..., 1:7], F.conv1d(x, w).numpy())


def windows(x, k, s, p, d, fill):
    big = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=fill)
    size = [(m + 2 * p - d * (k - 1) - 1) // s + 1 for m in x.shape[2:]]
    for i, j in product(*map(range, size)):
        yield i, j, big[:, :, i * s : i * s + d * (k - 1) + 1 : d, j * s : j * s + d * (k - 1) + 1 : d], size


@pytest.mark.parametrize("k, s, p, d", [(2, None, 0, 1), (3, 2, 1, 1), (2, 1, 1, 2)])
def test_pooling_is_its_definition(rng, k, s, p, d):
    x = n(rng, 2, 3, 7, 6)
    y = F.max_pool2d(dl.tensor(x), k, s, p, d).numpy()
    for i, j, window, size in windows(x, k, s or k, p, d, -np.inf):
        assert y.shape == (2, 3, *size)
        np.testing.assert_array_equal(y[:, :, i, j], window.max((2, 3)))
    m = F.avg_pool2d(dl.tensor(x), k, s, p).numpy()
    inside = F.avg_pool2d(dl.tensor(x), k, s, p, count_include_pad=False).numpy()
    for i, j, window, _ in windows(x, k, s or k, p, 1, np.nan):
        np.testing.assert_allclose(m[:, :, i, j], np.nansum(window, (2, 3)) / k**2)
        np.testing.assert_allclose(inside[:, :, i, j], np.nanmean(window, (2, 3)))


def test_one_dimensional_and_adaptive_pooling(rng):
    x = n(rng, 2, 3, 8)
    close(F.max_pool1d(dl.tensor(x), 2), x.reshape(2, 3, 4, 2).max(-1))
    close(F.avg_pool1d(dl.tensor(x), 2), x.reshape(2, 3, 4, 2).mean(-1))
    y, index = F.max_pool1d(dl.tensor(x), 2, return_indices=True)
    np.testing.assert_array_equal(np.take_along_axis(x, index.numpy(), 2), y.numpy())
    three = [x[..., 0:3].mean(-1), x[..., 2:6].mean(-1), x[..., 5:8].mean(-1)]
    close(F.adaptive_avg_pool1d(dl.tensor(x), 3), np.stack(three, -1))
    image = n(rng, 2, 3, 4, 6)
    close(F.adaptive_avg_pool2d(dl.tensor(image), 1), image.mean((2, 3), keepdims=True))
    close(F.adaptive_avg_pool2d(dl.tensor(image), (None, 3)), image.reshape(2, 3, 4, 3, 2).mean(-1))


def standard(x, axes, eps):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def test_norms_are_their_definition(rng):
    x, t = n(rng, 3, 4, 6), dl.tensor
    w, b = n(rng, 6), n(rng, 6)
    close(F.layer_norm(t(x), 6, t(w), t(b), 1e-3), standard(x, 2, 1e-3) * w + b)
    w2 = n(rng, 4, 6)
    close(F.layer_norm(t(x), (4, 6), t(w2)), standard(x, (1, 2), 1e-5) * w2)
    close(F.rms_norm(t(x), 6, t(w), 1e-3), x / np.sqrt((x**2).mean(2, keepdims=True) + 1e-3) * w)
    c, d = n(rng, 4, 1), n(rng, 4, 1)
    groups = standard(x.reshape(3, 2, 12), 2, 1e-5).reshape(x.shape)
    close(F.group_norm(t(x), 2, t(c[:, 0]), t(d[:, 0])), groups * c + d)
    close(F.instance_norm(t(x), t(c[:, 0])), standard(x, 2, 1e-5) * c)
    close(F.batch_norm(t(x), weight=t(c[:, 0]), bias=t(d[:, 0]), training=True), standard(x, (0, 2), 1e-5) * c + d)


def test_batch_norm_follows_the_statistics_in_training_and_uses_them_after(rng):
    x, mean, var = n(rng, 5, 3), dl.zeros(3, dtype=dl.float64), dl.ones(3, dtype=dl.float64)
    F.batch_norm(dl.tensor(x), mean, var, training=True, momentum=0.25)
    close(mean, 0.25 * x.mean(0))
    close(var, 0.75 + 0.25 * x.var(0, ddof=1))
    before = mean.numpy().copy(), var.numpy().copy()
    close(F.batch_norm(dl.tensor(x), mean, var), (x - before[0]) / np.sqrt(before[1] + 1e-5))
    close(mean, before[0], 0)


def attention_by_loops(q, k, v, seen, scale):
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for at in np.ndindex(*q.shape[:-1]):
        keys = [j for j in range(k.shape[-2]) if seen[at[-1], j]]
        if keys:
            s = np.array([scale * q[at] @ k[(*at[:-1], j)] for j in keys])
            p = np.exp(s - s.max()) / np.exp(s - s.max()).sum()
            out[at] = sum(w * v[(*at[:-1], j)] for w, j in zip(p, keys, strict=True))
    return out


def test_attention_is_its_definition(rng):
    q, k, v = n(rng, 2, 3, 4, 5), n(rng, 2, 3, 6, 5), n(rng, 2, 3, 6, 2)
    mask = rng.random((4, 6)) > 0.4
    mask[2] = False  # a query that sees nothing gets zeros
    causal, every, t = np.tri(4, 6, dtype=bool), np.ones((4, 6), bool), dl.tensor
    sdpa, scale = F.scaled_dot_product_attention, 1 / np.sqrt(5)
    close(sdpa(t(q), t(k), t(v)), attention_by_loops(q, k, v, every, scale))
    close(sdpa(t(q), t(k), t(v), is_causal=True, scale=0.3), attention_by_loops(q, k, v, causal, 0.3))
    close(sdpa(t(q), t(k), t(v), t(mask)), attention_by_loops(q, k, v, mask, scale))
    close(sdpa(t(q), t(k), t(v), t(mask), is_causal=True), attention_by_loops(q, k, v, mask & causal, scale))
    added = np.where(mask, 0, -np.inf)
    close(sdpa(t(q), t(k), t(v), t(added)), attention_by_loops(q, k, v, mask, scale))
    close(sdpa(t(q[0, 0]), t(k[0, 0]), t(v[0, 0])), attention_by_loops(q, k, v, every, scale)[0, 0])
    close(
        sdpa(t(q[0, :1]), t(k[0]), t(v[0]))[1],
        attention_by_loops(q[:1, :1].repeat(3, 1), k[:1], v[:1], every, scale)[0, 1],
    )


def test_attention_where_a_query_sees_nothing_has_finite_gradients_and_a_mask_can_learn(rng):
    q, k, v = (dl.tensor(n(rng, 1, 2, 3)) for _ in range(3))
    blind = dl.tensor(np.array([[True, False], [False, False]]))
    attend = F.scaled_dot_product_attention
    assert dl.gradcheck(lambda q, k, v: attend(q, k, v, blind), (q, k, v))
    assert dl.gradcheck(lambda m: attend(q, k, v, m), dl.tensor(n(rng, 2, 2)))
    assert dl.gradgradcheck(lambda m: attend(q, k, v, m), dl.tensor(n(rng, 2, 2)))


def test_attention_drops_weights_with_a_generator(rng):
    q = dl.tensor(n(rng, 2, 8, 4))
    a, b = (F.scaled_dot_product_attention(q, q, q, dropout_p=0.5, generator=dl.Generator(3)).numpy() for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - F.scaled_dot_product_attention(q, q, q).numpy()).max() > 0.1
    with pytest.raises(TypeError, match=r"generator=dl.Generator\(seed\)"):
        F.scaled_dot_product_attention(q, q, q, dropout_p=0.5)


def test_mixed_dtypes_promote_as_in_numpy():
    single, double = dl.ones(2, 3), dl.ones(2, 3, dtype=dl.float64)
    assert F.linear(single, double).dtype == F.linear(double, single, dl.ones(2)).dtype == dl.float64
    assert F.layer_norm(single, 3, double[0]).dtype == dl.matmul(single, double.mT).dtype == dl.float64
    assert F.conv1d(single[None], dl.ones(4, 2, 1, dtype=dl.float64)).dtype == dl.float64
    assert F.scaled_dot_product_attention(single, single, double).dtype == dl.float64
    assert F.linear(dl.ones(2, 3, dtype=dl.int64), single).dtype == dl.float64
    assert dl.einsum("ij,kj->ik", dl.ones(2, 3, dtype=dl.int64), single).dtype == dl.float64
