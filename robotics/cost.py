"""The costs of tasks: those of `controllers.cost`, by their old address."""

from controllers.cost import Cost, Difference, QuadraticCost, Wrapped, effort, quadratic, subtract, total_cost

__all__ = ["Cost", "Difference", "QuadraticCost", "Wrapped", "effort", "quadratic", "subtract", "total_cost"]
