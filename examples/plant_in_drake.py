"""A plant written once in NumPy becomes a Drake system: Drake linearises it by automatic differentiation."""

import numpy as np
from pydrake.systems.primitives import Linearize

from sims import to_drake
from sims.linearize import linearize
from sims.plants import Acrobot

plant, upright = Acrobot(), np.array([np.pi, 0, 0, 0])

system = to_drake(plant)
context = system.CreateDefaultContext()
context.SetContinuousState(upright)
system.get_input_port().FixValue(context, np.zeros(1))
drake = Linearize(system, context)

A, B = linearize(plant, upright, np.zeros(1))
error = max(abs(drake.A() - A).max(), abs(drake.B() - B).max())
print(f"eigenvalues at upright: {np.sort(np.linalg.eigvals(A).real).round(3)}; Drake and NumPy differ by {error:.1e}")
assert error < 1e-8
