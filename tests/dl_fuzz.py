"""Random programs of dl: the same seed is the same program, and its repr is code that makes it again."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import dl_fuzz_index
import dl_fuzz_nets
import dl_fuzz_ops
import numpy as np
from dl_fuzz_ops import Rejected

from dl.recorder.memory import owner

FILES = ("dl_fuzz.py", "dl_fuzz_check.py", "dl_fuzz_index.py", "dl_fuzz_nets.py", "dl_fuzz_ops.py")
OPS = {**dl_fuzz_ops.OPS, **dl_fuzz_index.OPS, **dl_fuzz_nets.OPS}
LARGEST = 1e4  # of a finite value in a program
ELEMENTS = 20000  # of an array in a program
BATCHES = (32, 64, 96)  # rows of the programs that threads share
KINDS = {"f": "float", "i": "int64", "b": "bool"}
INEXACT = (
    "acos",
    "asin",
    "atan",
    "attention",
    "cos",
    "erf",
    "exp",
    "gelu",
    "linear",
    "log",
    "mish",
    "pow",
    "sigmoid",
    "silu",
    "sin",
    "softmax",
    "softplus",
    "tan",
    "two_logaddexp",
    "two_pow",
)  # whether their results are whole numbers (1, or 0 by underflow) is up to rounding
NAMES = list(OPS)
WEIGHTS = np.array([OPS[n].weight for n in NAMES]) / sum(op.weight for op in OPS.values())
PERTURBED = 3  # runs of the twins with rounding errors put in, to see what such errors do to a program


def digest() -> str:
    """SHA-256 of the generator and the checks: what a count of programs is a count of."""
    total = hashlib.sha256()
    for name in FILES:
        total.update((Path(__file__).parent / name).read_bytes())
    return total.hexdigest()


@dataclass(frozen=True)
class Input:
    """An argument. fill: "normal", "whole" (ties), "special" (with NaN and infinities) or the number of indices.

    key: its own part of the program's seed.
    """

    key: int
    shape: tuple[int, ...]
    dtype: str
    layout: str = "C"
    fill: str | int = "normal"

    def draw(self, seed: int, other: int = 0) -> np.ndarray:
        return LAYOUTS[self.layout](self.values(np.random.default_rng((seed, other, self.key))))

    def values(self, rng) -> np.ndarray:
        if isinstance(self.fill, int):
            return np.asarray(rng.integers(0, self.fill, self.shape))
        if self.dtype == "bool":
            return np.asarray(rng.random(self.shape) < 0.5)
        if self.dtype == "int64" or self.fill == "whole":
            return np.asarray(rng.integers(-3, 4, self.shape)).astype(self.dtype)
        a = np.asarray(rng.standard_normal(self.shape)).astype(self.dtype)
        if self.fill == "special":
            at = rng.random(self.shape) < 0.2
            a = np.where(at, rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0], self.shape), a).astype(self.dtype)
        return a


@dataclass(frozen=True)
class Step:
    """One operation on earlier values."""

    op: str
    args: tuple[int, ...]
    attrs: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """Inputs and steps in order; a step's args count through both. seed: of the data."""

    seed: int
    nodes: tuple[Input | Step, ...]

    @property
    def inputs(self) -> list[int]:
        return [i for i, n in enumerate(self.nodes) if isinstance(n, Input)]

    @property
    def special(self) -> bool:
        return any(isinstance(n, Input) and n.fill == "special" for n in self.nodes)

    def data(self, other: int = 0) -> list[np.ndarray]:
        """The arguments; other: more of them, of the same shapes."""
        return [n.draw(self.seed, other) for n in self.nodes if isinstance(n, Input)]

    def run(self, arguments, side: str) -> list:
        """All values; side "f" on tensors, "twin" on arrays."""
        given, values = iter(arguments), []
        for node in self.nodes:
            if isinstance(node, Input):
                values.append(next(given))
            else:
                value = getattr(OPS[node.op], side)(*[values[i] for i in node.args], **node.attrs)
                values.append(np.asarray(value) if isinstance(value, np.generic) else value)
        return values


def spaced(a: np.ndarray) -> np.ndarray:
    """The same values, every other element of memory."""
    big = np.zeros(tuple(2 * n for n in a.shape), a.dtype)
    view = big[(*(slice(None, None, 2) for _ in a.shape), ...)]
    view[...] = a
    return view


def backwards(a: np.ndarray) -> np.ndarray:
    turn = (*(slice(None, None, -1) for _ in a.shape), ...)
    return a[turn].copy()[turn]


LAYOUTS = {"C": lambda a: a, "F": lambda a: np.asarray(a, order="F"), "spaced": spaced, "backwards": backwards}


def rounding(rng, a: np.ndarray, whole: bool) -> np.ndarray:
    """The array with errors of a few ulp, of whole numbers (which are mostly exact) where that is said, in place."""
    if a.dtype.kind == "f" and a.flags.writeable and a.size:
        with np.errstate(all="ignore"):
            off = a * (1 + 4 * np.finfo(a.dtype).eps * rng.uniform(-1, 1, a.shape)) + (1e-30 if whole else 0)
            a[...] = off if whole else np.where(np.trunc(a) == a, a, off)
    return a


class Run:
    """The twins' run of a growing program, with rounding errors put in or without."""

    def __init__(self, seed: int, number: int):
        self.seed, self.rng = seed, np.random.default_rng((seed, 77, number)) if number else None
        self.values: list[np.ndarray] = []

    def add(self, node: Input | Step):
        if isinstance(node, Input):
            value, fresh = node.draw(self.seed), True
        else:
            op, args = OPS[node.op], [self.values[i] for i in node.args]
            with np.errstate(all="ignore"):
                value = op.twin(*args, **node.attrs)
            value = value if isinstance(value, np.ndarray) else np.asarray(value)
            fresh = op.changes or not any(owner(value) is owner(a) for a in args)
        whole = isinstance(node, Step) and node.op.startswith(INEXACT)
        self.values.append(value if self.rng is None or not fresh else rounding(self.rng, value, whole))


def tolerance(runs: list[Run], i: int) -> float | None:
    """How far a value may be off; None where rounding decides what it is at all."""
    exact = runs[0].values[i]
    scale, off = 0.0, 0.0
    for run in runs[1:]:
        other = run.values[i]
        if exact.dtype.kind != "f":
            if not np.array_equal(exact, other):
                return None
            continue
        if exact.shape != other.shape or not np.array_equal(np.isfinite(exact), np.isfinite(other)):
            return None
        at = np.isfinite(exact)
        if at.any():
            scale = max(scale, float(np.abs(exact[at]).max()))
            off = max(off, float(np.abs(exact[at] - other[at]).max()))
    if exact.dtype.kind != "f":
        return 0.0
    if off > 2e-3 * max(scale, 1e-3):
        return None
    return 50 * off + 64 * float(np.finfo(exact.dtype).eps) * scale


class Draw:
    """A program as it grows: what proposals ask for values, dims and numbers."""

    def __init__(self, seed: int):
        self.seed, self.rng = seed, np.random.default_rng(seed)
        self.nodes: list[Input | Step] = []
        self.runs = [Run(seed, k) for k in range(1 + PERTURBED)]
        self.dtype = self.choice(("float32", "float64"))
        self.special = self.chance(0.06)
        self.batch = int(self.choice(BATCHES)) if self.chance(0.3) else 0
        self.layouts = ("C",) if self.chance(0.5) else ("C", "F", "spaced", "backwards")

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def below(self, n: int) -> int:
        return int(self.rng.integers(n)) if n > 0 else 0

    def choice(self, values):
        return values[self.below(len(values))]

    def array(self, i: int) -> np.ndarray:
        return self.runs[0].values[i]

    def dim(self, a: np.ndarray) -> int:
        if not a.ndim:
            raise Rejected
        d = self.below(a.ndim)
        return d - a.ndim if self.chance(0.3) else d

    def shape(self, least: int = 0, most: int = 4) -> tuple[int, ...]:
        ndim = max(least, min(most, self.choice((0, 1, 1, 2, 2, 2, 3, 3, 4))))
        shape = tuple(int(self.choice((1, 2, 3, 4, 5, 7))) for _ in range(ndim))
        if self.batch and ndim and self.chance(0.7):
            return (self.batch, *[self.choice((8, 16, 17)) if d == ndim - 2 else n for d, n in enumerate(shape[1:])])
        if ndim and self.chance(0.04):
            shape = tuple(0 if d == self.below(ndim) else n for d, n in enumerate(shape))
        return shape

    def new(self, shape, kind: str = "f", fill: str | int | None = None) -> int:
        """A new input."""
        dtype = self.dtype if kind == "f" else KINDS[kind]
        if kind == "f" and self.chance(0.03):
            dtype = self.choice(("float32", "float64"))
        if fill is None:
            fill = "whole" if self.chance(0.15) else "special" if self.special and kind == "f" else "normal"
        return self.add(Input(len(self.nodes), tuple(shape), dtype, self.choice(self.layouts), fill))

    def add(self, node: Input | Step) -> int:
        self.nodes.append(node)
        for run in self.runs:
            run.add(node)
        return len(self.nodes) - 1

    def pick(self, kinds: str = "f", least: int = 0, most: int = 9, ok=lambda a: True) -> int:
        """A value of one of the kinds with so many dims, late ones first; or a new input."""
        kind = self.choice(kinds) if self.chance(0.5) else kinds
        fits = [
            i for i, a in enumerate(self.runs[0].values) if a.dtype.kind in kind and least <= a.ndim <= most and ok(a)
        ]
        if fits and not self.chance(0.12):
            return fits[-1 - int(len(fits) * self.rng.random() ** 2)]
        i = self.new(self.shape(least, most), kind[0])
        if not ok(self.array(i)):
            raise Rejected
        return i

    def fitting(self, i: int, kinds: str = "f", also: int | None = None) -> int:
        """A value that broadcasts with value i (and with another)."""
        shapes = [self.array(i).shape] + ([] if also is None else [self.array(also).shape])

        def ok(a):
            try:
                return np.prod(np.broadcast_shapes(a.shape, *shapes)) <= ELEMENTS
            except ValueError:
                return False

        if self.chance(0.6):
            return self.pick(kinds, ok=ok)
        shape = np.broadcast_shapes(*shapes)
        shape = tuple(1 if self.chance(0.2) else n for n in shape)
        return self.new(shape[self.below(len(shape) + 1) if self.chance(0.3) else 0 :], self.choice(kinds))

    def inside(self, i: int, kinds: str = "f") -> int:
        """A value that broadcasts to the shape of value i."""
        shape = self.array(i).shape
        return self.new(tuple(1 if self.chance(0.3) else n for n in shape)[self.below(len(shape) + 1) :], kinds)

    def alike(self, i: int) -> int:
        """A value of the shape and dtype of value i, often itself."""
        a = self.array(i)
        fits = [k for k, b in enumerate(self.runs[0].values) if b.shape == a.shape and b.dtype == a.dtype]
        if self.chance(0.7):
            return self.choice(fits)
        return self.add(Input(len(self.nodes), a.shape, a.dtype.name, self.choice(self.layouts)))

    def owned(self, i: int) -> bool:
        """Whether the memory of a value is the program's own and may be written."""
        a = self.array(i)
        arguments = {id(owner(self.array(k))) for k, n in enumerate(self.nodes) if isinstance(n, Input)}
        return a.flags.writeable and id(owner(a)) not in arguments

    def sound(self, before: int) -> bool:
        """What came since is finite, of a size, and not at the mercy of rounding (in place: everything)."""
        for i in range(before, len(self.nodes)):
            a = self.array(i)
            if a.size > ELEMENTS or a.ndim > 6 or a.dtype.name not in ("float32", "float64", "int64", "bool"):
                return False
            finite = np.isfinite(a)
            if not (self.special or finite.all()) or (np.abs(a[finite]) > LARGEST).any():
                return False
            if tolerance(self.runs, i) is None:
                return False
        return True

    def back(self, nodes: list):
        """To an earlier state."""
        self.nodes, self.runs = [], [Run(self.seed, k) for k in range(1 + PERTURBED)]
        for node in nodes:
            self.add(node)

    def step(self):
        """One operation more, or what was before."""
        before = list(self.nodes)
        name = NAMES[int(self.rng.choice(len(NAMES), p=WEIGHTS))]
        try:
            args, attrs = OPS[name].propose(self)
            self.add(Step(name, tuple(args), attrs))
            if self.sound(0 if OPS[name].changes else len(before)):
                return
        except (Rejected, ValueError, IndexError):
            pass
        if len(self.nodes) > len(before) and OPS[name].changes:
            self.back(before)
        self.cut(len(before))

    def cut(self, n: int):
        del self.nodes[n:]
        for run in self.runs:
            del run.values[n:]


def generate(seed: int) -> tuple[Program, list[Run]]:
    """The program of a seed, of 2 to 15 operations, and the runs of its twins."""
    draw = Draw(seed)
    wanted = int(draw.rng.integers(2, 16))
    for _ in range(12 * wanted):
        draw.step()
        if sum(isinstance(n, Step) for n in draw.nodes) >= wanted:
            break
    return Program(seed, tuple(draw.nodes)), draw.runs
