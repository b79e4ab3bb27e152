"""Whether any two of many queries have the same weights dropped."""

from __future__ import annotations

import numpy as np

from mhsa.judge.dropout.dropped_weights import by_head
from mhsa.oracle.bounded import gamma
from mhsa.subject import check
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.trial import Trial

_QUERIES, _SQUARE = 600, 300  # more than two tiles of 256, and one of 512; more than one of 256, where keys are as many
# Keys that are dropped or not: of 600^2 / 2 pairs in 32 heads two agree by chance at a rate of 1/4 or 3/4 with a probability
# of 6e6 (5/8)^96, below 1e-12.
_PATTERN = 96


def require_patterns_of_their_own(trial: Trial, rate: float) -> None:
    """Fail if two of many queries have the same output of a head, where all keys weigh the same, and the same were dropped.

    Nothing else but what is dropped tells such queries apart. The trial is one that :func:`uniform` has made.
    """
    case, square = trial.case, trial.case.tie == "all" or is_square(trial.subject.adapter)
    random, queries = case.rng(41), _SQUARE if square else _QUERIES
    x = random.standard_normal((1, queries if square else _PATTERN, case.d_model))
    query = x if square else random.standard_normal((1, queries, case.d_model))
    heads = by_head(trial(query, x, x).output, case.head)[0]
    # Numbers that are zero were dropped from the output. Of fewer features than these, two may be close by chance.
    if not heads.all() or heads.shape[-1] < 8:
        return
    size = np.abs(x).sum(axis=1).max() / x.shape[1] / (1.0 - rate)
    tolerance = 2 * gamma(x.shape[1] + 2 * case.d_model + 16, trial.precision.unit) * size
    for head in heads:
        order = np.argsort(head[:, 0])
        same = (np.abs(np.diff(head[order], axis=0)) <= tolerance).all(axis=1)
        if same.any():
            one, two = sorted(int(n) for n in order[int(same.argmax()) :][:2])
            check.fail(f"queries {one} and {two} of {queries} had the same weights dropped, but must draw anew", what="dropout")
