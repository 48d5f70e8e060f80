"""A task as a Gymnasium environment, alone and as a batch in one simulator call."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from robotics.registry import as_task, names
from robotics.task import Task
from sims.errors import unknown

FLOAT32_MAX = float(np.finfo(np.float32).max)


def register() -> None:
    """Give every task of the registry to gymnasium.make as "swingup/NAME-v0" (nothing is registered on import)."""
    for name in names():
        if f"swingup/{name}-v0" not in gymnasium.registry:
            gymnasium.register(
                f"swingup/{name}-v0",
                entry_point="robotics.env:TaskEnv",
                vector_entry_point="robotics.env:TaskVectorEnv",
                kwargs={"task": name},
            )


class TaskEnv(gymnasium.Env):
    """One copy of a task for agents that know Gymnasium.

    Action: float32 Box in [-1, 1], mapped onto the limits [u_min, u_max], or, with normalize_actions=False, in those
    physical limits [N, N m, ...]; actions outside are clipped and held for `hold` steps of dt [s]. Observation:
    task.observe(x, t) as float32. Reward: -sum of task.cost.stage dt over those steps. truncated: the task's duration
    is over. terminated: the state is lost (task.lost) or the simulation diverged; the stage cost at the last state
    then counts for all the time that was left, so that giving up never pays. info: x (nx,) float64, t [s].
    reset(seed=s) starts where `robotics.episode(task, s)` starts; options={"x0": x} starts at x.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}

    def __init__(
        self,
        task: Task | str,
        *,
        backend: str | None = None,
        dt: float | None = None,
        hold: int | None = None,
        normalize_actions: bool = True,
        render_mode: str | None = None,
    ):
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise unknown("render_mode", render_mode, self.metadata["render_modes"])
        if isinstance(task, str):
            options = {"task": task, "backend": backend, "dt": dt, "hold": hold, "normalize_actions": normalize_actions}
            self.spec = EnvSpec(f"swingup/{task}-v0", entry_point="robotics.env:TaskEnv", kwargs=options)
        self._core = _Core(as_task(task), backend, dt, hold, normalize_actions)
        self.task, self.sim = self._core.task, self._core.sim
        self.action_space, self.observation_space = self._core.action_space, self._core.observation_space
        self.hold, self.render_mode = self._core.hold, render_mode
        self.metadata = {**self.metadata, "render_fps": max(1, round(1 / self._core.period))}
        self._camera: Any = None
        self._x: np.ndarray | None = None
        self._k = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self._x, self._k = self._core.first(self.np_random, options), 0
        return self._core.observe(self._x, 0.0), {"x": self._x.copy(), "t": 0.0}

    def step(self, action):
        if self._x is None:
            raise gymnasium.error.ResetNeeded("TaskEnv: call reset() before step()")
        x, reward, lost = self._core.advance(self._x[None], self._core.check_action(action)[None], np.array([self._k]))
        self._x, self._k = x[0], self._k + 1
        t = self._k * self._core.period
        info: dict[str, Any] = {"x": self._x.copy(), "t": t}
        terminated, truncated = bool(lost[0]), self._k >= self._core.steps and not lost[0]
        return self._core.observe(self._x, t), float(reward[0]), terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """The picture (360, 480, 3), uint8, of the present state with render_mode="rgb_array", otherwise None."""
        if self.render_mode is None:
            return None
        if self._x is None:
            raise gymnasium.error.ResetNeeded("TaskEnv: call reset() before render()")
        if self._camera is None:
            from sims.viewer import Camera

            self._camera = Camera(self.sim)
        return self._camera.picture(self._x)

    def close(self) -> None:
        """Free the renderer, if there is one."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None


class TaskVectorEnv(gymnasium.vector.VectorEnv):
    """num_envs copies of a task stepped by one batched simulator call; spaces, reward and info as in TaskEnv.

    autoreset_mode NEXT_STEP (Gymnasium's default): the step after an episode's end ignores the action, resets that
    copy and returns its first observation with reward 0. SAME_STEP: the copy is reset at once, and info holds
    "final_obs" and "final_info" of the finished episode. Copy i is seeded as gymnasium.vector.SyncVectorEnv does,
    with seed + i.
    """

    def __init__(
        self,
        task: Task | str,
        num_envs: int = 1,
        *,
        backend: str | None = None,
        dt: float | None = None,
        hold: int | None = None,
        normalize_actions: bool = True,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ):
        if num_envs < 1:
            raise ValueError(f"TaskVectorEnv: num_envs must be at least 1, got {num_envs}")
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        if self.autoreset_mode is AutoresetMode.DISABLED:
            raise ValueError("TaskVectorEnv: autoreset_mode must be NEXT_STEP or SAME_STEP, got DISABLED")
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self._core = _Core(as_task(task), backend, dt, hold, normalize_actions)
        self.task, self.sim, self.hold, self.num_envs = self._core.task, self._core.sim, self._core.hold, num_envs
        self.single_action_space, self.single_observation_space = self._core.action_space, self._core.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._rngs: list[np.random.Generator] = []
        self._x = np.zeros((num_envs, self.sim.nx))
        self._k = np.zeros(num_envs, dtype=int)
        self._over = np.zeros(num_envs, dtype=bool)

    def reset(self, *, seed: int | list[int | None] | None = None, options: dict | None = None):
        n = self.num_envs
        seeds = (
            [None] * n
            if seed is None
            else [seed + i for i in range(n)]
            if isinstance(seed, int | np.integer)
            else list(seed)
        )
        if len(seeds) != n:
            raise ValueError(f"TaskVectorEnv.reset: want one seed for each of {n} environments, got {len(seeds)}")
        old = self._rngs or [np.random.default_rng() for _ in range(n)]
        self._rngs = [r if s is None else np.random.default_rng(s) for r, s in zip(old, seeds, strict=True)]
        for i in range(n):
            self._x[i] = self._core.first(self._rngs[i], options)
        self._k[:], self._over[:] = 0, False
        return self._observe(), self._info(np.ones(n, dtype=bool))

    def step(self, actions):
        if not self._rngs:
            raise gymnasium.error.ResetNeeded("TaskVectorEnv: call reset() before step()")
        actions = self._core.check_action(actions, self.num_envs)
        fresh = self._over.copy()  # only in NEXT_STEP mode: these begin again instead of stepping
        self._restart(fresh)
        going = ~fresh
        reward, terminated = np.zeros(self.num_envs), np.zeros(self.num_envs, dtype=bool)
        if going.any():
            x, reward[going], terminated[going] = self._core.advance(self._x[going], actions[going], self._k[going])
            self._x[going] = x
            self._k[going] += 1
        truncated = going & ~terminated & (self._k >= self._core.steps)
        over = terminated | truncated
        info = {}
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            self._over = over
        elif over.any():
            final, obs = np.full(self.num_envs, None, dtype=object), self._observe()
            for i in np.flatnonzero(over):
                final[i] = obs[i]
            info = {"final_obs": final, "_final_obs": over, "final_info": self._info(over), "_final_info": over.copy()}
            self._restart(over)
        return self._observe(), reward, terminated, truncated, {**self._info(np.ones_like(over)), **info}

    def _restart(self, rows: np.ndarray) -> None:
        for i in np.flatnonzero(rows):
            self._x[i], self._k[i] = self._core.first(self._rngs[i], None), 0

    def _observe(self) -> np.ndarray:
        return self._core.observe(self._x, self._k * self._core.period)

    def _info(self, rows: np.ndarray) -> dict[str, Any]:
        return {"x": self._x.copy(), "_x": rows, "t": self._k * self._core.period, "_t": rows.copy()}


class _Core:
    """What one environment and a batch of them share: spaces, starts, and the step of a batch."""

    def __init__(self, task: Task, backend: str | None, dt: float | None, hold: int | None, normalize_actions: bool):
        self.task, self.sim = task, task.simulator(backend, dt)
        self.hold = task.hold if hold is None else int(hold)
        if self.hold < 1 or (hold is not None and hold != self.hold):
            raise ValueError(f"an action is held for a whole number of steps of dt, at least 1, got hold={hold}")
        self.period = self.hold * self.sim.dt
        self.steps = max(1, round(task.duration / self.period))
        self.low, self.high = self.sim.u_min, self.sim.u_max
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all()):
            raise ValueError(f"task {task.name!r}: an environment needs finite limits, got {self.low}, {self.high}")
        self.normalize_actions = normalize_actions
        if normalize_actions:
            self.action_space = Box(-1.0, 1.0, (self.sim.nu,), np.float32)
        else:
            self.action_space = Box(self.low.astype(np.float32), self.high.astype(np.float32), dtype=np.float32)
        size = len(task.observe(np.zeros(self.sim.nx), 0.0))
        self.observation_space = Box(-FLOAT32_MAX, FLOAT32_MAX, (size,), np.float32)

    def first(self, rng: np.random.Generator, options: dict | None) -> np.ndarray:
        """The first state (nx,): options["x0"], else drawn from rng, which Gymnasium seeds as default_rng does."""
        if options and "x0" in options:
            x0 = self.sim.check_state(options["x0"], "x0")
            if x0.ndim != 1:
                raise ValueError(f'options["x0"] must be one state (nx,) = ({self.sim.nx},), got {x0.shape}')
            return np.array(x0)
        return np.array(self.task.start(rng), float)

    def check_action(self, action, *batch: int) -> np.ndarray:
        """The action as float64 (*batch, nu); ValueError for another shape."""
        action, shape = np.asarray(action, float), (*batch, self.sim.nu)
        if action.shape != shape:
            raise ValueError(f"the action must have shape {shape} ({', '.join(self.sim.u_names)}), got {action.shape}")
        return action

    def observe(self, x: np.ndarray, t) -> np.ndarray:
        """float32 observations (..., n) of x (..., nx)."""
        return np.clip(self.task.observe(x, t), -FLOAT32_MAX, FLOAT32_MAX).astype(np.float32)

    def input(self, action: np.ndarray) -> np.ndarray:
        """The input u (..., nu) an action stands for, within the limits."""
        u = np.asarray(action, float)
        if self.normalize_actions:
            u = self.low + (u + 1.0) / 2.0 * (self.high - self.low)
        return np.minimum(np.maximum(u, self.low), self.high)

    def advance(self, x: np.ndarray, action: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next state (n, nx), reward (n,) and lost (n,) of n copies, k (n,) periods after their reset."""
        u = self.input(action)
        run = self.sim.rollout(x, np.repeat(u[:, None, :], self.hold, axis=1))
        finite = np.isfinite(run.x).all(axis=-1)
        states = np.where(finite[..., None], run.x, x[:, None, :])
        stage = self.task.cost.stage(states[:, :-1], run.u).sum(-1) * self.sim.dt
        x_next = np.where(finite[:, -1:], run.x[:, -1], x)
        lost = ~finite[:, -1] | np.broadcast_to(self.task.lost(x_next), finite[:, -1].shape)
        left = np.maximum(self.steps - 1 - k, 0) * self.period
        penalty = np.where(lost, self.task.cost.stage(x_next, u) * left, 0.0)
        total = np.nan_to_num(stage + penalty, nan=FLOAT32_MAX, posinf=FLOAT32_MAX)
        return x_next, -np.minimum(total, FLOAT32_MAX), lost
