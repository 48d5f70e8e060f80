"""dl.Function: derivatives of one's own, in every mode."""

import gc
import weakref

import numpy as np
import pytest

import dl
from dl.tensor import Tensor
from dl.transforms import grad, hessian, jacobian, jvp, vmap


def draw(*shape, seed=0) -> Tensor:
    return Tensor(np.asarray(np.random.default_rng(seed).normal(size=shape)))


def close(t, wanted, rtol=1e-12):
    np.testing.assert_allclose(t.array if isinstance(t, Tensor) else t, wanted, rtol=rtol, atol=1e-13)


class Exp(dl.Function):
    """Saves its output, and is computed by NumPy."""

    @staticmethod
    def forward(ctx, x):
        y = dl.tensor(np.exp(x.detach().numpy()))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def vjp(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y


class Scaled(dl.Function):
    """k x y with an int k among the inputs, a keyword, and a jvp; backward is another name of vjp."""

    @staticmethod
    def forward(ctx, k, x, y, *, offset=0.0):
        ctx.save_for_backward(x, y)
        ctx.k = k
        return x * y * float(k) + offset, dl.argmax(x)

    @staticmethod
    def backward(ctx, g, _):
        x, y = ctx.saved_tensors
        dx = g * y * float(ctx.k) if ctx.needs_input_grad[1] else None
        return None, dx, g * x * float(ctx.k)

    @staticmethod
    def jvp(ctx, k, dx, dy):
        x, y = ctx.saved_tensors
        assert k is None
        parts = [a * b for a, b in ((dx, y), (dy, x)) if a is not None]
        return (parts[0] if len(parts) == 1 else parts[0] + parts[1]) * float(ctx.k), None


def scaled(x, y):
    return Scaled.apply(3, x, y, offset=2.0)[0]


def test_it_agrees_with_differences_in_every_mode():
    assert dl.gradcheck(Exp.apply, draw(3), batched=True)
    assert dl.gradgradcheck(Exp.apply, draw(3), batched=True)
    assert dl.gradcheck(scaled, (draw(3), draw(3, seed=1)), batched=True)
    assert dl.gradgradcheck(scaled, (draw(3), draw(3, seed=1)), batched=True)


def test_it_nests():
    x = draw(3)
    close(hessian(lambda x: Exp.apply(x).sum())(x), np.diag(np.exp(x.array)))
    close(jacobian(jacobian(Exp.apply, mode="forward"))(x).array[1, 1, 1], np.exp(x.array[1]))
    third = grad(lambda x: grad(lambda x: grad(lambda x: Exp.apply(x))(x))(x))
    close(third(x[0]), np.exp(x.array[0]))


def test_vmap_and_derivatives_of_vmap():
    x, y = draw(4, 3), draw(3, seed=1)
    close(vmap(Exp.apply)(x), np.exp(x.array))
    close(vmap(scaled, (0, None))(x, y), 3 * x.array * y.array + 2)
    close(vmap(grad(lambda x: Exp.apply(x).sum()))(x), np.exp(x.array))
    close(grad(lambda x: vmap(Exp.apply)(x).sum())(x), np.exp(x.array))
    close(jvp(vmap(Exp.apply), (x,), (x,))[1], x.array * np.exp(x.array))


def test_only_needed_gradients_are_asked_for():
    x, y = draw(3), draw(3, seed=1)
    y.requires_grad = True
    out, place = Scaled.apply(3, x, y)
    assert out.requires_grad and not place.requires_grad
    out.sum().backward()
    close(y.grad, 3 * x.array)
    assert x.grad is None


def test_nothing_is_recorded_where_nothing_requires_a_gradient():
    assert not Exp.apply(draw(3)).requires_grad
    x = draw(3).requires_grad_()
    with dl.no_grad():
        assert not Exp.apply(x).requires_grad


class Through(dl.Function):
    """Hands its input through; the gradient turns around."""

    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def vjp(ctx, g):
        return -g


def test_an_input_handed_through_is_another_point():
    x = draw(3).requires_grad_()
    y = Through.apply(x)
    assert y is not x and x.is_leaf
    y.sum().backward()
    close(x.grad, -np.ones(3))


class Silent(dl.Function):
    @staticmethod
    def forward(ctx, x):
        a, b = x * 2.0, x * 3.0
        ctx.mark_non_differentiable(b)
        return a, b

    @staticmethod
    def vjp(ctx, ga, gb):
        return ga * 2.0 + gb


def test_outputs_without_gradient():
    x = draw(3).requires_grad_()
    a, b = Silent.apply(x)
    assert a.requires_grad and not b.requires_grad
    (a + b).sum().backward()
    close(x.grad, np.full(3, 2.0))


class Sum(dl.Function):
    """x . x / 2, whose gradient is x itself."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x @ x * 0.5

    @staticmethod
    def vjp(ctx, g):
        return ctx.saved_tensors[0]


def test_a_saved_tensor_as_gradient_is_copied():
    x = draw(3).requires_grad_()
    Sum.apply(x).backward()
    assert not np.shares_memory(x.grad.array, x.array)


def test_a_saved_output_is_no_cycle():
    gc.collect()
    gc.disable()
    try:
        x = draw(3).requires_grad_()
        y = Exp.apply(x)
        watched = weakref.ref(y)
        y.sum().backward()
        del y
        assert watched() is None
    finally:
        gc.enable()


def test_saved_tensors_changed_in_place_are_refused():
    x = draw(3).requires_grad_()
    y = Exp.apply(x)
    with dl.no_grad():
        y.mul_(2.0)
    with pytest.raises(RuntimeError, match="saved tensor of shape \\[3\\] was changed in place"):
        y.sum().backward()


def bad(forward, vjp):
    return type("Bad", (dl.Function,), {"forward": staticmethod(forward)} | ({"vjp": staticmethod(vjp)} if vjp else {}))


REFUSED = [
    (bad(lambda ctx, x: 1.0, lambda ctx, g: g), TypeError, "Bad.forward: wanted tensors as result, got float"),
    (bad(lambda ctx, x: x * 1.0, lambda ctx, g: (g, g)), ValueError, "Bad.vjp: wanted 1 gradients.*got 2"),
    (
        bad(lambda ctx, x: x * 1.0, lambda ctx, g: g.sum()),
        ValueError,
        r"Bad.vjp: .* must be \[3\], float64 .* got \[\]",
    ),
    (type("Lazy", (dl.Function,), {}), NotImplementedError, "forward is missing"),
    (bad(lambda ctx, x: x * 1.0, None), NotImplementedError, "Bad has no derivative rule"),
]


@pytest.mark.parametrize(("function", "error", "match"), REFUSED)
def test_mistakes_are_named(function, error, match):
    with pytest.raises(error, match=match):
        function.apply(draw(3).requires_grad_()).sum().backward()
