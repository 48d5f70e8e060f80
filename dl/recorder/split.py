"""Who does what: an instruction whose rows are independent becomes one per thread, so that a chain of such instructions
needs no meeting of the threads between its links; what crosses rows is cut by columns where that is as good, or else
done by all together or, if small, by one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

from dl.recorder.halves import by_halves
from dl.recorder.lower import Instruction
from dl.recorder.memory import Memory, Operand
from dl.recorder.phases import conflicts
from dl.recorder.updates import shared_update, shares
from dl.recorder.work import nanoseconds

ALONE = 3000  # [ns] less work than this is done by one thread: a meeting costs about as much as it saves
LEAST_ROWS, LEAST_COLUMNS = 8, 32  # of a matrix product, for each thread
MANY_ROWS = 32  # of the gradient of a weight: fewer are not cut, but its columns
MOST_WIDTH, PIECE = 64, 1 << 15  # of the reductions' plan: outputs side by side, elements taken in at once
LANES = 16  # columns that a reduction adds up together
LEAST_ITEMS = 32  # of a result, for each thread


@dataclass(frozen=True)
class Cut:
    """The dimension along which each operand is cut (None: not at all), in pieces of `least` rows or more, whose number
    is a multiple of `unit` except in the last one."""

    outs: Sequence[int | None]
    ins: Sequence[int | None]
    least: int = 1
    unit: int = 1


def batch(operand: Operand | None, n: int) -> int | None:
    """The dimension along which an operand is cut: its first, where it is the batch."""
    return 0 if operand is not None and operand.shape and operand.shape[0] == n else None


def all_batched(m: Instruction, n: int) -> Cut:
    """Every operand with the batch in front is cut, the others are shared."""
    return Cut([batch(o, n) for o in m.outs], [batch(o, n) for o in m.ins])


def first_batched(m: Instruction, n: int) -> Cut:
    """The first input is cut, all others (weights) are shared."""
    return Cut([batch(o, n) for o in m.outs], [batch(o, n) if i == 0 else None for i, o in enumerate(m.ins)])


def product(m: Instruction, n: int) -> Cut:
    """Rows of C = A B + bias, or columns if A is a transpose with few; of stacks of matrices the first dimension."""
    c, (a, b, *bias) = m.outs[0], m.ins
    if len(c.shape) > 2:
        stacked = [0 if len(o.shape) == len(c.shape) and o.shape[0] == n else None for o in (a, b)]
        return Cut([0], stacked + [None] * len(bias))
    if n >= MANY_ROWS or a.strides[0] != 1:
        return Cut([0], [0, *[None] * (len(m.ins) - 1)], LEAST_ROWS)
    return Cut([1], [None, 1, *[0 if o else None for o in bias]], LEAST_COLUMNS, LANES)


def rows_or_columns(m: Instruction, n: int) -> Cut | None:
    """Reductions over other dimensions than the first by rows, those over the rows of a matrix by columns."""
    x, out = m.ins[0], m.outs[0]
    assert x is not None
    if len(x.shape) == 2 and m.ints == (0,) and out.strides == (1,) and x.strides[1] == 1:
        tiles_are_whole = n % LANES == 0 and x.shape[0] * min(n, MOST_WIDTH) <= PIECE
        return Cut([0], [1], LANES, LANES) if tiles_are_whole else None
    return rows_unless_reduced(m, n)


def rows_unless_reduced(m: Instruction, n: int) -> Cut | None:
    """Reductions over other dimensions than the first, where the kernel adds up each row as it would among all of them:
    it takes neighbours in memory together (dl/csrc/reduce_plan.inc), so they must not be parted; long rows, of which it
    makes pieces, neither."""
    x = m.ins[0]
    assert x is not None
    gone = {d % len(x.shape) for d in m.ints}
    if not m.outs[0].shape or 0 in gone:
        return None
    count = prod(x.shape[d] for d in gone)
    if count * min(m.outs[0].size, MOST_WIDTH) > PIECE:
        return None
    if any(abs(s) == 1 for d, s in enumerate(x.strides) if d not in gone and x.shape[d] > 1):
        between = [abs(x.strides[d]) for d in gone if x.shape[d] > 1]
        if not between or abs(x.strides[0]) <= min(between):
            return None
    return all_batched(m, n)


def not_along_first(m: Instruction, n: int) -> Cut | None:
    """softmax(x, dim) and the like: dim is the first integer."""
    return None if m.ints[0] == 0 or len(m.outs[0].shape) < 2 else all_batched(m, n)


RULES: dict[str, Callable] = {
    "fused": lambda m, n: Cut([0] * len(m.outs), [0] * len(m.ins)),
    "copy": lambda m, n: Cut([0], [0]),
    "fill": lambda m, n: Cut([0], []),
    "gemm": product,
    "conv2d": first_batched,
    "conv2d_grad_input": first_batched,
    "layer_norm": first_batched,
    "rms_norm": first_batched,
    "group_norm": first_batched,
    "attention": all_batched,
    "attention_backward": all_batched,
    "cross_entropy": all_batched,
    "cross_entropy_backward": all_batched,
    "softmax": not_along_first,
    "log_softmax": not_along_first,
    "logsumexp": not_along_first,
    "softmax_backward": not_along_first,
    "log_softmax_backward": not_along_first,
    "linear_bias": lambda m, n: Cut([0], [1]),
    "sum": rows_or_columns,
    "max": rows_or_columns,
    "min": rows_or_columns,
}


def split(program: list[Instruction], memory: Memory, threads: int) -> list[list[Instruction]]:
    """Every instruction given to one thread or to all, or cut: lists of pieces that belong together."""
    if threads == 1:
        return [[m if m.kind == "python" else replace(m, thread=0)] for m in program]
    made: list[list[Instruction]] = []
    for m in program:
        pieces, total = (by_halves(m, memory) if threads == 2 else None) or (None, m)
        made += [pieces] if pieces else []
        made += parted(total, threads)
    return made


def parted(m: Instruction, threads: int) -> list[list[Instruction]]:
    """An instruction cut, left to all threads, or given to the first."""
    if m.kind == "python":
        return [[m]]
    before, pieces = shared_update(m, threads) or ([], cut(m, threads))
    if pieces and not any(conflicts(pieces)):
        return [*before, pieces]
    return [[m if nanoseconds(m) > ALONE else replace(m, thread=0)]]


def cut(m: Instruction, threads: int) -> list[Instruction] | None:
    """One instruction per thread on its share; None where there is too little, or what it does cannot be cut."""
    rule = RULES.get(m.name)
    if rule is None or not m.outs or not m.outs[0].shape:
        return None
    how = rule(m, m.outs[0].shape[0])
    if how is None or any(d is None for d in how.outs):
        return None
    n = m.outs[0].shape[how.outs[0]]
    ends = shares(n, threads, how.unit)
    if min(b - a for a, b in pairwise(ends)) < how.least or m.outs[0].size < LEAST_ITEMS * threads:
        return None
    pieces = []
    for t, (begin, end) in enumerate(pairwise(ends)):
        outs = [share(o, d, begin, end) for o, d in zip(m.outs, how.outs, strict=True)]
        ins = [share(o, d, begin, end) for o, d in zip(m.ins, how.ins, strict=True)]
        pieces.append(replace(m, outs=tuple(outs), ins=tuple(ins), thread=t))
    return pieces


def share(operand: Operand | None, dim: int | None, begin: int, end: int) -> Operand | None:
    return operand if dim is None or operand is None else operand.rows(dim, begin, end)
