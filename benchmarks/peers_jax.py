"""JAX: jax.jit of one step, and of lax.scan over 32 steps where the step is small enough to gain by it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from dl_cases import BETAS, EPS, LR, Peer, weights_for
from jax import lax

SCAN = 32
ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}


def natural(kind: str, p: dict) -> dict:
    """The initial values as XLA wants them: weights (in, out), kernels (k..., in, out)."""
    return {name: np.ascontiguousarray(w.T) if w.ndim < 4 else hwio(w) for name, w in weights_for(kind, p).items()}


def hwio(w):
    return np.ascontiguousarray(w.transpose(2, 3, 1, 0))


def linear(w: dict, name: str, x):
    return x @ w[name + "weight"] + w[name + "bias"]


def mlp(p: dict, w: dict, x):
    last = len(p["sizes"]) - 2
    for i in range(last):
        x = ACTIVATIONS[p["act"]](linear(w, f"{2 * i}.", x))
    return linear(w, f"{2 * last}.", x)


def conv_weights(p: dict) -> dict:
    """The first linear layer reads (height, width, channel) instead of (channel, height, width)."""
    w, n = natural("train_conv", p), len(p["channels"]) - 1
    side, name = p["size"] >> n, f"{2 * n + 1}.weight"
    rows = w[name].reshape(p["channels"][-1], side, side, p["hidden"]).transpose(1, 2, 0, 3)
    return w | {name: rows.reshape(-1, p["hidden"])}


def conv_net(p: dict, w: dict, x):
    n = len(p["channels"]) - 1
    for i in range(n):
        kernel, bias = w[f"{2 * i}.weight"], w[f"{2 * i}.bias"]
        how = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
        x = jax.nn.relu(lax.conv_general_dilated(x, kernel, (2, 2), [(1, 1)] * 2, **how) + bias)
    x = jax.nn.relu(linear(w, f"{2 * n + 1}.", x.reshape(len(x), -1)))
    return linear(w, f"{2 * n + 3}.", x)


def layer_norm(w: dict, name: str, x):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(var + 1e-5) * w[name + "weight"] + w[name + "bias"]


def attention(q, k, v):
    """Causal attention over (N, T, heads, d)."""
    t = q.shape[1]
    scores = jnp.einsum("nihd,njhd->nhij", q, k) / np.float32(np.sqrt(q.shape[-1]))
    scores = jnp.where(np.tri(t, dtype=bool), scores, -jnp.inf)
    return jnp.einsum("nhij,njhd->nihd", jax.nn.softmax(scores), v)


def transformer(p: dict, w: dict, x):
    x = linear(w, "0.", x)
    n, t, d = x.shape
    for i in range(1, p["layers"] + 1):
        qkv = linear(w, f"{i}.self_attn.in_proj_", layer_norm(w, f"{i}.norm1.", x))
        heads = [part.reshape(n, t, p["heads"], -1) for part in jnp.split(qkv, 3, -1)]
        x = x + linear(w, f"{i}.self_attn.out_proj.", attention(*heads).reshape(n, t, d))
        hidden = jax.nn.gelu(linear(w, f"{i}.linear1.", layer_norm(w, f"{i}.norm2.", x)), approximate=True)
        x = x + linear(w, f"{i}.linear2.", hidden)
    last = p["layers"] + 1
    return linear(w, f"{last + 1}.", layer_norm(w, f"{last}.", x))


def group_norm(p: dict, w: dict, name: str, x):
    parts = x.reshape(*x.shape[:2], p["groups"], -1)
    mean, var = (f(parts, (1, 3), keepdims=True) for f in (jnp.mean, jnp.var))
    return ((parts - mean) * lax.rsqrt(var + 1e-5)).reshape(x.shape) * w[name + "weight"] + w[name + "bias"]


def temporal_net(p: dict, w: dict, x):
    pad = p["k"] // 2
    for i in range(len(p["channels"])):
        how = {"dimension_numbers": ("NWC", "WIO", "NWC")}
        x = lax.conv_general_dilated(x, w[f"{3 * i}.weight"], (1,), [(pad, pad)], **how) + w[f"{3 * i}.bias"]
        x = group_norm(p, w, f"{3 * i + 1}.", x)
        x = x * jnp.tanh(jax.nn.softplus(x))
    last = 3 * len(p["channels"])
    return x @ w[f"{last}.weight"][0] + w[f"{last}.bias"]


def mse(found, y):
    return jnp.mean((found - y) ** 2)


def cross_entropy(found, y):
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(found), y[:, None], 1))


def adam_step(loss_at, state, x, y):
    """(state, x, y) -> (new state, loss); state is (parameters, two moments, count)."""
    w, first, second, count = state
    loss, g = jax.value_and_grad(loss_at)(w, x, y)
    count = count + 1
    first = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, first, g)
    second = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, second, g)
    a, b = (1 - beta**count for beta in BETAS)
    w = jax.tree.map(lambda w, m, v: w - LR * (m / a) / (jnp.sqrt(v / b) + EPS), w, first, second)
    return (w, first, second, count), loss


class Jax(Peer):
    """JAX; its threads are set in the environment before it is imported."""

    last = None

    def info(self) -> dict:
        return {"jax": jax.__version__}

    def value(self, result) -> np.ndarray:
        return np.asarray(result)

    def sync(self):
        jax.block_until_ready(self.last)

    def infer(self, p: dict, data):
        w, x = jax.tree.map(jnp.asarray, natural("infer", p)), data[0]
        f = jax.jit(partial(mlp, p))
        yield "jax.jit", lambda: np.asarray(f(w, x))
        constant = jax.jit(lambda x: mlp(p, w, x))
        yield "jax.jit, constant weights", lambda: np.asarray(constant(x))

    def steps(self, w: dict, net, loss_of, x, y, scan: bool = False):
        def loss_at(w, x, y):
            return loss_of(net(w, x), y)

        step = partial(adam_step, loss_at)

        def many(state, x, y):
            return lax.scan(lambda s, _: step(s, x, y), state, None, length=SCAN)

        for name, f, n in (("jax.jit", step, 1), (f"jax.jit, scan of {SCAN}", many, SCAN))[: 1 + scan]:
            yield name, self.running(jax.jit(f, donate_argnums=0), w, x, y, wait=n > 1), n

    def running(self, f, w: dict, x, y, wait: bool):
        """A call that takes the state on from where the last one left it; scans are faster when they do not queue."""
        w, x, y = jax.tree.map(jnp.array, (w, x, y))
        state = (w, jax.tree.map(jnp.zeros_like, w), jax.tree.map(jnp.zeros_like, w), jnp.zeros(()))

        def call():
            nonlocal state
            state, self.last = f(state, x, y)
            return jax.block_until_ready(self.last) if wait else self.last

        return call

    def train_mlp(self, p: dict, data):
        x, y = data[:2]
        w, loss_of = natural("train_mlp", p), mse if p["loss"] == "mse" else cross_entropy
        yield from self.steps(w, partial(mlp, p), loss_of, x, y, scan=True)

    def train_conv(self, p: dict, data):
        yield from self.steps(conv_weights(p), partial(conv_net, p), cross_entropy, *data)

    def train_transformer(self, p: dict, data):
        yield from self.steps(natural("train_transformer", p), partial(transformer, p), mse, *data)

    def train_unet1d(self, p: dict, data):
        yield from self.steps(natural("train_unet1d", p), partial(temporal_net, p), mse, *data)

    def gemm(self, p: dict, data):
        a, b = map(jnp.asarray, data)
        f = jax.jit(jnp.matmul)

        def call():
            self.last = f(a, b)
            return self.last

        yield "jax.jit", call


class JaxAtOnce(Peer):
    """Inference with JAX's asynchronous dispatch turned off: not what one gets, but the fastest for one small call."""

    def __init__(self, threads: int):
        super().__init__(threads)
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        self.jax = Jax(threads)

    def info(self) -> dict:
        return self.jax.info()

    def value(self, result) -> np.ndarray:
        return self.jax.value(result)

    def infer(self, p: dict, data):
        for name, call in self.jax.infer(p, data):
            yield name.replace("jax.jit", "JAX at once"), call
