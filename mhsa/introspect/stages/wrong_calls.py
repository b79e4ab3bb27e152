"""Calls of a subject that is exactly attention, in which it is not: what no property makes, and nobody means.

A switch that is judged is turned on together with masks; a value is left out, and must be the key; a mask of as many queries as
keys must not be read transposed; one of fewer windows than samples must be that of each picture's; in no mode that a word
chooses may a call use what another one has kept; and what is noise by its name must be gone in eval mode.
"""

from __future__ import annotations

import copy
import inspect
import re
from dataclasses import replace

import numpy as np
import torch

from mhsa.introspect.calls.find_mask_shape import forms_of_mask
from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.readings.masks.windows import masks_of_windows
from mhsa.introspect.readings.mistakes.known_mistake import known_mistake
from mhsa.introspect.readings.options.modes import kept_in_a_mode
from mhsa.subject import check
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.docstrings.passages import text_of
from mhsa.subject.generic_inputs import generic_case, generic_tensors, hiding, is_exact
from mhsa.subject.signature import call_of
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

_NOISE = re.compile(r"noise|jitter", re.IGNORECASE)
_STRENGTH = 0.5  # of noise that is tried


def with_wrong_calls(subject: Subject) -> Subject:
    """Return the subject with what is wrong with such a call, where it is exactly attention otherwise."""
    on_cpu, fit = replace(subject, device="cpu"), Fit()
    if type(subject.adapter) is not ModuleAdapter or not fit.without_mask(on_cpu):
        return subject
    wrong = _noise(on_cpu) or _value_left_out(on_cpu) or _masks_with_a_switch(on_cpu, fit) or _transposed_mask(on_cpu)
    wrong = wrong or kept_in_a_mode(on_cpu)
    of_windows, said = ("", ()) if wrong else masks_of_windows(on_cpu)
    return replace(subject, wrong_call=wrong or of_windows, understood=(*subject.understood, *said))


def _masks_with_a_switch(subject: Subject, fit: Fit) -> str:
    """Return what is wrong where a switch is turned and a mask is given, which each alone is right."""
    if not subject.adapter.takes_mask or not fit.with_mask(subject):
        return ""
    for switch in subject.switches:
        turned = switch.of(subject)
        if switch.square or not turned.adapter.takes_mask:
            continue
        try:
            if fit.without_mask(turned) and fit.is_taken(turned) and not fit.with_mask(turned):
                return f"with {switch.words}, a mask does not hide what it hides without; each alone is right"
        except Exception:  # it cannot be built so
            continue
    return ""


def _value_left_out(subject: Subject) -> str:
    """Return what is wrong with calls that leave out the value: it must be the key.

    Where the key may be left out, too, each of both may be the query by itself, unless the documentation says otherwise.
    """
    adapter = subject.adapter
    assert isinstance(adapter, ModuleAdapter)
    signature = adapter.signature
    if signature.as_list or signature.value is None or signature.key is None:
        return ""
    parameters = inspect.signature(call_of(adapter.owner)).parameters
    if parameters[signature.value].default is not None:
        return ""
    if parameters[signature.key].default is None and not _is_documented(adapter, signature.value, signature.key):
        return ""
    alone = adapter.with_signature(replace(signature, value=None))
    called = replace(subject, adapter=alone, caller=replace(subject.caller, adapter=alone))
    if Fit().without_mask(called):
        return ""
    mistake = known_mistake(called)
    return f"without {signature.value}, where {signature.key} is given, {mistake}" if mistake.words else ""


def _is_documented(adapter: ModuleAdapter, value: str, key: str) -> bool:
    """Whether a docstring says that the one defaults to the other."""
    said = rf"\b{value}\b[^.]{{0,40}}\b(defaults?|none|omitted|left out)\b[^.]{{0,40}}\b{key}\b"
    return re.search(said, text_of(adapter), re.IGNORECASE) is not None


def _transposed_mask(subject: Subject) -> str:
    """Return what is wrong with a mask of as many queries as keys, in a form that is taken beside the one that was read."""
    if (
        not subject.adapter.takes_mask
        or subject.contract.mask_shape in ("[B, Tk]", "[Tq, Tk]", "[B, Tk, 1]")
        or subject.contract.mask is None
    ):
        return ""
    case = generic_case(subject)
    length = case.query_length
    mask = hiding((case.batch, length, length), 0, replace(subject.contract, mask_shape=None))
    mask |= np.eye(length, dtype=bool)  # no row and no column is empty
    mask[:, 0, -1] = False
    any_form = replace(subject.caller, contract=replace(subject.contract, mask_shape=None))
    for form in forms_of_mask(any_form):
        if form.contract.mask_shape not in ("[B, Tq, Tk]", "[B, 1, Tq, Tk]", "[B, H, Tq, Tk]"):
            continue
        read = replace(subject, caller=replace(form, contract=replace(form.contract, mask=subject.contract.mask)))
        read = read.under(replace(subject.contract, mask_shape=form.contract.mask_shape))
        try:
            trial = Trial(read, replace(case, key_length=length), counted=False)
            answer = trial(mask=mask)
            turned = trial.expect_under(trial.effective(mask.swapaxes(1, 2), trial.query, trial.key)).output
        except (check.Violation, check.Inapplicable):
            continue
        if is_exact(answer.output, turned) and not is_exact(answer.output, answer.expected.output):
            return f"a mask {form.contract.mask_shape} with as many queries as keys is read with both exchanged"
    return ""


def _noise(subject: Subject) -> str:
    """Return which noise of the constructor is there in eval mode, too: two calls differ."""
    adapter = subject.adapter
    assert isinstance(adapter, ModuleAdapter)
    for name in adapter.constructor.options if adapter.constructor is not None else ():
        parameter = inspect.signature(adapter.constructor.target).parameters.get(name)  # type: ignore[union-attr]
        if parameter is None or type(parameter.default) not in (int, float) or not _NOISE.search(name):
            continue
        noisy = copy.copy(adapter)
        noisy.options = {**adapter.options, name: _STRENGTH}
        caller = replace(subject.caller, adapter=noisy)
        case = generic_case(subject)
        try:
            module = noisy.build(case.head, case.d_model).double().eval()
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                first, second = (caller(module, *generic_tensors(noisy), None)[0] for _ in range(2))
        except Exception:  # it takes other numbers
            continue
        if not torch.equal(first, second):
            return f"with {name}={_STRENGTH}, two calls in eval mode differ"
    return ""
