"""The order of a program: what nobody reads is dropped, elementwise neighbours of one shape become one instruction."""

from heapq import heappop, heappush

from dl.recorder.lower import Instruction
from dl.recorder.memory import Memory, Operand

MOST_OPS = 48  # of one fused instruction on arrays: its registers stay in the first-level cache
MOST_OPS_SMALL = 4000  # the same on up to SMALL elements, where the start of an instruction costs more than its work
SMALL = 16


def drop_dead(program: list[Instruction], memory: Memory, needed: set[int]) -> list[Instruction]:
    """The instructions that the needed roots, memory outside, or another kept instruction depend on."""
    live = set(needed) | {i for i, r in enumerate(memory.roots) if r.kind != "temporary"}
    kept = []
    for instruction in reversed(program):
        if instruction.keep or any(root in live for root in instruction.writes):
            kept.append(instruction)
            live.update(instruction.reads)
    return kept[::-1]


class Graph:
    """What must run before what: before[i] lists (j, soft).

    A link is soft where an elementwise instruction reads exactly what another wrote, in the same iteration shape: both
    may stand in one fused instruction.
    """

    def __init__(self, program: list[Instruction]):
        n = len(program)
        self.before: list[list[tuple[int, bool]]] = [[] for _ in range(n)]
        self.waiting = [0] * n  # how many later instructions need this one
        self.program = program
        writer: dict[int, tuple[int, Operand | None]] = {}
        readers: dict[int, list[int]] = {}
        for i, instruction in enumerate(program):
            links: dict[int, bool] = {}
            for operand in instruction.ins:
                if operand is not None and operand.root in writer:
                    w, written = writer[operand.root]
                    links[w] = links.get(w, True) and self.soft(w, written, i, operand)
            for root in instruction.writes:
                for r in readers.get(root, ()):
                    if r != i:
                        links[r] = False
                if root in writer:
                    links[writer[root][0]] = False
            for operand in instruction.ins:
                if operand is not None:
                    readers.setdefault(operand.root, []).append(i)
            for root in instruction.writes:
                written = (
                    instruction.outs[0] if len(instruction.outs) == 1 and instruction.outs[0].root == root else None
                )
                writer[root] = (i, written)
                readers[root] = [i] if root in instruction.reads else []
            self.before[i] = list(links.items())
            for j in links:
                self.waiting[j] += 1

    def soft(self, w: int, written: Operand | None, i: int, operand: Operand) -> bool:
        a, b = self.program[w], self.program[i]
        return a.kind == b.kind == "micro" and operand == written and a.outs[0].shape == b.outs[0].shape


class Scheduler:
    """Walks the graph from the end, latest first, so that every instruction runs as late as it can, next to those that
    need it; an open group takes every micro-operation of its shape that nobody outside still waits for."""

    def __init__(self, program: list[Instruction]):
        self.program, self.graph = program, Graph(program)
        self.ready: list[int] = []  # negative, so that the heap gives the latest
        self.ready_micro: dict[tuple, list[int]] = {}
        self.result: list[list[Instruction]] = []

    def run(self) -> list[list[Instruction]]:
        """Groups in order; a group of several is to be fused."""
        for i, waiting in enumerate(self.graph.waiting):
            if not waiting:
                self.offer(i)
        while self.ready:
            i = -heappop(self.ready)
            if self.program[i] is None:
                continue  # taken into a group before its turn
            if self.program[i].kind == "micro":
                self.group(i)
            else:
                self.result.append([self.take(i)])
                self.release(i, soft=None)
        return self.result[::-1]

    def offer(self, i: int):
        heappush(self.ready, -i)
        instruction = self.program[i]
        if instruction.kind == "micro":
            heappush(self.ready_micro.setdefault(instruction.outs[0].shape, []), -i)

    def take(self, i: int) -> Instruction:
        instruction, self.program[i] = self.program[i], None
        return instruction

    def release(self, i: int, soft: bool | None):
        """What i depends on has one thing less to wait for: the soft ones, the others, or (None) all."""
        for j, is_soft in self.graph.before[i]:
            if soft is None or soft == is_soft:
                self.graph.waiting[j] -= 1
                if not self.graph.waiting[j]:
                    self.offer(j)

    def group(self, first: int):
        out = self.program[first].outs[0]
        members, most = [], MOST_OPS_SMALL if out.size <= SMALL else MOST_OPS
        queue = self.ready_micro[out.shape]
        while queue and len(members) < most:
            i = -heappop(queue)
            if self.program[i] is not None:
                members.append((i, self.take(i)))
                self.release(i, soft=True)
        self.result.append([m for _, m in reversed(members)])
        for i, _ in members:
            self.release(i, soft=False)


def schedule(program: list[Instruction]) -> list[list[Instruction]]:
    """Instructions in an order that respects all dependencies, elementwise ones of one shape grouped together."""
    return Scheduler(list(program)).run()
