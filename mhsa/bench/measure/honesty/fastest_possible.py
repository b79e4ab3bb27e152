"""A time that is below what the machine can do is not a time of the computation.

What the machine can do is what the baseline does on it, in turns with what is timed: it makes the same products and reads the
same bytes, so that a peak or a bandwidth that was measured by itself, at another moment, could only be less than that.
"""

from __future__ import annotations

from mhsa.bench.measure.implementation import Built

SHARE = 0.6  # of the baseline's time, for as many products: no module that is known to be right is below


def products(built: Built) -> float:
    """Return the multiply-adds of a forward pass: of the four maps as the subject has them, and of scores and values."""
    trial, shape = built.trial, built.shape
    p = trial.projections
    maps = sum(m.weight.size for m in (p.query, p.key, p.value, p.out))
    tokens, asked = shape.batch * shape.length, shape.batch * shape.asked
    of_queries = sum(m.weight.size for m in (p.query, p.out))
    core = asked * shape.length * (trial.inner + trial.d_v * trial.case.head)
    return float(asked * of_queries + tokens * (maps - of_queries) + core)


def of_the_baseline(built: Built) -> float:
    """Return how many of the baseline's multiply-adds a subject has, at most 1: its maps may be narrower."""
    shape = built.shape
    tokens, asked = shape.batch * shape.length, shape.batch * shape.asked
    whole = 2 * (tokens + asked) * shape.d_model**2 + 2 * asked * shape.length * shape.d_model
    return min(1.0, products(built) / whole)


def too_fast(built: Built, ratio: float, high: float) -> str:
    """Return in words why a time is none; empty if it may be one, or the subject is declared.

    Args:
        built: the contender.
        ratio: of its time to the baseline's.
        high: upper end of the ratio's interval.
    """
    least = SHARE * of_the_baseline(built)
    if built.contender.request.faster or high >= least:
        return ""
    return (
        f"it takes {ratio:.2f} x the baseline's time, and nothing that is right is known to take less than {least:.2f} x; if "
        'there is a reason, declare it: faster = "..." in its table, or --faster'
    )
