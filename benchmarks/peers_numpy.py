"""NumPy and SciPy by hand: matrix products, Riccati equations one by one, the cart-pole in a Python loop."""

import numpy as np
from dl_cases import Peer, states


class Numpy(Peer):
    """Threads are those of the BLAS, set in the environment before NumPy is imported."""

    def info(self) -> dict:
        import scipy

        return {"numpy": np.__version__, "scipy": scipy.__version__}

    def value(self, result) -> np.ndarray:
        return np.asarray(result)

    def gemm(self, p: dict, data):
        a, b = data
        out = np.empty((p["m"], p["n"]), np.float32)
        yield "NumPy", lambda: np.matmul(a, b, out=out)

    def lqr(self, p: dict, data):
        from scipy.linalg import solve_discrete_are

        rows = list(zip(*data, strict=True))
        yield "SciPy, one by one", lambda: [solve_discrete_are(*row) for row in rows]

    def rollout(self, p: dict, data):
        yield "NumPy loop", lambda: np.stack(states(p, *data))
