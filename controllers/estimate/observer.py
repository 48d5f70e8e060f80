"""The Luenberger observer, and its gain by pole placement."""

import numpy as np

from controllers.analysis import observability_matrix, observable, pair
from controllers.estimate.base import Correction, Filter, covariance
from controllers.estimate.model import Model


def place_observer(A, C, poles, *, discrete: bool = False) -> np.ndarray:
    """L (n, ny) that gives the error of an observer the wanted poles.

    Continuous, xhatdot = A xhat + Bu + L (y - C xhat): the eigenvalues of A - LC. discrete=True, a correction after
    every step as in `Luenberger`: those of (I - LC) A. A (n, n), C (ny, n), poles (n,) in conjugate pairs, each
    repeated at most rank C times unless there is one output. Raises ValueError if (A, C) is not observable, or the
    poles cannot be placed. Source: Luenberger, 1964; one output by Ackermann's formula, several by Kautsky, Nichols and
    Van Dooren, 1985 (SciPy).
    """
    from scipy.signal import place_poles

    A, CT = pair(A, np.atleast_2d(np.asarray(C, float)).T)
    seen, poles = CT.T, np.asarray(poles)
    if poles.shape != (len(A),) or abs(np.poly(poles).imag).max() > 1e-9:
        raise ValueError(f"place_observer: {len(A)} poles, complex ones in conjugate pairs, got {poles.tolist()}")
    seen = seen @ A if discrete else seen
    verdict = observable(A, seen)
    if not verdict:
        raise ValueError(f"place_observer: (A, {'CA' if discrete else 'C'}) is {verdict.message}; measure that too")
    if len(seen) == 1:
        polynomial = np.zeros_like(A)
        for coefficient in np.real(np.poly(poles)):
            polynomial = polynomial @ A + coefficient * np.eye(len(A))
        return polynomial @ np.linalg.solve(observability_matrix(A, seen), np.eye(len(A))[:, -1:])
    try:
        return place_poles(A.T, seen.T, poles).gain_matrix.T
    except ValueError as error:
        raise ValueError(f"place_observer: {error}") from None


class Luenberger(Filter):
    """xbar+ = f(xhat, u), xhat = xbar [+] L (y - h(xbar, u)): a model corrected with a constant gain.

    model: linear or not, on any manifold; its W and V are not used. L (ndx, ny): from `place_observer`, or from
    `dkalman` for the steady Kalman filter, whose covariance after the measurement may be given as P for the record.
    A component of y that is not finite corrects nothing. Batches over leading axes. Raises ValueError for a wrong L.
    """

    who = "Luenberger"
    needs_P0 = False

    def __init__(self, model: Model, L, *, P=None):
        self.model, self.L = model, np.array(L, float)
        self.ndx, self.ny, self.nu = model.ndx, model.ny, model.nu
        if self.L.shape != (self.ndx, self.ny) or not np.isfinite(self.L).all():
            raise ValueError(f"Luenberger: L must be finite and ({self.ndx}, {self.ny}), got {self.L.shape}")
        self._steady = None if P is None else covariance(self.who, "P", P, self.ndx)
        self.difference, self.integrate = model.difference, model.integrate

    def _move(self, u):
        return self.model.f(self.x, u), self._steady, None

    def _measure(self, y):
        e = self.model.innovation(self.x, self.u, y)
        used = np.isfinite(e)
        e = np.where(used, e, 0.0)
        return Correction(self.model.integrate(self.x, e @ self.L.T), self._steady, e, None, used)
