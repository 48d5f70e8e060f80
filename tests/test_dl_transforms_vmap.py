"""vmap: dims, chunks, nesting, randomness, in-place changes, and what it refuses."""

import numpy as np
import pytest

import dl
from dl.ops.pieces import slices
from dl.random import Generator
from dl.tensor import Tensor
from dl.trace import Trace, recording
from dl.transforms import grad, hessian, jacobian, jvp, vmap


def draw(*shape, seed=0) -> Tensor:
    return Tensor(np.asarray(np.random.default_rng(seed).normal(size=shape)))


def close(t, wanted, rtol=1e-12):
    np.testing.assert_allclose(t.array if isinstance(t, Tensor) else t, wanted, rtol=rtol, atol=1e-13)


def test_in_dims_and_out_dims():
    x, y = draw(2, 3, 4), draw(3, 5, seed=1)
    f = lambda a, b: a.sum(0)[:, None] * b  # noqa: E731
    wanted = np.stack([x.array[:, i].sum(0)[:, None] * y.array[i] for i in range(3)])
    close(vmap(f, (1, 0))(x, y), wanted)
    close(vmap(f, (-2, 0), out_dims=2)(x, y), np.moveaxis(wanted, 0, 2))
    close(vmap(f, (1, 0), out_dims=-1)(x, y), np.moveaxis(wanted, 0, -1))
    close(vmap(f, (1, None))(x, y[0]), np.stack([f(x[:, i], y[0]).array for i in range(3)]))


def test_nested_arguments_and_results():
    tree = {"a": draw(3, 2), "b": (draw(2, 3, seed=1), draw(2, seed=2))}

    def f(t, k):
        return {"s": t["a"] + t["b"][0] * t["b"][1], "c": k}

    out = vmap(f, ({"a": 0, "b": (1, None)}, None), {"s": 1, "c": None})(tree, draw(4))
    a, (b, c) = tree["a"].array, [t.array for t in tree["b"]]
    close(out["s"], (a + b.T * c).T)
    assert out["c"].shape == (4,)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_chunks_change_nothing(size):
    x = draw(7, 3)
    close(vmap(lambda x: (x.softmax(0), x.sum()), chunk_size=size)(x)[0], x.softmax(1).array)


def test_results_that_do_not_depend_on_the_batch_are_repeated():
    out = vmap(lambda x: (Tensor(np.ones(2)), x))(draw(3))
    close(out[0], np.ones((3, 2)))


def test_the_function_runs_once_whatever_the_batch():
    calls = []

    def f(x):
        calls.append(1)
        return x * 2.0

    vmap(f)(draw(1000))
    assert len(calls) == 1


def test_nested_vmap_is_the_outer_loop_of_loops():
    x, y = draw(3), draw(4, seed=1)
    close(vmap(lambda a: vmap(lambda b: a * b.exp())(y))(x), np.outer(x.array, np.exp(y.array)))
    z = draw(2, 3, 4)
    close(vmap(vmap(vmap(lambda a: a.sin())))(z), np.sin(z.array))
    close(vmap(vmap(lambda a, b: a * b, (None, 0)), (0, None))(x, y), np.outer(x.array, y.array))


def loss(w, x):
    return (w @ x).tanh().square().sum()


def test_per_example_gradients_and_hessians():
    w, xs = draw(2, 3), draw(5, 3, seed=1)
    found = vmap(grad(loss), (None, 0))(w, xs)
    close(found, np.stack([grad(loss)(w, x).array for x in xs]))
    found = vmap(hessian(loss), (None, 0))(w, xs)
    close(found, np.stack([hessian(loss)(w, x).array for x in xs]))
    close(jacobian(lambda w: vmap(loss, (None, 0))(w, xs))(w), vmap(grad(loss), (None, 0))(w, xs).array)


def test_gradients_flow_through_vmap_to_arguments_and_closures():
    w, xs = draw(2, 3), draw(5, 3, seed=1)
    w.requires_grad = xs.requires_grad = True
    vmap(lambda x: loss(w, x))(xs).sum().backward()
    loop = [grad(loss, (0, 1))(w.detach(), x) for x in xs.detach()]
    close(w.grad, sum(a.array for a, _ in loop))
    close(xs.grad, np.stack([b.array for _, b in loop]))


def test_no_grad_inside_stays_constant_for_derivatives_outside():
    def f(x):
        with dl.no_grad():
            frozen = (x * x).sum()
        return (frozen * x).sum()

    xs = draw(4, 3)
    close(grad(lambda xs: vmap(f)(xs).sum())(xs), np.broadcast_to((xs.array**2).sum(1)[:, None], (4, 3)))


def test_random_numbers_are_an_error_different_or_the_same():
    def f(x, generator):
        return x + generator.normal(2, dtype=np.float64)

    x = draw(3, 2)
    with pytest.raises(RuntimeError, match="randomness='different'"):
        vmap(f, (0, None))(x, Generator(0))
    noise = vmap(f, (0, None), randomness="different")(x, Generator(0)).array - x.array
    close(noise, Generator(0).normal(3, 2, dtype=np.float64).array)
    noise = vmap(f, (0, None), randomness="same")(x, Generator(0)).array - x.array
    close(noise, np.broadcast_to(Generator(0).normal(2, dtype=np.float64).array, (3, 2)))
    shuffled = vmap(lambda x: x[generator.permutation(4)], randomness="different")
    generator = Generator(1)
    rows = shuffled(Tensor(np.tile(np.arange(4.0), (6, 1)))).array
    assert (np.sort(rows, 1) == np.arange(4)).all() and len({tuple(r) for r in rows}) > 1


def test_in_place_changes_of_batched_tensors_work():
    def f(x):
        y = x.clone()
        y[0] = 5.0
        y[1:].mul_(2.0)
        y += x
        return y

    x = draw(4, 3)
    wanted = x.array.copy()
    wanted[:, 0] = 5
    wanted[:, 1:] *= 2
    close(vmap(f)(x), wanted + x.array)


def test_derivatives_flow_through_in_place_changes():
    def f(x):
        y = x * 1.0
        y.mul_(x)
        y[0] = x[1] * 3.0
        with dl.no_grad():
            y[2] = 7.0
        return (y * x).sum()

    x = draw(4, 3)
    a, b, c = x.array.T
    wanted = np.stack([3 * b, 3 * a + 3 * b**2, 7 + 2 * c**2], 1)
    close(vmap(grad(f))(x), wanted)
    close(grad(lambda x: vmap(f)(x).sum())(x), wanted)
    close(jvp(vmap(f), (x,), (x,))[1], (wanted * x.array).sum(1))


def test_in_place_changes_through_pieces():
    def f(x):
        a, b = x.clone().split(2)
        c = dl.stack([a, b])
        first, second = slices(c)
        c[1].add_(1.0)
        return second * first

    x = draw(5, 4)
    close(vmap(f)(x), x.array[:, :2] * (x.array[:, 2:] + 1))


def test_arguments_are_changed_in_place_once():
    x = draw(4, 3)
    before = x.array.copy()
    vmap(lambda x: x.add_(1.0))(x)
    close(x, before + 1)


def test_in_place_changes_of_what_all_examples_share_are_refused():
    shared = Tensor(np.zeros(3))
    with pytest.raises(RuntimeError, match=r"copy_ changes a tensor .* the same for all examples"):
        vmap(lambda x: shared.copy_(x))(draw(4, 3))
    with pytest.raises(RuntimeError, match="without a batch is read by add and then changed in place"):
        vmap(lambda x: shared.add_(x))(draw(4, 3))

    def late(x):
        t = Tensor(np.zeros(3))
        y = x + t
        t.add_(1.0)
        return y

    with pytest.raises(RuntimeError, match="read by add and then changed"):
        vmap(late)(draw(4, 3))


BAD = Tensor(np.array([[0], [2], [3]]))
REFUSED = [
    (lambda x: vmap(lambda i: x[i])(BAD), IndexError, "out of range"),
    (lambda x: vmap(lambda i: x.gather(0, i))(BAD), IndexError, "out of range"),
    (lambda x: vmap(lambda i: dl.scatter_add(x, 0, i, x[:1]))(BAD), IndexError, "out of range"),
    (lambda x: vmap(lambda x: x if x > 0 else -x)(x), TypeError, "inside dl.vmap.*dl.where"),
    (lambda x: vmap(lambda x: float(x))(x), TypeError, "inside dl.vmap"),
    (lambda x: vmap(lambda x: dl.nonzero(x > 0))(x.reshape(1, 3)), TypeError, "inside dl.vmap"),
    (lambda x: vmap(lambda x: x)(x[:0]), ValueError, r"the batch is empty \(shape \[0\]\)"),
    (
        lambda x: vmap(lambda x, y: x)(x, x[:2]),
        ValueError,
        r"sizes differ: 3 \(axis 0 of \[3\]\); 2 \(axis 0 of \[2\]\)",
    ),
    (lambda x: vmap(lambda x: x, None)(x), ValueError, "no argument is batched"),
    (lambda x: vmap(lambda x: x, 1)(x), ValueError, r"in_dims 1 for an argument of shape \[3\]"),
    (lambda x: vmap(lambda x: x, (0, 0))(x), ValueError, "1 positional arguments, but in_dims has 2"),
    (lambda x: vmap(lambda x: x, ((0, 0),))(x), ValueError, "do not fit the structure"),
    (lambda x: vmap(lambda x: x, out_dims=None)(x), ValueError, "differs from example to example"),
    (lambda x: vmap(lambda x: x, out_dims=1)(x), ValueError, r"out_dims 1 for a result of shape \[3\]"),
    (lambda x: vmap(lambda x: x, randomness="any")(x), ValueError, "error, different, same"),
    (lambda x: vmap(lambda x: x, chunk_size=0)(x), ValueError, "at least 1, got 0"),
    (lambda x: vmap(lambda x: "text")(x), TypeError, "got str"),
    (lambda x: vmap(lambda y: (x.requires_grad_() * y).sum().backward())(x), RuntimeError, "from the first example"),
]


@pytest.mark.parametrize(("call", "error", "match"), REFUSED)
def test_bad_calls_say_what_was_wanted(call, error, match):
    with pytest.raises(error, match=match):
        call(draw(3))


def test_branches_on_what_is_not_batched_are_free():
    n = Tensor(np.array(2.0))
    close(vmap(lambda x: x * 3.0 if n > 1 else x)(draw(3)), 3 * draw(3).array)


def test_recorders_outside_hear_the_replay_only():
    """What dl.jit would record: no trace of the example, and the program computes the batch."""
    x = draw(4, 3)
    trace = Trace((x,))
    with recording(trace):
        vmap(lambda x: (x * 2.0).exp().sum())(x)
    ran = [(p.name, outs[0].shape) for p, _, _, outs in trace.steps]
    assert ran[-3:] == [("mul", (4, 3)), ("exp", (4, 3)), ("sum", (4,))]
    assert all(name in ("getitem", "clone") for name, _ in ran[:-3])


def test_values_from_a_recorder_outside_cannot_be_branched_on_inside():
    x = draw(3)
    with recording(Trace((x,))), pytest.raises(TypeError, match="not known"):
        vmap(lambda y: y if x[0] > 0 else -y)(draw(3))


def test_vmap_of_jvp():
    out, t = vmap(lambda x: jvp(lambda x: x.sin(), (x,), (Tensor(np.ones(())),)))(draw(6))
    close(out, np.sin(draw(6).array))
    close(t, np.cos(draw(6).array))
