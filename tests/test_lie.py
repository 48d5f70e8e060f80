"""Laws of the rotations, against SciPy's and against definitions, with the angles where they go wrong: 0 and pi."""

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from sims import lie

ANGLES = [0.0, 1e-300, 1e-160, 1e-20, 1e-9, 1e-4, 0.3, 1.0, 3.0, np.pi - 1e-4, np.pi - 1e-9, np.pi - 1e-15, np.pi]


def unit(rng, *shape):
    v = rng.normal(size=shape)
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def scipy(q):
    return Rotation.from_quat(np.roll(q, -1, axis=-1))


@pytest.fixture
def vectors(rng):
    """Rotation vectors (n, 3) of every angle in ANGLES about axes in general and along the coordinates."""
    axes = np.concatenate([unit(rng, 20, 3), np.eye(3), -np.eye(3)])
    return (np.array(ANGLES)[:, None, None] * axes).reshape(-1, 3)


def test_product_rotate_and_matrix_agree_with_scipy(rng):
    p, q, v = unit(rng, 50, 4), unit(rng, 50, 4), rng.normal(size=(50, 3))
    P, Q = scipy(p), scipy(q)
    np.testing.assert_allclose(lie.quat_to_matrix(p), P.as_matrix(), atol=1e-15)
    np.testing.assert_allclose(lie.quat_to_matrix(lie.quat_multiply(p, q)), (P * Q).as_matrix(), atol=1e-15)
    np.testing.assert_allclose(lie.quat_rotate(p, v), P.apply(v), atol=1e-14)
    np.testing.assert_allclose(lie.quat_multiply(p, lie.quat_conjugate(p)), [[1.0, 0, 0, 0]] * 50, atol=1e-15)
    np.testing.assert_allclose(lie.quat_to_matrix(3.7 * p), lie.quat_to_matrix(p), atol=1e-15)


def test_exp_is_the_matrix_exponential(vectors):
    for w in vectors[:: len(vectors) // 60]:
        np.testing.assert_allclose(lie.so3_exp(w), expm(lie.hat(w)), atol=1e-14)


def test_log_undoes_exp_at_every_angle(vectors):
    turned = lie.quat_log(lie.quat_exp(vectors))
    angle = np.linalg.norm(vectors, axis=-1)
    sign = np.where((angle > 3.14159) & ((turned * vectors).sum(-1) < 0), -1.0, 1.0)  # at pi both signs are right
    np.testing.assert_allclose(sign[:, None] * turned, vectors, rtol=1e-13, atol=2e-15)
    assert (np.linalg.norm(turned, axis=-1) <= np.pi + 1e-15).all()
    np.testing.assert_allclose(lie.so3_exp(lie.so3_log(lie.so3_exp(vectors))), lie.so3_exp(vectors), atol=2e-15)


def test_matrix_to_quaternion_has_no_bad_angle(vectors):
    q = lie.quat_from_matrix(lie.so3_exp(vectors))
    np.testing.assert_allclose(np.linalg.norm(q, axis=-1), 1.0, atol=1e-15)
    assert (q[:, 0] >= 0).all()
    np.testing.assert_allclose(lie.quat_to_matrix(q), lie.so3_exp(vectors), atol=2e-15)


def test_difference_and_integrate_are_inverse(rng, vectors):
    p = unit(rng, len(vectors), 4)
    q = lie.quat_integrate(p, vectors)
    back = lie.quat_integrate(p, lie.quat_difference(p, q))
    np.testing.assert_allclose(np.abs((back * q).sum(-1)), 1.0, atol=1e-14)  # the same rotation, up to the sign
    np.testing.assert_allclose(lie.quat_to_matrix(back), lie.quat_to_matrix(q), atol=1e-14)
    small = np.linalg.norm(vectors, axis=-1) < 3.1
    np.testing.assert_allclose(lie.quat_difference(p, q)[small], vectors[small], atol=1e-14)
    np.testing.assert_allclose(lie.quat_difference(p, -p), 0.0, atol=1e-15)  # -q is the same attitude


def test_integrate_solves_the_kinematics(rng):
    """qdot = 1/2 q [0, omega] with a constant body rate, against expm of the linear system it is."""
    q, w, t = unit(rng, 4), rng.normal(size=3), 0.7
    rate = np.stack([0.5 * lie.quat_multiply(e, np.array([0.0, *w])) for e in np.eye(4)], axis=-1)
    np.testing.assert_allclose(lie.quat_integrate(q, t * w), expm(t * rate) @ q, atol=1e-14)


def test_small_differences_keep_their_digits(rng):
    q = unit(rng, 4)
    for size in (1e-4, 1e-8, 1e-12):
        w = size * unit(rng, 3)
        np.testing.assert_allclose(lie.quat_difference(q, lie.quat_integrate(q, w)), w, atol=3e-16)
    np.testing.assert_array_equal(lie.quat_log(lie.quat_exp(np.zeros(3))), np.zeros(3))


def test_roll_pitch_yaw(rng):
    rpy = rng.uniform([-np.pi, -np.pi / 2, -np.pi], [np.pi, np.pi / 2, np.pi], size=(500, 3))
    np.testing.assert_allclose(
        lie.matrix_from_rpy(rpy), Rotation.from_euler("xyz", rpy).as_matrix(), atol=1e-15
    )  # SciPy's lower-case: fixed axes
    np.testing.assert_allclose(lie.quat_to_rpy(lie.quat_from_rpy(rpy)), rpy, atol=1e-12)
    np.testing.assert_allclose(lie.matrix_to_rpy(lie.matrix_from_rpy(rpy)), rpy, atol=1e-12)


@pytest.mark.parametrize("pitch", [np.pi / 2, -np.pi / 2, np.pi / 2 - 1e-9, -np.pi / 2 + 1e-12, np.pi / 2 - 1e-5])
def test_roll_pitch_yaw_at_gimbal_lock(rng, pitch):
    rpy = np.array([0.4, pitch, -1.1])
    found = lie.matrix_to_rpy(lie.matrix_from_rpy(rpy))
    np.testing.assert_allclose(found[1], pitch, atol=1e-15 + 2e-16 / max(1e-3, abs(np.cos(pitch))))
    np.testing.assert_allclose(lie.matrix_from_rpy(found), lie.matrix_from_rpy(rpy), atol=2e-15)


def test_roll_pitch_yaw_is_drakes(rng):
    math = pytest.importorskip("pydrake.math", reason="Drake is not installed")
    for rpy in rng.uniform([-3, -1.5, -3], [3, 1.5, 3], size=(20, 3)):
        drake = math.RollPitchYaw(rpy)
        np.testing.assert_allclose(lie.matrix_from_rpy(rpy), drake.ToRotationMatrix().matrix(), atol=1e-15)
        np.testing.assert_allclose(lie.quat_from_rpy(rpy), drake.ToQuaternion().wxyz(), atol=1e-15)


def test_difference_is_mujocos(rng):
    mujoco = pytest.importorskip("mujoco", reason="MuJoCo is not installed")
    for p, q in unit(rng, 20, 2, 4):
        w, turned = np.empty(3), p.copy()
        mujoco.mju_subQuat(w, q, p)
        np.testing.assert_allclose(lie.quat_difference(p, q), w, atol=1e-14)
        mujoco.mju_quatIntegrate(turned, w, 0.3)
        np.testing.assert_allclose(lie.quat_integrate(p, 0.3 * w), turned, atol=1e-14)


def test_hat_vee_and_cross(rng):
    a, b = rng.normal(size=(2, 7, 3))
    np.testing.assert_allclose((lie.hat(a) @ b[..., None])[..., 0], np.cross(a, b), atol=1e-15)
    np.testing.assert_array_equal(lie.vee(lie.hat(a)), a)


@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
def test_everything_is_batched_over_leading_axes(rng, shape):
    q, p, w, rpy = (
        unit(rng, *shape, 4),
        unit(rng, *shape, 4),
        rng.normal(size=(*shape, 3)),
        rng.normal(size=(*shape, 3)),
    )
    R = lie.quat_to_matrix(q)
    cases = [
        (lie.quat_multiply, (q, p)),
        (lie.quat_rotate, (q, w)),
        (lie.quat_to_matrix, (q,)),
        (lie.quat_from_matrix, (R,)),
        (lie.quat_normalize, (2 * q,)),
        (lie.quat_exp, (w,)),
        (lie.quat_log, (q,)),
        (lie.quat_integrate, (q, w)),
        (lie.quat_difference, (q, p)),
        (lie.so3_exp, (w,)),
        (lie.so3_log, (R,)),
        (lie.hat, (w,)),
        (lie.vee, (R,)),
        (lie.quat_from_rpy, (rpy,)),
        (lie.quat_to_rpy, (q,)),
        (lie.matrix_to_rpy, (R,)),
    ]
    for fn, arguments in cases:
        whole = fn(*arguments)
        assert whole.shape[: len(shape)] == shape, fn.__name__
        for index in np.ndindex(shape):
            np.testing.assert_allclose(
                whole[index], fn(*(a[index] for a in arguments)), atol=1e-15, err_msg=fn.__name__
            )


def test_normalize_survives_extremes():
    tiny, huge = np.array([3e-200, 0, 4e-200, 0]), np.array([3e200, 0, 4e200, 0])
    for q in (tiny, huge):
        np.testing.assert_allclose(lie.quat_normalize(q), [0.6, 0, 0.8, 0], atol=1e-15)
    np.testing.assert_array_equal(lie.quat_normalize(np.zeros((2, 4))), [[1.0, 0, 0, 0]] * 2)
