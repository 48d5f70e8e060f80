"""What benchmarks/dl.py measures: cases with their data and initial values, and what a framework must answer.

Initial values have PyTorch's names and layouts (weights (out, in), kernels (out, in, k...)), so that every framework
starts from the same numbers and its first losses can be compared. Images come as (N, H, W, C) and sequences as
(N, T, C); each framework takes the layout that suits it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

LR, BETAS, EPS = 1e-3, (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Case:
    """One computation: its kind (a method of Peer) and sizes."""

    kind: str
    sizes: dict = field(default_factory=dict)


CHANNELS = ((8, 64), (64, 64), (64, 128), (128, 128), (128, 64), (64, 64))
CASES = {
    "infer 17-64-64-6 tanh": Case("infer", {"sizes": (17, 64, 64, 6), "act": "tanh", "batch": 1}),
    "infer 17-256-256-6 relu": Case("infer", {"sizes": (17, 256, 256, 6), "act": "relu", "batch": 1}),
    "train 17-64-64-6, 64": Case("train_mlp", {"sizes": (17, 64, 64, 6), "act": "tanh", "batch": 64, "loss": "mse"}),
    "train 17-64-64-6, 256": Case("train_mlp", {"sizes": (17, 64, 64, 6), "act": "tanh", "batch": 256, "loss": "mse"}),
    "train 17-256-256-6, 256": Case(
        "train_mlp", {"sizes": (17, 256, 256, 6), "act": "relu", "batch": 256, "loss": "mse"}
    ),
    "train 784-512-512-10, 128": Case(
        "train_mlp", {"sizes": (784, 512, 512, 10), "act": "relu", "batch": 128, "loss": "ce"}
    ),
    "train conv net": Case(
        "train_conv", {"channels": (3, 32, 64, 64), "size": 32, "batch": 32, "hidden": 128, "classes": 10}
    ),
    "train transformer": Case(
        "train_transformer", {"layers": 4, "d": 128, "heads": 4, "seq": 64, "batch": 8, "ff": 512, "io": 16}
    ),
    "train temporal conv net": Case(
        "train_unet1d", {"channels": CHANNELS, "k": 5, "groups": 8, "horizon": 16, "batch": 64}
    ),
    "gemm 64 64 64": Case("gemm", {"m": 64, "n": 64, "k": 64}),
    "gemm 256 64 64": Case("gemm", {"m": 256, "n": 64, "k": 64}),
    "gemm 256 256 256": Case("gemm", {"m": 256, "n": 256, "k": 256}),
    "gemm 1024 1024 1024": Case("gemm", {"m": 1024, "n": 1024, "k": 1024}),
    "LQR layer": Case("lqr", {"n": 12, "m": 4, "batch": 64}),
    "cart-pole rollout": Case("rollout", {"T": 200, "dt": 0.01}),
}


class Peer(ABC):
    """One framework in one process. Each kind of case is a method: (sizes, data) -> (variant, call[, steps a call])."""

    def __init__(self, threads: int):
        self.threads = threads

    @abstractmethod
    def info(self) -> dict:
        """Versions and settings."""

    @abstractmethod
    def value(self, result) -> np.ndarray:
        """What a call returned, as an array: a loss, several losses, or a result that others have too."""

    def sync(self):
        """Wait for outstanding work; there is none where calls end when they return."""
        return None

    def infer(self, p: dict, data) -> Iterator[tuple]:
        return iter(())

    train_mlp = train_conv = train_transformer = train_unet1d = gemm = lqr = rollout = infer


def normal(*shape, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def data_for(case: Case):
    """The inputs of a case, from a fixed seed; float32 but for the LQR layer and the rollout."""
    return DATA[case.kind](case.sizes)


def mlp_data(p: dict):
    labels = p.get("loss") == "ce"
    n = p["sizes"][-1]
    y = np.random.default_rng(2).integers(0, n, p["batch"]) if labels else normal(p["batch"], n, seed=2)
    return normal(p["batch"], p["sizes"][0], seed=1), y


def conv_data(p: dict):
    x = normal(p["batch"], p["size"], p["size"], p["channels"][0], seed=1)
    return x, np.random.default_rng(2).integers(0, p["classes"], p["batch"])


def transformer_data(p: dict):
    return tuple(normal(p["batch"], p["seq"], p["io"], seed=s) for s in (1, 2))


def unet_data(p: dict):
    return tuple(normal(p["batch"], p["horizon"], p["channels"][0][0], seed=s) for s in (1, 2))


def lqr_data(p: dict):
    """A (batch, n, n) with eigenvalues within about 1.1, B (batch, n, m), Q and R = identity and a little more."""
    rng, n, m, batch = np.random.default_rng(1), p["n"], p["m"], p["batch"]

    def definite(k: int):
        s = rng.standard_normal((batch, k, k))
        return np.eye(k) + 0.1 * s @ s.swapaxes(1, 2)

    a, b = 1.1 * rng.standard_normal((batch, n, n)) / np.sqrt(n), rng.standard_normal((batch, n, m))
    return a, b, definite(n), definite(m)


def rollout_data(p: dict):
    """x0 (4,) and u (T, 1) of the cart-pole."""
    return np.array([0.1, 0.2, 0.3, 0.4]), 5.0 * np.sin(0.1 * np.arange(float(p["T"])))[:, None]


DATA: dict[str, Callable] = {
    "infer": mlp_data,
    "train_mlp": mlp_data,
    "train_conv": conv_data,
    "train_transformer": transformer_data,
    "train_unet1d": unet_data,
    "gemm": lambda p: (normal(p["m"], p["k"], seed=1), normal(p["k"], p["n"], seed=2)),
    "lqr": lqr_data,
    "rollout": rollout_data,
}


def states(p: dict, x, u) -> list:
    """The cart-pole's states after each of the T Runge-Kutta steps; arrays or tensors, the same lines for both."""
    from sims.ode import rk4
    from sims.plants import CartPole

    plant, found = CartPole(), []
    for k in range(p["T"]):
        x = rk4(plant, x, u[k], p["dt"])
        found.append(x)
    return found


def mlp_weights(p: dict) -> dict:
    return {f"{2 * i}.": (b, a) for i, (a, b) in enumerate(pairwise(p["sizes"]))}


def conv_weights(p: dict) -> dict:
    layers = {f"{2 * i}.": (b, a, 3, 3) for i, (a, b) in enumerate(pairwise(p["channels"]))}
    n, side = len(layers), p["size"] >> len(layers)
    layers[f"{2 * n + 1}."] = (p["hidden"], p["channels"][-1] * side * side)
    layers[f"{2 * n + 3}."] = (p["classes"], p["hidden"])
    return layers


def transformer_weights(p: dict) -> dict:
    d, ff, last = p["d"], p["ff"], p["layers"] + 1
    layers = {"0.": (d, p["io"])}
    for i in range(1, last):
        layers |= {
            f"{i}.self_attn.in_proj_": (3 * d, d),
            f"{i}.self_attn.out_proj.": (d, d),
            f"{i}.linear1.": (ff, d),
            f"{i}.linear2.": (d, ff),
            f"{i}.norm1.": (d,),
            f"{i}.norm2.": (d,),
        }
    return layers | {f"{last}.": (d,), f"{last + 1}.": (p["io"], d)}


def unet_weights(p: dict) -> dict:
    layers = {}
    for i, (a, b) in enumerate(p["channels"]):
        layers |= {f"{3 * i}.": (b, a, p["k"]), f"{3 * i + 1}.": (b,)}
    return layers | {f"{3 * len(p['channels'])}.": (p["channels"][0][0], p["channels"][-1][1], 1)}


LAYERS: dict[str, Callable] = {
    "infer": mlp_weights,
    "train_mlp": mlp_weights,
    "train_conv": conv_weights,
    "train_transformer": transformer_weights,
    "train_unet1d": unet_weights,
}


def weights_for(kind: str, p: dict) -> dict[str, np.ndarray]:
    """Initial values by name: weights normal with variance 1 / (inputs of a unit), norms 1, biases 0."""
    found = {}
    for seed, (name, shape) in enumerate(LAYERS[kind](p).items()):
        w = np.ones(shape, np.float32)
        if len(shape) > 1:
            w = normal(*shape, seed=100 + seed) / np.float32(np.sqrt(np.prod(shape[1:])))
        found |= {name + "weight": w, name + "bias": np.zeros(shape[0], np.float32)}
    return found
