"""What all optimisers share: groups of parameters, their state, saving and loading."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from itertools import compress
from typing import Any

import numpy as np

from dl.kernel import _kernels
from dl.tape import apply, changed, forget_gradients, state
from dl.tensor import Tensor, float64, int64

forgotten: Callable | None = None if _kernels is None else apply.forget  # where nobody listens


class Group:
    """Parameters with one set of settings; group["lr"] = 1e-4 changes the learning rate in recorded programs too."""

    def __init__(self, params: list[Tensor], lr: float, settings: dict):
        self.params = params
        self.rate = Tensor(np.array(lr, float64))
        self.count = Tensor(np.array(0, int64))  # steps taken
        self.settings = settings
        self.state: dict[str, list[Tensor]] = {}  # one tensor per parameter
        self.kept: tuple = (None,)  # the settings of the last step, and what the kernel gets for them

    def __getitem__(self, name: str) -> Any:
        if name == "lr":
            return float(self.rate.array)
        return self.params if name == "params" else self.settings[name]

    def __setitem__(self, name: str, value):
        if name == "lr":
            self.rate.array[...] = value
            changed(self.rate)
        elif name in self.settings:
            self.settings[name] = value
        else:
            raise KeyError(f"optimiser group: no setting '{name}'; there are lr, {', '.join(self.settings)}")

    def zeros(self, name: str) -> list[Tensor]:
        """A state of that name, one tensor of zeros per parameter, made when first asked for."""
        if name not in self.state:
            self.state[name] = [Tensor(np.zeros_like(p.array)) for p in self.params]
        return self.state[name]


class Optimizer(ABC):
    """step() changes the parameters in place along their .grad.

    params: tensors, or dicts {"params": tensors, "lr": ..., other settings} with settings of their own. Settings and
    their defaults are those of PyTorch; lr may be changed at any time, also for a step recorded by dl.jit.
    Raises ValueError where there is nothing to optimise, TypeError where a parameter is no leaf that wants a gradient.
    """

    def __init__(self, params: Iterable, *, lr: float, **settings):
        params = list(params)
        if not params:
            raise ValueError(f"{type(self).__name__}: no parameters to optimise")
        dicts = params if isinstance(params[0], dict) else [{"params": params}]
        self.param_groups = [self.group(dict(d), lr, settings) for d in dicts]

    def group(self, given: dict, lr: float, settings: dict) -> Group:
        tensors = given.pop("params")
        tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
        lr = given.pop("lr", lr)
        unknown = set(given) - set(settings)
        if unknown:
            raise TypeError(f"{type(self).__name__}: no setting {sorted(unknown)}; there are lr, {', '.join(settings)}")
        if not lr >= 0:
            raise ValueError(f"{type(self).__name__}: wanted lr >= 0, got {lr}")
        for i, p in enumerate(tensors):
            if not isinstance(p, Tensor) or not p.requires_grad or not p.is_leaf:
                raise TypeError(
                    f"{type(self).__name__}: parameter {i} is not a leaf tensor that requires a gradient; pass "
                    "net.parameters(), or tensors made with requires_grad=True"
                )
        return Group(tensors, lr, {**settings, **given})

    def zero_grad(self, set_to_none: bool = True):
        """Forget the gradients (set_to_none=False: overwrite them with zeros)."""
        for group in self.param_groups:
            if set_to_none:
                if forgotten is None or not forgotten(group.params):
                    forget_gradients(group.params)
                continue
            for p in group.params:
                if p.grad is None:
                    p.grad = None
                else:
                    p.grad.zero_()

    def step(self, closure=None):
        """One update; closure, if given, is called first to compute the loss, which is returned."""
        loss = None if closure is None else closure()
        before, state.grad = state.grad, False
        try:
            for group in self.param_groups:
                self.update(group)
        finally:
            state.grad = before
        return loss

    @abstractmethod
    def update(self, group: Group):
        """Change the parameters of one group in place."""

    def state_dict(self) -> dict[str, np.ndarray]:
        """Everything a resumed run needs, as named arrays (copies): learning rates, step counts, moments."""
        arrays = {}
        for i, group in enumerate(self.param_groups):
            arrays[f"{i}.lr"], arrays[f"{i}.count"] = group.rate.array.copy(), group.count.array.copy()
            for name, tensors in group.state.items():
                for j, t in enumerate(tensors):
                    arrays[f"{i}.{name}.{j}"] = t.array.copy()
        return arrays

    def load_state_dict(self, arrays: dict[str, np.ndarray]):
        """Restore state_dict()'s arrays. Raises ValueError naming keys that do not fit, and changes nothing then."""
        wanted = self.expected(arrays)
        wrong = [k for k in arrays if k not in wanted or np.shape(arrays[k]) != wanted[k].shape]
        missing = [k for k in wanted if k not in arrays]
        if wrong or missing:
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: unknown or misshapen keys {wrong[:5]}, missing {missing[:5]}; "
                "was it saved by the same optimiser with the same parameters in the same order?"
            )
        for key, t in wanted.items():
            t.array[...] = arrays[key]
            changed(t)

    def expected(self, arrays: dict) -> dict[str, Tensor]:
        """The state tensors by key; states that are named in arrays and not there yet are made."""
        for key in arrays:
            parts = key.split(".")
            known = len(parts) == 3 and parts[0].isdigit() and parts[1] in self.state_names
            if known and int(parts[0]) < len(self.param_groups):
                self.param_groups[int(parts[0])].zeros(parts[1])
        found = {}
        for i, group in enumerate(self.param_groups):
            found[f"{i}.lr"], found[f"{i}.count"] = group.rate, group.count
            for name, tensors in group.state.items():
                found.update({f"{i}.{name}.{j}": t for j, t in enumerate(tensors)})
        return found

    state_names: tuple[str, ...] = ()


def with_gradients(group: Group, *states: str) -> tuple[list, list, list]:
    """The parameters that have a gradient, their gradients, and a list of theirs for each state."""
    columns = [group.zeros(name) for name in states]
    gradients = [g for p in group.params if (g := p._grad) is not None]
    if len(gradients) == len(group.params):
        return group.params, gradients, columns
    have = [p._grad is not None for p in group.params]
    return list(compress(group.params, have)), gradients, [list(compress(column, have)) for column in columns]
