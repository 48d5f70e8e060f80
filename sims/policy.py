"""What drives a plant: `u = controller(x, t)`."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

Policy = Callable[[np.ndarray, float], np.ndarray]


class Controller(ABC):
    """A policy that may keep a memory; `simulate` calls `reset` before the first step.

    u = controller(x, t), x (..., nx), t [s], u (..., nu). Any function of (x, t) is a policy too; derive from
    Controller only where there is something to reset.
    """

    def reset(self) -> None:  # noqa: B027 (most policies have nothing to forget)
        """Forget everything that was learned since the last reset."""

    @abstractmethod
    def __call__(self, x: np.ndarray, t: float) -> np.ndarray:
        """The input u (..., nu) for the state x (..., nx) at time t [s]."""
