"""What a mask does: masked keys might as well not exist."""

import numpy as np
import pytest
from hypothesis import given

from mhsa import check
from mhsa.cases import Case
from mhsa.strategies import cases
from mhsa.subject import Subject
from mhsa.trial import Trial

# 1e4 stands out from inputs of size 1 at any tolerance, and is finite in float16 too.
POISON = 1e4
TAME = ("integers", "normal", "ties", "repeated")  # poison next to "large" would be a test of overflow, not of masks


@given(case=cases(masks=("padding", "causal", "random"), need_weights=True))
def test_masked_weights_are_zero(subject: Subject, case: Case) -> None:
    """A masked key has weight zero, exactly.

    Statement: not M_bij implies A_bhij = 0 for every head h.
    Requires: weights [B, H, Tq, Tk], returned beside the output or kept in an attribute such as ``attn``.
    Source: A1: exp(-inf) = 0, and so is exp(-1e9) in every format.
    Breaks it: a finite fill that leaks (onnxruntime#14363), a mask added after the softmax, inverted polarity.
    """
    trial = Trial(subject, case)
    weights = check.applicable(trial().weights, "needs weights [B, H, Tq, Tk], and the subject gives none")
    assert trial.mask is not None
    masked = np.broadcast_to(~trial.mask[:, None], weights.shape)
    check.exactly("weights of masked keys", np.where(masked, weights, 0.0), np.zeros_like(weights))


@given(case=cases(masks=("padding", "random", "causal"), ties=("none", "kv"), data=TAME))
def test_masked_keys_have_no_influence(subject: Subject, case: Case) -> None:
    """Keys and values that no query may attend to can hold anything: 1e4 in their place changes nothing.

    Statement: O(q, k', v', M) = O(q, k, v, M) where k', v' differ from k, v only at keys j with M_bij false for all i.
    Requires: key and value apart from query.
    Source: A17 (weak form: finite poison); ONNX's poison tests.
    Breaks it: a finite fill that leaks, padding seen by the softmax (OLMo#322), a mask applied to the wrong sample.
    """
    trial = Trial(subject, case)
    assert trial.mask is not None
    mask = trial.mask.copy()
    if case.key_length > 1:  # make sure that at least one key is hidden from its whole sample
        hide = case.rng(11).integers(case.key_length, size=case.batch)
        keep = (hide + 1) % case.key_length
        mask[np.arange(case.batch), :, keep] = True
        mask[np.arange(case.batch), :, hide] = False
    hidden = ~mask.any(axis=1)[..., None]
    key = np.where(hidden, POISON, trial.key)
    value = key if trial.value is trial.key else np.where(hidden, POISON, trial.value)
    before, after = trial(mask=mask), trial(key=key, value=value, mask=mask)
    check.agree("output", after.output_and_bound, before.output_and_bound, before.judged)


@given(case=cases(masks=("none",), ties=("none", "kv"), min_keys=2))
def test_masking_is_deleting(subject: Subject, case: Case) -> None:
    """Masking some keys for every query gives what deleting them gives.

    Statement: O(q, k, v, M) = O(q, k_S, v_S, none) where M_bij = [j in S] for a non-empty set S of keys.
    Requires: key and value apart from query; masks; no positions.
    Source: A18, A23.
    Breaks it: scores filled with 0 instead of -inf, a denominator that counts masked keys, a mask that is ignored.
    """
    if not subject.adapter.takes_mask:
        pytest.skip("needs masks, and the subject takes none")
    trial = Trial(subject, case)
    kept = case.rng(11).random(case.key_length) < 0.6
    kept[case.rng(12).integers(case.key_length)] = True
    mask = np.broadcast_to(kept, (case.batch, case.query_length, case.key_length)).copy()
    key = trial.key[:, kept]
    value = key if trial.value is trial.key else trial.value[:, kept]
    masked, deleted = trial(mask=mask), trial(key=key, value=value)
    check.agree("output", masked.output_and_bound, deleted.output_and_bound)


@given(case=cases(masks=("empty_row",)))
def test_a_row_without_any_key(subject: Subject, case: Case) -> None:
    """A query that may attend to no key gets what the contract says, and never disturbs another row.

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
    if subject.contract.empty_row == "nan":
        if not np.isfinite(answer.output[empty[..., 0]]).all():
            check.expected_failure(subject.contract.reason)
        return
    check.finite("output", answer.output, empty)
    if subject.contract.empty_row in ("zeros", "uniform"):
        check.within("output", answer.output, answer.expected.output, empty)
    if subject.contract.empty_row == "zero-output":
        check.exactly("output", answer.output, np.zeros_like(answer.output), empty)
