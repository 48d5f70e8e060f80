"""Learning rates over time: step() after each epoch or update."""

from abc import ABC, abstractmethod
from math import cos, pi

from dl.optim.optimizer import Optimizer


class Schedule(ABC):
    """Sets the learning rate of every group to factor(t) times what it was at the start; t counts calls of step()."""

    def __init__(self, optimizer: Optimizer):
        self.optimizer, self.t = optimizer, 0
        self.base = [group["lr"] for group in optimizer.param_groups]
        self.set()

    @abstractmethod
    def factor(self, t: int) -> float:
        """The factor at time t."""

    def set(self):
        for group, lr in zip(self.optimizer.param_groups, self.base, strict=True):
            group["lr"] = lr * self.factor(self.t)

    def step(self):
        """Go on to the next learning rate."""
        self.t += 1
        self.set()

    def get_last_lr(self) -> list[float]:
        """The learning rates in use, one per group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict:
        """JSON-safe."""
        return {"t": self.t, "base": list(self.base)}

    def load_state_dict(self, state: dict):
        """Restore state_dict()'s values."""
        self.t, self.base = int(state["t"]), [float(v) for v in state["base"]]
        self.set()


class LambdaLR(Schedule):
    """lr = lr0 f(t)."""

    def __init__(self, optimizer: Optimizer, lr_lambda):
        self.function = lr_lambda
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return float(self.function(t))


class StepLR(Schedule):
    """lr = lr0 gamma^floor(t / step_size)."""

    def __init__(self, optimizer: Optimizer, step_size: int, *, gamma: float = 0.1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma ** (t // self.step_size)


class ExponentialLR(Schedule):
    """lr = lr0 gamma^t."""

    def __init__(self, optimizer: Optimizer, gamma: float):
        self.gamma = gamma
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma**t


class LinearLR(Schedule):
    """From start to end times lr0 in total steps, then constant."""

    def __init__(self, optimizer: Optimizer, *, start: float = 1.0, end: float = 0.0, total: int):
        self.start, self.end, self.total = start, end, total
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.start + (self.end - self.start) * min(t / self.total, 1.0)


class CosineLR(Schedule):
    """Linear warm-up over `warmup` steps, then half a cosine to least lr0 at `total` (Loshchilov and Hutter, 2017)."""

    def __init__(self, optimizer: Optimizer, total: int, *, warmup: int = 0, least: float = 0.0):
        self.total, self.warmup, self.least = total, warmup, least
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        if t < self.warmup:
            return (t + 1) / self.warmup
        done = min((t - self.warmup) / max(self.total - self.warmup, 1), 1.0)
        return self.least + (1 - self.least) * 0.5 * (1 + cos(pi * done))
