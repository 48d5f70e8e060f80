"""What every filter shares: its estimate, its calls, and what becomes of a measurement that cannot be used."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """What a filter believes at time t [s].

    x (..., nx); P (..., ndx, ndx), the covariance of the error x [-] x_true in tangent coordinates, None for an
    observer that has none. After a measurement also: innovation (..., ny) = y - h(x before it), zero where y was not
    used; nis (...) = innovation' S^-1 innovation, chi-square with as many degrees as components used; used (..., ny).
    status: "ok"; "partial": some components were not used; "rejected": none was, so the estimate is the prediction;
    "diverged": the model's prediction was not finite and the estimate before it is kept. The worst of a batch.
    """

    x: np.ndarray
    P: np.ndarray | None
    t: float
    innovation: np.ndarray | None = None
    nis: np.ndarray | None = None
    used: np.ndarray | None = None
    status: str = "ok"


@dataclass(frozen=True)
class Correction:
    """What one measurement makes of a prediction: x, P after it, innovation, nis, used; see Estimate."""

    x: np.ndarray
    P: np.ndarray | None
    innovation: np.ndarray
    nis: np.ndarray | None
    used: np.ndarray


class Filter(ABC):
    """reset(x0, P0), then update(y, u, t) -> Estimate at every measurement; over any leading axes where it says so.

    update is predict(u), one step of the model, and correct(y). A component of y that is not finite is not used: the
    others are, with their part of V. A measurement beyond `gate` (of nis; none if None), or one that would make x or P
    non-finite, is not used at all. `rejected` counts the measurements of which something was not used (each row of a
    batch counts), `diverged` the predictions that were not finite and were replaced by the estimate before them.
    """

    who: str
    ndx: int
    ny: int
    nu: int
    x: np.ndarray
    P: np.ndarray | None
    cross: np.ndarray | None  # covariance (..., ndx, ndx) of the errors before and after the last prediction
    needs_P0: bool = True

    @abstractmethod
    def _move(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """x, P one step on under u (..., nu), and the cross covariance; may be non-finite."""

    @abstractmethod
    def _measure(self, y: np.ndarray) -> Correction:
        """self.x, self.P corrected by y, of which any component may be non-finite; may be non-finite itself."""

    def difference(self, x, y) -> np.ndarray:
        """The tangent vector dx (..., ndx) from x to y (..., nx); a filter of a model takes the model's."""
        return np.subtract(y, x)

    def integrate(self, x, dx) -> np.ndarray:
        """The state (..., nx) reached from x along dx (..., ndx)."""
        return np.add(x, dx)

    def reset(self, x0, P0=None, t: float = 0.0) -> None:
        """Believe x0 (..., nx) with covariance P0 (..., ndx, ndx) before the measurement at time t [s].

        Raises ValueError if x0 is not finite or P0 is not positive semidefinite.
        """
        x0 = np.array(x0, float)
        if x0.ndim == 0 or not np.isfinite(x0).all():
            raise ValueError(f"{self.who}: x0 must be finite and (..., nx), got {x0.tolist()}")
        size = np.shape(self.difference(x0, x0))[-1]
        if size != self.ndx:
            raise ValueError(
                f"{self.who}: the model has {self.ndx} tangent coordinates (the size of W), x0 of shape {x0.shape} "
                f"has {size}"
            )
        if P0 is None and self.needs_P0:
            raise ValueError(f"{self.who}: P0 ({self.ndx}, {self.ndx}), the covariance of x0, is missing")
        self.P = None if P0 is None else covariance(self.who, "P0", P0, self.ndx)
        self.x, self.cross = x0, None
        self.t, self.u = float(t), np.zeros(self.nu)
        self.rejected = self.diverged = 0

    def predict(self, u) -> Estimate:
        """One step of the model under u (..., nu), without a measurement."""
        self._started()
        self.u = self._input(u)
        try:
            with np.errstate(all="ignore"):
                x, P, cross = self._move(self.u)
        except np.linalg.LinAlgError:
            x, P, cross = np.full_like(self.x, np.nan), self.P, self.P
        good = _finite(x, P)
        self.cross = cross
        if not good.all():
            self.diverged += int((~good).sum())
            x, P = _keep(good, x, self.x, 1), _keep(good, P, self.P, 2)
            self.cross = _keep(good, cross, P, 2)
        self.x, self.P = x, P
        return Estimate(self.x.copy(), _copy(self.P), self.t, status="ok" if good.all() else "diverged")

    def correct(self, y) -> Estimate:
        """The estimate with the measurement y (..., ny) of the present state."""
        self._started()
        y = np.asarray(y, float)
        try:
            with np.errstate(all="ignore"):
                found = self._measure(y)
        except np.linalg.LinAlgError:
            used = np.zeros((*y.shape[:-1], self.ny), bool)
            found = Correction(self.x, self.P, np.zeros(used.shape), np.zeros(used.shape[:-1]), used)
        good = _finite(found.x, found.P)
        used = found.used & good[..., None]
        self.x, self.P = _keep(good, found.x, self.x, 1), _keep(good, found.P, self.P, 2)
        self.rejected += int((~used.all(axis=-1)).sum())
        status = "ok" if used.all() else "partial" if used.any(axis=-1).all() else "rejected"
        innovation = np.where(used, found.innovation, 0.0)
        nis = None if found.nis is None else np.where(good, found.nis, 0.0)
        return Estimate(self.x.copy(), _copy(self.P), self.t, innovation, nis, used, status)

    def update(self, y, u=None, t: float = 0.0) -> Estimate:
        """The estimate at time t [s] from the measurement y (..., ny), u (..., nu) having acted since the last one.

        u None: no time has passed (the first measurement, or a second sensor). y None: no measurement arrived.
        """
        moved = None if u is None else self.predict(u)
        self.t = float(t)
        if y is None:
            status = "ok" if moved is None else moved.status
            return Estimate(self.x.copy(), _copy(self.P), self.t, status=status)
        estimate = self.correct(y)
        if moved is not None and moved.status == "diverged":
            return Estimate(**{**vars(estimate), "status": "diverged"})
        return estimate

    def _started(self) -> None:
        if "x" not in vars(self):
            raise ValueError(f"{self.who}: call reset(x0, P0) before the first update")

    def _input(self, u) -> np.ndarray:
        u = np.asarray(u, float)
        if u.ndim == 0 or u.shape[-1] != self.nu or not np.isfinite(u).all():
            raise ValueError(f"{self.who}: u must be finite and (..., {self.nu}), got {u!r:.100}")
        return u


def covariance(who: str, name: str, M, size: int, *, definite: bool = False) -> np.ndarray:
    """M as a symmetric float64 (..., size, size); ValueError unless positive semidefinite (definite: definite)."""
    M = np.array(M, float)
    if M.shape[-2:] != (size, size):
        raise ValueError(f"{who}: {name} must be ({size}, {size}), got {M.shape}; from deviations np.diag(sigma**2)")
    largest = np.abs(M).max(initial=0.0)
    if not np.isfinite(largest) or np.abs(M - np.swapaxes(M, -1, -2)).max(initial=0.0) > 1e-8 * largest:
        raise ValueError(f"{who}: {name} must be finite and symmetric")
    M = symmetric(M)
    smallest = np.linalg.eigvalsh(M).min(initial=np.inf)
    if smallest < -1e-10 * largest or (definite and not smallest > 1e-15 * largest):
        kind = "definite" if definite else "semidefinite"
        raise ValueError(f"{who}: {name} must be positive {kind}, its smallest eigenvalue is {smallest:.3g}")
    return M


def symmetric(M: np.ndarray) -> np.ndarray:
    """The symmetric part of M (..., n, n)."""
    return 0.5 * (M + np.swapaxes(M, -1, -2))


def root(P: np.ndarray) -> np.ndarray:
    """G (..., n, n) with G G' = P: Cholesky's, or from the eigenvectors where P is only semidefinite."""
    try:
        return np.linalg.cholesky(P)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(P)
        return vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]


def mask(e: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which components of e (..., ny) are finite, e with zeros elsewhere, and V with those rows decoupled.

    A component with no sensitivity, no innovation and a noise of its own changes nothing: the others give what they
    would give without it, and batches keep their shape.
    """
    used = np.isfinite(e)
    if used.all():
        return used, e, V
    both = used[..., :, None] & used[..., None, :]
    return used, np.where(used, e, 0.0), np.where(both, V, np.eye(e.shape[-1]))


def gated(used: np.ndarray, nis: np.ndarray, gate: float | None) -> np.ndarray:
    """used (..., ny), all False in the rows where nis (...) exceeds the gate."""
    return used if gate is None else used & (nis <= gate)[..., None]


def checked_gate(who: str, gate: float | None) -> float | None:
    """gate; ValueError unless None or positive."""
    if gate is not None and not gate > 0:
        raise ValueError(f"{who}: gate must be a positive bound on nis, for instance chi2.ppf(0.999, ny), got {gate!r}")
    return gate


def _finite(x: np.ndarray, P: np.ndarray | None) -> np.ndarray:
    good = np.asarray(np.isfinite(x).all(axis=-1))
    return good if P is None else np.asarray(good & np.isfinite(P).all(axis=(-2, -1)))


def _keep(good: np.ndarray, new: np.ndarray | None, old: np.ndarray | None, axes: int):
    """new in the good rows of the batch, old in the others; what a whole batch shares is judged by itself."""
    if new is None or old is None or good.all():
        return new
    if new.ndim - axes < good.ndim:
        good = np.asarray(np.isfinite(new).all(axis=tuple(range(-axes, 0))))
    return np.where(good.reshape(*good.shape, *(1,) * axes), new, old)


def _copy(P: np.ndarray | None) -> np.ndarray | None:
    return None if P is None else P.copy()
