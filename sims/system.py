"""A continuous-time plant, written once in plain NumPy and used with every scalar type."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np


class System(ABC):
    """A plant xdot = f(x, u).

    nx, ndx, nu: sizes of state, tangent space and input. u_min, u_max (nu,): input limits, infinite where there are
    none; f does not clip, simulators do. x_names, u_names: one name per component, with the unit in the docstring of
    the plant. A second-order plant has x = [q, v] with nq, nv sizes (both 0 for other plants); quaternions are wxyz.
    """

    nx: int
    nu: int
    nq: int = 0
    nv: int = 0
    x_names: tuple[str, ...]
    u_names: tuple[str, ...]

    @property
    def ndx(self) -> int:
        """Size of the tangent space; nx unless the state has quaternions."""
        return self.nx

    @property
    def u_min(self) -> np.ndarray:
        """Lower input limits (nu,); -u_max unless a plant says otherwise."""
        return -self.u_max

    @property
    def u_max(self) -> np.ndarray:
        """Upper input limits (nu,)."""
        return np.full(self.nu, np.inf)

    @abstractmethod
    def f(self, x, u) -> Any:
        """xdot (..., nx) at x (..., nx), u (..., nu).

        For floats and dl tensors with any leading axes, and object arrays (nx,) of CasADi SX, AutoDiffXd or Expression:
        index with x[..., i], build with `stack`, invert with `solve`, branch nowhere.
        """

    def difference(self, x, y) -> Any:
        """The tangent vector dx (..., ndx) with integrate(x, dx) = y."""
        return y - x

    def integrate(self, x, dx) -> Any:
        """The state (..., nx) reached from x along the tangent vector dx (..., ndx)."""
        return x + dx

    def normalize(self, x) -> Any:
        """x (..., nx) put back on its manifold after an additive step (unit quaternions); x itself without one."""
        return x

    def acceleration(self, x, u, dt: float) -> Any:
        """vdot (..., nv) of one semi-implicit step of length dt [s]; joint damping, where a plant has it, is implicit.

        (M + dt D) vdot = tau - D v: what MuJoCo's Euler step and Drake's discrete update solve; plants with damping
        override it. Without damping this is the last nv rows of f.
        """
        return self.f(x, u)[..., self.nq :]


def stack(components) -> Any:
    """Join scalars or (...,) arrays into (..., n), or a nested list of rows into (..., m, n), whatever the scalar type.

    Numbers are laid out component-major (each x[..., i] of the result is contiguous): element-wise NumPy on the parts
    of a large batch then runs at full speed. Object scalars (CasADi SX, AutoDiffXd, Expression) give an object array.
    """
    rows = components if isinstance(components[0], (list, tuple)) else [components]
    flat = [c for row in rows for c in row]
    sizes = (len(rows), len(flat) // len(rows)) if rows is components else (len(flat),)
    kinds = {_kind(c) for c in flat}
    if "symbol" in kinds:
        out = np.empty(len(flat), dtype=object)
        for i, component in enumerate(flat):
            out[i] = component.item() if isinstance(component, np.ndarray) else component
        return out.reshape(sizes)
    shapes = {getattr(c, "shape", ()) for c in flat}
    shape = shapes.pop() if len(shapes) == 1 else np.broadcast_shapes(*shapes)
    if "other" in kinds:  # a type that answers __array_function__, such as dl's tensor
        joined = np.stack([c if getattr(c, "shape", ()) == shape else c + np.zeros(shape) for c in flat], axis=-1)
        return joined if len(sizes) == 1 else joined.reshape(*shape, *sizes)
    out = np.empty((len(flat), *shape))
    for i, component in enumerate(flat):
        out[i] = component
    if len(sizes) == 1 and len(shape) == 1:
        return out.T
    out = out.reshape(*sizes, *shape)
    return out.transpose(*range(len(sizes), out.ndim), *range(len(sizes)))


def _kind(value) -> str:
    """What stack does with it: "number", "symbol" (a scalar, or an object array of them), "other"."""
    kind = type(value)
    if kind is np.ndarray:
        return "symbol" if value.dtype == object else "number"
    if kind is float or isinstance(value, (np.generic, float, int)):
        return "number"
    return "symbol" if kind.__module__.split(".")[0] in ("casadi", "pydrake") else "other"


def solve(A, b) -> Any:
    """The x with A x = b, A (..., n, n) symmetric positive definite, b (..., n), whatever the scalar type.

    Numbers go to LAPACK; object arrays, which np.linalg refuses, to an LDL' elimination without pivoting, which is
    backward stable for symmetric positive definite A (Golub and Van Loan, Matrix Computations, 4th ed., section 4.2).
    """
    if not any(isinstance(value, np.ndarray) and value.dtype.kind == "O" for value in (A, b)):
        return np.linalg.solve(A, b[..., None])[..., 0]
    A, b = np.array(A, dtype=object), np.array(b, dtype=object)
    n = len(b)
    for i in range(n):
        for j in range(i + 1, n):
            factor = A[j, i] / A[i, i]
            for k in range(i + 1, n):  # one by one: a CasADi scalar times an array is a CasADi vector
                A[j, k] = A[j, k] - factor * A[i, k]
            b[j] = b[j] - factor * b[i]
    for i in reversed(range(n)):
        b[i] = (b[i] - sum((A[i, k] * b[k] for k in range(i + 1, n)), 0.0)) / A[i, i]
    return b
