"""The log-sum-exp that is returned: that of the scores, and enough to merge attention to parts of the keys."""

import itertools

import numpy as np
from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.single_heads import keep_only_head
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.answer import Answer
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "all", "padding", "random", "broadcast", "causal")
ROUNDED = 2.0**-44  # of merging here, in float64: a few exponentials, logarithms and products, of numbers below some thousand


def factor(subject: Subject) -> float:
    """Return ln 2 for a logarithm to base 2, 1 for the natural one; without one the property is not applicable."""
    if subject.contract.lse is None:
        check.inapplicable("needs a log-sum-exp that is returned")
    return float(np.log(2.0)) if subject.contract.lse == "base-2" else 1.0


@given(case=cases(masks=ANY))
def test_it_is_that_of_the_scores(subject: Subject, case: Case) -> None:
    """What is returned is the logarithm of the sum of the exponentials of each row's scores.

    Statement: |L_bhi - ln sum_j exp(s_bhij)| <= B over the allowed keys, a sink among them; to base 2 where that is declared.
    Requires: a log-sum-exp is returned.
    Source: the definition; Dao 2023, arXiv 2307.08691, algorithm 1; bound: docs/bounds.md.
    Breaks it: scores without their scale, masked keys counted, another base, the maximum not added again.
    """
    factor(subject)
    trial = Trial(subject, case)
    answer = trial()
    must = answer.expected.lse
    assert must is not None
    check.within("log-sum-exp", check.offered_lse(answer.lse), must, answer.attended[:, None, :, 0])


@light
@given(case=cases(masks=("none", "all", "padding", "random"), ties=("none", "kv"), data=("integers", "normal", "ties", "tiny")))
def test_twice_the_keys_add_ln_2(subject: Subject, case: Case) -> None:
    """With every key given twice the sum doubles, and the output stays.

    Statement: L(k, k) = L(k) + ln 2.
    Requires: a log-sum-exp is returned; keys of their own that may be repeated; no sink.
    Source: the definition, without the oracle.
    Breaks it: a logarithm to another base, a mean in the place of the sum, a maximum alone.
    """
    times = factor(subject)
    check.not_under(subject.contract.formula.where, "keys may be repeated")
    check.not_under(subject.contract.formula.sinking, "all keys count twice")
    trial = Trial(subject, case)
    once = trial()
    mask = None if trial.mask is None else np.concatenate([trial.mask, trial.mask], axis=2)
    twice = trial(**trial.paired(lambda x: np.concatenate([x, x], axis=1)), mask=mask)
    (a, room_a), (b, room_b) = (in_ln(answer, times) for answer in (once, twice))
    check.agree("log-sum-exp", (b, room_b + ROUNDED), (a + np.log(2.0), room_a), once.attended[:, None, :, 0])


@light
@given(case=cases(masks=("none", "all"), ties=("none", "kv"), min_keys=3, data=("integers", "normal", "ties"), small=True))
def test_parts_merge_to_the_whole(subject: Subject, case: Case) -> None:
    """Attention to three parts of the keys, merged in any order, is attention to all of them.

    Statement: (O, L) + (O', L') = ((e^L O + e^L' O') / (e^L + e^L'), ln(e^L + e^L')) is associative and commutative, and
        the sum over any partition of the keys is the answer to all keys; of one head at a time, whose W_O is affine.
    Requires: a log-sum-exp is returned; keys of their own that may be given in parts; no sink, which every part would count.
    Source: Dao 2023, arXiv 2307.08691; Liu et al. 2023, arXiv 2310.01889 (ring attention), without the oracle but for bounds.
    Breaks it: a logarithm that is not that of the weights' sum, or is another head's.
    """
    times = factor(subject)
    check.not_under(subject.contract.formula.where, "keys may be given in parts")
    check.not_under(subject.contract.formula.sinking, "parts of the keys merge")
    trial = Trial(subject, case)
    h = int(case.rng(11).integers(case.head))
    keep_only_head(trial, trial.projections.out.weight, h)
    first, second = sorted(case.rng(12).choice(np.arange(1, case.key_length), size=2, replace=False).tolist())
    parts = []
    for begin, end in ((0, first), (first, second), (second, case.key_length)):
        answer = trial(**trial.paired(lambda x, b=begin, e=end: x[:, b:e]), mask=None)
        parts.append(of_head(answer, h, times))
    whole = of_head(trial(mask=None), h, times)
    for order in itertools.permutations(range(3)):
        a, b, c = (parts[n] for n in order)
        for merged in (merge(merge(a, b), c), merge(a, merge(b, c))):
            check.agree("merged log-sum-exp", (merged[2], merged[3] + ROUNDED), (whole[2], whole[3]))
            check.agree("merged output", merged[:2], whole[:2])


@given(case=cases(masks=ANY, small=True))
def test_gradient_of_the_log_sum_exp(subject: Subject, case: Case) -> None:
    """A loss on the log-sum-exp is differentiated as well: together with one on the output, and by itself.

    Statement: for <O, G> + <L, g> and for <L, g> alone: dS_ij gains P_ij g_i, of a sink its own weight times g_i, both times
        1 / ln 2 where the logarithm is to base 2; everything else as without g. Within the bound of the same arithmetic.
    Requires: a log-sum-exp that requires a gradient (one that does not says so itself), in every call or in none; autograd.
    Source: the chain rule; A27, P16; Dao-AILab/flash-attention#1817, #889; bound: docs/bounds.md.
    Breaks it: a hand-written backward that ignores the gradient of its second output without marking that as not
        differentiable, one that takes it off with the wrong sign, or forgets the factor of the base.
    """
    factor(subject)
    trial = Trial(subject, case)
    d_output = trial.cotangent(20, case.output_shape)
    d_lse = trial.cotangent(22, (case.batch, case.head, case.query_length))
    derivatives = trial.differentiate(d_output, d_lse=d_lse)
    check.offered_lse(derivatives.answer.lse)
    if not requires_gradient(derivatives.answer):
        agree_on_it(trial)
        check.inapplicable("needs a log-sum-exp that takes part in autograd, and the subject's does not require a gradient")
    for words, found in (("", derivatives), (" of the log-sum-exp alone", trial.differentiate(None, d_lse=d_lse))):
        if not found.answer.attended.all():  # the logarithm of a row without a key is that of zero
            continue
        for name, gradient in found.observed.items():
            check.within(f"gradient of {name}{words}", gradient, found.expected[name])


def requires_gradient(answer: Answer) -> bool:
    """Whether the log-sum-exp takes part in autograd."""
    return answer.tensors[2] is not None and answer.tensors[2].requires_grad


def agree_on_it(trial: Trial) -> None:
    """Fail where one call's log-sum-exp requires no gradient, and that of the other, with a mask or without, does."""
    whole = np.ones((trial.case.batch, trial.case.query_length, trial.case.key_length), dtype=bool)
    for words, mask in (("without a mask", None), ("with one that allows everything", whole)):
        if mask is not None and not trial.subject.adapter.takes_mask:
            continue
        if requires_gradient(trial.differentiate(trial.cotangent(20, trial.case.output_shape), mask=mask).answer):
            check.fail(
                f"log-sum-exp does not require a gradient, but that of a call {words} does", what="gradient of the log-sum-exp"
            )


State = tuple[Array, Array, Array, Array]  # output [B, Tq, D] and its bound, logarithm [B, Tq, 1] and its bound


def in_ln(answer: Answer, times: float) -> tuple[Array, Array]:
    """Return the log-sum-exp [B, H, Tq] as a natural logarithm, with its bound."""
    must = answer.expected.lse
    assert must is not None
    return check.offered_lse(answer.lse) * times, must.error * times + ROUNDED * (1.0 + np.abs(must.value))


def of_head(answer: Answer, h: int, times: float) -> State:
    """Return a partial state of one head."""
    value, room = in_ln(answer, times)
    return *answer.output_and_bound, value[:, h, :, None], room[:, h, :, None]


def merge(a: State, b: State) -> State:
    """Return the state of the keys of both, with its bound."""
    total = np.logaddexp(a[2], b[2])
    p, q = np.exp(a[2] - total), np.exp(b[2] - total)
    room = a[3] + b[3]
    # A logarithm that is off moves the weights p and q = 1 - p against each other: by p q (exp(e) - 1) at most.
    moved = p * q * np.expm1(np.minimum(room, 300.0))
    output = p * a[0] + q * b[0]
    largest = np.abs(a[0]) + np.abs(b[0]) + a[1] + b[1]
    bound = p * a[1] + q * b[1] + moved * (np.abs(a[0] - b[0]) + a[1] + b[1]) + ROUNDED * largest
    return output, bound, total, np.maximum(a[3], b[3]) + ROUNDED * (1.0 + np.abs(total))
