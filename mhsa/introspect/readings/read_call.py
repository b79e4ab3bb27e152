"""Reading a call stage by stage: layout and output without a mask, then masks. The first exact fit of each is the reading."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import nn

from mhsa.introspect.calls.find_float64 import find_float64
from mhsa.introspect.calls.find_mask_shape import find_mask_form
from mhsa.introspect.readings.candidate_reading import Reading, first_fit
from mhsa.introspect.readings.equal_lengths import ask_about_places, equal_lengths, masks_of_equal_lengths
from mhsa.introspect.readings.first_token import first_token
from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.readings.formula.causal import ask_about_causal, ask_about_name
from mhsa.introspect.readings.formula.features import ask_about_features, soft_caps
from mhsa.introspect.readings.formula.undeclared_windows import ask_about_narrow_window, ask_about_window
from mhsa.introspect.readings.formula.usual_answers import with_usual_answers
from mhsa.introspect.readings.interleaved_heads import interleaved_heads
from mhsa.introspect.readings.layouts import TAKES, layout_readings
from mhsa.introspect.readings.masks.other_arguments import try_other_masks
from mhsa.introspect.readings.masks.other_forms import with_other_forms
from mhsa.introspect.readings.masks.padded_queries import of_padded_queries
from mhsa.introspect.readings.masks.polarity import mask_readings, of_keys_alone, with_lengths_of_samples
from mhsa.introspect.readings.masks.stated_polarity import stated_meaning
from mhsa.introspect.readings.query_key_value import Bind, ask_about_unknown, role_readings, unused_readings
from mhsa.introspect.readings.second_argument import ask_about_second
from mhsa.introspect.readings.strides import contiguous_alone
from mhsa.introspect.torch_attention import TorchModuleAdapter, within
from mhsa.records.conventions.values import MaskMeaning
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.torch_adapter import TorchAdapter
from mhsa.subject.generic_inputs import generic_tensors
from mhsa.subject.subject import Subject

_NAN = "https://github.com/pytorch/pytorch/issues/41508"  # why torch gives NaN to a query without any allowed key


def read_call(subject: Subject, module: nn.Module, request: Request, bind: Bind) -> Subject:
    """Return the subject as it is to be called: with its layout and the form of its mask in the contract.

    Where nothing fits it is read by names and by what is usual, and the properties will tell what is wrong.

    Args:
        subject: on the CPU, read by names.
        module: of generic sizes, float64 and in eval mode.
        request: what was asked for.
        bind: makes the subject anew where arguments have other roles.

    Raises:
        Question: a reading fits exactly that contradicts the usual one, or it is causal, or has another feature.
    """
    if isinstance(subject.adapter, (TorchAdapter, TorchModuleAdapter)):
        return replace(subject, contract=find_float64(subject))
    fit = Fit()
    read = _stages(subject, module, fit)
    if read is not None:
        ask_about_name(subject)
        if not subject.caller.fills_mask:
            ask_about_window(read[-1].subject)
        if subject.adapter.takes_mask and read[-1].part != "mask" and (same := masks_of_equal_lengths(read[-1].subject, fit)):
            masks = _masks_of(same.subject, fit)
            read = [*read, same, masks] if masks else read
        return _conclude(subject, module, read, fit, request)
    for known in _as_called_without_a_mask(subject):
        ask_about_causal(known, module, fit, lambda each: _masks_of(each, fit))
        ask_about_features(known, module, fit)
        if not subject.caller.fills_mask:
            ask_about_narrow_window(known, soft_caps(known, module))
    one_row = first_token(subject, module)
    if one_row is not None:
        fitting = first_fit(_with_float64(iter([one_row])), fit.without_mask)
        return _conclude(subject, module, [fitting], fit, request) if fitting else by_names(_not_laid_out(subject), module)
    for other in interleaved_heads(subject):
        read = _stages(other.subject, module, fit)
        if read is not None:
            return _conclude(subject, module, [other, *read], fit, request)
    same = equal_lengths(subject, module)
    read = _stages(same.subject, module, fit) if same is not None else None
    if same is not None and read is not None:
        return _conclude(subject, module, [same, *read], fit, request)
    if same is not None and not same.subject.caller.fills_mask:
        ask_about_places(same, module, fit, lambda each: _masks_of(each, fit))
    if not subject.caller.fills_mask:
        others = itertools.chain(role_readings(subject, bind), unused_readings(subject, module, bind))
        roles = first_fit(_with_float64(others), fit.without_mask)
        if roles is not None:
            masks = _masks_of(roles.subject, fit)
            return _conclude(subject, module, [roles, *([masks] if masks else [])], fit, request)
        ask_about_unknown(subject, module)
        ask_about_second(subject, module)
    if subject.contract.layout == "BNTD" and subject.adapter.contract.layout is None:
        more = ", or ".join(TAKES[layout].removeprefix("takes ") for layout in ("BHWC", "BTND", "TNBD"))
        words = f"it {TAKES['BNTD']}, or {more}, and is exactly attention in none of these"
        raise Question(words, {"layout": "BNTD"})
    return by_names(_not_laid_out(subject), module)


def _stages(subject: Subject, module: nn.Module, fit: Fit) -> list[Reading] | None:
    """Return the readings of layout and mask that fit, the mask's only where one does; None where no layout does."""
    layout = first_fit(_with_float64(layout_readings(subject, module)), fit.without_mask)
    if layout is not None:
        masks = _masks_of(layout.subject, fit)
        return [layout, *([masks] if masks else [])]
    if subject.caller.fills_mask:  # a mask that must be given decides the output without one, too: both are read together
        for laid in _with_float64(layout_readings(subject, module), _declared_meaning(subject), "blocked"):
            masks = _masks_of(laid.subject, fit)
            if masks is not None:
                return [laid, masks]
    return None


def reads(subject: Subject, module: nn.Module) -> bool:
    """Whether it is attention to the last digit as it is called, or with a mask in some reading if it needs one."""
    fit = Fit()
    if fit.without_mask(subject.under(find_float64(subject))):
        return True
    return subject.caller.fills_mask and _stages(subject, module, fit) is not None


def _with_float64(readings: Iterator[Reading], *meanings: MaskMeaning | None) -> Iterator[Reading]:
    """Yield the readings with what is to be expected of float64 under each in the contract.

    Where a mask must be given, it may be seen only if the mask has its meaning: ``meanings`` are those to look under.
    """
    for reading in readings:
        seen = []
        for meaning in dict.fromkeys(meanings or (None,)):
            subject = reading.subject
            meant = replace(subject.contract, mask=meaning) if meaning else subject.contract
            found = find_float64(subject.under(meant)).float64_in
            if found in seen:
                continue
            seen.append(found)
            yield replace(reading, subject=subject.under(replace(subject.contract, float64_in=found)))


def _as_called_without_a_mask(subject: Subject) -> list[Subject]:
    """Return the subject with what is to be expected of float64; one that must be given a mask with each meaning of that."""
    meanings = dict.fromkeys((_declared_meaning(subject), "blocked")) if subject.caller.fills_mask else (subject.contract.mask,)
    meant = [subject.under(replace(subject.contract, mask=meaning)) for meaning in meanings]
    return [each.under(find_float64(each)) for each in meant]


def _declared_meaning(subject: Subject) -> MaskMeaning | None:
    """Return what was declared of a mask; an adapter of the user's takes True for allowed."""
    ours = isinstance(subject.adapter, (ModuleAdapter, FunctionAdapter))
    return subject.adapter.contract.mask or (None if ours else "allowed")


def _masks_of(subject: Subject, fit: Fit) -> Reading | None:
    if not subject.adapter.takes_mask:
        return None
    meanings = stated_meaning(subject.adapter), _declared_meaning(subject)
    read = None if subject.contract.padded_queries == "zero" else first_fit(mask_readings(subject, *meanings), fit.with_mask)
    if read is None:
        return of_padded_queries(mask_readings(subject, *meanings), subject, fit)
    read = of_keys_alone(read, fit)
    if read is None or read.subject.contract.mask != "lengths":
        return None if read is None else with_other_forms(read, fit)
    return with_lengths_of_samples(read, fit, asked=subject.adapter.contract.mask_shape is None)


def _not_laid_out(subject: Subject) -> Subject:
    """Return the subject without a layout that it can be called in, but which does not fit either."""
    if subject.contract.layout != "TBD" or subject.adapter.contract.layout is not None:
        return subject
    return subject.under(replace(subject.contract, layout=None))


def by_names(subject: Subject, module: nn.Module) -> Subject:
    """Return the subject with the mask read by what is declared, stated or usual."""
    stated = stated_meaning(subject.adapter) if subject.adapter.takes_mask else None
    meaning = _declared_meaning(subject) or (stated.meaning if stated else "allowed")
    contract = replace(find_float64(subject), mask=meaning, mask_shape=subject.adapter.contract.mask_shape)
    adapter = subject.adapter
    if isinstance(adapter, FunctionAdapter):
        adapter = adapter.read_as(contract)
    caller = replace(subject.caller, contract=contract, adapter=adapter)
    if adapter.takes_mask:
        caller = find_mask_form(caller, module, *generic_tensors(adapter))
    return replace(subject, contract=caller.contract, caller=caller, adapter=adapter)


def _conclude(subject: Subject, module: nn.Module, read: list[Reading], fit: Fit, request: Request) -> Subject:
    """Return the subject as it was read, or ask where a reading is not certain."""
    last = read[-1].subject
    if last.adapter.takes_mask and read[-1].part != "mask":
        last = by_names(last, module)
    doubtful = [reading for reading in read if not reading.certain]
    doubtful += [memory] if (memory := contiguous_alone(last, module)) is not None else []
    open_row = last.adapter.takes_mask and subject.contract.fully_masked_row is None
    exact = read[-1].part == "mask" or (within(module) is not None and bool(doubtful))  # all but such rows
    nan = open_row and exact and fit.fully_masked_is_nan(last)
    if not doubtful and not nan:
        understood = tuple(reading.understood for reading in with_usual_answers(read) if reading.text)
        added = (each for each in last.understood if each not in subject.understood)
        known = replace(last, understood=(*subject.understood, *understood, *added))
        return try_other_masks(known, fit, _masks_of, lambda s: by_names(s, module)) if read[-1].part == "mask" else known
    fields: dict[str, Any] = {name: value for reading in doubtful for name, value in reading.declaration.items()}
    words = " and ".join(reading.text for reading in doubtful)
    if nan:
        fields |= {"fully_masked_row": "nan", "reason": _NAN}
        also = "may give NaN where a query may attend to no key"
        words = f"{words} and {also}" if words else also
    raise Question(f"it is exactly right if it {words}; read in the usual way it is not", fields)
