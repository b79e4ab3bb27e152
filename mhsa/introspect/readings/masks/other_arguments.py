"""Masks that the cases do not drive: each is tried alone, and together with the first, where allowed is what both allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.introspect.readings.fit import SEEDS, Fit
from mhsa.introspect.readings.masks.stated_polarity import PADDING_OF_KEYS
from mhsa.records.understood import Understood
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.subject import Subject

Masks = Callable[[Subject, Fit], Reading | None]


def try_other_masks(subject: Subject, fit: Fit, masks_of: Masks, as_named: Callable[[Subject], Subject]) -> Subject:
    """Return the subject with what is known of its other masks, and what of them stays untested among what is not judged.

    One that is a padding of keys by its name, is taken and right in no reading, is judged instead of the first. Where both are
    right alone and are taken together, they must hide together what each of them hides.

    Args:
        subject: read, with the form of its mask.
        fit: asks for an exact fit.
        masks_of: finds the reading of the mask that a subject is given.
        as_named: reads that mask by its name.
    """
    adapter = subject.adapter
    if not isinstance(adapter, ModuleAdapter):
        return subject
    subject = _own_mask(subject, adapter, fit)
    assert isinstance(subject.adapter, ModuleAdapter)
    found, left, wrong_masks = [], [], ""
    signature = subject.adapter.signature
    for name in signature.other_masks:
        alone = adapter.with_signature(replace(signature, mask=name, own_mask=None, other_masks=(), mask_omitted=False))
        alone.contract = replace(alone.contract, mask=None, mask_shape=None)
        contract = replace(subject.contract, mask=None, mask_shape=None)
        caller = replace(subject.caller, adapter=alone, contract=contract)
        of_other = replace(subject, adapter=alone, contract=contract, caller=caller)
        read = masks_of(of_other, fit)
        if read is None:
            wrong = as_named(of_other) if PADDING_OF_KEYS.search(name) else None
            if wrong is not None and fit.is_taken(wrong):
                return wrong
            continue
        wrong_pair = fit.wrong_with_both(subject, read.subject, name)
        if wrong_pair == "":
            tried = f"alone and together with {signature.mask}"
            left.append(f"argument {name} beyond {len(SEEDS)} masks {tried}")
        else:
            tried = "alone"
            left.append(f"argument {name} together with {signature.mask}")
            wrong_masks = wrong_masks or wrong_pair or ""
        if not read.certain:
            left.append(f"argument {name}: {read.text}, against what its name, a docstring or the usual meaning says")
        found.append(Understood("mask", f"{name}: {read.text}; tried {tried}", read.known))
    understood, not_judged = (*subject.understood, *found), (*subject.not_judged, *left)
    return replace(subject, understood=understood, not_judged=not_judged, wrong_pair=wrong_masks)


def _own_mask(subject: Subject, adapter: ModuleAdapter, fit: Fit) -> Subject:
    """Drop the mask of the query's own sequence where self-attention with it is not what the other mask's form says."""
    signature = adapter.signature
    if signature.own_mask is None or not signature.key_optional:
        return subject
    alone = adapter.with_signature(replace(signature, key=None, mask=signature.own_mask, own_mask=None))
    if fit.with_mask(replace(subject, adapter=alone, caller=replace(subject.caller, adapter=alone))):
        text = f"{signature.own_mask} where query attends to itself, {signature.mask} where it attends to {signature.key}"
        return replace(subject, understood=(*subject.understood, Understood("mask", text, "fitted")))
    without = adapter.with_signature(replace(signature, own_mask=None, not_given=(*signature.not_given, signature.own_mask)))
    return replace(subject, adapter=without, caller=replace(subject.caller, adapter=without))
