"""State estimation: observers, Kalman filters and their relatives, smoothing, and control from measurements."""

from controllers.estimate.base import Estimate, Filter
from controllers.estimate.disturbance import cancel, with_disturbance
from controllers.estimate.ekf import EKF
from controllers.estimate.kalman import KalmanFilter, dkalman, sampled_noise
from controllers.estimate.kalman import kalman as kalman
from controllers.estimate.lqg import OutputFeedback, Sensor, lqg_cost
from controllers.estimate.lqg import lqg as lqg
from controllers.estimate.model import Model
from controllers.estimate.observer import Luenberger, place_observer
from controllers.estimate.particle import ParticleFilter
from controllers.estimate.smoother import Smoothed, smooth
from controllers.estimate.ukf import UKF

__all__ = [
    "EKF",
    "UKF",
    "Estimate",
    "Filter",
    "KalmanFilter",
    "Luenberger",
    "Model",
    "OutputFeedback",
    "ParticleFilter",
    "Sensor",
    "Smoothed",
    "cancel",
    "dkalman",
    "kalman",
    "lqg",
    "lqg_cost",
    "place_observer",
    "sampled_noise",
    "smooth",
    "with_disturbance",
]
