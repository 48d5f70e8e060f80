"""Muon: momentum whose update is made orthogonal, for weight matrices."""

from dl.optim.optimizer import Group, Optimizer, with_gradients


class Muon(Optimizer):
    """W -= lr sqrt(max(1, rows / columns)) orthogonal(momentum), by five Newton-Schulz steps (Jordan et al., 2024).

    For parameters with two or more dimensions (further ones are flattened into the columns); give vectors, embeddings
    and the last layer to AdamW.
    """

    state_names = ("momentum_buffer",)

    def __init__(self, params, *, lr=0.02, momentum=0.95, nesterov=True, weight_decay=0.0, steps=5):
        super().__init__(params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, steps=steps)
        for group in self.param_groups:
            for i, p in enumerate(group.params):
                if p.ndim < 2:
                    raise ValueError(
                        f"Muon: parameter {i} has shape {list(p.shape)}, wanted at least two dimensions; give "
                        "vectors to AdamW"
                    )

    def update(self, group: Group):
        momentum = group["momentum"]
        params, gradients, (buffers,) = with_gradients(group, "momentum_buffer")
        for p, g, buffer in zip(params, gradients, buffers, strict=True):
            buffer.copy_(buffer * momentum + g)
            update = g + buffer * momentum if group["nesterov"] else buffer
            matrix = update.reshape(p.shape[0], -1)
            scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            rate = group.rate.to(p.dtype)
            direction = orthogonal(matrix, group["steps"]).reshape(p.shape) * scale
            p.copy_(p * (1.0 - rate * group["weight_decay"]) - rate * direction)


def orthogonal(m, steps: int):
    """U V^T of m = U S V^T, roughly: singular values end in [0.7, 1.2] (quintic Newton-Schulz iteration)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = m / ((m * m).sum().sqrt() + 1e-7)
    tall = m.shape[0] > m.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = x * a + (gram * b + (gram @ gram) * c) @ x
    return x.T if tall else x
