"""dl.export.onnx: a function as an ONNX model (opset 17), for runtimes that read it."""

import os
from collections.abc import Callable

import numpy as np

from dl.export.port import Port
from dl.export.record import record
from dl.files import write_whole
from dl.tensor import Tensor

OPSET = 17
SAME = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg", "abs": "Abs", "exp": "Exp", "log": "Log",
    "sqrt": "Sqrt", "reciprocal": "Reciprocal", "sign": "Sign", "tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu",
    "erf": "Erf", "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan",
    "sinh": "Sinh", "cosh": "Cosh", "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh", "floor": "Floor",
    "ceil": "Ceil", "round": "Round", "softplus": "Softplus", "pow": "Pow", "maximum": "Max", "minimum": "Min",
    "eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "logical_and": "And",
    "logical_or": "Or", "logical_not": "Not", "where": "Where", "matmul": "MatMul", "clone": "Identity",
    "alias": "Identity", "detach": "Identity", "isnan": "IsNaN",
}  # fmt: skip
REDUCE = {"amax": "ReduceMax", "amin": "ReduceMin"}
TYPES = {"float32": 1, "float64": 11, "int64": 7, "bool": 9}


class Graph:
    """Nodes and constants so far; values are named by the arrays of the trace."""

    def __init__(self):
        self.nodes: list = []
        self.constants: dict[str, np.ndarray] = {}
        self.names: dict[int, str] = {}
        self.kept: list = []  # arrays whose id is a name stay alive

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(array).reshape(array.shape)
        return name

    def shape(self, *numbers) -> str:
        return self.constant(np.array(numbers, np.int64))

    def name(self, t: Tensor) -> str:
        if id(t.array) not in self.names:
            self.names[id(t.array)] = self.constant(t.array)
            self.kept.append(t)
        return self.names[id(t.array)]

    def node(self, kind: str, inputs: list[str], **attributes) -> str:
        from onnx import helper

        out = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def bind(self, t: Tensor, name: str):
        self.names[id(t.array)] = name
        self.kept.append(t)


def linear(g: Graph, attrs, out, x, w, b=None) -> str:
    product = g.node("MatMul", [g.name(x), g.node("Transpose", [g.name(w)], perm=[1, 0])])
    return product if b is None else g.node("Add", [product, g.name(b)])


def getitem(g: Graph, attrs, out, x) -> str:
    """Slices of length one stand for integers, and a last reshape gives the result's axes."""
    index = attrs["index"]
    whole = sum(i is not None and i is not Ellipsis for i in index)
    starts, ends, steps, axis = [], [], [], 0
    for i in index:
        if i is Ellipsis:
            axis += x.ndim - whole
            continue
        if i is None:
            continue
        n = x.shape[axis]
        begin, end, step = i.indices(n) if isinstance(i, slice) else (i % n, i % n + 1, 1)
        starts.append((axis, begin))
        ends.append(-n - 1 if step < 0 and end < 0 else end)
        steps.append(step)
        axis += 1
    value = g.name(x)
    if starts:
        axes, begins = zip(*starts, strict=True)
        value = g.node("Slice", [value, g.shape(*begins), g.shape(*ends), g.shape(*axes), g.shape(*steps)])
    return g.node("Reshape", [value, g.shape(*out.shape)])


def cat(g: Graph, attrs, out, *parts) -> str:
    return g.node("Concat", [g.name(t) for t in parts], axis=attrs["dim"])


def stack(g: Graph, attrs, out, *parts) -> str:
    dim = attrs["dim"]
    shape = (*parts[0].shape[:dim], 1, *parts[0].shape[dim:])
    return g.node("Concat", [g.node("Reshape", [g.name(t), g.shape(*shape)]) for t in parts], axis=dim)


def pad(g: Graph, attrs, out, x) -> str:
    widths = [low for low, _ in attrs["widths"]] + [high for _, high in attrs["widths"]]
    return g.node("Pad", [g.name(x), g.shape(*widths), g.constant(np.array(attrs["value"], x.dtype))])


def flip(g: Graph, attrs, out, x) -> str:
    dims = [d % x.ndim for d in attrs["dims"]]
    ones = [1] * len(dims)
    return g.node(
        "Slice",
        [g.name(x), g.shape(*(-k for k in ones)), g.shape(*(-x.shape[d] - 1 for d in dims)), g.shape(*dims),
         g.shape(*(-k for k in ones))],
    )  # fmt: skip


def summed(g: Graph, attrs, out, x) -> str:
    total = g.node("ReduceSum", [g.name(x), g.shape(*attrs["dim"])], keepdims=1)
    return g.node("Reshape", [total, g.shape(*out.shape)])


def cast(g: Graph, attrs, out, x) -> str:
    return g.node("Cast", [g.name(x)], to=TYPES[str(out.dtype)])


def conv(g: Graph, attrs, out, x, w, b=None) -> str:
    rows, cols = attrs["padding"]
    return g.node(
        "Conv", [g.name(t) for t in (x, w, b) if t is not None], strides=list(attrs["stride"]), group=attrs["groups"],
        dilations=list(attrs["dilation"]), pads=[rows, cols, rows, cols],
    )  # fmt: skip


def reduced(kind: str):
    def rule(g: Graph, attrs, out, x) -> str:
        found = g.node(kind, [g.name(x)], axes=list(attrs["dim"]), keepdims=1)
        return g.node("Reshape", [found, g.shape(*out.shape)])

    return rule


RULES: dict[str, Callable] = {
    "linear": linear,
    "getitem": getitem,
    "conv2d": conv,
    "cat": cat,
    "stack": stack,
    "pad": pad,
    "flip": flip,
    "sum": summed,
    "square": lambda g, attrs, out, x: g.node("Mul", [g.name(x), g.name(x)]),
    "rsqrt": lambda g, attrs, out, x: g.node("Reciprocal", [g.node("Sqrt", [g.name(x)])]),
    "silu": lambda g, attrs, out, x: g.node("Mul", [g.name(x), g.node("Sigmoid", [g.name(x)])]),
    "mish": lambda g, attrs, out, x: g.node("Mul", [g.name(x), g.node("Tanh", [g.node("Softplus", [g.name(x)])])]),
    "clip": lambda g, attrs, out, x, lo, hi: g.node("Min", [g.node("Max", [g.name(x), g.name(lo)]), g.name(hi)]),
    "ne": lambda g, attrs, out, x, y: g.node("Not", [g.node("Equal", [g.name(x), g.name(y)])]),
    "reshape": lambda g, attrs, out, x: g.node("Reshape", [g.name(x), g.shape(*out.shape)]),
    "expand": lambda g, attrs, out, x: g.node("Expand", [g.name(x), g.shape(*out.shape)]),
    "permute": lambda g, attrs, out, x: g.node("Transpose", [g.name(x)], perm=list(attrs["dims"])),
    "full": lambda g, attrs, out: g.constant(out.array),
    **{name: reduced(kind) for name, kind in REDUCE.items()},
    **{f"to_{dtype}": cast for dtype in TYPES},
}


def known(p) -> bool:
    return p.name in SAME or p.name in RULES


def onnx(
    fn: Callable, *examples, name: str = "policy", inputs: tuple[Port, ...] = (), outputs: tuple[Port, ...] = (),
    path: str | os.PathLike | None = None,
):  # fmt: skip
    """The onnx.ModelProto of fn recorded on the examples, checked by onnx.checker, and written to path.

    Arguments as dl.export.c99; shapes are those of the examples. The model's inputs are x0, x1 ..., its outputs y0, y1
    ...; names and units of the ports are in its metadata. Needs the package onnx. Raises ExportError for operations
    without an ONNX form, ValueError for ports that do not fit.
    """
    import onnx as package
    from onnx import helper, numpy_helper

    trace, results, inputs, outputs = record(fn, examples, inputs, outputs, known, "export.onnx")
    g = Graph()
    for i, t in enumerate(trace.inputs):
        g.bind(t, f"x{i}")
    for p, ins, attrs, outs in trace.steps:
        if p.name in SAME:
            value = g.node(SAME[p.name], [g.name(t) for t in ins])
        else:
            value = RULES[p.name](g, attrs, outs[0], *ins)
        g.bind(outs[0], value)
    for i, r in enumerate(results):
        g.nodes.append(helper.make_node("Identity", [g.name(r)], [f"y{i}"]))
    graph = helper.make_graph(
        g.nodes, name,
        [helper.make_tensor_value_info(f"x{i}", TYPES[str(t.dtype)], t.shape) for i, t in enumerate(trace.inputs)],
        [helper.make_tensor_value_info(f"y{i}", TYPES[str(t.dtype)], t.shape) for i, t in enumerate(results)],
        [numpy_helper.from_array(array, key) for key, array in g.constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="swingup")
    model.ir_version = 8
    labels = {f"x{i}": p for i, p in enumerate(inputs)} | {f"y{i}": p for i, p in enumerate(outputs)}
    helper.set_model_props(model, {k: "; ".join(map(label, *filled(p))) for k, p in labels.items() if p.names})
    package.checker.check_model(model)
    if path is not None:
        write_whole(path, model.SerializeToString())
    return model


def filled(port: Port):
    return port.names, port.units or ("",) * len(port.names)


def label(name: str, unit: str) -> str:
    return f"{name} [{unit}]" if unit else name
