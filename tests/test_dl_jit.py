"""dl.jit: what is replayed is what eager mode gives, to the bit; and what cannot be recorded says so."""

from itertools import pairwise

import numpy as np
import pytest

import dl
from dl import functional as F
from dl import nn, optim


def network(act=nn.Tanh, sizes=(5, 16, 16, 3)):
    g = dl.Generator(0)
    layers = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b, generator=g), act()]
    return nn.Sequential(*layers[:-1])


FUNCTIONS = {
    "elementwise": lambda x, y: (x * 2.0 + y).tanh() * x - y.exp(),
    "several results": lambda x, y: (x + 1.0, (x * y).sum(0), x.mean()),
    "views": lambda x, y: (x.T @ y[:, ::-1], x[1:, None, ::2], y.reshape(-1)[3:7].expand(2, 4)),
    "a result is an argument": lambda x, y: (x, y.T),
    "joins": lambda x, y: dl.cat([dl.stack([x, y], 0).flatten(0, 1), F.pad(x, (0, 0, 1, 2))], 0).flip((0,)),
    "reductions": lambda x, y: (x.amax(1), y.amin(), x.argmax(0), (x > y).any(1), x.prod(1), x.cumsum(0), x.var(1)),
    "softmax": lambda x, y: F.log_softmax(x, dim=-1) + F.softmax(y, dim=0) * x.logsumexp(0),
    "norms": lambda x, y: F.layer_norm(x, (4,)) + F.rms_norm(y, (4,)),
    "indexing": lambda x, y: (x[[2, 0, -1]], x[:, dl.tensor(np.array([1, 1, 3]))], dl.where(x > y, x, y), x[2, 3]),
    "sorting has no kernel": lambda x, y: (x.sort(0)[0] * 2.0) @ y.T,
    "gradient inside": lambda x, y: dl.grad(lambda x: ((x * y).tanh() ** 2).sum())(x),
    "hessian inside": lambda x, y: dl.hessian(lambda v: (v.exp() * y[0]).sum())(x[0]),
    "vmap inside": lambda x, y: dl.vmap(lambda a, b: (a * b).sum() + a.tanh())(x, y),
    "in place": lambda x, y: x.clone().add_(y).mul_(2.0),
    "set items": lambda x, y: put(x, y),
    "constants": lambda x, y: x * dl.arange(4).to(x.dtype) + dl.ones(4).to(x.dtype) * (2.0 * np.pi),
    "zeros and NaN": lambda x, y: 1.0 / dl.stack([dl.where(x > y, z, x) for z in (0.0, -0.0, np.nan, -0.0, np.nan)]),
    "broadcast": lambda x, y: (x[:, None] + y[None]).sum((0, 1)) * x[0, 0],
}
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def put(x, y):
    z = dl.zeros(5, 4, dtype=x.dtype)
    z[1:3] = x[:2]
    z[4] += y[0]
    return z


def listed(out):
    return out if isinstance(out, tuple) else (out,)


@every_function
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_replays_are_the_eager_results(name, dtype, rng):
    fn = FUNCTIONS[name]
    recorded = dl.jit(fn)
    for _ in range(4):  # recorded, replayed through Python, then by C alone
        x, y = rng.normal(size=(2, 3, 4)).astype(dtype)
        found, wanted = listed(recorded(x, y)), listed(fn(dl.tensor(x), dl.tensor(y)))
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            assert isinstance(a, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_array_equal(a, b.numpy())


def training(kind, act, dtype=np.float32):
    net = network(act).to(dtype)
    opt = kind(net.parameters(), lr=1e-2)

    def step(x, y):
        opt.zero_grad()
        loss = F.mse_loss(net(x), y)
        loss.backward()
        opt.step()
        return loss

    return net, step


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop])
@pytest.mark.parametrize("act", [nn.Tanh, nn.ReLU, nn.GELU, nn.Mish])
def test_training_steps_have_equal_bits(kind, act, rng):
    (net, step), (twin, eager) = training(kind, act), training(kind, act)
    recorded = dl.jit(step)
    for _ in range(20):
        x, y = rng.normal(size=(32, 5)).astype(np.float32), rng.normal(size=(32, 3)).astype(np.float32)
        loss = recorded(x, y)
        assert loss.tobytes() == eager(dl.tensor(x), dl.tensor(y)).detach().numpy().tobytes()
        for p, q in zip(net.parameters(), twin.parameters(), strict=True):
            assert p.array.tobytes() == q.array.tobytes()
            assert p.grad.array.tobytes() == q.grad.array.tobytes()


def test_gradients_accumulate_as_they_do_in_eager_mode(rng):
    w = dl.tensor(rng.normal(size=3), requires_grad=True)

    @dl.jit
    def add_gradient(x):
        (w * x).sum().backward()

    total = np.zeros(3)
    for k in range(6):
        x = rng.normal(size=3)
        add_gradient(x)
        total += x
        np.testing.assert_allclose(w.grad.array, total)
        if k == 3:
            w.grad, total = None, np.zeros(3)
    assert len(add_gradient.recordings[next(iter(add_gradient.recordings))]) <= 2


def test_new_shapes_dtypes_and_python_values_record_again(rng):
    seen = []

    @dl.jit
    def f(x, scale=2.0, mode="a"):
        seen.append((x.shape, str(x.dtype), scale, mode))
        return x * scale if mode == "a" else x + scale

    for x in (np.ones(3), np.ones(4), np.ones(3, np.float32)):
        for _ in range(3):
            np.testing.assert_array_equal(f(x), 2 * x)
    np.testing.assert_array_equal(f(np.ones(3), scale=5.0), 5.0)
    np.testing.assert_array_equal(f(np.ones(3), 5.0, "b"), 6.0)
    assert len(seen) == 5


def test_arguments_and_results_may_be_nested(rng):
    @dl.jit
    def f(batch, pair):
        return {"sum": batch["x"] + pair[0], "k": 3, "both": [pair[1], (batch["y"] * 2.0,)]}

    for _ in range(3):
        x = rng.normal(size=4)
        out = f({"x": dl.tensor(x), "y": dl.tensor(x)}, (dl.tensor(x), dl.tensor(2 * x)))
        assert isinstance(out["sum"], dl.Tensor) and out["k"] == 3
        np.testing.assert_allclose(out["sum"].numpy(), 2 * x)
        np.testing.assert_allclose(out["both"][1][0].numpy(), 2 * x)


def test_results_are_kept_when_the_program_runs_again():
    f = dl.jit(lambda x: x + 1.0)
    first = [f(np.full(3, float(k))) for k in range(5)]
    np.testing.assert_array_equal(np.stack(first)[:, 0], np.arange(5) + 1.0)


def test_branching_on_values_is_an_error_that_says_so():
    @dl.jit
    def f(x):
        return x if x.sum() > 0 else -x

    with pytest.raises(TypeError, match=r"inside dl.jit: the value of a tensor .* Python cannot branch"):
        f(np.ones(3))
    with pytest.raises(TypeError, match=r"dl\.where"):
        dl.jit(lambda x: x * float(x[0]))(np.ones(3))
    with pytest.raises(TypeError, match=r"inside dl.jit"):
        dl.jit(lambda x: dl.tensor(np.asarray(x)))(np.ones(3))


def test_a_function_that_records_every_time_says_so():
    f = dl.jit(lambda x, k: x * k)
    with pytest.raises(RuntimeError, match="recorded 64 times; shapes, Python arguments"):
        for k in range(100):
            f(np.ones(2), float(k))


def test_parameters_that_are_replaced_are_noticed(rng):
    net = network()
    f = dl.jit(net)
    x = rng.normal(size=(1, 5)).astype(np.float32)
    f(x), f(x), f(x)
    for p in net.parameters():
        p.array[...] = 0.0  # in place: the program reads it
    np.testing.assert_array_equal(f(x), 0.0)
    net.to(np.float64)
    for p in net.parameters():
        p.array[...] = 0.1
    assert np.abs(f(x)).min() > 0
    state = {k: np.full(v.shape, 0.2) for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    with dl.no_grad():
        np.testing.assert_allclose(f(x), net(dl.tensor(x)).numpy())


def test_train_and_eval_are_two_recordings():
    net = nn.Sequential(nn.Linear(3, 8, generator=dl.Generator(0)), nn.Dropout(0.5, generator=dl.Generator(1)))
    f, x = dl.jit(net), np.ones((2, 3), np.float32)
    for _ in range(3):
        net.train()
        noisy = [f(x) for _ in range(3)]
        assert not np.array_equal(noisy[0], noisy[1]) and not np.array_equal(noisy[1], noisy[2])
        net.eval()
        calm = [f(x) for _ in range(3)]
        np.testing.assert_array_equal(calm[0], calm[2])
    assert sum(map(len, f.recordings.values())) == 2


def test_an_index_out_of_range_is_an_error_in_replays_too():
    table = dl.tensor(np.arange(12.0).reshape(4, 3))
    f = dl.jit(lambda i: table.index_select(0, i))
    for _ in range(3):
        np.testing.assert_array_equal(f(np.array([3, 0])), table.numpy()[[3, 0]])
    with pytest.raises(IndexError, match=r"index number 1 .* is out of range"):
        f(np.array([1, 4]))


def test_random_numbers_are_drawn_at_every_replay():
    def draws(wrap):
        g = dl.Generator(3)
        f = wrap(lambda x: F.dropout(x, 0.5, training=True, generator=g) + g.normal(4))
        return np.stack([np.asarray(f(dl.ones(4)).detach().numpy()) for _ in range(5)])

    np.testing.assert_array_equal(draws(dl.jit), draws(lambda f: f))


def test_inside_a_derivative_the_function_runs_as_it_is(rng):
    f = dl.jit(lambda x: (x**3).sum())
    x = rng.normal(size=4)
    f(x), f(x)
    np.testing.assert_allclose(dl.grad(f)(dl.tensor(x)).numpy(), 3 * x**2)
    t = dl.tensor(x, requires_grad=True)
    f(t).backward()
    np.testing.assert_allclose(t.grad.numpy(), 3 * x**2)


def test_equal_bits_for_any_number_of_threads(rng):
    if dl.backend() == "numpy":
        pytest.skip("the C extension was not built")
    from dl import _kernels

    before, results = _kernels.num_threads(), []
    try:
        for threads in (1, 2, 3):
            _kernels.set_num_threads(threads)
            net, step = training(optim.Adam, nn.Tanh)
            recorded, data = dl.jit(step), np.random.default_rng(0)
            for _ in range(5):
                recorded(*(data.normal(size=(96, n)).astype(np.float32) for n in (5, 3)))
            results.append(b"".join(p.array.tobytes() for p in net.parameters()))
    finally:
        _kernels.set_num_threads(before)
    assert len(set(results)) == 1


def test_what_was_recorded_before_a_replay_is_out_of_date(rng):
    net, step = training(optim.Adam, nn.Tanh)
    recorded, batch = dl.jit(step), [rng.normal(size=(6, n)).astype(np.float32) for n in (5, 3)]
    for replays in (1, 1, 3):
        loss = net(dl.from_numpy(batch[0])).sum()
        for _ in range(replays):
            recorded(*batch)
        with pytest.raises(RuntimeError, match="was changed in place"):
            loss.backward()


def test_dead_code_goes_and_neighbours_are_fused():
    if dl.backend() == "numpy":
        pytest.skip("the C extension was not built")

    def f(x):
        (x @ x).exp()  # nobody reads it
        return ((x + 1.0) * x - x.exp()).tanh()

    recorded = dl.jit(f)
    recorded(np.ones((4, 4)))
    (made,) = recorded.recordings[next(iter(recorded.recordings))]
    assert [m.name for m in made.built.instructions] == ["fused"]
    assert made.built.unfused == 5


def test_a_plants_rollout_is_replayed():
    from sims.plants import CartPole

    plant = CartPole()

    def rollout(x, u):
        for k in range(20):
            x = x + 0.01 * plant.f(x, u[k])
        return x

    x, u = np.array([0.1, 0.2, 0.3, 0.4]), np.sin(np.arange(20.0))[:, None]
    recorded, wanted = dl.jit(rollout), rollout(x, u)
    for _ in range(3):
        np.testing.assert_allclose(recorded(x, u), wanted, rtol=1e-12)
    gradient = dl.jit(dl.grad(lambda x, u: (rollout(x, u) ** 2).sum(), (0, 1)))
    gradient(x, u)
    gx, gu = gradient(x, u)
    for i in range(4):
        d = np.zeros(4)
        d[i] = 1e-6
        slope = ((rollout(x + d, u) ** 2).sum() - (rollout(x - d, u) ** 2).sum()) / 2e-6
        np.testing.assert_allclose(gx[i], slope, rtol=1e-6, atol=1e-8)
    assert gu.shape == (20, 1) and np.isfinite(gu).all()
