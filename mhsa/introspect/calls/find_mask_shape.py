"""Which shape a mask takes, and whether its numbers are floating: found by calling, as these are interface.

Which of the two True means, the polarity, is never found here (:mod:`mhsa.introspect.readings.masks.polarity`): a call that
looks right with the other polarity would take a bug for a convention. The sizes are all different, so that nothing fits by
coincidence.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

import torch
from torch import Tensor, nn

from mhsa.records.conventions.values import LENGTH_SHAPES, MaskShape
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.caller import Caller, heads_of
from mhsa.subject.generic_inputs import first_sizes

# "The same function or another one?": half the digits of float64, far above rounding, far below any real difference.
_SAME = 2.0**-26
# Of masks, where nothing is known of their meaning. One that is the same for every sample is not among them: a mask without a
# batch axis fits into a slip of axes, too, and everything that is equal on both sides says nothing of that.
_USUAL_SHAPES: tuple[MaskShape, ...] = ("[B, Tq, Tk]", "[B, 1, Tq, Tk]", "[B, Tk]", "[B, 1, 1, Tk]")


def forms_of_mask(caller: Caller) -> list[Caller]:
    """Return the call with each form of a mask, the usual one first."""
    declared = caller.contract.mask_shape
    shapes = LENGTH_SHAPES if caller.contract.mask == "lengths" else _USUAL_SHAPES
    shapes = shapes if declared is None else (declared,)
    return [
        replace(caller, contract=replace(caller.contract, mask_shape=shape), float_masks=floating)
        for floating in ((False,) if caller.contract.mask == "additive" else (False, True))
        for shape in shapes
    ]


def find_mask_form(caller: Caller, module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Caller:
    """Return ``caller`` with the shape of the masks that the module takes, and whether they must be floating.

    A form is understood if a mask that says the same everywhere, everything allowed or everything blocked, gives
    what no mask gives: so the finding does not depend on which of the two True means. Where none is understood
    the documented form, bool [B, Tq, Tk], is used, and the properties will show what is wrong with it; so is the first form
    that is taken at all, where that one raises.
    """
    if isinstance(caller.adapter, FunctionAdapter):  # the reference around it takes every shape
        return replace(caller, contract=replace(caller.contract, mask_shape=caller.adapter.form.shape))
    forms = forms_of_mask(caller)
    sizes = first_sizes(caller.adapter)
    head = heads_of(module, caller.adapter.sizes or (sizes.head, sizes.d_model))
    everything = torch.ones(query.size(0), query.size(1), key.size(1), dtype=torch.bool)
    last_key = everything.clone()
    # A causal module hides the last key by itself.
    last_key[..., 0 if caller.contract.formula.positional else -1] = False
    plain = _without_a_mask([caller, *(forms if caller.fills_mask else [])], module, query, key, value)
    if plain is None:  # the properties will raise it again and report it
        return forms[0]
    taken: list[Caller] = []
    for form in forms:
        outputs = []
        for mask in (everything, ~everything, last_key):
            with contextlib.suppress(Exception):
                output = form(module, query, key, value, form.convert(mask, query.dtype, head))[0]
                outputs.append(isinstance(output, Tensor) and output.shape == plain.shape and _same(output, plain))
        if len(outputs) == 3 and any(outputs[:2]) and not outputs[2]:  # the last: the mask is not just ignored
            return form
        if outputs:
            taken.append(form)
    return taken[0] if taken else forms[0]


def _without_a_mask(callers: list[Caller], module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Tensor | None:
    """Return the output without a mask, or with one that allows everything, of the first call that returns."""
    for caller in callers:
        with contextlib.suppress(Exception):
            output: Tensor = caller(module, query, key, value, None)[0]
            return output
    return None


def _same(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= _SAME * b.abs().max())
