"""Optimisers against their formulas written out in NumPy, schedules, averages, limits on gradients, saved state."""

import numpy as np
import pytest

import dl
from dl import optim

A, B = np.array([[3.0, 0.4], [0.4, 1.0]]), np.array([1.0, -2.0])  # loss x^T A x / 2 - B x + |y|^2 / 2


def parameters(dtype=np.float64):
    return [
        dl.tensor(np.array([1.0, 2.0], dtype), requires_grad=True),
        dl.tensor(np.full((2, 3), 0.5, dtype), requires_grad=True),
    ]


def loss_of(params):
    x, y = params
    a, b = (dl.tensor(v.astype(x.dtype)) for v in (A, B))
    return 0.5 * (x @ (a @ x)) - (b * x).sum() + 0.5 * (y * y).sum()


def gradients(values):
    return [A @ values[0] - B, values[1]]


def sgd(p, g, s, t, *, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    g = g + weight_decay * p
    if momentum:
        s["b"] = g if t == 1 else momentum * s["b"] + (1 - dampening) * g
        g = g + momentum * s["b"] if nesterov else s["b"]
    return p - lr * g


def adam(p, g, s, t, *, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    if decoupled:
        p = p * (1 - lr * weight_decay)
    else:
        g = g + weight_decay * p
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    return p - lr * (s["m"] / (1 - betas[0] ** t)) / (np.sqrt(s["v"] / (1 - betas[1] ** t)) + eps)


def rmsprop(p, g, s, t, *, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    g = g + weight_decay * p
    s["s"] = alpha * s.get("s", 0) + (1 - alpha) * g * g
    s["a"] = alpha * s.get("a", 0) + (1 - alpha) * g
    g = g / (np.sqrt(s["s"] - centered * s["a"] ** 2) + eps)
    s["b"] = momentum * s.get("b", 0) + g
    return p - lr * (s["b"] if momentum else g)


CASES = [
    (optim.SGD, sgd, dict(lr=0.1)),
    (optim.SGD, sgd, dict(lr=0.1, momentum=0.9, weight_decay=0.01)),
    (optim.SGD, sgd, dict(lr=0.1, momentum=0.9, dampening=0.3)),
    (optim.SGD, sgd, dict(lr=0.05, momentum=0.8, nesterov=True)),
    (optim.Adam, adam, dict(lr=0.05)),
    (optim.Adam, adam, dict(lr=0.05, betas=(0.8, 0.95), weight_decay=0.1)),
    (optim.AdamW, lambda *a, **k: adam(*a, **k, decoupled=True), dict(lr=0.05, weight_decay=0.1)),
    (optim.RMSprop, rmsprop, dict(lr=0.02)),
    (optim.RMSprop, rmsprop, dict(lr=0.02, alpha=0.9, momentum=0.5, centered=True, weight_decay=0.01)),
]
every_case = pytest.mark.parametrize(("kind", "formula", "settings"), CASES)


def train(opt, params, steps):
    for _ in range(steps):
        opt.zero_grad()
        loss_of(params).backward()
        opt.step()


@every_case
def test_updates_are_the_formulas(kind, formula, settings):
    params = parameters()
    values, states = [p.array.copy() for p in params], [{}, {}]
    train(kind(params, **settings), params, 20)
    for t in range(1, 21):
        grads = gradients(values)
        values = [formula(v, g, s, t, **settings) for v, g, s in zip(values, grads, states, strict=True)]
    for p, v in zip(params, values, strict=True):
        np.testing.assert_allclose(p.array, v, rtol=1e-12, atol=1e-14)


@every_case
def test_saved_state_goes_on_to_the_bit(kind, formula, settings):
    params, others = parameters(np.float32), parameters(np.float32)
    opt = kind(params, **settings)
    train(opt, params, 7)
    state, values = opt.state_dict(), [p.array.copy() for p in params]
    train(opt, params, 5)
    again = kind(others, **settings)
    again.load_state_dict(state)
    for p, v in zip(others, values, strict=True):
        p.array[...] = v
    train(again, others, 5)
    for p, q in zip(params, others, strict=True):
        assert p.array.tobytes() == q.array.tobytes()


def test_groups_have_settings_of_their_own():
    x, y = parameters()
    opt = optim.SGD([{"params": [x]}, {"params": y, "lr": 0.0}], lr=0.1)
    before = y.array.copy()
    train(opt, [x, y], 3)
    np.testing.assert_array_equal(y.array, before)
    opt.param_groups[1]["lr"] = 0.5
    assert opt.param_groups[1]["lr"] == 0.5
    train(opt, [x, y], 1)
    np.testing.assert_allclose(y.array, 0.5 * before)


def test_parameters_without_gradient_stay():
    x, y = parameters()
    opt = optim.Adam([x, y], lr=0.1)
    (x * x).sum().backward()
    before = y.array.copy()
    opt.step()
    np.testing.assert_array_equal(y.array, before)


def test_lbfgs_minimises_rosenbrock():
    x = dl.tensor(np.array([-1.2, 1.0]), requires_grad=True)
    opt = optim.LBFGS([x], max_iter=100)

    def closure():
        opt.zero_grad()
        loss = (1.0 - x[0]) ** 2 + 100.0 * (x[1] - x[0] ** 2) ** 2
        loss.backward()
        return loss

    opt.step(closure)
    np.testing.assert_allclose(x.array, 1.0, atol=1e-6)
    with pytest.raises(TypeError, match="needs a closure"):
        opt.step()


def test_muon_moves_along_an_orthogonal_matrix(rng):
    w = dl.tensor(rng.normal(size=(6, 4)), requires_grad=True)
    before = w.array.copy()
    opt = optim.Muon([w], lr=0.1)
    (w * dl.tensor(rng.normal(size=(6, 4)))).sum().backward()
    opt.step()
    s = np.linalg.svd((before - w.array) / (0.1 * np.sqrt(6 / 4)), compute_uv=False)
    assert s.min() > 0.6 and s.max() < 1.3
    with pytest.raises(ValueError, match="give vectors to AdamW"):
        optim.Muon(parameters())


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda o: optim.StepLR(o, 2, gamma=0.5), [1, 1, 0.5, 0.5, 0.25]),
        (lambda o: optim.ExponentialLR(o, 0.9), [1, 0.9, 0.81, 0.729, 0.6561]),
        (lambda o: optim.LinearLR(o, start=1.0, end=0.0, total=4), [1, 0.75, 0.5, 0.25, 0]),
        (lambda o: optim.LambdaLR(o, lambda t: 1 / (1 + t)), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]),
        (lambda o: optim.CosineLR(o, 4, warmup=2), [0.5, 1, 1, 0.5, 0]),
    ],
)
def test_schedules(make, wanted):
    opt = optim.SGD(parameters(), lr=0.2)
    schedule, found = make(opt), []
    for _ in wanted:
        found.append(schedule.get_last_lr()[0] / 0.2)
        schedule.step()
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    other = make(optim.SGD(parameters(), lr=0.2))
    other.load_state_dict(schedule.state_dict())
    assert other.get_last_lr() == schedule.get_last_lr()


def test_ema_and_clipping():
    params = parameters()
    ema = optim.EMA(params, decay=0.9)
    start = [p.array.copy() for p in params]
    train(optim.SGD(params, lr=0.1), params, 1)
    ema.update()
    for s, a, p in zip(ema.shadow, start, params, strict=True):
        np.testing.assert_allclose(s.array, 0.9 * a + 0.1 * p.array)
    now = [p.array.copy() for p in params]
    ema.swap()
    np.testing.assert_allclose(params[0].array, 0.9 * start[0] + 0.1 * now[0])
    ema.swap()
    np.testing.assert_array_equal(params[0].array, now[0])
    other = optim.EMA(params)
    other.load_state_dict(ema.state_dict())
    np.testing.assert_array_equal(other.shadow[1].array, ema.shadow[1].array)

    total = np.sqrt(sum((p.grad.array**2).sum() for p in params))
    kept = [p.grad.array.copy() for p in params]
    norm = optim.clip_grad_norm_(params, 0.5 * total)
    np.testing.assert_allclose(float(norm), total)
    np.testing.assert_allclose(params[0].grad.array, 0.5 * kept[0], rtol=1e-5)
    optim.clip_grad_value_(params, 0.1)
    assert max(np.abs(p.grad.array).max() for p in params) <= 0.1


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="no parameters"):
        optim.SGD([])
    with pytest.raises(TypeError, match=r"parameter 0 is not a leaf tensor .* net.parameters"):
        optim.SGD([dl.zeros(2)])
    with pytest.raises(ValueError, match="lr >= 0, got -1"):
        optim.Adam(parameters(), lr=-1)
    with pytest.raises(TypeError, match=r"no setting \['rate'\]; there are lr, betas"):
        optim.Adam([{"params": parameters(), "rate": 1}])
    with pytest.raises(ValueError, match=r"betas in \[0, 1\)"):
        optim.Adam(parameters(), betas=(0.9, 1.0))
    opt = optim.Adam(parameters())
    with pytest.raises(ValueError, match=r"unknown or misshapen keys \['0.exp_avg.7'\]"):
        opt.load_state_dict(opt.state_dict() | {"0.exp_avg.7": np.zeros(2)})
    with pytest.raises(KeyError, match="no setting 'speed'; there are lr, betas"):
        opt.param_groups[0]["speed"] = 2
