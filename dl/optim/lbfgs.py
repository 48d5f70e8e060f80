"""L-BFGS: a quasi-Newton method for full-batch problems."""

import numpy as np

from dl.optim.optimizer import Group, Optimizer
from dl.tape import changed


class LBFGS(Optimizer):
    """Limited-memory BFGS with an Armijo-Wolfe line search (Nocedal and Wright, 2006, algorithms 7.4 and 7.5, 3.1).

    step(closure) runs up to max_iter iterations; closure() zeroes the gradients, computes the loss, calls backward()
    and returns it. history: pairs kept; ends when the largest gradient entry is under tolerance_grad or the step under
    tolerance_change. One group only.
    """

    state_names = ()

    def __init__(
        self, params, *, lr=1.0, max_iter=20, history=10, tolerance_grad=1e-7, tolerance_change=1e-9, max_search=20
    ):
        super().__init__(
            params, lr=lr, max_iter=max_iter, history=history, tolerance_grad=tolerance_grad,
            tolerance_change=tolerance_change, max_search=max_search,
        )  # fmt: skip
        if len(self.param_groups) != 1:
            raise ValueError(f"LBFGS: wanted one group of parameters, got {len(self.param_groups)}")
        self.pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def update(self, group: Group):
        raise TypeError("LBFGS: step() needs a closure that computes the loss and its gradients")

    def step(self, closure=None):
        if closure is None:
            self.update(self.param_groups[0])
        group = self.param_groups[0]
        loss, gradient = evaluate(group, closure)
        first = loss
        for _ in range(group["max_iter"]):
            if np.abs(gradient).max(initial=0.0) <= group["tolerance_grad"]:
                break
            direction = -self.inverse_hessian_times(gradient)
            if direction @ gradient >= 0:  # curvature pairs went bad: start again from steepest descent
                self.pairs.clear()
                direction = -gradient
            start = np.concatenate([p.array.ravel() for p in group.params]).astype(np.float64)
            step, loss_new, gradient_new = search(group, closure, start, direction, loss, gradient)
            if step == 0.0:
                break
            s, y = step * direction, gradient_new - gradient
            if s @ y > 1e-10 * (y @ y):
                self.pairs = [*self.pairs, (s, y)][-group["history"] :]
            loss, gradient = loss_new, gradient_new
            if np.abs(s).max() <= group["tolerance_change"]:
                break
        return first

    def inverse_hessian_times(self, g: np.ndarray) -> np.ndarray:
        """The two-loop recursion."""
        q, alphas = g.copy(), []
        for s, y in reversed(self.pairs):
            alphas.append(s @ q / (s @ y))
            q -= alphas[-1] * y
        if self.pairs:
            s, y = self.pairs[-1]
            q *= s @ y / (y @ y)
        for (s, y), alpha in zip(self.pairs, reversed(alphas), strict=True):
            q += s * (alpha - y @ q / (s @ y))
        return q


def evaluate(group: Group, closure) -> tuple[float, np.ndarray]:
    loss = float(closure().array)
    parts = [np.zeros(p.array.size) if p.grad is None else p.grad.array.ravel() for p in group.params]
    return loss, np.concatenate(parts).astype(np.float64)


def put(group: Group, x: np.ndarray):
    at = 0
    for p in group.params:
        p.array[...] = x[at : at + p.array.size].reshape(p.array.shape)
        changed(p)
        at += p.array.size


def search(group: Group, closure, start, direction, loss, gradient):
    """A step length with sufficient decrease and curvature by bisection and doubling; 0 where there is none."""
    low, high, step, slope = 0.0, np.inf, group["lr"], direction @ gradient
    best = (0.0, loss, gradient)
    for _ in range(group["max_search"]):
        put(group, start + step * direction)
        value, g = evaluate(group, closure)
        if not np.isfinite(value) or value > loss + 1e-4 * step * slope:
            high = step
        else:
            best = (step, value, g)
            if g @ direction >= 0.9 * slope:
                return best
            low = step
        step = 2 * low if np.isinf(high) else (low + high) / 2
    put(group, start + best[0] * direction)
    return best
