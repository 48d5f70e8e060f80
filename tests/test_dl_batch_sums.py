"""Gradients of weights and biases: sums over a batch, in halves where two threads share it, with the same bits."""

import numpy as np
import pytest

from dl import kernel
from dl.matmul_kernels import linear_bias, linear_weight, parts

K = kernel._kernels
pytestmark = pytest.mark.skipif(K is None, reason="the C extension was not built")
FLOATS = (np.float32, np.float64)
ROWS = (0, 1, 5, 31, 32, 33, 64, 100, 257, 1024, 1025)
CODES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1}


def error(dtype, k: int, scale) -> np.ndarray:
    """What rounding may do to a sum over k rows."""
    return 2 * (k + 2) * np.finfo(dtype).eps * scale


def on_teams(name: str, outs: tuple[int, ...], arrays, ints) -> list[np.ndarray]:
    """What a kernel gives on teams of one, two and three threads."""
    found = []
    for nt in (1, 2, 3):
        out = np.full(outs, 7, arrays[0].dtype)
        operands = [
            (i, 0, CODES[a.dtype], a.shape, tuple(s // a.itemsize for s in a.strides))
            for i, a in enumerate((out, *arrays))
        ]
        K.Program([out, *arrays], [(name, (operands[0],), tuple(operands[1:]), ints, (), True, 0)], [], [], nt)()
        found.append(out)
    return found


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("k", ROWS)
def test_gradients_of_weights(isa, dtype, k, rng):
    for m, n in [(64, 17), (6, 64), (1, 40), (33, 1), (130, 70), (16, 300)]:
        g, x = rng.normal(size=(k, m)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
        found = linear_weight(g, x)
        wanted, scale = g.T.astype(float) @ x.astype(float), np.abs(g.T).astype(float) @ np.abs(x).astype(float)
        assert np.all(np.abs(found - wanted) <= error(dtype, k, scale))
        ints = (0, parts(m, n, k))
        for out in on_teams("gemm", (m, n), (g.T, x), ints):
            assert out.tobytes() == found.tobytes()
        if ints[1] == 2:
            halves = [on_teams("gemm", (m, n), (g[s].T, x[s]), (0, 1))[0] for s in (slice(k // 2), slice(k // 2, k))]
            assert (halves[0] + halves[1]).tobytes() == found.tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("k", ROWS)
def test_gradients_of_biases(isa, dtype, k, rng):
    for n in (1, 6, 16, 63, 64, 65, 200):
        for g in (rng.normal(size=(k, n)), rng.normal(size=(n, k)).T, rng.normal(size=(k, 2 * n))[:, ::-2]):
            g = g.astype(dtype, order="K")
            found = linear_bias(g)
            assert np.all(np.abs(found - g.astype(float).sum(0)) <= error(dtype, 2, np.abs(g).astype(float).sum(0)) * 8)
            ints = linear_bias.numbers(g)[0]
            for out in on_teams("linear_bias", (n,), (g,), ints):
                assert out.tobytes() == found.tobytes()
            assert found.tobytes() == linear_bias.twin(np.ascontiguousarray(g)).tobytes()
            if ints == (2,):
                halves = [on_teams("linear_bias", (n,), (half,), (1,))[0] for half in (g[: k // 2], g[k // 2 :])]
                assert (halves[0] + halves[1]).tobytes() == found.tobytes()


def test_what_has_no_halves_is_refused():
    one, rows, many = np.ones((2, 2)), np.ones((2, 8)), np.ones((2, 2000))
    with pytest.raises(ValueError, match="at most 1024"):
        K.call("gemm", (one,), (many, many.T), (0, 2), ())
    with pytest.raises(ValueError, match="without bias"):
        K.call("gemm", (one,), (rows, rows.T, np.ones(2)), (0, 2), ())
    with pytest.raises(ValueError, match="at most 1024"):
        K.call("gemm", (one.astype(int),), (rows.astype(int), rows.T.astype(int)), (0, 2), ())
    for ints in ((), (3,), (0,)):
        with pytest.raises(ValueError, match="1 or 2 parts"):
            K.call("linear_bias", (np.ones(8),), (rows,), ints, ())
    with pytest.raises(ValueError, match="one dtype"):
        K.call("linear_bias", (np.ones(7),), (rows,), (1,), ())
