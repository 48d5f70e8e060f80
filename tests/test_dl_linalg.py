"""dl.linalg: every function against NumPy and SciPy, and its derivatives, once and twice, against differences."""

import numpy as np
import pytest
import scipy.linalg

import dl
from dl import linalg
from dl.check import gradcheck, gradgradcheck


def matrices(rng, *shape):
    return rng.normal(size=shape)


def spd(rng, *lead, n=3):
    a = rng.normal(size=(*lead, n, n))
    return a @ np.swapaxes(a, -1, -2) + n * np.eye(n)


def stable(rng, *lead, n=3):
    a = rng.normal(size=(*lead, n, n))
    return 0.6 * a / np.abs(np.linalg.eigvals(a)).max(axis=-1)[..., None, None]


def sym(x):
    return (x + x.transpose(-1, -2)) * 0.5


def loop(f):
    """SciPy's function on each matrix of a batch."""

    def batched(*arrays):
        lead = arrays[0].shape[:-2]
        out = np.stack([f(*(a[i] for a in arrays)) for i in np.ndindex(*lead)]) if lead else f(*arrays)
        return out.reshape(*lead, *out.shape[1:]) if lead else out

    return batched


# name: (function, oracle, inputs(rng, *lead))
CASES = {
    "solve": (linalg.solve, np.linalg.solve, lambda r, *s: (spd(r, *s), matrices(r, *s, 3, 2))),
    "triangular upper": (
        lambda a, b: linalg.solve_triangular(a.triu(), b, upper=True),
        lambda a, b: np.linalg.solve(np.triu(a), b),
        lambda r, *s: (spd(r, *s), matrices(r, *s, 3, 2)),
    ),
    "triangular unit": (
        lambda a, b: linalg.solve_triangular(a, b, upper=False, unitriangular=True),
        lambda a, b: np.linalg.solve(np.tril(a, -1) + np.eye(3), b),
        lambda r, *s: (0.3 * spd(r, *s), matrices(r, *s, 3, 2)),
    ),
    "inv": (linalg.inv, np.linalg.inv, lambda r, *s: (spd(r, *s),)),
    "slogdet": (
        lambda a: linalg.slogdet(a)[1], lambda a: np.linalg.slogdet(a)[1], lambda r, *s: (matrices(r, *s, 3, 3),)
    ),
    "det": (linalg.det, np.linalg.det, lambda r, *s: (matrices(r, *s, 3, 3),)),
    "cholesky": (lambda a: linalg.cholesky(sym(a)), np.linalg.cholesky, lambda r, *s: (spd(r, *s),)),
    "qr": (lambda a: linalg.qr(a), np.linalg.qr, lambda r, *s: (matrices(r, *s, 4, 3),)),
    "eigh values": (lambda a: linalg.eigh(a)[0], np.linalg.eigvalsh, lambda r, *s: (spd(r, *s),)),
    "eigh projector": (
        lambda a: linalg.eigh(a)[1][..., :1] @ linalg.eigh(a)[1][..., :1].mT,
        lambda a: np.linalg.eigh(a)[1][..., :1] @ np.swapaxes(np.linalg.eigh(a)[1][..., :1], -1, -2),
        lambda r, *s: (spd(r, *s),),
    ),
    "svd tall": (
        lambda a: (linalg.svd(a)[1], linalg.svd(a)[0][..., :1] @ linalg.svd(a)[2][..., :1, :]),
        lambda a: (np.linalg.svd(a)[1], np.linalg.svd(a, False)[0][..., :1] @ np.linalg.svd(a, False)[2][..., :1, :]),
        lambda r, *s: (matrices(r, *s, 4, 3),),
    ),
    "svd wide": (
        lambda a: linalg.svd(a)[0][..., :2] @ linalg.svd(a)[2][..., :2, :],
        lambda a: np.linalg.svd(a, False)[0][..., :2] @ np.linalg.svd(a, False)[2][..., :2, :],
        lambda r, *s: (matrices(r, *s, 3, 5),),
    ),
    "pinv tall": (linalg.pinv, np.linalg.pinv, lambda r, *s: (matrices(r, *s, 4, 2),)),
    "pinv wide": (linalg.pinv, np.linalg.pinv, lambda r, *s: (matrices(r, *s, 2, 4),)),
    "lstsq": (
        linalg.lstsq,
        lambda a, b: np.linalg.pinv(a) @ b,
        lambda r, *s: (matrices(r, *s, 5, 3), matrices(r, *s, 5, 2)),
    ),
    "expm": (linalg.expm, scipy.linalg.expm, lambda r, *s: (matrices(r, *s, 3, 3),)),
    "sqrtm": (linalg.sqrtm, loop(scipy.linalg.sqrtm), lambda r, *s: (spd(r, *s),)),
    "sylvester": (
        linalg.solve_sylvester,
        loop(scipy.linalg.solve_sylvester),
        lambda r, *s: (spd(r, *s), spd(r, *s, n=2), matrices(r, *s, 3, 2)),
    ),
    "continuous lyapunov": (
        linalg.solve_continuous_lyapunov,
        loop(scipy.linalg.solve_continuous_lyapunov),
        lambda r, *s: (-spd(r, *s), matrices(r, *s, 3, 3)),
    ),
    "discrete lyapunov": (
        linalg.solve_discrete_lyapunov,
        loop(scipy.linalg.solve_discrete_lyapunov),
        lambda r, *s: (stable(r, *s), matrices(r, *s, 3, 3)),
    ),
    "unstable discrete lyapunov": (
        linalg.solve_discrete_lyapunov,
        loop(lambda a, q: scipy.linalg.solve_discrete_lyapunov(a, q, method="direct")),
        lambda r, *s: (2.5 * stable(r, *s), matrices(r, *s, 3, 3)),
    ),
    "continuous riccati": (
        lambda a, b, q, r: linalg.solve_continuous_are(a, b, sym(q), sym(r)),
        loop(scipy.linalg.solve_continuous_are),
        lambda r, *s: (matrices(r, *s, 3, 3), matrices(r, *s, 3, 2), spd(r, *s), spd(r, *s, n=2)),
    ),
    "discrete riccati": (
        lambda a, b, q, r: linalg.solve_discrete_are(a, b, sym(q), sym(r)),
        loop(scipy.linalg.solve_discrete_are),
        lambda r, *s: (matrices(r, *s, 3, 3), matrices(r, *s, 3, 2), spd(r, *s), spd(r, *s, n=2)),
    ),
}  # fmt: skip
every_case = pytest.mark.parametrize("name", CASES)


def tensors(arrays):
    return tuple(dl.tensor(a, requires_grad=True) for a in arrays)


def listed(out):
    return out if isinstance(out, tuple) else (out,)


@every_case
@pytest.mark.parametrize("lead", [(), (2,), (2, 3), (0,)])
def test_values(rng, name, lead):
    f, oracle, inputs = CASES[name]
    arrays = inputs(rng, *lead) if lead != (0,) else tuple(np.empty((0, *a.shape)) for a in inputs(rng))
    found = listed(f(*map(dl.from_numpy, arrays)))
    if lead == (0,):
        assert all(t.shape[0] == 0 for t in found)
        return
    for a, b in zip(found, listed(oracle(*arrays)), strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-8, atol=1e-10)


@every_case
def test_first_and_second_derivatives(rng, name):
    f, _, inputs = CASES[name]
    for lead in ((), (2,)):
        gradcheck(f, tensors(inputs(rng, *lead)), atol=1e-6, rtol=1e-4)
    gradgradcheck(f, tensors(inputs(rng)), atol=1e-5, rtol=1e-3)


def test_float32_stays_float32(rng):
    for name, (f, _, inputs) in CASES.items():
        for t in listed(f(*(dl.from_numpy(a.astype(np.float32)) for a in inputs(rng)))):
            assert t.dtype == np.float32, name


def test_vectors_on_the_right(rng):
    a, b = spd(rng, 4), rng.normal(size=(4, 3))
    np.testing.assert_allclose(linalg.solve(a, b).numpy(), np.linalg.solve(a, b[..., None])[..., 0])
    np.testing.assert_allclose(linalg.lstsq(a[0], b[0]).numpy(), np.linalg.solve(a[0], b[0]))


def test_lqr_gains_are_scipys(rng):
    A, B, Q, R = rng.normal(size=(4, 4)), rng.normal(size=(4, 2)), spd(rng, n=4), spd(rng, n=2)
    K, S = linalg.lqr(A, B, Q, R)
    np.testing.assert_allclose(S.numpy(), scipy.linalg.solve_continuous_are(A, B, Q, R), rtol=1e-8)
    np.testing.assert_allclose(K.numpy(), np.linalg.solve(R, B.T @ S.numpy()), rtol=1e-8)
    K, S = linalg.dlqr(A, B, Q, R)
    assert np.abs(np.linalg.eigvals(A - B @ K.numpy())).max() < 1


def test_the_lqr_layer_is_inverted_by_gauss_newton():
    """Steps along the Jacobian of the gain find the Q that a gain came from (up to the part the gain does not show)."""
    A, B = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[0.005], [0.1]])

    def gain(log_q):
        return linalg.dlqr(A, B, log_q.exp().diag_embed(), np.eye(1))[0].reshape(2)

    wanted, log_q = gain(dl.tensor(np.log([3.0, 0.5]))), dl.tensor(np.zeros(2))
    for _ in range(8):
        log_q = log_q - linalg.solve(dl.jacobian(gain)(log_q), gain(log_q) - wanted)
    np.testing.assert_allclose(log_q.exp().numpy(), [3.0, 0.5], rtol=1e-9)


@every_case
def test_vmap_over_some_of_the_inputs(rng, name):
    f, _, inputs = CASES[name]
    batch, one = inputs(rng, 3), inputs(rng)
    mixed = [dl.tensor(batch[0]), *map(dl.tensor, one[1:])]
    found = dl.vmap(f, (0, *(None for _ in one[1:])))(*mixed)
    for i in range(3):
        for a, b in zip(listed(found), listed(f(mixed[0][i], *mixed[1:])), strict=True):
            np.testing.assert_allclose(a[i].numpy(), b.numpy(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.09, 0.11, 1.0, 3.0, np.pi - 1e-6])
def test_rotations(rng, angle):
    axis = rng.normal(size=3)
    w = angle * axis / np.linalg.norm(axis)
    R = linalg.so3_exp(w).numpy()
    np.testing.assert_allclose(R, scipy.linalg.expm(linalg.hat(w).numpy()), atol=1e-14)
    np.testing.assert_allclose(linalg.so3_log(R).numpy(), w, atol=1e-9 if angle > 3.1 else 1e-14)
    gradcheck(linalg.so3_exp, tensors([w]))
    gradgradcheck(linalg.so3_exp, tensors([w]), atol=1e-4)
    if angle < 3.1:
        gradcheck(lambda v: linalg.so3_log(linalg.so3_exp(v)), tensors([w]), atol=1e-6)


def test_gradients_of_the_logarithm_at_zero_and_pi_are_finite():
    for w in (np.zeros(3), np.array([np.pi, 0, 0]), np.array([0, np.pi, 0]), np.pi * np.array([0.6, 0, 0.8])):
        R = dl.tensor(linalg.so3_exp(w).numpy(), requires_grad=True)
        log = linalg.so3_log(R)
        np.testing.assert_allclose(np.linalg.norm(log.detach().numpy()), np.linalg.norm(w), atol=1e-7)
        log.sum().backward()
        assert np.isfinite(R.grad.numpy()).all()


@pytest.mark.parametrize("angle", [0.0, 1e-5, 0.5, 3.0])
def test_motions(rng, angle):
    axis = rng.normal(size=3)
    twist = np.concatenate([angle * axis / np.linalg.norm(axis), rng.normal(size=3)])
    top = np.concatenate([linalg.hat(twist[:3]).numpy(), twist[3:, None]], axis=1)
    X = linalg.se3_exp(twist)
    np.testing.assert_allclose(X.numpy(), scipy.linalg.expm(np.vstack([top, np.zeros(4)])), atol=1e-13)
    np.testing.assert_allclose(linalg.se3_log(X).numpy(), twist, atol=1e-12)
    gradcheck(linalg.se3_exp, tensors([twist]))
    gradcheck(lambda t: linalg.se3_log(linalg.se3_exp(t)), tensors([twist]), atol=1e-6)


def test_rotations_are_batched(rng):
    w = rng.normal(size=(2, 5, 3))
    R = linalg.so3_exp(w)
    assert R.shape == (2, 5, 3, 3)
    np.testing.assert_allclose(linalg.so3_log(R).numpy(), w, atol=1e-12)


def kepler(E, e, M):
    return E - e * E.sin() - M


def test_root_and_fixed_point(rng):
    e, M = np.array([0.3, 0.6]), np.array([1.0, 2.0])
    E = linalg.root(kepler, M, e, M)
    np.testing.assert_allclose(kepler(E, e, M).numpy(), 0.0, atol=1e-10)
    F = linalg.fixed_point(lambda E, e, M: M + e * E.sin(), M, e, M)
    np.testing.assert_allclose(E.numpy(), F.numpy(), atol=1e-9)
    for solve in (lambda e, M: linalg.root(kepler, [1.0, 2.0], e, M),):
        gradcheck(solve, tensors([e, M]))
        gradgradcheck(solve, tensors([e, M]), atol=1e-5)
    dE = dl.grad(lambda M: linalg.root(kepler, [1.0, 2.0], e, M).sum())(dl.tensor(M))
    np.testing.assert_allclose(dE.numpy(), 1 / (1 - e * np.cos(E.numpy())), rtol=1e-9)


def test_errors_name_the_function_and_the_shapes():
    with pytest.raises(ValueError, match=r"linalg.solve: wanted square matrices \(..., n, n\), got shape \[2, 3\]"):
        linalg.solve(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match=r"A has shape \[3, 3\], so B must have shape \(..., 3, k\)"):
        linalg.solve(np.eye(3), np.ones((2, 2)))
    with pytest.raises(linalg.LinAlgError, match="singular; use lstsq or pinv"):
        linalg.solve(np.zeros((2, 2)), np.ones(2))
    with pytest.raises(linalg.LinAlgError, match=r"not positive definite .least eigenvalue -1"):
        linalg.cholesky(-np.eye(2))
    with pytest.raises(ValueError, match=r"linalg\.inv: the matrix has a non-finite entry"):
        linalg.inv(np.full((2, 2), np.nan))
    with pytest.raises(linalg.LinAlgError, match="stabilisable"):
        linalg.solve_discrete_are(2 * np.eye(2), np.zeros((2, 1)), np.eye(2), np.eye(1))
    with pytest.raises(ValueError, match=r"shapes do not fit: A \[2, 2\], B \[3, 1\]"):
        linalg.lqr(np.eye(2), np.ones((3, 1)), np.eye(2), np.eye(1))
    with pytest.raises(linalg.LinAlgError, match="start nearer"):
        linalg.root(lambda x, p: x * x + p, [1.0], [1.0], max_iter=5)
