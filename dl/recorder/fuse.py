"""A group of elementwise instructions as one: values between them live in registers, not in memory."""

from math import copysign, isnan, nan

import numpy as np

from dl.kernel import _kernels
from dl.recorder.lower import Instruction
from dl.recorder.memory import Memory, Operand

CODES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1, np.dtype(np.int64): 2, np.dtype(np.bool_): 3}


def last_uses(groups: list[list[Instruction]]) -> dict[int, int]:
    """The index of the last group that reads each root."""
    last: dict[int, int] = {}
    for k, group in enumerate(groups):
        for instruction in group:
            for root in instruction.reads:
                last[root] = k
    return last


class Registers:
    """Registers for temporaries, used again when free."""

    def __init__(self):
        self.free: list[int] = []
        self.count = 0

    def temporary(self) -> int:
        if self.free:
            return self.free.pop()
        self.count += 1
        return self.count - 1


def fuse(group: list[Instruction], memory: Memory, kept: set[int]) -> Instruction:
    """One "fused" instruction for a group; results whose root is in kept are stored, the others stay in registers."""
    made = {m.outs[0]: k for k, m in enumerate(group)}
    shape = group[0].outs[0].shape
    inputs: dict[Operand, int] = {}
    constants: dict[tuple[float, int, float], int] = {}
    last = {}
    for k, m in enumerate(group):
        for operand in m.ins:
            if operand in made:
                last[made[operand]] = k
            elif literal(operand, memory):
                constants.setdefault(constant(operand, memory), len(constants))
            else:
                inputs.setdefault(operand, len(inputs))
    stored = [k for k, m in enumerate(group) if m.outs[0].root in kept]
    ops, stores = micro_code(group, made, inputs, constants, last, set(stored), memory)
    ints = [len(stored), len(inputs), len(constants), len(group), *(code for _, code, _ in constants), *ops]
    ints += [stores[k] for k in stored]
    outs = tuple(group[k].outs[0] for k in stored)
    return Instruction(
        "fused", "fused", outs, tuple(i.broadcast(shape) for i in inputs), tuple(ints),
        tuple(value for value, _, _ in constants), tuple(o.root for o in outs),
    )  # fmt: skip


def literal(operand: Operand, memory: Memory) -> bool:
    root = memory.roots[operand.root]
    if not root.literal or root.array.size != 1:
        return False
    return root.array.dtype.kind == "f" or abs(int(root.array.reshape(-1)[0])) < 2**53  # constants travel as doubles


def constant(operand: Operand, memory: Memory) -> tuple[float, int, float]:
    """The value, the code of its dtype, its sign (-0.0 equals 0.0, but is another number); every NaN is one object."""
    array = memory.roots[operand.root].array
    value = float(array.reshape(-1)[0])
    return nan if isnan(value) else value, CODES[array.dtype], copysign(1.0, value)


def micro_code(group, made, inputs, constants, last, stored, memory):
    """The six integers per operation, and the register of each stored result."""
    base = len(inputs) + len(constants)
    registers, where, code = Registers(), {}, []
    for k, m in enumerate(group):
        sources = []
        for operand in m.ins:
            if operand in made:
                sources.append(where[made[operand]])
            elif literal(operand, memory):
                sources.append(len(inputs) + constants[constant(operand, memory)])
            else:
                sources.append(inputs[operand])
        where[k] = base + registers.temporary()
        for operand in set(m.ins):
            j = made.get(operand)
            if j is not None and last[j] == k and j not in stored:
                registers.free.append(where[j] - base)
        sources += [-1] * (3 - len(sources))
        code += [_kernels.micro_op(m.name), CODES[m.ins[0].dtype if m.name != "where" else m.ins[1].dtype]]
        code += [where[k], *sources]
        if k not in last and k not in stored:
            registers.free.append(where[k] - base)
    return code, {k: where[k] for k in stored}
