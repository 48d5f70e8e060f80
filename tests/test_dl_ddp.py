"""The backward pass in C against its NumPy twin and exact solutions, and recorded loops against Python's."""

import numpy as np
import pytest
from ddp_cases import SIZES, problem
from scipy.optimize import lsq_linear

import dl
from dl.ddp_kernels import ddp_backward
from dl.kernel import _kernels
from dl.recorder.loop import Loop
from dl.reference.ddp import ddp_backward as twin

needs_c = pytest.mark.skipif(_kernels is None, reason="the C extension was not built")


@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize("width", [0.05, 1.0, 100.0])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_c_and_its_twin_agree(isa, rng, n, m, width, gap):
    arrays = problem(rng, 20, n, m, gap=gap, width=width)
    for found, wanted in zip(ddp_backward(*arrays, mu=(0.01, 0.1)), twin(*arrays, mu=(0.01, 0.1)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-8 * (1 + np.abs(wanted).max()))


@pytest.mark.parametrize("backward", [ddp_backward, twin])
@pytest.mark.parametrize("m", [1, 2, 5])
def test_an_input_between_limits_is_the_exact_minimum(rng, backward, m):
    for _ in range(20):
        arrays = problem(rng, 1, 3, m, width=0.3)
        _, B, _, lu, _, _, luu, lx_end, lxx_end, h, lo, hi, _ = arrays
        k = backward(*arrays, mu=(0.0, 0.0))[0][0]
        H = h[0] * luu[0] + B[0].T @ lxx_end @ B[0]
        L = np.linalg.cholesky(H)
        g = h[0] * lu[0] + B[0].T @ lx_end  # 1/2 k'Hk + g'k = 1/2 |L'k + L^-1 g|^2 + constant
        exact = lsq_linear(L.T, -np.linalg.solve(L, g), (lo[0], hi[0]), method="bvls", tol=1e-14).x
        np.testing.assert_allclose(k, exact, atol=1e-8)


@pytest.mark.parametrize("backward", [ddp_backward, twin])
def test_it_names_the_knot_that_is_not_convex(rng, backward):
    arrays = list(problem(rng, 8, 3, 2))
    arrays[6][5] = -1e3 * np.eye(2)
    assert backward(*arrays, mu=(0.0, 0.0))[4][0] == 5


def test_blocks_that_repeat_need_no_copies(rng):
    arrays = list(problem(rng, 6, 4, 1))
    for i in (4, 5, 6):
        arrays[i] = np.broadcast_to(arrays[i][0], arrays[i].shape)
    dense = [None if a is None else np.ascontiguousarray(a) for a in arrays]
    for found, wanted in zip(ddp_backward(*arrays, mu=(0.0, 0.0)), ddp_backward(*dense, mu=(0.0, 0.0)), strict=True):
        np.testing.assert_array_equal(found, wanted)


@needs_c
def test_arrays_that_do_not_fit_are_refused(rng):
    arrays = list(problem(rng, 6, 4, 1))
    for i, wrong in (
        (0, arrays[0][:5]),
        (2, arrays[2][:, :3].copy()),
        (4, arrays[4].swapaxes(1, 2)[:, ::-1]),
        (7, None),
    ):
        with pytest.raises(ValueError, match="ddp_backward"):
            ddp_backward(*[wrong if j == i else a for j, a in enumerate(arrays)], mu=(0.0, 0.0))


def swing(x, dt, u):
    x_next = dl.stack([x[..., 0] + dt * x[..., 1], x[..., 1] + dt * (u[0] - dl.sin(x[..., 0]))], -1)
    return x_next, x_next, x_next.sum(-1)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_a_loop_is_its_turns(rng, n):
    x0, dt, u = rng.normal(size=(3, 2)), np.array(0.1), rng.normal(size=(n, 1))
    loop = Loop(swing)
    for _ in range(2):  # recorded, then replayed
        x, sums = loop(n, (x0,), (dt,), (u,))
    wanted = x0
    for k in range(n):
        wanted = np.stack([wanted[:, 0] + dt * wanted[:, 1], wanted[:, 1] + dt * (u[k] - np.sin(wanted[:, 0]))], -1)
        np.testing.assert_allclose(x[k], wanted, atol=1e-12)
        np.testing.assert_allclose(sums[k], wanted.sum(-1), atol=1e-12)


@needs_c
def test_loop_refuses_what_does_not_fit(rng):
    loop = Loop(swing)
    x0, dt, u = rng.normal(size=(3, 2)), np.array(0.1), rng.normal(size=(5, 1))
    loop(5, (x0,), (dt,), (u,))
    program = next(iter(loop.programs.values()))[0]
    rows = (np.empty((5, 3, 2)), np.empty((5, 3)))
    with pytest.raises(ValueError, match="C-contiguous float64"):
        _kernels.loop(program, 5, (x0[:2],), (dt,), (u,), rows)
    with pytest.raises(ValueError, match="one entry a turn"):
        _kernels.loop(program, 6, (x0,), (dt,), (u,), rows)
    with pytest.raises(ValueError, match="carry"):
        _kernels.loop(program, 5, (x0,), (dt,), (u,), rows[:1])
    with pytest.raises(TypeError):
        _kernels.loop(program, 5, [x0], (dt,), (u,), rows)
