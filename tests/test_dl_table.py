"""The law over dl's table: every row against NumPy and SciPy, and its derivatives against central differences."""

import numpy as np
import pytest
from dl_table_cases import FLOATS, Case, elementwise_cases, tensors
from dl_table_shapes import INDEXING, REDUCTIONS, SHAPES

import dl
from dl import random
from dl.ops import TABLE, attention, conv, cross_entropy, linear, norm, pieces, pool, softmax
from dl.recorder.memory import owner
from dl.tensor import CONSTANT
from dl.trace import Trace, recording

CASES = [*elementwise_cases(), *SHAPES, *INDEXING, *REDUCTIONS]
IDS = [f"{c.row}-{'x'.join(str(list(s)) for s in c.shapes)}" for c in CASES]
every_case = pytest.mark.parametrize("case", CASES, ids=IDS)
DERIVATIVES = [pair for pair in zip(CASES, IDS, strict=True) if pair[0].order]
# modules whose rows have laws of their own: tests/test_dl_functional_rows.py, test_dl_random.py
ELSEWHERE = (attention, conv, cross_entropy, linear, norm, pieces, pool, random, softmax)


def strided(a: np.ndarray) -> np.ndarray:
    """The same values, every other element of memory."""
    if not a.ndim:
        return a
    big = np.zeros(tuple(2 * n for n in a.shape), a.dtype)
    view = big[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def backwards(a: np.ndarray) -> np.ndarray:
    """The same values with negative strides."""
    turn = tuple(slice(None, None, -1) for _ in a.shape)
    return a[turn].copy()[turn] if a.ndim else a


def other_order(a: np.ndarray) -> np.ndarray:
    """The same values in column-major order."""
    return np.asfortranarray(a)


LAYOUTS = (np.ascontiguousarray, strided, backwards, other_order)


def check_forward(case: Case, arrays, dtype):
    found = case.f(*tensors(arrays))
    with np.errstate(all="ignore"):
        wanted = np.asarray(case.oracle(*arrays))
    assert found.shape == wanted.shape
    if wanted.dtype.kind == "f":
        cast = case.row.startswith("to_") or not any(a.dtype.kind == "f" for a in arrays)
        assert found.dtype == (wanted.dtype if cast else dtype)
        eps = np.finfo(found.dtype).eps if not case.row.startswith("to_") else np.finfo(np.float32).eps
        with np.errstate(all="ignore"):
            exact = np.asarray(case.oracle(*[a.astype(np.float64) if a.dtype == np.float32 else a for a in arrays]))
        np.testing.assert_allclose(found.numpy(), exact, rtol=case.tol * eps, atol=case.tol * eps)
    else:
        np.testing.assert_array_equal(found.numpy(), wanted)


@every_case
@pytest.mark.parametrize("dtype", FLOATS)
def test_forward_agrees_with_numpy_for_all_layouts(rng, case, dtype):
    arrays = case.arrays(rng, dtype)
    for layout in LAYOUTS:
        check_forward(case, [layout(a) for a in arrays], dtype)


@pytest.mark.parametrize("case", [c for c, _ in DERIVATIVES], ids=[name for _, name in DERIVATIVES])
def test_derivatives_agree_with_differences(rng, case):
    """Reverse and forward mode, and reverse over reverse, in float64."""
    inputs = tensors(case.arrays(rng, np.float64))
    assert dl.gradcheck(case.f, inputs, rtol=1e-5, atol=1e-7)
    if case.order > 1:
        assert dl.gradgradcheck(case.f, inputs, rtol=1e-5, atol=1e-6)


def test_every_row_has_a_case(rng):
    missing = set(TABLE).difference(*[module.TABLE for module in ELSEWHERE])
    for case in CASES:
        trace = Trace()
        with recording(trace):
            case.f(*tensors(case.arrays(rng, np.float64)))
        ran = {p.name for p, *_ in trace.steps}
        assert case.row in ran, f"{case.row}: its case runs {sorted(ran)}"
        missing -= {case.row}
    assert not missing


def test_names_in_the_table_are_those_of_the_rows():
    assert all(name == row.name for name, row in TABLE.items())


def nodes_behind(outputs) -> list:
    found, stack = [], [t._node for t in outputs]
    while stack:
        node = stack.pop()
        if node is not None and node not in found:
            found.append(node)
            stack += [t._node for t in node.inputs if t is not None]
    return found


def spoil_what_is_not_saved(outputs):
    """Put NaN into all floats on the tape that no row says it needs."""
    kept, rest = set(), []
    for node in nodes_behind(outputs):
        saves = node.primitive.saves
        for i, t in enumerate(node.inputs):
            if t is not None:
                needed = saves is None or i in saves or t._changed is CONSTANT
                kept.add(id(owner(t.array))) if needed else rest.append(t.array)
        for a in node.outs:
            kept.add(id(owner(a))) if saves is None or "out" in saves else rest.append(a)
    for a in map(owner, rest):
        if id(a) not in kept and a.dtype.kind == "f":
            a[...] = np.nan


@pytest.mark.parametrize("case", [c for c, _ in DERIVATIVES], ids=[name for _, name in DERIVATIVES])
def test_rows_save_what_their_derivatives_read(rng, case):
    arrays, found = case.arrays(rng, np.float64), []
    for spoil in (False, True):
        leaves = [dl.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
        out = case.f(*leaves)
        if spoil:
            spoil_what_is_not_saved([out])
        out.backward(dl.from_numpy(np.random.default_rng(1).normal(size=out.shape).astype(out.dtype)))
        found.append([leaf.grad.numpy() for leaf in leaves if leaf.requires_grad and leaf.grad is not None])
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
