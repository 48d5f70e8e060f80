"""Control laws, planners, learned policies, certificates. Each name is imported when first used."""

from importlib import import_module

# A function named like its file is bound here, or importing that file would put the module in its place
from controllers.lqr import lqr as lqr
from controllers.tvlqr import tvlqr as tvlqr

_HOME = {
    "AcrobotEnergy": "energy",
    "CartPoleEnergy": "energy",
    "Controller": "base",
    "Delay": "wrappers",
    "InverseDynamicsControl": "pid",
    "Jitter": "wrappers",
    "LinearFeedback": "base",
    "PID": "pid",
    "PendubotEnergy": "energy",
    "PendulumEnergy": "energy",
    "PlanarQuadrotorTracking": "flatness",
    "Polynomial": "reference",
    "QuadrotorTracking": "flatness",
    "SampleAndHold": "wrappers",
    "Saturate": "wrappers",
    "Sinusoid": "reference",
    "Switch": "switch",
    "TimeVaryingFeedback": "tvlqr",
    "WrapAngles": "wrappers",
    "acrobot_swing_up": "energy",
    "actuation": "analysis",
    "balance": "manifold_lqr",
    "cartpole_swing_up": "energy",
    "collocated": "feedback_linearization",
    "computed_torque": "feedback_linearization",
    "constrained_dlqr": "manifold_lqr",
    "constrained_lqr": "manifold_lqr",
    "controllability_matrix": "analysis",
    "controllable": "analysis",
    "detectable": "analysis",
    "dlqr": "lqr",
    "finite_horizon_dlqr": "tvlqr",
    "finite_horizon_lqr": "finite_horizon",
    "level_set_samples": "switch",
    "minimum_derivative": "reference",
    "noncollocated": "feedback_linearization",
    "observable": "analysis",
    "pendubot_swing_up": "energy",
    "pendulum_swing_up": "energy",
    "planar_quadrotor_flat": "flatness",
    "quadrotor_flat": "flatness",
    "recoverable_level": "switch",
    "recovery": "switch",
    "sampled_lqr": "lqr",
    "stabilisable": "analysis",
    "task_space": "feedback_linearization",
    "wrap_angle": "base",
    "zoh": "lqr",
}
_MODULES = (
    "analysis",
    "base",
    "energy",
    "feedback_linearization",
    "finite_horizon",
    "flatness",
    "manifold_lqr",
    "pid",
    "reference",
    "switch",
    "wrappers",
)
__all__ = sorted([*_HOME, *_MODULES, "lqr", "tvlqr"])


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"controllers.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"controllers.{name}")
    raise AttributeError(f"module 'controllers' has no attribute {name!r}; it has: {', '.join(__all__)}")
