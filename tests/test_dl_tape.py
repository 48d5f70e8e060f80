"""The tape: .grad, hooks, in-place changes, memory, depth, threads."""

import gc
import threading
import weakref

import numpy as np
import pytest

import dl
from dl.backward import pull_back
from dl.hooks import register_hook, retain_grad
from dl.tape import changed, detach, enable_grad, no_grad, state
from dl.tensor import Tensor
from dl.trace import detect_anomaly
from dl.transforms import autograd_grad, grad


def leaf(*shape, seed=0, dtype=np.float64) -> Tensor:
    t = Tensor(np.random.default_rng(seed).normal(size=shape).astype(dtype))
    t.requires_grad = True
    return t


def close(t, wanted, rtol=1e-12):
    np.testing.assert_allclose(t.array if isinstance(t, Tensor) else t, wanted, rtol=rtol, atol=1e-14)


def test_grad_of_a_product_is_the_other_factor():
    x, y = leaf(3, 4), leaf(4, seed=1)
    (x * y).sum().backward()
    close(x.grad, np.broadcast_to(y.array, (3, 4)))
    close(y.grad, x.array.sum(0))


def test_grad_accumulates_and_backward_can_run_twice():
    x = leaf(5)
    y = (x * x).sum()
    y.backward()
    first = x.grad.array.copy()
    y.backward()
    close(x.grad, 2 * first)
    x.grad = None
    y.backward()
    close(x.grad, first)


def test_two_leaves_never_share_one_gradient_array():
    x, y, g = leaf(3), leaf(3, seed=1), Tensor(np.ones(3))
    z = x + y
    retain_grad(z)
    z.backward(g)
    arrays = [x.grad.array, y.grad.array, z.grad.array, g.array]
    for i, a in enumerate(arrays):
        assert a.flags.writeable
        for b in arrays[:i]:
            assert not np.shares_memory(a, b)


def test_a_broadcast_gradient_is_stored_with_memory_of_its_own():
    x = leaf(3, 4)
    x.sum().backward()
    assert x.grad.array.strides == (32, 8) and x.grad.array.flags.writeable


def test_functional_gradients_do_not_share_memory_either():
    x, y = Tensor(np.ones(3)), Tensor(np.ones(3))
    dx, dy = grad(lambda x, y: (x + y).sum(), (0, 1))(x, y)
    assert not np.shares_memory(dx.array, dy.array)
    dx.array[...] = 7
    close(dy, np.ones(3))


def test_autograd_grad_touches_no_grad_and_takes_inner_points():
    x = leaf(4)
    y = x * x
    z = (y * y).sum()
    dy, dx = autograd_grad(z, [y, x])
    close(dy, 2 * x.array**2)
    close(dx, 4 * x.array**3)
    assert x.grad is None
    (h,) = autograd_grad(autograd_grad(z, x, create_graph=True)[0].sum(), x)
    close(h, 12 * x.array**2)


def test_autograd_grad_says_what_is_unused():
    x, y = leaf(2), leaf(2)
    with pytest.raises(RuntimeError, match=r"do not depend on input 1 .*allow_unused"):
        autograd_grad(x.sum(), [x, y])
    assert autograd_grad(x.sum(), [x, y], allow_unused=True)[1] is None
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        autograd_grad(x.sum(), [Tensor(np.ones(2))])


def test_create_graph_gives_grads_that_are_differentiable():
    x = leaf(3)
    (x * x * x).sum().backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.sum().backward()
    close(x.grad, 6 * x.array)


def test_backward_refuses_what_makes_no_sense():
    x = leaf(3)
    with pytest.raises(RuntimeError, match=r"\[3\] needs"):
        (x * 2.0).backward()
    with pytest.raises(RuntimeError, match=r"requires? (a )?grad"):
        Tensor(np.ones(())).backward()
    with pytest.raises(ValueError, match=r"\[3\], float64, got \[2\], float64"):
        (x * 2.0).backward(Tensor(np.ones(2)))


def test_no_grad_detach_and_enable_grad():
    x = leaf(3)
    with no_grad():
        y = x * x
        with enable_grad():
            z = x * x
    assert not y.requires_grad and z.requires_grad
    w = (detach(x * x) * x).sum()
    w.backward()
    close(x.grad, x.array**2)

    @no_grad()
    def quiet(t, n):
        return t * 2.0 if n == 0 else quiet(t, n - 1)

    assert not quiet(x, 3).requires_grad and state.grad


def test_hooks_see_the_whole_gradient_once_and_may_replace_it():
    x = leaf(3)
    y = x * 2.0
    seen = []
    register_hook(y, lambda g: seen.append(("y", g.array.copy())))
    register_hook(x, lambda g: seen.append(("x", g.array.copy())))
    handle = register_hook(x, lambda g: g * 10.0)
    (y + y * y + x).sum().backward()
    total = 1 + 2 * 2 * x.array
    assert [name for name, _ in seen] == ["y", "x"]
    close(seen[0][1], total)
    close(seen[1][1], 2 * total + 1)
    close(x.grad, 10 * (2 * total + 1))
    handle.remove()
    x.grad = None
    x.sum().backward()
    close(x.grad, np.ones(3))


def test_a_hook_with_a_wrong_shape_is_refused():
    x = leaf(3)
    register_hook(x, lambda g: g.sum())
    with pytest.raises(ValueError, match=r"hook: wanted a gradient of shape \[3\], got \[\]"):
        x.sum().backward()


def test_retain_grad_keeps_the_gradient_of_a_result():
    x = leaf(3)
    y = x * x
    retain_grad(y)
    (y * 3.0).sum().backward()
    close(y.grad, np.full(3, 3.0))
    assert (x * x).grad is None


def in_place(t: Tensor):
    with no_grad():
        t.array[...] += 1.0
        changed(t)


@pytest.mark.parametrize("what", ["input", "view of input", "output"])
def test_in_place_changes_of_saved_values_are_refused(what):
    x = leaf(3, 4)
    if what == "output":
        y = x.exp()
        in_place(y)
    else:
        y = x * x
        in_place(x if what == "input" else x[0].reshape(2, 2))
    with pytest.raises(RuntimeError, match=r"was changed in place"):
        y.sum().backward()


def test_in_place_changes_of_values_nobody_saved_are_fine():
    x = leaf(3)
    y = x + 1.0
    in_place(x)
    in_place(y)
    y.sum().backward()
    close(x.grad, np.ones(3))


def test_in_place_writes_the_tape_cannot_record_raise():
    x = leaf(3)
    with pytest.raises(RuntimeError, match=r"in.place"):
        x.copy_(Tensor(np.zeros(3)))
    with pytest.raises(RuntimeError, match=r"in.place"):
        (x * 2.0)[0].mul_(2.0)
    with no_grad():
        x.copy_(Tensor(np.zeros(3)))
    close(x, np.zeros(3))


def test_a_graph_of_100_000_operations_needs_no_recursion():
    x = leaf(2)
    y = x
    for _ in range(100_000):
        y = y + x
    y.sum().backward()
    close(x.grad, np.full(2, 100_001.0))
    del y


def test_memory_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x, w = leaf(3, 3), leaf(3, 3, seed=1)
        h = (x * w).tanh()
        out = (h * h).sum()
        watched = [weakref.ref(t) for t in (h, out)] + [weakref.ref(a) for a in (h.array, out.array)]
        out.backward()
        retain_grad(h)
        grad(lambda x: (x * w).exp().sum())(x)
        del h, out
        assert [r() for r in watched] == [None] * 4
    finally:
        gc.enable()


def test_results_of_grad_keep_no_graph_where_nobody_outside_differentiates():
    x = Tensor(np.ones(3))
    arrays = []

    def f(x):
        y = x.exp()
        arrays.append(weakref.ref(y.array))
        return (y * y).sum()

    g = grad(f)(x)
    assert not g.requires_grad and arrays[0]() is None


def test_anomaly_mode_names_the_operation_forward_and_backward():
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"^log at .*test_dl_tape.py:\d+: .*all finite"):
        Tensor(np.array([-1.0])).log()
    x = leaf(1)
    x.array[...] = 0
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"^backward of sqrt at .*test_dl_tape.py:\d+: "):
        x.sqrt().sum().backward()


def test_threads_have_tapes_of_their_own():
    results, x = {}, Tensor(np.ones(50))

    def work(i):
        w = leaf(50, seed=i)
        for _ in range(20):
            w.grad = None
            with no_grad():
                frozen = w * 2.0
            ((w * x * float(i)).tanh() * frozen).sum().backward()
        results[i] = (w, state.grad)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    with no_grad():
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    for i, (w, mode) in results.items():
        assert mode
        close(w.grad, i * (1 - np.tanh(i * w.array) ** 2) * 2 * w.array)


def test_pull_back_goes_only_where_it_is_wanted():
    x, y = leaf(3), leaf(3, seed=1)
    called = []
    a = y * y
    register_hook(a, lambda g: called.append(1))
    out = (x * a).sum()
    found = pull_back([out], [Tensor(np.ones(()))], wanted=[x])
    close(found[id(x)][1], y.array**2)
    assert not called and len(found) == 1


def test_public_names_are_there():
    for name in ("no_grad", "enable_grad", "detect_anomaly", "autograd"):
        assert getattr(dl, name, None) is not None, name
