"""What a plant can be made to do: controllability, Hautus tests, underactuation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sims.system import System

RANK = 1e-10  # singular values below this times the matrix norm count as zero
MARGIN = 1e-9  # modes this close to the stability boundary (times the norm of A) count as not decaying


@dataclass(frozen=True)
class Mode:
    """A mode that the inputs do not reach (or the outputs do not show).

    eigenvalue: of A; margin: smallest singular value of [A - lambda I, B] over the norm of A; direction (n,): the unit
    vector w with w* A = lambda w* and w* B = 0 (uncontrollable), or A w = lambda w and C w = 0 (unobservable).
    """

    eigenvalue: complex
    margin: float
    direction: np.ndarray

    def describe(self, names: Sequence[str] = ()) -> str:
        """The eigenvalue and the states that take part, largest first."""
        weight = np.abs(self.direction)
        order = [i for i in np.argsort(-weight, kind="stable") if weight[i] > 0.1 * weight.max()]
        parts = ", ".join(f"{names[i] if len(names) else f'x[{i}]'}" for i in order[:4])
        value = self.eigenvalue
        number = f"{value.real:.4g}" if abs(value.imag) < 1e-12 else f"{value.real:.4g}{value.imag:+.4g}j"
        return f"the mode with eigenvalue {number} (in {parts})"


@dataclass(frozen=True)
class Hautus:
    """The answer of a Hautus test: true if no mode fails; `modes` are those that do, `message` is a sentence."""

    modes: tuple[Mode, ...]
    message: str

    def __bool__(self) -> bool:
        return not self.modes


def controllable(A, B, *, names: Sequence[str] = ()) -> Hautus:
    """Whether rank [A - lambda I, B] = n at every eigenvalue of A.

    A (n, n), B (n, m); names: of the states, for the message. Continuous and discrete time alike. Source: Hautus,
    "Controllability and observability conditions of linear autonomous systems", 1969; Popov, Belevitch.
    """
    return _verdict("controllable", _failing(*pair(A, B), np.linalg.eigvals(A)), names)


def stabilisable(A, B, *, discrete: bool = False, names: Sequence[str] = ()) -> Hautus:
    """Whether rank [A - lambda I, B] = n at every eigenvalue that does not decay by itself.

    Those have Re lambda >= 0, or with discrete=True |lambda| >= 1. A (n, n), B (n, m). Source: Hautus, 1969.
    """
    A, B = pair(A, B)
    return _verdict("stabilisable", _failing(A, B, _lasting(A, discrete)), names)


def observable(A, C, *, names: Sequence[str] = ()) -> Hautus:
    """Whether rank [A - lambda I; C] = n at every eigenvalue of A. A (n, n), C (p, n). Source: Hautus, 1969."""
    return _verdict("observable", controllable(np.transpose(A), np.transpose(C)).modes, names)


def detectable(A, C, *, discrete: bool = False, names: Sequence[str] = ()) -> Hautus:
    """Whether rank [A - lambda I; C] = n at every eigenvalue that does not decay by itself. A (n, n), C (p, n)."""
    return _verdict("detectable", stabilisable(np.transpose(A), np.transpose(C), discrete=discrete).modes, names)


def controllability_matrix(A, B) -> np.ndarray:
    """[B, A B, ..., A^(n-1) B], shape (n, n m); its singular values grade directions. Kalman, 1960."""
    A, B = pair(A, B)
    blocks = [B]
    for _ in range(len(A) - 1):
        blocks.append(A @ blocks[-1])
    return np.hstack(blocks)


def observability_matrix(A, C) -> np.ndarray:
    """[C; C A; ...; C A^(n-1)], shape (n p, n)."""
    return controllability_matrix(np.transpose(A), np.transpose(C)).T


@dataclass(frozen=True)
class Actuation:
    """How many accelerations can be commanded in a state.

    rank: independent accelerations the free inputs command; dof: independent accelerations the constraints leave;
    underactuated: rank < dof; missing (dof - rank, nv): orthonormal directions no input acts in; message: a sentence.
    """

    rank: int
    dof: int
    missing: np.ndarray
    message: str

    @property
    def underactuated(self) -> bool:
        return self.rank < self.dof


def actuation(B, *, u=None, u_min=-np.inf, u_max=np.inf, constraint=None) -> Actuation:
    """Whether M(q) vdot = ... + B(q) u can be given any acceleration in a state.

    B (nv, nu): plant.B(q), or f2 of vdot = f1 + f2 u (M is positive definite, so the rank is the same): input_map.
    u (nu,): an input at a limit u_min, u_max moves one way only and does not count. constraint: J (nc, nv) with
    J v = 0, holonomic or not, leaves nv - rank J accelerations, P vdot with J P' = 0; then B must be the map to
    forces, since P' M P a = P' B u + ... Source: Tedrake, Underactuated Robotics, chapter 1, definition
    "fully actuated", with its remarks on input limits and on constraints.
    """
    B = np.asarray(B, float)
    if B.ndim != 2:
        raise ValueError(f"actuation: B must be (nv, nu), got {B.shape}")
    nv, nu = B.shape
    free = np.ones(nu, bool)
    if u is not None:
        u = np.broadcast_to(np.asarray(u, float), (nu,))
        free = (u > u_min) & (u < u_max)
    J = np.zeros((0, nv)) if constraint is None else np.atleast_2d(np.asarray(constraint, float))
    if J.shape[1] != nv:
        raise ValueError(f"actuation: constraint must be (nc, {nv}), a column for each velocity, got {J.shape}")
    P = null_space(J)
    U, sv, _ = np.linalg.svd(P @ B[:, free])
    rank = int((sv > RANK * np.linalg.norm(B)).sum())
    verdict = "underactuated" if rank < len(P) else "fully actuated"
    note = "" if free.all() else f"; at its limit: input {np.flatnonzero(~free).tolist()}"
    message = f"{verdict}: the inputs command {rank} of {len(P)} independent accelerations{note}"
    return Actuation(rank, len(P), U[:, rank:].T @ P, message)


def input_map(system: System, x) -> np.ndarray:
    """f2 (nv, nu) with vdot = f1(x) + f2(x) u, for a second-order plant at x (nx,); exact, f is affine in u."""
    if not system.nv:
        raise ValueError(f"input_map: {type(system).__name__} is not a second-order plant x = [q, v]")
    inputs = np.concatenate([np.zeros((1, system.nu)), np.eye(system.nu)])
    x = np.broadcast_to(np.asarray(x, float), (system.nu + 1, system.nx))
    vdot = system.f(x, inputs)[..., system.nx - system.nv :]
    return (vdot[1:] - vdot[0]).T


def null_space(F, rtol: float = 1e-10) -> np.ndarray:
    """P (n - rank F, n), orthonormal rows that span {x : F x = 0} for F (m, n)."""
    F = np.atleast_2d(np.asarray(F, float))
    if not F.size:
        return np.eye(F.shape[1])
    _, sv, Vt = np.linalg.svd(F)
    rank = int((sv > rtol * max(sv[0], 1e-300)).sum())
    P = Vt[rank:]
    largest = np.abs(P).argmax(axis=1)
    return P * np.sign(P[np.arange(len(P)), largest])[:, None]  # the sign LAPACK picks is arbitrary


def _verdict(what: str, modes: tuple[Mode, ...], names: Sequence[str]) -> Hautus:
    if not modes:
        return Hautus((), what)
    return Hautus(tuple(modes), f"not {what}: " + "; ".join(mode.describe(names) for mode in modes))


def _failing(A: np.ndarray, B: np.ndarray, eigenvalues: np.ndarray) -> tuple[Mode, ...]:
    """The modes among `eigenvalues` of A, conjugates and repetitions once, where [A - lambda I, B] loses rank."""
    if not len(eigenvalues):
        return ()
    n, scale = len(A), max(np.linalg.norm(A, 2), 1e-300)
    columns = np.linalg.norm(B, axis=0)
    B = scale * B / np.where(columns > 0, columns, 1.0)  # the units of the inputs do not matter
    eigenvalues = eigenvalues[eigenvalues.imag >= 0]
    eye = np.broadcast_to(np.eye(n), (len(eigenvalues), n, n))
    pencil = np.concatenate([A - eigenvalues[:, None, None] * eye, np.broadcast_to(B, (len(eye), *B.shape))], axis=-1)
    margins = np.linalg.svd(pencil, compute_uv=False)[:, -1] / scale
    modes = []
    for k in np.flatnonzero(margins < RANK):
        U = np.linalg.svd(pencil[k])[0][:, -1]
        if not any(abs(np.vdot(U, mode.direction)) > 1 - 1e-6 for mode in modes):
            modes.append(Mode(complex(eigenvalues[k]), float(margins[k]), U))
    return tuple(modes)


def _lasting(A: np.ndarray, discrete: bool) -> np.ndarray:
    """The eigenvalues of A whose modes do not decay by themselves."""
    eigenvalues = np.linalg.eigvals(A)
    if discrete:
        return eigenvalues[np.abs(eigenvalues) >= 1 - MARGIN]
    return eigenvalues[eigenvalues.real >= -MARGIN * max(np.linalg.norm(A), 1e-300)]


def pair(A, B) -> tuple[np.ndarray, np.ndarray]:
    """A (n, n), B (n, m) as finite float64 matrices; ValueError otherwise."""
    A, B = np.asarray(A, float), np.asarray(B, float)
    if A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"A must be square, (n, n), got {A.shape}")
    if B.ndim != 2 or len(B) != len(A):
        raise ValueError(f"B must be ({len(A)}, m) beside A {A.shape}, got {B.shape}")
    if not (np.isfinite(A).all() and np.isfinite(B).all()):
        raise ValueError("A and B must be finite")
    return A, B
