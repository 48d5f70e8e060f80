"""The plants that the tests range over, with states to try, and finite differences that need no other code."""

from dataclasses import replace

import numpy as np

from sims import lie, plants

NAMES = tuple(plants.PLANTS)
MANIPULATORS = tuple(name for name in NAMES if name not in ("glider", "van_der_pol", "dubins_car"))
# parameters with no round relation between them, damping everywhere
ODD = {
    "double_integrator": {"m": 1.7, "b": 0.3},
    "pendulum": {"m": 0.7, "l": 1.3, "b": 0.21, "g": 9.6},
    "cartpole": {"mc": 2.3, "mp": 0.4, "l": 0.9, "b_cart": 0.31, "b_pole": 0.07, "g": 9.7},
    "npole": {
        "n": 3,
        "mc": 2.3,
        "mp": (0.4, 0.7, 0.2),
        "l": (0.9, 0.6, 0.4),
        "b_cart": 0.3,
        "b_pole": (0.1, 0.2, 0.05),
    },
    "acrobot": {"m1": 1.3, "m2": 0.6, "l1": 0.8, "lc1": 0.35, "lc2": 0.7, "Ic1": 0.05, "Ic2": 0.11, "b2": 0.3},
    "pendubot": {"m1": 1.3, "m2": 0.6, "l1": 0.8, "lc1": 0.35, "lc2": 0.7, "Ic1": 0.05, "Ic2": 0.11, "b2": 0.3},
    "double_pendulum": {"m1": 1.3, "m2": 0.6, "l1": 0.8, "lc1": 0.35, "lc2": 0.7, "Ic1": 0.05, "b1": 0.2, "b2": 0.3},
    "planar_quadrotor": {"m": 0.9, "I": 0.02, "r": 0.31},
    "quadrotor": {"m": 0.9, "I": (0.011, 0.017, 0.023), "L": 0.21, "kF": 1.3, "kM": 0.05},
    "quadrotor_rpy": {"m": 0.9, "I": (0.011, 0.017, 0.023), "L": 0.21, "kF": 1.3, "kM": 0.05},
    "glider": {"lw": 0.013, "m": 0.11, "I": 0.002},
    "van_der_pol": {"mu": 1.7},
    "dubins_car": {"speed": 2.3},
    "ballbot": {"m_ball": 2.1, "r": 0.13, "l": 0.3, "I_bot": 0.2},
}
CASES = [(name, variant) for name in NAMES for variant in ("default", "odd")]
MANIPULATOR_CASES = [case for case in CASES if case[0] in MANIPULATORS]
IDS = ["-".join(case) for case in CASES]
MANIPULATOR_IDS = ["-".join(case) for case in MANIPULATOR_CASES]
UNDAMPED = {"b": 0.0, "b1": 0.0, "b2": 0.0, "b_cart": 0.0, "b_pole": 0.0}

_OFFSETS = np.array([-3, -2, -1, 1, 2, 3], float)
_WEIGHTS = np.array([-1, 9, -45, 45, -9, 1]) / 60


def make(name: str, variant: str = "default"):
    return plants.load(name)(**(ODD[name] if variant == "odd" else {}))


def undamped(plant):
    return replace(plant, **{k: v for k, v in UNDAMPED.items() if k in vars(plant)})


def states(plant, rng, *shape):
    """Random states of the plant (*shape, nx) where its f is smooth, and inputs (*shape, nu)."""
    x, u = rng.normal(size=(*shape, plant.nx)), rng.normal(size=(*shape, plant.nu))
    name = type(plant).__name__
    if name == "Quadrotor":
        x[..., 3:7] = lie.quat_normalize(x[..., 3:7])
    if name == "QuadrotorRPY":
        x[..., 4] = rng.uniform(-1.2, 1.2, size=shape)
    if name == "Glider":
        x[..., 4] += 7.0
    return x, u


def slope(fn, at: float = 0.0, h: float = 3e-3):
    """d fn(s) / ds at s = `at`: central differences of order 6."""
    return sum(w / h * fn(at + h * k) for k, w in zip(_OFFSETS, _WEIGHTS, strict=True))


def jacobian(fn, x):
    """d fn(x) / dx (m, n) at x (n,)."""
    return np.stack([slope(lambda s, e=e: fn(x + s * e)) for e in np.eye(len(x))], axis=-1)
