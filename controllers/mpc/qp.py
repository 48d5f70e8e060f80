"""Sparse quadratic programs whose matrices stay: OSQP and Clarabel, with only vectors changed from solve to solve."""

from abc import ABC, abstractmethod
from typing import NamedTuple, final

import numpy as np

from sims.errors import MissingDependency, unknown


class Solution(NamedTuple):
    """z (n,) and the multipliers y (m,), positive at an upper bound; status is "solved", "infeasible",
    "iteration_limit" or "failed" (z may then hold anything, NaN included)."""

    z: np.ndarray
    y: np.ndarray
    status: str
    iterations: int


class QuadraticProgram(ABC):
    """minimise 1/2 z'Pz + q'z subject to l <= Cz <= u; P (n, n) positive semidefinite, C (m, n), both scipy.sparse.

    `solve` takes the vectors; where l or u is infinite, and where l = u, stays as it was at the first solve.
    """

    @abstractmethod
    def solve(
        self, q: np.ndarray, l: np.ndarray, u: np.ndarray, z: np.ndarray | None, y: np.ndarray | None
    ) -> Solution:
        """The minimum, from the start z (n,), y (m,) where the method can use one."""


@final
class Osqp(QuadraticProgram):
    """Operator splitting: fast from a good start, tolerance about 1e-3 to 1e-6.

    Source: Stellato, Banjac, Goulart, Bemporad and Boyd, "OSQP: an operator splitting solver for quadratic programs",
    Mathematical Programming Computation, 2020.
    """

    def __init__(self, P, q, C, l, u, *, tolerance: float, iterations: int):
        from scipy import sparse

        ext = _imported("osqp.ext_builtin")  # the compiled solver: osqp.OSQP around it costs 40 us a solve
        settings = ext.OSQPSettings()
        ext.osqp_set_default_settings(settings)
        settings.verbose = 0
        settings.eps_abs = settings.eps_rel = tolerance
        settings.eps_prim_inf = min(tolerance, 1e-4)
        settings.max_iter, settings.check_termination = iterations, 10
        P, C = sparse.csc_matrix(sparse.triu(P)), sparse.csc_matrix(C)
        P.sort_indices()
        C.sort_indices()
        self._keep = ext.CSC(P), ext.CSC(C)
        self._solver = ext.OSQPSolver(
            self._keep[0], np.array(q, float), self._keep[1], *_bounded(l, u), len(l), len(q), settings
        )
        status = ext.osqp_status_type
        self._names = {
            int(status.OSQP_SOLVED): "solved",
            int(status.OSQP_SOLVED_INACCURATE): "iteration_limit",
            int(status.OSQP_MAX_ITER_REACHED): "iteration_limit",
            int(status.OSQP_PRIMAL_INFEASIBLE): "infeasible",
            int(status.OSQP_PRIMAL_INFEASIBLE_INACCURATE): "infeasible",
        }
        self._rho, self._q = settings.rho, np.array(q, float)
        self._zero = np.zeros(len(q)), np.zeros(len(l))

    def solve(self, q, l, u, z, y) -> Solution:
        if z is None:
            self.reset()
        l, u = _bounded(l, u)
        moved = not np.array_equal(q, self._q)
        self._solver.update_data_vec(q=q if moved else None, l=l, u=u)
        if moved:
            self._q = q.copy()
        self._solver.warm_start(self._zero[0] if z is None else z, self._zero[1] if y is None else y)
        self._solver.solve()
        info, found = self._solver.info, self._solver.solution
        name = self._names.get(info.status_val, "failed")
        return Solution(found.x.copy(), found.y.copy(), name, info.iter)  # the solver's memory, alive

    def reset(self) -> None:
        """Forget the step size that the last problem led to."""
        self._solver.update_rho(self._rho)


@final
class Clarabel(QuadraticProgram):
    """Interior point: tolerance 1e-8 at a cost that hardly depends on the start, of which it makes no use.

    Source: Goulart and Chen, "Clarabel: an interior-point solver for conic programs with quadratic objectives", 2024.
    """

    def __init__(self, P, q, C, l, u, *, tolerance: float, iterations: int):
        from scipy import sparse

        clarabel = _imported("clarabel")
        self._fixed = l == u
        self._upper, self._lower = np.isfinite(u) & ~self._fixed, np.isfinite(l) & ~self._fixed
        C = sparse.csr_matrix(C)
        G = sparse.csc_matrix(sparse.vstack([C[self._fixed], C[self._upper], -C[self._lower]]))
        sizes = int(self._fixed.sum()), int(self._upper.sum() + self._lower.sum())
        settings = clarabel.DefaultSettings()
        settings.verbose, settings.presolve_enable, settings.max_iter = False, False, min(iterations, 200)
        settings.chordal_decomposition_enable = False
        settings.tol_feas = settings.tol_gap_abs = settings.tol_gap_rel = tolerance
        cones = [clarabel.ZeroConeT(sizes[0]), clarabel.NonnegativeConeT(sizes[1])]
        self._solver = clarabel.DefaultSolver(
            sparse.csc_matrix(sparse.triu(P)),
            q,
            G,
            self._bounds(l, u),
            [c for c, s in zip(cones, sizes, strict=True) if s],
            settings,
        )

    def solve(self, q, l, u, z, y) -> Solution:
        self._solver.update(q=q, b=self._bounds(l, u))
        result = self._solver.solve()
        name = str(result.status)
        multipliers, at = np.asarray(result.z), np.zeros(len(l))
        first, second = int(self._fixed.sum()), int(self._fixed.sum() + self._upper.sum())
        at[self._fixed] = multipliers[:first]
        at[self._upper] = multipliers[first:second]
        at[self._lower] -= multipliers[second:]
        status = _CLARABEL.get(name, "failed")
        return Solution(np.asarray(result.x), at, status, result.iterations)

    def _bounds(self, l, u) -> np.ndarray:
        return np.concatenate([u[self._fixed], u[self._upper], -l[self._lower]])


@final
class Both(QuadraticProgram):
    """OSQP from a warm start; Clarabel from none, and where OSQP does not get there within `iterations`.

    Splitting needs thousands of iterations from zero where an interior point needs ten, and thirty from a good start.
    After a failure OSQP is left alone for the next solve, after the next failure for 3, 7, at most 15.
    """

    def __init__(self, P, q, C, l, u, *, tolerance: float, iterations: int):
        self._warm = Osqp(P, q, C, l, u, tolerance=tolerance, iterations=iterations)
        self._cold = Clarabel(P, q, C, l, u, tolerance=min(tolerance, 1e-8), iterations=iterations)
        self._pause = self._left = 0

    def solve(self, q, l, u, z, y) -> Solution:
        if z is None or y is None:
            self._warm.reset()
            self._pause = self._left = 0
        elif self._left:
            self._left -= 1
        else:
            solution = self._warm.solve(q, l, u, z, y)
            if solution.status == "solved":
                self._pause = 0
                return solution
            self._pause = self._left = min(2 * self._pause + 1, 15)
        return self._cold.solve(q, l, u, z, y)


_CLARABEL = {
    "Solved": "solved",
    "AlmostSolved": "iteration_limit",
    "MaxIterations": "iteration_limit",
    "PrimalInfeasible": "infeasible",
    "AlmostPrimalInfeasible": "infeasible",
}
SOLVERS: dict[str, type[Both] | type[Osqp] | type[Clarabel]] = {"auto": Both, "osqp": Osqp, "clarabel": Clarabel}


def program(name: str, P, q, C, l, u, *, tolerance: float, iterations: int) -> QuadraticProgram:
    """The QuadraticProgram of these matrices for the solver `name`; ValueError lists the solvers there are."""
    if name not in SOLVERS:
        raise unknown("solver", name, SOLVERS)
    return SOLVERS[name](P, q, C, l, u, tolerance=tolerance, iterations=iterations)


def _bounded(l: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """OSQP's infinity is 1e30."""
    return np.maximum(l, -1e30), np.minimum(u, 1e30)


def _imported(package: str):
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError as error:
        name = package.split(".")[0]
        raise MissingDependency(f"{name} is not installed; install it with: pip install {name}") from error
