"""Steps of optimisers that nobody listens to run in C: the same bits, marks and errors as the way through Python."""

import copy

import numpy as np
import pytest

import dl
from dl import nn, optim
from dl.kernel import _kernels
from dl.ops.losses import alike, both_alike
from dl.optim.optimizer import Optimizer
from dl.tape import apply, latest, state
from dl.tensor import Tensor
from dl.trace import Listener

SHAPES = ((3, 5), (5,), (), (0, 4), (2, 3, 2))
OPTIMISERS = {
    "adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.01),
    "adamw": lambda p: optim.AdamW(p, lr=0.1),
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: optim.RMSprop(p),
    "rmsprop, all": lambda p: optim.RMSprop(p, centered=True, momentum=0.9),
    "muon": lambda p: optim.Muon(p[:1]),
}
in_c = pytest.mark.skipif(_kernels is None, reason="the C extension was not built")


class Silent(Listener):
    """Hears everything and does nothing but count the gradients that are written."""

    def __init__(self):
        self.written = []

    def add(self, p, inputs, attrs, outputs):
        pass

    def grad_written(self, leaf, read):
        self.written.append((id(leaf), read))


def parameters(dtype=np.float64):
    rng = np.random.default_rng(0)
    return [nn.Parameter(np.asarray(rng.normal(size=s), dtype)) for s in SHAPES]


def heard(f):
    """f where a listener sends everything through Python."""
    state.traces = (Silent(),)
    try:
        return f()
    finally:
        state.traces = ()


def both(run):
    return run(), heard(run)


def bytes_of(optimiser: Optimizer):
    arrays = [p.array for g in optimiser.param_groups for p in g.params] + list(optimiser.state_dict().values())
    return [(a.shape, a.dtype, a.tobytes()) for a in arrays]


def steps(make, dtype, change):
    """Four steps whose gradients come and go, lie across memory, and whose settings change."""
    rng, params = np.random.default_rng(1), parameters(dtype)
    opt = make(params)
    for k in range(4):
        for i, p in enumerate(params):
            g = np.asarray(rng.normal(size=p.shape[::-1]), dtype).T if (i + k) % 4 else None
            p.grad = None if g is None else Tensor(g)
        change(opt, k)
        opt.step()
    return bytes_of(opt)


def nothing(opt, k):
    pass


def settings(opt, k):
    opt.param_groups[0]["lr"] = 0.1 / (k + 1)
    opt.param_groups[0]["weight_decay"] = 0.1 * k


@pytest.mark.parametrize("change", [nothing, settings])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_same_bits_whoever_listens(name, dtype, change):
    a, b = both(lambda: steps(OPTIMISERS[name], dtype, change))
    assert a == b


def test_a_setting_that_changes_counts_from_the_next_step_on():
    made = []
    for decay in (0.0, 0.5):
        opt = optim.AdamW(parameters(), lr=0.1, weight_decay=0.0)
        for k in range(2):
            for p in opt.param_groups[0].params:
                p.grad = dl.ones_like(p)
            opt.param_groups[0].settings["weight_decay"] = decay * k
            opt.step()
        made.append(bytes_of(opt))
    assert made[0] != made[1]


def test_a_setting_in_a_list_may_change_too():
    made = []
    for beta in (0.9, 0.1):
        p = parameters()[0]
        opt = optim.Adam([{"params": [p], "betas": [0.9, 0.999]}])
        for g in (1.0, 2.0):
            p.grad = dl.full(p.shape, g, dtype=np.float64)
            opt.step()
            opt.param_groups[0]["betas"][0] = beta
        made.append(bytes_of(opt))
    assert made[0] != made[1]


def test_without_a_gradient_nothing_happens():
    for opt in (make(parameters()) for make in OPTIMISERS.values()):
        n, when = len(opt.param_groups[0].params), latest[0]
        before = bytes_of(opt)[:n]
        opt.step()
        assert bytes_of(opt)[:n] == before and latest[0] == when and opt.param_groups[0].count.item() == 0


def test_an_update_is_marked_on_all_that_it_writes_and_not_on_gradients():
    p, q = parameters()[:2]
    p.grad = dl.ones_like(p)
    opt = optim.Adam([p, q])
    for _ in range(2):
        before = latest[0]
        opt.step()
        group = opt.param_groups[0]
        written = [group.count, p, *(column[0] for column in group.state.values())]
        assert all(before < t._changed[0] <= latest[0] for t in written)
        assert all(t._changed == [0] for t in (group.rate, p.grad, q, group.state["exp_avg"][1]))


def test_a_value_that_a_rule_needs_is_missed_after_a_step():
    p = parameters()[0]
    opt = optim.Adam([p])
    for _ in range(2):
        loss = (p * p).sum()
        loss.backward()
        opt.step()
        with pytest.raises(RuntimeError, match="changed in place after it was used"):
            loss.backward()


def wrong_shape(opt, p):
    p._grad = dl.ones(7, dtype=np.float64)


def wrong_dtype(opt, p):
    p._grad = dl.ones(3, 5, dtype=np.float32)


def read_only(opt, p):
    p.array.flags.writeable = False


def read_only_state(opt, p):
    opt.param_groups[0].state["exp_avg"][0].array.flags.writeable = False


def no_tensor(opt, p):
    opt.param_groups[0].params[0] = p.array


WRONG = [wrong_shape, read_only, read_only_state, no_tensor]
if _kernels is not None:
    WRONG.append(wrong_dtype)  # the twins promote


@pytest.mark.parametrize("spoil", WRONG)
def test_errors_are_the_same(spoil):
    def run():
        p = parameters()[0]
        opt = optim.Adam([p])
        p.grad = dl.ones_like(p)
        opt.step()
        spoil(opt, p)
        with pytest.raises(Exception) as error:
            opt.step()
        assert state.grad
        return error.type, str(error.value)

    a, b = both(run)
    assert a == b


def test_forgotten_gradients_are_heard_of():
    params = parameters()
    for set_to_none in (True, False):
        opt = optim.SGD(params)
        for p in params:
            p.grad = dl.ones_like(p)
        opt.zero_grad(set_to_none)
        assert all((p.grad is None) if set_to_none else not p.grad.array.any() for p in params)
    listener = Silent()
    state.traces = (listener,)
    try:
        opt.zero_grad()
    finally:
        state.traces = ()
    assert listener.written == [(id(p), False) for p in params] and all(p.grad is None for p in params)


@in_c
def test_odd_arguments_are_left_to_python():
    p = parameters()[0]
    p.grad = dl.ones_like(p)
    group = optim.SGD([p]).param_groups[0]
    given = ["sgd", group.count, group.rate, group.params, group.state, (), (0,), (0.0, 0.0, 0.0)]
    odd = {1: 3, 2: None, 3: (p,), 4: [], 5: ("missing",), 6: ("x",), 7: (1.0,) * 9}
    for i, value in odd.items():
        assert apply.step(*given[:i], value, *given[i + 1 :]) is False
    assert apply.step(*given) is False  # gradients are on
    with pytest.raises(KeyError, match="no kernel"):
        apply.step("nonsense", *given[1:])
    with pytest.raises(TypeError, match="8 arguments"):
        apply.step("sgd")
    assert apply.forget((p,)) is False and apply.forget([p, 3]) is False and p.grad is None


def test_a_copied_optimiser_goes_on_alone():
    p = parameters()[0]
    opt = optim.Adam([p])
    p.grad = dl.ones_like(p)
    opt.step()
    before, other = bytes_of(opt), copy.deepcopy(opt)
    other.step()
    assert bytes_of(opt) == before
    opt.step()
    assert bytes_of(opt)[1:] == bytes_of(other)[1:]


class Twice(nn.Module):
    """A module with a way of its own to be called."""

    def forward(self, x):
        return x

    def __call__(self, x):
        return x * 2.0


def test_modules_in_a_row_are_called_with_their_hooks():
    x = dl.ones(2)
    net = nn.Sequential(nn.Identity(), Twice(), nn.Identity())
    assert net(x).array.tolist() == [2, 2]
    removers = [net[i].register_forward_hook(lambda module, args, out: out + 1.0) for i in (0, 2, 0)]
    assert net(x).array.tolist() == [7, 7]
    removers[0]()
    assert net(x).array.tolist() == [5, 5] and copy.deepcopy(net)(x).array.tolist() == [5, 5]
    for remove in removers:
        remove()
    assert net(x).array.tolist() == [2, 2]
    delattr(net, "1")
    assert net(x).array.tolist() == [1, 1] and len(net) == 2


ALIKE = [
    (np.ones(3), np.ones(3), True),
    (np.ones((0, 2), "f4"), np.zeros((0, 2), "f4"), True),
    (np.ones(()), 1.0, False),
    (np.ones(3), np.ones((3, 1)), False),
    (np.ones(3, "f4"), np.ones(3), False),
    (np.ones(3, int), np.ones(3, int), False),
]


@pytest.mark.parametrize("x, y, wanted", ALIKE)
def test_what_a_loss_takes_as_it_is(x, y, wanted):
    a, b = (Tensor(t) if isinstance(t, np.ndarray) else t for t in (x, y))
    assert alike(a, b) == both_alike(a, b) == wanted
    assert not alike(x, y) and not both_alike(x, y)
