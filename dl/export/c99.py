"""dl.export.c99: a function as one C99 file that needs math.h and nothing else."""

import os
import re
from collections.abc import Callable

import numpy as np

from dl.export.c_code import EXPRESSIONS, TYPES, address, collapsed, expression, loops, number, start
from dl.export.port import Port
from dl.export.record import record
from dl.files import write_whole
from dl.kernel import Kernel, MicroOp
from dl.recorder.fold import fold
from dl.recorder.lower import COPIES, Instruction, lower
from dl.recorder.memory import Memory, Operand
from dl.recorder.plan import Arena
from dl.recorder.schedule import drop_dead, schedule

KERNELS = {"gemm", "sum", "max", "min"}
REDUCE = {"sum": ("0", "{0} + {1}"), "max": (None, "{1} > {0} ? {1} : {0}"), "min": (None, "{1} < {0} ? {1} : {0}")}


def known(p) -> bool:
    if isinstance(p.forward, MicroOp):
        return p.forward.name in EXPRESSIONS
    return p.name in COPIES or (isinstance(p.forward, Kernel) and p.forward.name in KERNELS)


class Writer:
    """Names for memory and lines for instructions."""

    def __init__(self, memory: Memory, names: dict[int, str]):
        self.memory, self.names = memory, names
        self.constants: list[str] = []

    def place(self, program: list[list[Instruction]], kept: set[int]) -> dict[str, int]:
        """Temporaries share one array per C type, by the time in which they are needed; the sizes of these arrays."""
        first, last = {}, {}
        for k, group in enumerate(program):
            inside = {r for m in group for r in m.writes if group[0].kind == "micro"} - kept  # live in variables
            for root in {root for m in group for root in (*m.reads, *m.writes)} - set(self.names) - inside:
                first.setdefault(root, k)
                last[root] = k
        arenas = {}
        for k in range(len(program)):
            for root in [r for r, at in first.items() if at == k]:
                array = self.memory.roots[root].array
                if self.memory.roots[root].kind != "temporary":
                    self.constant(root, array)
                    continue
                arena = arenas.setdefault(TYPES[str(array.dtype)], Arena())
                self.names[root] = f"{TYPES[str(array.dtype)].split()[-1][0]}work + {arena.take(array.size)}"
            for root in [r for r, at in last.items() if at == k and "work + " in self.names[r]]:
                array = self.memory.roots[root].array
                offset = int(self.names[root].split("+")[1])
                arenas[TYPES[str(array.dtype)]].give(offset, array.size)
        return {kind: arena.size for kind, arena in arenas.items()}

    def constant(self, root: int, array: np.ndarray):
        name = self.names[root] = f"c{root}"
        values = [number(v, array.dtype) for v in array.ravel(order="K")] or ["0"]
        lines = [", ".join(values[i : i + 8]) for i in range(0, len(values), 8)]
        body = ",\n  ".join(lines)
        self.constants.append(f"static const {TYPES[str(array.dtype)]} {name}[{len(values)}] = {{\n  {body}}};")

    def at(self, operand: Operand, strides: list[int], first: int = 0) -> str:
        name = self.names[operand.root]
        return f"({name})[{address(start(operand), strides, first)}]"

    def elementwise(self, group: list[Instruction], kept: set[int]) -> list[str]:
        """One loop for all: values live in variables v0, v1 ...; those that others read are stored."""
        outs = [m.outs[0] for m in group]
        made = {o: f"v{k}" for k, o in enumerate(outs)}
        inputs = list(dict.fromkeys(o for m in group for o in m.ins if o not in made))
        stored = [o for o in outs if o.root in kept]
        shape = outs[0].shape
        views = [*inputs, *stored]
        sizes, steps = collapsed(shape, [o.broadcast(shape).strides for o in views])
        where = dict(zip(views, steps, strict=True))
        body = []
        for m in group:
            operands = [made[o] if o in made else self.at(o, where[o]) for o in m.ins]
            dtype = m.ins[-1].dtype
            code = expression(m.name, dtype, operands)
            body.append(f"const {TYPES[str(m.outs[0].dtype)]} {made[m.outs[0]]} = {code};")
        body += [f"{self.at(o, where[o])} = {made[o]};" for o in stored]
        return loops(sizes, body)

    def gemm(self, m: Instruction) -> list[str]:
        (c,), (a, b, bias) = m.outs, (*m.ins, None)[:3]
        lead, rows, cols, depth = c.shape[:-2], c.shape[-2], c.shape[-1], a.shape[-1]
        n, T = len(lead), TYPES[str(c.dtype)]

        def walk(o: Operand, keep: tuple[int | None, int | None]) -> list[int]:
            spread = o.broadcast((*lead, *o.shape[-2:]))
            return [*spread.strides[:-2], *(0 if k is None else spread.strides[k] for k in keep)]

        inner = f"for (int k = 0; k < {depth}; k++) s += " + (
            f"{self.at(a, walk(a, (-2, None)))[:-1]} + k * {a.strides[-1]}] * "
            f"{self.at(b, walk(b, (None, -1)))[:-1]} + k * {b.strides[-2]}];"
        )
        begin = "0" if bias is None else self.at(bias, [*([0] * (n + 1)), bias.strides[-1]])
        finish = {0: "s", 1: "s < 0 ? 0 : s", 2: "tanh" + ("f" if c.dtype == np.float32 else "") + "(s)"}[m.ints[0]]
        store = self.at(c, walk(c, (-2, -1)))
        if bias is not None:
            finish = (
                finish.replace("s", f"(s + {begin})") if m.ints[0] != 2 else finish.replace("(s)", f"(s + {begin})")
            )
        return loops([*lead, rows, cols], [f"{T} s = 0;", inner, f"{store} = {finish};"])

    def reduce(self, m: Instruction) -> list[str]:
        (out,), (x, *_) = m.outs, m.ins
        dims = {d % len(x.shape) for d in m.ints} if m.ints else set(range(len(x.shape)))
        outer = [d for d in range(len(x.shape)) if d not in dims]
        inner = sorted(dims)
        squeezed = [s for s, n in zip(out.strides, out.shape, strict=True)]
        if len(squeezed) == len(x.shape):  # the reduced axes were kept
            squeezed = [out.strides[d] for d in outer]
        begin, combine = REDUCE[m.name]
        T, n = TYPES[str(out.dtype)], len(outer)
        steps = [x.strides[d] for d in outer] + [x.strides[d] for d in inner]
        value = self.at(x, steps)
        first = self.at(x, steps[:n]) if begin is None else begin
        body = loops([x.shape[d] for d in inner], [f"s = {combine.format('s', value)};"], n)
        return loops([x.shape[d] for d in outer], [f"{T} s = {first};", *body, f"{self.at(out, squeezed)} = s;"])

    def move(self, m: Instruction) -> list[str]:
        (out,) = m.outs
        if m.name == "fill":
            sizes, (steps,) = collapsed(out.shape, [out.strides])
            return loops(sizes, [f"{self.at(out, steps)} = {number(m.floats[0], out.dtype)};"])
        (x,) = m.ins
        sizes, (to, source) = collapsed(out.shape, [out.strides, x.strides])
        cast = "" if x.dtype == out.dtype else f"({TYPES[str(out.dtype)]})"
        return loops(sizes, [f"{self.at(out, to)} = {cast}{self.at(x, source)};"])

    def lines(self, group: list[Instruction], kept: set[int]) -> list[str]:
        m = group[0]
        if any(0 in o.shape for o in m.outs):
            return []
        if m.kind == "micro":
            return self.elementwise(group, kept)
        return self.gemm(m) if m.name == "gemm" else self.reduce(m) if m.name in REDUCE else self.move(m)


def c99(
    fn: Callable, *examples, name: str = "policy", inputs: tuple[Port, ...] = (), outputs: tuple[Port, ...] = (),
    path: str | os.PathLike | None = None,
) -> str:  # fmt: skip
    """The C99 source of void name(const float *x0, ..., float *y0, ...), also written to path.

    fn: from tensors to a tensor or a tuple of them, recorded on the examples (their shapes and dtypes are those of the
    C function; values inside, such as weights, become constants). inputs, outputs: a Port per argument and result,
    with names, units, normalisation and limits. The code calls math.h only, allocates nothing (work memory is on the
    stack), keeps no state and may be called from several threads.

    Raises ExportError for operations without C code, ValueError for a bad name or ports that do not fit.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise ValueError(f"export.c99: '{name}' is not a C identifier")
    trace, results, inputs, outputs = record(fn, examples, inputs, outputs, known, "export.c99")
    memory = Memory()
    names = {memory.root(t.array, "input"): f"x{i}" for i, t in enumerate(trace.inputs)}
    program = lower(trace, memory)
    found = [memory.operand(r.array) for r in results]
    needed = {o.root for o in found}
    groups = schedule(drop_dead(fold(program, memory), memory, needed))
    writer = Writer(memory, names)
    exits = [Operand(-1 - i, 0, o.dtype, o.shape, dense(o.shape)) for i, o in enumerate(found)]
    names |= {-1 - i: f"y{i}" for i in range(len(found))}
    last = [[Instruction("kernel", "copy", (y,), (o,), writes=(y.root,))] for y, o in zip(exits, found, strict=True)]
    kept = readers(groups) | needed
    sizes = writer.place([*groups, *last], kept)
    body = [line for group in [*groups, *last] for line in writer.lines(group, kept)]
    source = layout(name, trace.inputs, results, inputs, outputs, writer.constants, sizes, body)
    if path is not None:
        write_whole(path, source.encode())
    return source


def dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))


def readers(groups: list[list[Instruction]]) -> set[int]:
    """Roots that are read outside the group that makes them."""
    home = {root: k for k, group in enumerate(groups) for m in group for root in m.writes}
    return {root for k, group in enumerate(groups) for m in group for root in m.reads if home.get(root) != k}


def layout(name, tensors, results, inputs, outputs, constants, sizes, body) -> str:
    arguments = [f"const {TYPES[str(t.dtype)]} *x{i}" for i, t in enumerate(tensors)]
    arguments += [f"{TYPES[str(t.dtype)]} *y{i}" for i, t in enumerate(results)]
    about = [f" * x{i}: {describe(t, p)}" for i, (t, p) in enumerate(zip(tensors, inputs, strict=True))]
    about += [f" * y{i}: {describe(t, p)}" for i, (t, p) in enumerate(zip(results, outputs, strict=True))]
    lists = [line for i, p in enumerate(inputs) for line in labels(f"{name}_x{i}", p)]
    lists += [line for i, p in enumerate(outputs) for line in labels(f"{name}_y{i}", p)]
    work = [f"  {kind} {kind.split()[-1][0]}work[{max(n, 1)}];" for kind, n in sizes.items()]
    head = f"void {name}({', '.join(arguments)})"
    top = [
        f"/* {name}: written by dl.export.c99; C99, math.h only.",
        *about,
        " */",
        "#include <math.h>",
        "",
        f"{head};",
    ]
    code = [f"{head} {{", *work, *(f"  {line}" for line in body), "}"]
    return "\n".join([*top, "", *lists, *constants, "", *code, ""])


def describe(t, port: Port) -> str:
    units = port.units or ("",) * len(port.names)
    entries = ", ".join(f"{n} [{u}]" if u else n for n, u in zip(port.names, units, strict=True))
    text = f"{t.dtype} {list(t.shape)}" + (f", {entries}" if entries else "")
    return text.replace("*/", "* /")


def labels(name: str, port: Port) -> list[str]:
    made = []
    for kind, values in (("names", port.names), ("units", port.units)):
        if values:
            quoted = ", ".join('"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values)
            made.append(f"const char *const {name}_{kind}[{len(values)}] = {{{quoted}}};")
    return made
