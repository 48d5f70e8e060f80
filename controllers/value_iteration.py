"""Dynamic programming: the cost to go of every state of a graph, a grid world or a mesh over a plant's states."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from controllers.mesh import Mesh
from sims.policy import Controller
from sims.simulator import Simulator


@dataclass(frozen=True, eq=False)
class Values:
    """J (N,), the least cost from each state, and choice (N,), the index of the action that begins it.

    status "converged" or "iteration_limit", message, iterations, residual: the last change of J.
    """

    J: np.ndarray
    choice: np.ndarray
    status: str
    message: str
    iterations: int
    residual: float

    @property
    def ok(self) -> bool:
        """Whether the iteration converged."""
        return self.status == "converged"


def value_iteration(
    transitions, cost, *, discount: float = 1.0, tolerance: float = 1e-9, iterations: int = 10_000, J0=None
) -> Values:
    """J = min over a of cost[:, a] + discount P_a J, iterated from J0 (zero if None) until it changes by < tolerance.

    transitions: next states (N, A) of a deterministic problem, or a sparse matrix (N A, N) whose row s A + a holds the
    probabilities (or interpolation weights) of what follows action a in state s. cost (N, A), inf where an action is
    not allowed. Without discount some states must be free for ever, or J grows until the iterations end. Ties go to the
    first action. Raises ValueError for shapes that do not fit. Source: Bellman, 1957; Tedrake, Underactuated Robotics,
    chapter 7.
    """
    cost = np.asarray(cost, float)
    if cost.ndim != 2 or not 0 < discount <= 1:
        raise ValueError(f"value_iteration: wanted cost (N, A) and 0 < discount <= 1, got {cost.shape}, {discount!r}")
    N, A = cost.shape
    follow = _follow(transitions, N, A)
    J = np.zeros(N) if J0 is None else np.array(J0, float).reshape(N)
    residual, count = np.inf, 0
    while residual > tolerance and count < iterations:
        J_new = (cost + discount * follow(J)).min(axis=1)
        with np.errstate(invalid="ignore"):  # inf - inf: a state that stays hopeless
            residual = float(np.nan_to_num(np.abs(J_new - J), nan=0.0).max(initial=0.0))
        J, count = J_new, count + 1
    choice = np.argmin(cost + discount * follow(J), axis=1)
    done = residual <= tolerance
    what = "converged" if done else "iteration_limit"
    hint = "" if done else "; is there a state that costs nothing, or discount < 1?"
    message = f"{what} after {count} iterations, last change {residual:.3g}{hint}"
    return Values(J, choice, what, message, count, residual)


def _follow(transitions, N: int, A: int) -> Callable[[np.ndarray], np.ndarray]:
    """J (N,) -> what is expected after each action, (N, A)."""
    if isinstance(transitions, np.ndarray):
        if transitions.shape != (N, A) or transitions.dtype.kind not in "iu":
            raise ValueError(f"value_iteration: next states must be ({N}, {A}) integers, got {transitions.shape}")
        if transitions.size and not (transitions.min() >= 0 and transitions.max() < N):
            raise ValueError(f"value_iteration: next states must lie in 0..{N - 1}")
        return lambda J: J[transitions]
    if transitions.shape != (N * A, N):
        raise ValueError(f"value_iteration: transitions must be {(N * A, N)}, got {transitions.shape}")
    return lambda J: (transitions @ J).reshape(N, A)


class MeshPolicy(Controller):
    """u = argmin over the sampled inputs of stage cost and interpolated cost to go one step later.

    mesh, values.J: what `mesh_value_iteration` found; x (..., nx) -> u (..., nu). J(x) (...) is the cost to go.
    """

    def __init__(self, sim: Simulator, mesh: Mesh, inputs, cost: Callable, values: Values, discount: float):
        self.sim, self.mesh, self.inputs, self.cost, self.values = sim, mesh, inputs, cost, values
        self.discount = discount

    def J(self, x) -> np.ndarray:
        """Cost to go (...) at x (..., nx), interpolated; beyond the mesh, that of its border."""
        return self.mesh.interpolate(x, self.values.J)

    def __call__(self, x, t: float = 0.0):
        x = np.asarray(x, float)[..., None, :]
        stage = np.broadcast_to(self.cost(x, self.inputs), (*x.shape[:-2], len(self.inputs)))
        total = stage * self.sim.dt + self.discount * self.J(self.sim.step(x, self.inputs))
        return self.inputs[np.argmin(total, axis=-1)]


def mesh_value_iteration(
    sim: Simulator,
    axes: Sequence[np.ndarray],
    inputs,
    cost: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    periodic: Sequence[int] = (),
    discount: float = 1.0,
    tolerance: float = 1e-6,
    iterations: int = 10_000,
) -> MeshPolicy:
    """The optimal policy of a plant on a mesh over its states, by value iteration with interpolation.

    J(x) = min over u of cost(x, u) dt + discount J(step(x, u)) at every node, J linear on the mesh's simplices. axes:
    nx increasing arrays; periodic: indices of the angles among them (the last node is the first, a turn on); inputs
    (A, nu) or, if nu = 1, (A,): what is tried; cost (..., nx), (..., nu) -> (...) [cost/s]. A state that leaves the
    mesh costs what its border costs. .values.status says whether it converged. Interpolation spreads J: it comes out
    above the true cost where J is convex, and converges as the mesh is refined. Source: Munos and Moore, 1998; Tedrake,
    Underactuated Robotics, chapter 7, "Continuous state and action".
    """
    from scipy.sparse import csr_array

    mesh = Mesh(axes, periodic)
    inputs = np.asarray(inputs, float).reshape(-1, sim.nu)
    x, A = mesh.nodes, len(inputs)
    if x.shape[1] != sim.nx:
        raise ValueError(f"mesh_value_iteration: wanted {sim.nx} axes ({', '.join(sim.x_names)}), got {x.shape[1]}")
    corners, weights = mesh.weights(sim.step(x[:, None], inputs).reshape(-1, sim.nx))
    rows = np.arange(0, corners.size + 1, corners.shape[1])
    P = csr_array((weights.ravel(), corners.ravel(), rows), shape=(len(corners), len(x)))
    stage = np.broadcast_to(cost(x[:, None], inputs), (len(x), A)) * sim.dt
    values = value_iteration(P, stage, discount=discount, tolerance=tolerance, iterations=iterations)
    return MeshPolicy(sim, mesh, inputs, cost, values, discount)
