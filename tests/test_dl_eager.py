"""The eager path in C is the one in Python: equal bits, nodes, hooks and errors; quiet rules are the recorded rules.

A listener that only listens sends everything through Python (dl.tape.apply_anything, dl.backward.backward_anything).
"""

import gc
import threading
import weakref
from itertools import pairwise

import numpy as np
import pytest
from dl_table_cases import FLOATS, elementwise_cases, tensors
from dl_table_shapes import INDEXING, REDUCTIONS, SHAPES

import dl
from dl import functional as F
from dl import nn, optim
from dl.backward import CASES as CASES_OF_BACKWARD
from dl.backward import backward_anything
from dl.hooks import register_hook, retain_grad
from dl.kernel import _kernels
from dl.ops import TABLE
from dl.ops.linear import linear_fits
from dl.tape import NO_ATTRS, apply, apply_anything, changed, latest, no_grad, state, wrap
from dl.tensor import Tensor
from dl.trace import Listener

CASES = [*elementwise_cases(), *SHAPES, *INDEXING, *REDUCTIONS]
IDS = [f"{c.row}-{'x'.join(str(list(s)) for s in c.shapes)}" for c in CASES]
ACTS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "silu": nn.SiLU}
in_c = pytest.mark.skipif(_kernels is None, reason="the C extension was not built")


class Silent(Listener):
    """Hears everything and does nothing."""

    def add(self, p, inputs, attrs, outputs):
        pass


def same(a, b):
    a, b = (np.asarray(x.array if isinstance(x, Tensor) else x) for x in (a, b))
    assert a.dtype == b.dtype and a.shape == b.shape
    assert a.tobytes() == b.tobytes()


def flat(out) -> list:
    return [t for t in (out if isinstance(out, tuple) else (out,)) if isinstance(t, Tensor)]


def past(t: Tensor):
    """What the tape knows of a tensor."""
    names = []
    while t._node is not None:
        names.append((t._node.primitive.name, t._index, len(t._node.outs), t._node.attrs, t._node.hooks))
        names.append((any(t.array is a for a in t._node.outs), any(t._changed is box for box in t._node.boxes)))
        t = next((x for x in t._node.inputs if x is not None and x.requires_grad), t._node.inputs[0])
    return names, t.requires_grad, t._grad, t._past, t._parameter


def both_ways(f, *arrays):
    """f on fresh leaves, by C and by Python: results, and the gradients of all leaves."""
    found = []
    for listeners in ((), (Silent(),)):
        leaves = tensors(arrays)
        for t in leaves:
            t.requires_grad = t.array.dtype.kind == "f"
        state.traces = listeners
        try:
            outs = flat(f(*leaves))
            for i, out in enumerate(outs):
                if out.requires_grad:
                    weights = np.random.default_rng(i).normal(size=out.shape).astype(out.dtype)
                    out.backward(Tensor(weights))
        finally:
            state.traces = ()
        found.append((outs, [t.grad for t in leaves]))
    return found


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_row_gives_the_same_results_pasts_and_gradients(rng, case, dtype):
    (quiet, gradients), (heard, wanted) = both_ways(case.f, *case.arrays(rng, dtype))
    for a, b in zip(quiet, heard, strict=True):
        same(a, b)
        if case.row != "mse_loss":
            assert str(past(a)) == str(past(b))
    for g, w in zip(gradients, wanted, strict=True):
        assert (g is None) == (w is None)
        if g is not None:
            same(g, w)
            assert g.array.flags.writeable and g.array.base is None


def network(act, sizes, dtype=np.float32, seed=0):
    g = dl.Generator(seed)
    layers = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b, dtype=dtype, generator=g), act()]
    return nn.Sequential(*layers[:-1])


def trained(listeners, act, dtype, shape, optimiser):
    """Three steps with weights that are used twice, and .grad that is accumulated once."""
    net = network(ACTS[act], (5, 16, 16, 3), dtype)
    opt = optimiser(net.parameters())
    rng = np.random.default_rng(7)
    losses = []
    state.traces = listeners
    try:
        for step in range(3):
            x, y = (dl.from_numpy(rng.normal(size=(*shape, n)).astype(dtype)) for n in (5, 3))
            if step != 1:
                opt.zero_grad()
            loss = F.mse_loss(net(x) + net(x * 2.0), y)
            loss.backward()
            opt.step()
            losses.append(loss.array.copy())
    finally:
        state.traces = ()
    return losses + [p.array for p in net.parameters()] + [p.grad.array for p in net.parameters()]


OPTIMISERS = {"adam": optim.Adam, "sgd": optim.SGD, "rmsprop": optim.RMSprop, "adamw": optim.AdamW}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(8,), (2, 3), (1,), (0,)])
def test_training_has_the_same_bits_whoever_listens(act, dtype, shape):
    for a, b in zip(*[trained(who, act, dtype, shape, optim.Adam) for who in ((), (Silent(),))], strict=True):
        same(a, b)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers_too(name):
    runs = [trained(who, "tanh", np.float32, (8,), OPTIMISERS[name]) for who in ((), (Silent(),))]
    for a, b in zip(*runs, strict=True):
        same(a, b)


@pytest.mark.parametrize("act", ACTS)
def test_the_jitted_step_has_the_bits_of_the_eager_one(act):
    made = []
    for wrapper in (lambda f: f, dl.jit):
        net = network(ACTS[act], (5, 16, 16, 3))
        opt = optim.Adam(net.parameters())

        def step(x, y, net=net, opt=opt):
            opt.zero_grad()
            loss = F.mse_loss(net(x), y)
            loss.backward()
            opt.step()
            return loss

        run, rng = wrapper(step), np.random.default_rng(3)
        losses = [run(*[dl.from_numpy(rng.normal(size=(8, n)).astype("f4")) for n in (5, 3)]) for _ in range(5)]
        made.append([np.asarray(t.array) for t in (*losses, *net.parameters())])
    for a, b in zip(*made, strict=True):
        same(a, b)


def test_the_row_of_mse_is_its_parts(rng):
    for shape in ((), (4,), (3, 5), (0, 2), (2, 3, 4)):
        x, y = (np.asarray(rng.normal(size=shape)) for _ in range(2))
        (out, grads), (wanted, heard) = both_ways(lambda x, y: F.mse_loss(x, y), x, y)
        for a, b in zip((*out, *grads), (*wanted, *heard), strict=True):
            same(a, b)
        (out, grads), (wanted, heard) = both_ways(lambda x, y: F.mse_loss(x.T, y.T * 1.0), x, y)
        for a, b in zip((*out, *grads), (*wanted, *heard), strict=True):
            same(a, b)


def test_hooks_and_retained_gradients_are_the_same(rng):
    heard = []
    for listeners in ((), (Silent(),)):
        x = Tensor(np.linspace(-1, 1, 6))
        x.requires_grad = True
        y = x.tanh()
        a, b = dl.split(y * y, 3)
        calls = []
        register_hook(y, lambda g, calls=calls: calls.append(g.array.copy()) or g * 2.0)
        register_hook(a, lambda g, calls=calls: calls.append(g.array.copy()))
        register_hook(x, lambda g, calls=calls: calls.append(g.array.copy()) or g + 1.0)
        retain_grad(y)
        state.traces = listeners
        try:
            (a.sum() * 3.0 + (b * b).sum()).backward()
        finally:
            state.traces = ()
        heard.append([*calls, y.grad.array, x.grad.array])
    assert len(heard[0]) == 5
    for a, b in zip(*heard, strict=True):
        same(a, b)


def test_a_hook_that_keeps_the_gradient_does_not_share_memory_with_grad():
    x, kept = Tensor(np.ones(3)), []
    x.requires_grad = True
    register_hook(x, kept.append)
    (x * 2.0).sum().backward()
    assert not np.shares_memory(kept[0].array, x.grad.array)


WRONG = {
    "a shape that does not fit": lambda x, w: F.linear(x, w[:, 1:]),
    "shapes that do not broadcast": lambda x, w: apply(TABLE["add"], (x, w)),
    "no tensor": lambda x, w: apply(TABLE["tanh"], (3.0,)),
    "too many inputs": lambda x, w: apply(TABLE["tanh"], (x, x, x)),
    "an unknown attribute": lambda x, w: apply(TABLE["sum"], (x,), {"axis": 0}),
    "nothing to differentiate": lambda x, w: x.detach().sum().backward(),
    "no scalar": lambda x, w: x.backward(),
    "a gradient of another shape": lambda x, w: (x * 2.0).backward(dl.ones(2)),
    "an in-place change of a leaf": lambda x, w: x.add_(1.0),
    "a saved value that changed": lambda x, w: stale(x),
    "a rule that is missing": lambda x, w: apply(TABLE["index_put"], (x, w)).sum().backward(),
}
if _kernels is not None:  # the twins are not asked by anybody who has not looked
    WRONG["two vectors"] = lambda x, w: apply(TABLE["matmul"], (x[0], w[0]))
    WRONG["dtypes that differ"] = lambda x, w: apply(TABLE["mul"], (x, x.to(dl.float32)))


def stale(x):
    y = x * 1.0
    z = y.tanh().sum() + (y * y).sum()
    changed(y)
    z.backward()


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_the_same(name):
    said = []
    for listeners in ((), (Silent(),)):
        x, w = (Tensor(np.ones(s)) for s in ((3, 4), (5, 4)))
        x.requires_grad = w.requires_grad = True
        state.traces = listeners
        try:
            with pytest.raises(Exception) as error:
                WRONG[name](x, w)
        finally:
            state.traces = ()
        said.append((error.type, str(error.value)))
        assert state.grad
    assert said[0] == said[1]


FITS = {
    "matrix": (((4, 3), "f4"), ((5, 3), "f4"), ((5,), "f4")),
    "no bias": (((2, 4, 3), "f8"), ((5, 3), "f8"), None),
    "vector": (((3,), "f4"), ((5, 3), "f4"), None),
    "sizes": (((4, 2), "f4"), ((5, 3), "f4"), None),
    "bias size": (((4, 3), "f4"), ((5, 3), "f4"), ((3,), "f4")),
    "bias rank": (((4, 3), "f4"), ((5, 3), "f4"), ((1, 5), "f4")),
    "dtypes": (((4, 3), "f4"), ((5, 3), "f8"), None),
    "bias dtype": (((4, 3), "f4"), ((5, 3), "f4"), ((5,), "f8")),
    "integers": (((4, 3), "i8"), ((5, 3), "i8"), None),
    "weight rank": (((4, 3), "f4"), ((2, 5, 3), "f4"), None),
}


@in_c
@pytest.mark.parametrize("name", FITS)
def test_c_and_python_agree_on_what_fits_a_linear_layer(name):
    x, w, b = (None if s is None else Tensor(np.ones(*s)) for s in FITS[name])
    assert apply.linear_fits(x, w, b) == linear_fits(x, w, b) == (name in ("matrix", "no bias"))
    assert not apply.linear_fits(x.array, w, b) and not linear_fits(x.array, w, b)


def test_a_wrapped_array_is_a_new_tensor():
    a = np.arange(3.0)
    for made in (wrap(a), Tensor(a)):
        assert made.array is a and made.is_leaf and not made.requires_grad and made.grad is None
        assert made._changed == [0] and made._index == 0 and made._hooks is made._past is None and not made._parameter


def test_an_update_marks_what_it_writes():
    p, g, count, rate = Tensor(np.ones(3)), Tensor(np.ones(3)), Tensor(np.array(0)), Tensor(np.array(0.1))
    row = optim.rules.update_row("sgd", 4, 2)
    numbers = {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
    for run in (apply, apply_anything):
        before = latest[0]
        assert run(row, (count, rate, p, g), numbers) == ()
        assert count._changed[0] > before < p._changed[0] <= latest[0] and g._changed == [0]
        p.requires_grad = True
        with pytest.raises(RuntimeError, match="sgd: an in-place change"):
            run(row, (count, rate, p, g), numbers)
        p.requires_grad = False
        p.array.flags.writeable = False
        with pytest.raises(ValueError, match="read-only"):
            run(row, (count, rate, p, g), numbers)
        p.array.flags.writeable = True
    same(p, np.ones(3) - 0.1 - 0.1)


@in_c
def test_a_recorded_in_place_change_elsewhere_does_not_slow_things_down(rng):
    x = Tensor(rng.normal(size=4))
    x.requires_grad = True
    y = x * 2.0
    early = y[1:]
    y.mul_(3.0)
    assert apply.backward((y * y).sum(), None, CASES_OF_BACKWARD)
    wanted, x.grad = x.grad, None
    backward_anything((y * y).sum(), None, False)
    same(x.grad, wanted)
    with pytest.raises(RuntimeError, match="shares memory with a tensor that was changed in place"):
        early * 2.0


def test_each_thread_has_its_own_mode():
    x, seen = Tensor(np.ones(2)), []
    x.requires_grad = True

    def other():
        seen.append((x * 2.0).requires_grad)
        with no_grad():
            seen.append((x * 2.0).requires_grad)

    with no_grad():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        seen.append((x * 2.0).requires_grad)
    assert [*seen, (x * 2.0).requires_grad] == [True, False, False, True]


def test_graphs_go_without_the_collector(rng):
    gc.collect()
    gc.disable()
    try:
        net = network(nn.Tanh, (5, 16, 3))
        out = net(dl.from_numpy(rng.normal(size=(4, 5)).astype("f4")))
        loss = F.mse_loss(out, dl.zeros(4, 3))
        loss.backward()
        gone = [weakref.ref(out), weakref.ref(loss)]
        del out, loss
        assert [r() for r in gone] == [None, None]
    finally:
        gc.enable()


def test_attributes_may_be_left_out():
    x = Tensor(np.ones(2))
    for run in (apply, apply_anything):
        same(run(TABLE["neg"], (x,)), run(TABLE["neg"], (x,), NO_ATTRS))


def test_backward_through_a_row_of_many_inputs_and_a_list(rng):
    (out, grads), (wanted, heard) = both_ways(
        lambda *t: dl.cat(list(t), 0) * dl.stack(list(t), 0).reshape(-1), *rng.normal(size=(40, 3))
    )
    for a, b in zip((*out, *grads), (*wanted, *heard), strict=True):
        same(a, b)
