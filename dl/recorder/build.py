"""From a trace to a program that the C extension replays in one call."""

from dataclasses import dataclass

import numpy as np

from dl.kernel import _kernels
from dl.recorder.absorb import absorb
from dl.recorder.common import share
from dl.recorder.fold import fold
from dl.recorder.fuse import CODES, fuse
from dl.recorder.lower import Instruction, lower
from dl.recorder.memory import Memory, Operand
from dl.recorder.phases import MOST, phases
from dl.recorder.plan import barriers, place
from dl.recorder.schedule import drop_dead, schedule
from dl.recorder.split import split
from dl.recorder.work import nanoseconds
from dl.trace import Trace

TOGETHER = 4000  # [ns] a program with less work than this does not wake the other threads


@dataclass(frozen=True)
class Built:
    """A program, what it consists of, and the memory it owns."""

    program: object
    instructions: list[Instruction]
    arena_bytes: int
    unfused: int  # instructions before fusion
    threads: int


def build(trace: Trace, outputs: list[np.ndarray], persistent: list[np.ndarray], threads: int) -> list[Built]:
    """Compile a trace: for all threads and for one, or only for one where there is little to share.

    outputs: arrays to be copied out after each replay; persistent: arrays that must hold their values after it
    (gradients of parameters).
    """
    memory = Memory()
    for t in trace.inputs:
        memory.operand(t.array, "input")
    program = lower(trace, memory)
    results = [memory.operand(array) for array in outputs]
    for array in persistent:
        memory.roots[memory.root(array, "outside")].kind = "persistent"
    needed = {o.root for o in results}
    program = share(fold(program, memory), memory, needed)
    program = absorb(drop_dead(program, memory, needed), memory, needed)
    unfused = len(program)
    program = fused(schedule(program), memory, needed)
    shared = threads > 1 and sum(map(nanoseconds, program)) > TOGETHER
    parts = (trace, memory, results, needed, unfused)
    return [assemble(program, *parts, nt) for nt in ((threads, 1) if shared else (1,))]


def assemble(program, trace: Trace, memory: Memory, results, needed: set[int], unfused: int, nt: int) -> Built:
    """The program for a number of threads: who does what, in which order, in which memory."""
    pieces = split(program, memory, nt)
    grouped = phases(pieces) if nt > 1 and len(program) <= MOST else pieces
    program = [m for group in grouped for m in group]
    offsets, size = place(grouped, memory, needed)
    arena = np.zeros(size + 64, np.uint8)
    start = -arena.ctypes.data % 64
    return Built(emit(trace, program, memory, results, offsets, (arena, start), nt), program, size, unfused, nt)


def fused(groups: list[list[Instruction]], memory: Memory, needed: set[int]) -> list[Instruction]:
    """Groups of micro-operations as one instruction each; values that another group reads are stored."""
    home: dict[int, int] = {}
    kept = set(needed) | {i for i, r in enumerate(memory.roots) if r.kind != "temporary"}
    for k, group in enumerate(groups):
        for m in group:
            kept.update(root for root in m.reads if home.get(root, k) != k)
            home.update((root, k) for root in m.writes)
    return [fuse(group, memory, kept) if group[0].kind == "micro" else group[0] for group in groups]


def emit(trace, program, memory: Memory, results, offsets, arena, nt: int):
    """The C program: buffers, calls, inputs, outputs."""
    store, start = arena
    buffers, index = [store], {}
    used = {root for m in program for root in (*m.reads, *m.writes)} | {o.root for o in results}
    used |= {memory.root(t.array, "input") for t in trace.inputs}
    for root in sorted(used):
        if root not in offsets:
            index[root] = len(buffers)
            buffers.append(memory.roots[root].array)

    def spec(operand: Operand | None):
        if operand is None:
            return None
        at = (0, start + offsets[operand.root]) if operand.root in offsets else (index[operand.root], 0)
        return (at[0], at[1] + operand.offset, CODES[operand.dtype], operand.shape, operand.strides)

    def view(operand: Operand | None):
        if operand is None:
            return None
        if operand.root not in offsets:
            return memory.view(operand)
        begin = start + offsets[operand.root]
        return memory.view(operand, store[begin : begin + memory.roots[operand.root].array.nbytes])

    meets = barriers(program, memory, offsets)
    calls = [
        ("python", python_call(m, view))
        if m.kind == "python"
        else (m.name, tuple(map(spec, m.outs)), tuple(map(spec, m.ins)), m.ints, m.floats, meet, m.thread + 1)
        for m, meet in zip(program, meets, strict=True)
    ]
    inputs = [spec(memory.operand(t.array)) for t in trace.inputs]
    return _kernels.Program(buffers, calls, inputs, [spec(o) for o in results], nt)


def python_call(instruction: Instruction, view):
    """A primitive without a kernel, as a function of no arguments on the program's memory."""
    p, attrs, _ = instruction.payload
    ins, outs = [view(o) for o in instruction.ins], [view(o) for o in instruction.outs]

    def run():
        result = p.forward(*ins, **attrs)
        if not p.mutates:
            for out, value in zip(outs, result if isinstance(result, tuple) else (result,), strict=True):
                np.copyto(out, value)

    return run
