"""dl.functional: activations, softmax, losses, embedding, dropout, resizing; and what they say to bad input."""

import numpy as np
import pytest
from scipy import special

import dl
from dl import functional as F


def n(rng, *shape):
    return rng.standard_normal(shape)


def close(y, wanted, tol=1e-10):
    assert y.shape == np.shape(wanted)
    np.testing.assert_allclose(y.numpy(), wanted, rtol=tol, atol=tol)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def elu(x, alpha):
    return np.where(x > 0, x, alpha * np.expm1(x))


ACTIVATIONS = [
    (F.relu, lambda x: np.maximum(x, 0)),
    (F.relu6, lambda x: np.clip(x, 0, 6)),
    (F.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x)),
    (
        lambda x: F.prelu(x, dl.tensor(np.array([0.1, 0.2, 0.3, 0.4]))),
        lambda x: np.where(x > 0, x, [0.1, 0.2, 0.3, 0.4] * x),
    ),
    (lambda x: F.elu(x, 0.7), lambda x: elu(x, 0.7)),
    (lambda x: F.celu(x, 0.7), lambda x: np.where(x > 0, x, 0.7 * np.expm1(x / 0.7))),
    (F.selu, lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772)),
    (F.gelu, lambda x: x * special.ndtr(x)),
    (F.silu, lambda x: x * sigmoid(x)),
    (F.mish, lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    (lambda x: F.softplus(x, 2.0), lambda x: np.log1p(np.exp(2 * x)) / 2),
    (F.sigmoid, sigmoid),
    (F.logsigmoid, lambda x: np.log(sigmoid(x))),
    (F.tanh, np.tanh),
    (F.softsign, lambda x: x / (1 + abs(x))),
    (F.tanhshrink, lambda x: x - np.tanh(x)),
    (lambda x: F.hardtanh(x, -0.5, 2.0), lambda x: np.clip(x, -0.5, 2)),
    (F.hardsigmoid, lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    (F.hardswish, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    (lambda x: F.threshold(x, 0.1, 20.0), lambda x: np.where(x > 0.1, x, 20)),
    (F.glu, lambda x: x[:, :2] * sigmoid(x[:, 2:])),
    (F.normalize, lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)),
    (lambda x: F.normalize(x, 3.0, 0), lambda x: x / (abs(x) ** 3).sum(0) ** (1 / 3)),
    (lambda x: F.softmax(x, 0), lambda x: special.softmax(x, 0)),
    (lambda x: F.log_softmax(x, -1), lambda x: special.log_softmax(x, -1)),
    (lambda x: F.softmin(x, 1), lambda x: special.softmax(-x, 1)),
    (F.logsumexp, special.logsumexp),
    (lambda x: F.logsumexp(x, (0, 1), True), lambda x: special.logsumexp(x, keepdims=True)),
    (lambda x: F.logsumexp(x, 0), lambda x: special.logsumexp(x, 0)),
]


@pytest.mark.parametrize("f, oracle", ACTIVATIONS)
def test_functions_of_one_tensor_are_their_formula(rng, f, oracle):
    x = 3 * n(rng, 5, 4)
    close(f(dl.tensor(x)), oracle(x), 1e-9)
    assert dl.gradcheck(f, dl.tensor(x), rtol=1e-4, atol=1e-6)
    assert dl.gradgradcheck(f, dl.tensor(x), rtol=1e-4, atol=1e-6)


def test_softmax_does_not_overflow_and_logsumexp_of_nothing_is_minus_infinity():
    x = dl.tensor([[1e30, -1e30], [-1e4, -1e4]])
    np.testing.assert_array_equal(F.softmax(x, 1).numpy(), [[1, 0], [0.5, 0.5]])
    assert np.isfinite(F.log_softmax(x, 1).numpy()).all()
    np.testing.assert_array_equal(F.logsumexp(dl.tensor([-np.inf, -np.inf]), 0).numpy(), -np.inf)
    close(F.normalize(dl.zeros(2, 3)), np.zeros((2, 3)))


def log_loss(x, q, weight):
    return -(q * special.log_softmax(x, 1) * weight).sum(1)


REDUCE = {"mean": np.mean, "sum": np.sum, "none": lambda x: x}


def huber(d, delta):
    return np.where(abs(d) <= delta, d * d / 2, delta * (abs(d) - delta / 2))


LOSSES = [
    (F.mse_loss, lambda x, y: (x - y) ** 2),
    (F.l1_loss, lambda x, y: abs(x - y)),
    (lambda x, y, reduction: F.huber_loss(x, y, reduction, 0.6), lambda x, y: huber(x - y, 0.6)),
    (lambda x, y, reduction: F.smooth_l1_loss(x, y, reduction, 0.6), lambda x, y: huber(x - y, 0.6) / 0.6),
    (
        lambda x, y, reduction: F.quantile_loss(x, y, 0.3, reduction),
        lambda x, y: np.maximum(0.3 * (y - x), -0.7 * (y - x)),
    ),
    (
        lambda x, y, reduction: F.binary_cross_entropy_with_logits(x, F.sigmoid(y), reduction=reduction),
        lambda x, y: -sigmoid(y) * np.log(sigmoid(x)) - sigmoid(-y) * np.log(sigmoid(-x)),
    ),
    (
        lambda x, y, reduction: F.binary_cross_entropy(F.sigmoid(x), F.sigmoid(y), reduction=reduction),
        lambda x, y: -sigmoid(y) * np.log(sigmoid(x)) - sigmoid(-y) * np.log(sigmoid(-x)),
    ),
    (lambda x, y, reduction: F.kl_div(x, y.exp(), reduction), lambda x, y: np.exp(y) * (y - x)),
    (lambda x, y, reduction: F.kl_div(x, y, reduction, log_target=True), lambda x, y: np.exp(y) * (y - x)),
    (
        lambda x, y, reduction: F.gaussian_nll_loss(x, y, y.exp(), True, reduction=reduction),
        lambda x, y: (y + (x - y) ** 2 / np.exp(y) + np.log(2 * np.pi)) / 2,
    ),
]


@pytest.mark.parametrize("reduction", REDUCE)
@pytest.mark.parametrize("f, oracle", LOSSES)
def test_losses_are_their_formula(rng, f, oracle, reduction):
    x, y = n(rng, 4, 3), n(rng, 4, 3)

    def loss(x, y):
        return f(x, y, reduction=reduction)

    close(loss(dl.tensor(x), dl.tensor(y)), REDUCE[reduction](oracle(x, y)))
    assert dl.gradcheck(loss, (dl.tensor(x), dl.tensor(y)), rtol=1e-4, atol=1e-6)
    assert dl.gradgradcheck(loss, (dl.tensor(x), dl.tensor(y)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("reduction", REDUCE)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_is_its_formula(rng, reduction, smoothing, weighted):
    x, target = 3 * n(rng, 5, 4), np.array([0, 3, 1, -100, 2])
    w = rng.random(4) if weighted else np.ones(4)
    weight = dl.tensor(w) if weighted else None
    kept = target != -100
    q = np.where(kept[:, None], np.eye(4)[np.where(kept, target, 0)] * (1 - smoothing) + smoothing / 4, 0)
    losses = log_loss(x, q, w)
    wanted = losses.sum() / w[target[kept]].sum() if reduction == "mean" else REDUCE[reduction](losses)

    def loss(x):
        return F.cross_entropy(x, dl.tensor(target), weight, reduction=reduction, label_smoothing=smoothing)

    close(loss(dl.tensor(x)), wanted)
    assert dl.gradcheck(loss, dl.tensor(x)) and dl.gradgradcheck(loss, dl.tensor(x))
    if not smoothing:
        logp = dl.tensor(special.log_softmax(x, 1))
        close(F.nll_loss(logp, dl.tensor(target), weight, reduction=reduction), wanted)
    close(F.cross_entropy(dl.tensor(x), dl.tensor(q), weight, reduction="none"), losses)
    hard = dl.tensor(np.eye(4)[[0, 3, 1, 1, 2]])
    soft = F.cross_entropy(dl.tensor(x), hard, weight, reduction="none", label_smoothing=smoothing)
    close(soft[kept], losses[kept])


def test_cross_entropy_of_images_and_of_one_sample(rng):
    x, target = n(rng, 2, 3, 4, 5), rng.integers(0, 3, (2, 4, 5))
    logp = special.log_softmax(x, 1)
    wanted = -np.take_along_axis(logp, target[:, None], 1)[:, 0]
    close(F.cross_entropy(dl.tensor(x), dl.tensor(target), reduction="none"), wanted)
    close(F.cross_entropy(dl.tensor(x), dl.tensor(target)), wanted.mean())
    close(F.cross_entropy(dl.tensor(x[0, :, 0, 0]), dl.tensor(target[0, 0, 0])), wanted[0, 0, 0])


def test_kl_div_batchmean_and_info_nce(rng):
    x, y = n(rng, 4, 3), n(rng, 4, 3)
    close(F.kl_div(dl.tensor(x), dl.tensor(np.exp(y)), "batchmean"), (np.exp(y) * (y - x)).sum() / 4)
    a, b, c = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (x, y, n(rng, 5, 3)))
    q, p, k = dl.tensor(3 * a), dl.tensor(b), dl.tensor(2 * c)
    close(F.info_nce_loss(q, p, temperature=0.5), -np.diag(special.log_softmax(a @ b.T / 0.5, 1)).mean())
    logits = np.concatenate([(a * b).sum(1, keepdims=True), a @ c.T], 1) / 0.1
    close(F.info_nce_loss(q, p, k), -special.log_softmax(logits, 1)[:, 0].mean())
    each = dl.tensor(np.broadcast_to(2 * c, (4, 5, 3)).copy())
    close(F.info_nce_loss(q, p, each, reduction="none"), -special.log_softmax(logits, 1)[:, 0])


def test_the_quantile_loss_is_least_at_the_quantile(rng):
    y = rng.standard_normal(1000)
    grid = np.linspace(-3, 3, 601)
    losses = [F.quantile_loss(dl.full((1000,), g, dtype=dl.float64), dl.tensor(y), 0.9).item() for g in grid]
    assert abs(grid[np.argmin(losses)] - np.quantile(y, 0.9)) < 0.02


def test_embedding_takes_rows_and_leaves_the_padding_alone(rng):
    table, at = n(rng, 6, 3), rng.integers(0, 6, (2, 4))
    close(F.embedding(dl.tensor(at), dl.tensor(table)), table[at])
    w = dl.tensor(table, requires_grad=True)
    F.embedding(dl.tensor(at), w, padding_idx=int(at[0, 0])).sum().backward()
    counts = np.bincount(at.ravel(), minlength=6).astype(float)
    counts[at[0, 0]] = 0
    close(w.grad, np.repeat(counts[:, None], 3, 1))
    np.testing.assert_array_equal(F.one_hot(dl.tensor(at), 6).numpy(), np.eye(6, dtype=int)[at])


def test_dropout_keeps_the_mean_and_repeats_with_its_seed():
    x = dl.ones(100, 1000)
    y = F.dropout(x, 0.3, generator=dl.Generator(0)).numpy()
    np.testing.assert_array_equal(y, F.dropout(x, 0.3, generator=dl.Generator(0)).numpy())
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((y == 0).mean() - 0.3) < 0.01
    assert F.dropout(x, 0.3, training=False) is x
    assert not F.dropout(x, 1.0, generator=dl.Generator(0)).numpy().any()
    whole = F.dropout1d(dl.ones(4, 50, 7), 0.5, generator=dl.Generator(1)).numpy()
    assert (whole == whole[:, :, :1]).all() and len(np.unique(whole)) == 2


def test_interpolation_is_nearest_or_linear(rng):
    x = n(rng, 2, 3, 4)
    close(F.interpolate(dl.tensor(x), scale_factor=2), x.repeat(2, -1))
    close(F.interpolate(dl.tensor(x), 3), x[..., [0, 1, 2]])
    line = np.broadcast_to(np.arange(5.0), (1, 1, 5)).copy()
    close(F.interpolate(dl.tensor(line), 9, mode="linear", align_corners=True), np.arange(0, 4.5, 0.5)[None, None])
    up = np.clip((np.arange(10) + 0.5) / 2 - 0.5, 0, 4)
    close(F.interpolate(dl.tensor(line), 10, mode="linear"), up[None, None])
    image = n(rng, 1, 2, 3, 4)
    close(F.interpolate(dl.tensor(image), scale_factor=2), image.repeat(2, 2).repeat(2, 3))
    square = F.interpolate(dl.tensor(line[None].repeat(5, 2)), (3, 10), mode="bilinear")
    close(square, np.broadcast_to(up, (1, 1, 3, 10)))


x23, x34 = dl.zeros(2, 3), dl.zeros(3, 4)
classes = dl.tensor([0, 1])
BAD = [
    (lambda: dl.matmul(x23, x23), ValueError, r"matmul.*\[2, 3\] and \[2, 3\]"),
    (lambda: dl.matmul(dl.zeros(2, 2, 3), dl.zeros(4, 3, 2)), ValueError, r"batch axes \[2\] and \[4\]"),
    (lambda: dl.mv(x23, x23), ValueError, r"mv: wanted .*got \[2, 3\], \[2, 3\]"),
    (lambda: dl.bmm(dl.zeros(2, 3, 4), dl.zeros(3, 4, 2)), ValueError, "batches differ"),
    (lambda: F.linear(x23, x34), ValueError, r"linear.*\[2, 3\], \[3, 4\]"),
    (lambda: F.linear(x23, dl.zeros(4, 3), dl.zeros(3)), ValueError, r"bias \(out,\).*\[3\]"),
    (
        lambda: F.conv2d(dl.zeros(1, 3, 5, 5), dl.zeros(2, 4, 3, 3)),
        ValueError,
        r"conv2d.*\[1, 3, 5, 5\].*\[2, 4, 3, 3\]",
    ),
    (lambda: F.conv2d(dl.zeros(1, 3, 2, 5), dl.zeros(2, 3, 3, 3)), ValueError, r"kernel covers \[3, 3\]"),
    (
        lambda: F.conv1d(dl.zeros(1, 3, 5), dl.zeros(2, 3, 3), stride=0),
        ValueError,
        "stride: wanted an int of at least 1",
    ),
    (lambda: F.conv1d(dl.zeros(1, 3, 5), dl.zeros(2, 3, 3), padding="full"), ValueError, "'same' or 'valid'"),
    (lambda: F.conv1d(dl.zeros(1, 3, 5), dl.zeros(2, 3, 3), None, 2, "same"), ValueError, "needs stride 1"),
    (lambda: F.conv_transpose1d(dl.zeros(1, 3, 5), dl.zeros(3, 3, 3), output_padding=2), ValueError, "output_padding"),
    (lambda: F.max_pool2d(dl.zeros(1, 3, 5, 5), 2, padding=2), ValueError, "more than half"),
    (lambda: F.max_pool2d(x23, 2), ValueError, r"\(N, C, H, W\)"),
    (lambda: F.layer_norm(x23, 4), ValueError, r"layer_norm: wanted x \(..., 4\).*\[2, 3\]"),
    (lambda: F.group_norm(dl.zeros(2, 6, 3), 4), ValueError, "6 channels"),
    (lambda: F.batch_norm(dl.zeros(1, 3), training=True), ValueError, "more than one value"),
    (lambda: F.scaled_dot_product_attention(x23, x34, x34), ValueError, r"\[2, 3\], \[3, 4\], \[3, 4\]"),
    (lambda: F.mse_loss(x23, dl.zeros(2, 1)), ValueError, r"mse_loss: input \[2, 3\] and target \[2, 1\]"),
    (lambda: F.mse_loss(x23, x23, "max"), ValueError, "mean, sum, none, got 'max'"),
    (lambda: F.cross_entropy(x23, dl.tensor([0, 3])), ValueError, r"target 3 at 1 .* 0 \.\.\. 2"),
    (lambda: F.cross_entropy(x23, dl.tensor([0, 1, 2])), ValueError, r"target int64 \[2\].*got int64 \[3\]"),
    (lambda: F.cross_entropy(x23, classes, dl.ones(2)), ValueError, r"wanted weight \(3,\)"),
    (lambda: F.cross_entropy(x23, classes, label_smoothing=2.0), ValueError, "label_smoothing"),
    (lambda: F.nll_loss(x23, dl.zeros(2)), ValueError, "got float32"),
    (lambda: F.huber_loss(x23, x23, delta=-1.0), ValueError, "delta must be positive"),
    (lambda: F.quantile_loss(x23, x23, 1.5), ValueError, r"q in \(0, 1\)"),
    (lambda: F.info_nce_loss(x23, x23, x34), ValueError, r"negatives \(M, D\)"),
    (lambda: F.embedding(dl.tensor([3]), x23), IndexError, r"from 3 to 3.*0 \.\.\. 1"),
    (lambda: F.embedding(dl.tensor([1.0]), x23), TypeError, "int64"),
    (lambda: F.dropout(x23, 1.5, generator=dl.Generator(0)), ValueError, r"probability in \[0, 1\], got 1.5"),
    (lambda: F.dropout(x23), TypeError, "no global random state"),
    (lambda: F.glu(x23), ValueError, "even size"),
    (lambda: F.gelu(x23, "sigmoid"), ValueError, "'none' and 'tanh'"),
    (lambda: F.interpolate(dl.zeros(1, 2, 3), 4, mode="bilinear"), ValueError, "bilinear"),
    (lambda: F.interpolate(dl.zeros(1, 2, 3)), ValueError, "size or scale_factor"),
    (lambda: F.softmax(x23, 2), IndexError, r"softmax.*\[-2, 1\]"),
]


@pytest.mark.parametrize("f, error, words", BAD)
def test_bad_input_is_answered_with_what_was_wanted_and_got(f, error, words):
    with pytest.raises(error, match=words):
        f()
