"""Tensors, autodiff and kernels in C; needs NumPy and SciPy only."""

from dl.kernels import backend

__all__ = ["backend"]
