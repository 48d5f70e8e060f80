"""Plain NumPy code on dl tensors: every function in the two tables gives NumPy's result, as a tensor with a past."""

import numpy as np
import pytest

import dl
from dl.numpy_protocol import ACCUMULATE, FUNCTIONS, LINALG, REDUCE, UFUNCS

A = np.random.default_rng(3).uniform(0.2, 0.9, (3, 4))
B = np.random.default_rng(4).uniform(0.2, 0.9, (3, 4))
S = A[:, :3] @ A[:, :3].T + np.eye(3)
INTEGERS = ("bitwise_and", "bitwise_or", "bitwise_xor", "invert")

CALLS = {
    np.stack: [lambda f, a, b: f([a, b, 0.5 * a], axis=-1), lambda f, a, b: f((a, B))],
    np.concatenate: [lambda f, a, b: f([a, b], axis=1), lambda f, a, b: f((B, a))],
    np.hstack: [lambda f, a, b: f([a, b])],
    np.vstack: [lambda f, a, b: f([a, b])],
    np.split: [lambda f, a, b: f(a, 2, axis=1)[1], lambda f, a, b: f(a, [1], axis=1)[1]],
    np.where: [lambda f, a, b: f(a > 0.5, a, b), lambda f, a, b: f(a > 0.5, 1.0, b), lambda f, a, b: f(a > 0.5)[1]],
    np.clip: [lambda f, a, b: f(a, 0.3, 0.6), lambda f, a, b: f(a, None, b), lambda f, a, b: f(a, max=0.5)],
    np.sum: [lambda f, a, b: f(a), lambda f, a, b: f(a, axis=(0, 1)), lambda f, a, b: f(a, -1, keepdims=True)],
    np.mean: [lambda f, a, b: f(a, axis=0)],
    np.prod: [lambda f, a, b: f(a, axis=0)],
    np.max: [lambda f, a, b: f(a), lambda f, a, b: f(a, axis=1)],
    np.min: [lambda f, a, b: f(a, axis=1)],
    np.any: [lambda f, a, b: f(a > 0.5, axis=0)],
    np.all: [lambda f, a, b: f(a > 0.5)],
    np.argmax: [lambda f, a, b: f(a, axis=1)],
    np.argmin: [lambda f, a, b: f(a)],
    np.var: [lambda f, a, b: f(a), lambda f, a, b: f(a, axis=1, ddof=1)],
    np.std: [lambda f, a, b: f(a, axis=0)],
    np.count_nonzero: [lambda f, a, b: f(a > 0.5)],
    np.cumsum: [lambda f, a, b: f(a, axis=0), lambda f, a, b: f(a)],
    np.cumprod: [lambda f, a, b: f(a, axis=1)],
    np.diff: [lambda f, a, b: f(a), lambda f, a, b: f(a, axis=0)],
    np.sort: [lambda f, a, b: f(a, axis=0)],
    np.argsort: [lambda f, a, b: f(a, axis=0)],
    np.einsum: [lambda f, a, b: f("ij,kj->ik", a, b), lambda f, a, b: f("ij->j", a)],
    np.dot: [lambda f, a, b: f(a, b.T), lambda f, a, b: f(2.0, a)],
    np.outer: [lambda f, a, b: f(a[0], b[1])],
    np.trace: [lambda f, a, b: f(a)],
    np.diagonal: [lambda f, a, b: f(a, 1)],
    np.diag: [lambda f, a, b: f(a), lambda f, a, b: f(a[0])],
    np.tril: [lambda f, a, b: f(a)],
    np.triu: [lambda f, a, b: f(a, 1)],
    np.reshape: [lambda f, a, b: f(a, (4, -1)), lambda f, a, b: f(a, shape=12)],
    np.ravel: [lambda f, a, b: f(a)],
    np.transpose: [lambda f, a, b: f(a), lambda f, a, b: f(a, (1, 0))],
    np.swapaxes: [lambda f, a, b: f(a, 0, 1)],
    np.moveaxis: [lambda f, a, b: f(a, -1, 0)],
    np.squeeze: [lambda f, a, b: f(a[None], axis=0), lambda f, a, b: f(a[:, None])],
    np.expand_dims: [lambda f, a, b: f(a, 1), lambda f, a, b: f(a, (0, -1))],
    np.broadcast_to: [lambda f, a, b: f(a, (2, 3, 4))],
    np.broadcast_arrays: [lambda f, a, b: f(a[:1], b)[0]],
    np.flip: [lambda f, a, b: f(a, axis=0)],
    np.roll: [lambda f, a, b: f(a, 1, axis=1)],
    np.tile: [lambda f, a, b: f(a, (2, 1))],
    np.repeat: [lambda f, a, b: f(a, 2, axis=0), lambda f, a, b: f(a, 2)],
    np.pad: [lambda f, a, b: f(a, ((0, 1), (2, 0))), lambda f, a, b: f(a, 1, mode="edge")],
    np.take: [lambda f, a, b: f(a, [2, 0], axis=1), lambda f, a, b: f(a, 5)],
    np.take_along_axis: [lambda f, a, b: f(a, np.argsort(A, axis=1), axis=1)],
    np.meshgrid: [lambda f, a, b: f(a[0], b[1, :2])[1]],
    np.zeros_like: [lambda f, a, b: f(a)],
    np.ones_like: [lambda f, a, b: f(a, dtype=np.float32)],
    np.full_like: [lambda f, a, b: f(a, 3.0)],
    np.copy: [lambda f, a, b: f(a)],
    np.array_equal: [lambda f, a, b: f(a, a), lambda f, a, b: f(a, b)],
    np.allclose: [lambda f, a, b: f(a, a + 1e-12), lambda f, a, b: f(a, b)],
    np.isclose: [lambda f, a, b: f(a, b, rtol=0.2)],
    np.nan_to_num: [lambda f, a, b: f(a / (b > 0.5), posinf=7.0)],
    np.sinc: [lambda f, a, b: f(a)],
    np.round: [lambda f, a, b: f(a, 1)],
    np.nonzero: [lambda f, a, b: f(a > 0.5)[0]],
    np.argwhere: [lambda f, a, b: f(a > 0.5)],
    np.shape: [lambda f, a, b: f(a)],
    np.ndim: [lambda f, a, b: f(a)],
    np.size: [lambda f, a, b: f(a), lambda f, a, b: f(a, 1)],
    np.linalg.norm: [lambda f, a, b: f(a), lambda f, a, b: f(a, axis=1), lambda f, a, b: f(a[0], 1)],
}  # fmt: skip
SEEN_BELOW = {np.empty_like, np.copyto, np.array_repr, np.array_str, np.result_type}
ALIASES = {np.amax: np.max, np.amin: np.min}


def same(found, wanted):
    if isinstance(found, dl.Tensor):
        assert found.dtype == np.asarray(wanted).dtype
        found = found.detach().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda u: u.__name__)
def test_ufuncs(ufunc):
    args = [A, B.T if ufunc is np.matmul else B][: ufunc.nin]
    if ufunc.__name__ in INTEGERS:
        args = [(10 * a).astype(np.int64) for a in args]
    if ufunc is np.arccosh:
        args = [1.0 + A]
    wanted = ufunc(*args)
    tensors = [dl.from_numpy(a) for a in args]
    same(ufunc(*tensors), wanted)
    if ufunc.nin == 2:
        same(ufunc(args[0], tensors[1]), wanted)
        same(ufunc(tensors[0], args[1]), wanted)


@pytest.mark.parametrize("func", [f for f in FUNCTIONS if f not in SEEN_BELOW], ids=lambda f: f.__name__)
def test_functions(func):
    for call in CALLS[ALIASES.get(func, func)]:
        with np.errstate(all="ignore"):
            same(call(func, dl.from_numpy(A), dl.from_numpy(B)), call(func, A, B))


@pytest.mark.parametrize("func", LINALG, ids=lambda f: f.__name__)
def test_linear_algebra(func):
    if func is np.linalg.solve:
        same(func(dl.from_numpy(S), dl.from_numpy(A)), func(S, A))
        same(func(dl.from_numpy(S), A[..., None][:, 0]), func(S, A[..., None][:, 0]))
        return
    found, wanted = func(dl.from_numpy(S)), func(S)
    if not isinstance(wanted, tuple):
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)
    elif func is np.linalg.slogdet:
        np.testing.assert_allclose([found[0].item(), found[1].item()], list(wanted), rtol=1e-12)
    else:  # eigenvectors and factors are determined up to signs
        for one, two in zip(found, wanted, strict=True):
            np.testing.assert_allclose(np.abs(one.numpy()), np.abs(two), rtol=1e-10, atol=1e-11)


def test_reductions_of_ufuncs():
    x = dl.from_numpy(A)
    for ufunc in REDUCE:
        a = A > 0.5 if ufunc.__name__.startswith("logical") else A
        same(ufunc.reduce(dl.from_numpy(a)), ufunc.reduce(a))
        same(ufunc.reduce(dl.from_numpy(a), axis=1, keepdims=True), ufunc.reduce(a, axis=1, keepdims=True))
    for ufunc in ACCUMULATE:
        same(ufunc.accumulate(x, axis=1), ufunc.accumulate(A, axis=1))


def test_gradients_flow_through_numpy_code():
    def f(x):
        y = np.stack([np.sin(x[..., 0]), np.hypot(x[..., 1], 1.0), np.array(2.0) * x[..., 2]], axis=-1)
        return np.sum(np.where(y > 0.3, y, y * y)) + np.linalg.norm(x) + (np.arange(3.0) * x).sum()

    x, h = np.array([0.2, -0.5, 0.9]), 1e-6
    leaf = dl.tensor(x, requires_grad=True)
    f(leaf).backward()
    wanted = [(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(3)]
    np.testing.assert_allclose(leaf.grad, wanted, atol=1e-8)


def test_arrays_keep_their_side_of_an_operator():
    x = dl.from_numpy(A)
    for found, wanted in (
        (A - x, A - A),
        (A / x, A / A),
        (A @ x.T, A @ A.T),
        (np.float64(2) ** x, 2**A),
        (A <= x, A <= A),  # noqa: SIM300
    ):
        assert isinstance(found, dl.Tensor)
        same(found, wanted)


def test_what_would_lose_gradients_is_refused():
    x = dl.from_numpy(A)
    with pytest.raises(TypeError, match=r"np.add: the result .* write a = a \+ t"):
        a = A.copy()
        a += x
    with pytest.raises(TypeError, match=r"np.linalg.eigvals has no counterpart .*\.detach\(\)\.numpy\(\)"):
        np.linalg.eigvals(x)
    with pytest.raises(TypeError, match=r"np\.gcd has no counterpart"):
        np.gcd(dl.arange(3), 2)
    with pytest.raises(TypeError, match=r"np\.sin with where has no counterpart"):
        np.sin(x, where=A > 0.5)
    with pytest.raises(TypeError, match="cannot be copied into an array"):
        np.copyto(A.copy(), x)
    y = dl.zeros(3, 4)
    np.copyto(y, x)
    np.testing.assert_array_equal(y, A.astype(np.float32))
    assert np.result_type(x, np.float32) == np.float64 and np.array_repr(y) == repr(y)
    assert np.array_str(y).startswith("tensor(") and np.empty_like(y).shape == (3, 4)
