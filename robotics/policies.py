"""The controllers that tasks name: factories (task, sim) -> policy, each importing its law when it is asked for."""

from collections.abc import Callable

import numpy as np

from robotics.task import Task
from sims.policy import Policy
from sims.simulator import Simulator

Factory = Callable[[Task, Simulator], Policy]


def constant(u) -> Factory:
    """u = const (nu,), whatever the state."""
    value = np.asarray(u, float)
    return lambda task, sim: lambda x, t: np.broadcast_to(value, (*x.shape[:-1], len(value)))


def zero(task: Task, sim: Simulator) -> Policy:
    """No input: the passive plant."""
    return constant(np.zeros(sim.nu))(task, sim)


def random(task: Task, sim: Simulator) -> Policy:
    """Uniform inputs in the limits, one sequence per t: the same at every reset (seed 0)."""
    span, table = task.u_max - task.u_min, np.random.default_rng(0).random((4096, sim.nu))
    return lambda x, t: np.broadcast_to(task.u_min + span * table[round(t / sim.dt) % 4096], (*x.shape[:-1], sim.nu))


def lqr(q, r, u_goal=None) -> Factory:
    """u = u_goal - K (x - x_goal), K of the discrete LQR with Q = diag(q), R = diag(r) for the linearised sim."""

    def build(task: Task, sim: Simulator) -> Policy:
        from controllers import LinearFeedback, dlqr

        u0 = np.zeros(sim.nu) if u_goal is None else np.asarray(u_goal, float)
        A, B = sim.linearize(task.x_goal, u0)
        K, _ = dlqr(A, B, np.diag(q), np.diag(r))
        return LinearFeedback(K, task.x_goal, u0, difference=task.difference)

    return build


def pid(kp: float, ki: float, kd: float) -> Factory:
    """PID on the first state component towards x_goal, for plants with one input."""

    def build(task: Task, sim: Simulator) -> Policy:
        from controllers import PID

        return PID(kp, ki, kd)

    return build


def _placeholder(*args, **kwargs):
    return zero


inverse_dynamics = gravity_pd = posture_pd = _placeholder
