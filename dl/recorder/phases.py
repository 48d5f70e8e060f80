"""Fewer meetings: instructions are put in an order in which the threads meet only when nothing else is left to do."""

from dl.recorder.lower import Instruction

MOST = 600  # instructions; in longer programs a meeting is a small part of the work between two


def phases(program: list[Instruction]) -> list[list[Instruction]]:
    """The instructions in groups; inside a group no thread touches what another one of the group writes.

    In each round everything goes into the group whose needs were met before it, or in it by the same thread.
    """
    needs = conflicts(program)
    group_of: dict[int, int] = {}
    waiting, made = list(range(len(program))), []
    while waiting:
        here, group, later = len(made), [], []
        for i in waiting:
            thread = program[i].thread
            ready = all(
                group_of.get(j, here + 1) < here or (group_of.get(j) == here and program[j].thread == thread >= 0)
                for j in needs[i]
            )
            if ready:
                group_of[i] = here
                group.append(program[i])
            else:
                later.append(i)
        made.append(group)
        waiting = later
    return made


def conflicts(program: list[Instruction]) -> list[list[int]]:
    """For each instruction the earlier ones with which it must not change places: one of both writes what the other
    touches."""
    touched: dict[int, list[tuple[int, int, int, bool]]] = {}
    found: list[list[int]] = []
    for i, m in enumerate(program):
        mine = set()
        spans = [(o.root, *o.extent(), True) for o in m.outs]
        spans += [(o.root, *o.extent(), o.root in m.writes) for o in m.ins if o is not None]
        for root, lo, hi, writes in spans:
            for j, begin, end, wrote in touched.get(root, ()):
                if (writes or wrote) and lo < end and begin < hi:
                    mine.add(j)
        for root, lo, hi, writes in spans:
            touched.setdefault(root, []).append((i, lo, hi, writes))
        found.append(sorted(mine))
    return found
