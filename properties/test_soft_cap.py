"""A soft cap: scores are bounded by it, before they are masked, with or without the bias as declared."""

import numpy as np
from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.strategies import cases
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.crafted_inputs import lift_scores
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

NEEDED = "needs a contract with softcap"
FAR = 1e4  # tanh(1e4 / c) is 1 in every format for caps below 500, and float16 holds the number
MOST = 500.0


@light
@given(case=cases(need_weights=True, min_keys=2, data=("integers", "normal", "large")))
def test_weights_differ_by_no_more_than_the_cap_allows(subject: Subject, case: Case) -> None:
    """However far scores are apart, weights are within a factor of exp(2 c).

    Statement: A_ij <= exp(2 c) A_ik for keys that are seen, with scores of at least twice the cap.
    Requires: softcap is declared, and no bias with it; weights [B, H, Tq, Tk].
    Source: |c tanh| <= c, without the oracle.
    Breaks it: a cap that is ignored, in some heads or beyond some length.
    """
    formula = subject.contract.formula
    if formula.softcap is None:
        check.inapplicable(NEEDED)
    if formula.distant and not formula.caps_bias:
        check.not_under(formula.distant, "scores are bounded by the cap")
    trial = Trial(subject, case)
    lift_scores(trial, 2.0 * formula.softcap)
    answer = trial()
    weights, error = check.offered(answer.weights), answer.expected.weights.error
    seen = formula.visible(*weights.shape[2:])
    shown = np.ones(weights.shape[2:], bool) if seen is None else seen
    top = np.where(shown, weights - error, 0.0).max(axis=-1, keepdims=True)
    least = np.broadcast_to(np.exp(-2.0 * formula.softcap) * top, weights.shape)
    judged = np.broadcast_to(shown, weights.shape)
    check.agree("weights", (np.minimum(weights, least), error), (least, np.zeros_like(least)), judged)


@light
@given(case=cases(masks=("padding", "random"), ties=("none", "kv"), data=("integers", "normal", "large")))
def test_the_cap_comes_before_the_mask(subject: Subject, case: Case) -> None:
    """What is masked can hold anything, also where scores are beyond the cap.

    Statement: O(q, k', v', M) = O(q, k, v, M), where k', v' differ from k, v only at keys that no query of the sample may
        attend to, with scores of at least twice the cap.
    Requires: softcap is declared; masks; keys of their own.
    Source: onnx/onnx#7865: a cap after the mask gives masked keys the score -c.
    Breaks it: a soft cap after the mask.
    """
    if subject.contract.formula.softcap is None:
        check.inapplicable(NEEDED)
    trial = Trial(subject, case)
    lift_scores(trial, 2.0 * subject.contract.formula.softcap)
    before = trial()
    assert before.mask is not None
    hidden = ~before.mask.any(axis=1)[..., None]
    after = trial(**trial.paired(lambda x: np.where(hidden, -4.0 * x, x)))
    check.agree("output", after.output_and_bound, before.output_and_bound, before.attended)


@light
@given(case=cases(min_bias=True, min_keys=2, ties=("none", "kv"), data=("integers", "normal", "ties", "tiny")))
def test_a_large_bias_levels_all_scores(subject: Subject, case: Case) -> None:
    """Where the cap takes scores and bias together, a large number added to a whole row makes all of its weights equal.

    Statement: b_ij + 10000 for every j implies A_ij = A_ik, with or without the query.
    Requires: softcap of at most 500, softcap_order = "after-bias" and bias = "given" are declared.
    Source: c tanh(x / c) = c for large x, without the oracle.
    Breaks it: a bias that is added to capped scores, or capped by itself.
    """
    formula = subject.contract.formula
    if formula.softcap is None or not formula.caps_bias or formula.softcap > MOST:
        check.inapplicable('needs a contract with softcap of at most 500 and softcap_order = "after-bias"')
    trial = Trial(subject, case)
    assert trial.bias is not None
    trial.bias = trial.round(trial.bias + FAR)
    before = trial()
    after = trial(query=-trial.query)
    check.agree("output", after.output_and_bound, before.output_and_bound, before.judged)
