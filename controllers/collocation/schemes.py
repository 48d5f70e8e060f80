"""How the dynamics between two knots become equations: one entry a scheme."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sims.errors import unknown


@dataclass(frozen=True)
class Interval:
    """The CasADi SX columns of one interval: x0, u0 at its start, x1, u1 at its end, xm, um in its middle, h [s].

    f(x, u) -> xdot and l(x, u) -> cost/s are recorded functions. u1 is u0 where the input is held; xm and um are None
    unless the scheme has them as unknowns.
    """

    f: Callable[[Any, Any], Any]
    l: Callable[[Any, Any], Any]
    x0: Any
    u0: Any
    x1: Any
    u1: Any
    xm: Any
    um: Any
    h: Any


@dataclass(frozen=True)
class Scheme:
    """defects(interval) -> (columns that must vanish, integral of the stage cost); order of accuracy.

    held: the input is constant over an interval, N - 1 of them; otherwise there is one at every knot, linear in
    between, or quadratic where the interval's middle has its own state and input (middle=True).
    """

    defects: Callable[[Interval], tuple[list, Any]]
    order: int
    held: bool = False
    middle: bool = False


def euler(i: Interval) -> tuple[list, Any]:
    """x1 = x0 + h f(x0, u0), cost h l(x0, u0): explicit, input held."""
    return [i.x1 - i.x0 - i.h * i.f(i.x0, i.u0)], i.h * i.l(i.x0, i.u0)


def rk4(i: Interval) -> tuple[list, Any]:
    """One classical Runge-Kutta step, input held (multiple shooting); the cost is a fifth state of the same step.

    Source: Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, 1993, section II.1.
    """
    k1 = i.f(i.x0, i.u0)
    second = i.x0 + i.h / 2 * k1
    k2 = i.f(second, i.u0)
    third = i.x0 + i.h / 2 * k2
    k3 = i.f(third, i.u0)
    fourth = i.x0 + i.h * k3
    k4 = i.f(fourth, i.u0)
    step = i.x0 + i.h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    cost = i.l(i.x0, i.u0) + 2 * i.l(second, i.u0) + 2 * i.l(third, i.u0) + i.l(fourth, i.u0)
    return [i.x1 - step], i.h / 6 * cost


def trapezoid(i: Interval) -> tuple[list, Any]:
    """x1 = x0 + h/2 (f0 + f1), cost h/2 (l0 + l1). Source: Betts, Practical Methods for Optimal Control, 2010, 4.5."""
    defect = i.x1 - i.x0 - i.h / 2 * (i.f(i.x0, i.u0) + i.f(i.x1, i.u1))
    return [defect], i.h / 2 * (i.l(i.x0, i.u0) + i.l(i.x1, i.u1))


def hermite_simpson(i: Interval) -> tuple[list, Any]:
    """x1 = x0 + h/6 (f0 + 4 fm + f1) with xm on the cubic through both ends and um the mean input; Simpson's cost.

    Source: Hargraves and Paris, Direct trajectory optimization using nonlinear programming and collocation, 1987.
    """
    f0, f1 = i.f(i.x0, i.u0), i.f(i.x1, i.u1)
    xm, um = (i.x0 + i.x1) / 2 + i.h / 8 * (f0 - f1), (i.u0 + i.u1) / 2
    return [i.x1 - i.x0 - i.h / 6 * (f0 + 4 * i.f(xm, um) + f1)], _simpson(i, xm, um)


def hermite_simpson_separated(i: Interval) -> tuple[list, Any]:
    """The same equations with xm and um as unknowns, so that limits hold in the middle too; u is quadratic.

    Source: Kelly, An introduction to trajectory optimization, SIAM Review 59(4), 2017, section 4.
    """
    f0, f1 = i.f(i.x0, i.u0), i.f(i.x1, i.u1)
    middle = i.xm - (i.x0 + i.x1) / 2 - i.h / 8 * (f0 - f1)
    return [i.x1 - i.x0 - i.h / 6 * (f0 + 4 * i.f(i.xm, i.um) + f1), middle], _simpson(i, i.xm, i.um)


def _simpson(i: Interval, xm, um):
    return i.h / 6 * (i.l(i.x0, i.u0) + 4 * i.l(xm, um) + i.l(i.x1, i.u1))


SCHEMES = {
    "hermite_simpson": Scheme(hermite_simpson, 4),
    "hermite_simpson_separated": Scheme(hermite_simpson_separated, 4, middle=True),
    "trapezoid": Scheme(trapezoid, 2),
    "rk4": Scheme(rk4, 4, held=True),
    "euler": Scheme(euler, 1, held=True),
}


def scheme(name: str) -> Scheme:
    """The scheme called `name`; ValueError listing all of them otherwise."""
    if name not in SCHEMES:
        raise unknown("transcription scheme", name, SCHEMES)
    return SCHEMES[name]
