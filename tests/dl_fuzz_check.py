"""What holds of every random program: NumPy's values, eager mode's bits from dl.jit, and gradients of differences."""

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from dl_fuzz import OPS, PERTURBED, Input, Program, Run, Step, generate, tolerance

import dl
from dl import kernel
from dl.recorder import build, split
from dl.trace import Listener, recording

THREADS = (1, 2)
NOT_SMOOTH = {"detach", "float"}  # differences see what the derivative must not
TRUTHS = ("logical", "bool", "not", "any", "all", "count_nonzero")  # whether a number is 0 decides
ORDERED = {"sort", "median", "topk", "max_values", "amax", "amin", "max_pool2d"}
GRADIENT = 1e-6  # of the size of the terms of the slope, beside what the differences themselves are off by


class Rows(Listener):
    """Counts the rows of the table that run while it listens."""

    def __init__(self):
        self.count: Counter = Counter()

    def add(self, p, inputs, attrs, outputs):
        self.count[p.name] += 1


class Difference(AssertionError):
    """A law that a program breaks."""


@contextmanager
def threads(n: int):
    """Kernels and recorded programs on n threads; several share even what is too small to be worth it."""
    k, worth = kernel._kernels, (build.TOGETHER, split.ALONE, split.LEAST_ITEMS)
    if k is None:
        yield
        return
    before = k.num_threads()
    k.set_num_threads(n)
    if n > 1:
        build.TOGETHER, split.ALONE, split.LEAST_ITEMS = -1, -1, 1
    try:
        yield
    finally:
        k.set_num_threads(before)
        build.TOGETHER, split.ALONE, split.LEAST_ITEMS = worth


def tensors(arrays) -> list:
    return [dl.from_numpy(a.copy(order="K") if a.base is None else a) for a in arrays]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to the bit; any NaN is NaN."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind != "f":
        return np.array_equal(a, b)
    return np.array_equal(a, b, equal_nan=True) and np.array_equal(np.signbit(a) & (a == a), np.signbit(b) & (b == b))


def results(program: Program) -> list[int]:
    """The values that the program returns: the last, and some of the others."""
    steps = [i for i, n in enumerate(program.nodes) if isinstance(n, Step)]
    rng = np.random.default_rng((program.seed, 5))
    return [i for i in steps if i == steps[-1] or rng.random() < 0.4]


def function(program: Program, kept: list[int]):
    def f(*args):
        values = program.run(args, "f")
        return tuple(values[i] for i in kept)

    return f


def close(program: Program, runs: list[Run]):
    """Eager values against the twins'."""
    with dl.no_grad():
        found = program.run(tensors(program.data()), "f")
    for i, t in enumerate(found):
        a, b = t.numpy(), runs[0].values[i]
        if a.dtype != b.dtype or a.shape != b.shape:
            raise Difference(f"value {i}: {a.dtype}{list(a.shape)}, wanted {b.dtype}{list(b.shape)}")
        most = tolerance(runs, i)
        if most is None:
            continue
        bad = ~np.isclose(a, b, rtol=0, atol=most, equal_nan=True) if a.dtype.kind == "f" else a != b
        if bad.any():
            k = tuple(int(n) for n in np.argwhere(bad)[0])
            raise Difference(f"value {i} at {k}: {a[k]!r}, wanted {b[k]!r} within {most:.2g}")


def heard(f, arguments: list, rows: Rows):
    """The same bits where a listener hears the operations, which then take another way."""
    alone = f(*tensors(arguments))
    with recording(rows):
        found = f(*tensors(arguments))
    for j, (a, b) in enumerate(zip(found, alone, strict=True)):
        if not same(a.numpy(), b.numpy()):
            raise Difference(f"result {j} is another one where somebody listens: {first(a.numpy(), b.numpy())}")


def replayed(f, arguments: list, name: str):
    """f, recorded on the first arguments and replayed on the others, against f itself; one and two threads.

    Eager mode gets them in C order, as a recorded program has them: the order of a product's sums depends on strides.
    """
    wanted, ordered = None, [[np.array(a, order="C") for a in args] for args in arguments]
    for n in THREADS:
        with threads(n):
            eager = [[t.detach().numpy().copy() for t in f(*tensors(args))] for args in ordered]
            wanted = eager if wanted is None else wanted
            recorded = dl.jit(f)
            for k, args in enumerate((arguments[0], arguments[1], arguments[1], arguments[0])):
                label = (0, 1, 1, 0)[k]
                out = [np.asarray(t) for t in recorded(*args)]
                for j, (a, b) in enumerate(zip(out, eager[label], strict=True)):
                    if not same(a, b):
                        raise Difference(f"{name}: jit call {k} with {n} threads, result {j}: {first(a, b)}")
        for e, w in zip(eager, wanted, strict=True):
            for j, (a, b) in enumerate(zip(e, w, strict=True)):
                if not same(a, b):
                    raise Difference(f"{name}: eager with {n} threads, result {j}: {first(a, b)}")


def first(a: np.ndarray, b: np.ndarray) -> str:
    if a.dtype != b.dtype or a.shape != b.shape:
        return f"{a.dtype}{list(a.shape)}, wanted {b.dtype}{list(b.shape)}"
    k = tuple(int(n) for n in np.argwhere(~((a == b) | ((a != a) & (b != b))))[0]) if (a != b).any() else ()
    return f"at {k} {a[k]!r}, wanted {b[k]!r} (or the sign of a zero)"


def weights(program: Program, kept: list[int], values) -> dict[int, np.ndarray]:
    """A random weight for every element of the floating results."""
    return {
        i: np.asarray(np.random.default_rng((program.seed, 9, i)).standard_normal(values[i].shape)).astype(
            values[i].dtype
        )
        for i in kept
        if values[i].dtype.kind == "f"
    }


def check_gradients(program: Program, runs: list[Run], kept: list[int], rows: Rows) -> str:
    """backward() against grad, jit of grad against eager, and both against differences of the twins."""
    data, w = program.data(), weights(program, kept, runs[0].values)
    wanted = [k for k, a in enumerate(data) if a.dtype.kind == "f"]
    if not w or not wanted:
        return "none"

    def loss(*args):
        values = program.run(args, "f")
        return sum((values[i] * dl.from_numpy(w[i])).sum().to(np.float64) for i in w)

    try:
        found = backward(loss, data, wanted)
        if found is None:
            return "none"
        with recording(rows):
            again = backward(loss, data, wanted) or []
        for k, a, b in zip(wanted, again, found, strict=True):
            if not same(a, b):
                raise Difference(f"the gradient of argument {k} is another one where somebody listens: {first(a, b)}")
        gradient = dl.grad(loss, tuple(wanted))
        for k, a, b in zip(wanted, found, gradient(*tensors(data)), strict=True):
            if not same(a, b.numpy()):
                raise Difference(f"dl.grad and backward differ for argument {k}: {first(b.numpy(), a)}")
        replayed(gradient, [data, program.data(1)], "gradient")
    except RuntimeError as error:
        if "in place" in str(error) and any(isinstance(n, Step) and OPS[n.op].changes for n in program.nodes):
            return "refused"  # it would be wrong
        raise
    return slope(program, runs, w, data, wanted, found)


def backward(loss, data: list, wanted: list[int]) -> list[np.ndarray] | None:
    """The gradients by .backward(); None where nothing that is differentiable leads to the loss."""
    leaves = tensors(data)
    for k in wanted:
        leaves[k].requires_grad_()
    total = loss(*leaves)
    if not total.requires_grad:
        return None
    total.backward()
    grads = [leaves[k].grad for k in wanted]
    return [np.zeros_like(data[k]) if g is None else g.numpy() for k, g in zip(wanted, grads, strict=True)]


def tied(step: Step, values: list) -> bool:
    """Whether an order of equal values decides where the gradient goes, or whether a number is exactly 0."""
    floats = [values[a] for a in step.args if values[a].dtype.kind == "f"]
    if any(word in step.op for word in TRUTHS) and any((a == 0).any() for a in floats):
        return True
    return step.op in ORDERED and np.unique(values[step.args[0]]).size < values[step.args[0]].size


def slope(program: Program, runs: list[Run], w: dict, data: list, wanted: list[int], found: list[np.ndarray]) -> str:
    """The derivative along one random direction, of the twins by central differences where they are smooth."""
    exact = all(n.dtype != "float32" for n in program.nodes if isinstance(n, Input))
    steps = [n for n in program.nodes if isinstance(n, Step)]
    if program.special or not exact or any(n.op in NOT_SMOOTH or tied(n, runs[0].values) for n in steps):
        return "not smooth"
    rng = np.random.default_rng((program.seed, 13))
    way = {k: rng.standard_normal(data[k].shape) for k in wanted}

    def f(h: float) -> float:
        moved = [a.copy() + h * way[k] if k in way else a.copy() for k, a in enumerate(data)]
        with np.errstate(all="ignore"):
            values = program.run(moved, "twin")
        return float(sum(np.sum(values[i] * w[i]) for i in w))

    h, f0 = 1e-4, f(0.0)
    ends = {s: (f(s), f(-s)) for s in (h, h / 2, h / 10)}
    bend = {s: (a - 2 * f0 + b) / s for s, (a, b) in ends.items()}
    noise = 1e-11 * (1 + abs(f0))
    coarse, fine = ((ends[s][0] - ends[s][1]) / (2 * s) for s in (h, h / 2))
    best = (4 * fine - coarse) / 3
    terms = sum(float(np.abs(g * way[k]).sum()) for k, g in zip(wanted, found, strict=True))
    size = 1e-3 + abs(best)
    smooth = abs(bend[h / 10]) <= 0.2 * abs(bend[h]) + 10 * noise / h and abs(coarse - fine) <= 1e-6 * size
    ours = sum(float(np.sum(g * way[k])) for k, g in zip(wanted, found, strict=True))
    if not np.isfinite(ours):
        return "not finite"  # a root at 0, say
    if not (smooth and abs(bend[h]) <= 0.05 * size and noise / h <= 1e-4 * size):
        return "not smooth"
    if not abs(ours - best) <= GRADIENT * (1e-3 + terms) + abs(coarse - fine) + 10 * noise / h:
        raise Difference(f"gradient along a direction: {ours!r}, differences say {best!r}")
    return "checked"


def check(program: Program, runs: list[Run] | None = None) -> dict:
    """All laws for one program; raises Difference, or returns what was checked."""
    if runs is None:
        runs = [Run(program.seed, k) for k in range(1 + PERTURBED)]
        for run in runs:
            for node in program.nodes:
                run.add(node)
    close(program, runs)
    kept, rows = results(program), Rows()
    f = function(program, kept)
    with dl.no_grad():
        heard(f, program.data(), rows)
        replayed(f, [program.data(), program.data(1)], "values")
    gradient = check_gradients(program, runs, kept, rows)
    operations = [n.op for n in program.nodes if isinstance(n, Step)]
    return {"operations": operations, "gradient": gradient, "rows": rows.count}


def fails(program: Program) -> str | None:
    """What is wrong with a program, or None; a program that cannot run at all is not wrong."""
    try:
        runs = [Run(program.seed, k) for k in range(1 + PERTURBED)]
        for run in runs:
            for node in program.nodes:
                run.add(node)
    except Exception:
        return None
    try:
        check(program, runs)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def used(nodes: list, wanted: int | None = None) -> tuple:
    """The nodes without those that nobody reads (after the one that is wanted, and before it)."""
    last = len(nodes) - 1 if wanted is None else wanted
    live = {last}
    for i in range(last, -1, -1):
        if isinstance(nodes[i], Step) and (i in live or (OPS[nodes[i].op].changes and nodes[i].args[0] in live)):
            live |= {i, *nodes[i].args}
    new = {old: k for k, old in enumerate(sorted(live))}
    made = []
    for old in sorted(live):
        n = nodes[old]
        made.append(replace(n, args=tuple(new[a] for a in n.args)) if isinstance(n, Step) else n)
    return tuple(made)


def smaller(program: Program):
    """Programs with less in them: cut short, or with an input in place of an operation."""
    nodes = list(program.nodes)
    for i in range(len(nodes)):
        if isinstance(nodes[i], Step):
            yield replace(program, nodes=used(nodes, i))
    try:
        run = Run(program.seed, 0)
        for node in nodes:
            run.add(node)
    except Exception:
        return
    for i, node in enumerate(nodes):
        if isinstance(node, Step):
            a = run.values[i]
            yield replace(program, nodes=used([*nodes[:i], Input(i, a.shape, a.dtype.name), *nodes[i + 1 :]]))
        elif node.layout != "C" or node.fill in ("whole", "special"):
            yield replace(program, nodes=(*nodes[:i], replace(node, layout="C", fill="normal"), *nodes[i + 1 :]))


def shrunk(program: Program, budget: int = 200) -> Program:
    """A smallest program found that still fails."""
    going = True
    while going and budget > 0:
        going = False
        for candidate in smaller(program):
            budget -= 1
            if candidate != program and fails(candidate):
                program, going = candidate, True
                break
            if budget <= 0:
                break
    return program


def report(seed: int) -> tuple[dict | None, str]:
    """What was checked of the program of a seed, or None and a message with a minimal reproducer."""
    program, runs = generate(seed)
    try:
        return check(program, runs), ""
    except Exception as error:
        least = shrunk(program)
        what = fails(least) or fails(program) or f"{type(error).__name__}: {error}"
        lines = ",\n        ".join(map(repr, least.nodes))
        code = f"from dl_fuzz_check import *\n\ncheck(Program({least.seed}, (\n        {lines},\n)))"
        return None, f"seed {seed}: {what}\n{code}"
