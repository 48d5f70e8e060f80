"""Derivatives on the tape, under PyTorch's names."""

from dl.check import gradcheck, gradgradcheck
from dl.function import Function
from dl.tape import enable_grad, no_grad, set_grad_enabled
from dl.trace import detect_anomaly
from dl.transforms.reverse import autograd_grad as grad

__all__ = [
    "Function",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "no_grad",
    "set_grad_enabled",
]
