"""What attention weights are: a probability per key, from which the output is mixed."""

import numpy as np
from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.strategies import cases
from mhsa.oracle.attention import merge_heads
from mhsa.oracle.bounded import Arithmetic, Array, Bounded, gamma
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.answer import Answer
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "causal", "random")


def normalisation(trial: Trial, answer: Answer) -> Array:
    """How far the sum of a row's weights may be from 1, [B, H, Tq, 1]: what rounding does after the scores are formed."""
    arithmetic = Arithmetic(trial.precision)
    scores = np.abs(answer.expected.scores.value)
    keys = scores.shape[-1]
    # exp(s - log-sum-exp) rounds the log-sum-exp; each stored weight is rounded once more, or underflows.
    largest = scores.max(axis=-1, keepdims=True) + np.log(keys)
    return arithmetic.normalisation(keys) + gamma(2, trial.precision.unit) * largest + keys * trial.precision.tiny


@light
@given(case=cases(masks=ANY, need_weights=True))
def test_rows_sum_to_one(subject: Subject, case: Case) -> None:
    """The weights of a query sum to one.

    Statement: sum_j A_bhij = 1 for every row with an allowed key, up to the rounding of one softmax.
    Requires: weights [B, H, Tq, Tk], returned with the output or kept in an attribute such as ``attn``. Of weights with these
        axes in another order only this is checked, once.
    Source: A1.
    Breaks it: softmax over another axis (PyTorch-NLP#2), an epsilon in the denominator, weights taken before the mask.
    """
    check.not_under(subject.contract.formula.sinking, "the weights of a row sum to one")
    trial = Trial(subject, case)
    answer = trial()
    if subject.no_weights:
        check.fail(subject.no_weights, what="weights")
    weights = check.offered(answer.weights)
    total = weights.sum(axis=-1, keepdims=True)
    seen = answer.attended[:, None]
    check.agree("sum of weights", (total, normalisation(trial, answer)), (np.ones_like(total), np.zeros_like(total)), seen)


@light
@given(case=cases(masks=ANY, need_weights=True))
def test_weights_lie_between_zero_and_one(subject: Subject, case: Case) -> None:
    """Every weight is a probability.

    Statement: 0 <= A_bhij, exactly, and A_bhij <= 1 up to the rounding of one softmax.
    Requires: weights [B, H, Tq, Tk], returned with the output or kept in an attribute such as ``attn``.
    Source: A1.
    Breaks it: scores or log-probabilities returned as weights, weights of a dropout that is on in eval
        (pytorch#27968: weights above 1).
    """
    trial = Trial(subject, case)
    answer = trial()
    weights = check.offered(answer.weights)
    inside = np.clip(weights, 0.0, 1.0 + normalisation(trial, answer))
    check.exactly("weights", weights, inside)


@light
@given(case=cases(masks=ANY, need_weights=True))
def test_output_is_weights_times_values(subject: Subject, case: Case) -> None:
    """The output is what the weights that are given mix from the values, merged by W_O.

    Statement: O = sum_h (A_h V_h) W_O,h^T + b_O with the subject's own A, returned or kept.
    Requires: weights [B, H, Tq, Tk], returned with the output or kept in an attribute such as ``attn``.
    Source: definition; P12.
    Breaks it: weights averaged over heads or of one head (fairseq#3365), weights of an earlier call, weights before the
        mask, values taken from the key's projection.
    """
    trial = Trial(subject, case)
    answer = trial()
    weights = check.offered(answer.weights)
    arithmetic = Arithmetic(trial.precision)
    given = arithmetic.store(weights, np.zeros_like(weights))  # it may have been kept in a wider format
    _, _, v = answer.expected.heads
    mixed = merge_heads(arithmetic.matmul(given, v))
    # The mixing itself may have used exponentials and divided afterwards.
    slack = arithmetic.normalisation(case.key_length) * (np.abs(weights) @ v.magnitude)
    mixed = Bounded(mixed.value, mixed.error + merge_heads(Bounded.exact(slack)).value)
    out = trial.projections.out
    check.within("output", answer.output, arithmetic.linear(mixed, out.weight, out.bias), answer.judged)


@light
@given(case=cases(masks=ANY, need_weights=True, min_keys=2, data=("integers", "normal", "tiny")))
def test_log_ratios_are_score_differences(subject: Subject, case: Case) -> None:
    """Two keys' weights compare as exp of the difference of their scores, scaled by 1/sqrt(d_k).

    Statement: ln(A_ij / A_ik) = <q_i, k_j - k_k> / sqrt(d_k) for allowed keys j, k of one row.
    Requires: weights [B, H, Tq, Tk], returned with the output or kept in an attribute such as ``attn``.
    Source: Vaswani et al. 2017, equation 1; A16. No softmax is evaluated, so none can be shared.
    Breaks it: a scale of sqrt(d_model), no scale, sqrt(d) times (perceiver-io#9), scores rounded or clamped.
    """
    trial = Trial(subject, case)
    answer = trial()
    weights = check.offered(answer.weights)
    arithmetic, scores = Arithmetic(trial.precision), answer.expected.scores
    # Compared with the key of the largest weight, which has lost nothing to underflow.
    best = answer.expected.weights.value.argmax(axis=-1, keepdims=True)
    top, top_error = (np.take_along_axis(x, best, axis=-1) for x in (scores.value, scores.error))
    # Far below 1 a weight is rounded to a subnormal number, whose logarithm says nothing.
    seen = (answer.expected.weights.value > 2.0**20 * trial.precision.tiny) & answer.judged[:, None]
    if answer.mask is not None:
        seen = seen & answer.mask[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(weights) - np.log(np.take_along_axis(weights, best, axis=-1))
    distance = top - scores.value
    tolerance = scores.error + top_error + gamma(4, trial.precision.unit) * distance
    tolerance = tolerance + 2 * (arithmetic.normalisation(case.key_length) + gamma(2, trial.precision.unit) * np.abs(top))
    tolerance = tolerance + 2.0**-50 * (1 + np.abs(np.where(seen, ratio, 0.0)))  # the two logarithms here
    check.agree("log ratio of weights", (ratio, tolerance), (-distance, np.zeros_like(distance)), seen)


@light
@given(case=cases(masks=ANY))
def test_output_lies_among_the_values(subject: Subject, case: Case) -> None:
    """With W_O = 1, each feature of the output lies between the smallest and the largest among the allowed values.

    Statement: with W_O = 1 and b_O = 0: min_{j in M_i} v_jc <= O_ic <= max_{j in M_i} v_jc, up to the rounding of the mixing.
    Requires: the out projection can be written.
    Source: A2: a convex combination.
    Breaks it: weights that do not sum to one or are negative, masked values that leak, an unexpected residual.
    """
    check.not_under(subject.contract.formula.sinking, "the weights of a row sum to one")
    trial = Trial(subject, case)
    trial.write(out_weight=np.eye(trial.projections.out.weight.shape[1]), out_bias=np.zeros(case.d_model))
    answer = trial()
    tolerance = 4 * normalisation(trial, answer).max(axis=1)  # mixing and W_O = 1 round as often again
    value = answer.expected.heads[2]
    low, high = value.value - value.error, value.value + value.error
    allowed = np.ones((case.batch, case.query_length, case.key_length), bool) if answer.mask is None else answer.mask
    shown = allowed[:, None, :, :, None]
    low = np.where(shown, low[:, :, None], np.inf).min(axis=3)
    high = np.where(shown, high[:, :, None], -np.inf).max(axis=3)
    size = np.maximum(np.abs(low), np.abs(high))
    seen = answer.attended
    low, high, size = (np.where(seen, merge_heads(Bounded.exact(x)).value, 0.0) for x in (low, high, size))
    tolerance = tolerance + Arithmetic(trial.precision).normalisation(case.key_length + case.d_model)
    slack = tolerance * size + trial.precision.tiny
    check.exactly("output", answer.output, np.clip(answer.output, low - slack, high + slack), seen)


@light
@given(case=cases(masks=ANY))
def test_equal_values_come_out_unchanged(subject: Subject, case: Case) -> None:
    """Where all values are equal it does not matter how the weights share them out.

    Statement: V_j = c for all j implies O_i = W_O c + b_O for every row with an allowed key, whatever Q and K are.
    Requires: a bias of the value projection, or values of their own.
    Source: A3.
    Breaks it: a sink or an epsilon in the denominator, an additional key of zeros, weights that do not sum to one.
    """
    check.not_under(subject.contract.formula.sinking, "the weights of a row sum to one")
    check.not_under(subject.contract.formula.shared, "needs a key head for each query head")
    trial = Trial(subject, case)
    constant = trial.value
    if trial.projections.value.bias is not None:
        trial.write(value_weight=np.zeros_like(trial.projections.value.weight))
    elif case.tie == "none":
        constant = np.repeat(trial.value[:, :1], case.key_length, axis=1)
    else:
        check.inapplicable("needs a bias of the value projection, or values that are not keys")
    answer = trial(value=constant)
    arithmetic = Arithmetic(trial.precision)
    p = trial.projections
    value = arithmetic.linear(Bounded.exact(constant[:, :1]), p.value.weight, p.value.bias)
    mixed = np.repeat(value.value, case.query_length, axis=1)
    tolerance = normalisation(trial, answer).max(axis=1) + arithmetic.normalisation(case.key_length)
    error = value.error + tolerance * value.magnitude + trial.precision.tiny
    check.within("output", answer.output, arithmetic.linear(Bounded(mixed, error), p.out.weight, p.out.bias), answer.attended)
