"""Does a controller solve a task, how often, and with which starts does it fail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from robotics.cost import effort, total_cost
from robotics.registry import as_task
from robotics.stats import wilson
from robotics.task import Task
from sims.policy import Policy
from sims.simulator import Simulator, simulate
from sims.trajectory import Trajectory

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Episode:
    """One run: the seed that starts it again, whether it succeeded, cost, effort and the trajectory."""

    seed: int
    success: bool
    cost: float
    effort: float
    trajectory: Trajectory = field(repr=False)


@dataclass(frozen=True)
class Evaluation:
    """n episodes of one controller: `successes` of n, and the Wilson interval [low, high] at `confidence`.

    seeds, success, cost (n,): one entry an episode; `episode(task, seeds[i], ...)` plays number i again, alone.
    """

    task: str
    controller: str
    backend: str
    dt: float
    seed: int
    successes: int
    interval: tuple[float, float]
    confidence: float
    seeds: tuple[int, ...] = field(repr=False)
    success: tuple[bool, ...] = field(repr=False)
    cost: tuple[float, ...] = field(repr=False)
    status: tuple[str, ...] = field(repr=False)

    @property
    def n(self) -> int:
        """The number of episodes."""
        return len(self.seeds)

    @property
    def failed(self) -> tuple[int, ...]:
        """The seeds of the episodes without success."""
        return tuple(seed for seed, ok in zip(self.seeds, self.success, strict=True) if not ok)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.task}/{self.controller} in {self.backend}: {self.successes} of {self.n} succeeded, "
            f"{100 * self.confidence:g} % Wilson interval [{low:.3f}, {high:.3f}], seed {self.seed}"
        )

    def to_dict(self) -> dict:
        """JSON types only; a cost that is not finite is None."""
        return {
            **{k: getattr(self, k) for k in ("task", "controller", "backend", "dt", "seed", "n", "successes")},
            "interval": list(self.interval),
            "confidence": self.confidence,
            "episodes": [
                {"seed": s, "success": ok, "cost": c if np.isfinite(c) else None, "status": st}
                for s, ok, c, st in zip(self.seeds, self.success, self.cost, self.status, strict=True)
            ],
        }


def episode_seeds(seed: int, n: int) -> tuple[int, ...]:
    """n independent seeds (53 bits, so that every JSON reader keeps them) from one, by SeedSequence.spawn."""
    children = np.random.SeedSequence(seed).spawn(n)
    return tuple(int(child.generate_state(1, np.uint64)[0] >> np.uint64(11)) for child in children)


def episode(
    task: Task | str,
    seed: int,
    *,
    controller: str | None = None,
    backend: str | None = None,
    dt: float | None = None,
    duration: float | None = None,
) -> Episode:
    """One episode from task.start(default_rng(seed)); the same seed gives the same bytes.

    dt, duration [s]: the task's if None. Raises ValueError for an unknown task, controller or backend.
    """
    task = as_task(task)
    sim = task.simulator(backend, dt)
    return play(task, sim, task.policy(sim, controller), seed, duration=duration)


def play(task: Task, sim: Simulator, policy: Policy, seed: int, *, duration: float | None = None) -> Episode:
    """One episode of any policy in sim, started by seed; duration [s], the task's if None."""
    run = simulate(sim, policy, start(task, seed), task.duration if duration is None else duration)
    return Episode(seed, bool(task.success(run)), float(total_cost(task.cost, run)), float(effort(run)), run)


def start(task: Task, seed: int) -> np.ndarray:
    """The state (nx,) the episode with this seed starts in."""
    return np.asarray(task.start(np.random.default_rng(seed)), float)


def evaluate(
    task: Task | str,
    controller: str | None = None,
    backend: str | None = None,
    *,
    n: int = 100,
    seed: int = 0,
    dt: float | None = None,
    duration: float | None = None,
    confidence: float = 0.95,
    batch: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """n episodes with seeds spawned from `seed`; progress(done, n) is called after each.

    batch: all episodes as one batch through one policy, which must broadcast over leading axes and keep no memory per
    episode (batched arithmetic may differ from a replay in the last bits); a batch that diverges is played one by one.
    workers: processes, for a task given by name. Raises ValueError as `episode` does, and for n < 1.
    """
    if n < 1:
        raise ValueError(f"evaluate: n must be at least 1, got {n}")
    if workers > 1 and not isinstance(task, str):
        raise ValueError("evaluate: workers > 1 starts processes, which need the task by its name in the registry")
    data, seeds = as_task(task), episode_seeds(seed, n)
    sim = data.simulator(backend, dt)
    name = data.default_controller if controller is None else controller
    policy = data.policy(sim, name)
    rows = _batch(data, sim, policy, seeds, duration) if batch else None
    if rows is None and workers > 1:
        rows = _parallel(data.name, seeds, (name, backend, dt, duration), workers, progress)
    elif rows is None:
        rows = _one_by_one(data, sim, policy, seeds, duration, progress)
    success, cost, status = (tuple(column) for column in zip(*rows, strict=True))
    successes = sum(success)
    interval = wilson(successes, n, confidence)
    return Evaluation(
        data.name, name, sim.backend, sim.dt, seed, successes, interval, confidence, seeds, success, cost, status
    )


Row = tuple[bool, float, str]


def _row(result: Episode) -> Row:
    return result.success, result.cost, result.trajectory.status


def _one_by_one(task, sim, policy, seeds: Sequence[int], duration, progress: Progress | None) -> list[Row]:
    rows = []
    for i, seed in enumerate(seeds):
        rows.append(_row(play(task, sim, policy, seed, duration=duration)))
        if progress is not None:
            progress(i + 1, len(seeds))
    return rows


def _batch(task: Task, sim: Simulator, policy: Policy, seeds: Sequence[int], duration) -> list[Row] | None:
    x0 = np.stack([start(task, seed) for seed in seeds])
    run = simulate(sim, policy, x0, task.duration if duration is None else duration)
    if run.status != "ok":
        return None
    success, cost = np.broadcast_to(task.success(run), len(seeds)), total_cost(task.cost, run)
    return [(bool(ok), float(c), run.status) for ok, c in zip(success, cost, strict=True)]


def _parallel(task: str, seeds: Sequence[int], settings: tuple, workers: int, progress: Progress | None) -> list[Row]:
    from robotics.workers import in_processes

    workers = min(workers, len(seeds))
    rows: dict[int, Row] = {}
    for part in in_processes(_chunk, [(task, list(seeds[i::workers]), settings) for i in range(workers)], workers):
        rows.update(part)
        if progress is not None:
            progress(len(rows), len(seeds))
    return [rows[seed] for seed in seeds]


def _chunk(job: tuple[str, list[int], tuple]) -> dict[int, Row]:
    task, seeds, settings = job
    controller, backend, dt, duration = settings
    data = as_task(task)
    sim = data.simulator(backend, dt)
    policy = data.policy(sim, controller)
    return dict(zip(seeds, _one_by_one(data, sim, policy, seeds, duration, None), strict=True))
