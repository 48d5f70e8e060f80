"""Probability distributions: log_prob, entropy, rsample, and kl between two of a kind."""

from abc import ABC, abstractmethod
from math import log, pi
from typing import Any

import numpy as np

from dl import functional as F
from dl import linalg
from dl.function import Function
from dl.ops.base import as_tensor
from dl.primitive import Primitive
from dl.random import Generator
from dl.tape import apply
from dl.tensor import Tensor

LOG_2PI = log(2 * pi)


class Distribution(ABC):
    """Batched over the leading axes of its parameters; every quantity is differentiable by them.

    log_prob(x) and entropy() are in nats; rsample(shape, generator=g) draws shape + batch + event values through which
    gradients flow to the parameters (not for Categorical, whose sample is an index).
    """

    @abstractmethod
    def log_prob(self, value) -> Tensor: ...

    @abstractmethod
    def entropy(self) -> Tensor: ...

    @abstractmethod
    def rsample(self, shape: tuple[int, ...] = (), *, generator: Generator) -> Tensor: ...

    def sample(self, shape: tuple[int, ...] = (), *, generator: Generator) -> Tensor:
        """A draw without a gradient."""
        return self.rsample(shape, generator=generator).detach()


class Normal(Distribution):
    """Independent normals: loc and scale (> 0) of one shape."""

    def __init__(self, loc, scale):
        self.loc, self.scale = as_tensor(loc), as_tensor(scale)

    @property
    def mean(self) -> Tensor:
        return self.loc

    def log_prob(self, value) -> Tensor:
        z = (value - self.loc) / self.scale
        return -0.5 * (z * z) - self.scale.log() - 0.5 * LOG_2PI

    def entropy(self) -> Tensor:
        return self.scale.log() + (0.5 * (1 + LOG_2PI))

    def rsample(self, shape: tuple[int, ...] = (), *, generator: Generator) -> Tensor:
        batch = np.broadcast_shapes(self.loc.shape, self.scale.shape)
        return self.loc + self.scale * generator.normal((*shape, *batch), dtype=self.loc.dtype)


class TanhNormal(Distribution):
    """tanh of a normal: actions in (-1, 1) (Haarnoja et al., Soft Actor-Critic, 2018, appendix C).

    log p(y) = log N(atanh y) - log(1 - y^2), computed from the value before tanh so that it is finite near the limits;
    rsample_with_log_prob gives both at once, which is exact. entropy has no closed form and raises.
    """

    def __init__(self, loc, scale):
        self.base = Normal(loc, scale)

    @property
    def mode(self) -> Tensor:
        """tanh of the normal's mean: the action to take without noise."""
        return self.base.loc.tanh()

    def log_prob(self, value) -> Tensor:
        edge = 1.0 - np.finfo(self.base.loc.dtype).eps
        return self.from_base(as_tensor(value).clip(-edge, edge).atanh())

    def from_base(self, x: Tensor) -> Tensor:
        """log p(tanh x); log(1 - tanh^2 x) = 2 (log 2 - x - softplus(-2 x))."""
        return self.base.log_prob(x) - 2.0 * (log(2.0) - x - F.softplus(-2.0 * x))

    def entropy(self) -> Tensor:
        raise NotImplementedError("TanhNormal.entropy has no closed form; average -log_prob over samples")

    def rsample(self, shape: tuple[int, ...] = (), *, generator: Generator) -> Tensor:
        return self.base.rsample(shape, generator=generator).tanh()

    def rsample_with_log_prob(self, shape: tuple[int, ...] = (), *, generator: Generator) -> tuple[Tensor, Tensor]:
        """A draw in (-1, 1) and its log density."""
        x = self.base.rsample(shape, generator=generator)
        return x.tanh(), self.from_base(x)


class Categorical(Distribution):
    """Indices 0 ... n-1 with probabilities softmax(logits) over the last axis."""

    def __init__(self, *, logits):
        self.logits = F.log_softmax(as_tensor(logits), dim=-1)

    @property
    def probs(self) -> Tensor:
        return self.logits.exp()

    def log_prob(self, value) -> Tensor:
        return self.logits.gather(-1, as_tensor(value).unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        return -(self.probs * self.logits).sum(-1)

    def rsample(self, shape: tuple[int, ...] = (), *, generator: Generator) -> Tensor:
        raise TypeError("Categorical.rsample: an index has no gradient; use sample()")

    def sample(self, shape: tuple[int, ...] = (), *, generator: Generator) -> Tensor:
        """int64 indices of shape + batch, by the largest of logits plus Gumbel noise."""
        u = generator.uniform((*shape, *self.logits.shape), dtype=self.logits.dtype)
        tiny = np.finfo(self.logits.dtype).tiny
        return (self.logits.detach() - (-(u.clip(tiny, 1.0).log())).clip(tiny, np.inf).log()).argmax(-1)


class MultivariateNormal(Distribution):
    """N(loc, L L^T) with loc (..., n) and scale_tril L (..., n, n) lower triangular with a positive diagonal."""

    def __init__(self, loc, *, scale_tril=None, covariance=None):
        if (scale_tril is None) == (covariance is None):
            raise TypeError("MultivariateNormal: give one of scale_tril and covariance")
        self.loc = as_tensor(loc)
        self.L = as_tensor(scale_tril) if covariance is None else linalg.cholesky(as_tensor(covariance))

    @property
    def mean(self) -> Tensor:
        return self.loc

    def half_log_det(self) -> Tensor:
        return self.L.diagonal(0, -2, -1).log().sum(-1)

    def log_prob(self, value) -> Tensor:
        d = as_tensor(value) - self.loc
        shape = np.broadcast_shapes(d.shape[:-1], self.L.shape[:-2])
        L = self.L.expand((*shape, *self.L.shape[-2:]))
        z = linalg.solve_triangular(L, d.expand((*shape, d.shape[-1])).unsqueeze(-1), upper=False).squeeze(-1)
        return -0.5 * (z * z).sum(-1) - self.half_log_det() - 0.5 * LOG_2PI * self.loc.shape[-1]

    def entropy(self) -> Tensor:
        return self.half_log_det() + 0.5 * (1 + LOG_2PI) * self.loc.shape[-1]

    def rsample(self, shape: tuple[int, ...] = (), *, generator: Generator) -> Tensor:
        batch = np.broadcast_shapes(self.loc.shape[:-1], self.L.shape[:-2])
        z = generator.normal((*shape, *batch, self.loc.shape[-1]), dtype=self.loc.dtype)
        return self.loc + (self.L @ z.unsqueeze(-1)).squeeze(-1)


def draw_beta(a, b, *, generator):
    edge = np.finfo(a.dtype).eps
    return np.clip(generator.numpy.beta(a, b), edge, 1 - edge).astype(a.dtype)


DRAW_BETA = Primitive("draw_beta", draw_beta, differentiable=False, stateful=True)


class BetaDraw(Function):
    """x ~ Beta(a, b) with dx/da = -(dF/da) / p(x): implicit reparameterisation (Figurnov et al., 2018).

    dF/da of the regularised incomplete beta function by central differences, relative step 1e-4: about 1e-7 accurate.
    """

    @staticmethod
    def forward(ctx, a, b, x):
        ctx.save_for_backward(a, b, x)
        return x.clone()

    @staticmethod
    def vjp(ctx, g):
        from scipy.special import betainc, betaln

        a, b, x = (t.array.astype(np.float64) for t in ctx.saved_tensors)
        density = np.exp((a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - betaln(a, b))
        da = (betainc(a * (1 + 1e-4), b, x) - betainc(a * (1 - 1e-4), b, x)) / (2e-4 * a)
        db = (betainc(a, b * (1 + 1e-4), x) - betainc(a, b * (1 - 1e-4), x)) / (2e-4 * b)
        slopes = [Tensor((-d / density).astype(g.dtype)) for d in (da, db)]
        return g * slopes[0], g * slopes[1], None


class Beta(Distribution):
    """Beta(a, b) on (0, 1), a and b > 0."""

    def __init__(self, a, b):
        self.a, self.b = as_tensor(a), as_tensor(b)

    @property
    def mean(self) -> Tensor:
        return self.a / (self.a + self.b)

    def log_normaliser(self) -> Tensor:
        return self.a.lgamma() + self.b.lgamma() - (self.a + self.b).lgamma()

    def log_prob(self, value) -> Tensor:
        x = as_tensor(value)
        return (self.a - 1.0) * x.log() + (self.b - 1.0) * (-x).log1p() - self.log_normaliser()

    def entropy(self) -> Tensor:
        a, b, total = self.a, self.b, self.a + self.b
        spread = (a - 1.0) * a.digamma() + (b - 1.0) * b.digamma() - (total - 2.0) * total.digamma()
        return self.log_normaliser() - spread

    def rsample(self, shape: tuple[int, ...] = (), *, generator: Generator) -> Tensor:
        size = (*shape, *np.broadcast_shapes(self.a.shape, self.b.shape))
        a, b = self.a.expand(size), self.b.expand(size)
        x = apply(DRAW_BETA, (a.detach(), b.detach()), {"generator": generator})
        drawn: Any = BetaDraw.apply(a, b, x)
        return drawn


def kl_normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    shift = ((p.loc - q.loc) / q.scale) ** 2
    return 0.5 * (ratio + shift - 1.0 - ratio.log())


def kl_categorical(p: Categorical, q: Categorical) -> Tensor:
    return (p.probs * (p.logits - q.logits)).sum(-1)


def kl_multivariate(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    m = linalg.solve_triangular(q.L, p.L, upper=False)
    z = linalg.solve_triangular(q.L, (q.loc - p.loc).unsqueeze(-1), upper=False).squeeze(-1)
    n = p.loc.shape[-1]
    return q.half_log_det() - p.half_log_det() + 0.5 * ((m * m).sum((-2, -1)) + (z * z).sum(-1) - n)


def kl_beta(p: Beta, q: Beta) -> Tensor:
    total = p.a + p.b
    gap = (p.a - q.a) * p.a.digamma() + (p.b - q.b) * p.b.digamma() - (total - q.a - q.b) * total.digamma()
    return q.log_normaliser() - p.log_normaliser() + gap


DIVERGENCES = {
    Normal: kl_normal,
    TanhNormal: lambda p, q: kl_normal(p.base, q.base),  # the same map on both sides changes nothing
    Categorical: kl_categorical,
    MultivariateNormal: kl_multivariate,
    Beta: kl_beta,
}


def kl(p: Distribution, q: Distribution) -> Tensor:
    """KL(p || q) [nat] of two distributions of one kind. Raises TypeError for two kinds."""
    if type(p) is not type(q) or type(p) not in DIVERGENCES:
        kinds = ", ".join(kind.__name__ for kind in DIVERGENCES)
        raise TypeError(f"kl: wanted two of one kind among {kinds}; got {type(p).__name__} and {type(q).__name__}")
    return DIVERGENCES[type(p)](p, q)
