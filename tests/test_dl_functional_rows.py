"""Laws over the rows behind layers and losses: derivatives, batches, dtypes, strides, size 0."""

import numpy as np
import pytest
from dl_layer_cases import CASES

import dl
from dl.ops.rules import constant_zero
from dl.tape import apply
from dl.tensor import Tensor
from dl.trace import Trace, recording

IDS = [f"{i}-{row.name}" for i, (row, _, _) in enumerate(CASES)]
every_row = pytest.mark.parametrize("row, arrays, attrs", CASES, ids=IDS)


def of(row, arrays, attrs):
    """The row as a function of the inputs that are there, and these."""
    used = [i for i, a in enumerate(arrays) if a is not None]

    def f(*tensors):
        args: list[Tensor | None] = [None] * len(arrays)
        for i, t in zip(used, tensors, strict=True):
            args[i] = t
        return apply(row, tuple(args), attrs)

    return f, [arrays[i] for i in used]


def outputs(out) -> list[np.ndarray]:
    return [t.numpy() for t in (out if isinstance(out, tuple) else (out,))]


@every_row
def test_derivatives_are_those_of_differences_in_both_modes_and_under_vmap(row, arrays, attrs):
    f, inputs = of(row, arrays, attrs)
    assert dl.gradcheck(f, [dl.tensor(a) for a in inputs], batched=True)


@every_row
def test_derivatives_of_derivatives_are_those_of_differences(row, arrays, attrs):
    f, inputs = of(row, arrays, attrs)
    assert dl.gradgradcheck(f, [dl.tensor(a) for a in inputs])


@pytest.mark.parametrize("row, arrays, attrs", [c for c in CASES if c[0].composed is not None])
def test_forward_agrees_with_the_composed_formula(row, arrays, attrs):
    f, inputs = of(row, arrays, attrs)
    wanted = row.composed(*[None if a is None else dl.tensor(a) for a in arrays], **attrs)
    for y, z in zip(outputs(f(*[dl.tensor(a) for a in inputs])), outputs(wanted), strict=True):
        np.testing.assert_allclose(y, z, rtol=1e-10, atol=1e-10)


@every_row
def test_float32_is_float64_rounded(row, arrays, attrs):
    f, inputs = of(row, arrays, attrs)
    single = f(*[dl.tensor(a.astype(np.float32) if a.dtype == np.float64 else a) for a in inputs])
    for y, z in zip(outputs(single), outputs(f(*[dl.tensor(a) for a in inputs])), strict=True):
        assert y.dtype == (np.float32 if z.dtype == np.float64 else z.dtype)
        np.testing.assert_allclose(y, z, rtol=3e-5, atol=3e-5)


@every_row
def test_strides_do_not_matter(row, arrays, attrs):
    def strange(a):
        """The same values, every other column of memory, the last axis backwards."""
        wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype) if a.ndim else a
        if a.ndim:
            wide[..., ::2] = a[..., ::-1]
            return np.asfortranarray(wide)[..., ::2][..., ::-1]
        return wide

    f, inputs = of(row, arrays, attrs)
    plain = outputs(f(*[dl.tensor(a) for a in inputs]))
    for y, z in zip(plain, outputs(f(*[Tensor(strange(a)) for a in inputs])), strict=True):
        np.testing.assert_allclose(y, z, rtol=1e-12, atol=1e-12)


@every_row
def test_vmap_is_a_loop_whichever_inputs_have_the_batch(row, arrays, attrs):
    f, inputs = of(row, arrays, attrs)
    rng = np.random.default_rng(0)
    several = [
        a + 0.1 * np.abs(rng.standard_normal((3, *a.shape))) if a.dtype == np.float64 else np.stack([a] * 3)
        for a in inputs
    ]
    for mask in range(1, 2 ** len(inputs)):
        batched = [bool(mask >> i & 1) for i in range(len(inputs))]
        args = [dl.tensor(s if b else a) for s, a, b in zip(several, inputs, batched, strict=True)]
        got = outputs(dl.vmap(f, tuple(0 if b else None for b in batched))(*args))
        for i in range(3):
            one = f(*[dl.tensor(s[i] if b else a) for s, a, b in zip(several, inputs, batched, strict=True)])
            for y, z in zip(got, outputs(one), strict=True):
                np.testing.assert_allclose(y[i], z, rtol=1e-12, atol=1e-12)


def test_a_gradient_that_nobody_wants_is_zero_but_not_in_a_record():
    zero = dl.zeros(3)
    assert constant_zero(zero)
    assert not constant_zero(dl.ones(3))
    assert not constant_zero(dl.zeros(3, requires_grad=True))
    with recording(Trace((zero,))):
        assert not constant_zero(zero)


EMPTY = [
    (lambda: dl.matmul(dl.zeros(0, 3), dl.zeros(3, 2)), (0, 2)),
    (lambda: dl.matmul(dl.zeros(2, 0), dl.zeros(0, 3)), (2, 3)),
    (lambda: dl.functional.linear(dl.zeros(0, 3), dl.zeros(2, 3), dl.zeros(2)), (0, 2)),
    (lambda: dl.functional.conv2d(dl.zeros(0, 3, 4, 4), dl.zeros(2, 3, 3, 3)), (0, 2, 2, 2)),
    (lambda: dl.functional.max_pool2d(dl.zeros(0, 3, 4, 4), 2), (0, 3, 2, 2)),
    (lambda: dl.functional.avg_pool1d(dl.zeros(0, 3, 4), 2), (0, 3, 2)),
    (lambda: dl.softmax(dl.zeros(0, 3), 1), (0, 3)),
    (lambda: dl.softmax(dl.zeros(3, 0), 1), (3, 0)),
    (lambda: dl.logsumexp(dl.zeros(3, 0), 1), (3,)),
    (lambda: dl.softmax(dl.tensor(2.0), 0), ()),
    (lambda: dl.functional.layer_norm(dl.zeros(0, 3), 3), (0, 3)),
    (lambda: dl.functional.group_norm(dl.zeros(0, 4, 3), 2), (0, 4, 3)),
    (lambda: dl.functional.scaled_dot_product_attention(*[dl.zeros(0, 2, 3)] * 3), (0, 2, 3)),
    (lambda: dl.functional.scaled_dot_product_attention(dl.zeros(2, 3), dl.zeros(0, 3), dl.zeros(0, 4)), (2, 4)),
    (lambda: dl.functional.embedding(dl.zeros(0, 2, dtype=dl.int64), dl.zeros(5, 3)), (0, 2, 3)),
    (lambda: dl.einsum("ij,jk->ik", dl.zeros(2, 0), dl.zeros(0, 3)), (2, 3)),
]


@pytest.mark.parametrize("f, shape", EMPTY)
def test_size_0_and_0_d_work(f, shape):
    assert f().shape == shape
