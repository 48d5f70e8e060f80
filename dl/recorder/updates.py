"""The optimiser's step cut by the rows of its parameters: a thread updates what it has the gradients of."""

from dataclasses import replace
from itertools import pairwise

from dl.recorder.lower import Instruction
from dl.recorder.memory import Operand

FIRST = 2  # the step count and the learning rate come before the tensors
LEAST = 32  # elements for each thread; smaller parameters are updated by one
RAISED = 1  # the last integer of an update: the step count is already that of this step


def group_size(m: Instruction) -> int:
    """How many inputs belong to one parameter: itself, its gradient and its state; 0: not an optimiser's step."""
    if m.name == "adam":
        return 4
    if m.name == "sgd":
        return 3 if m.floats[0] else 2
    if m.name == "rmsprop":
        return 3 + bool(m.ints[0]) + bool(m.floats[3])
    return 0


def shares(n: int, threads: int, unit: int = 1) -> list[int]:
    """Where the shares of n rows begin and end: 0, ..., n; multiples of the unit in between."""
    return [n // unit * t // threads * unit for t in range(threads)] + [n]


def shared_update(m: Instruction, threads: int) -> tuple[list[list[Instruction]], list[Instruction]] | None:
    """The step count raised by one thread, which nothing else in the program waits for; and each thread's share."""
    size = group_size(m)
    if not size:
        return None
    given: list[list[Operand]] = [[] for _ in range(threads)]
    for i in range(FIRST, len(m.ins), size):
        tensors = [o for o in m.ins[i : i + size] if o is not None]
        n = tensors[0].shape[0] if tensors[0].shape else 1
        if n >= threads and tensors[0].size >= LEAST * threads:
            for share, (begin, end) in zip(given, pairwise(shares(n, threads)), strict=True):
                share += [o.rows(0, begin, end) for o in tensors]
        else:
            given[0] += tensors
    if not all(given):
        return None
    head, count, ints = m.ins[:FIRST], m.ins[0].root, (*m.ints[:-1], RAISED)
    others = tuple(root for root in m.writes if root != count)
    pieces = [replace(m, ins=(*head, *share), ints=ints, writes=others, thread=t) for t, share in enumerate(given)]
    return [[replace(m, ins=head, writes=(count,), thread=0)]], pieces
