"""The NumPy twin of the backward pass of differential dynamic programming."""

import numpy as np

ROUNDS = 100


def ddp_backward(A, B, lx, lu, lxx, lux, luu, lx_end, lxx_end, h, lo, hi, gap, *, mu):
    """k, K, Vx, Vxx, info of du = k - K dx for dx+ = A dx + B du + gap and the cost h (lx'dx + lu'du + 1/2 ...).

    A (T, n, n), B (T, n, m), lx (T, n), lu (T, m), lxx (T, n, n), lux (T, m, n), luu (T, m, m), lx_end (n,), lxx_end
    (n, n), h (T,), lo, hi (T, m): limits of du, gap (T, n) or None. mu[0] |du|^2 / 2 is added to the cost; k (T, m)
    minimises 1/2 k'(Quu + mu[1] B'B) k + Qu'k between the limits; K (T, m, n) has rows of zeros where an input is at
    one. info: the knot at which the matrix was not positive definite, or -1; the slope and curvature of the cost along
    k; the largest derivative by an input that may follow it; with gaps, slope and curvature along the linear model's
    own step from dx[0] = 0.
    Source: Tassa, Mansard, Todorov, "Control-limited differential dynamic programming", 2014; gaps as in Mastalli et
    al., "Crocoddyl", 2020, section II.
    """
    (T, n), m = A.shape[:2], B.shape[2]
    k, K, Vx, Vxx = np.zeros((T, m)), np.zeros((T, m, n)), np.zeros((T + 1, n)), np.zeros((T + 1, n, n))
    info = np.array([-1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    Vx[T], Vxx[T] = lx_end, lxx_end
    for i in reversed(range(T)):
        V, v = Vxx[i + 1], Vx[i + 1]
        v = v if gap is None else v + V @ gap[i]
        Qx, Qu = h[i] * lx[i] + A[i].T @ v, h[i] * lu[i] + B[i].T @ v
        Qxx, Qux = h[i] * lxx[i] + A[i].T @ V @ A[i], h[i] * lux[i] + B[i].T @ V @ A[i]
        Quu = h[i] * luu[i] + B[i].T @ V @ B[i] + mu[0] * np.eye(m)
        H, G = Quu + mu[1] * B[i].T @ B[i], Qux + mu[1] * B[i].T @ A[i]
        held = ((lo[i] >= 0) & (Qu > 0)) | ((hi[i] <= 0) & (Qu < 0))
        info[3] = max(info[3], np.abs(np.where(held, 0.0, Qu)).max())
        try:
            k[i], free = boxed(H, Qu, lo[i], hi[i])
        except np.linalg.LinAlgError:
            info[0] = i
            return k, K, Vx, Vxx, info
        K[i][free] = np.linalg.solve(H[np.ix_(free, free)], G[free])
        info[1] += k[i] @ Qu
        info[2] += k[i] @ Quu @ k[i]
        Vx[i] = Qx - K[i].T @ (Quu @ k[i] + Qu) + Qux.T @ k[i]
        V = Qxx + K[i].T @ (Quu @ K[i] - Qux) - Qux.T @ K[i]
        Vxx[i] = 0.5 * (V + V.T)
    if gap is not None:
        info[4:] = along(A, B, lx, lu, lxx, lux, luu, lx_end, lxx_end, h, gap, k, K)
    return k, K, Vx, Vxx, info


def boxed(H, q, lo, hi):
    """x and its free components: the minimum of 1/2 x'Hx + q'x for lo <= x <= hi by projected Newton steps.

    Raises LinAlgError where H is not positive definite over the free components.
    """
    x, free = np.clip(np.zeros(len(q)), lo, hi), np.zeros(len(q), bool)
    old = None
    for _ in range(ROUNDS):
        grad, value = H @ x + q, x @ (0.5 * H @ x + q)
        free = ~(((x <= lo) & (grad > 0)) | ((x >= hi) & (grad < 0)))
        if not free.any():
            return x, free
        L = np.linalg.cholesky(H[np.ix_(free, free)])
        if old is not None and old - value <= 1e-15 * abs(old):
            return x, free
        old = value
        newton = np.zeros_like(x)
        newton[free] = np.linalg.solve(L.T, np.linalg.solve(L, grad[free]))
        if not newton @ grad > 0:
            return x, free
        step = 1.0
        while step > 1e-12:
            trial = np.clip(x - step * newton, lo, hi)
            gain = grad @ (x - trial)
            inside = bool((trial == x - step * newton).all())
            if inside or (gain > 0 and trial @ (0.5 * H @ trial + q) <= value - 0.1 * gain):
                break
            step *= 0.6
        else:
            return x, free
        x = trial
        if inside and free.all():
            return x, free
    return x, free


def along(A, B, lx, lu, lxx, lux, luu, lx_end, lxx_end, h, gap, k, K):
    """First and second derivative of the cost along dx+ = A dx + B (k - K dx) + gap from dx = 0."""
    dx, slope, curvature = np.zeros(A.shape[1]), 0.0, 0.0
    for i in range(len(A)):
        du = k[i] - K[i] @ dx
        slope += h[i] * (lx[i] @ dx + lu[i] @ du)
        curvature += h[i] * (dx @ lxx[i] @ dx + 2 * du @ lux[i] @ dx + du @ luu[i] @ du)
        dx = A[i] @ dx + B[i] @ du + gap[i]
    return slope + lx_end @ dx, curvature + dx @ lxx_end @ dx
