"""Exported functions against our forward pass: the compiled C on 1000 inputs, ONNX through onnxruntime."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

import dl
from dl import functional as F
from dl import nn
from dl.export import ExportError, Port, c99

COMPILER = shutil.which("cc") or shutil.which("gcc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")


def mlp(act):
    g = dl.Generator(0)
    return nn.Sequential(
        nn.Linear(17, 64, generator=g), act(), nn.Linear(64, 64, generator=g), act(), nn.Linear(64, 6, generator=g)
    )


def attention():
    g = dl.Generator(1)
    weights = [g.normal(8, 8) * 8**-0.5 for _ in range(3)]

    def attend(x):
        q, k, v = ((x @ w).reshape(1, 6, 2, 4).transpose(1, 2) for w in weights)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    return attend


def convolutions():
    g = dl.Generator(2)
    return nn.Sequential(
        nn.Conv1d(4, 8, 3, padding=1, generator=g), nn.GroupNorm(2, 8), nn.Mish(), nn.Conv1d(8, 2, 1, generator=g)
    )


def shapes(x):
    y = dl.cat([x[..., ::-1], x[:, 1:3].exp()], dim=-1)
    z = dl.stack([y.sum(0), y.amax(0), y.mean(0)], dim=0)
    return z.T.flatten(), dl.where(x > 0.0, x.sqrt(), -x).clip(-1.0, 1.0), x.var(1)


FUNCTIONS = {
    "tanh network": (lambda: mlp(nn.Tanh), (17,)),
    "relu network, batch": (lambda: mlp(nn.ReLU), (5, 17)),
    "gelu network": (lambda: mlp(nn.GELU), (17,)),
    "silu network": (lambda: mlp(nn.SiLU), (1, 17)),
    "layer norm": (lambda: nn.Sequential(nn.LayerNorm(9), nn.Softmax(dim=-1)), (3, 9)),
    "attention": (attention, (6, 8)),
    "convolutions": (convolutions, (2, 4, 10)),
    "shapes": (lambda: shapes, (4, 5)),
}
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def compiled(source: str, folder, *sizes):
    """The function as Python calls it: float32 arrays in, float32 arrays of these sizes out."""
    (folder / "policy.c").write_text(source)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-shared", "-fPIC"]
    subprocess.run([COMPILER, *flags, "policy.c", "-o", "policy.so", "-lm"], cwd=folder, check=True)
    call = ctypes.CDLL(str(folder / "policy.so")).policy

    def run(*inputs):
        outs = [np.empty(shape, np.float32) for shape in sizes]
        call(*(ctypes.c_void_p(a.ctypes.data) for a in (*map(np.ascontiguousarray, inputs), *outs)))
        return outs

    return run


def listed(out):
    return out if isinstance(out, tuple) else (out,)


@needs_compiler
@every_function
def test_c_is_our_forward(name, tmp_path, rng):
    make, shape = FUNCTIONS[name]
    fn = make()
    with dl.no_grad():
        probe = listed(fn(dl.zeros(*shape)))
        run = compiled(c99(fn, dl.zeros(*shape)), tmp_path, *(t.shape for t in probe))
        for _ in range(1000 if len(shape) == 1 else 50):
            x = rng.normal(size=shape).astype(np.float32)
            for found, wanted in zip(run(x), listed(fn(dl.from_numpy(x))), strict=True):
                np.testing.assert_allclose(found, wanted.numpy(), atol=1e-6, rtol=1e-6)


@every_function
def test_onnx_is_our_forward(name, tmp_path, rng):
    pytest.importorskip("onnx", reason="onnx is not installed: pip install onnx")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from dl.export import onnx

    make, shape = FUNCTIONS[name]
    fn = make()
    with dl.no_grad():
        onnx(fn, dl.zeros(*shape), path=tmp_path / "policy.onnx")
        session = runtime.InferenceSession(tmp_path / "policy.onnx", providers=["CPUExecutionProvider"])
        for _ in range(100):
            x = rng.normal(size=shape).astype(np.float32)
            for found, wanted in zip(session.run(None, {"x0": x}), listed(fn(dl.from_numpy(x))), strict=True):
                np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


STATE = Port(names=("theta", "omega"), units=("rad", "rad/s"), offset=(0.5, 0.0), scale=(2.0, 4.0), low=-1.0, high=1.0)
TORQUE = Port(names=("tau",), units=("N m",), scale=3.0, low=(-2.0,), high=(2.0,))


@needs_compiler
def test_ports_normalise_and_limit_inside(tmp_path, rng):
    w = dl.tensor(np.array([[1.5, -2.0]], np.float32))

    def fn(x):
        return (w @ x).tanh()

    source = c99(fn, np.zeros(2, np.float32), inputs=(STATE,), outputs=(TORQUE,), path=tmp_path / "out.c")
    assert (tmp_path / "out.c").read_text() == source
    assert "theta [rad], omega [rad/s]" in source and 'policy_y0_units[1] = {"N m"}' in source
    assert "malloc" not in source and source.count("#include") == 1
    run = compiled(source, tmp_path, (1,))
    for _ in range(100):
        x = (4 * rng.normal(size=2)).astype(np.float32)
        z = np.clip((x - [0.5, 0.0]) / [2.0, 4.0], -1, 1)
        wanted = np.clip(3.0 * np.tanh(w.numpy() @ z), -2, 2)
        np.testing.assert_allclose(run(x)[0], wanted, atol=1e-6)


def test_errors_name_what_cannot_be_written():
    x = np.zeros(3, np.float32)
    with pytest.raises(ExportError, match="no way to write the operation 'argsort'"):
        c99(lambda x: x.argsort(), x)
    with pytest.raises(ExportError, match="draw_normal draws random numbers"):
        c99(lambda x: x + dl.Generator(0).normal(3), x)
    with pytest.raises(ValueError, match="'my policy' is not a C identifier"):
        c99(lambda x: x, x, name="my policy")
    with pytest.raises(ValueError, match=r"input 0.names has 2 entries, the signal has 3"):
        c99(lambda x: x + 1.0, x, inputs=(Port(names=("a", "b")),))
    with pytest.raises(ValueError, match="has a zero: that signal never varied"):
        c99(lambda x: x + 1.0, x, inputs=(Port(scale=(1.0, 0.0, 1.0)),))
    with pytest.raises(TypeError, match="Python cannot branch"):
        c99(lambda x: x if float(x[0]) > 0 else -x, x)
