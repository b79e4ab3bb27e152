"""A query that may attend to no key: harmless to itself, to its neighbours and to every gradient."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.incoming_gradient import IncomingGradient, require_unchanged_by_function
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.answer import Mask
from mhsa.subject.guard import attempt
from mhsa.subject.memory_layout import tied
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

TAME = ("integers", "normal", "ties", "repeated")


def declared_nan(subject: Subject, *arrays: Array) -> bool:
    """Whether the contract accepts NaN here; that it is there is then an expected failure."""
    if subject.contract.fully_masked_row != "nan":
        return False
    if not all(np.isfinite(x).all() for x in arrays):
        check.expected_failure(subject.contract.reason)
    return True


def declared_to_raise(trial: Trial, mask: Mask) -> bool:
    """Whether the contract says that a call with this mask raises; that it does is judged here."""
    if trial.subject.contract.fully_masked_row != "raises":
        return False
    q, k, v = tied(trial.tensor, trial.query, trial.key, trial.value)
    given_mask = trial.convert(mask)
    with torch.no_grad():
        result, _ = attempt(lambda: trial.call_unchecked(q, k, v, given_mask))
    check.current().add_ratio(0.0)
    if result is not None:
        check.fail(
            "a query that may attend to no key was answered, but Contract(fully_masked_row='raises') promises an error",
            what="refusal",
        )
    return True


@given(case=cases(masks=("fully_masked_row",)))
def test_one_fully_masked_row(subject: Subject, case: Case) -> None:
    """A query that may attend to no key gets what the contract says.

    Statement: if M_bij is false for all j, then O_bi is finite, and is W_O 0 + b_O, W_O mean(V) + b_O, or 0, as the
        contract says; every other row is within its bound.
    Requires: masks that can hide every key from one query.
    Source: P06; pytorch/pytorch#41508 and #103963, OLMo#322.
    Breaks it: softmax over a row of -inf, which is NaN.
    """
    trial = Trial(subject, case)
    answer = trial()
    assert answer.mask is not None
    empty = ~answer.mask.any(axis=-1, keepdims=True)
    check.within("output", answer.output, answer.expected.output, ~empty)
    if declared_nan(subject, answer.output[empty[..., 0]]):
        return
    check.finite("output", answer.output, empty)
    if subject.contract.fully_masked_row in ("zeros", "uniform") or trial.formula.fill is not None:
        check.within("output", answer.output, answer.expected.output, empty)
    if subject.contract.fully_masked_row == "zero-output":
        check.exactly("output", answer.output, np.zeros_like(answer.output), empty)


@light
@given(case=cases(masks=("random",), data=TAME))
def test_other_rows_are_unchanged(subject: Subject, case: Case) -> None:
    """Hiding every key from one query changes nothing for the other queries and the other samples.

    Statement: O_b'i'(M') = O_b'i'(M) for (b', i') != (b, i), where M' is M with row i of sample b emptied; or the call raises,
        where the contract says so.
    Requires: masks that can hide every key from one query.
    Source: P06.
    Breaks it: NaN that spreads through a later product, a repair that looks at the whole batch, normalisation over rows.
    """
    trial = Trial(subject, case)
    assert trial.mask is not None
    mask = trial.mask.copy()
    sample, row = case.rng(11).integers(case.batch), case.rng(12).integers(case.query_length)
    mask[sample, row] = False
    if declared_to_raise(trial, mask):
        return
    before, after = trial(), trial(mask=mask)
    check.agree("output of other rows", after.output_and_bound, before.output_and_bound, after.attended)


@light
@given(case=cases(masks=("random", "padding"), data=TAME, small=True))
def test_a_fully_masked_sample(subject: Subject, case: Case) -> None:
    """A sample in which nothing may be attended to, all padding say, disturbs no other sample.

    Statement: with M_b false everywhere for one sample b, O_b is finite and O_b' is as it was for b' != b; or the call raises,
        where the contract says so. Where it is declared or documented, O_b is what it says; and so is a row that sees no key
        since mask and causality or a window leave it none.
    Requires: masks.
    Source: P06; pytorch/pytorch#81077 (sequences of length zero); left padding in causal attention.
    Breaks it: a softmax or a mean over nothing, lengths of zero used as an index or a divisor; rows without a key that are
        told by the padding mask alone.
    """
    trial = Trial(subject, case)
    assert trial.mask is not None
    mask = trial.mask.copy()
    sample = case.rng(11).integers(case.batch)
    mask[sample] = False
    if declared_to_raise(trial, mask):
        return
    before, after = trial(), trial(mask=mask)
    others = np.arange(case.batch)[:, None, None] != sample
    check.agree("output of other samples", after.output_and_bound, before.output_and_bound, others)
    if declared_nan(subject, after.output[sample]):
        return
    check.finite("output of the sample without keys", after.output, ~others)
    if subject.adapter.contract.fully_masked_row is None:  # nothing is promised; what was found is that of other masks
        return
    require_promised(trial, mask, "output of the sample without keys", ~others)
    seen = trial.formula.allowed(None, 1, case.query_length, case.key_length)
    if seen is not None and trial.formula.positional and seen[0, 0].any():
        mask[sample] = trial.mask[sample] & ~seen[0, 0]
        require_promised(trial, mask, "output of a sample whose first query sees no key", ~others)


def require_promised(trial: Trial, mask: Array, words: str, where: Array) -> None:
    """Fail unless rows without any key hold what the contract says, and the other ones what they hold anyway."""
    promised = trial.subject.contract.fully_masked_row
    answer = trial(mask=mask)
    if promised == "zero-output":
        seen = trial.effective(mask, trial.query, trial.key)
        assert seen is not None
        check.exactly(words, answer.output, np.zeros_like(answer.output), where & ~seen.any(axis=-1, keepdims=True))
    elif promised == "zeros" or (promised == "uniform" and not trial.formula.positional):
        check.within(words, answer.output, answer.expected.output, where)


@light
@given(case=cases(masks=("fully_masked_row",), data=TAME, small=True))
def test_gradients_stay_finite(subject: Subject, case: Case) -> None:
    """A query that may attend to no key poisons no gradient.

    Statement: with one fully masked row, dL/dq, dL/dk, dL/dv and the gradients of all parameters are finite, for any L; where L
        does not look at that row they are those of the other rows. dL/dO is left as it is. A mask that may be one of floating
        numbers, too, gives finite gradients as such a one where it gives a finite output.
    Requires: masks that can hide every key from one query; autograd.
    Source: P06 with P16; pytorch/pytorch#41508: one masked row makes every gradient of the batch NaN.
    Breaks it: softmax over a row of -inf whose output is repaired afterwards by nan_to_num or where: the gradient is still NaN;
        a backward pass that zeroes such rows of dL/dO in place.
    """
    trial = Trial(subject, case)
    assert trial.mask is not None
    mask = trial.effective(trial.mask, trial.query, trial.key)
    assert mask is not None
    seen = mask.any(axis=-1, keepdims=True)
    d_output = trial.cotangent(20, case.output_shape)
    incoming = IncomingGradient()
    everything = trial.differentiate(d_output, lay_out_gradient=incoming)
    incoming.require_unchanged()
    require_unchanged_by_function(trial)
    if declared_nan(subject, *everything.observed.values()):
        return
    for name, gradient in everything.observed.items():
        check.finite(f"gradient of {name}", gradient)
    others = trial.differentiate(np.where(seen, d_output, 0.0))
    for name, gradient in others.observed.items():
        check.within(f"gradient of {name}", gradient, others.expected[name])
    form = subject.caller.bias_form
    if subject.contract.mask != "additive" and form is not None and form.in_mask:
        require_finite_as_floats(subject, case, d_output)


def require_finite_as_floats(subject: Subject, case: Case, d_output: Array) -> None:
    """Fail if a mask of 0 and -inf, which is taken beside one of bools, gives a finite output and gradients that are not."""
    added = subject.under(replace(subject.contract, mask="additive"))
    trial = Trial(replace(added, caller=replace(added.caller, bias_form=None)), case)
    if not np.isfinite(trial().output).all():
        return
    for name, gradient in trial.differentiate(d_output).observed.items():
        check.finite(f"gradient of {name} with a mask of 0 and -inf", gradient)
