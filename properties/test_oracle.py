"""Equivalence with the oracle, element by element, within a bound derived from the case."""

from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.drawing.choices import one_of
from mhsa.judge.strategies import cases
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.subject import Subject, in_a_position
from mhsa.subject.trial import Trial


@given(case=cases(biased=True))
def test_output_without_mask(subject: Subject, case: Case) -> None:
    """Without a mask the output is softmax(Q K^T / sqrt(d_k)) V, merged by W_O.

    Statement: |O_bic - o_bic| <= B_bic, where o = sum_h softmax(Q_h K_h^T / sqrt(d_k)) V_h W_O,h^T + b_O in exact
        arithmetic on the given numbers, and B bounds the rounding of any evaluation in the dtype.
    Requires: nothing.
    Source: Vaswani et al. 2017, equation 1 and section 3.2.2; bound: docs/bounds.md after Higham 2002, chapter 3.
    Breaks it: a scale of 1/sqrt(d_model) (vit-pytorch#65), softmax over the wrong axis (labml#146), heads merged
        without transposing back (jsbaan/transformer-from-scratch#4), one projection used for another.
    """
    subject, case, output = in_a_position(subject, case)
    trial = Trial(subject, case)
    answer = trial()
    if subject.wrong_call:
        check.fail(subject.wrong_call, what="output")
    check.within(output, answer.output, answer.expected.output, answer.judged)


@given(case=cases(masks=("all", "padding", "causal", "broadcast", "random", "fully_masked_row"), biased=True))
def test_output_under_masks(subject: Subject, case: Case) -> None:
    """Under any mask, each query attends to exactly the keys that its own sample's mask allows it.

    Statement: |O_bic - o_bic| <= B_bic, with softmax over {j : M_bij} only, for every head. Of two masks, each right alone,
        M_bij is that both allow it; checked once.
    Requires: masks; rows with no allowed key are judged where the contract says what they are.
    Source: Vaswani et al. 2017, section 3.2.3; P02.
    Breaks it: inverted polarity (torchTextClassifiers PR#92), a mask broadcast over batch instead of heads
        (graph-transformer-pytorch PR#2), masked_fill whose result is dropped (DI-engine#333), a fill value that leaks.
    """
    trial = Trial(subject, case)
    answer = trial()
    if subject.wrong_pair:
        check.fail(subject.wrong_pair, what="masks")
    check.within("output", answer.output, answer.expected.output, answer.judged)


@light
@given(
    case=cases(masks=("none", "padding", "causal", "random"), need_weights=True, biased=True),
    single=one_of(("query", "head", "key", "none")),
)
def test_returned_weights(subject: Subject, case: Case, single: str) -> None:
    """The weights that are returned or kept are softmax(Q K^T / sqrt(d_k)) over the allowed keys, head by head.

    Statement: |A_bhij - p_bhij| <= E_bhij with E the bound of the oracle's weights; with one head, one query and one key, too.
    Requires: weights [B, H, Tq, Tk], returned with the output or kept in an attribute such as ``attn``. Of those of one head or
        a mean over heads, [B, Tq, Tk], only this is checked, once: what they are without a mask they are under one.
    Source: definition; P12.
    Breaks it: weights of another head, averaged or unnormalised ones (fairseq#3365), scores returned as weights.
    """
    trial = Trial(subject, case)
    answer = trial()
    if subject.wrong_weights:
        check.fail(subject.wrong_weights, what="weights")
    weights = check.offered(answer.weights)
    check.within("weights", weights, answer.expected.weights, answer.judged[:, None])
    few = with_one(subject, case, single)
    if few != case:
        answer = Trial(subject, few)()
        if answer.weights is not None:
            check.within(f"weights with one {single}", answer.weights, answer.expected.weights, answer.judged[:, None])


def with_one(subject: Subject, case: Case, what: str) -> Case:
    """Return the case with one query, head or key; or as it is, where the subject is not judged so."""
    if what == "head" and subject.adapter.sizes is None and subject.fewest_heads == 1:
        return case.resized(head=1)
    if what in ("query", "key") and (case.tie == "all" or is_square(subject.adapter)):
        return case.resized(query_length=1, key_length=1)
    if what == "query":
        return case.resized(query_length=1)
    # Where the last query is at the last key, earlier ones would see none.
    return case.resized(key_length=1) if what == "key" and subject.contract.formula.causal != "bottom-right" else case
