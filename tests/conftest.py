"""Settings for every test process."""

import os

import pytest

# MuJoCo reads it when first imported; without a display its default (GLFW) cannot open a window
if not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "egl")


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(0)


def pytest_generate_tests(metafunc):
    """A test that asks for `isa` runs once for each instruction set that was built and that this processor has."""
    if "isa" in metafunc.fixturenames:
        from dl import kernel

        metafunc.parametrize("isa", kernel._kernels.isas() if kernel._kernels else (), indirect=True)


@pytest.fixture
def isa(request):
    from dl import _kernels

    before = _kernels.isa()
    _kernels.use(request.param)
    yield request.param
    _kernels.use(before)
