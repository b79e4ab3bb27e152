"""Masks that are added to the scores, finite numbers too: where a docstring says so, or where a call shows it.

An additive mask of 0 and -inf may be read as what it hides: then nothing is known of other numbers. Where a docstring says that
the mask is added, or one of finite numbers is exactly added, it is a bias of the scores, and is judged as one.
"""

from __future__ import annotations

import re
from dataclasses import replace

from mhsa.introspect.readings.formula.source_words import source_speaks_of
from mhsa.records.understood import Known, Understood
from mhsa.subject import check
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.docstrings.added_masks import are_floats_added, is_added_whatever_it_holds
from mhsa.subject.docstrings.gradients import promises_gradient
from mhsa.subject.docstrings.mask_shapes import has_heads
from mhsa.subject.docstrings.passages import about_masks, about_the_mask, mask_parameter
from mhsa.subject.forms.bias_form import AS_MASK, SAYS, BiasForm
from mhsa.subject.generic_inputs import generic_case, is_exact
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

# A source that asks for the dtype of a mask: it may take both kinds.
_BOTH_DTYPES = re.compile(r"dtype\s*(==|is|!=)\s*torch\.bool|is_floating_point|dtype\.is_floating")


def with_added_mask(subject: Subject) -> Subject:
    """Return the subject with its additive mask as a form of a bias, where finite numbers are promised or exactly added."""
    contract, adapter = subject.contract, subject.adapter
    shape = AS_MASK.get(contract.mask_shape or "[B, Tq, Tk]")
    text = " ".join(about_the_mask(adapter))
    of_bools = contract.mask in ("allowed", "blocked")
    # What is said of the argument may go on in the next line, no further in: both lines speak of masks then.
    lines = about_masks(adapter)
    both = are_floats_added(text) or (mask_parameter(adapter) in lines and are_floats_added(lines))
    promised = both if of_bools else is_added_whatever_it_holds(text)
    if (
        contract.mask not in ("additive", "allowed", "blocked")
        or (of_bools and not promised and not source_speaks_of(adapter, _BOTH_DTYPES))
        or shape is None
        or not isinstance(adapter, (ModuleAdapter, FunctionAdapter))
        or contract.bias is not None
        or contract.softcap is not None  # it may be applied to scores and mask together, or to the scores alone
        or contract.fill is not None
    ):
        return subject
    form = BiasForm(shape, SAYS[shape], in_mask=True)
    kinds: list[str] = []
    for kind in SAYS[shape]:
        exact = _answers(subject, form, kind)
        if exact or (exact is False and promised and kind in _documented(subject, shape)):
            kinds.append(kind)
    if not kinds:
        return subject
    form = replace(form, kinds=tuple(kinds))
    form = replace(form, gradient=promises_gradient(text) or _has_gradient(subject, form))
    known: Known = "documented" if promised else "fitted"
    which = "a floating mask is taken, too, and its numbers" if of_bools else "the mask may hold finite numbers, which"
    understood = Understood("bias", f"{which} are added to the scores, {shape}", known)
    caller = replace(subject.caller, bias_form=form)
    return replace(subject, caller=caller, understood=(*subject.understood, understood))


def _documented(subject: Subject, shape: str) -> tuple[str, ...]:
    """Return the kinds that the documented shape has: heads where it has an axis for them, and never one sample for all."""
    if shape == "[B, H, Tq, Tk]":
        return ("samples", "full") if has_heads(subject.adapter) else ("samples",)
    return {"[B*H, Tq, Tk]": ("full",), "[B, Tq, Tk]": ("samples",), "[Tq, Tk]": ("shared",)}.get(shape, ())


def _trial(subject: Subject, form: BiasForm, kind: str) -> Trial:
    asked = replace(subject, device="cpu", caller=replace(subject.caller, bias_form=form, weights_from=None))
    return Trial(asked, replace(generic_case(asked), bias=kind), counted=False)


def _answers(subject: Subject, form: BiasForm, kind: str) -> bool | None:
    """Return whether a call with a finite mask is exact; None where it raises."""
    try:
        answer = _trial(subject, form, kind)()
    except (check.Violation, check.Inapplicable):
        return None
    return is_exact(answer.output, answer.expected.output)


def _has_gradient(subject: Subject, form: BiasForm) -> bool:
    """Whether the gradient of the mask is exact in one call: one that has none anywhere promises none."""
    try:
        trial = _trial(subject, form, form.kinds[-1])
        found = trial.differentiate(trial.cotangent(20, trial.case.output_shape))
        return is_exact(found.observed["bias"], found.expected["bias"])
    except (check.Violation, check.Inapplicable):
        return False
