"""Recorded programs and the threads that run them: equal to the kernels called one by one, and safe to get wrong."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from dl import kernel

K = kernel._kernels
pytestmark = pytest.mark.skipif(K is None, reason="the C extension was not built")
F32, F64, I64, BOOL = range(4)
N = 1000


def at(buffer, shape, offset=0, strides=None, dtype=F64):
    """An operand: C order where no strides (in elements) are given."""
    if strides is None:
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    return (buffer, offset, dtype, tuple(shape), tuple(strides))


def probe(out, x, rounds=0, scale=1.0, barrier=True, thread=0):
    return ("probe", (out,), (x,), (rounds,), (scale,), barrier, thread)


def chain(length, n=N, nt=1, rounds=0, thread=0):
    """x -> 1.5 (1.5 (x + ...) + rounds) + rounds, back and forth between two buffers."""
    buffers = [np.zeros(n), np.zeros(n)]
    calls = [probe(at((i + 1) % 2, (n,)), at(i % 2, (n,)), rounds, 1.5, thread=thread) for i in range(length)]
    return K.Program(buffers, calls, [at(0, (n,))], [at(length % 2, (n,))], nt)


def one_by_one(x, length, rounds=0):
    for _ in range(length):
        out = np.empty_like(x)
        K.call("probe", (out,), (x,), (rounds,), (1.5,))
        x = out
    return x


@pytest.mark.parametrize("nt", [1, 2, 3, 8])
@pytest.mark.parametrize("thread", [0, 1, 2])
def test_a_program_equals_its_kernels_one_by_one(nt, thread):
    x = np.random.default_rng(0).normal(size=N)
    program = chain(7, nt=nt, rounds=2, thread=thread)
    for _ in range(3):
        assert program(x).tobytes() == one_by_one(x, 7, rounds=2).tobytes()


def test_calls_without_a_barrier_have_their_own_scratch():
    n, count = 64, 6
    buffers = [np.zeros(n)] + [np.zeros(n) for _ in range(count)]
    calls = [probe(at(i + 1, (n,)), at(0, (n,)), 50, float(i), barrier=False) for i in range(count)]
    program = K.Program(buffers, calls, [at(0, (n,))], [at(i + 1, (n,)) for i in range(count)], 2)
    x = np.arange(float(n))
    for _ in range(20):
        for i, out in enumerate(program(x)):
            np.testing.assert_array_equal(out, i * x + 50)


def test_threads_take_pieces_of_their_own():
    n = 4096
    half = [at(b, (n // 2,), 8 * offset) for b in (0, 1) for offset in (0, n // 2)]
    calls = [probe(half[2], half[0], 1, 2.0, False, 1), probe(half[3], half[1], 1, 3.0, True, 2)]
    for nt in (1, 2, 4):
        program = K.Program([np.zeros(n), np.zeros(n)], calls, [at(0, (n,))], [at(1, (n,))], nt)
        x = np.arange(float(n))
        expected = np.concatenate([2 * x[: n // 2] + 1, 3 * x[n // 2 :] + 1])
        np.testing.assert_array_equal(program(x), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4), (2, 0, 3)])
def test_arguments_come_in_and_results_go_out_by_value(dtype, shape):
    code = {np.float32: F32, np.float64: F64, np.int64: I64, np.bool_: BOOL}[dtype]
    buffer = np.zeros(max(1, int(np.prod(shape))), dtype)
    there = at(0, shape, dtype=code)
    program = K.Program([buffer], [], [there], [there, there], 1)
    x = np.asarray(np.random.default_rng(0).normal(size=shape) * 3).astype(dtype)
    a, b = program(x)
    assert a is not b and a.dtype == x.dtype and a.shape == x.shape
    assert a.tobytes() == b.tobytes() == x.tobytes()
    assert not np.shares_memory(a, buffer)


def test_strided_arguments_and_operands():
    buffer = np.zeros(60)
    upside_down = at(0, (3, 4), 8 * 23, (-8, -2))
    program = K.Program([buffer], [], [upside_down], [upside_down, at(0, (4, 3), 8 * 23, (-2, -8))], 1)
    x = np.arange(24.0).reshape(4, 6)
    for argument in (x[:3, :4], x.T[:3], x.T[::-1][:3], x[::-1, ::-1][:3, ::2][:, [0, 1, 2, 0]], x[1:, 4:0:-1]):
        same, transposed = program(argument)
        np.testing.assert_array_equal(same, argument)
        np.testing.assert_array_equal(transposed, argument.T)


def test_a_program_without_results_gives_none():
    assert chain(1)(np.zeros(N)) is not None
    assert K.Program([], [], [], [], 1)() is None


GOOD = at(0, (8,))


@pytest.mark.parametrize(
    ("operand", "words"),
    [
        (at(0, (9,)), "outside"),
        (at(0, (8,), 8), "outside"),
        (at(0, (8,), -8), "outside"),
        (at(0, (8,), 0, (-1,)), "outside"),
        (at(0, (8,), 8 * 8, (-1,)), "outside"),
        (at(0, (2, 8), 0, (2**62, 1)), "outside"),
        (at(0, (2**62, 2**62), 0, (0, 1)), "outside"),
        (at(0, (8,), 2**63 - 8), "outside"),
        (at(0, (0,), 72), "outside"),
        (at(0, (7,), 4), "aligned"),
        (at(1, (8,)), "no such buffer"),
        (at(-1, (8,)), "no such buffer"),
        (at(0, (8,), dtype=4), "dtype"),
        (at(0, (-8,)), "shape"),
        (at(0, (8,), 0, (1, 1)), "one length"),
        (at(0, (1,) * 9), "at most 8"),
        (at(0, (2**70,), 0, (1,)), "shape"),
        ((0, 0, F64, [8], [1]), "must be None or"),
        ("buffer", "must be None or"),
    ],
)
def test_operands_outside_their_buffers_are_refused(operand, words):
    with pytest.raises(ValueError, match=rf"call 0 \(probe\), input 0: .*{words}"):
        K.Program([np.zeros(8)], [probe(GOOD, operand)], [], [], 1)
    with pytest.raises(ValueError, match=rf"output 0: .*{words}"):
        K.Program([np.zeros(8)], [], [], [operand], 1)


def test_buffers_may_be_views():
    memory = np.arange(40.0)
    view = memory[30:9:-3]  # 7 items, from item 30 down to item 12
    program = K.Program([view], [], [], [at(0, (7,), 0, (-3,)), at(0, (19,), -8 * 18)], 1)
    np.testing.assert_array_equal(program()[0], view)
    np.testing.assert_array_equal(program()[1], memory[12:31])
    for offset, stride in ((8, -3), (0, -4), (-8 * 19, 1)):
        with pytest.raises(ValueError, match="outside"):
            K.Program([view], [], [], [at(0, (7,), offset, (stride,))], 1)


def test_bad_programs_are_refused():
    fixed = np.zeros(8)
    fixed.flags.writeable = False
    for buffers, calls, inputs, words in (
        ([fixed], [probe(GOOD, GOOD)], [], "read-only"),
        ([fixed], [], [GOOD], "read-only"),
        ([np.zeros(8)], [probe(at(0, (4,)), GOOD)], [], r"dl.probe: .* \[\(4,\), \(8,\)\]"),
        ([np.zeros(8)], [probe(GOOD, GOOD), ("probe", 3)], [], "call 1 must be"),
        ([np.zeros(8)], [probe(GOOD, GOOD, thread=-1)], [], "call 0 must be"),
        ([np.zeros(8)], [("python", 3)], [], "call 0 must be"),
        ([np.zeros(8)], [], [None], "input 0: must not be None"),
    ):
        with pytest.raises(ValueError, match=words):
            K.Program(buffers, calls, inputs, [], 1)
    with pytest.raises(TypeError, match="buffer 0 must be a NumPy array, got list"):
        K.Program([[1.0]], [], [], [], 1)
    with pytest.raises(KeyError, match="no kernel 'nothing'"):
        K.Program([], [("nothing", (), (), (), (), True, 0)], [], [], 1)
    with pytest.raises(ValueError, match="nt must be 1 to 64, got 65"):
        K.Program([], [], [], [], 65)


def test_other_arguments_are_a_mismatch():
    program = chain(1)
    for args in ((), (np.zeros(N - 1),), (np.zeros(N, np.float32),), (np.zeros((N, 1)),), (np.zeros(N),) * 2, (3.0,)):
        with pytest.raises(K.Mismatch, match=rf"float64\({N},\)"):
            program(*args)
    with pytest.raises(K.Mismatch):
        program(np.zeros(N, ">f8"))


def test_python_runs_between_kernels():
    a, b = np.zeros(N), np.zeros(N)
    seen = []

    def shift():
        seen.append(b[0])
        b[:] += 100

    calls = [probe(at(1, (N,)), at(0, (N,)), 1), ("python", shift), probe(at(0, (N,)), at(1, (N,)), 1)]
    for nt in (1, 2):
        program = K.Program([a, b], [*calls, ("python", lambda: None)], [at(0, (N,))], [at(0, (N,))], nt)
        np.testing.assert_array_equal(program(np.arange(float(N))), np.arange(float(N)) + 102)
    assert seen == [1.0, 1.0]


def test_a_failing_or_recursive_python_call_ends_the_run():
    def fail():
        raise KeyError("here")

    program = K.Program([], [("python", fail)], [], [], 1)
    for _ in range(2):
        with pytest.raises(KeyError, match="here"):
            program()
    programs = []
    programs.append(K.Program([], [("python", lambda: programs[0]())], [], [], 1))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="cannot run that program"):
            programs[0]()


def test_jitted_takes_the_program_that_fits():
    jitted = K.Jitted(lambda *args, **named: ("fallback", len(args), named))
    jitted.add(K.Choice((chain(1, n=8),)))
    jitted.add(K.Choice((chain(2, n=9),)))
    np.testing.assert_array_equal(jitted(np.ones(8)), np.full(8, 1.5))
    np.testing.assert_array_equal(jitted(np.ones(9)), np.full(9, 2.25))
    assert jitted(np.ones(10)) == ("fallback", 1, {})
    assert jitted(np.ones(8), scale=2) == ("fallback", 1, {"scale": 2})
    assert jitted([1.0]) == ("fallback", 1, {})
    K.bump_epoch()
    assert jitted(np.ones(8)) == ("fallback", 1, {})
    choice = K.Choice((chain(3, n=8),))
    jitted.add(choice)
    assert jitted(np.ones(8))[0] == 1.5**3
    choice.epoch = -1
    assert jitted(np.ones(8)) == ("fallback", 1, {})
    choice.epoch = K.epoch()
    jitted.clear()
    assert jitted(np.ones(8)) == ("fallback", 1, {})


def test_a_choice_takes_the_faster_program_and_changes_its_mind():
    delays = {"a": 2e-3, "b": 0.0}
    a, b = (K.Program([], [("python", lambda name=name: time.sleep(delays[name]))], [], [], 1) for name in delays)
    choice = K.Choice((a, b))
    assert choice.programs == (a, b)
    for _ in range(20):
        choice()
    assert choice.program is b
    delays |= {"a": 0.0, "b": 2e-3}
    for _ in range(120):
        choice()
    assert choice.program is a
    with pytest.raises(K.Mismatch, match="wanted arrays"):
        choice(1.0)
    for wrong in ((), (a, 3), (a, b, a)):
        with pytest.raises(TypeError, match="1 to 2 Programs"):
            K.Choice(wrong)


def test_jitted_is_a_function_like_others():
    class Plant:
        step = K.Jitted(lambda self, x: (self, x))

    plant = Plant()
    assert plant.step(3) == (plant, 3)
    jitted = K.Jitted(len)
    jitted.__name__ = "length"
    assert jitted.__name__ == "length"
    with pytest.raises(TypeError, match="must be callable"):
        K.Jitted(3)
    with pytest.raises(TypeError, match="wants a Choice, got int"):
        jitted.add(3)


def test_threads_share_programs_and_the_team():
    program, x = chain(5, nt=2, rounds=1), np.random.default_rng(0).normal(size=(8, 64, N))
    wide = [chain(5, nt=2, rounds=1) for _ in range(8)]
    wrong = []

    def work(t):
        for row in x[t]:
            expected = one_by_one(row, 5, rounds=1).tobytes()
            if any(p(row).tobytes() != expected for p in (program, wide[t])):
                wrong.append(t)

    threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_sleeping_threads_burn_no_core():
    program, x = chain(3, nt=4, rounds=5), np.zeros(N)
    for _ in range(5):
        program(x)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.02


def test_a_forked_child_makes_its_own_threads():
    program, x = chain(3, nt=2, rounds=2), np.arange(float(N))
    expected = program(x).tobytes()
    inside = threading.Event()
    held = K.Program([], [("python", lambda: (inside.set(), time.sleep(0.3)))], [], [], 1)
    thread = threading.Thread(target=held)
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        held()  # the thread that holds it does not exist here
        os._exit(0 if all(program(x).tobytes() == expected for _ in range(10)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert program(x).tobytes() == expected
    thread.join()


def test_a_busy_machine_slows_the_team_down_but_does_not_stop_it():
    n, counts = 8192, [0, 0]
    programs, x = (chain(20, n, nt=1), chain(20, n, nt=2)), np.zeros(n)
    burn = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(burn) for _ in range(len(os.sched_getaffinity(0)))]
    try:
        for turn in range(20):
            end = time.perf_counter() + 0.06
            while time.perf_counter() < end:
                programs[turn % 2](x)
                counts[turn % 2] += 1
    finally:
        for p in others:
            p.kill()
            p.wait()
    assert counts[1] > counts[0] / 10  # threads that spin for one that has no core: a hundredth


def polynomial(x, y, out, temporary):
    """((x + y) * x + 0.5) * y as one fused call; y is broadcast along rows."""
    add, mul = K.micro_op("add"), K.micro_op("mul")
    t, c = temporary, 2
    ops = [add, F64, t, 0, 1, -1, mul, F64, t, t, 0, -1, add, F64, t, t, c, -1, mul, F64, t, t, 1, -1]
    return ("fused", (out,), (x, y), (1, 2, 1, 4, F64, *ops, t), (0.5,))


@pytest.mark.parametrize("shape", [(), (1, 1), (0, 3), (3, 5), (64, 48), (700, 301)])
@pytest.mark.parametrize("nt", [1, 2, 5])
def test_a_planned_elementwise_program_equals_the_call(shape, nt):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape), rng.normal(size=shape[1:])
    wide = np.broadcast_to(y, shape)
    expected = np.empty_like(x)
    name, _, _, ints, floats = polynomial(None, None, None, 3)
    K.call(name, (expected,), (np.asarray(x), wide), ints, floats)
    np.testing.assert_array_equal(expected, ((x + y) * x + 0.5) * y)
    a, b, c = at(0, shape), at(1, shape, strides=(0, *at(1, y.shape)[4])[: len(shape)]), at(2, shape)
    calls = [(*polynomial(a, b, c, 3), True, 0), (*polynomial(c, b, a, 3), True, 0)]
    program = K.Program([np.zeros(x.size), np.zeros(y.size), np.zeros(x.size)], calls, [a, at(1, y.shape)], [c, a], nt)
    for _ in range(3):
        first, second = program(np.asarray(x), np.asarray(y))
        assert first.tobytes() == expected.tobytes()
        np.testing.assert_array_equal(second, ((first + y) * first + 0.5) * y)


def test_teams_of_changing_size():
    x = np.arange(float(N))
    programs = {nt: chain(4, nt=nt, rounds=3) for nt in range(2, 8)}
    expected = one_by_one(x, 4, rounds=3).tobytes()
    for nt in np.random.default_rng(0).integers(2, 8, size=200):
        assert programs[nt](x).tobytes() == expected
