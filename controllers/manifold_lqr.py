"""LQR where the state cannot go everywhere: linear constraints F dx = 0, and states with quaternions."""

import numpy as np

from controllers.analysis import null_space
from controllers.base import LinearFeedback
from controllers.lqr import Gain, dlqr, lqr
from sims.simulator import Simulator


def constrained_lqr(A, B, Q, R, F, N=None, *, tol: float = 1e-6) -> Gain:
    """K (nu, n), S (n, n) of `lqr` for xdot = Ax + Bu on the subspace F x = 0.

    With the orthonormal rows P of the complement (F P' = 0), y = P x obeys ydot = P A P' y + P B u; the gain K_y of
    its LQR with P Q P' gives K = K_y P and S = P'S_y P. F (m, n); for a multibody with J v = 0 use
    position_and_velocity(J). A motion that starts with F x = 0 must keep it: ValueError if F A P' or F B exceed tol
    (relative), since then the constraint forces are missing from A and B (`impose` puts them in). Source: Tedrake,
    Underactuated Robotics, chapter 8, "LQR on a manifold"; Mason et al., "Balancing and walking using full dynamics LQR
    control with contact constraints", 2016.
    """
    return _constrained(lqr, "constrained_lqr", A, B, Q, R, F, N, tol)


def constrained_dlqr(A, B, Q, R, F, N=None, *, tol: float = 1e-6) -> Gain:
    """K (nu, n), S (n, n) of `dlqr` for x+ = Ax + Bu on the subspace F x = 0; see `constrained_lqr`."""
    return _constrained(dlqr, "constrained_dlqr", A, B, Q, R, F, N, tol)


def tangent_basis(F) -> np.ndarray:
    """P (n - rank F, n): orthonormal rows with F P' = 0, so that y = P x are coordinates on F x = 0 and x = P' y."""
    return null_space(F)


def position_and_velocity(J) -> np.ndarray:
    """F (2m, 2nv) of the state error [dq, dv] for the constraint J dq = 0, J dv = 0; J (m, nv)."""
    J = np.atleast_2d(np.asarray(J, float))
    return np.block([[J, np.zeros_like(J)], [np.zeros_like(J), J]])


def impose(M, tau_x, B, J) -> tuple[np.ndarray, np.ndarray]:
    """A (2nv, 2nv), Bu (2nv, nu) of x = [dq, dv] for M dvdot = tau_x x + B u + J'lambda with J dvdot = 0.

    The constraint forces eliminated: dvdot = P'(P M P')^-1 P (tau_x x + B u), P the complement of J. M (nv, nv),
    tau_x (nv, 2nv) the derivative of all other forces, B (nv, nu), J (m, nv), about an equilibrium.
    """
    M, tau_x, B = (np.asarray(a, float) for a in (M, tau_x, B))
    P, nv = null_space(J), len(M)
    mobility = P.T @ np.linalg.solve(P @ M @ P.T, P)
    A = np.vstack([np.hstack([np.zeros((nv, nv)), np.eye(nv)]), mobility @ tau_x])
    return A, np.vstack([np.zeros_like(B), mobility @ B])


def balance(
    sim: Simulator, x_goal, u_goal, Q, R, *, N=None, F=None, angles=(), tol: float = 1e-6
) -> tuple[LinearFeedback, np.ndarray]:
    """The LinearFeedback that holds a simulator at an equilibrium, and S (ndx, ndx) of its cost to go dx'S dx.

    dlqr of sim.linearize in tangent coordinates dx = x [-] x_goal (rotation vectors for quaternions), on the
    subspace F dx = 0 if F (m, ndx) is given. x_goal (nx,), u_goal (nu,) or scalar; Q (ndx, ndx), R (nu, nu); angles as
    for LinearFeedback. Raises ValueError if step(x_goal, u_goal) moves by more than tol, and as `dlqr` does.
    """
    x_goal = sim.check_state(x_goal, "x_goal")
    u_goal = sim.check_input(np.broadcast_to(np.asarray(u_goal, float), (sim.nu,)), "u_goal")
    drift = sim.difference(x_goal, sim.step(x_goal, u_goal))
    if np.abs(drift).max() > tol:
        worst = int(np.abs(drift).argmax())
        raise ValueError(
            f"balance: (x_goal, u_goal) is not an equilibrium: one step of {sim.dt} s moves component {worst} of the "
            f"tangent space by {drift[worst]:.3g} (tol {tol:.3g}); trim u_goal, or use tvlqr for a trajectory"
        )
    A, B = sim.linearize(x_goal, u_goal)
    K, S = dlqr(A, B, Q, R, N) if F is None else constrained_dlqr(A, B, Q, R, F, N)
    return LinearFeedback(K, x_goal, u_goal, difference=sim.difference, angles=angles), S


def _constrained(solver, who: str, A, B, Q, R, F, N, tol: float) -> Gain:
    A, B, Q, F = np.asarray(A, float), np.asarray(B, float), np.asarray(Q, float), np.atleast_2d(np.asarray(F, float))
    if F.shape[1] != len(A):
        raise ValueError(f"{who}: F must be (m, {len(A)}), a column for each state, got {F.shape}")
    P = tangent_basis(F)
    if not len(P):
        raise ValueError(f"{who}: F has rank {len(A)}, so F x = 0 leaves no state to control")
    unit = F / np.linalg.norm(F, axis=1, keepdims=True)
    leak = max(np.abs(unit @ A @ P.T).max() / max(np.abs(A).max(), 1e-300), np.abs(unit @ B).max() / np.abs(B).max())
    if leak > tol:
        raise ValueError(
            f"{who}: the motion leaves F x = 0: |F A P'|, |F B| reach {leak:.3g} of |A|, |B| (tol {tol:.3g}). A and B "
            "must hold the constraint forces (see impose); raise tol if the engine keeps the constraint only roughly"
        )
    K, S = solver(P @ A @ P.T, P @ B, P @ Q @ P.T, R, None if N is None else P @ np.asarray(N, float))
    return K @ P, P.T @ S @ P
