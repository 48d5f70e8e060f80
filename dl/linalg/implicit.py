"""Solutions of equations as differentiable functions of their parameters: the implicit function theorem."""

from collections.abc import Callable

import numpy as np

from dl.linalg.rows import LinAlgError, T
from dl.linalg.systems import solve
from dl.ops.base import as_tensor
from dl.primitive import Primitive
from dl.tape import apply, no_grad
from dl.tensor import Tensor


def implicit_row(f: Callable, solver: Callable, name: str) -> Primitive:
    """A row theta -> x with f(x, *theta) = 0: dx = -(df/dx)^-1 (df/dtheta) dtheta, differentiable again."""
    from dl.transforms import jacobian, vjp

    def rule(needs, g, x, *theta):
        n = x.array.size
        J = jacobian(lambda x: f(x, *theta))(x).reshape(n, n)
        y = -solve(T(J), g.reshape(n)).reshape(*x.shape)
        wanted = [i for i, need in enumerate(needs) if need]

        def of_theta(*some):
            full = list(theta)
            for i, t in zip(wanted, some, strict=True):
                full[i] = t
            return f(x, *full)

        _, pull = vjp(of_theta, *(theta[i] for i in wanted))
        found = pull(y)
        found = found if isinstance(found, tuple) else (found,)
        by_index = dict(zip(wanted, found, strict=True))
        return tuple(by_index.get(i) for i in range(len(theta)))

    return Primitive(name, lambda *theta: solver(*theta), vjp=rule)


def root(f: Callable, x0, *theta, tol: float = 1e-10, max_iter: int = 50) -> Tensor:
    """x with f(x, *theta) = 0, by Newton's method with step halving from x0; differentiable by theta, again and again.

    f(x, *theta) -> residual of x's shape, in dl operations; its Jacobian must be regular at the solution. What f closes
    over is a constant: pass as theta what is to be differentiated. Ends when |f| <= tol max(1, |f(x0)|). Raises
    LinAlgError when it does not within max_iter iterations.
    """
    x0 = as_tensor(x0)
    theta = tuple(as_tensor(p, x0.dtype) for p in theta)
    return apply(implicit_row(f, lambda *arrays: newton(f, x0, arrays, tol, max_iter), "root"), theta)


def newton(f, x0: Tensor, arrays, tol: float, max_iter: int) -> np.ndarray:
    from dl.transforms import jacobian

    theta = tuple(Tensor(a) for a in arrays)
    x, n = x0.array.copy(), x0.array.size
    with no_grad():
        r = f(Tensor(x), *theta).array
    first = max(1.0, float(np.abs(r).max(initial=0.0)))
    for _ in range(max_iter):
        size = float(np.abs(r).max(initial=0.0))
        if size <= tol * first:
            return x
        J = jacobian(lambda x: f(x, *theta))(Tensor(x)).array.reshape(n, n)
        step = np.linalg.lstsq(J, r.reshape(n), rcond=None)[0].reshape(x.shape)
        length = 1.0
        while length > 1e-4:
            with no_grad():
                trial = f(Tensor(x - length * step), *theta).array
            if np.isfinite(trial).all() and np.abs(trial).max(initial=0.0) < size:
                break
            length /= 2
        x, r = x - length * step, trial
    raise LinAlgError(
        f"linalg.root: |f| = {np.abs(r).max(initial=0.0):.3g} after {max_iter} Newton steps, wanted {tol * first:.3g}; "
        "start nearer to a solution or raise max_iter"
    )


def fixed_point(f: Callable, x0, *theta, tol: float = 1e-10, max_iter: int = 1000) -> Tensor:
    """x = f(x, *theta), by iterating f from x0; differentiable by theta (the gradient does not unroll the iteration).

    Raises LinAlgError when successive iterates still differ by more than tol max(1, |x|) after max_iter.
    """
    x0 = as_tensor(x0)
    theta = tuple(as_tensor(p, x0.dtype) for p in theta)

    def iterate(*arrays):
        parameters = tuple(Tensor(a) for a in arrays)
        x = x0.array
        with no_grad():
            for _ in range(max_iter):
                y = f(Tensor(x), *parameters).array
                gap = float(np.abs(y - x).max(initial=0.0))
                x = y
                if gap <= tol * max(1.0, float(np.abs(x).max(initial=0.0))):
                    return x.copy()
        raise LinAlgError(
            f"linalg.fixed_point: iterates still differ by {gap:.3g} after {max_iter} iterations; f may not contract: "
            "use root(lambda x, *p: f(x, *p) - x, ...)"
        )

    return apply(implicit_row(lambda x, *p: f(x, *p) - x, iterate, "fixed_point"), theta)
