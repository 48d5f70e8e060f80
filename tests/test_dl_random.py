"""dl.Generator: seeds, forks, state, distributions, and how recorders hear draws."""

import json

import numpy as np
import pytest
from scipy import stats

import dl
from dl.random import rand, randint, randn, randperm


def draws(g) -> bytes:
    return b"".join(
        t.numpy().tobytes()
        for t in (g.normal(3, 2), g.uniform((4,)), g.integers(5, high=9), g.permutation(6), g.bernoulli(7))
    )


def test_same_seed_same_bytes_and_another_seed_others():
    assert draws(dl.Generator(1)) == draws(dl.Generator(1)) != draws(dl.Generator(2))
    assert draws(dl.Generator(2**200)) == draws(dl.Generator(2**200))


def test_forks_are_independent_and_do_not_disturb():
    g, h = dl.Generator(1), dl.Generator(1)
    a, b = g.fork(2)
    c = g.fork()
    assert draws(g) == draws(h)
    assert len({draws(a), draws(b), draws(c), draws(dl.Generator(1))}) == 4
    assert draws(h.fork(3)[2]) == draws(dl.Generator(1).fork(3)[2])
    x, y = (f.normal(100000).numpy() for f in dl.Generator(0).fork(2))
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.015


def test_the_state_goes_through_json_and_continues_with_forks():
    g = dl.Generator(7)
    draws(g)
    g.fork(2)
    state = json.loads(json.dumps(g.state()))
    wanted = draws(g) + draws(g.fork())
    h = dl.Generator(0)
    h.set_state(state)
    assert draws(h) + draws(h.fork()) == wanted
    child = dl.Generator(7).fork()
    h.set_state(child.state())
    assert draws(h) == draws(child)


def test_a_state_that_is_none_is_refused():
    g = dl.Generator(0)
    for bad in ({}, 3, {**g.state(), "kind": "MT19937"}, {**g.state(), "state": "zz"}, {**g.state(), "half": []}):
        with pytest.raises(ValueError, match="set_state"):
            g.set_state(bad)


@pytest.mark.parametrize("seed, error", [(-1, ValueError), (1.0, TypeError), (None, TypeError), (True, TypeError)])
def test_a_seed_is_a_number_that_counts(seed, error):
    with pytest.raises(error, match="Generator"):
        dl.Generator(seed)


def test_distributions_are_what_they_say():
    g, n = dl.Generator(3), 20000
    assert stats.kstest(g.normal(n, mean=2.0, std=3.0, dtype=dl.float64).numpy(), "norm", (2, 3)).pvalue > 0.01
    assert stats.kstest(g.uniform(n, low=-1.0, high=3.0).numpy(), "uniform", (-1, 4)).pvalue > 0.01
    counts = np.bincount(g.integers(n, low=2, high=6).numpy(), minlength=6)
    assert counts[:2].sum() == 0 and stats.chisquare(counts[2:]).pvalue > 0.01
    assert abs(g.bernoulli(n, p=0.2).numpy().mean() - 0.2) < 0.015
    assert sorted(g.permutation(50).numpy()) == list(range(50))
    assert g.normal(2).dtype == g.uniform(2).dtype == dl.float32 and g.integers(2, high=3).dtype == dl.int64
    assert (randn(2, 3, generator=g).shape, rand((2,), generator=g).shape) == ((2, 3), (2,))
    assert randint(0, 3, (4,), generator=g).shape == randperm(4, generator=g).shape
    with pytest.raises(ValueError, match="no integer from 3"):
        g.integers(2, low=3, high=3)
    with pytest.raises(TypeError, match="float32 or float64"):
        g.normal(2, dtype=dl.int64)
    with pytest.raises(TypeError, match="no global random state"):
        randn(2, generator=None)


def test_gradients_flow_to_mean_and_spread():
    mean, std = dl.tensor(1.0, requires_grad=True), dl.tensor(2.0, requires_grad=True)
    z = dl.Generator(0).normal(5).numpy()
    dl.Generator(0).normal(5, mean=mean, std=std).sum().backward()
    assert mean.grad.item() == 5 and np.isclose(std.grad.item(), z.sum())


def test_vmap_draws_other_numbers_for_each_example_or_the_same():
    def f(x):
        return x + g.normal(2, dtype=dl.float64)

    x = dl.zeros(3, 2, dtype=dl.float64)
    g = dl.Generator(0)
    different = dl.vmap(f, randomness="different")(x).numpy()
    assert len(np.unique(different)) == 6
    same = dl.vmap(f, randomness="same")(x).numpy()
    assert (same == same[0]).all()
    with pytest.raises(RuntimeError, match="randomness"):
        dl.vmap(f)(x)
