"""How an implementation takes a bias of the scores under the contract bias = "given": found by calling it.

A form in which every call raises is none. One that is taken and gives something else than the oracle is a bug, and is judged.
"""

from __future__ import annotations

from dataclasses import replace

from mhsa.introspect.readings.formula.added_masks import with_added_mask
from mhsa.records.errors import Question
from mhsa.records.understood import Understood
from mhsa.subject import check
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.torch_adapter import TorchAdapter
from mhsa.subject.forms.bias_form import AS_MASK, SAYS, BiasForm
from mhsa.subject.generic_inputs import generic_case, is_exact
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial


def bias_argument(adapter: Adapter) -> str:
    """Return the name of the argument for a bias; empty where there is none."""
    if isinstance(adapter, FunctionAdapter):
        return adapter.bias_name
    if isinstance(adapter, ModuleAdapter):
        return adapter.signature.bias or ""
    return "bias" if adapter.takes_bias else ""


def require_bias(name: str, adapter: Adapter) -> None:
    """Raise unless a bias that a call cannot do without is declared.

    Raises:
        Question: with the declaration.
    """
    if isinstance(adapter, ModuleAdapter) and adapter.signature.bias_required and adapter.contract.bias is None:
        raise Question(
            f"{name}: forward needs {adapter.signature.bias}: a floating bias that is added to the scores?", {"bias": "given"}
        )


def find_bias_form(subject: Subject) -> Subject:
    """Return the subject with the form of its bias: the first one that is taken and exact for a kind of bias, or else taken.

    A form that is exact for one kind and wrong for another is the form all the same: that is a bug.

    Raises:
        Question: a bias is declared, and none is taken.
    """
    if subject.contract.bias is None and not bias_argument(subject.adapter):
        return with_added_mask(subject)
    if subject.contract.bias != "given":
        return subject
    own = bias_argument(subject.adapter)
    forms = [BiasForm(shape, kinds) for shape, kinds in SAYS.items()] if own else _as_mask(subject)
    taken: list[BiasForm] = []
    for form in forms:
        found = {kind: _answers(subject, form, kind) for kind in form.kinds}
        form = replace(form, kinds=tuple(kind for kind in form.kinds if found[kind] is not None))
        if any(found.values()):
            taken = [form]
            break
        taken += [form] if form.kinds else []
    if not taken:
        words = f"argument {own} takes none of {', '.join(SAYS)}" if own else "it has no argument for one"
        text = f'{subject.name}: bias = "given" is declared, but applies to nothing: {words}. Remove it'
        raise Question(text, unused="contract.bias")
    form = taken[0]
    text = f"{own or 'the mask'} is added to the scores, {form.shape}"
    if form.shape == "[B, H, Tq, Tk]":
        text += {True: " (B or H may be 1)", False: f" ({', '.join(form.kinds)})"}[form.kinds == SAYS[form.shape]]
    understood = Understood("bias", text, "declared", {"bias": "given"})
    caller = replace(subject.caller, bias_form=form)
    return replace(subject, caller=caller, understood=(*subject.understood, understood))


def exact_kinds(subject: Subject) -> list[str]:
    """Return the kinds of a bias that are taken and exact."""
    form = subject.caller.bias_form
    return [] if form is None else [kind for kind in form.kinds if _answers(subject, form, kind)]


def _as_mask(subject: Subject) -> list[BiasForm]:
    """Return the forms of a bias that is given as the mask: of the mask's own shape."""
    shape = AS_MASK.get(subject.contract.mask_shape or "[B, Tq, Tk]")
    if (
        shape is None
        or not isinstance(subject.adapter, (ModuleAdapter, FunctionAdapter, TorchAdapter))
        or not subject.adapter.takes_mask
    ):
        return []
    return [BiasForm(shape, SAYS[shape], in_mask=True)]


def _answers(subject: Subject, form: BiasForm, kind: str) -> bool | None:
    """Return whether a call with a bias is exact; None where it raises."""
    asked = replace(subject, device="cpu", caller=replace(subject.caller, bias_form=form, weights_from=None))
    try:
        answer = Trial(asked, replace(generic_case(asked), bias=kind), counted=False)()
        return is_exact(answer.output, answer.expected.output)
    except (check.Violation, check.Inapplicable):
        return None
