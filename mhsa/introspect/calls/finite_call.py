"""A call that is finite, to look at: a mask of True that must be given hides everything where True means hidden."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.caller import Caller
from mhsa.subject.generic_inputs import generic_tensors


def finite_call(caller: Caller, module: nn.Module) -> Caller:
    """Return ``caller``, or the same with a mask of the other meaning where it gives NaN and the other one is finite.

    Only what is looked at in a call, projections and surroundings, is found so; which meaning the mask has is read later.
    """
    if not caller.fills_mask or caller.contract.mask is not None or not isinstance(caller.adapter, ModuleAdapter):
        return caller
    hidden = replace(caller, contract=replace(caller.contract, mask="blocked"))
    return hidden if not _is_finite(caller, module) and _is_finite(hidden, module) else caller


def _is_finite(caller: Caller, module: nn.Module) -> bool:
    try:
        with torch.no_grad():
            output = caller(module, *generic_tensors(caller.adapter), None)[0]
    except Exception:  # the properties will raise it again and report it
        return False
    return isinstance(output, torch.Tensor) and bool(output.isfinite().all())
