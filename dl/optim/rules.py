"""First-order optimisers: one kernel call updates all parameters of a group."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache

from dl import update_kernels as kernels
from dl.kernel import _kernels
from dl.optim.optimizer import Group, Optimizer, with_gradients
from dl.primitive import Primitive
from dl.tape import apply

in_c: Callable | None = None if _kernels is None else apply.step  # where nobody listens


@cache
def update_row(name: str, inputs: int, group: int, first: int = 2) -> Primitive:
    """The row that updates this many tensors in place, `group` of them for each parameter, the first at `first`."""
    writes = kernels.writes(inputs, first=first, group=group)
    return Primitive(name, getattr(kernels, name), mutates=writes, differentiable=False)


def run(name: str, group: Group, states: tuple[str, ...], numbers: dict):
    if group.kept[0] != numbers:
        group.kept = deepcopy(numbers), *getattr(kernels, name).numbers(**numbers)
    _, ints, floats = group.kept
    if in_c is not None and in_c(name, group.count, group.rate, group.params, group.state, states, ints, floats):
        return
    params, gradients, columns = with_gradients(group, *states)
    if params:
        width = 2 + len(states)
        inputs = [group.count, group.rate, *[None] * (width * len(params))]
        for i, column in enumerate((params, gradients, *columns), 2):
            inputs[i::width] = column
        apply(update_row(name, len(inputs), width), tuple(inputs), numbers)


def betas_of(betas) -> tuple[float, float]:
    if len(betas) != 2 or not all(0 <= b < 1 for b in betas):
        raise ValueError(f"Adam: wanted two betas in [0, 1), got {betas}")
    return float(betas[0]), float(betas[1])


class SGD(Optimizer):
    """p -= lr b with b = momentum b + (1 - dampening) (g + weight_decay p); with nesterov, lr (g + momentum b)."""

    state_names = ("momentum_buffer",)

    def __init__(self, params, *, lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
        if nesterov and (momentum <= 0 or dampening):
            raise ValueError("SGD: nesterov wants momentum > 0 and no dampening")
        super().__init__(
            params, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov
        )

    def update(self, group: Group):
        names = self.state_names if group["momentum"] else ()
        run("sgd", group, names, {**group.settings})


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, p -= lr mhat / (sqrt(vhat) + eps) (Kingma and Ba, 2015).

    mhat and vhat are divided by 1 - b1^t and 1 - b2^t; weight_decay is added to g as an L2 penalty's gradient.
    """

    state_names = ("exp_avg", "exp_avg_sq")

    def __init__(self, params, *, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(params, lr=lr, betas=betas_of(betas), eps=eps, weight_decay=weight_decay)

    def update(self, group: Group):
        run("adam", group, self.state_names, {"decoupled": False, **group.settings})


class AdamW(Optimizer):
    """Adam with decoupled weight decay, p *= 1 - lr weight_decay before the step (Loshchilov and Hutter, 2019)."""

    state_names = ("exp_avg", "exp_avg_sq")

    def __init__(self, params, *, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, lr=lr, betas=betas_of(betas), eps=eps, weight_decay=weight_decay)

    def update(self, group: Group):
        run("adam", group, self.state_names, {"decoupled": True, **group.settings})


class RMSprop(Optimizer):
    """s = alpha s + (1 - alpha) g^2, p -= lr g / (sqrt(s) + eps); centered subtracts the squared mean of g from s."""

    state_names = ("square_avg", "grad_avg", "momentum_buffer")

    def __init__(self, params, *, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
        super().__init__(
            params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum, centered=centered
        )

    def update(self, group: Group):
        used = (True, group["centered"], bool(group["momentum"]))
        run("rmsprop", group, tuple(n for n, u in zip(self.state_names, used, strict=True) if u), {**group.settings})
