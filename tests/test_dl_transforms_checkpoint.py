"""checkpoint and scan: the same values and derivatives, with less memory."""

import tracemalloc

import numpy as np
import pytest

import dl
from dl.checkpoint import checkpoint, scan
from dl.random import Generator
from dl.tensor import Tensor
from dl.trace import Trace, recording
from dl.transforms import grad, hessian, jvp, vmap


def draw(*shape, seed=0) -> Tensor:
    return Tensor(np.asarray(np.random.default_rng(seed).normal(size=shape)))


def close(t, wanted, rtol=1e-12):
    np.testing.assert_allclose(t.array if isinstance(t, Tensor) else t, wanted, rtol=rtol, atol=1e-13)


W = draw(3, 3, seed=9)


def layer(x):
    return (W @ x).tanh() * x


def test_values_and_all_derivatives_are_those_of_the_function():
    x, v = draw(3), draw(3, seed=1)
    plain, thrifty = lambda x: layer(layer(x)).sum(), lambda x: checkpoint(layer, checkpoint(layer, x)).sum()
    assert thrifty(x).array == plain(x).array
    close(grad(thrifty)(x), grad(plain)(x).array)
    close(hessian(thrifty)(x), hessian(plain)(x).array)
    close(jvp(thrifty, (x,), (v,))[1], jvp(plain, (x,), (v,))[1].array)
    third = [grad(lambda x, f=f: (grad(lambda x: (grad(f)(x) * v).sum())(x) * v).sum())(x) for f in (plain, thrifty)]
    close(third[1], third[0].array)
    assert dl.gradcheck(thrifty, x, batched=True) and dl.gradgradcheck(thrifty, x)


def test_it_runs_again_only_backwards():
    calls = []

    def f(x):
        calls.append(1)
        return x.sin()

    x = draw(3)
    checkpoint(f, x)
    assert len(calls) == 1
    x.requires_grad = True
    y = checkpoint(f, x)
    assert len(calls) == 2
    y.sum().backward()
    assert len(calls) == 3
    with dl.no_grad():
        checkpoint(f, x)
    assert len(calls) == 4


def test_parameters_in_closures_get_their_gradients():
    w, b = draw(3, 3).requires_grad_(), draw(3, seed=1).requires_grad_()
    x = draw(3, seed=2)

    def f(x):
        return (w @ x + b).tanh()

    def gradients(f):
        w.grad = b.grad = None
        f(f(x)).square().sum().backward()
        return w.grad.array, b.grad.array

    wanted = gradients(f)
    found = gradients(lambda x: checkpoint(f, x))
    close(found[0], wanted[0])
    close(found[1], wanted[1])
    found = gradients(lambda x: checkpoint(lambda x: checkpoint(f, x) * 1.0, x))
    close(found[0], wanted[0])


def test_parameters_in_closures_and_gradients_inside():
    w, x = draw(3).requires_grad_(), draw(3, seed=1)

    def force(x):
        return grad(lambda x: (w * x * x * x).sum())(x)

    checkpoint(force, x).sum().backward()
    close(w.grad, 3 * x.array**2)


def test_nested_arguments_results_and_options():
    x, y = draw(3).requires_grad_(), draw(3, seed=1)

    def f(tree, times, *, name):
        return {name: tree["x"] * times, "same": tree["y"][0], "n": tree["x"]}

    out = checkpoint(f, {"x": x, "y": (y,)}, 3.0, name="z")
    close(out["z"], 3 * x.array)
    close(out["same"], y.array)
    (out["z"] + out["n"]).sum().backward()
    close(x.grad, np.full(3, 4.0))


def test_random_numbers_are_the_same_in_both_runs():
    generator, x = Generator(0), draw(1000).requires_grad_()

    def dropped(x):
        return x * (generator.uniform(1000, dtype=np.float64) < 0.5).double()

    y = checkpoint(lambda x: checkpoint(dropped, x) * 1.0, x)
    y.sum().backward()
    close(x.grad, (y.array != 0).astype(float))
    once = Generator(0)
    once.uniform(1000, dtype=np.float64)
    assert generator.state() == once.state()


def test_a_recorder_hears_draws_once():
    generator, x = Generator(0), draw(5).requires_grad_()
    trace = Trace()
    with recording(trace):
        checkpoint(lambda x: x * generator.normal(5, dtype=np.float64), x).sum().backward()
    assert sum(p.stateful for p, *_ in trace.steps) == 1


def test_inputs_changed_in_place_before_backward_are_refused():
    x = (draw(3).requires_grad_() * 1.0).detach().requires_grad_()
    y = checkpoint(lambda x: x.exp(), x)
    with dl.no_grad():
        x.add_(1.0)
    with pytest.raises(RuntimeError, match=r"input 0 of checkpoint.* was changed in place"):
        y.sum().backward()


def step(carry, u):
    q, v = carry
    v = v + 0.01 * (u - q.sin() - 0.1 * v)
    q = q + 0.01 * v
    return (q, v), q * q


def rollout(u, q0, how):
    _, cost = scan(step, (q0, q0 * 0.0), u, checkpoint=how)
    return cost.sum()


@pytest.mark.parametrize("how", [1, 3, 10, 64, 1000, "sqrt"])
def test_scan_with_checkpoints_is_scan(how):
    u, q0 = draw(64, 2), draw(2, seed=1)
    assert rollout(u, q0, how).array == rollout(u, q0, None).array
    for i in (0, 1):
        close(grad(rollout, i)(u, q0, how), grad(rollout, i)(u, q0, None).array)
    loop, carry = 0.0, (q0, q0 * 0.0)
    for t in range(64):
        carry, y = step(carry, u[t])
        loop = loop + y.sum()
    close(rollout(u, q0, how), loop.array)


def test_scan_of_nothing_of_a_length_and_of_trees():
    carry, ys = scan(lambda c, _: (c * 2.0, c), Tensor(np.ones(())), length=5)
    close(ys, 2.0 ** np.arange(5))
    close(carry, 32)
    xs = {"a": draw(4, 2), "b": (draw(4, seed=1),)}
    _, ys = scan(lambda c, x: (c, (x["a"] * x["b"][0], None)), draw(), xs, checkpoint=2)
    close(ys[0], xs["a"].array * xs["b"][0].array[:, None])
    assert ys[1] is None
    close(
        hessian(lambda q: rollout(draw(9, 2), q, "sqrt"))(draw(2)),
        hessian(lambda q: rollout(draw(9, 2), q, None))(draw(2)).array,
    )
    batch = vmap(lambda u: rollout(u, draw(2), 3))(draw(5, 9, 2))
    close(batch, [rollout(u, draw(2), None).array for u in draw(5, 9, 2)])


def peak(total: int, how) -> int:
    """Bytes at most alive while the gradient of a rollout of 10 000 numbers is computed, above those of its inputs."""
    w = Tensor(np.full(10_000, 0.5)).requires_grad_()
    tracemalloc.start()
    try:
        carry, _ = scan(lambda c, _: ((c * w).sin() + w, None), w * 1.0, length=total, checkpoint=how)
        carry.sum().backward()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_grows_with_the_square_root_of_the_length():
    array = 80_000
    assert peak(400, None) > 400 * array
    short, long = peak(100, "sqrt"), peak(1600, "sqrt")
    assert long < 4.8 * short
    assert long < 400 * array


REFUSED = [
    (lambda x: scan(lambda c, u: (c, u), x, x, length=4), ValueError, "length=4"),
    (lambda x: scan(lambda c, u: (c, u), x), ValueError, "give length"),
    (lambda x: scan(lambda c, u: (c, u[0]), x, (x, x[:2])), ValueError, r"shapes \[3\], \[2\]"),
    (lambda x: scan(lambda c, u: c, x, x), TypeError, "returns .carry, y., got Tensor at step 0"),
    (
        lambda x: scan(lambda c, u: (c[:2], u), x, x),
        ValueError,
        r"was \[3\], float64 and is \[2\], float64 after step 0",
    ),
    (lambda x: scan(lambda c, u: ((c, c), u), x, x), ValueError, "scan: carry: wanted the structure"),
    (lambda x: scan(lambda c, u: (c, u), x, x, checkpoint=0), ValueError, "got 0"),
    (lambda x: scan(lambda c, u: (c, u), x, x, checkpoint="log"), ValueError, "'sqrt', got 'log'"),
]


@pytest.mark.parametrize(("call", "error", "match"), REFUSED)
def test_bad_calls_say_what_was_wanted(call, error, match):
    with pytest.raises(error, match=match):
        call(draw(3))
