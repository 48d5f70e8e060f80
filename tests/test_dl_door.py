"""`import dl` and what it gives: light, complete, and with PyTorch's switches for recording."""

import subprocess
import sys
from types import FunctionType

import pytest

import dl
from dl.methods import DUNDERS, METHODS, PROPERTIES


def test_import_is_light():
    heavy = ("scipy", "onnx", "safetensors", "dl.nn", "dl.linalg", "dl.transforms")
    code = f"import dl, sys; print(*[m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", [*dl.LAZY, *dl.MODULES])
def test_lazy_names_arrive(name):
    assert getattr(dl, name) is getattr(dl, name)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dl.nothing
    with pytest.raises(AttributeError, match="nothing"):
        _ = dl.zeros(1).nothing


def test_public_functions_have_docstrings():
    public = [getattr(dl, name) for name in vars(dl) if not name.startswith("_")]
    assert all(f.__doc__ for f in public if callable(f) and getattr(f, "__module__", "").startswith("dl"))


def test_methods_and_functions_of_one_name_are_one():
    assert set(DUNDERS) & set(METHODS) == set()
    functions = {name: f for name, f in vars(dl).items() if isinstance(f, FunctionType) and name != "where"}
    for name in set(METHODS) & set(functions):
        assert METHODS[name] is functions[name], name
    assert all(getattr(dl.zeros(1, 1), name) is not None for name in PROPERTIES)


def test_switches_for_recording():
    x = dl.ones(2, requires_grad=True)
    assert dl.is_grad_enabled() and (x * 2).requires_grad
    with dl.no_grad():
        assert not dl.is_grad_enabled() and not (x * 2).requires_grad
        with dl.enable_grad():
            assert (x * 2).requires_grad
        with dl.set_grad_enabled(True):
            assert dl.is_grad_enabled()
        assert not dl.is_grad_enabled()
    dl.set_grad_enabled(False)
    try:
        assert not (x * 2).requires_grad
    finally:
        dl.set_grad_enabled(True)

    @dl.no_grad()
    def frozen(t):
        return t * 2

    assert not frozen(x).requires_grad and dl.is_grad_enabled()
