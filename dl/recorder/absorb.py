"""Activations right behind a matrix product become part of it: the values are stored once, and the same bits."""

from collections import Counter
from dataclasses import replace

from dl.matmul_kernels import ACTS
from dl.recorder.lower import Instruction
from dl.recorder.memory import Memory


def absorb(program: list[Instruction], memory: Memory, needed: set[int]) -> list[Instruction]:
    """The program with act(gemm(...)) as one instruction, where nobody else reads the product itself."""
    readers = Counter(root for m in program for root in m.reads)
    products: dict[int, int] = {}  # by root, where in the list the product stands
    made: list[Instruction] = []
    for m in program:
        k = products.get(m.ins[0].root) if m.kind == "micro" and m.name in ACTS and m.ins[0] is not None else None
        if k is not None and made[k].outs[0] == m.ins[0] and readers[m.ins[0].root] == 1:
            made[k] = replace(made[k], outs=m.outs, ints=(ACTS[m.name],), writes=m.writes)
            continue
        if m.name == "gemm" and m.ints == (0,):
            root = m.outs[0].root
            if memory.roots[root].kind == "temporary" and root not in needed:
                products[root] = len(made)
        made.append(m)
    return made
