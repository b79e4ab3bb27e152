"""Crafted inputs: Q, K and V are exact in every format, and a wrong score or a wrong key changes the output most."""

import math

import numpy as np
from hypothesis import given
from numpy.typing import NDArray

from mhsa.judge.budget import light
from mhsa.judge.drawing.choices import one_of
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import OWN, Array, Bounded, gamma
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.answer import Answer
from mhsa.subject.crafted_inputs import fewest_differences, one_hot_attention, two_clusters
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "causal", "random")
DATA = ("integers",)  # the tokens are chosen here; gradients start from whole numbers


def clustered_trial(subject: Subject, case: Case, most: int, halvings: int = 0) -> Trial:
    """Return a trial whose queries and keys are of two kinds, x and -x, and scores +s and -s, with s near 2^-halvings.

    Keys of the first kind are few: a query of that kind then gives half its weight to either, and weights of a half move most.
    There are at most ``most`` keys: more of them may add more rounding than they show.
    """
    keys = min(case.key_length, most)
    # Where the last query is at the last key, earlier ones than there are keys would see none.
    queries = min(case.query_length, keys) if subject.contract.formula.causal == "bottom-right" else case.query_length
    case = case.resized(key_length=keys, query_length=keys if case.tie == "all" or is_square(subject.adapter) else queries)
    trial, rng = Trial(subject, case), case.rng(11)
    first = two_clusters(trial, 1)  # [B, 1, D]
    weight = trial.projections.query.weight * 2.0**-halvings
    trial.write(query_weight=weight)
    few = 1.0 / (1.0 + math.exp(2.0 * float(np.abs(weight).max()) * math.sqrt(case.d_k)))

    def tokens(length: int, share: float) -> Array:
        kinds = np.where(rng.random((case.batch, length, 1)) < share, 1.0, -1.0)
        kinds[:, 0], kinds[:, 1:2] = 1.0, -1.0  # both kinds, and a first query that a causal mask leaves one key only
        if case.tie == "all" and length > 2:
            kinds[:, -1] = 1.0  # a query that a causal mask leaves every key
        return kinds * first

    key = tokens(case.key_length, few)
    if case.tie == "all":
        trial.query = trial.key = trial.value = key
    else:
        trial.query, trial.key = tokens(case.query_length, 0.5), key
        trial.value = key if case.tie == "kv" else key.copy()
    trial.exact_heads = True
    return trial


@given(case=cases(masks=ANY, min_keys=2, data=DATA))
def test_output_in_two_clusters(subject: Subject, case: Case) -> None:
    """Where tokens are of two kinds, output and weights say what the scores were, in half formats too.

    Statement: for q_i, k_j, v_j in {x, -x} and rows of W_Q, W_K, W_V, W_O that are zero but for one element, +-2^n:
        |O - o| <= B, and |A - p| <= E if there are weights, where B and E hold no rounding of Q, K and V, which are exact.
        There are 2 to 16 keys; scores are +-s, with s from 0.7 to 1.5.
    Requires: all projections can be written.
    Source: definition; bound: docs/bounds.md, Exact heads.
    Breaks it: a scale or a temperature that is off by some per cent in a half format alone, an exponential that is cut short.
    """
    trial = clustered_trial(subject, case, most=16)
    answer = trial()
    if answer.weights is not None:
        check.within("weights", answer.weights, answer.expected.weights, answer.judged[:, None])
    check.within("output", answer.output, answer.expected.output, answer.judged)


@light
@given(case=cases(masks=ANY, min_keys=2, data=DATA, small=True), halvings=one_of((0, 3)))
def test_gradients_in_two_clusters(subject: Subject, case: Case, halvings: int) -> None:
    """Where tokens are of two kinds and so is dL/dO, no gradient of query, key or value is a sum of terms that cancel.

    Statement: for tokens as in output_in_two_clusters, two or three keys, and dL/dO_i = +-2^n W_O W_V x with the sign of q_i:
        |dL/dq - dq| <= B, and so for k and v, where B holds no rounding of Q, K and V. Scores are +-s, with s near 1 or 1/8:
        the larger one shows in dv, the smaller one in dq and dk.
    Requires: autograd; all projections can be written.
    Source: the chain rule; bound: docs/bounds.md, Exact heads.
    Breaks it: a hand-written backward whose scale is off in a half format alone, or that rounds weights once too often.
    """
    # What rounding leaves of the sum of dS over a row, which is 0, may arrive at any key, so few of them say most.
    trial = clustered_trial(subject, case, 3, halvings)
    p, first = trial.projections, trial.key[:, :1]
    side = trial.query[..., :1] * first[..., :1]
    size = 2.0 ** case.rng(12).integers(-1, 2, size=side.shape)
    derivatives = trial.differentiate(side * size * (first @ p.value.weight.T @ p.out.weight.T))
    for name in ("query", "key", "value"):
        if name in derivatives.observed:
            check.within(f"gradient of {name}", derivatives.observed[name], derivatives.expected[name])


def tolerance_of_one_key(trial: Trial, answer: Answer, own: NDArray[np.int_]) -> Array:
    """Return how far an output [B, Tq, 1] may be off where key ``own`` [B, Tq] has nearly all weight; elsewhere infinity.

    Rescaling and adding up the others rounds no more than they weigh, so it does not matter how many they are.
    """
    scores, precision = answer.expected.scores, trial.precision
    unit, keys = precision.unit + OWN, scores.value.shape[-1]
    index = np.broadcast_to(own[:, None, :, None], (*scores.value.shape[:3], 1))
    top, off = (np.take_along_axis(x, index, axis=-1) for x in (scores.value, scores.error))
    distance = top - scores.value
    blocks = -(-keys // 16)
    others = np.exp(off + scores.error + gamma(4, unit) * distance + 4 * (1 + blocks) * unit - distance)
    np.put_along_axis(others, index, 0.0, axis=-1)
    allowed = np.ones((*own.shape, 1), bool)
    if answer.mask is not None:
        others = np.where(answer.mask[:, None], others, 0.0)
        allowed = np.take_along_axis(answer.mask, own[..., None], axis=-1)
    rest = others.sum(axis=-1).max(axis=1)[..., None]  # of the head with the most
    few = gamma(8, unit) + gamma(2, unit) * (float(top.max()) + math.log(keys))
    return np.where(allowed & (rest < 1.0), few + 10.0 * (1.0 + few) * rest + 2.0 * keys * precision.tiny, np.inf)


@light
@given(case=cases(masks=ANY, data=DATA, large="length"))
def test_every_query_picks_its_own_key(subject: Subject, case: Case) -> None:
    """A query that equals one of many keys is answered with that key's value, however many the others are.

    Statement: for q_i = k_j of random signs, T from 15 to 600, and rows of W_Q, W_K, W_V, W_O that are zero but for one
        element, +-2^n: |O - o| <= B; where M_ij allows j, o_i is W_O W_V v_j but for what others weigh, and B that and a few
        roundings.
    Requires: all projections can be written.
    Source: A1; bound: docs/bounds.md, One key.
    Breaks it: a key that is skipped or read at a wrong index: at the edge of a tile, a window, a mask; it is 1 / T of a mean
        and lost in the rounding of a half format, and all of the output here.
    """
    if subject.adapter.sizes is None:
        case = case.resized(d_k=16 * min(case.d_k, 8))  # of few features, many keys are equal; more than 128 show no more
    trial = Trial(subject, case)
    # Own scores from 16 to 32: high above the others, and no higher, since a log-sum-exp of that size may be rounded.
    trial.key = one_hot_attention(trial, case.key_length, 32.0 * fewest_differences(case.d_k) / case.d_k)
    own = np.broadcast_to(np.arange(case.key_length), (case.batch, case.key_length))
    if case.tie == "all":
        trial.query = trial.value = trial.key
    else:
        own = case.rng(11).integers(case.key_length, size=(case.batch, case.query_length))
        own[:, -1] = case.key_length - 1  # the end of the last tile is where keys are lost most
        trial.query = np.take_along_axis(trial.key, own[..., None], axis=1)
        trial.value = trial.key if case.tie == "kv" else trial.key.copy()
    trial.exact_heads = True
    answer = trial()
    o = answer.expected.output
    check.within("output", answer.output, Bounded(o.value, np.minimum(o.error, tolerance_of_one_key(trial, answer, own))))
