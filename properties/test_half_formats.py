"""Half formats, of which every profile tries a few cases, whatever dtypes were asked for."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from hypothesis import given
from torch import Tensor

from mhsa.judge.budget import light
from mhsa.judge.strategies import cases
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.guard import attempt
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "random")
DATA = ("integers", "normal", "ties")  # of a size whose scores no half format has to fear
MODES = {"with gradients": torch.enable_grad, "under no_grad": torch.no_grad, "in inference_mode": torch.inference_mode}


def call(trial: Trial) -> bool:
    """Call with the case's tensors; True where that returns, whatever it returns."""
    q, k, v = (trial.tensor(x) for x in (trial.query, trial.key, trial.value))
    trial.call_unchecked(q, k, v, None if trial.mask is None else trial.convert(trial.mask))
    return True


def compare(subject: Subject, case: Case, dtype: str) -> None:
    """One call in a half format, against the oracle; sums may be made in the format itself, which nobody has declared."""
    if dtype in subject.dtypes:
        check.inapplicable(f"needs {dtype} not to be asked for: every property judges it then")
    rough = replace(subject, contract=replace(subject.contract, accumulation="dtype"))
    case = case.resized(dtype=dtype)
    done, said = attempt(lambda: call(Trial(rough, case, counted=False)))
    if done is None:
        check.inapplicable(f"needs a module that computes in {dtype}: {said}")
    trial = Trial(rough, case)
    answer = trial()
    check.within("output", answer.output, answer.expected.output, answer.judged)
    for where, made in in_every_form(trial):
        output = made[0] if isinstance(made, tuple) else made
        if isinstance(output, Tensor) and output.dtype != trial.dtype:
            got, must = str(output.dtype), str(trial.dtype)
            check.fail(
                f"output {where} has dtype {got}, but must have query's, {must}", what="dtype", observed=got, required=must
            )


def in_every_form(trial: Trial) -> Iterator[tuple[str, Any]]:
    """Yield what calls in other forms than the case's return, with words for the form; one that raises is left out."""
    q, k, v, mask = trial.last_tensors
    asked = trial.case.need_weights

    def called(first: Tensor, *others: Tensor | None, need_weights: bool = asked) -> Any:
        done, _ = attempt(lambda: trial.caller(trial.module, first, *others, need_weights))
        return None if done is None else done[0]

    for words, mode in MODES.items():
        with mode():
            yield words, called(q, k, v, mask)
    with torch.set_grad_enabled(trial.case.grad):
        if mask is not None and not trial.subject.adapter.needs_mask:
            yield "without the mask", called(q, k, v, None)
        if trial.subject.adapter.weights_on_request:
            yield f"with need_weights={not asked}", called(q, k, v, mask, need_weights=not asked)
        if mask is None:
            first = {id(x): x[:, :1] for x in (q, k, v)}
            together = q is k or is_square(trial.subject.adapter)
            yield "of one query", called(first[id(q)], *(first[id(x)] if together else x for x in (k, v)), None)
        trial.train()
        yield "in train mode", called(q, k, v, mask)
        trial.module.eval()


@light
@given(case=cases(masks=ANY, data=DATA, dtypes=("float32",), small=True))
def test_output_in_bfloat16(subject: Subject, case: Case) -> None:
    """What a module computes in bfloat16 is attention, too.

    Statement: |O - o| <= B for inputs and parameters in bfloat16, where sums may be rounded to bfloat16 as well; and
        O.dtype = q.dtype with gradients and without, in train mode, with one query, with weights and without, masked or not.
    Requires: a module that computes in bfloat16; one that raises there says so itself.
    Source: TransformerEngine#3216; bound: docs/bounds.md.
    Breaks it: places or angles counted in bfloat16, which has 8 bits; a fill, a scale or an epsilon that is lost;
        float32 that is returned in one mode alone.
    """
    compare(subject, case, "bfloat16")


@light
@given(case=cases(masks=ANY, data=DATA, dtypes=("float32",), small=True))
def test_output_in_float16(subject: Subject, case: Case) -> None:
    """What a module computes in float16 is attention, too.

    Statement: |O - o| <= B for inputs and parameters in float16, where sums may be rounded to float16 as well; and
        O.dtype = q.dtype with gradients and without, in train mode, with one query, with weights and without, masked or not.
    Requires: a module that computes in float16; one that raises there says so itself.
    Source: trl#7181; bound: docs/bounds.md.
    Breaks it: a fill beyond 65504 that becomes infinite and is multiplied by zero, an epsilon below 2^-24, which is zero;
        float32 that is returned in one mode alone.
    """
    compare(subject, case, "float16")
