"""Swing-up by shaping the energy: pendulum, cart-pole, acrobot, pendubot; each ready to run with LQR at the top.

The laws are policies u = law(x, t), without memory, over any leading axes of x (..., nx); they use a closed-form plant
as their model and drive any simulator of it. They saturate u themselves, at plant.u_min, plant.u_max.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from controllers.base import LinearFeedback, wrap_angle
from controllers.feedback_linearization import task_space
from controllers.lqr import lqr
from controllers.switch import Switch
from controllers.wrappers import Saturate
from sims.linearize import linearize
from sims.plants.acrobot import Acrobot
from sims.plants.cartpole import CartPole
from sims.plants.pendubot import Pendubot
from sims.plants.pendulum import Pendulum

REST = 1e-3  # of the energy between hanging and upright: below this a plant counts as hanging at rest
HANGING = np.zeros(2)


@dataclass(frozen=True)
class PendulumEnergy:
    """u = b thetadot - k thetadot (E - E_d): Edot = -k thetadot^2 (E - E_d), so E tends to E_d = m g l.

    k [s/rad^2]; the first term cancels the damping. Hanging at rest, where the law says nothing, kick [rad/s] is
    added to thetadot. Source: Tedrake, Underactuated Robotics, chapter 2, "energy-shaping control".
    """

    plant: Pendulum
    k: float = 0.1
    kick: float = 0.1

    def __call__(self, x, t: float) -> np.ndarray:
        plant, v = self.plant, x[..., 1]
        top = plant.m * plant.g * plant.l
        energy = plant.energy(x)
        rate = v + self.kick * (energy + top < REST * 2 * top)
        return _saturate(plant, (plant.b * v - self.k * rate * (energy - top))[..., None])


@dataclass(frozen=True)
class CartPoleEnergy:
    """xdd = k (E - E_d) thetadot cos theta - kp x - kd xdot, made into a force by collocated feedback linearisation.

    E = thetadot^2 / 2 - (g / l) cos theta, the pole's energy per mp l^2, obeys Edot = -xdd thetadot cos theta / l, so
    the first term drives it to E_d = g / l while the others keep the cart near x = 0. k [m s/rad], kp [1/s^2], kd
    [1/s]; kick [rad/s] as for the pendulum.
    Source: Chung and Hauser, Nonlinear control of a swinging pendulum, 1995; Tedrake, Underactuated Robotics,
    chapter 3, "Energy shaping" of the cart-pole.
    """

    plant: CartPole
    k: float = 0.1
    kp: float = 2.0
    kd: float = 1.5
    kick: float = 0.1
    _J: np.ndarray = field(default_factory=lambda: np.array([[1.0, 0.0]]), repr=False, compare=False)

    def __call__(self, x, t: float) -> np.ndarray:
        position, v, rate = x[..., 0], x[..., 2], x[..., 3]
        c, top = np.cos(x[..., 1]), self.plant.g / self.plant.l
        energy = 0.5 * rate * rate - top * c
        rate = rate + self.kick * (energy + top < REST * 2 * top)
        xdd = self.k * (energy - top) * rate * c - self.kp * position - self.kd * v
        return _saturate(self.plant, task_space(self.plant, x, self._J, xdd[..., None]))


@dataclass(frozen=True)
class AcrobotEnergy:
    """theta2dd = -k (E_d - E) theta1dot (1 + cos theta1) - kp theta2 - kd theta2dot, by collocated linearisation.

    E is the total energy, E_d that of the acrobot at rest upright; theta2 is wrapped. k [1/(J s)], kp [1/s^2], kd
    [1/s]; kick [rad/s], added to theta1dot, as for the pendulum. Source: Spong, The swing up control problem for the
    acrobot, 1995, section III; Tedrake, Underactuated Robotics, chapter 3, "Swing-up control of the acrobot". Theirs
    has no factor 1 + cos theta1, which pumps where link 1 hangs and not where it stands: of 300 starts anywhere (angles
    to pi and 2 rad, rates to 5 and 4 rad/s) 0.98 balance within 20 s with it and 0.91 without.
    """

    plant: Acrobot
    k: float = 3.2
    kp: float = 1.6
    kd: float = 1.5
    kick: float = 0.1
    _J: np.ndarray = field(default_factory=lambda: np.array([[0.0, 1.0]]), repr=False, compare=False)

    def __call__(self, x, t: float) -> np.ndarray:
        top, energy = -self.plant.potential(HANGING), self.plant.energy(x)
        rate = x[..., 2] + self.kick * (energy + top < REST * 2 * top)
        pump = self.k * (top - energy) * rate * (1.0 + np.cos(x[..., 0]))
        command = -pump - self.kp * wrap_angle(x[..., 1]) - self.kd * x[..., 3]
        return _saturate(self.plant, task_space(self.plant, x, self._J, command[..., None]))


@dataclass(frozen=True)
class PendubotEnergy:
    """theta1dd = sat(k (E2 - E_d) omega cos theta2, push) - kp (theta1 - pi) - kd theta1dot, collocated.

    Link 1 goes up and sways about upright, and pumps link 2 as a cart does a pole: with omega = theta1dot + theta2dot
    and E2 the energy of link 2 about an elbow at rest, E2dot = -m2 l1 lc2 omega theta1dd cos theta2 while link 1 is
    near upright and slow; E_d = m2 g lc2. k [1/(J s)], kp [1/s^2], kd [1/s], push [rad/s^2]; kick [rad/s] as for the
    pendulum. Source: Spong and Block, The pendubot, 1995, for link 1; the pump as for the cart-pole.
    """

    plant: Pendubot
    k: float = 8.0
    kp: float = 7.0
    kd: float = 3.1
    push: float = 20.0
    kick: float = 0.1
    _J: np.ndarray = field(default_factory=lambda: np.array([[1.0, 0.0]]), repr=False, compare=False)

    def __call__(self, x, t: float) -> np.ndarray:
        p, rate = self.plant, x[..., 2] + x[..., 3]
        top = p.m2 * p.g * p.lc2
        energy = 0.5 * (p.Ic2 + p.m2 * p.lc2**2) * rate * rate - top * np.cos(x[..., 0] + x[..., 1])
        rate = rate + self.kick * (energy + top < REST * 2 * top)
        pump = self.k * (energy - top) * rate * np.cos(x[..., 1])
        command = np.minimum(np.maximum(pump, -self.push), self.push)
        command = command - self.kp * wrap_angle(x[..., 0] - np.pi) - self.kd * x[..., 2]
        return _saturate(p, task_space(p, x, self._J, command[..., None]))


def pendulum_swing_up(plant: Pendulum | None = None, **settings) -> Switch:
    """PendulumEnergy, then LQR, for a torque limit below m g l; 3 N m if the plant has none.

    settings: Q, R of the LQR; catch, release, within of the Switch. V < 2 is the level of the book's demonstration;
    `recoverable_level` puts the edge of what 3 N m can recover at 4.9. Source: Tedrake, Underactuated Robotics,
    chapter 2, energy_shaping notebook.
    """
    plant = _limited(Pendulum() if plant is None else plant, torque_limit=3.0)
    defaults = dict(Q=(10.0, 1.0), R=1.0, catch=2.0, release=4.0)
    return _with_lqr(plant, PendulumEnergy(plant), (np.pi, 0.0), (0,), **{**defaults, **settings})


def cartpole_swing_up(plant: CartPole | None = None, **settings) -> Switch:
    """CartPoleEnergy, then LQR at x = 0; the force is limited to 60 N if the plant has no limit.

    settings: Q, R of the LQR; catch, release, within of the Switch. V < 500 is chosen by simulation: 60 N recover all
    of that level set only up to V = 13 (`recoverable_level`), but swing-up enters it along the directions that decay by
    themselves, and there LQR kept 300 of 300 starts that it caught at 500.
    """
    plant = _limited(CartPole() if plant is None else plant, force_limit=60.0)
    defaults = dict(Q=(10.0, 10.0, 1.0, 1.0), R=1.0, catch=500.0, release=5000.0)
    return _with_lqr(plant, CartPoleEnergy(plant), (0.0, np.pi, 0.0, 0.0), (1,), **{**defaults, **settings})


def acrobot_swing_up(plant: Acrobot | None = None, **settings) -> Switch:
    """AcrobotEnergy, then LQR; the torque is limited to 20 N m if the plant has no limit.

    settings: Q, R of the LQR; catch, release, within of the Switch. Gains, Q and levels come from a random search
    (cross entropy) for the settling time from hanging and from anywhere. 20 N m recover all of the level set only up to
    V = 36 (`recoverable_level`), but where swing-up enters V < 2000 within the box LQR kept 300 of 305 catches; the
    five were released and caught again. Without the box most misses were catches of a folded arm, theta2 beyond 1.8
    rad. Below 18 N m it succeeds less often: 91 of 100 hanging starts with 15.
    """
    plant = _limited(Acrobot() if plant is None else plant, torque_limit=20.0)
    defaults = dict(Q=(85.0, 125.0, 30.0, 30.0), R=1.0, catch=2e3, release=2e4, within=(1.5, 1.5, np.inf, 6.0))
    return _with_lqr(plant, AcrobotEnergy(plant), (np.pi, 0.0, 0.0, 0.0), (0, 1), **{**defaults, **settings})


def pendubot_swing_up(plant: Pendubot | None = None, **settings) -> Switch:
    """PendubotEnergy, then LQR; the torque is limited to 25 N m if the plant has no limit.

    settings: Q, R of the LQR; catch, release, within of the Switch; found as for the acrobot. 14.7 N m hold
    link 1 level.
    """
    plant = _limited(Pendubot() if plant is None else plant, torque_limit=25.0)
    defaults = dict(Q=(20.0, 40.0, 5.0, 5.0), R=1.0, catch=165.0, release=1150.0, within=(1.05, 1.05, np.inf, 5.2))
    return _with_lqr(plant, PendubotEnergy(plant), (np.pi, 0.0, 0.0, 0.0), (0, 1), **{**defaults, **settings})


def _limited(plant, **limit: float):
    """The plant, with this input limit if it has none: gains and levels were found with one."""
    return plant if np.isfinite(plant.u_max).all() else replace(plant, **limit)


def _with_lqr(plant, law, x_goal, angles, *, Q, R, catch, release, within=np.inf) -> Switch:
    A, B = linearize(plant, x_goal, np.zeros(plant.nu))
    K, S = lqr(A, B, np.diag(Q), R * np.eye(plant.nu))
    balance = Saturate(LinearFeedback(K, x_goal, angles=angles), plant.u_min, plant.u_max)
    return Switch(law, balance, S=S, x_goal=x_goal, catch=catch, release=release, angles=angles, within=within)


def _saturate(plant, u) -> np.ndarray:
    return np.minimum(np.maximum(u, plant.u_min), plant.u_max)
