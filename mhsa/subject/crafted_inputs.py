"""Crafted inputs: parameters and tokens whose exact output shows a wrong score or key even in half precision.

With generic numbers, every output is a mean over all keys, which hides a key that is lost and blurs a scale that is wrong; in
a half format the bound, which must add up all that could go wrong, then exceeds what does go wrong. Here each row of a weight
matrix has one element, a power of two or its negative, so that Q, K and V are exact in every format and order of summation.
"""

from __future__ import annotations

import math

import numpy as np

from mhsa.oracle.bounded import Array
from mhsa.subject import check
from mhsa.subject.trial import Trial

_STREAM = 30  # of the random numbers; the case has others


def one_hot_attention(trial: Trial, length: int, clear: float) -> Array:
    """Set a trial's parameters; return tokens [B, length, D] of random signs, of which each query picks its own.

    A feature in which another token differs takes 2 gain / sqrt(d_k) off the score; the gain is such that as many as
    :func:`fewest_differences` says take off ``clear``.
    """
    d_k = trial.case.d_k
    _set_maps(trial, 2.0 ** math.ceil(math.log2(clear * math.sqrt(d_k) / (2.0 * fewest_differences(d_k)))))
    return _signs(trial, (trial.case.batch, length, trial.case.d_model))


def fewest_differences(d_k: int) -> int:
    """Return in how many of its features another token of a head differs at least.

    Any other token in one. In wide heads, random signs differ in more: in fewer than a sixteenth of 48 features or more for one
    pair in 10^10 at most, and scores can be smaller, which half formats need.
    """
    return 1 if d_k < 48 else d_k // 16


def two_clusters(trial: Trial, length: int) -> Array:
    """Set a trial's parameters; return tokens [B, length, D] of two kinds, x and -x, about one in three of the first.

    Scores are +s between tokens of one kind and -s between others, with s the power of two times sqrt(d_k) that is nearest to
    1: as large a difference, for scores of one size and their roundings, as there can be, and all of it in the output, since
    the values of a kind are alike, too. So a scale that is off by some per cent shows in half formats.
    """
    _set_maps(trial, 2.0 ** -round(math.log2(math.sqrt(trial.case.d_k))))
    kinds = np.where(trial.case.rng(_STREAM + 1).random((trial.case.batch, length, 1)) < 1 / 3, 1.0, -1.0)
    kinds[:, 0] = 1.0
    return kinds * _signs(trial, (trial.case.batch, 1, trial.case.d_model))


def uniform_attention(trial: Trial, length: int, silent: str) -> Array:
    """Set a trial's parameters; return tokens [B, length, D], x and -x in turns, all of which attend to all alike.

    ``silent``, "query" or "key", is 0 everywhere, so all scores are; of the gradient of its weight nothing cancels.
    """
    _set_maps(trial, 1.0)
    trial.write(**{f"{silent}_weight": np.zeros((trial.case.d_model, trial.case.d_model))})
    turns = np.where(np.arange(length) % 2 == 0, 1.0, -1.0)[:, None]
    return turns * _signs(trial, (trial.case.batch, 1, trial.case.d_model))


def _set_maps(trial: Trial, gain: float) -> None:
    """Let query and key pick the same features, the query's times ``gain``, a power of two; biases are 0."""
    check.not_under(trial.formula.between, "needs queries and keys that go into the scores as they are")
    rng, width = trial.case.rng(_STREAM), trial.case.d_model

    def signed() -> Array:
        matrix = np.zeros((width, width))
        matrix[np.arange(width), rng.permutation(width)] = rng.choice([-1.0, 1.0], size=width)
        return matrix

    alike = signed()  # a token is then most like itself
    trial.write(query_weight=gain * alike, key_weight=alike, value_weight=signed(), out_weight=signed())
    trial.write(**{f"{role}_bias": np.zeros(width) for role in ("query", "key", "value", "out")})


def _signs(trial: Trial, shape: tuple[int, ...]) -> Array:
    return trial.case.rng(_STREAM + 2).choice([-1.0, 1.0], size=shape)


def lift_scores(trial: Trial, least: float) -> None:
    """Multiply the query's map by the power of two with which the largest score is ``least`` or more."""
    q, k, _ = trial().expected.heads
    top = trial.formula.factor(trial.d_k) * float(np.abs(q.value @ k.mT.value).max())
    if not 0.0 < top < least:
        return
    factor, query = 2.0 ** np.ceil(np.log2(least / top)), trial.projections.query
    bias = np.zeros(trial.inner) if query.bias is None else query.bias * factor
    trial.write(query_weight=query.weight * factor, query_bias=bias)


def lowered(trial: Trial, large: float) -> tuple[Array, Array, Array]:
    """Set the maps of queries and keys; return tokens whose scores are about -large^2 / sqrt(d_k)."""
    eye, none = np.eye(trial.case.d_model), np.zeros(trial.case.d_model)
    trial.write(query_weight=eye, query_bias=none, key_weight=-eye, key_bias=none)

    def one_large_feature(x: Array) -> Array:
        x = x.copy()
        x[..., :: trial.case.d_k] = large  # of each head
        return x

    return trial.each(one_large_feature)
