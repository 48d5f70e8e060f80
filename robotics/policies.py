"""The controllers that tasks name: factories (task, sim) -> policy, each importing its law when it is asked for."""

from collections.abc import Callable

import numpy as np

from robotics.cost import Wrapped, subtract
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
        from controllers.base import LinearFeedback
        from controllers.lqr import dlqr

        u0 = np.zeros(sim.nu) if u_goal is None else np.asarray(u_goal, float)
        A, B = sim.linearize(task.x_goal, u0)
        K, _ = dlqr(A, B, np.diag(q), np.diag(r))
        angles = task.difference.angles if isinstance(task.difference, Wrapped) else ()
        curved = None if angles or task.difference is subtract else task.difference
        return LinearFeedback(K, task.x_goal, u0, difference=curved, angles=angles)

    return build


def pid(kp: float, ki: float, kd: float) -> Factory:
    """PID from the position to that of x_goal, one motor for each coordinate."""

    def build(task: Task, sim: Simulator) -> Policy:
        from controllers.pid import PID

        return PID(task.x_goal[: sim.nx // 2], kp=kp, ki=ki, kd=kd, u_min=task.u_min, u_max=task.u_max)

    return build


def gravity_pd(kp, kd) -> Factory:
    """u = u_goal + kp (q_goal - q) - kd v, u_goal holding still at x_goal; kp [N m/rad], kd [N m s/rad] (n,)."""

    def build(task: Task, sim: Simulator) -> Policy:
        from controllers.pid import PID

        n = sim.nx // 2
        u_goal = sim.terms(task.x_goal, np.zeros(sim.nu)).bias
        return PID(task.x_goal[:n], kp=kp, kd=kd, u_goal=u_goal, u_min=task.u_min, u_max=task.u_max)

    return build


def inverse_dynamics(natural_frequency: float) -> Factory:
    """Every joint a critically damped oscillator about x_goal with the natural frequency [rad/s]."""

    def build(task: Task, sim: Simulator) -> Policy:
        from controllers.pid import InverseDynamicsControl

        return InverseDynamicsControl(sim, task.x_goal[: sim.nx // 2], kp=natural_frequency**2)

    return build


def posture_pd(kp: float, kd: float) -> Factory:
    """PD on the motors of a free-floating robot, joints as in x_goal; kp [N m/rad], kd [N m s/rad]."""

    def build(task: Task, sim: Simulator) -> Policy:
        from controllers.pid import PID

        n, nq = sim.nu, sim.nx - sim.ndx // 2
        control = PID(task.x_goal[nq - n : nq], kp=kp, kd=kd, u_min=task.u_min, u_max=task.u_max)
        return lambda x, t: control(np.concatenate([x[..., nq - n : nq], x[..., -n:]], axis=-1), t)

    return build
