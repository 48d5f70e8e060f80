"""Random numbers: explicit generators with a seed, forks and a state that can be saved; there is no global one."""

import numpy as np

from dl.ops.base import cast, standard
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor, float32, float64


def draw_normal(*, generator, shape, dtype):
    return generator.numpy.standard_normal(shape, dtype)


def draw_uniform(*, generator, shape, dtype):
    return generator.numpy.random(shape, dtype)


def draw_integers(*, generator, shape, low, high):
    return generator.numpy.integers(low, high, shape, np.int64)


def draw_permutation(*, generator, n):
    return generator.numpy.permutation(n)


# Rows of the table without tensor inputs; recorders see them and know that the next call gives other numbers.
NORMAL, UNIFORM, INTEGERS, PERMUTATION = (
    Primitive(draw.__name__, draw, differentiable=False, stateful=True)
    for draw in (draw_normal, draw_uniform, draw_integers, draw_permutation)
)


class Generator:
    """A stream of random numbers (PCG64DXSM): the same seed gives the same bytes.

    seed: a non-negative int of any size. Whatever draws takes a Generator as `generator=`; draws advance it, so two
    layers made with one generator get different weights. fork() splits off independent streams; state() and set_state()
    save and restore everything, forks included. Raises TypeError for a seed that is no int, ValueError for a negative
    one. Source: O'Neill, PCG: a family of simple fast space-efficient statistically good algorithms for random number
    generation, 2014; DXSM variant as in NumPy.
    """

    def __init__(self, seed: int):
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise TypeError(f"Generator: wanted an int as seed, got {type(seed).__name__}")
        if seed < 0:
            raise ValueError(f"Generator: a seed is not negative, got {seed}")
        self._start(np.random.SeedSequence(int(seed)))

    def _start(self, sequence: np.random.SeedSequence):
        self._sequence = sequence
        self.numpy = np.random.Generator(np.random.PCG64DXSM(sequence))

    def __repr__(self) -> str:
        return f"Generator({self._sequence.entropy}, fork={list(self._sequence.spawn_key)})"

    def fork(self, n: int | None = None):
        """A new independent generator, or a list of n; each call gives others. Draws of this one are not disturbed."""
        children = []
        for sequence in self._sequence.spawn(1 if n is None else n):
            child = object.__new__(Generator)
            child._start(sequence)
            children.append(child)
        return children[0] if n is None else children

    def state(self) -> dict:
        """All that set_state needs, as strings, ints and lists of ints (fit for JSON)."""
        inner = self.numpy.bit_generator.state
        return {
            "kind": inner["bit_generator"],
            "seed": hex(_entropy(self._sequence)),
            "spawn_key": [int(k) for k in self._sequence.spawn_key],
            "forks": self._sequence.n_children_spawned,
            "state": hex(inner["state"]["state"]),
            "increment": hex(inner["state"]["inc"]),
            "half": [int(inner["has_uint32"]), int(inner["uinteger"])],
        }

    def set_state(self, state: dict) -> None:
        """Continue where state() was taken. Raises ValueError for anything else than what state() gives."""
        wanted = ("kind", "seed", "spawn_key", "forks", "state", "increment", "half")
        if not isinstance(state, dict) or sorted(state) != sorted(wanted) or state["kind"] != "PCG64DXSM":
            raise ValueError(f"set_state: wanted what Generator.state() gives ({', '.join(wanted)}), got {state!r}")
        try:
            sequence = np.random.SeedSequence(
                int(state["seed"], 16), spawn_key=tuple(state["spawn_key"]), n_children_spawned=state["forks"]
            )
            self._start(sequence)
            self.numpy.bit_generator.state = {
                "bit_generator": state["kind"],
                "state": {"state": int(state["state"], 16), "inc": int(state["increment"], 16)},
                "has_uint32": state["half"][0],
                "uinteger": state["half"][1],
            }
        except (TypeError, ValueError, OverflowError, IndexError) as error:
            raise ValueError(f"set_state: not a state of a Generator ({error}), got {state!r}") from None

    def normal(self, *shape, mean=0.0, std=1.0, dtype=float32) -> Tensor:
        """Gaussian numbers mean + std z of this shape; mean and std may be tensors and carry gradients."""
        z = apply(NORMAL, (), {"generator": self, "shape": size(shape), "dtype": real(dtype, "normal")})
        z = z if _is(std, 1.0) else z * std
        return z if _is(mean, 0.0) else z + mean

    def uniform(self, *shape, low=0.0, high=1.0, dtype=float32) -> Tensor:
        """Numbers low + (high - low) u, with u in [0, 1)."""
        u = apply(UNIFORM, (), {"generator": self, "shape": size(shape), "dtype": real(dtype, "uniform")})
        u = u if _is(low, 0.0) and _is(high, 1.0) else u * (high - low)
        return u if _is(low, 0.0) else u + low

    def integers(self, *shape, low: int = 0, high: int) -> Tensor:
        """int64 numbers in [low, high). Raises ValueError when there are none."""
        if high <= low:
            raise ValueError(f"integers: no integer from {low} up to, not including, {high}")
        return apply(INTEGERS, (), {"generator": self, "shape": size(shape), "low": low, "high": high})

    def permutation(self, n: int) -> Tensor:
        """0 ... n - 1 in random order, int64."""
        return apply(PERMUTATION, (), {"generator": self, "n": n})

    def bernoulli(self, *shape, p=0.5) -> Tensor:
        """True with probability p (a number or a tensor that broadcasts to the shape)."""
        return self.uniform(*shape, dtype=p.dtype if isinstance(p, Tensor) else float32) < p


def _entropy(sequence: np.random.SeedSequence) -> int:
    entropy = sequence.entropy
    assert isinstance(entropy, int)
    return entropy


def _is(value, number: float) -> bool:
    return not isinstance(value, Tensor) and np.ndim(value) == 0 and value == number


def size(shape: tuple) -> tuple[int, ...]:
    """normal(2, 3) and normal((2, 3)) are the same."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    return tuple(int(n) for n in shape)


def real(dtype, where: str) -> np.dtype:
    dtype = standard(dtype, where)
    if dtype not in (float32, float64):
        raise TypeError(f"{where}: wanted dtype float32 or float64, got {dtype}")
    return dtype


def require(generator, where: str) -> Generator:
    """The generator, or a TypeError that says how to make one."""
    if isinstance(generator, Generator):
        return generator
    got = "none" if generator is None else type(generator).__name__
    raise TypeError(
        f"{where}: wanted generator=dl.Generator(seed), got {got}; there is no global random state, so whatever draws "
        "is told from where. One generator can serve all layers: each draw advances it"
    )


def randn(*shape, generator: Generator, dtype=float32) -> Tensor:
    """Standard Gaussian numbers of this shape."""
    return require(generator, "randn").normal(*shape, dtype=dtype)


def rand(*shape, generator: Generator, dtype=float32) -> Tensor:
    """Uniform numbers in [0, 1) of this shape."""
    return require(generator, "rand").uniform(*shape, dtype=dtype)


def randint(low: int, high: int, shape, *, generator: Generator) -> Tensor:
    """int64 numbers in [low, high) of this shape."""
    return require(generator, "randint").integers(shape, low=low, high=high)


def randperm(n: int, *, generator: Generator) -> Tensor:
    """0 ... n - 1 in random order, int64."""
    return require(generator, "randperm").permutation(n)


def bernoulli(p: Tensor, *, generator: Generator) -> Tensor:
    """0 or 1 of p's shape and dtype: 1 with probability p."""
    return cast(require(generator, "bernoulli").bernoulli(p.shape, p=p), p.dtype)


TABLE = {row.name: row for row in (NORMAL, UNIFORM, INTEGERS, PERMUTATION)}
