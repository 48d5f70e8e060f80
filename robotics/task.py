"""A task: a plant in every engine that has it, where it starts, what it costs, when it is done, and who can do it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from robotics.cost import Cost, Difference, subtract
from sims.errors import unknown
from sims.policy import Policy
from sims.simulator import Simulator
from sims.trajectory import Trajectory


@dataclass(frozen=True)
class Observe:
    """obs = x with every angle theta replaced by cos(theta), sin(theta), so that a turn more is the same observation.

    angles: indices of x. x (..., nx) -> obs (..., nx + len(angles)). The time is not observed.
    """

    angles: tuple[int, ...] = ()

    def __call__(self, x: np.ndarray, t: float) -> np.ndarray:
        if not self.angles:
            return np.array(x)
        parts = [
            part
            for i in range(x.shape[-1])
            for part in ((np.cos(x[..., i]), np.sin(x[..., i])) if i in self.angles else (x[..., i],))
        ]
        return np.stack(parts, axis=-1)

    def names(self, x_names: tuple[str, ...]) -> tuple[str, ...]:
        """One name per component of obs."""
        return tuple(
            name
            for i, x_name in enumerate(x_names)
            for name in ((f"cos({x_name})", f"sin({x_name})") if i in self.angles else (x_name,))
        )


@dataclass(frozen=True)
class Reached:
    """True if difference(x_goal, x) stays within `tolerance` (ndx,) during the last `hold` [s] of the run."""

    x_goal: np.ndarray
    tolerance: np.ndarray
    difference: Difference = subtract
    hold: float = 1.0

    def __call__(self, run: Trajectory) -> np.ndarray:
        if run.status != "ok":
            return np.zeros(run.x.shape[:-2], dtype=bool)
        last = run.t >= run.t[-1] - self.hold - 1e-9
        dx = self.difference(self.x_goal, run.x[..., last, :])
        return np.asarray((np.abs(dx) <= self.tolerance).all(axis=(-2, -1)))

    def first_time(self, run: Trajectory) -> float:
        """The time [s] from which one run (T+1, nx) stays within the tolerance to its end; nan if it does not."""
        inside = (np.abs(self.difference(self.x_goal, run.x)) <= self.tolerance).all(axis=-1)
        if run.status != "ok" or not inside[-1]:
            return float("nan")
        outside = np.flatnonzero(~inside)
        return float(run.t[outside[-1] + 1]) if len(outside) else 0.0


@dataclass(frozen=True)
class Golden:
    """How a regression run is made: controller, seed of the start, duration [s], samples kept, relative tolerance."""

    controller: str
    seed: int = 0
    duration: float = 2.0
    samples: int = 21
    tolerance: float = 1e-6


def never_lost(x: np.ndarray) -> np.ndarray:
    """No state ends an episode early."""
    return np.zeros(np.shape(x)[:-1], dtype=bool)


@dataclass(frozen=True, kw_only=True)
class Task:
    """Data, not a hierarchy; change one with dataclasses.replace.

    simulators: backend ("ode", "mujoco", "drake") -> factory(dt) of a Simulator, all with the same layout of x;
    controllers: name -> factory(task, sim) of a policy, the first is the default; cost is minimised; dt, duration [s];
    start(rng) -> x0 (nx,); success(trajectory) -> bool; lost(x) -> bool: an episode of TaskEnv ends there;
    observe(x, t) -> obs; x_goal (nx,); u_min, u_max (nu,): finite limits, tightened on every simulator;
    difference(x, y) -> dx; hold: steps of dt an action of TaskEnv is held.
    """

    name: str
    description: str
    simulators: Mapping[str, Callable[[float], Simulator]]
    controllers: Mapping[str, Callable[["Task", Simulator], Policy]]
    cost: Cost
    dt: float
    duration: float
    start: Callable[[np.random.Generator], np.ndarray]
    success: Callable[[Trajectory], np.ndarray]
    x_goal: np.ndarray
    u_min: np.ndarray
    u_max: np.ndarray
    difference: Difference = subtract
    observe: Callable[[np.ndarray, float], np.ndarray] = Observe()
    lost: Callable[[np.ndarray], np.ndarray] = never_lost
    hold: int = 1
    golden: Golden = field(default=Golden("zero"))

    @property
    def default_controller(self) -> str:
        """The name of the controller that is meant to solve the task."""
        return next(iter(self.controllers))

    @property
    def default_backend(self) -> str:
        """The first engine the task has: closed form where there is one."""
        return next(iter(self.simulators))

    def simulator(self, backend: str | None = None, dt: float | None = None) -> Simulator:
        """The plant in one engine (the first if None), stepping dt [s] (the task's if None), u within [u_min, u_max].

        Raises ValueError for a backend the task does not have, MissingDependency if the engine is not installed.
        """
        backend = self.default_backend if backend is None else backend
        if backend not in self.simulators:
            raise unknown(f"backend of task {self.name!r}", backend, self.simulators)
        sim = self.simulators[backend](self.dt if dt is None else dt)
        sim.u_min, sim.u_max = np.maximum(sim.u_min, self.u_min), np.minimum(sim.u_max, self.u_max)
        return sim

    def policy(self, sim: Simulator, controller: str | None = None) -> Policy:
        """A fresh policy for sim by name, the default one if None; ValueError lists the names there are."""
        name = self.default_controller if controller is None else controller
        if name not in self.controllers:
            raise unknown(f"controller of task {self.name!r}", name, self.controllers)
        return self.controllers[name](self, sim)
