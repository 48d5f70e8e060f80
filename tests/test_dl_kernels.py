"""Kernels called one by one: what _kernels.call takes, what it refuses, and which backend runs."""

import subprocess
import sys

import numpy as np
import pytest

import dl
from dl import kernel

K = kernel._kernels
pytestmark = pytest.mark.skipif(K is None, reason="the C extension was not built")
ISAS = () if K is None else K.isas()


def probe(out, x, rounds=3, scale=2.0):
    K.call("probe", (out,), (x,), (rounds,), (scale,))
    return out


def test_a_call_runs_on_every_instruction_set(isa):
    x = np.arange(7.0)
    assert dl.backend() == f"c-{isa}"
    np.testing.assert_array_equal(probe(np.empty(7), x), 2 * x + 3)


def test_a_kernel_has_an_id():
    x, out = np.arange(5.0), np.empty(5)
    for i, name in enumerate(K.KERNELS):
        assert K.kernel_id(name) == K.kernel_id(i) == i
    K.call(K.kernel_id("probe"), (out,), (x,), (0,), (1.0,))
    np.testing.assert_array_equal(out, x)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 1000, 100_003])
def test_the_number_of_threads_does_not_change_the_result(size):
    before = K.num_threads()
    x = np.random.default_rng(0).normal(size=size)
    results = []
    try:
        for n in (1, 2, 3, 5):
            K.set_num_threads(n)
            results.append(probe(np.empty(size), x, rounds=20).tobytes())
    finally:
        K.set_num_threads(before)
    assert len(set(results)) == 1


BIG_ENDIAN = np.zeros(3, np.dtype(">f8"))
UNALIGNED = np.zeros(25, np.uint8)[1:].view(np.float64)
READ_ONLY = np.zeros(3)
READ_ONLY.flags.writeable = False
SPLIT = np.zeros(3, np.dtype([("a", np.float64), ("b", np.int32)], align=False))["a"]
ARRAY = np.zeros(3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (("prob", (), (), (), ()), KeyError, "no kernel 'prob'; there are .*'probe'"),
        ((10**6, (), (), (), ()), KeyError, "no kernel 1000000"),
        ((None, (), (), (), ()), KeyError, "no kernel None"),
        (("probe", (), (), ()), TypeError, "5 arguments, got 4"),
        (("probe", ARRAY, (), (), ()), TypeError, "outs must be a tuple"),
        (("probe", ([1.0],), (), (), ()), TypeError, "output 0 must be a NumPy array or None, got list"),
        (("probe", (), (2.0,), (), ()), TypeError, "input 0 must be a NumPy array or None, got float"),
        (("probe", (READ_ONLY,), (ARRAY,), (1,), (1.0,)), TypeError, "output 0 .* read-only"),
        (("probe", (ARRAY,), (BIG_ENDIAN,), (1,), (1.0,)), TypeError, "input 0 .* byte order; got dtype >f8"),
        (("probe", (ARRAY,), (UNALIGNED,), (1,), (1.0,)), TypeError, "input 0 .* aligned"),
        (("probe", (ARRAY,), (SPLIT,), (1,), (1.0,)), TypeError, "strides|aligned"),
        (("probe", (ARRAY,), (np.zeros(3, np.int32),), (1,), (1.0,)), TypeError, r"float32, .*int32, shape \(3,\)"),
        (("probe", (ARRAY,), (np.zeros((1,) * 9),), (1,), (1.0,)), TypeError, "at most 8 dimensions"),
        (("probe", (ARRAY,), (ARRAY,), ("a",), (1.0,)), TypeError, "integer"),
        (("probe", (ARRAY,), (ARRAY,), (2**70,), (1.0,)), OverflowError, "int"),
        (("probe", (ARRAY,), (ARRAY,), (1,), ("a",)), TypeError, "real number"),
        (("probe", (ARRAY,), (np.zeros(4),), (1,), (1.0,)), ValueError, r"dl.probe: .* \[\(3,\), \(4,\)\]"),
        (("probe", (ARRAY,), (None,), (1,), (1.0,)), ValueError, "float64, None"),
        (("probe", (ARRAY,), (np.zeros(3, np.float32),), (1,), (1.0,)), ValueError, "float64, float32"),
        (("probe", (ARRAY,) * 100, (ARRAY,) * 100, (1,) * 100, ()), ValueError, "wants"),
    ],
)
def test_bad_calls_say_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        K.call(*call)


def test_bad_settings_say_what_there_is():
    with pytest.raises(ValueError, match="'sse9' is not available"):
        K.use("sse9")
    for n in (0, -1, 65):
        with pytest.raises(ValueError, match=f"1 to 64, got {n}"):
            K.set_num_threads(n)


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True)


def test_the_best_instruction_set_is_chosen_at_import():
    assert python("import dl; print(dl.backend())").stdout.strip() == f"c-{ISAS[-1]}"


def test_without_the_extension_the_twin_runs_and_one_warning_says_so():
    out = python(
        "import sys; sys.modules['dl._kernels'] = None\n"
        "import dl, numpy as np\n"
        "from dl.kernel import Kernel, MicroOp\n"
        "double = Kernel('double', None, lambda x: 2 * x)\n"
        "print(dl.backend(), double(np.ones(2)), MicroOp('add', np.add)(np.ones(2), np.ones(2)))\n"
    )
    assert out.stdout.strip() == "numpy [2. 2.] [2. 2.]"
    assert out.stderr.count("C kernels were not built") == 1


CODES = {} if K is None else K.micro_ops()
NUMPY = {"add": np.add, "mul": np.multiply, "lt": np.less, "neg": np.negative, "maximum": np.maximum, "where": np.where}


def ew(name, *arrays):
    return K.elementwise(K.micro_op(name), *arrays)


def random_view(rng, shape, dtype):
    """An array of this shape, some of its axes permuted, reversed, stepped over, or of size 1 for broadcasting."""
    lead = rng.integers(0, len(shape) + 1)
    shape = [1 if rng.random() < 0.3 else n for n in shape[lead:]]
    order = rng.permutation(len(shape))
    a = rng.normal(size=[2 * shape[i] for i in order]).transpose(np.argsort(order))
    kinds = rng.integers(0, 3, size=len(shape))
    cut = [
        (slice(n), slice(None, None, 2), slice(n - 1, None, -1) if n else slice(0))[kind]
        for n, kind in zip(shape, kinds, strict=True)
    ]
    return np.asarray(np.asarray(a, dtype, order="K")[tuple(cut)])


@pytest.mark.parametrize("name", NUMPY)
def test_elementwise_broadcasts_and_lays_out_as_numpy_does(name):
    rng = np.random.default_rng(0)
    for _ in range(300):
        shape = rng.integers(0 if rng.random() < 0.1 else 1, 4, size=rng.integers(0, 6)).tolist()
        dtype = rng.choice([np.float32, np.float64, np.int64])
        arrays = [random_view(rng, shape, dtype) for _ in range(CODES[name][1])]
        if name == "where":
            arrays[0] = np.asarray(arrays[0] > 0)
        expected = np.asarray(NUMPY[name](*arrays))
        result = ew(name, *arrays)
        assert type(result) is np.ndarray and result.dtype == expected.dtype
        np.testing.assert_array_equal(result, expected)
        if result.size > 1 and name != "where":  # np.where lays out in its own way
            wide = [i for i, n in enumerate(result.shape) if n > 1]
            assert [result.strides[i] for i in wide] == [expected.strides[i] for i in wide]


def test_elementwise_does_not_depend_on_threads():
    before = K.num_threads()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 600, 700))
    try:
        results = []
        for n in (1, 2, 5):
            K.set_num_threads(n)
            results.append((ew("mul", x, y).tobytes(), ew("exp", x.T).tobytes(), ew("lt", x, y[0]).tobytes()))
    finally:
        K.set_num_threads(before)
    assert len(set(results)) == 1


def test_micro_operations_say_what_they_take():
    for name, (code, arity, results) in CODES.items():
        assert K.micro_op(name) == code and arity in (1, 2, 3) and len(results) == 4
        for dtype, result in zip((np.float32, np.float64, np.int64, np.bool_), results, strict=True):
            arrays = [np.zeros(3, dtype)] * arity
            if name == "where":
                arrays[0] = np.zeros(3, bool)
            if result >= 0:
                assert ew(name, *arrays).dtype == (np.float32, np.float64, np.int64, np.bool_)[result]
            else:
                with pytest.raises(ValueError, match=f"dl.{name}: there is no such operation for this dtype"):
                    ew(name, *arrays)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: K.elementwise(), ValueError, "no elementwise operation has the code -1"),
        (lambda: K.elementwise(10**6, ARRAY), ValueError, "code 1000000"),
        (lambda: K.elementwise("add", ARRAY, ARRAY), TypeError, "int"),
        (lambda: K.micro_op("addd"), KeyError, "'addd'"),
        (lambda: ew("add", ARRAY), TypeError, "dl.add: takes 2 arrays, got 1"),
        (lambda: ew("add", ARRAY, 1.0), TypeError, "dl.add: input 1 must be a NumPy array, got float"),
        (lambda: ew("add", ARRAY, None), TypeError, "dl.add: input 1 must be a NumPy array, got NoneType"),
        (lambda: ew("add", ARRAY, np.zeros(4)), ValueError, r"dl.add: .* broadcast .*\[\(3,\), \(4,\)\]"),
        (lambda: ew("add", ARRAY, np.zeros(3, np.float32)), ValueError, "one dtype; .*float64.*float32"),
        (lambda: ew("add", ARRAY, BIG_ENDIAN), TypeError, "byte order"),
        (lambda: ew("add", ARRAY, UNALIGNED), TypeError, "aligned"),
        (lambda: ew("add", ARRAY, SPLIT), TypeError, "strides|aligned"),
        (lambda: ew("add", ARRAY, np.zeros(3, np.int8)), TypeError, "must be float32, .* got dtype int8"),
        (lambda: ew("where", ARRAY, ARRAY, ARRAY), ValueError, "the condition must be bool"),
        (lambda: ew("neg", np.zeros((3,) * 9)[(slice(None, None, 2),) * 9]), ValueError, "more than 8 axes"),
    ],
)
def test_bad_elementwise_calls_say_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()
