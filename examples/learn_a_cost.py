"""LQR as a layer: which state weights explain a gain that somebody designed? Gradients cross the Riccati equation."""

import numpy as np

import dl
from dl import linalg, optim

A, B = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[0.005], [0.1]])
K_seen, _ = linalg.dlqr(A, B, np.diag([3.0, 0.5]), np.eye(1))
log_q = dl.zeros(2, dtype=np.float64, requires_grad=True)
opt = optim.LBFGS([log_q], max_iter=50)


def closure():
    opt.zero_grad()
    K, _ = linalg.dlqr(A, B, log_q.exp().diag_embed(), np.eye(1))
    loss = ((K - K_seen) ** 2).sum()
    loss.backward()
    return loss


opt.step(closure)
found = log_q.exp().detach().numpy()
print(f"weights found {found.round(5)}, used {[3.0, 0.5]}")
assert np.allclose(found, [3.0, 0.5], rtol=1e-3)
