"""A sink: one more logit of each head takes part in the softmax, counts once, and has no value."""

from dataclasses import replace

import numpy as np
from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.strategies import cases
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

NEEDED = "needs a contract with sinks"
FAR = 2.0**13  # exp(-8192) is zero in every format, and each of them holds the number


@light
@given(case=cases(masks=("none", "all", "padding", "random"), need_weights=True))
def test_weights_leave_the_share_of_the_sink(subject: Subject, case: Case) -> None:
    """The weights of a row sum to what the sink leaves.

    Statement: sum_j A_ij = 1 - exp(sink) / (exp(sink) + sum_k exp(s_ik)).
    Requires: sinks are declared; weights [B, H, Tq, Tk], returned or kept.
    Source: definition (GPT-OSS; softmax-off-by-one).
    Breaks it: weights that are normalised once more, a sink that is scaled, or not shifted by the maximum.
    """
    if subject.contract.formula.sinks is None:
        check.inapplicable(NEEDED)
    trial = Trial(subject, case)
    answer = trial()
    weights, rest = check.offered(answer.weights), answer.expected.rest
    assert rest is not None
    room = answer.expected.weights.error.sum(axis=-1, keepdims=True) + rest.error
    total = weights.sum(axis=-1, keepdims=True)
    room = room + weights.shape[-1] * 2.0**-52  # this sum is rounded, too
    check.agree("sum of weights", (total, room), (1.0 - rest.value, np.zeros_like(room)), answer.judged[:, None])


@light
@given(case=cases(need_weights=True, ties=("none", "kv"), data=("integers", "normal", "ties", "tiny")))
def test_a_sink_counts_once(subject: Subject, case: Case) -> None:
    """With every key given twice, what the keys have together doubles against the sink.

    Statement: r = sum_j A_ij / (1 - sum_j A_ij); with the keys and values repeated r' = 2 r.
    Requires: sinks are declared; weights [B, H, Tq, Tk]; keys of their own that may be repeated.
    Source: the definition, without the oracle; EricLBuehler/mistral.rs PR#1872.
    Breaks it: a sink that is counted in every block of keys, or an own share of it for each key.
    """
    if subject.contract.formula.sinks is None:
        check.inapplicable(NEEDED)
    check.not_under(subject.contract.formula.where, "keys may be repeated")
    trial = Trial(subject, case)
    once = trial()
    twice = trial(**trial.paired(lambda x: np.concatenate([x, x], axis=1)))
    sums = [check.offered(answer.weights).sum(axis=-1) for answer in (once, twice)]
    rooms = [answer.expected.weights.error.sum(axis=-1) + 2.0**-45 for answer in (once, twice)]
    # 2 s / (1 + s) has the slope 2 at most.
    check.agree("sum of weights", (sums[1], rooms[1]), (2.0 * sums[0] / (1.0 + sums[0]), 2.0 * rooms[0]))


@light
@given(case=cases(masks=("none", "padding", "random"), data=("integers", "normal", "ties", "tiny")))
def test_far_sinks(subject: Subject, case: Case) -> None:
    """A sink of -8192 leaves plain attention, and one of 8192 leaves nothing.

    Statement: sink_h = -8192 implies the output without sinks; sink_h = 8192 implies O = b_O.
    Requires: sinks = "learned" is declared.
    Source: limits of the definition.
    Breaks it: a sink that is ignored, taken from another head, or whose share is given back to the keys.
    """
    if subject.contract.formula.sinks != "learned":
        check.inapplicable('needs a contract with sinks = "learned"')
    trial = Trial(subject, case)
    trial.write(sinks=np.full(case.head, -FAR))
    low = trial()
    formula = trial.formula
    trial.formula = replace(formula, sinks=None)
    must = trial.expect_under(low.mask).output
    trial.formula = formula
    check.within("output with a low sink", low.output, must, low.attended)
    trial.write(sinks=np.full(case.head, FAR))
    high = trial()
    bias = trial.projections.out.bias
    nothing = np.zeros_like(high.output) if bias is None else np.broadcast_to(bias, high.output.shape)
    check.exactly("output with a high sink", high.output, nothing, high.attended)


@light
@given(case=cases(masks=("fully_masked_row",)))
def test_a_row_without_keys_has_the_sink_alone(subject: Subject, case: Case) -> None:
    """A query that may attend to no key gives the bias of the out projection: the sink has all the weight.

    Statement: M_ij = 0 for all j implies O_i = b_O, exactly.
    Requires: sinks are declared; masks that can hide every key of a query.
    Source: the definition: exp(sink) / exp(sink) = 1 and nothing is mixed.
    Breaks it: NaN, an average over masked keys, a fill value that is not far below the sink.
    """
    if subject.contract.formula.sinks is None:
        check.inapplicable(NEEDED)
    trial = Trial(subject, case)
    answer = trial()
    bias = trial.projections.out.bias
    nothing = np.zeros_like(answer.output) if bias is None else np.broadcast_to(bias, answer.output.shape)
    check.exactly("output of rows without keys", answer.output, nothing, ~answer.attended)
