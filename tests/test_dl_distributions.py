"""Distributions against scipy.stats: densities, entropies, divergences by quadrature, samples, gradients of samples."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

import dl
from dl import distributions as D
from dl.check import gradcheck

COV = np.array([[1.0, 0.3], [0.3, 0.5]])
LOGITS = np.array([0.1, -1.0, 0.7])


def test_normal():
    p, q = D.Normal(np.array([0.3, -1.0]), np.array([0.5, 2.0])), D.Normal(np.zeros(2), np.ones(2))
    x = np.array([0.1, 0.7])
    oracle = scipy.stats.norm(p.loc.numpy(), p.scale.numpy())
    np.testing.assert_allclose(p.log_prob(x).numpy(), oracle.logpdf(x))
    np.testing.assert_allclose(p.entropy().numpy(), oracle.entropy())
    for i in range(2):
        wanted = quadrature(lambda x, i=i: (p.log_prob(x)[i] - q.log_prob(x)[i]) * p.log_prob(x)[i].exp(), -40, 40)
        np.testing.assert_allclose(D.kl(p, q).numpy()[i], wanted, rtol=1e-8)


def quadrature(f, lo, hi):
    return scipy.integrate.quad(lambda x: float(f(dl.tensor(np.array(x)))), lo, hi, limit=200)[0]


def test_tanh_normal_is_a_density_and_finite_at_its_limits():
    p = D.TanhNormal(np.array(0.4), np.array(0.8))
    total = quadrature(lambda y: p.log_prob(y).exp(), -1, 1)
    np.testing.assert_allclose(total, 1.0, rtol=1e-7)
    y, log_prob = p.rsample_with_log_prob((1000,), generator=dl.Generator(0))
    np.testing.assert_allclose(log_prob.numpy(), p.log_prob(y).numpy(), rtol=1e-8)
    far = D.TanhNormal(np.array(50.0, np.float32), np.array(1.0, np.float32))
    assert np.isfinite(far.rsample_with_log_prob(generator=dl.Generator(1))[1].numpy())
    assert np.isfinite(far.log_prob(dl.tensor(np.array(1.0, np.float32))).numpy())
    with pytest.raises(NotImplementedError, match="no closed form"):
        p.entropy()


def test_categorical():
    p = D.Categorical(logits=LOGITS)
    probs = np.exp(LOGITS) / np.exp(LOGITS).sum()
    np.testing.assert_allclose(p.log_prob(np.array(1)).numpy(), np.log(probs[1]))
    np.testing.assert_allclose(p.entropy().numpy(), scipy.stats.entropy(probs))
    q = D.Categorical(logits=np.zeros(3))
    np.testing.assert_allclose(D.kl(p, q).numpy(), scipy.stats.entropy(probs, np.ones(3) / 3))
    draws = p.sample((20000,), generator=dl.Generator(0))
    assert draws.dtype == np.int64
    counts = np.bincount(draws.numpy(), minlength=3)
    assert scipy.stats.chisquare(counts, 20000 * probs).pvalue > 1e-3
    with pytest.raises(TypeError, match="an index has no gradient"):
        p.rsample(generator=dl.Generator(0))


def test_multivariate_normal(rng):
    loc = rng.normal(size=2)
    p = D.MultivariateNormal(loc, covariance=COV)
    oracle = scipy.stats.multivariate_normal(loc, COV)
    x = rng.normal(size=(5, 2))
    np.testing.assert_allclose(p.log_prob(x).numpy(), oracle.logpdf(x))
    np.testing.assert_allclose(p.entropy().numpy(), oracle.entropy())
    q = D.MultivariateNormal(np.zeros(2), scale_tril=np.eye(2))
    wanted = 0.5 * (np.trace(COV) + loc @ loc - 2 - np.log(np.linalg.det(COV)))
    np.testing.assert_allclose(D.kl(p, q).numpy(), wanted)
    draws = p.sample((50000,), generator=dl.Generator(0)).numpy()
    np.testing.assert_allclose(np.cov(draws.T), COV, atol=0.02)
    with pytest.raises(TypeError, match="one of scale_tril and covariance"):
        D.MultivariateNormal(loc)


def test_beta():
    p, q = D.Beta(np.array(2.0), np.array(3.5)), D.Beta(np.array(1.0), np.array(1.2))
    oracle = scipy.stats.beta(2.0, 3.5)
    np.testing.assert_allclose(p.log_prob(np.array(0.3)).numpy(), oracle.logpdf(0.3))
    np.testing.assert_allclose(p.entropy().numpy(), oracle.entropy())
    wanted = quadrature(lambda x: (p.log_prob(x) - q.log_prob(x)) * p.log_prob(x).exp(), 0, 1)
    np.testing.assert_allclose(D.kl(p, q).numpy(), wanted, rtol=1e-7)
    draws = p.sample((20000,), generator=dl.Generator(0)).numpy()
    assert scipy.stats.kstest(draws, oracle.cdf).pvalue > 1e-3
    with pytest.raises(TypeError, match="two of one kind among Normal, TanhNormal"):
        D.kl(p, D.Normal(np.zeros(1), np.ones(1)))


def test_gradients_of_samples_are_those_of_expectations():
    """d E[x] / d parameters from 40 000 reparameterised draws, within five standard errors."""
    n = 40000
    a, b = dl.tensor(np.array(2.0), requires_grad=True), dl.tensor(np.array(3.0), requires_grad=True)
    x = D.Beta(a, b).rsample((n,), generator=dl.Generator(0))
    ga, gb = dl.autograd.grad(x.sum(), [a, b])
    np.testing.assert_allclose(float(ga) / n, 3.0 / 25, atol=5 * 0.15 / np.sqrt(n))
    np.testing.assert_allclose(float(gb) / n, -2.0 / 25, atol=5 * 0.15 / np.sqrt(n))
    loc = dl.tensor(np.array(0.7), requires_grad=True)
    x = D.Normal(loc, np.array(2.0)).rsample((n,), generator=dl.Generator(0))
    (g,) = dl.autograd.grad((x * x).sum(), [loc])
    np.testing.assert_allclose(float(g) / n, 1.4, atol=5 * 4.0 / np.sqrt(n))


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda m, s: D.Normal(m, s).log_prob(dl.tensor(np.array([0.2, 0.3]))), ([0.1, -0.4], [0.5, 1.5])),
        (lambda m, s: D.TanhNormal(m, s).log_prob(dl.tensor(np.array([0.2, -0.9]))), ([0.1, -0.4], [0.5, 1.5])),
        (lambda z: D.Categorical(logits=z).log_prob(dl.tensor(np.array(2))), (LOGITS,)),
        (lambda m, c: D.MultivariateNormal(m, covariance=(c + c.T) * 0.5).log_prob(np.ones(2)), ([0.0, 1.0], COV)),
        (lambda a, b: D.Beta(a, b).log_prob(np.array([0.2, 0.3])), ([1.5, 2.0], [0.7, 3.0])),
        (lambda a, b: D.Beta(a, b).entropy(), ([1.5, 2.0], [0.7, 3.0])),
    ],
)  # fmt: skip
def test_derivatives(make, inputs):
    gradcheck(make, tuple(dl.tensor(np.array(v, float), requires_grad=True) for v in inputs))
