"""Constant folding: what depends on numbers in the program only is computed once, when it is recorded."""

from collections import Counter

from dl.recorder.lower import Instruction
from dl.recorder.memory import Memory


def fold(program: list[Instruction], memory: Memory) -> list[Instruction]:
    """The program without the instructions whose inputs are all constants; their recorded results become constants.

    Only results that are written once qualify: what is changed later is no constant.
    """
    writers = Counter(root for m in program for root in m.writes)
    kept = []
    for m in program:
        roots = [memory.roots[root] for root in m.writes]
        once = all(r.kind == "temporary" and writers[w] == 1 for r, w in zip(roots, m.writes, strict=True))
        if once and not m.keep and all(o is None or memory.roots[o.root].literal for o in m.ins):
            for root in roots:
                root.kind, root.literal = "outside", True
        else:
            kept.append(m)
    return kept
