"""Layers against PyTorch's recorded results, loops in NumPy and their own laws: shapes, modes, derivatives, seeds."""

import json
from pathlib import Path

import numpy as np
import pytest
from dl_torch_cases import CASES, filled, wave

import dl
from dl import nn

GOLDEN = json.loads((Path(__file__).parent / "reference" / "dl_torch.json").read_text())["cases"]
DOUBLE = {"dtype": dl.float64, "generator": dl.Generator(0)}
PLAIN = ("BatchNorm1d", "BatchNorm2d", "GroupNorm", "RMSNorm")  # layers that draw nothing


def leaves(out) -> list:
    if isinstance(out, tuple):
        return [t for part in out for t in leaves(part)]
    return [] if out is None else [out]


def made(name: str, arguments: dict):
    return getattr(nn, name)(**arguments, **({"dtype": dl.float64} if name in PLAIN else DOUBLE))


@pytest.mark.parametrize("case, golden", list(zip(CASES, GOLDEN, strict=True)), ids=[c[0] for c in CASES])
def test_layers_give_what_pytorch_gives(case, golden):
    name, arguments, shapes, call = case
    layer = made(name, arguments)
    assert golden["layer"] == name and list(layer.state_dict()) == golden["state"]
    layer.load_state_dict(filled(layer.state_dict()))
    inputs = [dl.tensor(wave(50 + k, shape), requires_grad=True) for k, shape in enumerate(shapes)]
    extra = {k: dl.tensor(v) if isinstance(v, np.ndarray) else v for k, v in call.items()}
    outputs = leaves(layer(*inputs, **extra))
    assert [list(y.shape) for y in outputs] == golden["shapes"]
    for y, wanted in zip(outputs, golden["outputs"], strict=True):
        np.testing.assert_allclose(y.detach().numpy().ravel(), wanted, rtol=1e-9, atol=1e-11)
    dl.stack([(y * wave(90 + k, y.shape)).sum() for k, y in enumerate(outputs)]).sum().backward()
    for x, wanted in zip(inputs, golden["gradients"], strict=True):
        np.testing.assert_allclose(x.grad.numpy().ravel(), wanted, rtol=1e-9, atol=1e-11)
    for key, wanted in golden["buffers"].items():
        np.testing.assert_allclose(dict(layer.named_buffers())[key].numpy(), wanted, rtol=1e-10)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_lstm_is_its_equations_step_by_step(rng):
    layer = nn.LSTM(3, 4, **DOUBLE)
    w = {k: v.numpy() for k, v in layer.state_dict().items()}
    x, h, c = rng.standard_normal((5, 2, 3)), np.zeros((2, 4)), np.zeros((2, 4))
    out, (hn, cn) = layer(dl.tensor(x))
    for t in range(5):
        gates = x[t] @ w["weight_ih_l0"].T + w["bias_ih_l0"] + h @ w["weight_hh_l0"].T + w["bias_hh_l0"]
        i, f, g, o = np.split(gates, 4, 1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        np.testing.assert_allclose(out[t].detach().numpy(), h, rtol=1e-12)
    np.testing.assert_allclose(hn.detach().numpy()[0], h, rtol=1e-12)
    np.testing.assert_allclose(cn.detach().numpy()[0], c, rtol=1e-12)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_a_sequence_is_its_cell_over_and_over_and_continues_from_its_state(rng, name):
    layer, cell = (
        made(name, {"input_size": 3, "hidden_size": 4}),
        made(name + "Cell", {"input_size": 3, "hidden_size": 4}),
    )
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x = dl.tensor(rng.standard_normal((6, 2, 3)))
    out, last = layer(x)
    state = None
    for t in range(6):
        state = cell(x[t], state)
        h = state[0] if name == "LSTM" else state
        np.testing.assert_allclose(h.detach().numpy(), out[t].detach().numpy(), rtol=1e-12)
    first, middle = layer(x[:2])
    rest, end = layer(x[2:], middle)
    np.testing.assert_array_equal(dl.cat([first, rest]).detach().numpy(), out.detach().numpy())
    for a, b in zip(leaves(last), leaves(end), strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def checked_derivatives(layer, *inputs):
    """gradcheck and gradgradcheck with respect to inputs and parameters."""
    names = [k for k, _ in layer.named_parameters()]
    parameters = [p.detach() for p in layer.parameters()]

    def f(*tensors):
        values = dict(zip(names, tensors[len(inputs) :], strict=True))
        return tuple(leaves(nn.functional_call(layer, values, tensors[: len(inputs)])))

    assert dl.gradcheck(f, [*inputs, *parameters], rtol=1e-4, atol=1e-6)
    assert dl.gradgradcheck(f, [*inputs, *parameters], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name, arguments, shapes",
    [
        ("Linear", {"in_features": 3, "out_features": 2}, [(2, 3)]),
        ("LSTM", {"input_size": 2, "hidden_size": 2}, [(2, 1, 2)]),
        ("GRU", {"input_size": 2, "hidden_size": 2, "bidirectional": True}, [(2, 1, 2)]),
        ("RNN", {"input_size": 2, "hidden_size": 2}, [(2, 1, 2)]),
        ("MultiheadAttention", {"embed_dim": 2, "num_heads": 1}, [(2, 1, 2)] * 3),
        ("Conv1d", {"in_channels": 2, "out_channels": 2, "kernel_size": 2}, [(1, 2, 3)]),
        ("ConvTranspose1d", {"in_channels": 2, "out_channels": 2, "kernel_size": 2, "stride": 2}, [(1, 2, 2)]),
        ("BatchNorm1d", {"num_features": 2, "track_running_stats": False}, [(3, 2)]),
        ("FiLM", {"cond_dim": 2, "channels": 2}, [(1, 2, 2), (1, 2)]),
    ],
)
def test_derivatives_of_layers(rng, name, arguments, shapes):
    checked_derivatives(made(name, arguments), *[dl.tensor(rng.standard_normal(s)) for s in shapes])


def test_batch_norm_uses_running_statistics_in_eval(rng):
    layer, x = nn.BatchNorm1d(3), dl.tensor(rng.standard_normal((8, 3)), dtype=dl.float32)
    layer(x)
    state = {k: v.numpy().copy() for k, v in layer.state_dict().items()}
    assert np.abs(state["running_mean"]).max() > 0
    y = layer.eval()(x).detach().numpy()
    wanted = (x.numpy() - state["running_mean"]) / np.sqrt(state["running_var"] + 1e-5)
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(layer.running_mean.numpy(), state["running_mean"])
    with pytest.raises(ValueError, match=r"2 or 3 axes.*\[2, 3, 4, 5\]"):
        layer(dl.zeros(2, 3, 4, 5))


def test_dropout_is_on_in_training_only_and_draws_from_its_generator():
    layer, x = nn.Dropout(0.5, generator=dl.Generator(1)), dl.ones(1000)
    first, second = layer(x).numpy(), layer(x).numpy()
    assert (first != second).any() and 0.4 < (first == 0).mean() < 0.6
    np.testing.assert_array_equal(nn.Dropout(0.5, generator=dl.Generator(1))(x).numpy(), first)
    assert layer.eval()(x) is x


def test_positions_are_added_or_turn(rng):
    t, d = 5, 6
    x = dl.zeros(t, 2, d)
    e = nn.SinusoidalPositionalEncoding(d)(x).numpy()[:, 0]
    w = 10000.0 ** (-np.arange(0, d, 2) / d)
    wanted = np.stack([np.sin(np.arange(t)[:, None] * w), np.cos(np.arange(t)[:, None] * w)], 2).reshape(t, d)
    np.testing.assert_allclose(e, wanted, atol=1e-6)
    learned = nn.LearnedPositionalEncoding(d, 8, batch_first=True, generator=dl.Generator(0))
    np.testing.assert_array_equal(learned(dl.zeros(2, t, d)).detach().numpy()[1], learned.weight.detach().numpy()[:t])
    with pytest.raises(ValueError, match="longer than max_len = 8"):
        learned(dl.zeros(2, 9, d))
    rotary = nn.RotaryEmbedding(d)
    q, k = rng.standard_normal((2, 1, d))
    products = [
        (rotary(dl.tensor(q), offset=i).numpy() * rotary(dl.tensor(k), offset=i + 3).numpy()).sum() for i in (0, 7, 100)
    ]
    np.testing.assert_allclose(products, products[0], rtol=1e-10)
    both = rotary(dl.tensor(np.concatenate([q, q]))).numpy()
    np.testing.assert_allclose(both[1], rotary(dl.tensor(q), offset=1).numpy()[0])
    np.testing.assert_allclose(both[0], q[0])


def test_spatial_softmax_finds_a_bright_spot():
    image = np.full((1, 2, 5, 9), -50.0)
    image[0, 0, 4, 0] = image[0, 1, 2, 6] = 50
    found = nn.SpatialSoftmax(dtype=dl.float64)(dl.tensor(image)).numpy()
    np.testing.assert_allclose(found[0], [[-1, 1], [0.5, 0]], atol=1e-10)
    assert len(list(nn.SpatialSoftmax(2.0, learnable_temperature=True).parameters())) == 1


def test_film_scales_and_shifts_by_channel(rng):
    film = nn.FiLM(3, 2, **DOUBLE)
    x, c = rng.standard_normal((4, 2, 5)), rng.standard_normal((4, 3))
    parameters = c @ film.linear.weight.detach().numpy().T + film.linear.bias.detach().numpy()
    wanted = x * (1 + parameters[:, :2, None]) + parameters[:, 2:, None]
    np.testing.assert_allclose(film(dl.tensor(x), dl.tensor(c)).detach().numpy(), wanted)


def test_temporal_unet_keeps_the_shape_and_hears_time_and_condition(rng):
    net = nn.TemporalUNet(3, 2, (8, 16, 24), groups=4, **DOUBLE)
    x, t, c = (
        dl.tensor(rng.standard_normal((2, 3, 8))),
        dl.tensor(np.array([0.1, 0.9])),
        dl.tensor(rng.standard_normal((2, 2))),
    )
    y = net(x, t, c).detach().numpy()
    assert y.shape == (2, 3, 8)
    assert np.abs(net(x, t + 1, c).detach().numpy() - y).max() > 1e-6
    assert np.abs(net(x, t, c + 1).detach().numpy() - y).max() > 1e-6
    swapped = net(x.flip(0), t.flip(0), c.flip(0)).detach().numpy()
    np.testing.assert_allclose(swapped[::-1], y, rtol=1e-10, atol=1e-12)
    net(x, t, c).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    for bad in ((x[:, :2], t, c), (x[..., :6], t, c), (x, t, None)):
        with pytest.raises(ValueError, match="T a multiple of 4"):
            net(*bad)


def test_transformer_stacks_copy_a_layer_or_make_each(rng):
    g = dl.Generator(0)

    def layer():
        return nn.TransformerEncoderLayer(4, 2, 8, generator=g)

    copied, fresh = nn.TransformerEncoder(layer(), 2), nn.TransformerEncoder(layer, 2, nn.LayerNorm(4))
    weights = [m.linear1.weight.detach().numpy() for m in (*copied.layers, *fresh.layers)]
    assert (weights[0] == weights[1]).all() and (weights[2] != weights[3]).any()
    assert copied.layers[0].linear1.weight is not copied.layers[1].linear1.weight
    assert copied.layers[1].dropout.generator is g
    x = dl.tensor(rng.standard_normal((5, 2, 4)), dtype=dl.float32)
    assert fresh(x).shape == (5, 2, 4)
    causal = fresh.eval()(x, is_causal=True).detach().numpy()
    np.testing.assert_allclose(fresh(x, nn.causal_mask(5)).detach().numpy(), causal, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fresh(x[:3], is_causal=True).detach().numpy(), causal[:3], rtol=1e-4, atol=1e-5)
    decoder = nn.TransformerDecoder(lambda: nn.TransformerDecoderLayer(4, 2, 8, generator=g), 2)
    assert decoder(x[:2], x).shape == (2, 2, 4)


BAD = [
    (lambda: nn.MultiheadAttention(5, 2, generator=dl.Generator(0)), "not a multiple of num_heads"),
    (lambda: nn.TransformerEncoderLayer(4, 2, activation="sine", generator=dl.Generator(0)), "no activation 'sine'"),
    (lambda: nn.RNN(2, 3, nonlinearity="sine", generator=dl.Generator(0)), "tanh or relu"),
    (lambda: nn.LSTM(2, 3, generator=dl.Generator(0))(dl.zeros(4, 2, 5)), r"LSTM: wanted x \(T, N, 2\).*\[4, 2, 5\]"),
    (
        lambda: nn.GRU(2, 3, generator=dl.Generator(0))(dl.zeros(4, 2, 2), dl.zeros(1, 3, 3)),
        r"\[1, 2, 3\].*got \[1, 3, 3\]",
    ),
    (lambda: nn.Conv2d(3, 4, 3, groups=2, generator=dl.Generator(0)), "2 equal groups"),
    (lambda: nn.GroupNorm(3, 4), "3 equal groups"),
    (lambda: nn.FiLM(3, 2, generator=dl.Generator(0))(dl.zeros(1, 4, 5), dl.zeros(1, 3)), r"\(N, 2, ...\)"),
    (lambda: nn.SinusoidalPositionalEncoding(5), "even"),
    (lambda: nn.MLP((3,), generator=dl.Generator(0)), r"\(in, hidden, ..., out\)"),
]


@pytest.mark.parametrize("f, words", BAD)
def test_bad_arguments_are_answered_with_what_was_wanted(f, words):
    with pytest.raises(ValueError, match=words):
        f()


def test_instance_norm_standardises_each_channel_of_each_sample(rng):
    x = rng.standard_normal((2, 3, 4, 5)) * 7 + 1
    y = nn.InstanceNorm2d(3, affine=True, dtype=dl.float64)(dl.tensor(x)).detach().numpy()
    np.testing.assert_allclose(y.mean((2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(y.var((2, 3)), 1, rtol=1e-5)
    with pytest.raises(ValueError, match=r"InstanceNorm1d: wanted x \(N, 3, L\), got \[2, 3, 4, 5\]"):
        nn.InstanceNorm1d(3)(dl.tensor(x))
