"""Common subexpressions: the same elementwise operation on the same values is computed once."""

from collections import Counter
from dataclasses import replace

from dl.recorder.fuse import constant, literal
from dl.recorder.lower import Instruction
from dl.recorder.memory import Memory, Operand


def share(program: list[Instruction], memory: Memory, needed: set[int]) -> list[Instruction]:
    """The program without repeated micro-operations; those that read the repetition read the first result instead.

    Only values that never change qualify: temporaries written once, numbers, memory that the program does not write.
    """
    writers = Counter(root for m in program for root in m.writes)
    settled = [writers[i] <= (r.kind == "temporary") for i, r in enumerate(memory.roots)]
    seen: dict[tuple, Operand] = {}
    same: dict[int, int] = {}  # root -> the root that holds the same values
    made: list[Instruction] = []
    for m in program:
        if same and any(root in same for root in m.reads):
            m = replace(m, ins=tuple(renamed(o, same) for o in m.ins))
        if m.kind == "micro" and all(settled[root] for root in m.reads) and settled[m.outs[0].root]:
            out = m.outs[0]
            sources = tuple(constant(o, memory) if literal(o, memory) else o for o in m.ins)
            first = seen.setdefault((m.name, sources, out.shape, out.dtype), out)
            if first is not out and out.root not in needed and replace(out, root=first.root) == first:
                same[out.root] = first.root
                continue
        made.append(m)
    return made


def renamed(operand: Operand | None, same: dict[int, int]) -> Operand | None:
    if operand is None or operand.root not in same:
        return operand
    return replace(operand, root=same[operand.root])
