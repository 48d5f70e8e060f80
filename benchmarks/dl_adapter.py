"""Our side: dl.jit, and eager mode where the table asks for it; run in this folder, also a column for other scripts."""

from functools import partial
from itertools import pairwise

import numpy as np
from dl_cases import BETAS, EPS, LR, Peer, states, weights_for

import dl
from dl import functional as F
from dl import linalg, nn, optim
from dl.kernel import _kernels
from dl.matmul_kernels import gemm
from dl.random import Generator

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
LOSSES = {"mse": F.mse_loss, "ce": F.cross_entropy}


def loaded(layers: list[nn.Module], kind: str, p: dict) -> nn.Sequential:
    net = nn.Sequential(*layers)
    net.load_state_dict(weights_for(kind, p))
    return net


def mlp(kind: str, p: dict) -> nn.Sequential:
    g, layers = Generator(0), []
    for a, b in pairwise(p["sizes"]):
        layers += [nn.Linear(a, b, generator=g), ACTIVATIONS[p["act"]]()]
    return loaded(layers[:-1], kind, p)


def conv_net(p: dict) -> nn.Sequential:
    g, layers = Generator(0), []
    for a, b in pairwise(p["channels"]):
        layers += [nn.Conv2d(a, b, 3, stride=2, padding=1, generator=g), nn.ReLU()]
    side = p["size"] >> len(p["channels"]) - 1
    layers += [nn.Flatten(), nn.Linear(p["channels"][-1] * side * side, p["hidden"], generator=g), nn.ReLU()]
    return loaded([*layers, nn.Linear(p["hidden"], p["classes"], generator=g)], "train_conv", p)


class Block(nn.Module):
    """A causal encoder layer with norms first and GELU by tanh."""

    def __init__(self, p: dict, g: Generator):
        self.layer = nn.TransformerEncoderLayer(
            p["d"], p["heads"], p["ff"], 0.0, partial(F.gelu, approximate="tanh"),
            batch_first=True, norm_first=True, generator=g,
        )  # fmt: skip

    def forward(self, x):
        return self.layer(x, is_causal=True)


def transformer(p: dict) -> nn.Sequential:
    g, d = Generator(0), p["d"]
    blocks = [Block(p, g) for _ in range(p["layers"])]
    net = nn.Sequential(
        nn.Linear(p["io"], d, generator=g), *blocks, nn.LayerNorm(d), nn.Linear(d, p["io"], generator=g)
    )
    names = {name.replace(".layer.", "."): name for name in net.state_dict()}
    net.load_state_dict({names[name]: value for name, value in weights_for("train_transformer", p).items()})
    return net


def temporal_net(p: dict) -> nn.Sequential:
    g, layers = Generator(0), []
    for a, b in p["channels"]:
        layers += [nn.Conv1d(a, b, p["k"], padding=p["k"] // 2, generator=g), nn.GroupNorm(p["groups"], b), nn.Mish()]
    head = nn.Conv1d(p["channels"][-1][1], p["channels"][0][0], 1, generator=g)
    return loaded([*layers, head], "train_unet1d", p)


def training_step(net: nn.Module, loss_of):
    """One step of Adam; the inputs' axes are moved inside, so that recorded programs read them as they lie."""
    opt = optim.Adam(net.parameters(), lr=LR, betas=BETAS, eps=EPS)

    def step(x, y):
        opt.zero_grad()
        loss = loss_of(net, x, y)
        loss.backward()
        opt.step()
        return loss

    return step


def repeated_product(a, b, threads: int, times: int):
    """A program of `times` equal products, so that Python is not measured; and its result."""
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)

    def spec(index: int, array):
        return index, 0, 0, array.shape, tuple(s // array.itemsize for s in array.strides)

    call = ("gemm", (spec(0, c),), (spec(1, a), spec(2, b), None), (0,), (), threads > 1, 0)
    return _kernels.Program([c, a, b], [call] * times, [], [], threads), c


class Adapter(Peer):
    """dl with a number of threads."""

    def __init__(self, threads: int):
        super().__init__(threads)
        if _kernels is None:
            raise RuntimeError("the C kernels of dl were not built; nothing to measure")
        _kernels.set_num_threads(threads)

    def info(self) -> dict:
        return {"dl": dl.backend()}

    def value(self, result) -> np.ndarray:
        parts = result if isinstance(result, tuple) else (result,)
        return np.concatenate([np.ravel(t.detach() if isinstance(t, dl.Tensor) else t) for t in parts])

    def infer(self, p: dict, data):
        net = mlp("infer", p)
        yield "dl.jit", partial(dl.jit(net), data[0])

        def eager():
            with dl.no_grad():
                return net(dl.from_numpy(data[0])).numpy()

        yield "dl eager", eager

    def steps(self, net, loss_of, data, name: str = "dl.jit"):
        yield name, partial(dl.jit(training_step(net(), loss_of)), *data)

    def train_mlp(self, p: dict, data):
        x, y = data[:2]

        def loss_of(net, x, y):
            return LOSSES[p["loss"]](net(x), y)

        yield from self.steps(lambda: mlp("train_mlp", p), loss_of, (x, y))
        eager = training_step(mlp("train_mlp", p), loss_of)
        yield "dl eager", partial(eager, dl.from_numpy(x), dl.from_numpy(y))

    def train_conv(self, p: dict, data):
        def loss_of(net, x, y):
            return F.cross_entropy(net(x.permute(0, 3, 1, 2)), y)

        yield from self.steps(lambda: conv_net(p), loss_of, data)

    def train_transformer(self, p: dict, data):
        yield from self.steps(lambda: transformer(p), lambda net, x, y: F.mse_loss(net(x), y), data)

    def train_unet1d(self, p: dict, data):
        def loss_of(net, x, y):
            return F.mse_loss(net(x.transpose(1, 2)), y.transpose(1, 2))

        yield from self.steps(lambda: temporal_net(p), loss_of, data)

    def gemm(self, p: dict, data):
        flops = 2 * p["m"] * p["n"] * p["k"]
        times = max(1, round(5e7 / flops))
        program, c = repeated_product(*data, self.threads, times)

        def products():
            program()
            return c

        yield "dl gemm", products, times
        yield "dl gemm, one call", partial(gemm, *data, None)

    def lqr(self, p: dict, data):
        def layer(*given):
            """S, and the gradients of the sum of all entries of K and S."""
            (k, s), pull = dl.vjp(linalg.dlqr, *given)
            return s, *pull((dl.ones_like(k), dl.ones_like(s)))

        inputs = [dl.from_numpy(m) for m in data]
        yield "dl eager, forward and backward", lambda: layer(*inputs)[0]
        recorded = dl.jit(layer)
        yield "dl.jit, forward and backward", lambda: recorded(*data)[0]

    def rollout(self, p: dict, data):
        def forward(x, u):
            return dl.stack(states(p, x, u))

        yield "dl.jit", partial(dl.jit(forward), *data)
        gradient = dl.jit(dl.grad(lambda x, u: (forward(x, u) ** 2).sum(), (0, 1)))
        yield "gradient, dl.jit", partial(gradient, *data)
