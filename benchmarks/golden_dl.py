"""Writes tests/reference/dl_torch.json: what PyTorch's layers give on the cases of tests/dl_torch_cases.py.

    python benchmarks/golden_dl.py

Needs PyTorch (2.13.0 wrote the committed file). Each entry has the outputs, the gradients of a weighted sum of them by
the inputs, the names of the state_dict, and the buffers afterwards.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))
from dl_torch_cases import CASES, filled, wave  # noqa: E402


def leaves(out) -> list:
    if isinstance(out, tuple):
        return [t for part in out for t in leaves(part)]
    return [] if out is None else [out]


def run(name: str, arguments: dict, shapes: list, call: dict) -> dict:
    layer = getattr(torch.nn, name)(**arguments).double()
    values = {k: torch.tensor(v) for k, v in filled(layer.state_dict()).items()}
    layer.load_state_dict(values, strict=False)
    inputs = [torch.tensor(wave(50 + k, shape), requires_grad=True) for k, shape in enumerate(shapes)]
    extra = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in call.items()}
    outputs = leaves(layer(*inputs, **extra))
    sum((y * torch.tensor(wave(90 + k, y.shape))).sum() for k, y in enumerate(outputs)).backward()
    return {
        "state": list(values),
        "outputs": [y.detach().numpy().ravel().tolist() for y in outputs],
        "shapes": [list(y.shape) for y in outputs],
        "gradients": [x.grad.numpy().ravel().tolist() for x in inputs],
        "buffers": {k: b.numpy().tolist() for k, b in layer.named_buffers() if k in values},
    }


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.13g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list) else value


if __name__ == "__main__":
    found = [{"layer": name, **rounded(run(name, *rest))} for name, *rest in CASES]
    lines = ",\n".join(json.dumps(entry) for entry in found)
    (TESTS / "reference" / "dl_torch.json").write_text(f'{{"torch": "{torch.__version__}", "cases": [\n{lines}\n]}}\n')
