"""dl.nn.Module and its kin: what is found by name, modes, state in and out, containers, first values."""

import copy

import numpy as np
import pytest
from scipy import stats

import dl
from dl import nn


def generator(seed: int = 0):
    return dl.Generator(seed)


class Net(nn.Module):
    """Everything a module can hold."""

    def __init__(self, g):
        super().__init__()
        self.first = nn.Linear(3, 4, generator=g)
        self.rest = nn.ModuleList([nn.Linear(4, 4, generator=g), nn.BatchNorm1d(4)])
        self.scale = nn.Parameter(dl.ones(4))
        self.register_buffer("count", dl.zeros(2))
        self.register_buffer("scratch", dl.zeros(1), persistent=False)
        self.plain = dl.ones(7)

    def forward(self, x):
        x = self.first(x).tanh()
        for module in self.rest:
            x = module(x)
        return x * self.scale


NAMES = ["scale", "first.weight", "first.bias", "rest.0.weight", "rest.0.bias", "rest.1.weight", "rest.1.bias"]


def test_parameters_buffers_and_modules_are_found_by_name():
    net = Net(generator())
    assert sorted(name for name, _ in net.named_parameters()) == sorted(NAMES)
    assert [n for n, _ in net.named_buffers()] == ["count", "scratch", "rest.1.running_mean", "rest.1.running_var"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert [n for n, _ in net.named_children()] == ["first", "rest"]
    assert sorted(net.state_dict()) == sorted([*NAMES, "count", "rest.1.running_mean", "rest.1.running_var"])
    assert all(p.requires_grad for p in net.parameters()) and len(list(net.buffers())) == 4


def test_a_shared_parameter_is_counted_once_and_saved_under_both_names():
    a, b = nn.Linear(3, 3, generator=generator()), nn.Linear(3, 3, generator=generator())
    b.weight = a.weight
    both = nn.Sequential(a, b)
    assert [n for n, _ in both.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert "1.weight" in both.state_dict()
    x = dl.ones(2, 3)
    new = dl.zeros(3, 3)
    np.testing.assert_array_equal(
        nn.functional_call(both, {"0.weight": new}, x).detach().numpy(),
        np.broadcast_to(b.bias.detach().numpy(), (2, 3)),
    )


def test_modes_freezing_and_gradients():
    net, x = Net(generator()), dl.ones(5, 3)
    assert net.rest[1].training and not net.eval().rest[1].training and net.train().rest[1].training
    net.requires_grad_(False)
    assert not net(x).requires_grad
    net.requires_grad_()
    net(x).sum().backward()
    assert net.first.bias.grad is not None
    net.zero_grad(set_to_none=False)
    assert not net.first.bias.grad.numpy().any()
    net.zero_grad()
    assert net.first.bias.grad is None
    seen = []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "Linear", "BatchNorm1d", "ModuleList", "Net"]


def test_to_changes_the_dtype_of_parameters_and_buffers():
    net = Net(generator()).double()
    assert {t.dtype for t in net.state_dict().values()} == {dl.float64}
    assert net(dl.ones(5, 3, dtype=dl.float64)).dtype == dl.float64
    assert net.float()(dl.ones(5, 3)).dtype == dl.float32
    with pytest.raises(TypeError, match="int64"):
        net.to(dl.int64)


def test_state_goes_out_and_in_again():
    net, other = Net(generator(0)), Net(generator(1))
    net(dl.ones(5, 3))
    other.load_state_dict(net.state_dict())
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), other.state_dict()[name].numpy())
    arrays = {name: value.numpy() + 1 for name, value in net.state_dict().items()}
    other.load_state_dict(arrays)
    np.testing.assert_array_equal(other.scale.detach().numpy(), 2)
    assert other.first.weight is not net.first.weight


def test_a_state_that_does_not_fit_gets_one_error_with_everything_and_changes_nothing():
    net = Net(generator())
    state = net.state_dict() | {"first.weight": dl.zeros(4, 9), "more": dl.zeros(1), "scale": dl.zeros(4)}
    del state["rest.0.bias"]
    with pytest.raises(ValueError, match="nothing was loaded") as error:
        net.load_state_dict(state)
    text = str(error.value)
    assert "missing: rest.0.bias" in text and "unexpected: more" in text and "strict=False" in text
    assert "first.weight: wanted shape [4, 3], got [4, 9]" in text
    np.testing.assert_array_equal(net.scale.detach().numpy(), 1)
    with pytest.raises(ValueError, match="first"):
        net.load_state_dict(state, strict=False)
    del state["first.weight"]
    net.load_state_dict(state, strict=False)
    np.testing.assert_array_equal(net.scale.detach().numpy(), 0)
    with pytest.raises(TypeError, match="dict of tensors"):
        net.load_state_dict([1, 2])


def test_loading_between_forward_and_backward_is_noticed():
    net = nn.MLP((3, 4, 1), generator=generator())
    loss = net(dl.ones(2, 3)).sum()
    net.load_state_dict({k: v.numpy() * 2 for k, v in net.state_dict().items()})
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_attributes_that_would_be_lost_are_refused():
    net = Net(generator())
    for value in ([nn.Identity()], (nn.Parameter(dl.ones(1)),), {"a": nn.Identity()}):
        with pytest.raises(TypeError, match="use nn"):
            net.more = value
    with pytest.raises(TypeError, match="scale is a parameter"):
        net.scale = dl.ones(4)
    net.scale = nn.Parameter(dl.zeros(4))
    net.scale = None
    assert "scale" not in net.state_dict()


@pytest.mark.parametrize(
    "make",
    [
        lambda g: nn.Linear(2, 2, generator=g),
        lambda g: nn.MLP((2, 2), generator=g),
        lambda g: nn.Conv1d(2, 2, 1, generator=g),
        lambda g: nn.LSTM(2, 2, generator=g),
        lambda g: nn.Embedding(2, 2, generator=g),
        lambda g: nn.MultiheadAttention(2, 1, generator=g),
        lambda g: nn.Dropout(generator=g),
        lambda g: nn.TemporalUNet(2, widths=(8,), generator=g),
    ],
)
def test_what_draws_needs_a_generator(make):
    for wrong in (None, 0, np.random.default_rng(0)):
        with pytest.raises(TypeError, match=r"generator=dl.Generator\(seed\)"):
            make(wrong)
    first, second = make(generator(5)), make(generator(5))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes() if not a.requires_grad else True
        assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()


def test_layers_of_one_generator_differ():
    g = generator()
    assert (
        nn.Linear(3, 3, generator=g).weight.detach().numpy() != nn.Linear(3, 3, generator=g).weight.detach().numpy()
    ).all()


def test_functional_call_uses_other_values_and_leaves_the_module_alone():
    net, x = nn.MLP((3, 4, 2), generator=generator()), dl.ones(2, 3)
    values = {name: p.detach() * 0 for name, p in net.named_parameters()}
    before = net(x).detach().numpy()
    assert not nn.functional_call(net, values, x).numpy().any()
    np.testing.assert_array_equal(net(x).detach().numpy(), before)
    grads = dl.grad(lambda v: nn.functional_call(net, v, x).square().sum())(
        {name: p.detach() for name, p in net.named_parameters()}
    )
    net(x).square().sum().backward()
    for name, p in net.named_parameters():
        np.testing.assert_allclose(grads[name].numpy(), p.grad.numpy(), rtol=1e-6)
    with pytest.raises(KeyError, match=r"no tensor nonsense.*layers\.0\.weight"):
        nn.functional_call(net, {"nonsense": x}, x)


def test_an_ensemble_is_vmap_over_parameters():
    nets = [nn.MLP((3, 4, 2), generator=generator(i)) for i in range(3)]
    stacked = {k: dl.stack([n.state_dict()[k] for n in nets]) for k in nets[0].state_dict()}
    x = dl.ones(5, 3)
    y = dl.vmap(lambda v: nn.functional_call(nets[0], v, x))(stacked).numpy()
    for one, net in zip(y, nets, strict=True):
        np.testing.assert_allclose(one, net(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_hooks_see_and_replace_outputs_until_removed():
    layer, seen = nn.Identity(), []
    remove = layer.register_forward_hook(lambda module, args, out: seen.append(module) or out + 1)
    assert layer(dl.zeros(1)).item() == 1 and seen == [layer]
    remove()
    assert layer(dl.zeros(1)).item() == 0


def test_sequential_is_a_row_of_modules():
    g = generator()
    row = nn.Sequential(nn.Linear(3, 4, generator=g), nn.Tanh())
    row.append(nn.Linear(4, 2, generator=g)).extend([nn.ReLU()])
    assert len(row) == 4 and isinstance(row[-1], nn.ReLU) and [type(m) for m in row][1] is nn.Tanh
    x = dl.ones(5, 3)
    y = row(x).detach().numpy()
    np.testing.assert_array_equal(row[2:](row[:2](x)).detach().numpy(), y)
    row[3] = nn.Identity()
    assert (row(x).detach().numpy() < 0).any()
    named = nn.Sequential({"in": nn.Linear(3, 4, generator=g), "act": nn.Tanh()})
    assert list(named.state_dict()) == ["in.weight", "in.bias"] and named(x).shape == (5, 4)
    with pytest.raises(IndexError, match="index 9 of 4"):
        row[9]
    with pytest.raises(TypeError, match="Sequential: wanted modules, got function"):
        nn.Sequential(lambda x: x)


def test_lists_and_dicts_of_modules():
    modules = nn.ModuleList([nn.ReLU()])
    modules.append(nn.Tanh())
    modules.insert(0, nn.GELU())
    modules.extend([nn.SiLU()])
    modules[1] = nn.Mish()
    assert [type(m).__name__ for m in modules] == ["GELU", "Mish", "Tanh", "SiLU"] and len(modules[1:3]) == 2
    named = nn.ModuleDict({"a": nn.ReLU()})
    named["b"] = nn.Linear(2, 2, generator=generator())
    assert list(named) == ["a", "b"] and "b" in named and len(named.items()) == 2
    assert list(named.state_dict()) == ["b.weight", "b.bias"]
    del named["a"]
    assert named.keys() == ["b"]
    with pytest.raises(KeyError, match="no module 'c'; there are b"):
        named["c"]
    for bad in ("x.y", "", "keys"):
        with pytest.raises(KeyError, match="ModuleDict: a name"):
            named[bad] = nn.ReLU()
    for container in (modules, named):
        with pytest.raises(TypeError, match="cannot be called"):
            container(1)


def test_small_modules():
    x = dl.arange(24.0).reshape(2, 3, 4)
    assert nn.Flatten()(x).shape == (2, 12) and nn.Unflatten(2, (2, 2))(x).shape == (2, 3, 2, 2)
    np.testing.assert_array_equal(nn.Residual(nn.Identity())(x).numpy(), 2 * x.numpy())
    mlp = nn.MLP((3, 5, 2), nn.ReLU, nn.Tanh, generator=generator())
    assert [type(m).__name__ for m in mlp.layers] == ["Linear", "ReLU", "Linear", "Tanh"]
    assert "Linear(3, 5)" in repr(mlp) and repr(nn.Tanh()) == "Tanh()"
    table = nn.Embedding(5, 3, padding_idx=-1, generator=generator())
    assert not table(dl.tensor([4])).detach().numpy().any()


def test_a_copy_is_independent_and_has_its_own_parameters():
    net = nn.MLP((3, 4, 1), generator=generator())
    twin = copy.deepcopy(net)
    assert [n for n, _ in twin.named_parameters()] == [n for n, _ in net.named_parameters()]
    twin.load_state_dict({k: v.numpy() * 0 for k, v in twin.state_dict().items()})
    assert net(dl.ones(1, 3)).item() != 0 and twin(dl.ones(1, 3)).item() == 0


def uniform_law(values, bound):
    return stats.kstest(values.ravel() / bound, "uniform", args=(-1, 2)).pvalue


def normal_law(values, std):
    return stats.kstest(values.ravel() / std, "norm").pvalue


W = (60, 50, 3)  # fan_in 150, fan_out 180
LAWS = [
    (nn.init.xavier_uniform_, {"gain": 2.0}, lambda w: uniform_law(w, 2 * np.sqrt(6 / 330))),
    (nn.init.xavier_normal_, {}, lambda w: normal_law(w, np.sqrt(2 / 330))),
    (nn.init.kaiming_uniform_, {"nonlinearity": "relu"}, lambda w: uniform_law(w, np.sqrt(6 / 150))),
    (nn.init.kaiming_normal_, {"a": 0.2, "mode": "fan_out"}, lambda w: normal_law(w, np.sqrt(2 / 1.04 / 180))),
    (nn.init.uniform_, {"a": -2.0, "b": 2.0}, lambda w: uniform_law(w, 2)),
    (nn.init.normal_, {"std": 3.0}, lambda w: normal_law(w, 3)),
    (nn.init.trunc_normal_, {"std": 2.0}, lambda w: stats.kstest(w.ravel() / 2, stats.truncnorm(-1, 1).cdf).pvalue),
]


@pytest.mark.parametrize("f, arguments, law", LAWS, ids=[f.__name__ for f, *_ in LAWS])
def test_first_values_have_the_distribution_they_claim(f, arguments, law):
    w = dl.zeros(W, dtype=dl.float64)
    assert f(w, **arguments, generator=generator(3)) is w
    assert law(w.numpy()) > 0.01


def test_layers_start_as_pytorchs_do():
    layer = nn.Linear(400, 300, generator=generator())
    assert (
        uniform_law(layer.weight.detach().numpy(), 1 / 20) > 0.01
        and uniform_law(layer.bias.detach().numpy(), 1 / 20) > 0.01
    )
    conv = nn.Conv2d(8, 64, 5, generator=generator())
    assert uniform_law(conv.weight.detach().numpy(), 1 / np.sqrt(200)) > 0.01
    attention = nn.MultiheadAttention(64, 4, generator=generator())
    assert uniform_law(attention.in_proj_weight.detach().numpy(), np.sqrt(6 / 256)) > 0.01
    assert not attention.in_proj_bias.detach().numpy().any()


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (3, 2, 2)])
def test_orthogonal_is_orthogonal(shape):
    w = nn.init.orthogonal_(dl.zeros(shape, dtype=dl.float64), 2.0, generator=generator()).numpy().reshape(shape[0], -1)
    small = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)


def test_init_says_what_it_cannot_do():
    assert not nn.init.eye_(dl.ones(2, 3)).numpy()[0, 1] and nn.init.ones_(dl.zeros(2)).numpy().all()
    with pytest.raises(ValueError, match=r"wanted a weight \(out, in, ...\), got shape \[3\]"):
        nn.init.xavier_uniform_(dl.zeros(3), generator=generator())
    with pytest.raises(ValueError, match="there are linear, conv"):
        nn.init.calculate_gain("sine")
    with pytest.raises(TypeError, match="generator="):
        nn.init.normal_(dl.zeros(2), generator=None)
