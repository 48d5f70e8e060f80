"""Small networks: all ways to one derivative agree, alone and in batches."""

import numpy as np
import pytest

import dl
from dl import functional as F
from dl.tensor import Tensor
from dl.transforms import grad, hvp, jacobian, jvp, vjp, vmap
from dl.tree import flatten, tree_map

rng = np.random.default_rng(3)


def n(*shape) -> Tensor:
    return Tensor(rng.normal(size=shape) * 0.5)


def mlp(p, x):
    for w, b in p:
        x = F.linear(x, w, b).tanh()
    return x


def temporal(p, x):
    x = F.mish(F.group_norm(F.conv1d(x[None], p["in"], padding=1), 2, p["scale"], p["shift"]))
    return F.conv1d(x, p["out"])[0].mean(1)


def transformer(p, x):
    q, k, v = F.linear(F.layer_norm(x, 4, p["scale"], p["shift"]), p["qkv"]).split(4, -1)
    x = x + F.scaled_dot_product_attention(q[None, None], k[None, None], v[None, None], is_causal=True)[0, 0]
    return F.log_softmax(F.linear(F.gelu(F.rms_norm(x, 4)), p["out"]), -1)[-1]


def recurrent(p, x):
    """A gated cell over time, with values picked by position."""
    h = p["h"]
    for t in range(x.shape[0]):
        z = F.linear(dl.cat([x[t], h]), p["w"])
        gate, new = z[:3].sigmoid(), z[3:].tanh()
        h = gate * h + (1.0 - gate) * new
    return h[dl.tensor([2, 0])] * h.max(0).values


def energy(p, x):
    """A force: the network inside is differentiated already (as in Hamiltonian networks)."""
    return grad(lambda x: mlp(p, x).square().sum())(x)


LAYERS = ((n(5, 3), n(5)), (n(2, 5), n(2)))
NETS = {
    "mlp": (mlp, LAYERS, (3,)),
    "temporal": (
        temporal, {"in": n(4, 2, 3), "out": n(3, 4, 1), "scale": n(4), "shift": n(4)}, (2, 5),
    ),
    "transformer": (transformer, {"scale": n(4), "shift": n(4), "qkv": n(12, 4), "out": n(3, 4)}, (3, 4)),
    "recurrent": (recurrent, {"h": n(3), "w": n(6, 5)}, (3, 2)),
    "energy": (energy, LAYERS, (3,)),
}  # fmt: skip
every_net = pytest.mark.parametrize(("net", "p", "shape"), NETS.values(), ids=NETS)


def close(a, b, rtol=1e-9):
    for s, t in zip(flatten(a)[0], flatten(b)[0], strict=True):
        np.testing.assert_allclose(s.array, t.array, rtol=rtol, atol=1e-11)


def loss(net):
    return lambda p, x: net(p, x).square().sum()


@every_net
def test_both_modes_agree_with_differences(net, p, shape):
    leaves, _ = flatten(p)

    def f(x, *leaves):
        rest = iter(leaves)
        return net(tree_map(lambda _: next(rest), p), x)

    assert dl.gradcheck(f, (n(*shape), *leaves), rtol=1e-5, atol=1e-8, batched=True)


@every_net
def test_second_derivatives_agree_with_differences(net, p, shape):
    assert dl.gradgradcheck(lambda x: net(p, x), n(*shape), rtol=1e-5, atol=1e-7)


@every_net
def test_jacobians_are_one_and_hessians_are_symmetric(net, p, shape):
    x = n(*shape)
    close(jacobian(lambda x: net(p, x))(x), jacobian(lambda x: net(p, x), mode="forward")(x))
    h = dl.hessian(lambda x: loss(net)(p, x))(x).reshape(x.array.size, -1)
    np.testing.assert_allclose(h.array, h.array.T, rtol=1e-9, atol=1e-10)
    v = n(*shape)
    product = hvp(lambda x: loss(net)(p, x), (x,), (v,))[0]
    np.testing.assert_allclose(product.array.reshape(-1), h.array @ v.array.reshape(-1), rtol=1e-8, atol=1e-10)


@every_net
def test_modes_are_transposes_of_each_other(net, p, shape):
    """<g, J t> = <J^T g, t>, by parameters and input together."""
    x = n(*shape)
    t = tree_map(lambda a: n(*a.shape), (p, x))
    out, tangent = jvp(net, (p, x), t)
    g = n(*out.shape)
    back = vjp(net, p, x)[1](g)
    right = sum((a * b).sum().item() for a, b in zip(flatten(back)[0], flatten(t)[0], strict=True))
    np.testing.assert_allclose((g * tangent).sum().item(), right, rtol=1e-10)


@every_net
def test_batches_are_loops(net, p, shape):
    """Per-example gradients, ensembles of parameters, and both at once."""
    xs, ps = n(4, *shape), tree_map(lambda a: n(4, *a.shape), p)
    pick = lambda tree, i: tree_map(lambda a: a[i], tree)  # noqa: E731
    stack = lambda rows: tree_map(lambda *a: dl.stack(list(a)), *rows)  # noqa: E731
    f = grad(loss(net))
    close(vmap(f, (None, 0))(p, xs), stack([f(p, xs[i]) for i in range(4)]))
    close(vmap(f, (0, None))(ps, xs[0]), stack([f(pick(ps, i), xs[0]) for i in range(4)]))
    close(vmap(f)(ps, xs), stack([f(pick(ps, i), xs[i]) for i in range(4)]))
    total = grad(lambda p: vmap(loss(net), (None, 0))(p, xs).sum())(p)
    close(total, tree_map(lambda a: a.sum(0), vmap(f, (None, 0))(p, xs)))
