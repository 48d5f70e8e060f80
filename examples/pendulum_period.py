"""Event location: the period of a large swing, from the zeros of theta, beside the elliptic integral."""

import numpy as np
from scipy.special import ellipk

from sims.ode import integrate_events
from sims.plants import Pendulum

plant = Pendulum(b=0.0)


def bottom(t, x):
    return x[0]


bottom.direction = -1
run, (zeros,) = integrate_events(plant, [3.0, 0.0], lambda t, x: np.zeros(1), 20.0, events=[bottom])
period = np.diff(zeros[:, 0]).mean()
exact = 4 * np.sqrt(plant.l / plant.g) * ellipk(np.sin(1.5) ** 2)
print(f"period from {len(zeros)} events: {period:.9f} s, exact {exact:.9f} s")
assert abs(period - exact) < 1e-7
