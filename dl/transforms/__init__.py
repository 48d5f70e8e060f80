"""Derivatives and batches as transforms of functions."""

from dl.transforms.forward import hessian, hvp, jacobian, jvp, linearize
from dl.transforms.reverse import autograd_grad, grad, value_and_grad, vjp
from dl.transforms.vmap import vmap

__all__ = [
    "autograd_grad",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linearize",
    "value_and_grad",
    "vjp",
    "vmap",
]
