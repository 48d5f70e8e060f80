"""The NumPy twin of every kernel: the oracle in tests, and the backend where no C compiler was."""

import numpy as np


def axpy(a: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """a x + y for x, y of one shape and dtype (float32 or float64); a is rounded to that dtype first."""
    return x.dtype.type(a) * x + y
