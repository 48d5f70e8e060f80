"""Disturbances as states: a model that also estimates what pushes the plant, and a feedback that pushes back."""

import numpy as np

from controllers.base import Policy
from controllers.estimate.base import covariance
from controllers.estimate.model import Model


def with_disturbance(model: Model, Wd, *, E=None, Bd=None, Cd=None) -> Model:
    """The model of z = [x, d]: x+ = f(x, u + E d) [+] Bd d, d+ = d + w_d, y = h(x, u + E d) + Cd d.

    d (nd,) drifts with covariance Wd (nd, nd) a step; Wd = 0 is a constant bias. E (nu, nd): forces where the inputs
    act, the identity if no matrix is given; Bd (ndx, nd): anywhere else; Cd (ny, nd): biases of the sensors. Any filter
    of the result is a disturbance observer; it finds d if (A, C) of the whole is observable, for which nd <= ny is
    necessary (controllers.observable says which mode is not). Raises ValueError for shapes that do not fit. Source:
    Davison and Smith, 1971; Muske and Badgwell, Disturbance modeling for offset-free linear model predictive control,
    2002.
    """
    Wd = np.atleast_2d(np.asarray(Wd, float))
    nd, ndx = len(Wd), model.ndx
    Wd = covariance("with_disturbance", "Wd", Wd, nd)
    if E is None and Bd is None and Cd is None:
        E = np.eye(model.nu)
    E, Bd, Cd = (
        _map(name, M, (rows, nd)) for name, M, rows in (("E", E, model.nu), ("Bd", Bd, ndx), ("Cd", Cd, model.ny))
    )

    def f(z, u):
        x, d = z[..., :-nd], z[..., -nd:]
        x_next = model.f(x, u + d @ E.T)
        x_next = model.integrate(x_next, d @ Bd.T) if Bd.any() else x_next
        return np.concatenate([x_next, np.broadcast_to(d, (*x_next.shape[:-1], nd))], axis=-1)

    def h(z, u):
        x, d = z[..., :-nd], z[..., -nd:]
        y = model.h(x, u + d @ E.T)
        return y + d @ Cd.T if Cd.any() else y

    def difference(z, y):
        dx = model.difference(z[..., :-nd], y[..., :-nd])
        return np.concatenate([dx, y[..., -nd:] - z[..., -nd:]], axis=-1)

    def integrate(z, dz):
        x, d = model.integrate(z[..., :-nd], dz[..., :-nd]), z[..., -nd:] + dz[..., -nd:]
        return np.concatenate([x, np.broadcast_to(d, (*x.shape[:-1], nd))], axis=-1)

    W = np.zeros((ndx + nd, ndx + nd))
    W[:ndx, :ndx], W[ndx:, ndx:] = model.W, Wd
    return Model(
        f=f, h=h, W=W, V=model.V, nu=model.nu, difference=difference, integrate=integrate, residual=model.residual
    )


def cancel(feedback: Policy, nd: int, *, E=None) -> Policy:
    """u = feedback(x, t) - E d for the estimate z = [x, d] of a model with disturbances at the inputs.

    E (nu, nd), the identity if None: no steady error is left under a constant d, as with an integrator.
    """
    E = np.eye(nd) if E is None else np.asarray(E, float)
    return lambda z, t: feedback(z[..., :-nd], t) - z[..., -nd:] @ E.T


def _map(name: str, M, shape: tuple[int, int]) -> np.ndarray:
    M = np.zeros(shape) if M is None else np.asarray(M, float)
    if M.shape != shape:
        raise ValueError(f"with_disturbance: {name} must be {shape}, a column for each disturbance, got {M.shape}")
    return M
