"""Where a run should be: a state and an input, the same at all knots or one for each."""

import numpy as np

from controllers.checks import all_knots, cut, finite
from controllers.tangent import Difference, Integrate, jacobian_of_difference


class Goal:
    """Goals x (nx,) or (T+1, nx) and u (nu,) or (T, nu), and how far a run is from them.

    who: what a message calls them. T: None if both are constant. Raises ValueError for other shapes, lengths that do
    not fit each other, and values that are not finite.
    """

    def __init__(self, who: str, x, u, difference: Difference, integrate: Integrate):
        self.x, self.u = finite(f"{who}: x_goal", x), finite(f"{who}: u_goal", u)
        if self.x.ndim not in (1, 2) or self.u.ndim not in (1, 2):
            raise ValueError(
                f"{who}: x_goal must be (nx,) or (T+1, nx), u_goal (nu,) or (T, nu), got {self.x.shape} and "
                f"{self.u.shape}"
            )
        if self.x.ndim == self.u.ndim == 2 and len(self.x) != len(self.u) + 1:
            raise ValueError(
                f"{who}: x_goal has {len(self.x)} knots, so u_goal must have {len(self.x) - 1}, got {len(self.u)}"
            )
        self.difference, self.integrate = difference, integrate
        self.nx, self.nu, self.ndx = self.x.shape[-1], self.u.shape[-1], np.shape(difference(self.x, self.x))[-1]
        moving = self.x.ndim == 2
        self._stages, self._end = (self.x[:-1], self.x[-1]) if moving else (self.x, self.x)
        self.T = len(self.x) - 1 if moving else len(self.u) if self.u.ndim == 2 else None

    def errors(self, x, u) -> tuple:
        """dx (..., ndx) = difference(x_goal, x) and du (..., nu) = u - u_goal at the knots with an input."""
        all_knots(self.T, x, u)
        return self.difference(self._stages, x), np.subtract(u, self.u)

    def end_error(self, x):
        """dx (..., ndx) at the last knot."""
        return self.difference(self._end, x)

    def jacobian(self, x) -> np.ndarray | None:
        """d dx / d x in the tangent space, (..., ndx, ndx), at the knots with an input; None for the identity."""
        return jacobian_of_difference(self.difference, self.integrate, self._stages, x, self.ndx)

    def end_jacobian(self, x) -> np.ndarray | None:
        """jacobian at the last knot."""
        return jacobian_of_difference(self.difference, self.integrate, self._end, x, self.ndx)

    def window(self, start: int, T: int) -> tuple[np.ndarray, np.ndarray]:
        """x_goal and u_goal of the knots start .. start + T; the last ones are held after their end."""
        return (
            cut(self.x, start, T + 1) if self.x.ndim == 2 else self.x,
            cut(self.u, start, T) if self.u.ndim == 2 else self.u,
        )
