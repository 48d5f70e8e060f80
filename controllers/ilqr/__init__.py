"""Iterative LQR with input limits, multiple shooting and augmented-Lagrangian constraints."""

from controllers.ilqr.planner import ILQR

__all__ = ["ILQR"]
