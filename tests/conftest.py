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
