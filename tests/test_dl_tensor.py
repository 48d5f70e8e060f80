"""The tensor itself: making, dtypes, views, reading values, gradients of leaves, and its errors."""

import copy
import operator

import numpy as np
import pytest

import dl
from dl.ops.join import pad


def leaf(*values):
    return dl.tensor(list(values), dtype=dl.float64, requires_grad=True)


# Making


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, dl.float32),
        (2, dl.int64),
        (True, dl.bool),
        ([1.0, 2.0], dl.float32),
        ([[1, 2], [3, 4]], dl.int64),
        ([], dl.float32),
        (np.zeros(2), dl.float64),
        (np.float64(1.0), dl.float64),
        (np.zeros(2, np.float32), dl.float32),
        (np.zeros(2, np.int32), dl.int64),
        (np.zeros(2, np.uint8), dl.int64),
        (np.zeros(2, ">f8"), dl.float64),
    ],
)
def test_dtypes_of_data(data, dtype):
    assert dl.tensor(data).dtype == dtype


@pytest.mark.parametrize(
    "data", [1j, "text", np.zeros(2, np.float16), np.zeros(2, np.longdouble), np.zeros(2, np.uint64), None]
)
def test_other_dtypes_are_refused(data):
    with pytest.raises(TypeError, match="there are float32, float64, int64 and bool"):
        dl.tensor(data)


def test_tensor_copies_and_from_numpy_shares():
    a = np.arange(3.0)
    copied, shared = dl.tensor(a), dl.from_numpy(a)
    a[0] = 7.0
    assert copied[0].item() == 0.0 and shared[0].item() == 7.0
    assert shared.numpy() is a and np.asarray(shared) is a
    view = dl.from_numpy(a[::-2])
    assert view.numpy().strides == (-16,) and np.shares_memory(view.numpy(), a)
    with pytest.raises(TypeError, match="cannot share"):
        dl.from_numpy(np.zeros(2, np.int32))
    with pytest.raises(TypeError, match="wanted a NumPy array, got list"):
        dl.from_numpy([1.0])


def test_tensors_in_lists_are_stacked_with_their_gradients():
    x = leaf(2.0, 3.0)
    y = dl.asarray([[x[0], 1.0], [0.0, x[1] * x[1]]])
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), [[2, 1], [0, 9]])
    np.testing.assert_array_equal(x.grad.numpy(), [1, 6])


def test_creation():
    assert dl.zeros(2, 3).shape == dl.zeros((2, 3)).shape == dl.ones([2, 3]).shape == (2, 3)
    assert dl.zeros(()).shape == () and dl.zeros(0, 2).shape == (0, 2)
    np.testing.assert_array_equal(dl.full((2,), 3), np.full(2, 3))
    np.testing.assert_array_equal(dl.arange(5), np.arange(5))
    np.testing.assert_allclose(dl.arange(1.0, 2.0, 0.25), [1, 1.25, 1.5, 1.75])
    np.testing.assert_allclose(dl.linspace(0, 1, 5, dtype=dl.float64), np.linspace(0, 1, 5))
    np.testing.assert_array_equal(dl.eye(2, 3), np.eye(2, 3))
    x = dl.zeros(2, dtype=dl.int64)
    assert dl.ones_like(x).dtype == dl.int64 and dl.full_like(x, 2.5, dtype=dl.float64)[0].item() == 2.5
    assert dl.zeros(2, requires_grad=True).requires_grad and dl.empty(3).shape == (3,)
    with pytest.raises(ValueError, match="sizes must not be negative"):
        dl.zeros(2, -1)
    with pytest.raises(TypeError, match="only float32 and float64 have gradients, got int64"):
        dl.arange(3, requires_grad=True)


# Promotion: as NumPy, but Python numbers and lists of them take the dtype of the tensor

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, dl.maximum, dl.atan2]


@pytest.mark.parametrize("f", BINARY)
@pytest.mark.parametrize("number", [2, 2.5])
def test_python_numbers_do_not_promote(f, number):
    for dtype in (np.float32, np.float64):
        x = dl.ones(2, dtype=dtype)
        assert f(x, number).dtype == f(number, x).dtype == f(x, [number, number]).dtype == dtype
    assert (dl.arange(2) + 2).dtype == dl.int64 and (dl.arange(2) * 2.5).dtype == dl.float64
    assert dl.where(dl.ones(2) > 0, 1.0, 0.0).dtype == dl.float32


@pytest.mark.parametrize("one", [np.float32, np.float64, np.int64, np.bool_])
@pytest.mark.parametrize("two", [np.float32, np.float64, np.int64, np.bool_])
def test_mixed_dtypes_promote_as_numpy(one, two):
    x, y = np.ones(2, one), np.ones(2, two)
    for f in (operator.add, operator.mul, operator.truediv):
        found, wanted = f(dl.from_numpy(x), dl.from_numpy(y)), f(x, y)
        if wanted.dtype in (np.float32, np.float64, np.int64, np.bool_):
            assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    assert (dl.from_numpy(x) + np.float64(1)).dtype == (x + np.float64(1)).dtype


def test_gradients_come_back_in_the_dtype_of_the_leaf():
    x = dl.ones(3, requires_grad=True)
    (x.double() * np.arange(3.0)).sum().backward()
    assert x.grad.dtype == dl.float32
    np.testing.assert_array_equal(x.grad, [0, 1, 2])


def test_minus_zero_is_kept():
    x = dl.zeros(1)
    assert np.signbit((x * -0.0).numpy()).all() and not np.signbit((x * 0.0).numpy()).any()


# Values


def test_values_of_one_element():
    x = dl.tensor([[2.5]])
    assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
    assert [10, 20, 30][dl.tensor(1)] == 20 and f"{x:.2f}" == "2.50"
    assert dl.tensor([1, 2]).tolist() == [1, 2] and 2 in dl.tensor([1, 2]) and 3 not in dl.tensor([1, 2])
    with pytest.raises(ValueError, match=r"shape \[2\]; use .any\(\) or .all\(\)"):
        bool(dl.zeros(2))
    with pytest.raises(ValueError, match="one element, got shape"):
        dl.zeros(2).item()
    with pytest.raises(TypeError, match="only int64 tensors"):
        [1, 2][dl.tensor(1.0)]


def test_numpy_refuses_what_would_lose_a_gradient():
    x = leaf(1.0)
    for read in (x.numpy, lambda: np.asarray(x), (x * 2).numpy):
        with pytest.raises(RuntimeError, match=r"use .detach\(\).numpy\(\)"):
            read()
    assert x.detach().numpy() is not None and x.item() == 1.0


def test_length_and_iteration():
    x = dl.arange(6).reshape(3, 2)
    assert len(x) == 3 and [row.tolist() for row in x] == [[0, 1], [2, 3], [4, 5]]
    _, b, _ = x
    assert b.tolist() == [2, 3] and x.size() == (3, 2) and x.size(-1) == 2 and x.dim() == 2 and x.numel() == 6
    for use in (len, iter):
        with pytest.raises(TypeError, match="no dimensions"):
            use(dl.tensor(1.0))


def test_repr_shows_values_and_origin():
    assert repr(dl.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert "requires_grad=True" in repr(leaf(1.0)) and "from mul" in repr(leaf(1.0) * 2)


def test_deepcopy_of_leaves():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    y = copy.deepcopy({"a": x, "b": x})
    assert y["a"] is y["b"] and y["a"] is not x and y["a"].requires_grad
    np.testing.assert_array_equal(y["a"].grad, x.grad)
    with pytest.raises(RuntimeError, match="only leaves"):
        copy.deepcopy(x * 2)


# Views

VIEWS = [
    lambda x: x[1],
    lambda x: x[1, 2],
    lambda x: x[::-1, 1:],
    lambda x: x.T,
    lambda x: x.reshape(6, 2),
    lambda x: x[:, None].expand(3, 5, 4),
    lambda x: x.flip(1),
    lambda x: x.diagonal(),
    lambda x: x.unsqueeze(0).squeeze(0),
    lambda x: x.detach(),
    lambda x: x.split(2)[1],
]


@pytest.mark.parametrize("view", VIEWS)
def test_views_share_memory(view):
    x = dl.zeros(3, 4)
    y = view(x)
    assert np.shares_memory(x.numpy(), y.numpy())
    x.fill_(5.0)
    assert (y == 5.0).all()


@pytest.mark.parametrize(
    "copy", [lambda x: x.T.reshape(-1), lambda x: x[[0, 1]], lambda x: x.clone(), lambda x: x.T.contiguous()]
)
def test_copies_do_not(copy):
    x = dl.zeros(3, 4)
    y = copy(x)
    assert not np.shares_memory(x.numpy(), y.numpy()) and y.numpy().base is None
    x.fill_(5.0)
    assert (y == 0.0).all()


def test_expanded_views_are_read_only():
    with pytest.raises(RuntimeError, match=r"read-only .* change a .clone\(\)"):
        dl.zeros(3).expand(2, 3).add_(1.0)


# Ties, edges of domains


def test_ties_share_the_gradient():
    x, y = leaf(1.0, 2.0, 3.0), leaf(1.0, 5.0, 0.0)
    dl.maximum(x, y).sum().backward()
    np.testing.assert_array_equal(x.grad, [0.5, 0, 1])
    np.testing.assert_array_equal(y.grad, [0.5, 1, 0])
    z = leaf(3.0, 1.0, 3.0)
    z.amax().backward()
    np.testing.assert_array_equal(z.grad, [0.5, 0, 0.5])
    z.grad = None
    z.max(0).values.backward()
    np.testing.assert_array_equal(z.grad, [1, 0, 0])
    w = leaf(-1.0, 0.0, 1.0)
    w.clamp(0.0, 1.0).sum().backward()
    np.testing.assert_array_equal(w.grad, [0, 1, 1])


@pytest.mark.parametrize(
    ("f", "at", "slope"),
    [
        (dl.relu, 0.0, 0.0),
        (dl.abs, 0.0, 0.0),
        (lambda x: x**2, 0.0, 0.0),
        (lambda x: x**0, 0.0, 0.0),
        (lambda x: x**3, 0.0, 0.0),
        (lambda x: dl.pow(x, dl.zeros_like(x)), 0.0, 0.0),
        (lambda x: dl.pow(dl.zeros_like(x), x), 2.0, 0.0),
        (dl.norm, 0.0, 0.0),
        (lambda x: dl.hypot(x, 0.0), 0.0, 0.0),
        (dl.sinc, 0.0, 0.0),
        (lambda x: dl.xlogy(0.0, x), 0.0, 0.0),
        (lambda x: dl.prod(dl.stack([x, x * 0 + 3.0, x * 0 + 2.0])), 0.0, 6.0),
        (lambda x: dl.cumprod(dl.cat([x, x * 0 + 3.0, x * 0 + 2.0]), 0), 0.0, 10.0),
        (dl.sigmoid, 800.0, 0.0),
        (dl.sigmoid, -800.0, 0.0),
    ],
)  # fmt: skip
def test_gradients_at_the_edge_are_finite(f, at, slope):
    x = leaf(at)
    f(x).sum().backward()
    assert x.grad.item() == pytest.approx(slope, abs=1e-300)


def test_second_derivative_of_sinc_at_zero():
    hessian = dl.hessian(lambda v: dl.sinc(v).sum())(dl.zeros(1, dtype=dl.float64))
    assert hessian.item() == pytest.approx(-(np.pi**2) / 3)


# Errors name the operation, what was wanted and what was given

ERRORS = [
    (lambda: dl.zeros(2) + dl.zeros(3), ValueError, r"add.*\(2,\).*\(3,\)"),
    (
        lambda: dl.zeros(2, 3).reshape(4),
        ValueError,
        r"reshape: 6 elements of shape \[2, 3\] do not fit the shape \[4\]",
    ),
    (lambda: dl.zeros(2, 3).reshape(-1, -1), ValueError, "one size may be -1"),
    (lambda: dl.zeros(2).expand(3), ValueError, r"expand: shape \[2\] does not broadcast to \[3\]"),
    (lambda: dl.zeros(2, 3).sum(2), IndexError, r"sum: dim must be in \[-2, 1\] for 2 dimensions, got 2"),
    (lambda: dl.zeros(2, 3).sum((0, 0)), ValueError, "sum: each dim may appear once"),
    (lambda: dl.zeros(2, 3).permute(0), ValueError, "permute: wanted 2 dims"),
    (lambda: dl.cat([dl.zeros(2), dl.zeros(2, 2)]), ValueError, r"cat: shapes must agree.*\[2\], \[2, 2\]"),
    (lambda: dl.stack([]), ValueError, "stack: wanted at least one tensor"),
    (lambda: dl.stack([dl.zeros(2), dl.zeros(3)]), ValueError, r"stack: all shapes must be equal; got \[2\], \[3\]"),
    (lambda: dl.zeros(3)[3], IndexError, r"getitem: index 3 is out of bounds.*shape \[3\]"),
    (lambda: dl.zeros(3)[[3]], IndexError, r"getitem: index 3 at \[0\] is out of range for dim 0 of size 3"),
    (lambda: dl.zeros(3)[0.5], IndexError, "must be an integer, a slice"),
    (lambda: dl.zeros(3)[dl.ones(2) > 0], IndexError, r"a mask of shape \[2\] does not fit"),
    (lambda: dl.zeros(3).__setitem__(slice(2), dl.zeros(3)), ValueError, r"setitem: a value of shape \[3\] .* \[2\]"),
    (lambda: dl.gather(dl.zeros(2, 3), 1, dl.zeros(2, 2)), TypeError, "gather: wanted an int64 index, got float32"),
    (lambda: dl.gather(dl.zeros(2, 3), 1, dl.arange(3)), ValueError, r"gather: the index must have the dims.*\[3\]"),
    (lambda: dl.gather(dl.zeros(2, 3), 1, [[5], [0]]), IndexError, "gather: index 5 at .* is out of range for dim 1"),
    (lambda: dl.zeros(0).max(), ValueError, "amax: .* has no elements"),
    (lambda: dl.zeros(2, 0).argmax(1), ValueError, r"argmax: dim 1 of shape \[2, 0\] has no elements"),
    (lambda: dl.topk(dl.zeros(3), 4), ValueError, r"topk: k must be in \[0, 3\]"),
    (lambda: dl.one_hot([4], 3), IndexError, r"one_hot: indices must be in \[0, 2\], got 4"),
    (lambda: dl.split(dl.zeros(3), [1, 1]), ValueError, "split: sizes"),
    (lambda: pad(dl.zeros(2), (2, 0), "reflect"), ValueError, "cannot pad dim 0 of size 2 by 2"),
    (lambda: pad(dl.zeros(2), (1,)), ValueError, "pad: wanted two numbers per dim"),
    (lambda: dl.clamp(dl.zeros(2)), ValueError, "clamp: at least one"),
    (lambda: -dl.tensor([True]), TypeError, r"neg: wanted numbers, got bool of shape \[1\]"),
    (lambda: dl.zeros(2) & dl.zeros(2), TypeError, "wanted bool or int64, got float32; compare first"),
    (lambda: dl.arange(3) ** -1, ValueError, "integers to the power -1"),
    (lambda: dl.zeros(2).to(np.float16), TypeError, "to: dtype float16 is not supported"),
    (lambda: dl.zeros(2).backward(), RuntimeError, "does not depend on anything that requires a gradient"),
    (lambda: leaf(1.0, 2.0).backward(), RuntimeError, r"shape \[2\] needs the gradient to start from"),
    (lambda: (leaf(1.0) * 2).requires_grad_(False), RuntimeError, "not a leaf"),
    (lambda: setattr(leaf(1.0), "grad", dl.zeros(1)), ValueError, "wanted shape"),
]


@pytest.mark.parametrize(("wrong", "kind", "words"), ERRORS)
def test_errors_say_what_is_wrong(wrong, kind, words):
    with pytest.raises(kind, match=words):
        wrong()
