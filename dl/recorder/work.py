"""How long an instruction takes on one thread, roughly: enough to decide whether threads are worth waking."""

from math import prod

from dl.recorder.lower import Instruction

FLOPS_PER_NS = 60.0


def nanoseconds(m: Instruction) -> float:
    """An estimate from operation counts; only its order of magnitude is used."""
    size = max((o.size for o in (*m.outs, *m.ins) if o is not None), default=0)
    if m.name == "gemm":
        return 2.0 * m.outs[0].size * m.ins[0].shape[-1] / FLOPS_PER_NS
    if m.name.startswith("conv"):
        return 2.0 * convolution_macs(m) / FLOPS_PER_NS
    if m.name.startswith("attention"):
        return 4.0 * m.ins[0].size * max(m.ins[0].shape[-2], m.ins[1].shape[-2]) / FLOPS_PER_NS
    if m.kind == "fused":
        return 0.08 * size * m.ints[3]
    if m.name == "adam":
        return 0.1 * sum(o.size for o in m.ins if o is not None)
    return 0.4 * size


def convolution_macs(m: Instruction) -> int:
    """Products of any two of (input, output, weight) sizes over the third's shared dimensions: an upper estimate."""
    arrays = [o for o in (*m.outs, *m.ins) if o is not None and len(o.shape) == 4]
    if len(arrays) < 3:
        return max((o.size for o in arrays), default=0)
    sizes = sorted((o.size for o in arrays), reverse=True)[:3]
    channels = max(prod(o.shape[1:2]) for o in arrays)
    return sizes[1] * channels * 9 if sizes else 0
