"""Matrix calculus: LAPACK forward, adjoint equations backward; batched over leading axes, float64 for accuracy."""

from dl.linalg.equations import (
    dlqr,
    lqr,
    solve_continuous_are,
    solve_continuous_lyapunov,
    solve_discrete_are,
    solve_discrete_lyapunov,
    solve_sylvester,
)
from dl.linalg.factors import cholesky, eigh, qr, svd
from dl.linalg.implicit import fixed_point, root
from dl.linalg.lie import hat, se3_exp, se3_log, so3_exp, so3_log
from dl.linalg.powers import expm, sqrtm
from dl.linalg.rows import LinAlgError
from dl.linalg.systems import det, inv, lstsq, pinv, slogdet, solve, solve_triangular

__all__ = [
    "LinAlgError", "cholesky", "det", "dlqr", "eigh", "expm", "fixed_point", "hat", "inv", "lqr", "lstsq", "pinv", "qr",
    "root", "se3_exp", "se3_log", "slogdet", "so3_exp", "so3_log", "solve", "solve_continuous_are",
    "solve_continuous_lyapunov", "solve_discrete_are", "solve_discrete_lyapunov", "solve_sylvester", "solve_triangular",
    "sqrtm", "svd",
]  # fmt: skip
