"""Who does what in a recorded program: the same bits however the work is shared, and nobody gets in another's way."""

from itertools import combinations

import numpy as np
import pytest

import dl
from dl import functional as F
from dl import nn, optim
from dl.kernel import _kernels
from dl.recorder import build as building
from dl.recorder.memory import Operand
from dl.recorder.phases import phases

pytestmark = pytest.mark.skipif(_kernels is None, reason="the C extension was not built")

F32 = np.dtype(np.float32)
OPTIMISERS = {
    "adam": lambda p: optim.Adam(p, lr=1e-2),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2),
    "sgd": lambda p: optim.SGD(p, lr=1e-2),
    "momentum": lambda p: optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: optim.RMSprop(p, lr=1e-2, momentum=0.5, centered=True),
}


def conv_net(g):
    convolution = nn.Conv2d(3, 16, 3, stride=2, padding=1, generator=g)
    return nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(256, 6, generator=g))


NETS = {
    "mlp": (lambda g: nn.MLP((17, 64, 64, 6), nn.Tanh, generator=g), (64, 17)),
    "odd": (lambda g: nn.MLP((7, 33, 50, 6), nn.ReLU, generator=g), (45, 7)),
    "wide": (lambda g: nn.MLP((100, 130, 6), nn.SiLU, generator=g), (24, 100)),
    "convolution": (conv_net, (12, 3, 8, 8)),
    "attention": (
        lambda g: nn.Sequential(
            nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True, generator=g),
            nn.Linear(32, 6, generator=g),
        ),
        (4, 16, 32),
    ),
}


@pytest.fixture(params=[2, 3])
def threads(request):
    before = _kernels.num_threads()
    _kernels.set_num_threads(request.param)
    yield request.param
    _kernels.set_num_threads(before)


def training(net: str, optimiser: str):
    """A net, a step that returns its loss, and a batch."""
    make, shape = NETS[net]
    net = make(dl.Generator(0))
    rule = OPTIMISERS[optimiser](net.parameters())

    def step(x, y):
        rule.zero_grad()
        loss = F.mse_loss(net(x), y)
        loss.backward()
        rule.step()
        return loss

    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    y = np.sin(np.arange(net(dl.from_numpy(x)).array.size, dtype=np.float32)).reshape(net(dl.from_numpy(x)).shape)
    return net, step, (x, y)


def recorded(net: str, optimiser: str):
    """The net, its programs, and the batch; the first step is done."""
    net, step, batch = training(net, optimiser)
    jitted = dl.jit(step)
    jitted(*batch)
    ((recording,),) = jitted.recordings.values()
    return net, recording.candidates, batch


def bits(net) -> bytes:
    return b"".join(p.array.tobytes() for p in net.parameters())


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("net", NETS)
def test_every_program_has_the_bits_of_eager_mode(net, optimiser, threads):
    eager, step, batch = training(net, optimiser)
    wanted = []
    for _ in range(4):
        step(*map(dl.from_numpy, batch))
        wanted.append(bits(eager))
    for which in range(len(recorded(net, optimiser)[1])):
        again, candidates, batch = recorded(net, optimiser)
        for expected in wanted[1:]:
            candidates[which].program(*batch)
            assert bits(again) == expected, f"{candidates[which].threads} threads"


def test_a_parameter_in_columns_is_updated_too(threads):
    """Its rows lie among each other, so that no thread can be given some of them."""
    x = np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32)
    found = []
    for record in (False, True):
        weight = dl.from_numpy(np.asfortranarray(np.sin(np.arange(48.0 * 32)).reshape(48, 32).astype(np.float32)))
        rule = optim.Adam([weight.requires_grad_()], lr=1e-2)

        def step(x, rule=rule, weight=weight):
            rule.zero_grad()
            (x @ weight).square().mean().backward()
            rule.step()

        run = dl.jit(step) if record else step
        for _ in range(4):
            run(x if record else dl.from_numpy(x))
        found.append(weight.array.tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("rows", [4, 200])
def test_a_copy_onto_what_it_reads_reads_first(rows, threads):
    def shifted(x):
        y = x * 1.0
        y[1:] = y[:-1]
        y[:, ::2] = y[:, ::-2]
        return y

    recorded, x = dl.jit(shifted), np.random.default_rng(0).normal(size=(rows, 64))
    recorded(x)
    wanted = np.concatenate([x[:1], x[:-1]])
    wanted[:, ::2] = wanted[:, ::-2].copy()
    np.testing.assert_array_equal(recorded(x), wanted)


def test_the_work_of_a_step_is_shared(threads):
    _, (shared, alone), _ = recorded("mlp", "adam")
    assert (shared.threads, alone.threads) == (threads, 1)
    done = {t: {m.name for m in shared.instructions if m.thread == t} for t in range(threads)}
    assert {"gemm", "fused"} <= set.intersection(*done.values())
    if threads == 2:
        assert {"linear_bias", "adam"} <= done[1]


def clash(one, other) -> bool:
    """Whether one of two instructions writes an element that the other touches."""

    def elements(m, written: bool) -> set[tuple[int, int]]:
        operands = [o for o in m.outs if written] + [o for o in m.ins if o and (o.root in m.writes) == written]
        return {(o.root, b) for o in operands for b in touched(o)}

    a, b = elements(one, True), elements(other, True)
    return bool(a & (b | elements(other, False)) or b & elements(one, False))


def touched(operand: Operand) -> list[int]:
    """Where in its root each element of an operand begins, one by one."""
    at = np.full(operand.shape, operand.offset)
    for d, stride in enumerate(operand.strides):
        steps = np.arange(operand.shape[d]) * stride * operand.dtype.itemsize
        at = at + steps.reshape([-1 if i == d else 1 for i in range(at.ndim)])
    return at.ravel().tolist()


@pytest.mark.parametrize("net", NETS)
def test_in_a_group_nobody_touches_what_another_thread_writes(net, threads, monkeypatch):
    found = []

    def spy(program):
        found.append((program, phases(program)))
        return found[-1][1]

    monkeypatch.setattr(building, "phases", spy)
    recorded(net, "adam")
    (program, groups), *_ = found
    where = {id(m): k for k, group in enumerate(groups) for m in group}
    assert len(where) == sum(map(len, program))
    for pieces in program:
        assert len({where[id(m)] for m in pieces}) == 1
    for group in groups:
        for one, other in combinations(group, 2):
            assert (one.thread == other.thread >= 0) or not clash(one, other), (one.name, other.name)
    order = {id(m): k for k, m in enumerate(m for group in groups for m in group)}
    flat = [m for pieces in program for m in pieces]
    for one, other in combinations(flat, 2):
        if order[id(one)] > order[id(other)]:
            assert not clash(one, other), (one.name, other.name)


def test_spans_meet_where_they_have_bytes_in_common(rng):
    met = 0
    for _ in range(3000):
        rows, width = rng.integers(1, 5, size=2)
        one, other = (part(rng, rows, width + 4) for _ in range(2))
        common = set(touched(one)) & set(touched(other))
        met += bool(common)
        assert one.span().meets(other.span()) == other.span().meets(one.span())
        assert one.span().meets(other.span()) or not common
    assert met > 500


def test_columns_of_a_matrix_do_not_meet():
    whole = Operand(0, 64, F32, (6, 64), (64, 1))
    halves = [whole.rows(1, 0, 32), whole.rows(1, 32, 64)]
    assert not halves[0].span().meets(halves[1].span())
    assert all(h.span().meets(whole.span()) for h in halves)


def part(rng, rows: int, columns: int) -> Operand:
    """Some rows and columns of a matrix."""
    operand = Operand(0, 0, F32, (rows, columns), (columns, 1))
    for dim, n in enumerate(operand.shape):
        begin = int(rng.integers(0, n))
        operand = operand.rows(dim, begin, int(rng.integers(begin + 1, n + 1)))
    return operand
