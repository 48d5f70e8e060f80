"""Where temporaries live and when threads meet: one arena, reused; barriers only where an instruction needs one."""

from dl.recorder.lower import Instruction
from dl.recorder.memory import Memory, Operand, Span

ALIGN = 64
MOST_SPANS = 256  # looked through for each instruction; more and the threads meet


def round_up(n: int) -> int:
    return (n + ALIGN - 1) // ALIGN * ALIGN


class Arena:
    """First fit by offset: free gaps are kept sorted and merged."""

    def __init__(self):
        self.gaps: list[list[int]] = []  # [start, end)
        self.size = 0

    def take(self, n: int) -> int:
        n = round_up(max(n, 1))
        best = None
        for i, (start, end) in enumerate(self.gaps):
            if end - start >= n and (best is None or end - start < self.gaps[best][1] - self.gaps[best][0]):
                best = i
        if best is None:
            self.size += n
            return self.size - n
        gap = self.gaps[best]
        start, gap[0] = gap[0], gap[0] + n
        if gap[0] == gap[1]:
            del self.gaps[best]
        return start

    def give(self, start: int, n: int):
        n = round_up(max(n, 1))
        self.gaps.append([start, start + n])
        self.gaps.sort()
        merged = [self.gaps[0]]
        for gap in self.gaps[1:]:
            if gap[0] == merged[-1][1]:
                merged[-1][1] = gap[1]
            else:
                merged.append(gap)
        self.gaps = merged


def place(groups: list[list[Instruction]], memory: Memory, persistent: set[int]) -> tuple[dict[int, int], int]:
    """Offsets in the arena of all temporary roots that the program touches, and the arena's size in bytes.

    Memory is used again after the group of instructions that needed it last, not inside it: threads run a group in any
    order.
    """
    first, last = {}, {}
    for k, group in enumerate(groups):
        for root in [root for m in group for root in (*m.reads, *m.writes)]:
            if memory.roots[root].kind == "temporary":
                first.setdefault(root, k)
                last[root] = k
    starts, ends = by_time(first), by_time(last)
    arena, offsets = Arena(), {}
    for k in range(len(groups)):
        for root in starts.get(k, ()):
            offsets[root] = arena.take(memory.roots[root].array.nbytes)
        for root in ends.get(k, ()):
            if root not in persistent:
                arena.give(offsets[root], memory.roots[root].array.nbytes)
    return offsets, arena.size


def by_time(when: dict[int, int]) -> dict[int, list[int]]:
    made: dict[int, list[int]] = {}
    for root, k in when.items():
        made.setdefault(k, []).append(root)
    return made


class Touched:
    """What each thread read and wrote since the last barrier, as byte intervals of the memory that it lies in."""

    def __init__(self):
        self.spans: dict[object, list[tuple[int, Span, bool]]] = {}
        self.count = 0

    def clash(self, thread: int, key, span: Span, writes: bool) -> bool:
        """Whether another thread (or the team: -1) wrote there, or read where this one is going to write."""
        return any(
            (t != thread or t < 0) and (w or writes) and span.meets(other) for t, other, w in self.spans.get(key, ())
        )

    def add(self, thread: int, key, span: Span, writes: bool):
        self.spans.setdefault(key, []).append((thread, span, writes))
        self.count += 1


def barriers(program: list[Instruction], memory: Memory, offsets: dict[int, int]) -> list[bool]:
    """Whether the threads must meet after each instruction: where the next one touches what another thread has."""

    def spans(m: Instruction):
        for operand in m.outs:
            yield (*interval(operand), True)
        for operand in m.ins:
            if operand is not None:
                yield (*interval(operand), operand.root in m.writes)

    def interval(operand: Operand):
        span = operand.span()
        if operand.root in offsets:
            return "arena", span.moved(offsets[operand.root])
        return operand.root, span

    meet = [False] * len(program)
    touched = Touched()
    for k, m in enumerate(program):
        these = list(spans(m))
        alone = m.kind == "python"
        if k and (alone or touched.count > MOST_SPANS or any(touched.clash(m.thread, *s) for s in these)):
            meet[k - 1] = True
            touched = Touched()
        for span in these:
            touched.add(m.thread, *span)
        if alone:
            meet[k] = True
            touched = Touched()
    return meet
