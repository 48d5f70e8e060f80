"""Derivatives as transforms: closed forms, any order of nesting, trees, and what they refuse."""

from typing import NamedTuple

import numpy as np
import pytest

import dl
from dl.tape import no_grad
from dl.tensor import Tensor
from dl.transforms import grad, hessian, hvp, jacobian, jvp, linearize, value_and_grad, vjp, vmap
from dl.tree import flatten, tree_map, unflatten


def draw(*shape, seed=0) -> Tensor:
    return Tensor(np.asarray(np.random.default_rng(seed).normal(size=shape)))


def close(t, wanted, rtol=1e-10):
    np.testing.assert_allclose(t.array if isinstance(t, Tensor) else t, wanted, rtol=rtol, atol=1e-12)


A = np.random.default_rng(5).normal(size=(4, 4))


def quadratic(x):
    return 0.5 * (x @ dl.from_numpy(A) @ x)


def rosenbrock(x):
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def rosenbrock_hessian(x):
    n, h = len(x), np.zeros((len(x), len(x)))
    for i in range(n - 1):
        h[i, i] += 1200 * x[i] ** 2 - 400 * x[i + 1] + 2
        h[i, i + 1] -= 400 * x[i]
        h[i + 1, i] -= 400 * x[i]
        h[i + 1, i + 1] += 200
    return h


def test_the_quadratic_form():
    x, v = draw(4), draw(4, seed=1)
    s = (A + A.T) / 2
    close(grad(quadratic)(x), s @ x.array)
    value, g = value_and_grad(quadratic)(x)
    close(value, 0.5 * x.array @ A @ x.array)
    close(g, s @ x.array)
    for h in (hessian(quadratic)(x), jacobian(grad(quadratic))(x), jacobian(grad(quadratic), mode="forward")(x)):
        close(h, s)
    close(hvp(quadratic, (x,), (v,))[0], s @ v.array)
    close(jvp(quadratic, (x,), (v,))[1], v.array @ s @ x.array)


def test_rosenbrock():
    x = draw(5)
    h = hessian(rosenbrock)(x).array
    close(h, rosenbrock_hessian(x.array))
    np.testing.assert_array_equal(h, h.T)


def test_jacobians_agree_forward_reverse_and_with_differences():
    w = dl.from_numpy(np.random.default_rng(1).normal(size=(3, 4)))

    def f(x):
        return (w @ x).tanh().softmax(0) * x[:3].exp()

    x = draw(4)
    j = jacobian(f)(x)
    close(jacobian(f, mode="forward")(x), j.array)
    for size in (1, 2, 3):
        close(jacobian(f, chunk_size=size)(x), j.array)
        close(jacobian(f, mode="forward", chunk_size=size)(x), j.array)
    e = 1e-6 * np.eye(4)
    differences = [(f(Tensor(x.array + d)).array - f(Tensor(x.array - d)).array) / 2e-6 for d in e]
    close(j, np.stack(differences, 1), rtol=1e-7)


# d^n/dx^n of x^3 exp(2 x) for n = 0 ... 4, by Leibniz
def derivative(n: int, x: float) -> float:
    powers = [x**3, 3 * x**2, 6 * x, 6.0, 0.0]
    binomial = [1, 1, 1, 1, 1]
    total = 0.0
    for k in range(n + 1):
        binomial[k] = int(np.prod(range(n - k + 1, n + 1)) / np.prod(range(1, k + 1)))
        total += binomial[k] * powers[k] * 2.0 ** (n - k)
    return total * np.exp(2 * x)


def forward_derivative(f):
    return lambda x: jvp(f, (x,), (Tensor(np.ones(())),))[1]


def by_vjp(f):
    return lambda x: vjp(f, x)[1](Tensor(np.ones(())))[0]


def by_batch(f):
    """Through vmap, and the example's numbers summed up (a batch of one)."""
    return lambda x: vmap(grad(f))(x.reshape(1)).sum()


def by_tape(f):
    def of(x):
        y = dl.tape.alias(x) if x.requires_grad else x.detach().requires_grad_()
        return dl.autograd.grad(f(y), y, create_graph=True)[0]

    return of


WAYS = {"grad": grad, "jvp": forward_derivative, "vjp": by_vjp, "vmap": by_batch, "tape": by_tape}


@pytest.mark.parametrize("third", WAYS)
@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
def test_transforms_nest_in_any_order(first, second, third):
    f = lambda x: x * x * x * (2.0 * x).exp()  # noqa: E731
    x = Tensor(np.array(0.7))
    close(WAYS[first](f)(x), derivative(1, 0.7))
    close(WAYS[second](WAYS[first](f))(x), derivative(2, 0.7))
    close(WAYS[third](WAYS[second](WAYS[first](f)))(x), derivative(3, 0.7))


@pytest.mark.parametrize("outer", WAYS)
@pytest.mark.parametrize("inner", WAYS)
def test_perturbations_are_not_confused(inner, outer):
    """Siskind and Pearlmutter, 2005: d/dx (x d/dy (x + y)) at 1 is 1, not 2; and with y x^2: d/dx x x^2 = 3 x^2."""
    one = Tensor(np.array(1.0))
    close(WAYS[outer](lambda x: x * WAYS[inner](lambda y: x + y)(one))(one), 1.0)
    close(WAYS[outer](lambda x: x * WAYS[inner](lambda y: x * x * y)(one))(Tensor(np.array(2.0))), 12.0)
    close(WAYS[outer](lambda x: WAYS[inner](lambda y: x * y * y)(x))(Tensor(np.array(3.0))), 12.0)


class Arm(NamedTuple):
    mass: Tensor
    length: Tensor


def energy(parameters, state):
    arm, gains = parameters["arm"], parameters["gains"]
    q, v = state
    return 0.5 * arm.mass * (arm.length * v).square().sum() + gains[0] * q.sum() * gains[1][0]


def test_arguments_are_nested():
    parameters = {"arm": Arm(draw(), draw(seed=1)), "gains": [draw(seed=2), (draw(seed=3),)], "unused": draw(2)}
    state = (draw(3, seed=4), draw(3, seed=5))
    g, gs = grad(energy, (0, 1))(parameters, state)
    m, length, v = parameters["arm"].mass.array, parameters["arm"].length.array, state[1].array
    assert isinstance(g["arm"], Arm) and isinstance(g["gains"], list)
    close(g["arm"].mass, 0.5 * length**2 * (v @ v))
    close(g["arm"].length, m * length * (v @ v))
    close(g["gains"][1][0], parameters["gains"][0].array * state[0].array.sum())
    close(g["unused"], np.zeros(2))
    close(gs[1], m * length**2 * v)
    out, tangent = jvp(energy, (parameters, state), (g, gs))
    leaves = [*flatten(g)[0], *flatten(gs)[0]]
    close(tangent, sum((t.array**2).sum() for t in leaves))
    close(out, energy(parameters, state).array)


def test_nested_jacobians_have_outputs_outside():
    x, y = draw(3), draw(2, seed=1)

    def f(xs, y):
        return {"a": xs[0] * 2.0, "b": (xs[0].sum() * y, y)}

    for mode in ("reverse", "forward"):
        j = jacobian(f, (0, 1), mode=mode)([x], y)
        close(j["a"][0][0], 2 * np.eye(3))
        close(j["a"][1], np.zeros((3, 2)))
        close(j["b"][0][0][0], np.outer(y.array, np.ones(3)))
        close(j["b"][0][1], x.array.sum() * np.eye(2))
        close(j["b"][1][1], np.eye(2))


def test_trees_go_back_and_forth():
    tree = {"b": [draw(2), None], "a": Arm(draw(), (draw(3),))}
    leaves, spec = flatten(tree)
    again = unflatten(spec, leaves)
    assert list(again) == ["b", "a"] and again["b"][1] is None and again["a"].length[0] is leaves[2]
    doubled = tree_map(lambda t: t * 2.0, tree)
    close(doubled["b"][0], 2 * leaves[0].array)
    with pytest.raises(ValueError, match=r"wanted the structure .*'b': \[\*, None\].*got \[\*\]"):
        tree_map(lambda a, b: a, tree, [draw(2)])


def test_auxiliary_results_come_along_without_a_graph():
    def f(x):
        y = x * x
        return y.sum(), {"y": y, "n": draw(2)}

    x = draw(3)
    g, aux = grad(f, has_aux=True)(x)
    close(g, 2 * x.array)
    close(aux["y"], x.array**2)
    assert not aux["y"].requires_grad
    (value, _), _ = value_and_grad(f, has_aux=True)(x)
    close(value, (x.array**2).sum())
    assert vjp(f, x, has_aux=True)[2].keys() == {"y", "n"}
    assert jvp(f, (x,), (x,), has_aux=True)[2].keys() == {"y", "n"}


def test_linearize_and_vjp_run_the_function_once():
    calls = []

    def f(x):
        calls.append(1)
        return (x * x).sin()

    x = draw(3)
    out, push = linearize(f, x)
    _, pull = vjp(f, x)
    for seed in range(4):
        v = draw(3, seed=seed)
        d = np.cos(x.array**2) * 2 * x.array * v.array
        close(push(v), d)
        close(pull(v)[0], d)
    close(out, np.sin(x.array**2))
    assert len(calls) == 2


def test_closures_over_leaves_get_their_gradients():
    w, x = draw(3), draw(3, seed=1)
    w.requires_grad = True
    grad(lambda x: (w * x * x).sum())(x).sum().backward()
    close(w.grad, 2 * x.array)
    w.grad = None
    jvp(lambda x: w * w * x, (x,), (x,))[1].sum().backward()
    close(w.grad, 2 * w.array * x.array)
    w.grad = None
    vmap(lambda x: (w * x).sum())(draw(5, 3, seed=2)).sum().backward()
    close(w.grad, draw(5, 3, seed=2).array.sum(0))


def test_transforms_work_inside_no_grad_and_give_constants():
    x = draw(3)
    x.requires_grad = True
    with no_grad():
        g = grad(lambda x: (x * x).sum())(x)
        out, t = jvp(lambda x: x * x, (x,), (x,))
    close(g, 2 * x.array)
    assert not g.requires_grad and not t.requires_grad and not out.requires_grad


def test_no_grad_and_detach_inside_are_constants():
    def f(x):
        with no_grad():
            frozen = x * x
        return (frozen * x + x.detach() * x).sum()

    x = draw(3)
    close(grad(f)(x), x.array**2 + x.array)
    close(grad(lambda x: vmap(f)(x).sum())(x.reshape(3, 1)), (x.array**2 + x.array).reshape(3, 1))


def test_constants_and_identities():
    x = draw(3)
    close(grad(lambda x: Tensor(np.array(2.0)))(x), np.zeros(3))
    close(vjp(lambda x: x, x)[1](x)[0], x.array)
    close(jvp(lambda x: x, (x,), (x,))[1], x.array)
    _, t = jvp(lambda x: (x, draw(2)), (x,), (x,))
    close(t[1], np.zeros(2))
    close(jacobian(lambda x: x[:0])(x), np.zeros((0, 3)))
    close(jacobian(lambda x: x.sum(), mode="forward")(x[:0]), np.zeros(0))


def test_plain_numbers_are_tensors():
    assert grad(lambda x: x * x)(3.0).array == 6.0
    close(jvp(lambda x: x * x, (np.array(3.0),), (np.array(1.0),))[1], 6.0)


REFUSED = [
    (lambda x: grad(lambda x: x * x)(x), ValueError, r"one number, got tensors of shapes \[3\]"),
    (lambda x: grad(lambda x: (x.sum(), x.sum()))(x), ValueError, "one number"),
    (lambda x: grad(lambda x: x.sum(), 1)(x), ValueError, "argnums 1 with 1 positional"),
    (lambda x: grad(lambda x, y: x.sum(), (0, -2))(x, x), ValueError, "twice"),
    (lambda x: grad(lambda i: i.sum())(dl.tensor([1, 2])), TypeError, "input 0 is int64"),
    (lambda x: grad(lambda x: x.sum(), has_aux=True)(x), TypeError, "returns .output, auxiliary."),
    (lambda x: grad(lambda x: "no")(x), TypeError, "got str"),
    (lambda x: jvp(lambda x: x, (x,), (x[:2],)), ValueError, r"tangent 0: wanted shape \[3\], float64, got \[2\]"),
    (lambda x: jvp(lambda x: x, (x,), (x, x)), ValueError, "structure"),
    (lambda x: jvp(lambda x: x, x, x), TypeError, "tuples"),
    (lambda x: vjp(lambda x: x, x)[1](x.float()), ValueError, "gradient of output 0: .* float64, got .* float32"),
    (lambda x: jacobian(lambda x: x, mode="both"), ValueError, "'reverse' and 'forward'"),
]


@pytest.mark.parametrize(("call", "error", "match"), REFUSED)
def test_bad_calls_say_what_was_wanted(call, error, match):
    with pytest.raises(error, match=match):
        call(draw(3))


def test_a_result_that_is_a_leaf_outside_keeps_its_past():
    w, x = draw(3).requires_grad_(), draw(3, seed=1)
    out, t = jvp(lambda x: (w * 1.0, x * w), (x,), (x,))
    (out[0] + t[1]).sum().backward()
    close(w.grad, 1 + x.array)
    inside = w * 2.0
    assert vjp(lambda x: inside, x)[0].requires_grad
