"""Where episodes start: functions rng -> x0."""

from collections.abc import Callable

import numpy as np

Start = Callable[[np.random.Generator], np.ndarray]


def around(x, spread, integrate: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.add) -> Start:
    """integrate(x, dx) with dx (ndx,) uniform in [-spread, spread]; x (nx,), spread (ndx,) or one number for all."""
    centre, reach = np.asarray(x, float), np.asarray(spread, float)
    return lambda rng: integrate(centre, rng.uniform(-1.0, 1.0, np.shape(reach) or len(centre)) * reach)
