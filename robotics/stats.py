"""Intervals for rates: a rate is never given without n and one of these."""

from math import sqrt
from statistics import NormalDist


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval (low, high) of a success probability after `successes` of `n` independent trials.

    (p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n) with p = successes/n and z the normal quantile at
    (1 + confidence)/2. Raises ValueError unless 0 <= successes <= n, n >= 1 and 0 < confidence < 1.
    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"wilson: need n >= 1 and 0 <= successes <= n, got successes={successes}, n={n}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"wilson: confidence must lie in (0, 1), got {confidence!r}")
    z = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1.0 + z * z / n
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == n else (centre + half) / scale
    return low, high
