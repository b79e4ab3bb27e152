"""The exact binomial test: the distribution itself is summed up, there is no normal approximation and no table."""

from __future__ import annotations

import math

# A correct implementation is accused once in a thousand million tests: less often than memory fails.
SIGNIFICANCE = 1e-9


def surprising(count: int, trials: int, probability: float) -> bool:
    """Return whether ``count`` of ``trials`` is so far off that its tail is at most half of ``SIGNIFICANCE``."""
    expected = probability * trials
    outwards = range(count, -1, -1) if count <= expected else range(count, trials + 1)
    tail = 0.0
    for k in outwards:  # away from the mean the terms fall, at last geometrically
        term = math.exp(
            math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
            + k * math.log(probability) + (trials - k) * math.log1p(-probability)
        )  # fmt: skip
        tail += term
        if tail > SIGNIFICANCE / 2:
            return False
        if term <= tail * 1e-6:  # or 0 of nothing
            break
    return True
