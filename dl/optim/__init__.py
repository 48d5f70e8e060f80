"""Optimisers, learning-rate schedules, averages of parameters, limits on gradients."""

from dl.optim.ema import EMA, clip_grad_norm_, clip_grad_value_
from dl.optim.lbfgs import LBFGS
from dl.optim.muon import Muon
from dl.optim.optimizer import Optimizer
from dl.optim.rules import SGD, Adam, AdamW, RMSprop
from dl.optim.schedules import CosineLR, ExponentialLR, LambdaLR, LinearLR, Schedule, StepLR

__all__ = [
    "EMA",
    "LBFGS",
    "SGD",
    "Adam",
    "AdamW",
    "CosineLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "Muon",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "StepLR",
    "clip_grad_norm_",
    "clip_grad_value_",
]
