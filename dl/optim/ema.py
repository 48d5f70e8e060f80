"""Averages of parameters, and limits on gradients."""

from collections.abc import Iterable

import numpy as np

from dl import update_kernels as kernels
from dl.optim.rules import update_row
from dl.primitive import Primitive
from dl.tape import apply, no_grad
from dl.tensor import Tensor

GRAD_NORM = Primitive("grad_norm", kernels.grad_norm, differentiable=False)


class EMA:
    """shadow = decay shadow + (1 - decay) parameter, after each update(); copies of the parameters to begin with.

    With warmup the decay is min(decay, (1 + n) / (10 + n)) after n updates, so that the start is forgotten sooner.
    """

    def __init__(self, params: Iterable[Tensor], *, decay: float = 0.999, warmup: bool = False):
        if not 0 <= decay <= 1:
            raise ValueError(f"EMA: wanted 0 <= decay <= 1, got {decay}")
        self.params, self.decay, self.warmup = list(params), decay, warmup
        self.shadow = [Tensor(p.array.copy()) for p in self.params]
        self.count = Tensor(np.array(0, np.int64))
        self.rate = Tensor(np.array(float(decay)))

    def update(self):
        """Take the parameters in; may be part of a recorded step."""
        with no_grad():
            self.count.add_(1)
            n = self.count.to(np.float64)
            decay = ((n + 1.0) / (n + 10.0)).minimum(self.decay) if self.warmup else self.rate
            pairs = tuple(t for pair in zip(self.shadow, self.params, strict=True) for t in pair)
            apply(update_row("ema", 1 + len(pairs), 2, 1), (decay, *pairs))

    def swap(self):
        """Exchange parameters and averages (call it before and after an evaluation)."""
        with no_grad():
            for p, s in zip(self.params, self.shadow, strict=True):
                kept = p.detach().clone()
                p.copy_(s)
                s.copy_(kept)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Named arrays (copies)."""
        arrays = {f"shadow.{i}": s.array.copy() for i, s in enumerate(self.shadow)}
        return {"count": self.count.array.copy(), **arrays}

    def load_state_dict(self, arrays: dict[str, np.ndarray]):
        """Restore state_dict()'s arrays. Raises KeyError, ValueError where they do not fit."""
        wanted = {"count": self.count, **{f"shadow.{i}": s for i, s in enumerate(self.shadow)}}
        if set(arrays) != set(wanted):
            raise KeyError(f"EMA.load_state_dict: wanted keys {sorted(wanted)[:5]}..., got {sorted(arrays)[:5]}...")
        for key, t in wanted.items():
            if np.shape(arrays[key]) != t.shape:
                raise ValueError(
                    f"EMA.load_state_dict: '{key}' has shape {np.shape(arrays[key])}, wanted {list(t.shape)}"
                )
        with no_grad():
            for key, t in wanted.items():
                t.copy_(arrays[key])


def clip_grad_norm_(params: Iterable[Tensor], max_norm: float) -> Tensor:
    """Scale all gradients by min(1, max_norm / (norm + 1e-6)), norm over all of them together; returns it (float64)."""
    grads = tuple(p.grad for p in params if p.grad is not None)
    with no_grad():
        if not grads:
            return Tensor(np.array(0.0))
        norm = apply(GRAD_NORM, grads)
        apply(update_row("scale_inplace", 1 + len(grads), 1, 1), (norm, *grads), {"max_norm": float(max_norm)})
    return norm


def clip_grad_value_(params: Iterable[Tensor], clip_value: float):
    """Limit every entry of every gradient to [-clip_value, clip_value]."""
    with no_grad():
        for p in params:
            if p.grad is not None:
                p.grad.copy_(p.grad.clip(-clip_value, clip_value))
