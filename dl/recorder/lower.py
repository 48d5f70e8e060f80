"""From recorded operations to instructions: kernels, micro-operations, copies, and Python where there is no kernel."""

from dataclasses import dataclass, field

from dl.kernel import Kernel, MicroOp
from dl.recorder import copies
from dl.recorder.memory import Memory, Operand
from dl.tensor import CONSTANT
from dl.trace import Trace

COPIES = {
    "cat": copies.cat,
    "stack": copies.stack,
    "reshape": copies.reshape,
    "clone": copies.clone,
    "copy_": copies.write,
    "unslice": copies.unslice,
    "diagonal_grad": copies.on_diagonal,
    "pad": copies.pad,
    "flip": copies.flip,
    "full": copies.full,
}  # operations that move values and compute nothing


@dataclass(slots=True, eq=False)
class Instruction:
    """One step of a program.

    kind: "micro" (fusable), "kernel" (a C kernel by name), "fused" (several micro-operations), or "python" (primitive
    without a kernel). writes: roots that it changes.
    """

    kind: str
    name: str
    outs: tuple[Operand, ...]
    ins: tuple[Operand | None, ...]
    ints: tuple = ()
    floats: tuple = ()
    writes: tuple[int, ...] = ()
    payload: tuple = field(default=())  # python: (primitive, attrs, arrays); micro: ()
    keep: bool = False  # it has an effect besides its outputs
    thread: int = -1  # which thread runs it; -1: all of them together

    @property
    def reads(self) -> list[int]:
        return [o.root for o in self.ins if o is not None]


def lower(trace: Trace, memory: Memory) -> list[Instruction]:
    """The instructions of a trace, in its order; operations that only made a view vanish into their operands."""
    program: list[Instruction] = []
    for p, inputs, attrs, outputs in trace.steps:
        ins = tuple(None if t is None else memory.operand(t.array, "outside", t._changed is CONSTANT) for t in inputs)
        fresh = [t for t in outputs if not memory.knows(t.array)]
        outs = tuple(memory.operand(t.array, "temporary") for t in outputs)
        if isinstance(p.forward, Kernel) and p.forward.views is not None:
            seen = p.forward.views(*[None if t is None else t.array for t in inputs])
            ins = tuple(None if a is None else memory.operand(a) for a in seen)
        if p.mutates or fresh:
            program.extend(instructions(memory, p, inputs, attrs, outs, ins))
    return program


def instructions(memory: Memory, p, inputs, attrs, outs, ins) -> list[Instruction]:
    writes = tuple(ins[i].root for i in p.mutates) + tuple(o.root for o in outs)
    if isinstance(p.forward, MicroOp):
        shape = outs[0].shape
        return [Instruction("micro", p.forward.name, outs, tuple(i.broadcast(shape) for i in ins), writes=writes)]
    if isinstance(p.forward, Kernel):
        arrays = [None if t is None else t.array for t in inputs]
        ints, floats = p.forward.numbers(*arrays, **attrs)
        if p.forward.views is not None:
            ins = tuple(None if a is None else memory.operand(a) for a in p.forward.views(*arrays, **attrs))
        return [Instruction("kernel", p.forward.name, outs, ins, tuple(ints), tuple(floats), writes)]
    moves = COPIES.get(p.name)
    if moves is not None:
        pairs = moves(outs[0] if outs else None, ins, attrs)
        return [move(*m) for out, source in pairs for m in apart(out, source, memory)]
    arrays = tuple(None if t is None else t.array for t in inputs)
    return [Instruction("python", p.name, outs, ins, writes=writes, payload=(p, attrs, arrays), keep=p.stateful)]


def apart(out: Operand, source: Operand | float, memory: Memory) -> list[tuple[Operand, Operand | float]]:
    """A copy onto memory that it also reads, as in x[1:] = x[:-1], takes all it reads before it writes."""
    if isinstance(source, Operand) and source.root == out.root and source.span().meets(out.span()):
        taken = memory.temporary(source)
        return [(taken, source), (out, taken)]
    return [(out, source)]


def move(out: Operand, source: Operand | float) -> Instruction:
    """Copy a source to where it belongs, or fill that with a number."""
    if isinstance(source, Operand):
        return Instruction("kernel", "copy", (out,), (source.broadcast(out.shape),), writes=(out.root,))
    return Instruction("kernel", "fill", (out,), (), floats=(float(source),), writes=(out.root,))
