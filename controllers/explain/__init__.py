"""Why a problem cannot be solved: which labelled constraints conflict, where, and what would repair it."""

from controllers.explain.explain import explain, relax
from controllers.explain.report import Explanation, Relaxation

__all__ = ["Explanation", "Relaxation", "explain", "relax"]
