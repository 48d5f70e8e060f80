"""Derivatives against central differences, element by element."""

from collections.abc import Callable, Sequence

import numpy as np

from dl.tape import detach
from dl.tensor import Tensor, float64
from dl.transforms.forward import jvp
from dl.transforms.reverse import vjp
from dl.transforms.vmap import vmap


def gradcheck(
    f: Callable,
    inputs: Tensor | Sequence,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    *,
    forward: bool = True,
    batched: bool = False,
    name: str = "gradcheck",
) -> bool:
    """True where the derivatives of f are (f(x + eps e) - f(x - eps e)) / (2 eps), for each element e of each input.

    f takes the inputs (tensors; those of float64 are differentiated by) and returns a tensor or a tuple of them. Checks
    the reverse mode; forward: the forward mode too; batched: both under vmap too. Raises ValueError with the input,
    the element, both values and the mode where |a - n| > atol + rtol |n|; TypeError for float32 inputs, whose
    differences say nothing.
    """
    inputs, where, of = prepared(f, inputs, name)
    arrays = [inputs[i].array for i in where]
    numeric = differences(of, arrays, eps)
    compare(numeric, by_vjp(of, arrays, False), where, atol, rtol, f"{name}: reverse mode")
    if batched:
        compare(numeric, by_vjp(of, arrays, True), where, atol, rtol, f"{name}: reverse mode under vmap")
    if forward:
        compare(numeric, by_jvp(of, arrays, False), where, atol, rtol, f"{name}: forward mode")
        if batched:
            compare(numeric, by_jvp(of, arrays, True), where, atol, rtol, f"{name}: forward mode under vmap")
    return True


def gradgradcheck(f: Callable, inputs, *, seed: int = 0, **how) -> bool:
    """gradcheck of the derivative of f: of (x, v) -> v^T df/dx, with v drawn from seed; arguments as gradcheck's."""
    inputs, where, of = prepared(f, inputs, "gradgradcheck")

    def derivative(*tensors):
        return vjp(of, *tensors[: len(where)])[1](tensors[len(where) :])

    rng = np.random.default_rng(seed)
    points = [inputs[i] for i in where]
    weights = [Tensor(np.asarray(rng.normal(size=y.shape))) for y in of(*points)]
    return gradcheck(derivative, [*points, *weights], name="gradgradcheck", **how)


def prepared(f: Callable, inputs, name: str):
    """The inputs, which of them are differentiated by, and f as a function of those alone with its floating results."""
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    where = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.dtype.kind == "f"]
    for i in where:
        if inputs[i].dtype != float64:
            raise TypeError(f"{name}: input {i} is {inputs[i].dtype}; differences need float64: use .double()")
    if not where:
        raise TypeError(f"{name}: no input is a float64 tensor, so there is nothing to check")

    def of(*tensors):
        args = list(inputs)
        for i, t in zip(where, tensors, strict=True):
            args[i] = t
        out = f(*args)
        return tuple(y for y in (out if isinstance(out, (tuple, list)) else (out,)) if y.dtype.kind == "f")

    return inputs, where, of


def fresh(arrays) -> list[Tensor]:
    return [Tensor(a.copy()) for a in arrays]


def differences(of: Callable, arrays, eps: float) -> list[list[np.ndarray]]:
    """numeric[output][input], shape (output size, input size)."""
    columns = []
    for i, a in enumerate(arrays):
        rows = []
        for j in range(a.size):
            ends = []
            for step in (eps, -eps):
                moved = a.copy()
                moved.reshape(-1)[j] += step  # a copy is contiguous, so this is a view
                ends.append(
                    [detach(y).array.copy() for y in of(*fresh(arrays[:i]), Tensor(moved), *fresh(arrays[i + 1 :]))]
                )
            rows.append([(p - m).reshape(-1) / (2 * eps) for p, m in zip(*ends, strict=True)])
        columns.append(rows)
    outs = of(*fresh(arrays))
    return [
        [np.stack([row[k] for row in rows], 1) if rows else np.zeros((y.array.size, 0)) for rows in columns]
        for k, y in enumerate(outs)
    ]


def units(shape: tuple[int, ...]) -> Tensor:
    n = int(np.prod(shape))
    return Tensor(np.eye(n).reshape(n, *shape))


def by_vjp(of: Callable, arrays, batched: bool) -> list[list[np.ndarray]]:
    outs, pullback = vjp(of, *fresh(arrays))
    found = []
    for k, y in enumerate(outs):

        def row(g, k=k):
            return pullback(tuple(g if i == k else Tensor(np.zeros(o.shape)) for i, o in enumerate(outs)))

        found.append(matrices(row, y, arrays, batched))
    return found


def by_jvp(of: Callable, arrays, batched: bool) -> list[list[np.ndarray]]:
    points, outs = fresh(arrays), of(*fresh(arrays))
    columns = []
    for i, a in enumerate(arrays):

        def column(t, i=i):
            ts = tuple(t if j == i else Tensor(np.zeros(b.shape)) for j, b in enumerate(arrays))
            return jvp(of, tuple(points), ts)[1]

        columns.append(matrices(column, Tensor(a), [y.array for y in outs], batched))
    return [[columns[i][k].T for i in range(len(arrays))] for k in range(len(outs))]


def matrices(row: Callable, start: Tensor, ends, batched: bool) -> list[np.ndarray]:
    """row(e) for all unit tensors of the shape of start: a matrix (start size, end size) for each of its results."""
    n = start.array.size
    if n == 0:
        return [np.zeros((0, a.size)) for a in ends]
    basis = units(start.shape)
    if batched:
        return [t.array.reshape(n, -1) for t in vmap(row)(basis)]
    rows = [row(basis[i]) for i in range(n)]
    return [np.stack([r[k].array.reshape(-1) for r in rows]) for k in range(len(ends))]


def compare(numeric, analytic, where, atol: float, rtol: float, what: str):
    for k, (row, found) in enumerate(zip(numeric, analytic, strict=True)):
        for i, n, a in zip(where, row, found, strict=True):
            bad = ~(np.abs(a - n) <= atol + rtol * np.abs(n))
            if bad.any():
                at = tuple(int(j) for j in np.argwhere(bad)[np.abs(a - n)[bad].argmax()])
                raise ValueError(
                    f"{what}: d output {k} [{at[0]}] / d input {i} [{at[1]}] (flat elements): numeric {n[at]:.9g}, "
                    f"analytic {a[at]:.9g}; {int(bad.sum())} of {bad.size} differ by more than {atol:g} + {rtol:g} |n|"
                )
