"""What a collocation is asked: a plant, a cost, limits and an end, over one stretch of smooth motion."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from controllers.collocation.schemes import scheme
from sims.system import System


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """minimise the integral of cost.stage + cost.terminal + time_cost T, with xdot = f(x, u), over [0, T].

    duration: T [s], or (low, high) if it is free; knots: N >= 2 of them, equally spaced unless equal_steps=False, which
    frees each step. x_goal (nx,): the end; NaN components are free, None frees all. x_min, x_max (nx,): limits of the
    state at every knot; the input's are the system's. constraints: `controllers.Constraint`s, at the knots they name.
    scheme: one of `schemes.SCHEMES`. cost None: any trajectory will do. label: in front of the labels of its limits,
    for problems of several phases. Raises ValueError for sizes that do not fit; limits the wrong way round are no
    error, the plan is infeasible and names them. Source: Betts, Practical Methods for Optimal Control, 2010, chapter 4.
    """

    system: System
    duration: float | tuple[float, float]
    cost: Any = None
    time_cost: float = 0.0
    knots: int = 51
    x_goal: Any = None
    x_min: Any = None
    x_max: Any = None
    constraints: tuple = ()
    scheme: str = "hermite_simpson"
    equal_steps: bool = True
    label: str = ""

    def __post_init__(self):
        scheme(self.scheme)
        if not isinstance(self.system, System):
            raise ValueError(
                f"Problem: collocation takes a sims.System, the plant's equations, got {type(self.system).__name__}; "
                "for a model file use controllers.collocation.MultibodySystem(model), for a Simulator another planner"
            )
        if self.knots != int(self.knots) or self.knots < 2:
            raise ValueError(f"Problem: knots must be an integer of at least 2 (one interval), got {self.knots!r}")
        times = np.asarray(self.duration, float).reshape(-1)
        if len(times) not in (1, 2) or not (np.isfinite(times[0]) and times[0] >= 0 and times[-1] > 0):
            raise ValueError(
                f"Problem: duration must be a positive number of seconds or (low, high), got {self.duration!r}"
            )
        if getattr(self.cost, "T", None) is not None:
            raise ValueError(
                f"Problem: a cost along {self.cost.T} knots belongs to a fixed time grid, which collocation has not; "
                "pass one with a fixed goal"
            )
        if not np.isfinite(self.time_cost):
            raise ValueError(f"Problem: time_cost must be a finite number [cost/s], got {self.time_cost!r}")
        for name, size in (("x_goal", self.system.nx), ("x_min", self.system.nx), ("x_max", self.system.nx)):
            value = getattr(self, name)
            if value is not None:
                array = np.array(value, float)
                if array.shape != (size,) or (name != "x_goal" and np.isnan(array).any()):
                    names = ", ".join(self.system.x_names)
                    raise ValueError(f"Problem: {name} must be ({size},) numbers = ({names}), got {value!r:.120}")
                object.__setattr__(self, name, array)
        object.__setattr__(self, "constraints", tuple(self.constraints))

    @property
    def time_limits(self) -> tuple[float, float]:
        """The shortest and the longest duration allowed [s]."""
        times = np.asarray(self.duration, float).reshape(-1)
        return float(times[0]), float(times[-1])

    @property
    def intervals(self) -> int:
        """N - 1."""
        return int(self.knots) - 1

    def named(self, label: str) -> str:
        """The label of one of this phase's limits."""
        return f"{self.label}: {label}" if self.label else label
