"""Fewer meetings: instructions are put in an order in which the threads meet only when nothing else is left to do."""

from itertools import count

from dl.recorder.lower import Instruction
from dl.recorder.memory import Span

MOST = 600  # instructions; in longer programs a meeting is a small part of the work between two


def phases(program: list[list[Instruction]]) -> list[list[Instruction]]:
    """The instructions in groups; inside a group no thread touches what another one of the group writes.

    program: lists of pieces that do not need each other and stay together, lest one thread works while the others wait.
    In each round everything goes into the group whose needs were met before it, or in it by the same thread.
    """
    flat = [m for pieces in program for m in pieces]
    needs = conflicts(flat)
    group_of: dict[int, int] = {}
    waiting, made = numbered(program), []
    while waiting:
        here, group, later = len(made), [], []

        def ready(i: int, here=here) -> bool:
            thread = flat[i].thread
            return all(
                group_of.get(j, here + 1) < here or (group_of.get(j) == here and flat[j].thread == thread >= 0)
                for j in needs[i]
            )

        for pieces in waiting:
            if all(map(ready, pieces)):
                group_of.update(dict.fromkeys(pieces, here))
                group += [flat[i] for i in pieces]
            else:
                later.append(pieces)
        made.append(group)
        waiting = later
    return made


def numbered(program: list[list[Instruction]]) -> list[list[int]]:
    """The same lists with the place of each instruction in the whole program."""
    counter = count()
    return [[next(counter) for _ in pieces] for pieces in program]


def conflicts(program: list[Instruction]) -> list[list[int]]:
    """For each instruction the earlier ones with which it must not change places: one of both writes what the other
    touches."""
    touched: dict[int, list[tuple[int, Span, bool]]] = {}
    found: list[list[int]] = []
    for i, m in enumerate(program):
        mine = set()
        spans = [(o.root, o.span(), True) for o in m.outs]
        spans += [(o.root, o.span(), o.root in m.writes) for o in m.ins if o is not None]
        for root, span, writes in spans:
            for j, other, wrote in touched.get(root, ()):
                if (writes or wrote) and span.meets(other):
                    mine.add(j)
        for root, span, writes in spans:
            touched.setdefault(root, []).append((i, span, writes))
        found.append(sorted(mine))
    return found
