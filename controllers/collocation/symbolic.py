"""Plain NumPy functions recorded as CasADi SX: dynamics, costs, constraints, guards and resets."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from sims.errors import MissingDependency

WHICH = (
    "collocation records it once with CasADi's symbols, so it must be plain NumPy in x (nx,) and u (nu,): arithmetic, "
    "np.sin, np.exp, np.sqrt, np.abs, np.hypot, matrix products, `stack` and `solve` of sims.system, and no `if`, "
    "np.where, np.maximum, np.clip, np.arctan2, np.linalg or float(). The suite's costs can: quadratic, residual, "
    "from_function, smooth_abs, barrier and their sums, of functions that can"
)


def casadi() -> Any:
    """The casadi module; MissingDependency with the line that installs it if there is none."""
    try:
        import casadi as ca
    except ImportError as error:
        raise MissingDependency("CasADi is not installed: pip install casadi") from error
    return ca


def components(vector) -> np.ndarray:
    """The scalars of an SX column (n, 1) as an object array (n,), which NumPy functions take."""
    out = np.empty(vector.numel(), dtype=object)
    out[:] = vector.elements()
    return out


def record(name: str, fn: Callable, sizes: tuple[int, ...], *, rows: int | None = None):
    """A CasADi Function of SX columns of the given sizes, from fn of object arrays (n,), called once.

    rows: the length the result must have (1 for a scalar); None takes what comes. Raises ValueError naming `name` if fn
    cannot be recorded or returns another shape.
    """
    ca = casadi()
    inputs = [ca.SX.sym(f"w{i}", n) for i, n in enumerate(sizes)]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "\\s*casadi: a numpy function", FutureWarning)
            value = column(fn(*map(components, inputs)))
    except Exception as error:  # whatever a user's function does with a symbol it did not expect
        told = " ".join(str(error).split())[:160]
        raise ValueError(f"{name} cannot be evaluated on symbols ({type(error).__name__}: {told}): {WHICH}") from error
    if rows is not None and value.numel() != rows:
        wanted = "one number" if rows == 1 else f"{rows} values"
        raise ValueError(f"{name} must return {wanted}, got {value.numel()}")
    function = ca.Function("f", inputs, [value])
    if _lost(function):
        raise ValueError(
            f"{name} turns symbols into numbers, as float() does, and what is left is not a number: {WHICH}"
        )
    return function


def _lost(function) -> bool:
    """True if a constant inside is NaN: what CasADi makes of float(symbol)."""
    constant = casadi().OP_CONST
    ids = (i for i in range(function.n_instructions()) if function.instruction_id(i) == constant)
    return any(np.isnan(function.instruction_constant(i)) for i in ids)


def column(value):
    """An SX column of a scalar, a sequence or an array of numbers and SX scalars."""
    ca = casadi()
    if isinstance(value, ca.SX):
        return ca.vec(value)
    parts = np.asarray(value, dtype=object).reshape(-1)
    return ca.vertcat(*[part if isinstance(part, ca.SX) else ca.SX(float(part)) for part in parts])
