"""Train a network: PyTorch's names, one recorded step, replayed in C; the learned torque law of a pendulum."""

import time

import numpy as np

import dl
from dl import functional as F
from dl import nn, optim

g = dl.Generator(0)
net = nn.MLP((2, 64, 64, 1), activation=nn.Tanh, generator=g)
opt = optim.Adam(net.parameters(), lr=3e-3)


def energy_torque(x):
    """What is to be learned: energy shaping with a limit, u = clip(-2 omega (E - E_up), -1, 1)."""
    return np.clip(-2.0 * x[:, 1:] * (0.5 * x[:, 1:] ** 2 - np.cos(x[:, :1]) - 1.0), -1.0, 1.0)


@dl.jit
def step(x, u):
    opt.zero_grad()
    loss = F.mse_loss(net(x), u)
    loss.backward()
    opt.step()
    return loss


begin = time.perf_counter()
for _ in range(4000):
    x = g.uniform(256, 2, low=-3.0, high=3.0).numpy()
    loss = step(x, energy_torque(x).astype(np.float32))
x = g.uniform(2000, 2, low=-3.0, high=3.0).numpy()
with dl.no_grad():
    error = float(np.sqrt(np.mean((net(dl.from_numpy(x)).numpy() - energy_torque(x)) ** 2)))
print(f"4000 steps of batch 256 in {time.perf_counter() - begin:.1f} s; error on new states {error:.3f} (limit 1)")
assert error < 0.12
