"""System.f is plain NumPy, so it differentiates and replays: the gradient of a cart-pole rollout by its inputs."""

import time

import numpy as np

import dl
from sims.plants import CartPole

plant, dt, T = CartPole(), 0.01, 100
goal = np.array([0.0, np.pi, 0.0, 0.0])


def cost(x, u):
    """Distance from upright after T steps of the midpoint rule, plus effort."""
    for k in range(T):
        half = x + 0.5 * dt * plant.f(x, u[k])
        x = x + dt * plant.f(half, u[k])
    return ((x - goal) ** 2).sum() + 1e-3 * (u**2).sum()


x0, u = np.zeros(4), 0.1 * np.sin(np.linspace(0, 9, T))[:, None]
gradient = dl.jit(dl.grad(cost, argnums=1))
gradient(x0, u)  # recorded here, replayed below

begin = time.perf_counter()
found = gradient(x0, u)
elapsed = time.perf_counter() - begin
difference = np.zeros_like(u)
for k in (0, 37, 99):
    e = np.zeros_like(u)
    e[k] = 1e-6
    difference[k] = (cost(x0, u + e) - cost(x0, u - e)) / 2e-6
worst = max(abs(found[k, 0] - difference[k, 0]) for k in (0, 37, 99))
print(f"{T} inputs' gradient in {1e6 * elapsed:.0f} us; against central differences {worst:.1e}")
assert worst < 1e-7
