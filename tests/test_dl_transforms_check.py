"""gradcheck and gradgradcheck find wrong derivatives, and say where."""

import numpy as np
import pytest

import dl
from dl.check import gradcheck, gradgradcheck
from dl.tensor import Tensor


def draw(*shape, seed=0) -> Tensor:
    return Tensor(np.asarray(np.random.default_rng(seed).normal(size=shape)))


def square(*, vjp, jvp=None):
    """x^2 with these derivatives (of x and g, or t)."""
    rules = {
        "forward": staticmethod(lambda ctx, x: (ctx.save_for_backward(x), x * x)[1]),
        "vjp": staticmethod(lambda ctx, g: vjp(ctx.saved_tensors[0], g)),
    }
    if jvp is not None:
        rules["jvp"] = staticmethod(lambda ctx, t: jvp(ctx.saved_tensors[0], t))
    return type("Square", (dl.Function,), rules).apply


def right(x, g):
    return x * g * 2.0


def test_right_derivatives_pass():
    assert gradcheck(square(vjp=right), draw(3), batched=True)
    assert gradgradcheck(square(vjp=right), draw(3), batched=True)
    assert gradcheck(lambda x, i, y: (x[i] * y, i), (draw(3), dl.tensor([0, 2]), draw(2, seed=1)))
    assert gradcheck(lambda x: x.sum(), draw(0, 3))
    assert gradcheck(lambda x: x[:0], draw(3))


def test_a_wrong_reverse_mode_names_the_element_and_both_values():
    def wrong(x, g):
        return x * g * Tensor(np.array([2.0, 2.0, 2.5]))

    x = draw(3)
    with pytest.raises(ValueError) as error:
        gradcheck(lambda a, x: square(vjp=wrong)(x) * a, (Tensor(np.array(1.0)), x))
    text = str(error.value)
    assert text.startswith("gradcheck: reverse mode: d output 0 [2] / d input 1 [2]")
    assert f"numeric {2 * x.array[2]:.6g}"[:12] in text and f"analytic {2.5 * x.array[2]:.9g}" in text
    assert "1 of 9 differ" in text


def test_a_wrong_forward_mode_is_found():
    f = square(vjp=right, jvp=lambda x, t: x * t)
    with pytest.raises(ValueError, match="forward mode: d output 0"):
        gradcheck(f, draw(3))
    assert gradcheck(f, draw(3), forward=False)


def test_a_wrong_second_derivative_is_found():
    """A gradient that is right, but not a function of x for the tape."""
    f = square(vjp=lambda x, g: x.detach() * g * 2.0)
    assert gradcheck(f, draw(3))
    with pytest.raises(ValueError, match=r"gradgradcheck: reverse mode: d output 0 .* / d input 0 "):
        gradgradcheck(f, draw(3))


def test_what_cannot_be_checked_is_refused():
    with pytest.raises(TypeError, match="input 0 is float32; differences need float64"):
        gradcheck(lambda x: x, draw(3).float())
    with pytest.raises(TypeError, match="nothing to check"):
        gradcheck(lambda i: i, dl.tensor([1, 2]))
