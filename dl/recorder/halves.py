"""Gradients of weights and biases by halves of the batch: each thread takes the rows it has made, so that the threads
need not meet before, and what they exchange is the size of the weight."""

from dataclasses import replace

from dl.recorder.fuse import fuse
from dl.recorder.lower import Instruction
from dl.recorder.memory import Memory

TWO_PARTS = {"gemm": (0, 2), "linear_bias": (2,)}  # the integers of kernels that add up two halves
ONE_PART = {"gemm": (0, 1), "linear_bias": (1,)}


def by_halves(m: Instruction, memory: Memory) -> tuple[list[Instruction], Instruction] | None:
    """Two sums over half of the batch, and then their sum: what the kernel does with two parts, to the bit."""
    if m.ints != TWO_PARTS.get(m.name):
        return None
    out, (rows, *others) = m.outs[0], m.ins
    axis = 1 if m.name == "gemm" else 0  # of a weight's gradient the first factor is a transpose
    n = rows.shape[axis]
    pieces, parts = [], []
    for t, (begin, end) in enumerate(((0, n // 2), (n // 2, n))):
        part = memory.temporary(out)
        ins = (rows.rows(axis, begin, end), *(o.rows(0, begin, end) for o in others))
        pieces.append(replace(m, outs=(part,), ins=ins, ints=ONE_PART[m.name], writes=(part.root,), thread=t))
        parts.append(part)
    total = Instruction("micro", "add", (out,), tuple(parts), writes=(out.root,))
    return pieces, fuse([total], memory, {out.root})
