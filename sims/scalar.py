"""System.f with symbolic scalars: CasADi."""

from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from sims.errors import MissingDependency
from sims.system import System


class CasadiSystem(NamedTuple):
    """xdot = f(x, u) as CasADi expressions: SX column vectors x (nx), u (nu), xdot (nx)."""

    x: Any
    u: Any
    xdot: Any

    def function(self, name: str = "f") -> Any:
        """The casadi.Function (x, u) -> xdot; map it, differentiate it, generate C from it."""
        import casadi

        return casadi.Function(name, [self.x, self.u], [self.xdot], ["x", "u"], ["xdot"])


def to_casadi(system: System) -> CasadiSystem:
    """`x, u, xdot = to_casadi(system)`: f evaluated once on symbols. Raises MissingDependency without CasADi."""
    casadi = _casadi()
    x, u = casadi.SX.sym("x", system.nx), casadi.SX.sym("u", system.nu)
    with numpy_on_casadi():
        xdot = system.f(to_array(x), to_array(u))
    return CasadiSystem(x, u, casadi.vertcat(*xdot))


def to_array(vector) -> np.ndarray:
    """An object array (n,) of the entries of a CasADi column vector, the form in which `System.f` takes symbols."""
    entries = np.empty(vector.numel(), dtype=object)
    for i in range(len(entries)):
        entries[i] = vector[i]
    return entries


@contextmanager
def numpy_on_casadi():
    """Let np.sin and its like work on CasADi scalars, silently, inside the block.

    CasADi 3.8 announces another result type for NumPy calls on its values and warns at each one; `System.f` wants the
    present one (a CasADi scalar), which is its documented mode -1. The global mode is put back at the end.
    """
    options = _casadi().GlobalOptions
    if "setNumpyMode" not in dir(options):  # before 3.8 there was only this behaviour
        yield
        return
    before = options.getNumpyMode()
    options.setNumpyMode(-1)
    try:
        yield
    finally:
        options.setNumpyMode(before)


def _casadi():
    try:
        import casadi
    except ImportError as error:
        raise MissingDependency("CasADi is not installed; install it with: pip install casadi") from error
    return casadi
