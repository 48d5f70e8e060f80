"""PyTorch: eager mode (fused and plain Adam), torch.compile (the model, the whole step as one graph), TorchScript."""

from functools import partial
from itertools import pairwise

import numpy as np
import torch
from dl_cases import BETAS, EPS, LR, Peer, weights_for
from torch import nn
from torch.nn import functional as F

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
LOSSES = {"mse": F.mse_loss, "ce": F.cross_entropy}
LAYOUTS = {"NCHW": torch.contiguous_format, "channels last": torch.channels_last}


def loaded(layers: list, kind: str, p: dict) -> nn.Sequential:
    net = nn.Sequential(*layers)
    net.load_state_dict({name: torch.from_numpy(w) for name, w in weights_for(kind, p).items()})
    return net


def mlp(kind: str, p: dict) -> nn.Sequential:
    layers = [m for a, b in pairwise(p["sizes"]) for m in (nn.Linear(a, b), ACTIVATIONS[p["act"]]())]
    return loaded(layers[:-1], kind, p)


def conv_net(p: dict) -> nn.Sequential:
    layers = []
    for a, b in pairwise(p["channels"]):
        layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU()]
    side = p["size"] >> len(p["channels"]) - 1
    layers += [nn.Flatten(), nn.Linear(p["channels"][-1] * side * side, p["hidden"]), nn.ReLU()]
    return loaded([*layers, nn.Linear(p["hidden"], p["classes"])], "train_conv", p)


class Block(nn.TransformerEncoderLayer):
    """A causal encoder layer with norms first and GELU by tanh, without the tests of arguments that PyTorch's has."""

    def forward(self, x):
        n, t, d = x.shape
        heads, attn = self.self_attn.num_heads, self.self_attn
        qkv = F.linear(self.norm1(x), attn.in_proj_weight, attn.in_proj_bias)
        q, k, v = (part.view(n, t, heads, d // heads).transpose(1, 2) for part in qkv.chunk(3, -1))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + attn.out_proj(seen.transpose(1, 2).reshape(n, t, d))
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x)), approximate="tanh"))


def transformer(p: dict) -> nn.Sequential:
    d = p["d"]
    blocks = [Block(d, p["heads"], p["ff"], 0.0, norm_first=True, batch_first=True) for _ in range(p["layers"])]
    layers = [nn.Linear(p["io"], d), *blocks, nn.LayerNorm(d), nn.Linear(d, p["io"])]
    return loaded(layers, "train_transformer", p)


def temporal_net(p: dict) -> nn.Sequential:
    layers = []
    for a, b in p["channels"]:
        layers += [nn.Conv1d(a, b, p["k"], padding=p["k"] // 2), nn.GroupNorm(p["groups"], b), nn.Mish()]
    return loaded([*layers, nn.Conv1d(p["channels"][-1][1], p["channels"][0][0], 1)], "train_unet1d", p)


def eager_step(net, loss_of, x, y, fused: bool):
    opt = torch.optim.Adam(net.parameters(), lr=LR, betas=BETAS, eps=EPS, fused=fused)

    def step():
        opt.zero_grad(set_to_none=True)
        loss = loss_of(net(x), y)
        loss.backward()
        opt.step()
        return loss

    return step


def compiled_model_step(net, loss_of, x, y):
    """Forward, loss and backward compiled; PyTorch's fused Adam."""
    torch.compiler.reset()
    opt = torch.optim.Adam(net.parameters(), lr=LR, betas=BETAS, eps=EPS, fused=True)
    forward = torch.compile(lambda x, y: loss_of(net(x), y), dynamic=False)

    def step():
        opt.zero_grad(set_to_none=True)
        loss = forward(x, y)
        loss.backward()
        opt.step()
        return loss

    return step


def compiled_step(net, loss_of, x, y):
    """Forward, backward and Adam as one compiled graph that changes parameters and moments in place."""
    torch.compiler.reset()
    params = {name: w.detach().clone() for name, w in net.named_parameters()}
    first, second = ({name: torch.zeros_like(w) for name, w in params.items()} for _ in range(2))
    count = torch.zeros(())

    def whole(params, first, second, count, x, y):
        def loss_at(params):
            return loss_of(torch.func.functional_call(net, params, (x,)), y)

        grads, loss = torch.func.grad_and_value(loss_at)(params)
        count += 1
        unbiased = [1 - beta**count for beta in BETAS]
        for name, g in grads.items():
            first[name].lerp_(g, 1 - BETAS[0])
            second[name].lerp_(g * g, 1 - BETAS[1])
            root = torch.sqrt(second[name] / unbiased[1]) + EPS
            params[name] -= LR * (first[name] / unbiased[0]) / root
        return loss

    graph = torch.compile(whole, fullgraph=True, dynamic=False)

    def step():
        with torch.no_grad():
            return graph(params, first, second, count, x, y)

    return step


class Torch(Peer):
    """PyTorch with a number of threads."""

    def __init__(self, threads: int):
        super().__init__(threads)
        torch.set_num_threads(threads)
        torch.manual_seed(0)

    def info(self) -> dict:
        return {"torch": torch.__version__}

    def value(self, result) -> np.ndarray:
        return result.detach().numpy() if isinstance(result, torch.Tensor) else np.asarray(result)

    def infer(self, p: dict, data):
        x, net = data[0], mlp("infer", p).eval().requires_grad_(False)

        def run(f):
            with torch.inference_mode():
                return f(torch.from_numpy(x)).numpy()

        yield "torch eager", partial(run, net)
        for name, options in (("", {}), (", freezing", {"freezing": True}), (", C++ wrapper", {"cpp_wrapper": True})):
            torch.compiler.reset()
            yield f"torch.compile{name}", partial(run, torch.compile(net, dynamic=False, options=options))
        script = torch.jit.optimize_for_inference(torch.jit.trace(net, torch.from_numpy(x)))
        yield "TorchScript", partial(run, script)

    def steps(self, net, loss_of, x, y, name: str = ""):
        yield f"torch eager, fused Adam{name}", eager_step(net(), loss_of, x, y, fused=True)
        yield f"torch eager, Adam{name}", eager_step(net(), loss_of, x, y, fused=False)
        yield f"torch.compile, fused Adam{name}", compiled_model_step(net(), loss_of, x, y)
        yield f"torch.compile, one graph{name}", compiled_step(net(), loss_of, x, y)

    def train_mlp(self, p: dict, data):
        x, y = map(torch.from_numpy, data[:2])
        yield from self.steps(lambda: mlp("train_mlp", p), LOSSES[p["loss"]], x, y)

    def train_conv(self, p: dict, data):
        x, y = map(torch.from_numpy, data)
        x = x.permute(0, 3, 1, 2)
        for name, layout in LAYOUTS.items():
            given = x.contiguous(memory_format=layout)
            net = partial(lambda layout: conv_net(p).to(memory_format=layout), layout)
            yield from self.steps(net, F.cross_entropy, given, y, f", {name}")

    def train_transformer(self, p: dict, data):
        yield from self.steps(lambda: transformer(p), F.mse_loss, *map(torch.from_numpy, data))

    def train_unet1d(self, p: dict, data):
        x, y = (torch.from_numpy(a).transpose(1, 2).contiguous() for a in data)
        yield from self.steps(lambda: temporal_net(p), F.mse_loss, x, y)

    def gemm(self, p: dict, data):
        a, b = map(torch.from_numpy, data)
        out = torch.empty(p["m"], p["n"])
        yield "torch", lambda: torch.mm(a, b, out=out)
