"""Problems that several tests of collocation solve, and two walkers that are not among the suite's plants."""

from dataclasses import dataclass

import numpy as np

from controllers.collocation import Hybrid, Problem, Transition
from controllers.constraint import state_box
from controllers.cost import quadratic
from sims.plants import Acrobot, CartPole, DoubleIntegrator, Glider, Pendulum
from sims.system import System, stack
from sims.trajectory import Trajectory


def effort_cost(nx: int, r: float):
    """r u^2 alone."""
    return quadratic(np.zeros(nx), [r], x_goal=np.zeros(nx))


def line(x0, x1, T: float, nu: int = 1) -> Trajectory:
    """A straight line in T seconds, no input: the guess of the published problems."""
    return Trajectory(np.linspace(0, T, 11), np.linspace(x0, x1, 11), np.zeros((10, nu)))


def minimum_time() -> Problem:
    plant = DoubleIntegrator(force_limit=1.0)
    return Problem(system=plant, duration=(0.1, 10.0), time_cost=1.0, x_goal=[0, 0], knots=41)


def pendulum(**changes) -> Problem:
    plant = Pendulum(m=1, l=0.5, b=0.1, g=9.81, torque_limit=3.0)
    given = {"system": plant, "duration": (1.0, 10.0), "cost": effort_cost(2, 10.0), "x_goal": [np.pi, 0], "knots": 21}
    return Problem(**{**given, **changes})


def cartpole(**changes) -> Problem:
    plant = CartPole(mc=10, mp=1, l=0.5, g=9.81)
    cost, goal = effort_cost(4, 10.0), [0, np.pi, 0, 0]
    given = {"system": plant, "duration": (2.0, 8.0), "cost": cost, "time_cost": 1.0, "x_goal": goal, "knots": 21}
    return Problem(**{**given, **changes})


def acrobot(**changes) -> Problem:
    plant, cost = Acrobot(torque_limit=20.0), effort_cost(4, 1.0)
    given = {"system": plant, "duration": (1.0, 2.5), "cost": cost, "time_cost": 1.0, "x_goal": [np.pi, 0, 0, 0]}
    return Problem(**{**given, **changes})


def perching(**changes) -> Problem:
    goal = np.array([0, 0, -np.pi / 4, 0, 0, 0, 0])
    constraints = (
        state_box([-0.9473], [0.4463], label="elevator limit", components=[3], unit="rad"),
        state_box([0.0, 0.0], [0.0, 0.0], label="at the perch", components=[0, 1], knots="final", unit="m"),
        state_box([-1.0], [-np.pi / 6], label="nose up", components=[2], knots="final", unit="rad"),
        state_box([-2.0, -2.0], [2.0, 2.0], label="slow", components=[4, 5], knots="final", unit="m/s"),
    )
    cost = quadratic(np.zeros(7), [100.0], qf=[10, 10, 1, 10, 1, 1, 1], x_goal=goal)
    plant = Glider(published=True, rate_limit=13.0)
    given = {"system": plant, "duration": (0.3, 2.0), "cost": cost, "knots": 41, "constraints": constraints}
    return Problem(**{**given, **changes})


@dataclass(frozen=True)
class RimlessWheel(System):
    """l thetadd = g sin(theta) between two impacts, theta from the vertical; x = [theta [rad], thetadot [rad/s]].

    Source: McGeer, Passive dynamic walking, 1990; Tedrake, Underactuated Robotics, chapter 4.
    """

    l: float = 1.0
    g: float = 9.81
    alpha: float = np.pi / 8
    slope: float = 0.08

    nx, nu, nq, nv = 2, 0, 1, 1
    x_names, u_names = ("theta", "theta_dot"), ()

    def f(self, x, u):
        return stack([x[..., 1], self.g / self.l * np.sin(x[..., 0])])

    def stride(self, **changes) -> Hybrid:
        """Rolling: one spoke, its impact at theta = slope + alpha, the next spoke from slope - alpha."""
        impact = Transition(
            guard=lambda x: x[..., 0] - (self.slope + self.alpha),
            reset=lambda x: stack([x[..., 0] - 2 * self.alpha, np.cos(2 * self.alpha) * x[..., 1]]),
            label="impact",
        )
        phase = Problem(**{"system": self, "duration": (0.1, 3.0), "knots": 41, **changes})
        return Hybrid(phases=(phase,), transitions=(impact,), cyclic=True)


@dataclass(frozen=True)
class CompassGait(System):
    """Two straight legs on a slope, no input; x = [stance, swing [rad], their rates], absolute angles.

    Source: Goswami, Thuilot and Espiau, Compass-like biped robot, INRIA 2996, 1996; parameters of Drake's CompassGait.
    """

    m_hip: float = 10.0
    m: float = 5.0
    l: float = 1.0
    b: float = 0.5
    g: float = 9.81
    slope: float = 0.0525

    nx, nu, nq, nv = 4, 0, 2, 2
    x_names, u_names = ("stance", "swing", "stance_dot", "swing_dot"), ()

    def f(self, x, u):
        m, mh, l, b = self.m, self.m_hip, self.l, self.b
        a = l - b
        s, c = np.sin(x[..., 0] - x[..., 1]), np.cos(x[..., 0] - x[..., 1])
        m11, m12, m22 = mh * l * l + m * (l * l + a * a), -m * l * b * c, m * b * b
        r1 = m * l * b * s * x[..., 3] ** 2 + (mh * l + m * (a + l)) * self.g * np.sin(x[..., 0])
        r2 = -m * l * b * s * x[..., 2] ** 2 - m * b * self.g * np.sin(x[..., 1])
        det = m11 * m22 - m12 * m12
        return stack([x[..., 2], x[..., 3], (m22 * r1 - m12 * r2) / det, (m11 * r2 - m12 * r1) / det])

    def strike(self, x):
        """The state after the swing foot lands: angular momentum about the new foot, and of the old leg, is kept."""
        m, mh, l, b = self.m, self.m_hip, self.l, self.b
        a, c = l - b, np.cos(x[..., 1] - x[..., 0])
        p11, p12 = m * b * (b - l * c), (mh + m) * l * l + m * a * a - m * b * l * c
        p21, p22 = m * b * b, -m * b * l * c
        r1 = ((mh * l * l + 2 * m * a * l) * c - m * a * b) * x[..., 2] - m * a * b * x[..., 3]
        r2 = -m * a * b * x[..., 2]
        det = p11 * p22 - p12 * p21
        return stack([x[..., 1], x[..., 0], (p11 * r2 - p21 * r1) / det, (p22 * r1 - p12 * r2) / det])

    def stride(self, **changes) -> Hybrid:
        """Walking: one step and the heel strike that begins the next, the same one."""
        strike = Transition(
            guard=lambda x: x[..., 0] + x[..., 1] - 2 * self.slope, reset=self.strike, label="heel strike"
        )
        phase = Problem(**{"system": self, "duration": (0.4, 1.5), "knots": 41, **changes})
        return Hybrid(phases=(phase,), transitions=(strike,), cyclic=True)
