"""What a mask does: masked keys might as well not exist."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.drawing.choices import one_of
from mhsa.judge.explained_by_fill import explained_by_fill
from mhsa.judge.single_heads import keep_only_head
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.answer import Mask
from mhsa.subject.crafted_inputs import lowered
from mhsa.subject.guard import guard
from mhsa.subject.memory_layout import numbers, tied
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

# 1e4 stands out from inputs of size 1 at any tolerance, and is finite in float16 too.
POISON = 1e4
NEARER_POISON = 2.0**4  # as data "large": scores of some hundred, which a declared fill of -10000 still hides
NO_MASKS = "needs masks, and the subject takes none"
TAME = ("integers", "normal", "ties", "repeated")  # poison next to "large" would be a test of overflow, not of masks


def poison_of(subject: Subject) -> float:
    """Return what masked keys are filled with: what is declared to be added to their scores hides them up to its size."""
    fill = subject.contract.formula.fill
    return POISON if fill is None or fill.how == "set" else NEARER_POISON


def poisoned(trial: Trial, mask: Mask, poison: float) -> dict[str, Array]:
    """Key and value with ``poison`` wherever no query of the sample may attend."""
    hidden = ~mask.any(axis=1)[..., None]
    return trial.paired(lambda x: np.where(hidden, poison, x))


@light
@given(case=cases(masks=("padding", "causal", "random"), need_weights=True))
def test_masked_weights_are_zero(subject: Subject, case: Case) -> None:
    """A masked key has weight zero, exactly.

    Statement: not M_bij implies A_bhij = 0 for every head h.
    Requires: weights [B, H, Tq, Tk], returned with the output or kept in an attribute such as ``attn``.
    Source: A1: exp(-inf) = 0, and so is exp(-1e9) in every format.
    Breaks it: a finite fill that leaks (onnxruntime#14363), a mask added after the softmax, inverted polarity.
    """
    trial = Trial(subject, case)
    answer = trial()
    weights = check.offered(answer.weights)
    assert answer.mask is not None
    masked = np.broadcast_to(~answer.mask[:, None], weights.shape)
    check.exactly("weights of masked keys", np.where(masked, weights, 0.0), np.zeros_like(weights))


@light
@given(case=cases(masks=("padding", "random", "causal"), ties=("none", "kv"), data=TAME))
def test_masked_keys_have_no_influence(subject: Subject, case: Case) -> None:
    """Keys and values that no query may attend to can hold anything: 1e4 instead changes nothing.

    Statement: O(q, k', v', M) = O(q, k, v, M) where k', v' differ from k, v only at keys j with M_bij false for all i. Under a
        declared fill that is added to scores it is 16 instead, so that scores lie within the fill.
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
    poison = poisoned(trial, mask, poison_of(subject))
    with explained_by_fill(trial, lambda: trial(**poison, mask=mask)):
        before, after = trial(mask=mask), trial(**poison, mask=mask)
        check.agree("output", after.output_and_bound, before.output_and_bound, before.judged)


@light
@given(case=cases(masks=("padding", "causal", "random"), min_keys=2, data=TAME, dtypes=("float64", "float32"), small=True))
def test_masked_keys_stay_masked_below_every_score(subject: Subject, case: Case) -> None:
    """However low the scores of the allowed keys are, masked keys get nothing.

    Statement: |O - o| <= B where every allowed score is about -2^16. Under a declared fill o is what that gives: masked keys
        whose scores are set to a higher number take all.
    Requires: masks.
    Source: softmax knows differences only, so a finite fill is a mask as long as scores lie above it; A1.
    Breaks it: masked_fill(-10000), which fits into float16 and above which scores lie by habit, not by law
        (microsoft/onnxruntime#14363).
    """
    trial = Trial(subject, case)
    large = 2.0 ** (8 + math.ceil(math.log2(case.d_k) / 4))  # large^2 / sqrt(d_k) is 2^16 or more
    query, key, value = lowered(trial, large)
    with explained_by_fill(trial, lambda: trial(query, key, value)):
        answer = trial(query, key, value)
        check.within("output", answer.output, answer.expected.output, answer.judged)


@light
@given(case=cases(masks=("none",), ties=("none", "kv"), min_keys=2))
def test_masking_is_deleting(subject: Subject, case: Case) -> None:
    """Masking some keys for every query gives what deleting them gives.

    Statement: O(q, k, v, M) = O(q, k_S, v_S, none) where M_bij = [j in S] for a non-empty set S of keys.
    Requires: key and value apart from query; masks; no positions, not causal, no window.
    Source: A18, A23.
    Breaks it: scores filled with 0 instead of -inf, a denominator that counts masked keys, a mask that is ignored.
    """
    if not subject.adapter.takes_mask:
        check.inapplicable(NO_MASKS)
    check.not_under(subject.contract.formula.where, "keys may be deleted")
    trial = Trial(subject, case)
    kept = case.rng(11).random(case.key_length) < 0.6
    kept[case.rng(12).integers(case.key_length)] = True
    mask = np.broadcast_to(kept, (case.batch, case.query_length, case.key_length)).copy()
    masked, deleted = trial(mask=mask), trial(**trial.paired(lambda x: x[:, kept]))
    check.agree("output", masked.output_and_bound, deleted.output_and_bound)


def output_with(trial: Trial, key: Array, value: Array, mask: Mask) -> Array:
    """Return the output for keys and values that may be NaN, of which the oracle knows nothing."""
    q, k, v = tied(trial.tensor, trial.query, key, value)
    made = guard("the call with NaN or infinity in hidden keys", lambda: trial.call_unchecked(q, k, v, trial.convert(mask)))
    trial.check_form(*made, *trial.query.shape[:2], key.shape[1])
    return numbers(made[0])


@light
@given(case=cases(masks=("padding", "random", "causal"), ties=("none", "kv"), data=TAME))
def test_masked_nan_has_no_influence(subject: Subject, case: Case) -> None:
    """Masked keys and values may even be NaN or infinite, where the contract promises that.

    Statement: O(q, k', v', M) = O(q, k, v, M) where k', v' hold NaN or inf at keys j with M_bij false for all i,
        each alone or, where they are one tensor, both.
    Requires: Contract(masked="never-read"); by default a masked value may be multiplied by a weight of zero, and 0 * NaN is
        NaN.
    Source: A17, strong form; pytorch/pytorch#101967 shows that torch's plain path does not have it.
    Breaks it: memory that was never written behind the end of the keys (Wan2GP PR#1628, SageAttention PR#376).
    """
    if subject.contract.masked != "never-read":
        check.inapplicable("needs Contract(masked='never-read'): otherwise a masked NaN may reach the output")
    trial = Trial(subject, case)
    assert trial.mask is not None
    mask = trial.mask.copy()
    mask[:, :, 0] = True
    if case.key_length > 1:
        mask[:, :, 1:][:, :, case.rng(11).integers(case.key_length - 1)] = False
    before = trial(mask=mask)
    # Key and value apart, as what repairs one may hide what the other does; one feature, as a sum of infinities is NaN.
    hidden = ~mask.any(axis=1)[..., None] & (np.arange(case.d_model) == 0)
    for poison in (np.nan, np.inf, -np.inf):
        key, value = trial.paired(lambda x, poison=poison: np.where(hidden, poison, x)).values()
        for k, v in ((key, value),) if case.tie == "kv" else ((key, trial.value), (trial.key, value)):
            output = output_with(trial, k, v, mask)
            bound = before.expected.output.error
            check.agree("output", (output, bound), (before.output, bound), before.judged)


@light
@given(case=cases(masks=("none", "padding", "random"), ties=("none", "kv"), small=True))
def test_more_masked_keys_change_nothing(subject: Subject, case: Case) -> None:
    """Padding: keys that are appended and masked change nothing.

    Statement: O(q, [k; k'], [v; v'], [M, false]) = O(q, k, v, M) for any k', v' of any length.
    Requires: key and value apart from query; masks; places that are not counted from the end.
    Source: A23, P08; transformers#26380 (the output depended on the padding length).
    Breaks it: padding skipped for a batch of one (transformers PR#46773), a fill that leaks, a mean over all keys.
    """
    if not subject.adapter.takes_mask:
        check.inapplicable(NO_MASKS)
    if subject.contract.formula.causal == "bottom-right":
        check.not_under(subject.contract.formula.where, "keys may be appended")
    trial = Trial(subject, case)
    more = 1 + case.seed % 5
    shape = (case.batch, more, case.d_model)
    rng = case.rng(11)
    longer = trial.paired(lambda x: np.concatenate([x, trial.round(rng.standard_normal(shape))], axis=1))
    sizes = (case.batch, case.query_length, case.key_length)
    mask = np.ones(sizes, bool) if trial.mask is None else trial.mask
    padded = np.concatenate([mask, np.zeros((*sizes[:2], more), bool)], axis=2)
    before, after = trial(), trial(**longer, mask=padded)
    check.agree("output", after.output_and_bound, before.output_and_bound, before.judged)


@light
@given(case=cases(masks=("all",)))
def test_allowing_everything_is_no_mask(subject: Subject, case: Case) -> None:
    """A mask that allows everything does nothing.

    Statement: O(q, k, v, M) = O(q, k, v, none) with M_bij true everywhere.
    Requires: masks.
    Source: P22, A19.
    Breaks it: another path without a mask that forgets the scale or is causal (keras#23038, xformers#103), a mask that is
        added as 0 and 1, inverted polarity.
    """
    trial = Trial(subject, case)
    masked, unmasked = trial(), trial(mask=None)
    check.agree("output", masked.output_and_bound, unmasked.output_and_bound)


@light
@given(case=cases(masks=("padding", "random"), min_batch=2, small=True))
def test_each_sample_has_its_own_mask(subject: Subject, case: Case) -> None:
    """The mask of one sample has no effect on other samples.

    Statement: changing M_b for one sample b leaves O_b' as it was for every other sample b'.
    Requires: masks; two samples.
    Source: P02, P07; lsdefine/attention-is-all-you-need-keras#36 (sample i got the mask of sample j).
    Breaks it: a mask tiled head-major over samples (FuxiCTR#130), only the first sample's mask looked at.
    """
    trial = Trial(subject, case)
    assert trial.mask is not None
    before = trial()
    for changed in (0, case.batch - 1):
        mask = trial.mask.copy()
        mask[changed] = True
        others = (np.arange(case.batch) != changed)[:, None, None]
        check.agree("output of other samples", trial(mask=mask).output_and_bound, before.output_and_bound, others)


@light
@given(case=cases(masks=("padding", "random", "causal"), ties=("none", "kv"), data=TAME, small=True))
def test_every_head_is_masked(subject: Subject, case: Case) -> None:
    """No head, looked at alone, sees a masked key.

    Statement: for each h, with W_O,g = 0 for g != h: the output does not depend on keys and values masked for all queries.
    Requires: key and value apart from query; the out projection can be written.
    Source: A17, P09.
    Breaks it: a mask that reaches the first head only, or is laid over heads in another order than the heads have.
    """
    trial = Trial(subject, case)
    assert trial.mask is not None
    mask = trial.mask.copy()
    if case.key_length > 1:
        mask[:, :, 0], mask[:, :, 1] = True, False
    poison = poisoned(trial, mask, poison_of(subject))
    whole = trial.projections.out.weight
    for h in range(case.head):
        keep_only_head(trial, whole, h)
        with explained_by_fill(trial, lambda: trial(**poison, mask=mask)):
            before, after = trial(mask=mask), trial(**poison, mask=mask)
            check.agree(f"output of head {h} alone", after.output_and_bound, before.output_and_bound, before.judged)


def all_masks(subject: Subject, queries: int, keys: int) -> Mask:
    """Return every mask of these sizes, a sample each; only those that are the same for every query, where others cannot be."""
    if "random" in subject.masks:
        return np.array(list(itertools.product((True, False), repeat=queries * keys))).reshape(-1, queries, keys)
    rows = np.array(list(itertools.product((True, False), repeat=keys)))[:-1]  # key padding hides no whole row
    return np.broadcast_to(rows[:, None], (len(rows), queries, keys)).copy()


def nearly_all(*, alike: bool) -> Iterator[Mask]:
    """Masks of two samples, three queries and keys that hide one key: from one query, from a sample each, from each query.

    ``alike``: the same for every query, and so the last keys, which lengths can hide, too.
    """
    once, each = np.ones((2, 3, 3), bool), np.ones((2, 3, 3), bool)
    once[1, :, 2] = each[:, :, 2] = False
    if not alike:
        once[1, :2, 2] = True
        yield ~np.stack([np.eye(3, dtype=bool), np.eye(3, dtype=bool)[::-1]])
    yield once
    yield each


def under_shared_masks(subject: Subject, case: Case, turn: int) -> None:
    """Calls under masks that every sample shares, of as many samples as queries, or as keys: sizes say nothing of the axes."""
    queries = 3 if turn else 2
    keys = queries if case.tie == "all" or is_square(subject.adapter) else 5 - queries
    for n in range(4):
        drawn = case.rng(13 + n).random((queries, keys)) < 0.5
        drawn[np.arange(queries), np.arange(queries) % keys] = True
        if queries == keys:
            drawn |= np.eye(keys, dtype=bool)
        for batch in {queries, keys}:
            under_mask(subject, case, np.broadcast_to(drawn, (batch, queries, keys)).copy())


def under_mask(subject: Subject, case: Case, mask: Mask) -> None:
    """One call under a mask [B, Tq, Tk], of as many samples, queries and keys as it has."""
    batch, queries, keys = mask.shape
    answer = Trial(subject, case.resized(batch=batch, query_length=queries, key_length=keys))(mask=mask)
    check.within("output", answer.output, answer.expected.output, answer.judged)


@light
@given(
    case=cases(masks=("none",), data=("integers", "normal"), ties=("none", "kv", "all"), small=True),
    turn=one_of((0, 1)),
)
def test_all_small_masks(subject: Subject, case: Case, turn: int) -> None:
    """Every mask there is, up to three queries and three keys, in one batch: exhaustive, not sampled.

    Statement: |O_bic - o_bic| <= B_bic for all 2^(Tq Tk) masks M_b, each with its own sample b, Tq and Tk up to 3; and with one
        head, one query or one key, and where one key alone is hidden: from one query, from one sample or each, from each query.
    Requires: masks; where they are the same for every query, all 2^Tk of those.
    Source: P02.
    Breaks it: any mistake about masks that three queries and three keys can show; shortcuts for one head, one query, one key, a
        mask that hides next to nothing.
    """
    if not subject.adapter.takes_mask:
        check.inapplicable(NO_MASKS)
    queries, keys = min(case.query_length, 3), min(case.key_length, 3)
    if subject.contract.mask_shape == "[Tq, Tk]":
        under_shared_masks(subject, case, turn)
        return
    if turn == 0:
        under_mask(subject, case, all_masks(subject, queries, keys))
        return
    if subject.adapter.sizes is None and subject.fewest_heads == 1:
        under_mask(subject, case.resized(head=1), all_masks(subject, 2, 2))
    if case.tie != "all" and not is_square(subject.adapter):
        under_mask(subject, case, all_masks(subject, 1, 2))
        if "fully_masked_row" in subject.masks:
            under_mask(subject, case, all_masks(subject, 2, 1))
    for mask in nearly_all(alike="random" not in subject.masks):
        under_mask(subject, case, mask)
