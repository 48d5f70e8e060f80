"""A random tree of simulated motions: planning where the dynamics decide what can be reached."""

from collections.abc import Callable
from time import perf_counter

import numpy as np

from controllers.planner import Guess, Plan, Planner
from controllers.search.space import FreeSpace
from controllers.search.tree import Tree
from sims.simulator import Simulator
from sims.trajectory import Trajectory


class KinodynamicRRT(Planner):
    """A trajectory into a goal region by a tree that grows along simulated inputs.

    Each round draws `batch` states of free.space (x_goal with probability goal_bias); from the node nearest to each,
    `inputs` random constant inputs, half of them at their limits, are simulated for 1 to `hold` steps in one batched
    rollout; of those that stay valid throughout, the one that ends nearest to the drawn state becomes a node. Ends with
    the first rollout that enters the goal region reached(x) (..., nx) -> (...) bool. free: a FreeSpace over the states
    x (nx,), whose metric decides what is near; u_min, u_max (nu,): those of the simulator if None, must be finite.
    Plan.cost is the duration [s]; a guess is not used. Works on any Simulator. Source: LaValle and Kuffner, Randomized
    kinodynamic planning, IJRR 2001.
    """

    def __init__(
        self,
        sim: Simulator,
        free: FreeSpace,
        x_goal,
        reached: Callable[[np.ndarray], np.ndarray],
        *,
        hold: int = 20,
        inputs: int = 8,
        batch: int = 32,
        iterations: int = 1000,
        goal_bias: float = 0.1,
        seed: int = 0,
        u_min=None,
        u_max=None,
    ):
        if free.space.n != sim.nx:
            raise ValueError(f"KinodynamicRRT: free.space must be over the {sim.nx} states, got {free.space.n}")
        self.sim, self.free, self.reached = sim, free, reached
        self.x_goal = sim.check_state(x_goal, "x_goal")
        limits = [sim.u_min if u_min is None else u_min, sim.u_max if u_max is None else u_max]
        self.u_min, self.u_max = (np.broadcast_to(np.asarray(limit, float), (sim.nu,)) for limit in limits)
        if not (np.isfinite(self.u_min).all() and np.isfinite(self.u_max).all() and (self.u_min <= self.u_max).all()):
            raise ValueError(
                f"KinodynamicRRT: inputs are drawn between finite u_min <= u_max, got {self.u_min.tolist()} and "
                f"{self.u_max.tolist()}: give them"
            )
        if min(hold, inputs, batch, iterations) < 1:
            raise ValueError("KinodynamicRRT: hold, inputs, batch and iterations must be at least 1")
        self.hold, self.inputs, self.batch, self.iterations = hold, inputs, batch, iterations
        self.goal_bias, self.seed = goal_bias, seed

    def plan(self, x0, guess: Guess = None) -> Plan:
        """A Plan from x0 (nx,); "infeasible" if x0 is not allowed, "iteration_limit" if the goal was not reached."""
        begin = perf_counter()
        x0 = self.sim.check_state(x0, "x0")
        reason = self.free.problem(x0, "x0")
        if reason:
            return self._plan(x0, np.empty((0, self.sim.nu)), "infeasible", reason, begin)
        if self.reached(x0[None])[0]:
            return self._plan(x0, np.empty((0, self.sim.nu)), "converged", "x0 is in the goal region", begin)
        rng, tree = np.random.default_rng(self.seed), Tree(self.free.space, x0)
        moves: list[np.ndarray] = [np.empty((0, self.sim.nu))]  # the inputs that lead to each node
        for i in range(self.iterations):
            end = self._grow(rng, tree, moves)
            if end is not None:
                u = self._inputs(tree, moves, end)
                message = f"in the goal region after {len(u) * self.sim.dt:.4g} s; {tree.size} nodes, {i + 1} rounds"
                return self._plan(x0, u, "converged", message, begin)
        gap = self.free.space.distance(tree.q, self.x_goal)
        best = int(np.argmin(gap))
        message = (
            f"the goal region was not reached in {self.iterations} rounds; {tree.size} nodes, the nearest "
            f"{gap[best]:.3g} from x_goal: allow more, hold longer, or weigh the states otherwise"
        )
        return self._plan(x0, self._inputs(tree, moves, best), "iteration_limit", message, begin)

    def _grow(self, rng: np.random.Generator, tree: Tree, moves: list[np.ndarray]) -> int | None:
        """One round; the index of a node in the goal region if one was found."""
        S, A, nu = self.batch, self.inputs, self.sim.nu
        targets = self.free.space.sample(rng, S)
        targets[rng.random(S) < self.goal_bias] = self.x_goal
        u = rng.uniform(self.u_min, self.u_max, (S, A, nu))
        bang = rng.random((S, A, 1)) < 0.5
        u = np.where(bang, np.where(rng.random((S, A, nu)) < 0.5, self.u_min, self.u_max), u)
        steps = rng.integers(1, self.hold + 1, (S, A))
        near = tree.nearest(targets)
        x = self.sim.rollout(tree.q[near][:, None], np.repeat(u[:, :, None], self.hold, axis=2)).x
        ok, hit = self._judge(x, steps)
        run = x[:, :, 1:]
        if hit.any():  # the earliest arrival of the round
            s, a, k = min(np.argwhere(hit).tolist(), key=lambda where: where[2])
            moves.append(np.repeat(u[s, a, None], k + 1, axis=0))
            return tree.add(run[s, a, k], int(near[s]))
        ends = np.take_along_axis(run, (steps - 1)[..., None, None], axis=2)[:, :, 0]
        gap = np.where(ok, self.free.space.distance(np.where(ok[..., None], ends, 0.0), targets[:, None]), np.inf)
        best = np.argmin(gap, axis=1)
        kept = np.flatnonzero(np.isfinite(gap.min(axis=1)))
        tree.extend(ends[kept, best[kept]], near[kept])
        moves.extend(np.repeat(u[s, best[s], None], steps[s, best[s]], axis=0) for s in kept)
        return None

    def _judge(self, x: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which rollouts x (S, A, hold + 1, nx) are valid for their steps, and where they enter the goal region."""
        run = x[:, :, 1:]
        finite = np.isfinite(run).all(-1)
        valid = np.zeros(run.shape[:-1], dtype=bool)
        valid[finite] = self.free.valid(run[finite])
        valid[valid] = self.free.clear(x[:, :, :-1][valid], run[valid])  # thin obstacles lie between the steps
        until = np.logical_and.accumulate(valid, axis=-1)
        ok = np.take_along_axis(until, (steps - 1)[..., None], axis=-1)[..., 0]
        hit = until & (np.arange(run.shape[2]) < steps[..., None])
        hit[hit] = self.reached(run[hit])
        return ok, hit

    def _inputs(self, tree: Tree, moves: list[np.ndarray], node: int) -> np.ndarray:
        chain = []
        while node >= 0:
            chain.append(moves[node])
            node = int(tree.parents[node])
        return np.concatenate(chain[::-1])

    def _plan(self, x0: np.ndarray, u: np.ndarray, status: str, message: str, begin: float) -> Plan:
        """The Plan of inputs u (T, nu), simulated once more from x0, alone."""
        if not len(u):
            run = Trajectory(np.zeros(1), x0[None].copy(), u)
        else:
            run = self.sim.rollout(x0, u)
        if status == "converged" and len(u):
            good = run.status == "ok" and self.free.valid(run.x).all() and bool(self.reached(run.x[-1:])[0])
            good = good and self.free.clear(run.x[:-1], run.x[1:]).all()
            if not good:
                status, message = "stalled", "the plan does not reach the goal when it is simulated again: " + message
        return Plan(
            trajectory=run, cost=len(u) * self.sim.dt, status=status, message=message, seconds=perf_counter() - begin
        )
