"""A sparse nonlinear program put together from small functions, each mapped over its instances."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from controllers.collocation.symbolic import casadi

Row = tuple[str, int]


@dataclass(frozen=True)
class Block:
    """One function of nw unknowns that occurs n times: a cost to add, m rows of constraints, or both.

    make(w) -> (cost or None, column (m, 1) or None) of an SX column w (nw, 1); index (n, nw): which unknowns w is,
    without repetition in a row; lower, upper (n, m); rows: label and knot of each of the n m rows, instance by
    instance; unit: of each of the m rows.
    """

    make: Callable[[Any], tuple[Any, Any]]
    index: np.ndarray
    lower: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    upper: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    rows: Sequence[Row] = ()
    unit: str = ""


@dataclass(frozen=True)
class Bound:
    """What one labelled limit says about one unknown: lower <= z[variable] <= upper at a knot."""

    label: str
    knot: int
    variable: int
    lower: float
    upper: float
    unit: str = ""


class Nlp:
    """minimise f(z) subject to lower <= g(z) <= upper and bounds on z, with exact first and second derivatives.

    The derivatives are those of the small functions, found once in SX and scattered to where each instance has them:
    building costs some milliseconds whatever the number of knots. size: of z; rows, units: of g, one entry a row;
    functions: CasADi's f_g, grad_f, jac_g and the upper triangle hess_lag.
    """

    def __init__(self, size: int, blocks: Sequence[Block]):
        self.size, self.blocks = size, tuple(blocks)
        self.rows: tuple[Row, ...] = tuple(row for b in blocks for row in b.rows)
        self.units = tuple(b.unit for b in blocks for _ in b.rows)
        flat = [(b.lower.reshape(-1), b.upper.reshape(-1)) for b in blocks if b.rows]
        self.lower = np.concatenate([low for low, _ in flat]) if flat else np.zeros(0)
        self.upper = np.concatenate([high for _, high in flat]) if flat else np.zeros(0)

    @cached_property
    def functions(self) -> dict[str, Any]:
        """f_g, grad_f, jac_g, hess_lag as CasADi Functions with the signatures that nlpsol wants."""
        ca = casadi()
        z, p = ca.MX.sym("z", self.size), ca.MX.sym("p", 0)
        sigma, lam = ca.MX.sym("sigma"), ca.MX.sym("lam", len(self.rows))
        parts = _Parts(z, sigma, lam)
        for block in self.blocks:
            parts.add(_Local(block))
        f, g = parts.cost, ca.vertcat(ca.MX(0, 1), *parts.g)
        grad = ca.densify(_scatter((self.size, 1), *parts.grad))
        jac = _scatter((len(self.rows), self.size), *parts.jac)
        hess = _scatter((self.size, self.size), *parts.hess)
        return {
            "f_g": ca.Function("nlp", [z, p], [f, g], ["x", "p"], ["f", "g"]),
            "grad_f": ca.Function("nlp_grad_f", [z, p], [f, grad], ["x", "p"], ["f", "grad_f_x"]),
            "jac_g": ca.Function("nlp_jac_g", [z, p], [g, jac], ["x", "p"], ["g", "jac_g_x"]),
            "hess_lag": ca.Function(
                "nlp_hess_l", [z, p, sigma, lam], [hess], ["x", "p", "lam_f", "lam_g"], ["triu_hess_gamma_x_x"]
            ),
        }

    def solver(self, options: dict[str, Any]):
        """IPOPT for this program, as a CasADi Function of x0, lbx, ubx, lbg, ubg and multipliers."""
        given = {name: fn for name, fn in self.functions.items() if name != "f_g"}
        fixed = {"print_time": False, "calc_lam_p": False, "no_nlp_grad": True, "error_on_fail": False}
        return casadi().nlpsol("solver", "ipopt", self.functions["f_g"], {**given, **fixed, **options})

    def values(self, z) -> tuple[float, np.ndarray]:
        """f(z) and g(z) (m,)."""
        f, g = self.functions["f_g"](z, [])
        return float(f), np.asarray(g, float).reshape(-1)

    def stationarity(self, z, lam_g, lam_z) -> float:
        """The largest component of grad f + J' lam_g + lam_z, over the larger of 1 and the mean multiplier / 100.

        Source: Waechter and Biegler, Mathematical Programming 106, 2006, equations 5 and 6.
        """
        ca = casadi()
        grad = self.functions["grad_f"](z, [])[1]
        if len(self.rows):
            grad = grad + ca.mtimes(self.functions["jac_g"](z, [])[1].T, lam_g)
        residual = np.asarray(grad, float).reshape(-1) + lam_z
        mean = np.abs(np.concatenate([lam_g, lam_z])).mean()
        return float(np.abs(residual).max() / max(1.0, mean / 100))


class _Local:
    """A block's function and its derivatives as SX Functions, with the places of their non-zeros."""

    def __init__(self, block: Block):
        ca = casadi()
        self.index, self.m = block.index, block.lower.shape[-1] if block.rows else 0
        w, sigma, lam = ca.SX.sym("w", block.index.shape[1]), ca.SX.sym("sigma"), ca.SX.sym("lam", self.m)
        cost, g = block.make(w)
        self.cost = self.g = None
        lagrangian = ca.SX(0)
        if cost is not None:
            grad = ca.gradient(cost, w)
            self.grad_rows = _triplet(grad)[0]
            self.cost = ca.Function("l", [w], [cost])
            self.grad = ca.Function("dl", [w], [_nonzeros(grad)])
            lagrangian = lagrangian + sigma * cost
        if self.m:
            jac = ca.jacobian(g, w)
            self.jac_places = _triplet(jac)
            self.g = ca.Function("g", [w], [g])
            self.jac = ca.Function("dg", [w], [_nonzeros(jac)])
            lagrangian = lagrangian + ca.dot(lam, g)
        hess = ca.triu(ca.hessian(lagrangian, w)[0])
        self.hess_places = _triplet(hess)
        self.hess = ca.Function("h", [w, sigma, lam], [_nonzeros(hess)])


class _Parts:
    """The sums and stacks that blocks are added to; grad, jac, hess: (rows, columns, values)."""

    def __init__(self, z, sigma, lam):
        self.z, self.sigma, self.lam = z, sigma, lam
        self.cost, self.g, self.m = casadi().MX(0.0), [], 0
        self.grad, self.jac, self.hess = ([], [], []), ([], [], []), ([], [], [])

    def add(self, local: _Local) -> None:
        """Put one block's instances where they belong."""
        ca = casadi()
        index = local.index
        n, nw = index.shape
        w = ca.reshape(self.z[index.reshape(-1).tolist()], nw, n)
        lam = ca.MX(0, n)
        if local.cost is not None:
            self.cost = self.cost + ca.sum2(local.cost.map(n)(w))
            places = index[:, local.grad_rows]
            _put(self.grad, places, np.zeros_like(places), local.grad.map(n)(w))
        if local.g is not None:
            self.g.append(ca.vec(local.g.map(n)(w)))
            row, col = local.jac_places
            rows = self.m + local.m * np.arange(n)[:, None] + row
            _put(self.jac, rows, index[:, col], local.jac.map(n)(w))
            lam = ca.reshape(self.lam[self.m : self.m + n * local.m], local.m, n)
            self.m += n * local.m
        row, col = local.hess_places
        if len(row):
            a, b = index[:, row], index[:, col]
            sigma = ca.repmat(self.sigma, 1, n)
            _put(self.hess, np.minimum(a, b), np.maximum(a, b), local.hess.map(n)(w, sigma, lam))


def _put(into, rows: np.ndarray, cols: np.ndarray, values) -> None:
    into[0].append(rows.reshape(-1))
    into[1].append(cols.reshape(-1))
    into[2].append(casadi().vec(values))


def _nonzeros(matrix):
    ca = casadi()
    return ca.vertcat(ca.SX(0, 1), *matrix.nonzeros())


def _triplet(matrix) -> tuple[np.ndarray, np.ndarray]:
    row, col = matrix.sparsity().get_triplet()
    return np.array(row, int), np.array(col, int)


def _scatter(shape: tuple[int, int], rows: list, cols: list, values: list):
    """The MX matrix with the given entries; those at the same place are added."""
    ca = casadi()
    if not rows:
        return ca.MX(*shape)
    places = np.concatenate(cols) * shape[0] + np.concatenate(rows)  # column-major, as CasADi counts
    unique, inverse = np.unique(places, return_inverse=True)
    values = ca.vertcat(*values)
    if len(unique) == len(places):
        values = values[np.argsort(places, kind="stable").tolist()]
    else:
        to = ca.Sparsity.triplet(len(unique), len(places), inverse.tolist(), list(range(len(places))))
        values = ca.densify(ca.mtimes(ca.DM(to, 1.0), values))
    rows_, cols_ = (unique % shape[0]).tolist(), (unique // shape[0]).tolist()
    return ca.MX(ca.Sparsity.triplet(*shape, rows_, cols_), values)
