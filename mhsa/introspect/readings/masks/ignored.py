"""A mask that is not read, because mhsa switched off the part that reads it: then there is no mask to be judged."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from mhsa.introspect.calls.find_mask_shape import forms_of_mask
from mhsa.records.understood import Understood
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.caller import Caller, heads_of
from mhsa.subject.forms.needless_arguments import NONE
from mhsa.subject.generic_inputs import first_sizes, generic_tensors


def without_ignored_mask(caller: Caller, module: nn.Module) -> Caller:
    """Return the call without the mask, where it is built with a switch off and no mask changes what it returns.

    Args:
        caller: with the form of the mask that was found.
        module: of generic sizes, float64 and in eval mode.
    """
    adapter = caller.adapter
    if not isinstance(adapter, ModuleAdapter) or adapter.constructor is None or not adapter.takes_mask:
        return caller
    switched = adapter.constructor.cores_switched_off
    if not switched or any(_changes_something(form, module) for form in forms_of_mask(caller)):
        return caller
    signature = adapter.signature
    name = str(signature.mask)
    more = {**signature.more, **({name: NONE} if signature.mask_required else {})}
    without = copy.copy(
        adapter.with_signature(replace(signature, mask=None, more=more, not_given=(*signature.not_given, name)))
    )
    text = f"{name} is not read where it is built with {switched}"
    without.understood = (*adapter.understood, Understood("mask", text, "fitted"))
    return replace(caller, adapter=without, fills_mask=False)


def _changes_something(form: Caller, module: nn.Module) -> bool:
    """Whether a mask that hides a key gives another output than none; no where either raises."""
    query, key, value = generic_tensors(form.adapter)
    mask = torch.ones(query.size(0), query.size(1), key.size(1), dtype=torch.bool)
    mask[..., -1] = False
    sizes = first_sizes(form.adapter)
    given = form.convert(mask, query.dtype, heads_of(module, form.adapter.sizes or (sizes.head, sizes.d_model)))
    try:
        with torch.no_grad():
            plain, masked = (form(module, query, key, value, m)[0] for m in (None, given))
    except Exception:  # this form is not taken
        return False
    return not (isinstance(plain, Tensor) and isinstance(masked, Tensor) and torch.equal(plain, masked))
