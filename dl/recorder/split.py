"""Who does what: an instruction whose rows are independent becomes one per thread, so that a chain of such instructions
needs no meeting of the threads between its links; what crosses rows is done by all together or, if small, by one."""

from collections.abc import Callable
from dataclasses import replace
from math import prod

from dl.recorder.lower import Instruction
from dl.recorder.memory import Operand
from dl.recorder.work import nanoseconds

ALONE = 3000  # [ns] less work than this is done by one thread: a meeting costs about as much as it saves
LEAST_ROWS = 8  # of a matrix product, for each thread
MOST_WIDTH, PIECE = 64, 1 << 15  # of the reductions' plan: outputs side by side, elements taken in at once
LEAST_ITEMS = 32  # of a result, for each thread


def batch(operand: Operand | None, n: int) -> int | None:
    """The dimension along which an operand is cut: its first, where it is the batch."""
    return 0 if operand is not None and operand.shape and operand.shape[0] == n else None


def all_batched(m: Instruction, n: int):
    """Every operand with the batch in front is cut, the others are shared."""
    return [batch(o, n) for o in m.outs], [batch(o, n) for o in m.ins]


def first_batched(m: Instruction, n: int):
    """The first input is cut, all others (weights) are shared."""
    return [batch(o, n) for o in m.outs], [batch(o, n) if i == 0 else None for i, o in enumerate(m.ins)]


def product(m: Instruction, n: int):
    """Rows of C = A B + bias; for stacks of matrices the first dimension of the stack."""
    c, (a, b, *_) = m.outs[0], m.ins
    if len(c.shape) == 2:
        return [0], [0] + [None] * (len(m.ins) - 1)
    stacked = [0 if len(o.shape) == len(c.shape) and o.shape[0] == n else None for o in (a, b)]
    return [0], stacked + [None] * (len(m.ins) - 2)


def rows_unless_reduced(m: Instruction, n: int):
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


def not_along_first(m: Instruction, n: int):
    """softmax(x, dim) and the like: dim is the first integer."""
    return None if m.ints[0] == 0 or len(m.outs[0].shape) < 2 else all_batched(m, n)


RULES: dict[str, Callable] = {
    "fused": lambda m, n: ([0] * len(m.outs), [0] * len(m.ins)),
    "copy": lambda m, n: ([0], [0]),
    "fill": lambda m, n: ([0], []),
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
    "sum": rows_unless_reduced,
    "max": rows_unless_reduced,
    "min": rows_unless_reduced,
}


def split(program: list[Instruction], threads: int) -> list[Instruction]:
    """The program with every instruction given to one thread, cut into one per thread, or left to all."""
    made: list[Instruction] = []
    for m in program:
        pieces = cut(m, threads) if threads > 1 and m.kind != "python" else None
        if pieces:
            made += pieces
        elif m.kind == "python" or (threads > 1 and nanoseconds(m) > ALONE):
            made.append(m)
        else:
            made.append(replace(m, thread=0))
    return made


def cut(m: Instruction, threads: int) -> list[Instruction] | None:
    """One instruction per thread on its share of the rows; None where they are too few or depend on each other."""
    rule = RULES.get(m.name)
    if rule is None or not m.outs or not m.outs[0].shape:
        return None
    n = m.outs[0].shape[0]
    least = LEAST_ROWS * threads if m.name == "gemm" and len(m.outs[0].shape) == 2 else threads
    dims = rule(m, n)
    if dims is None or n < least or n % threads or m.outs[0].size < LEAST_ITEMS * threads:
        return None
    if any(d is None for d in dims[0]):
        return None
    pieces = []
    for t in range(threads):
        begin, end = n * t // threads, n * (t + 1) // threads

        def share(operand, dim, begin=begin, end=end):
            return operand if dim is None else operand.rows(dim, begin, end)

        outs = tuple(share(o, d) for o, d in zip(m.outs, dims[0], strict=True))
        ins = tuple(share(o, d) for o, d in zip(m.ins, dims[1], strict=True))
        pieces.append(replace(m, outs=outs, ins=ins, thread=t))
    return pieces
