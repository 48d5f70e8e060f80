"""Fused elementwise programs: random ones give the bits of their operations one by one; unsound ones are refused."""

import numpy as np
import pytest
from dl_kernel_cases import LAYOUTS

from dl import kernel

K = kernel._kernels
pytestmark = pytest.mark.skipif(K is None, reason="the C extension was not built")
TABLE = K.micro_ops() if K else {}
DTYPES = [np.dtype(t) for t in (np.float32, np.float64, np.int64, np.bool_)]
F32, F64, I64, BOOL = range(4)
SHAPES = [(), (1,), (7,), (1000,), (2500,), (0, 3), (50, 6), (3, 700), (4, 5, 33), (2, 3, 1, 129), (40, 130)]


def broadcast_input(rng, shape, dtype):
    """Values of a shape that broadcasts to this one, in some layout."""
    mine = tuple(1 if rng.random() < 0.25 else n for n in shape)
    mine = mine[int(rng.integers(0, len(mine) + 1)) :] if rng.random() < 0.3 else mine
    x = (
        rng.integers(-5, 6, mine)
        if dtype == I64
        else rng.normal(size=mine)
        if dtype != BOOL
        else rng.random(mine) < 0.5
    )
    layout = LAYOUTS[rng.choice(list(LAYOUTS))]
    return np.broadcast_to(layout(np.asarray(x, DTYPES[dtype])), shape)


def random_ops(rng, dtypes, fixed, count):
    """(name, dtype, dst, sources) of operations; temporaries are used again, also with another dtype."""
    ops, names = [], list(TABLE)
    while len(ops) < count:
        name = str(rng.choice(names))
        _, arity, results = TABLE[name]
        dtype = int(rng.choice(list(dtypes.values())))
        of = {t: [r for r, d in dtypes.items() if d == t] for t in range(4)}
        wanted = [BOOL, dtype, dtype] if name == "where" else [dtype] * arity
        if results[dtype] < 0 or not all(of[t] for t in wanted):
            continue
        sources = [int(rng.choice(of[t])) for t in wanted]
        dst = fixed + int(rng.integers(0, 6))
        dtypes[dst] = results[dtype]
        ops.append((name, dtype, dst, sources))
    return ops


def one_by_one(arrays, ops):
    registers = dict(enumerate(arrays))
    for name, _, dst, sources in ops:
        registers[dst] = K.elementwise(TABLE[name][0], *[registers[s] for s in sources])
    return registers


def program(n_out, n_in, constants, ops, stores):
    ints = [n_out, n_in, len(constants), len(ops), *[dtype for _, dtype in constants]]
    for name, dtype, dst, sources in ops:
        ints += [TABLE[name][0], dtype, dst, *sources, *[-1] * (3 - len(sources))]
    return (*ints, *stores), tuple(float(v) for v, _ in constants)


def random_case(rng, shape):
    kinds = [int(t) for t in rng.integers(0, 4, rng.integers(1, 5))]
    inputs = [broadcast_input(rng, shape, t) for t in kinds]
    constants = [({I64: 3.0, BOOL: 1.0}.get(int(t), rng.normal()), int(t)) for t in rng.integers(0, 4, 2)]
    fixed = len(inputs) + len(constants)
    dtypes = dict(enumerate([*kinds, *[t for _, t in constants]]))
    ops = random_ops(rng, dtypes, fixed, int(rng.integers(1, 14)))
    stores = [int(r) for r in rng.choice(list(dtypes), int(rng.integers(1, 4)))]
    values = [np.broadcast_to(np.asarray(v, DTYPES[t]), shape) for v, t in constants]
    registers = one_by_one([*inputs, *values], ops)
    expected = [np.broadcast_to(registers[r], shape) for r in stores]
    return inputs, constants, ops, stores, expected, [dtypes[r] for r in stores]


def same(got, wanted):
    assert got.dtype == wanted.dtype and got.shape == wanted.shape
    if got.dtype.kind == "f":
        np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
        got, wanted = np.nan_to_num(got), np.nan_to_num(wanted)
    assert got.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threads", [1, 2])
def test_random_programs_give_the_bits_of_their_operations(isa, shape, threads):
    rng, before = np.random.default_rng([8, len(shape), *shape]), K.num_threads()
    K.set_num_threads(threads)
    try:
        for _ in range(60):
            inputs, constants, ops, stores, expected, dtypes = random_case(rng, shape)
            outs = [LAYOUTS[rng.choice(list(LAYOUTS))](np.zeros(shape, DTYPES[t])) for t in dtypes]
            ints, floats = program(len(outs), len(inputs), constants, ops, stores)
            K.call("fused", tuple(outs), tuple(inputs), ints, floats)
            for out, wanted in zip(outs, expected, strict=True):
                same(out, wanted)
    finally:
        K.set_num_threads(before)


def descriptor(index, array):
    return (index, 0, DTYPES.index(array.dtype), array.shape, tuple(s // array.itemsize for s in array.strides))


@pytest.mark.parametrize("shape", SHAPES)
def test_planned_programs_too(isa, shape):
    rng = np.random.default_rng([9, len(shape), *shape])
    for nt in (1, 2):
        for _ in range(20):
            inputs, constants, ops, stores, expected, dtypes = random_case(rng, shape)
            inputs = [np.ascontiguousarray(x).reshape(shape) for x in inputs]
            buffers = [*[np.zeros_like(x) for x in inputs], *[np.zeros(shape, DTYPES[t]) for t in dtypes]]
            at = [descriptor(i, b) for i, b in enumerate(buffers)]
            ints, floats = program(len(dtypes), len(inputs), constants, ops, stores)
            call = (K.kernel_id("fused"), tuple(at[len(inputs) :]), tuple(at[: len(inputs)]), ints, floats, 1, 0)
            planned = K.Program(buffers, [call], at[: len(inputs)], at[len(inputs) :], nt)
            for _ in range(2):
                results = planned(*inputs)
                for got, wanted in zip(results if len(dtypes) > 1 else (results,), expected, strict=True):
                    same(got, wanted)


@pytest.mark.parametrize("shape", [(), (5,), (3000,), (20, 30)])
def test_an_output_may_lie_on_an_input(isa, shape):
    rng = np.random.default_rng(10)
    x, y = np.asarray(rng.normal(size=shape)), np.asarray(rng.normal(size=shape))
    cases = [  # operations, registers stored; register 0 is x, 1 is y, 2 the constant 2; the first output lies on x
        ([("mul", F64, 3, [0, 2]), ("add", F64, 3, [3, 1])], [3], [x * 2 + y]),
        ([("mul", F64, 3, [0, 2]), ("add", F64, 4, [3, 0])], [3, 4], [x * 2, x * 2 + x]),
        ([("mul", F64, 3, [0, 2])], [3, 0], [x * 2, x]),
        ([("mul", F64, 3, [0, 2])], [1, 3], [y, x * 2]),
        ([("sub", F64, 3, [0, 1]), ("lt", F64, 4, [3, 0]), ("where", F64, 3, [4, 3, 0])], [3], [np.minimum(x - y, x)]),
    ]
    for ops, stores, expected in cases:
        for strided in (False, True):
            first = LAYOUTS["every other"](x) if strided else x.copy()
            outs = [first, *[np.zeros(shape) for _ in stores[1:]]]
            K.call("fused", tuple(outs), (first, y), *program(len(outs), 2, [(2.0, F64)], ops, stores))
            for out, wanted in zip(outs, expected, strict=True):
                np.testing.assert_array_equal(out, wanted)


ADD = [TABLE["add"][0] if K else 0, F64, 2, 0, 1, -1]
WHERE, EXP, CAST = (TABLE[n][0] if K else 0 for n in ("where", "exp", "to_f32"))
UNSOUND = [
    ("n_out", [1, 2], ()),
    ("all the arrays", [2, 2, 0, 1, *ADD, 2], ()),
    ("all the arrays", [0, 3, 0, 1, *ADD], ()),
    ("integers", [1, 2, 0, 1, *ADD], ()),
    ("integers", [1, 2, 0, 2**62, *ADD, 2], ()),
    ("too many inputs", [1, 2, 2**63 - 1, 1, *ADD, 2], (1.0,)),
    ("integers", [1, 2, 4000, 1, *ADD, 2], (1.0,)),
    ("one float", [1, 2, 1, 1, F64, *ADD[:2], 3, 0, 1, -1, 3], ()),
    ("constants must", [1, 2, 1, 1, 7, *ADD[:2], 3, 0, 1, -1, 3], (1.0,)),
    ("no such operation", [1, 2, 0, 1, 999, *ADD[1:], 2], ()),
    ("no such operation", [1, 2, 0, 1, -1, *ADD[1:], 2], ()),
    ("no such operation", [1, 2, 0, 1, ADD[0], 4, *ADD[2:], 2], ()),
    ("does not exist", [1, 2, 0, 1, EXP, BOOL, 2, 0, -1, -1, 2], ()),
    ("too many operands", [1, 2, 0, 1, *ADD[:5], 0, 2], ()),
    ("not defined", [1, 2, 0, 1, *ADD[:3], 0, 2, -1, 2], ()),
    ("not defined", [1, 2, 0, 1, *ADD[:3], 0, -1, -1, 2], ()),
    ("another dtype", [1, 2, 0, 1, ADD[0], F32, 2, 0, 1, -1, 2], ()),
    ("another dtype", [1, 2, 0, 1, WHERE, F64, 2, 0, 1, 1, 2], ()),
    ("writes to an input", [1, 2, 0, 1, *ADD[:2], 1, 0, 1, -1, 1], ()),
    ("writes to an input", [1, 2, 0, 1, *ADD[:2], -5, 0, 1, -1, 1], ()),
    ("too many registers", [1, 2, 0, 1, *ADD[:2], 5000, 0, 1, -1, 5000], ()),
    ("too many registers", [1, 2, 0, 1, *ADD[:2], 2**33, 0, 1, -1, 2], ()),
    ("an output wants", [1, 2, 0, 1, *ADD, 9], ()),
    ("an output wants", [1, 2, 0, 1, *ADD, -1], ()),
    ("an output wants", [1, 2, 0, 1, CAST, F64, 2, 0, -1, -1, 2], ()),
]


@pytest.mark.parametrize("text, ints, floats", UNSOUND)
def test_unsound_programs_are_refused(isa, text, ints, floats):
    x = np.zeros(5)
    with pytest.raises(ValueError, match=text):
        K.call("fused", (np.zeros(5),), (x, x), tuple(ints), floats)


def test_unsound_arrays_are_refused(isa):
    x, ints = np.zeros((5, 4)), (1, 2, 0, 1, *ADD, 2)
    broadcast = np.lib.stride_tricks.as_strided(x, (5, 4), (0, 8))
    for out, a, b in ((x[:4], x, x), (x, x, x[0]), (x, x, None), (broadcast, x, x)):
        with pytest.raises(ValueError, match="must"):
            K.call("fused", (out,), (a, b), ints, ())
