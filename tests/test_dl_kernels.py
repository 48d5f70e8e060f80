"""The C kernels against their NumPy twins, on every instruction set the processor has."""

import subprocess
import sys

import numpy as np
import pytest

import dl
from dl import kernels, reference

ISAS = () if kernels._kernels is None else kernels._kernels.isas()


@pytest.fixture(params=ISAS or [pytest.param(None, marks=pytest.mark.skip("the C extension was not built"))])
def isa(request):
    before = kernels._kernels.isa()
    kernels._kernels.use(request.param)
    yield request.param
    kernels._kernels.use(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (64,), (1001,), (3, 5, 17)])
def test_axpy_equals_its_twin_bit_for_bit(isa, dtype, shape):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, *shape)).astype(dtype)
    assert dl.backend() == f"c-{isa}"
    np.testing.assert_array_equal(kernels.axpy(0.1, x, y), reference.axpy(0.1, x, y))


def test_axpy_takes_strides(isa):
    x = np.arange(24.0).reshape(4, 6)
    np.testing.assert_array_equal(kernels.axpy(2.0, x.T, x.T), 3.0 * x.T)


def test_the_best_instruction_set_is_chosen_at_import():
    if not ISAS:
        pytest.skip("the C extension was not built")
    out = subprocess.run(
        [sys.executable, "-c", "import dl; print(dl.backend())"], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == f"c-{ISAS[-1]}"


def test_errors_name_what_was_wanted_and_got():
    with pytest.raises(TypeError, match="float32 or both float64, got float32 and float64"):
        kernels.axpy(1.0, np.zeros(2, np.float32), np.zeros(2))
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        kernels.axpy(1.0, np.zeros(2), np.zeros(3))
    if ISAS:
        with pytest.raises(ValueError, match="'sse9' is not available"):
            kernels._kernels.use("sse9")
        with pytest.raises(ValueError, match="one dtype and one size"):
            kernels._kernels.axpy(1.0, np.zeros(2), np.zeros(2), np.zeros(3))


def test_without_the_extension_the_twin_runs_and_says_so():
    code = "\n".join(
        [
            "import sys; sys.modules['dl._kernels'] = None",
            "import dl, numpy as np; from dl import kernels",
            "print(dl.backend(), kernels.axpy(2.0, np.ones(2), np.ones(2)))",
        ]
    )
    out = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "numpy [3. 3.]"
    assert "C kernels were not built" in out.stderr
