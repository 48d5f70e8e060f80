"""In-place changes: they write into shared memory, gradients stay right, and what would make one wrong raises."""

import gc
import weakref

import numpy as np
import pytest

import dl


def leaf(*values):
    return dl.tensor(list(values), dtype=dl.float64, requires_grad=True)


def differences(f, x, h=1e-6):
    """df/dx by central differences, f from an array to a number."""
    return np.array([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(len(x))])


CHANGES = {
    "add_": (lambda y, v: y.add_(v), lambda y, v: y + v),
    "add_ alpha": (lambda y, v: y.add_(v, alpha=3.0), lambda y, v: y + 3 * v),
    "sub_": (lambda y, v: y.sub_(v), lambda y, v: y - v),
    "mul_": (lambda y, v: y.mul_(v), lambda y, v: y * v),
    "div_": (lambda y, v: y.div_(v), lambda y, v: y / v),
    "pow_": (lambda y, v: y.pow_(v), lambda y, v: y**v),
    "clamp_": (lambda y, v: y.clamp_(0.5, 1.5), lambda y, v: np.clip(y, 0.5, 1.5)),
    "relu_": (lambda y, v: y.relu_(), lambda y, v: np.maximum(y, 0)),
    "copy_": (lambda y, v: y.copy_(v), lambda y, v: v + 0 * y),
    "fill_": (lambda y, v: y.fill_(2.0), lambda y, v: 2 + 0 * y),
    "zero_": (lambda y, v: y.zero_(), lambda y, v: 0 * y),
    "masked_fill_": (lambda y, v: y.masked_fill_([True, False, True], 1.5), lambda y, v: np.where([1, 0, 1], 1.5, y)),
    "+=": (lambda y, v: y.__iadd__(v), lambda y, v: y + v),
    "number": (lambda y, v: y.__imul__(3.0), lambda y, v: y * 3),
    "[slice]": (lambda y, v: y.__setitem__(slice(1, None), v[1:]) or y, lambda y, v: np.r_[y[:1], v[1:]]),
    "[array]": (lambda y, v: y.__setitem__([2, 0], v[:2]) or y, lambda y, v: np.array([v[1], y[1], v[0]])),
    "[twice]": (lambda y, v: y.__setitem__([1, 1], v[:2]) or y, lambda y, v: np.array([y[0], v[1], y[2]])),
    "[mask]": (lambda y, v: y.__setitem__(y > 1.0, 0.25) or y, lambda y, v: np.where(y > 1, 0.25, y)),
    "[mask] =": (
        lambda y, v: y.__setitem__(dl.tensor([True, False, True]), v[1:]) or y,
        lambda y, v: np.array([v[1], y[1], v[2]]),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_gradients_through_a_change(name):
    change, oracle = CHANGES[name]
    at, by = np.array([0.7, 1.1, 1.9]), np.array([1.3, 0.4, 2.2])
    weights = np.array([1.0, -2.0, 0.5])

    def value(x, v):
        return (weights * oracle(x * x, v) * np.cos(oracle(x * x, v))).sum() + (x * x).sum()

    x, v = leaf(*at), leaf(*by)
    y = x * x
    kept = y.sum()
    same = change(y, v)
    assert same is y
    ((weights * y * y.cos()).sum() + kept).backward()
    np.testing.assert_allclose(y.detach().numpy(), oracle(at * at, by), rtol=1e-14)
    np.testing.assert_allclose(x.grad.numpy(), differences(lambda x: value(x, by), at), atol=1e-7)
    wanted = differences(lambda v: value(at, v), by)
    np.testing.assert_allclose(np.zeros(3) if v.grad is None else v.grad.numpy(), wanted, atol=1e-7)


@pytest.mark.parametrize("name", CHANGES)
def test_memory_is_changed_without_gradients(name):
    change, oracle = CHANGES[name]
    a, v = np.array([0.7, 1.1, 1.9]), np.array([1.3, 0.4, 2.2])
    wanted, y = oracle(a, v), dl.from_numpy(a)
    change(y, dl.from_numpy(v))
    np.testing.assert_allclose(a, wanted, rtol=1e-15)
    p = leaf(0.7, 1.1, 1.9)
    before = p.detach().numpy()
    with dl.no_grad():
        change(p, dl.from_numpy(v))
    assert p.is_leaf and p.requires_grad and np.shares_memory(before, p.detach().numpy())
    np.testing.assert_allclose(before, wanted, rtol=1e-15)


def test_a_buffer_filled_step_by_step():
    x = leaf(0.3, -0.2)
    rollout = dl.zeros(4, 2, dtype=dl.float64)
    state = x
    for t in range(4):
        rollout[t] = state
        state = state + 0.1 * dl.sin(state)
    (rollout * rollout).sum().backward()

    def value(s):
        total = 0.0
        for _ in range(4):
            total, s = total + (s * s).sum(), s + 0.1 * np.sin(s)
        return total

    np.testing.assert_allclose(x.grad.numpy(), differences(value, np.array([0.3, -0.2])), atol=1e-8)


def test_a_sum_accumulated_in_place():
    x, total = leaf(1.0, 2.0), dl.zeros((), dtype=dl.float64)
    for i in range(3):
        total += (x * float(i)).sum()
    total.backward()
    np.testing.assert_array_equal(x.grad, [3, 3])


def test_forward_mode_and_transforms_follow():
    def f(x):
        y = x * x
        y[0] = x[1] * 3.0
        y += x
        return y.sum()

    def plain(x):
        return (x * x + x).sum() - x[0] * x[0] + x[1] * 3.0

    x, v = leaf(0.5, 2.0, -1.0).detach(), dl.tensor([1.0, 0.5, 2.0], dtype=dl.float64)
    np.testing.assert_allclose(dl.grad(f)(x), dl.grad(plain)(x))
    np.testing.assert_allclose(dl.jvp(f, (x,), (v,))[1].item(), dl.jvp(plain, (x,), (v,))[1].item())
    np.testing.assert_allclose(dl.hessian(f)(x), dl.hessian(plain)(x))


def test_views_see_changes_without_gradients():
    x = dl.zeros(3, 2)
    rows = x[1]
    x += 1.0
    rows *= 5.0
    x.T[0] = 7.0
    np.testing.assert_array_equal(x, [[7, 1], [7, 5], [7, 1]])


def saved_input():
    x = leaf(1.0, 2.0)
    y = x * 2.0
    z = dl.sin(y)
    y += 1.0
    z.sum().backward()


def saved_output():
    y = leaf(1.0).exp()
    y.mul_(2.0)
    y.sum().backward()


def detached_change():
    x = leaf(1.0)
    y = x * x
    y.detach().fill_(0.0)
    (y * y).sum().backward()
    dl.sin(y).sum().backward()
    z = dl.cos(y)
    y.detach().fill_(1.0)
    z.sum().backward()


def view_with_gradient():
    y = leaf(1.0, 2.0) * 2.0
    y[:1].add_(1.0)


def view_of_constant():
    buffer = dl.zeros(3, dtype=dl.float64)
    buffer[1:].copy_(leaf(1.0, 2.0))


def view_from_before():
    buffer = dl.zeros(3, dtype=dl.float64)
    view = buffer[1:]
    buffer[1] = leaf(1.0)[0]
    return view * 2.0


def write_to_view_from_before():
    buffer = dl.zeros(3, dtype=dl.float64)
    view = buffer[1:]
    buffer[1] = leaf(1.0)[0]
    view.zero_()


def leaf_change():
    leaf(1.0).add_(1.0)


def leaf_item():
    leaf(1.0)[0] = 2.0


REFUSED = [
    (saved_input, "input 0 of sin.*was changed in place"),
    (saved_output, "result of exp.*was changed in place"),
    (detached_change, "input 0 of cos.*was changed in place"),
    (view_with_gradient, r"is a view.*\.clone\(\)"),
    (view_of_constant, "is a view"),
    (view_from_before, "changed in place"),
    (write_to_view_from_before, "out of date"),
    (leaf_change, r"add_: a leaf that requires a gradient .* dl.no_grad\(\)"),
    (leaf_item, "setitem: a leaf that requires a gradient"),
]


@pytest.mark.parametrize(("wrong", "words"), REFUSED)
def test_what_would_make_a_gradient_wrong_raises(wrong, words):
    with pytest.raises(RuntimeError, match=words):
        wrong()


def test_shapes_and_dtypes_of_changes():
    with pytest.raises(ValueError, match=r"add_: the result has shape \[2, 3\], but the tensor has \[3\]"):
        dl.zeros(3).add_(dl.zeros(2, 3))
    with pytest.raises(TypeError, match="add_: the result is float64, but the tensor is int64"):
        dl.arange(3).add_(0.5)
    x = dl.zeros(3)
    x += dl.ones(3, dtype=dl.float64)
    assert x.dtype == dl.float32
    x[1:] = dl.arange(2)
    np.testing.assert_array_equal(x, [1, 0, 1])
    x[...] = 4
    x[None, 0] = [[9.0]]
    np.testing.assert_array_equal(x, [9, 4, 4])


def test_overlapping_memory():
    x = dl.arange(6)
    x[1:] = x[:-1]
    np.testing.assert_array_equal(x, [0, 0, 1, 2, 3, 4])
    m = dl.arange(4).reshape(2, 2)
    m.copy_(m.T)
    np.testing.assert_array_equal(m, [[0, 2], [1, 3]])


def test_earlier_results_keep_their_past():
    """What was computed from a tensor before it was changed in place does not see the change, whoever asks."""
    x = leaf(1.0, 2.0)
    y = x * 3.0
    before = y + 1.0
    y += x * x
    after = y + 1.0
    y[0] = 5.0
    last = y + 1.0
    for out, wanted in ((before, [3, 3]), (after, [5, 7]), (last, [0, 7])):
        x.grad = None
        out.sum().backward()
        np.testing.assert_array_equal(x.grad, wanted)


def test_memory_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x, buffer = leaf(0.5, 0.1), dl.zeros(5, 2, dtype=dl.float64)
        watched, state = [], x
        for t in range(5):
            state = dl.tanh(state + buffer[t - 1].detach())
            buffer[t] = state
            watched.append(weakref.ref(state.array))
        h = x * 2.0
        h += dl.sin(h + 1.0) * h.detach().clone()
        watched.append(weakref.ref(h.array))
        (buffer.sum() + h.sum()).backward()
        del state, buffer, h
        assert [w() for w in watched] == [None] * 6
    finally:
        gc.enable()
