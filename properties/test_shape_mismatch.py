"""Arguments of mismatched shapes must be refused, not broadcast, by a subject that promises to check its arguments.

Most code that people write leaves this to torch, which refuses what it cannot broadcast, so none of the sizes here is 1; but
right code in loops and slices takes what it needs and never looks at the rest. That is printed, and is a failure where the
contract has it so.
"""

import numpy as np
import torch
from hypothesis import given
from torch import Tensor

from mhsa.judge.budget import rare
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.answer import Mask
from mhsa.subject.guard import attempt
from mhsa.subject.memory_layout import tied
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial


def must_refuse(trial: Trial, query: Array, key: Array, value: Array, mask: Mask | Tensor | None, what: str) -> None:
    """Fail if the call gives an output of the usual shape; an error, or an output of another shape, cannot be overlooked."""
    q, k, v = tied(trial.tensor, query, key, value)
    given_mask = trial.convert(mask) if isinstance(mask, np.ndarray) else mask
    with torch.no_grad():
        result, _ = attempt(lambda: trial.call_unchecked(q, k, v, given_mask))
    check.current().add_ratio(0.0)
    if result is None:
        return
    output, shape = result[0][0], (query.shape[0], query.shape[1], trial.case.d_model)
    if isinstance(output, Tensor) and tuple(output.shape) == shape:
        if trial.subject.contract.shape_mismatch != "raises":
            check.inapplicable(f"{what} is not refused; Contract(shape_mismatch='raises') makes that a failure")
        check.fail(f"{what} gave an output {list(shape)} as if it fitted, but must be refused", what="refusal")


@rare
@given(case=cases(masks=("random", "padding"), min_keys=3, small=True))
def test_mask_of_another_width(subject: Subject, case: Case) -> None:
    """A mask for fewer keys than there are is refused.

    Statement: M [B, Tq, Tk - 1] with Tk > 2 raises.
    Requires: masks; Contract(shape_mismatch="raises"). One that is longer than the keys may be a buffer that is cut to length,
        and is left alone.
    Source: P22; huggingface/diffusers and others cut or repeat masks until they fit.
    Breaks it: a mask that is padded, repeated or interpolated to the length of the keys.
    """
    trial = Trial(subject, case)
    assert trial.mask is not None
    what = f"a mask for {case.key_length - 1} of {case.key_length} keys"
    must_refuse(trial, trial.query, trial.key, trial.value, trial.mask[:, :, :-1].copy(), what)


@rare
@given(case=cases(masks=("random", "padding"), min_batch=2, min_queries=2, min_keys=2, small=True))
def test_mask_of_another_batch(subject: Subject, case: Case) -> None:
    """A mask for another number of samples is refused.

    Statement: M [B + 1, Tq, Tk] with B > 1 raises.
    Requires: masks; Contract(shape_mismatch="raises").
    Source: P02, P07; ComfyUI_ExtraModels PR#33 (the mask's shape was guessed for two samples).
    Breaks it: a mask that is cut to the batch, or repeated over it.
    """
    trial = Trial(subject, case)
    assert trial.mask is not None
    mask = np.concatenate([trial.mask, trial.mask[:1]])
    what = f"a mask for {case.batch + 1} samples, with {case.batch} given,"
    must_refuse(trial, trial.query, trial.key, trial.value, mask, what)


@rare
@given(case=cases(masks=("random",), min_queries=3, min_keys=3, small=True))
def test_mask_of_another_query_length(subject: Subject, case: Case) -> None:
    """A mask for fewer queries than there are is refused.

    Statement: M [B, Tq - 1, Tk] with Tq > 2 raises.
    Requires: masks that may differ from query to query; Contract(shape_mismatch="raises").
    Source: P02, P22.
    Breaks it: a mask whose rows are repeated or ignored.
    """
    trial = Trial(subject, case)
    assert trial.mask is not None
    what = f"a mask for {case.query_length - 1} of {case.query_length} queries"
    must_refuse(trial, trial.query, trial.key, trial.value, trial.mask[:, :-1].copy(), what)


@rare
@given(case=cases(masks=("random", "padding"), min_batch=2, min_queries=2, min_keys=2, small=True))
def test_mask_of_another_rank(subject: Subject, case: Case) -> None:
    """A mask with axes that mean nothing is refused.

    Statement: M with two more axes than the subject takes, of sizes that fit nothing, raises.
    Requires: masks; Contract(shape_mismatch="raises").
    Source: P22; tensorflow/tensorflow#60626 (a mask of another rank).
    Breaks it: reshape or view to whatever is needed, squeeze of all axes.
    """
    trial = Trial(subject, case)
    assert trial.mask is not None
    form = trial.convert(trial.mask)
    form = form.expand(2, 7, *form.shape)
    must_refuse(trial, trial.query, trial.key, trial.value, form, f"a mask of shape {list(form.shape)}")


@rare
@given(case=cases(ties=("none",), min_keys=2, small=True))
def test_values_that_do_not_match_the_keys(subject: Subject, case: Case) -> None:
    """As many values as keys, or an error.

    Statement: key [B, Tk, D] with value [B, Tk + 1, D] raises.
    Requires: value apart from key; Contract(shape_mismatch="raises").
    Source: P21.
    Breaks it: the longer one cut to the shorter.
    """
    trial = Trial(subject, case)
    value = np.concatenate([trial.value, trial.value[:, :1]], axis=1)
    must_refuse(trial, trial.query, trial.key, value, None, f"{case.key_length} keys and {case.key_length + 1} values")


@rare
@given(case=cases(min_head=2, small=True))
def test_tokens_of_another_width(subject: Subject, case: Case) -> None:
    """Tokens of another width than d_model are refused.

    Statement: query, key and value [B, T, d_model + 1] raise.
    Requires: Contract(shape_mismatch="raises").
    Source: P21.
    Breaks it: features cut or padded to d_model.
    """
    trial = Trial(subject, case)
    wider = trial.each(lambda x: np.concatenate([x, x[..., :1]], axis=-1))
    must_refuse(trial, *wider, None, f"tokens of width {case.d_model + 1} for d_model={case.d_model}")


@rare
@given(case=cases(ties=("none", "kv"), min_batch=2, small=True))
def test_keys_of_another_batch(subject: Subject, case: Case) -> None:
    """Keys and values of another number of samples than the queries are refused.

    Statement: query [2, Tq, D] with key and value [3, Tk, D], Tk odd, raises.
    Requires: query apart from key; Contract(shape_mismatch="raises"). (An even number of tokens can be folded into the smaller
        batch without an error by the usual view(B, -1, ...), which is not judged here.)
    Source: P07.
    Breaks it: keys cut to, or repeated over, the queries' batch.
    """
    case = case.resized(batch=3, key_length=case.key_length | 1, layout="contiguous")
    trial = Trial(subject, case)
    must_refuse(trial, trial.query[:2], trial.key, trial.value, None, "2 samples of queries and 3 of keys")
